//! How an image behaves once it runs. Behaviour belongs to the image: a copy or a replacement instance inherits it.

use schemars::JsonSchema;
use serde::Deserialize;

/// What instances of one image do.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Whether the instance ever passes its status checks and answers its load balancer.
    pub boots: bool,
    /// Seconds from launch until the instance passes its status checks and serves.
    pub boot_seconds: u64,
    /// Share of requests answered with a 5xx status, 0 to 1.
    pub error_rate: f64,
    /// Mean response time in milliseconds of most requests; they spread around it.
    pub latency_ms: f64,
    /// Share of requests that are slow, 0 to 1.
    pub slow_share: f64,
    /// Mean response time in milliseconds of those.
    pub slow_ms: f64,
    /// Minutes of serving after which the instance has used up its memory and stops; never without it.
    pub out_of_memory_after_minutes: Option<u64>,
    /// Memory in use, in megabytes.
    pub memory_mb: f64,
    /// Whether its role may write the output of commands to the bucket that a command names.
    pub writes_output: bool,
    /// How commands sent to the instance end. The first rule that matches counts; without one, exit code 0.
    pub commands: Vec<CommandRule>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            boots: true,
            boot_seconds: 40,
            error_rate: 0.0005,
            latency_ms: 42.0,
            slow_share: 0.0,
            slow_ms: 1000.0,
            out_of_memory_after_minutes: None,
            memory_mb: 400.0,
            writes_output: true,
            commands: Vec::new(),
        }
    }
}

/// How a command whose script contains a text ends.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct CommandRule {
    /// Matches when the script text contains this.
    pub contains: String,
    #[serde(default)]
    pub exit_code: i32,
    #[serde(default)]
    pub stdout: String,
    #[serde(default)]
    pub stderr: String,
    /// Virtual seconds the command runs.
    #[serde(default)]
    pub seconds: u64,
    /// For how many commands on one instance this holds, in the order in which they are sent; all without it.
    #[serde(default)]
    pub times: Option<usize>,
}
