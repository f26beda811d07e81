//! The load on the service in production.

use schemars::JsonSchema;
use serde::Deserialize;

/// The load on the service in production.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Traffic {
    pub requests_per_minute: u32,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { requests_per_minute: 3000 }
    }
}
