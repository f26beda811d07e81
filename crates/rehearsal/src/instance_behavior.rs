//! How instances of an AMI behave. Behavior belongs to the image: a copy of the image and a replacement instance inherit it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::span::{Span, SpanOrNever};

/// How instances of one image behave.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceBehavior {
    /// From launch until the instance passes its status checks and serves, or `never`.
    pub boot: SpanOrNever,
    /// Share of requests answered with a 5xx status, 0 to 1.
    pub error_rate: f64,
    /// Mean response time of most requests; response times spread around it.
    pub latency: Span,
    /// Share of requests that are slow, 0 to 1.
    pub slow_share: f64,
    /// Mean response time of the slow requests.
    pub slow_latency: Span,
    /// Time in service after which the instance has used up its memory and stops serving. Default: it never does.
    pub out_of_memory_after: Option<Span>,
    /// Memory in use.
    pub memory_mib: f64,
    /// Whether the instance's role may write command output to the S3 bucket that the command names.
    pub writes_output: bool,
    /// How commands sent to the instance end. The first matching rule counts; without one, the exit code is 0.
    pub commands: Vec<CommandRule>,
}

impl InstanceBehavior {
    /// The behavior of an image whose instances never pass their status checks.
    #[must_use]
    pub fn never_boots() -> Self {
        Self { boot: SpanOrNever::Never, ..Self::default() }
    }
}

impl Default for InstanceBehavior {
    fn default() -> Self {
        Self {
            boot: SpanOrNever::After(Span::from_secs(40)),
            error_rate: 0.0005,
            latency: Span::from_millis(42),
            slow_share: 0.0,
            slow_latency: Span::from_secs(1),
            out_of_memory_after: None,
            memory_mib: 400.0,
            writes_output: true,
            commands: Vec::new(),
        }
    }
}

/// How a command ends whose script contains a text.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct CommandRule {
    /// Matches scripts that contain this text.
    pub contains: String,
    #[serde(default)]
    pub exit_code: i32,
    #[serde(default)]
    pub stdout: String,
    #[serde(default)]
    pub stderr: String,
    /// How long the command runs.
    #[serde(default)]
    pub duration: Span,
    /// How many matching commands on one instance end this way, in the order they are sent. Default: all.
    #[serde(default)]
    pub times: Option<usize>,
}
