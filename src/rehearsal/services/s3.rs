//! Buckets and objects.

#[derive(Clone, Debug, Default)]
pub struct State {}
