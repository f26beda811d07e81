//! The `cleanup` section: which images are kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::Span;

/// Which images of the service are kept. Those in use or referenced are kept whatever stands here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cleanup {
    /// How many of the newest images are kept.
    #[schemars(range(min = 1, max = 1000))]
    pub keep_last: u32,
    /// Images younger than this are kept.
    pub keep_younger_than: Span,
}
