//! The `evidence` section: how long the evidence that stages hand over stays valid.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::Span;

/// Settings of the evidence that each stage hands to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// How long the next stage may wait before it accepts a hand-over no more. At least 1h, at most 90d.
    #[schemars(extend("x-min" = "1h", "x-max" = "90d"))]
    pub valid_for: Span,
}

impl Default for Evidence {
    fn default() -> Self {
        Self { valid_for: Span::from_secs(7 * 86_400) }
    }
}
