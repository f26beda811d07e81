//! How an image behaves once it runs. Behaviour belongs to the image: a copy or a replacement instance inherits it.

use serde::Deserialize;

/// What instances of one image do.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Whether the instance ever passes its status checks and answers its load balancer.
    pub boots: bool,
    /// Seconds from launch until the instance passes its status checks and serves.
    pub boot_seconds: u64,
    /// Share of requests answered with a 5xx status, 0 to 1.
    pub error_rate: f64,
    /// Mean response time in milliseconds.
    pub latency_ms: f64,
    /// Memory in use, in megabytes.
    pub memory_mb: f64,
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
            memory_mb: 400.0,
            commands: Vec::new(),
        }
    }
}

/// How a command whose script contains a text ends.
#[derive(Clone, Debug, Deserialize, PartialEq)]
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
}
