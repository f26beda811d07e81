//! How a container image behaves once it runs. Behaviour belongs to the image, whatever task runs it.

use schemars::JsonSchema;
use serde::Deserialize;

/// What containers of one image do.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct ContainerBehaviour {
    /// Seconds a pull of the image takes.
    pub pull_seconds: u64,
    /// Why the image cannot be pulled; it can without it.
    pub pull_error: Option<String>,
    /// Seconds from the container's start until it listens and its health check succeeds.
    pub start_seconds: u64,
    /// Whether the command of its health check ever succeeds.
    pub healthy: bool,
    /// Whether it listens on the ports of its port mappings.
    pub listens: bool,
    /// Seconds it goes on after SIGTERM; ECS kills it after 30.
    pub stop_seconds: u64,
    /// What it answers to HTTP requests; the first rule that matches counts. Without one, status 200 and `ok`.
    pub answers: Vec<AnswerRule>,
    /// How it ends by itself; the first rule that matches counts. Without one, it runs until it is stopped.
    pub exits: Vec<ExitRule>,
}

impl Default for ContainerBehaviour {
    fn default() -> Self {
        Self {
            pull_seconds: 12,
            pull_error: None,
            start_seconds: 5,
            healthy: true,
            listens: true,
            stop_seconds: 1,
            answers: Vec::new(),
            exits: Vec::new(),
        }
    }
}

/// An answer to HTTP requests.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct AnswerRule {
    /// Matches requests to this port; to every port without it.
    #[serde(default)]
    pub port: Option<u16>,
    /// Matches requests whose path begins so.
    #[serde(default)]
    pub path: String,
    pub status: u16,
    #[serde(default)]
    pub body: String,
    /// For how many seconds since the container listens this holds; always without it.
    #[serde(default)]
    pub seconds: Option<u64>,
}

/// How a container ends by itself.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ExitRule {
    /// Matches when the container's entry point and command, joined by spaces, contain this.
    #[serde(default)]
    pub command: String,
    pub code: i32,
    /// Seconds since its start.
    #[serde(default)]
    pub after_seconds: u64,
}
