//! An embedded AWS: real wire protocols in front of a simulated AWS that runs in virtual time.
//!
//! Shares no code with the program that it tests: shared code would hide shared mistakes.

pub mod call;
pub mod cloud;
pub mod container_behavior;
pub mod external_events;
pub mod faults;
pub mod ids;
pub mod instance_behavior;
pub mod listen;
mod one_of;
pub mod other_resources;
pub mod recording;
pub mod scenario;
pub mod schedule;
pub mod services;
pub mod setup;
pub mod shared;
pub mod span;
pub mod time;
pub mod timeline;
pub mod transcript;
pub mod wire;
pub mod world;
