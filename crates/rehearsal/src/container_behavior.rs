//! How containers of an image behave. Behavior belongs to the image, whichever task runs it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::span::Span;

/// How containers of one image behave.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct ContainerBehavior {
    /// How long a pull of the image takes.
    pub pull: Span,
    /// The error of every pull. Default: the image can be pulled.
    pub pull_error: Option<String>,
    /// From the container's start until it listens and its health check succeeds.
    pub start: Span,
    /// Whether the command of its health check ever succeeds.
    pub healthy: bool,
    /// Whether it listens on the ports of its port mappings.
    pub listens: bool,
    /// From SIGTERM until it ends; ECS kills it after 30 seconds.
    pub stop: Span,
    /// Answers to HTTP requests. The first matching rule counts; without one, the answer is status 200 and `ok`.
    pub answers: Vec<AnswerRule>,
    /// How it ends by itself. The first matching rule counts; without one, it runs until it is stopped.
    pub exits: Vec<ExitRule>,
}

impl Default for ContainerBehavior {
    fn default() -> Self {
        Self {
            pull: Span::from_secs(12),
            pull_error: None,
            start: Span::from_secs(5),
            healthy: true,
            listens: true,
            stop: Span::from_secs(1),
            answers: Vec::new(),
            exits: Vec::new(),
        }
    }
}

/// The answer to an HTTP request.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct AnswerRule {
    /// Matches requests to this port. Default: every port.
    #[serde(default)]
    pub port: Option<u16>,
    /// Matches requests whose path starts with this text.
    #[serde(default)]
    pub path: String,
    pub status: u16,
    #[serde(default)]
    pub body: String,
    /// How long after the container began to listen the rule holds. Default: always.
    #[serde(default)]
    pub duration: Option<Span>,
}

/// How a container ends by itself.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ExitRule {
    /// Matches containers whose entry point and command, joined by spaces, contain this text.
    #[serde(default)]
    pub contains: String,
    pub exit_code: i32,
    /// From the container's start until it ends.
    #[serde(default)]
    pub after: Span,
}
