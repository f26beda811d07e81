//! What a task and its answers mean for the release. Pure.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::judge::Invocation;
use super::super::plan::Sent;
use crate::spec::Check;
use crate::spec::Task;

/// Bytes of a reason that a token carries.
const REASON: usize = 300;

/// A task as ECS describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// `lastStatus`: what it does.
    pub last: String,
    /// `desiredStatus`: what ECS means it to do.
    pub desired: String,
    pub health: String,
    pub stop_code: String,
    pub reason: String,
    /// Its private IPv4 address.
    pub address: Option<IpAddr>,
    pub containers: Vec<Ran>,
}

/// How one container of it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    pub name: String,
    pub exit_code: Option<i32>,
    pub reason: String,
}

impl Described {
    /// Whether it runs no more, now or soon.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.desired == "STOPPED"
    }

    /// Why it stopped: what ECS says, and how each container ended.
    #[must_use]
    pub fn told(&self) -> String {
        let mut told = format!("{}: {}", self.stop_code, self.reason);
        for container in &self.containers {
            let code = container.exit_code.map(|code| format!("exited with code {code}"));
            let reason = (!container.reason.is_empty() && container.reason != self.reason)
                .then(|| container.reason.clone());
            let said: Vec<String> = code.into_iter().chain(reason).collect();
            if !said.is_empty() {
                // Writing to a string does not fail.
                let _ = write!(told, "; container {} {}", container.name, said.join(": "));
            }
        }
        told
    }
}

/// How far a task has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rise {
    /// It runs, and is healthy where it has a health check.
    Up(IpAddr),
    /// It is a job, and ended as it must.
    Done(i32),
    /// Why it will not come up.
    Failed(String),
    /// What is still awaited.
    Waiting(String),
}

/// Judges a look at a task that was started. None: ECS does not show it yet.
#[must_use]
pub fn rise(wanted: &Task, found: Option<&Described>) -> Rise {
    let Some(found) = found else { return Rise::Waiting("not shown yet".to_owned()) };
    if found.is_over() {
        let code = found.containers.first().and_then(|container| container.exit_code);
        return match (wanted.expect_exit_code.map(i32::from), code) {
            (Some(wanted), Some(code)) if code == wanted => Rise::Done(code),
            // The exit code may come later than the end.
            (Some(_), None) if found.last != "STOPPED" => Rise::Waiting(found.last.to_lowercase()),
            (Some(wanted), Some(_)) => {
                Rise::Failed(format!("it must exit with code {wanted}; {}", found.told()))
            }
            (Some(_) | None, _) => Rise::Failed(format!("it stopped: {}", found.told())),
        };
    }
    if found.last != "RUNNING" || wanted.expect_exit_code.is_some() {
        return Rise::Waiting(found.last.to_lowercase());
    }
    match (found.address, wanted.health_check.is_some().then_some(found.health.as_str())) {
        (_, Some("UNHEALTHY")) => Rise::Failed("its health check fails".to_owned()),
        (Some(address), None | Some("HEALTHY")) => Rise::Up(address),
        (None, _) => Rise::Waiting("running, its address is not known yet".to_owned()),
        (Some(_), Some(_)) => Rise::Waiting("running, its health is not known yet".to_owned()),
    }
}

/// What was found out about a task. It travels in the token: ECS forgets a stopped task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Seconds from its start until it was up, had ended or had failed.
    pub rose: u32,
    /// Why it is not as it must be; none if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The checks that were begun, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Asked>,
}

impl Found {
    /// With a reason that is as short as a token carries it.
    #[must_use]
    pub fn new(rose: u32, why: Option<&str>, asked: Vec<Asked>) -> Self {
        Self { rose, why: why.map(shortened), asked }
    }
}

/// A reason as short as a token carries it. Quotes and control characters would be longer in a token than they are.
fn shortened(why: &str) -> String {
    let plain = why.chars().map(|c| match c {
        '"' | '\\' => '\'',
        c if c.is_control() => ' ',
        c => c,
    });
    let mut kept = String::new();
    for c in plain {
        if kept.len() + c.len_utf8() > REASON {
            break;
        }
        kept.push(c);
    }
    kept
}

/// A check of a task that was begun. The members' names are as short as twenty of them in a token want it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// How often it was begun.
    #[serde(rename = "n")]
    pub attempts: u8,
    /// When it was begun the last time, in seconds since the task came up.
    #[serde(rename = "s")]
    pub since: u32,
    /// How that ended, and after how many seconds; none while it goes on.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<(u32, Seen)>,
}

/// What a question to a port came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seen {
    /// What must be.
    #[serde(rename = "g")]
    Good,
    /// Another status.
    #[serde(rename = "s")]
    Status(u16),
    /// An answer that does not hold the text.
    #[serde(rename = "l")]
    Lacks,
    /// Nothing listens on the port.
    #[serde(rename = "r")]
    Refused,
    /// No answer in time.
    #[serde(rename = "q")]
    Silent,
    /// No answer of HTTP.
    #[serde(rename = "u")]
    Unread,
}

impl Asked {
    /// As the plan of a test sees a check that was sent.
    #[must_use]
    pub fn sent(&self) -> Sent {
        let status = match self.ended {
            None => "InProgress",
            Some((_, Seen::Good)) => "Success",
            Some(_) => "Failed",
        };
        let shown = Invocation { status: status.to_owned(), ..Invocation::default() };
        Sent { attempts: self.attempts, elapsed: Duration::ZERO, shown: Some(shown) }
    }

    /// Enters what a question `now` seconds after the task came up was answered: a check ends with what must be, or with
    /// its time.
    pub fn saw(&mut self, check: &Check, seen: Seen, now: u32) {
        let took = now.saturating_sub(self.since);
        if seen == Seen::Good || u64::from(took) >= window(check).as_secs() {
            self.ended = Some((took, seen));
        }
    }
}

/// How long a check of a task may go on.
#[must_use]
pub fn window(check: &Check) -> Duration {
    check.timeout().as_duration()
}

/// What a question came to, in words.
#[must_use]
pub fn words(check: &Check, seen: Seen) -> String {
    let http = check.http.as_ref();
    match seen {
        Seen::Good => "as it must be".to_owned(),
        Seen::Status(status) => {
            format!("the answer's status is {status}, not {}", http.map_or(0, |http| http.status))
        }
        Seen::Lacks => {
            let text = http.and_then(|http| http.contains.as_deref()).unwrap_or_default();
            format!("the answer does not hold \"{text}\"")
        }
        Seen::Refused => "nothing takes connections on the port".to_owned(),
        Seen::Silent => {
            "no answer came; the worker must reach the task's subnet, and its security groups let it in"
                .to_owned()
        }
        Seen::Unread => "the answer is none of HTTP".to_owned(),
    }
}
