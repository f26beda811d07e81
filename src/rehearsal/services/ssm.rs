//! x
use super::super::call::{Answer, ApiError, Call};
use super::super::time::Time;
use super::super::world::World;

#[derive(Clone, Debug, Default)]
pub struct State {}

#[derive(Clone, Debug)]
pub enum Event {}

/// Operations this service offers.
pub const OPERATIONS: &[&str] = &[];

pub fn call(_world: &mut World, call: &Call) -> Answer {
    Err(ApiError::new("UnknownOperationException", call.operation.clone()))
}

pub fn on_event(_world: &mut World, _at: Time, event: Event) {
    match event {}
}
pub fn write_parameter(_world: &mut World, _at: Time, _a: &str, _r: &str, _n: &str, _d: &str, _v: &str) {}
