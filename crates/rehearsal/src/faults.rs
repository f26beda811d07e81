//! Faults: which calls fail, and how.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::ApiError;
use super::ids::Ids;
use super::one_of;
use super::time::Time;
use super::wire::model;

/// One way for a call to fail.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The service answers with a server error and does nothing.
    Error(ServerError),
    /// The service carries the call out, and the connection breaks before the response arrives.
    #[serde(with = "one_of::unit")]
    #[schemars(with = "one_of::Empty")]
    LoseReply,
    /// The service answers with its own throttling error and does nothing.
    #[serde(with = "one_of::unit")]
    #[schemars(with = "one_of::Empty")]
    Throttle,
    /// The service answers with its own error for a missing permission and does nothing.
    #[serde(with = "one_of::unit")]
    #[schemars(with = "one_of::Empty")]
    Deny,
    /// A read that does not see the last write yet. Has no effect on a mutating call.
    #[serde(with = "one_of::unit")]
    #[schemars(with = "one_of::Empty")]
    StaleRead,
    /// The caller dies before the service receives the call.
    #[serde(with = "one_of::unit")]
    #[schemars(with = "one_of::Empty")]
    KillBefore,
    /// The caller dies after the service carried the call out, before the response arrives.
    #[serde(with = "one_of::unit")]
    #[schemars(with = "one_of::Empty")]
    KillAfter,
}

/// A server error of a service. Default: the first one that the operation's model has, otherwise `InternalFailure`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerError {
    /// The error code, such as `KeyUnavailableException`.
    pub code: Option<String>,
    /// The HTTP status. Default: the one that the service's model has for the code, otherwise 500.
    pub status: Option<u16>,
}

impl Fault {
    /// The operation's first modeled server error, otherwise `500 InternalFailure`.
    #[must_use]
    pub fn server_error() -> Self {
        Self::Error(ServerError::default())
    }

    /// An error with this status and code.
    #[must_use]
    pub fn error(status: u16, code: &str) -> Self {
        Self::Error(ServerError { code: Some(code.to_owned()), status: Some(status) })
    }

    /// Every retryable error of an operation's model: server errors and throttling.
    #[must_use]
    pub fn modeled_errors(service: &str, operation: &str) -> Vec<Self> {
        let errors = model::retryable_errors(service, operation);
        errors
            .into_iter()
            .map(|(code, status)| {
                Self::Error(ServerError { code: Some(code.to_owned()), status: Some(status) })
            })
            .collect()
    }
}

impl ServerError {
    /// The error response of an operation of a service.
    #[must_use]
    pub fn answer(&self, service: &str, operation: &str) -> ApiError {
        const MESSAGE: &str = "We encountered an internal error. Please try again.";
        let modeled = model::retryable_errors(service, operation);
        let (code, status) = match &self.code {
            Some(code) => {
                let known = modeled.iter().find(|(name, _)| name == code).map(|(_, status)| *status);
                (code.as_str(), known)
            }
            None => modeled
                .iter()
                .find(|(_, status)| *status >= 500)
                .map_or(("InternalFailure", None), |(name, status)| (*name, Some(*status))),
        };
        ApiError::new(code, MESSAGE).with_status(self.status.or(status).unwrap_or(500))
    }
}

/// The calls that a rule is about.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct CallMatch {
    /// botocore's name of the service: `autoscaling`, `ec2`, `elbv2`, … Default: any service.
    pub service: Option<String>,
    /// Default: any operation of the service.
    pub operation: Option<String>,
}

impl CallMatch {
    #[must_use]
    pub fn operation(service: &str, operation: &str) -> Self {
        Self { service: Some(service.to_owned()), operation: Some(operation.to_owned()) }
    }

    fn admits(&self, service: &str, operation: &str) -> bool {
        self.service.as_deref().is_none_or(|wanted| wanted == service)
            && self.operation.as_deref().is_none_or(|wanted| wanted == operation)
    }
}

/// Selects which of the matching calls fail.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    Every,
    /// The nth matching call since the plan was set, counted from one.
    Nth(u64),
    /// Calls from one moment until just before another.
    During {
        from: Time,
        until: Time,
    },
    /// Each call with a probability. The same seed selects the same calls.
    Chance {
        seed: u64,
        probability: f64,
    },
}

/// Matching calls and the trigger that selects among them.
#[derive(Clone, Debug, PartialEq)]
pub struct When {
    pub calls: CallMatch,
    pub trigger: Trigger,
}

impl When {
    /// The nth call of one operation, counted from one.
    #[must_use]
    pub fn nth(service: &str, operation: &str, nth: u64) -> Self {
        Self { calls: CallMatch::operation(service, operation), trigger: Trigger::Nth(nth) }
    }

    /// Every call of one operation.
    #[must_use]
    pub fn every(service: &str, operation: &str) -> Self {
        Self { calls: CallMatch::operation(service, operation), trigger: Trigger::Every }
    }

    /// The nth call of any operation, counted from one.
    #[must_use]
    pub fn index(nth: u64) -> Self {
        Self { calls: CallMatch::default(), trigger: Trigger::Nth(nth) }
    }

    /// Any call with a probability.
    #[must_use]
    pub fn chance(seed: u64, probability: f64) -> Self {
        Self { calls: CallMatch::default(), trigger: Trigger::Chance { seed, probability } }
    }
}

/// A request rate limit of one operation, as AWS enforces it: a token bucket that refills over time.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// botocore's name of the service.
    pub service: String,
    pub operation: String,
    /// How many calls the full bucket allows at once.
    pub capacity: f64,
    /// Calls that become possible again in a second of virtual time.
    pub refill_per_second: f64,
}

/// All faults and rate limits of a rehearsal, with the calls counted so far.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    rules: Vec<Rule>,
    rate_limits: Vec<Bucket>,
    calls: u64,
}

#[derive(Clone, Debug)]
struct Rule {
    when: When,
    fault: Fault,
    /// Matching calls so far.
    matched: u64,
}

#[derive(Clone, Debug)]
struct Bucket {
    limit: RateLimit,
    tokens: f64,
    filled: Option<Time>,
}

impl FaultPlan {
    /// Adds a rule. If several rules match a call, the first one applies.
    #[must_use]
    pub fn rule(mut self, when: When, fault: Fault) -> Self {
        self.rules.push(Rule { when, fault, matched: 0 });
        self
    }

    /// Adds random faults: each call meets one of `faults` with the given probability.
    #[must_use]
    pub fn chance(self, seed: u64, probability: f64, faults: &[Fault]) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "a plan has few faults")]
        let each = probability / faults.len().max(1) as f64;
        faults.iter().zip(0..).fold(self, |plan, (fault, number)| {
            plan.rule(When::chance(seed.wrapping_add(number), each), fault.clone())
        })
    }

    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limits.push(Bucket { tokens: limit.capacity, limit, filled: None });
        self
    }

    /// Whether the plan has stale reads, for which the world before each write must be kept.
    #[must_use]
    pub fn has_stale_reads(&self) -> bool {
        let possible = |rule: &Rule| !matches!(rule.when.trigger, Trigger::Nth(nth) if nth <= rule.matched);
        self.rules.iter().any(|rule| rule.fault == Fault::StaleRead && possible(rule))
    }

    /// The fault of the next call: from the first matching rule, otherwise from a rate limit.
    pub fn meet(&mut self, service: &str, operation: &str, now: Time) -> Option<Fault> {
        self.calls += 1;
        let mut met = None;
        for rule in &mut self.rules {
            if !rule.when.calls.admits(service, operation) {
                continue;
            }
            rule.matched += 1;
            let hit = match rule.when.trigger {
                Trigger::Every => true,
                Trigger::Nth(nth) => nth == rule.matched,
                Trigger::During { from, until } => (from..until).contains(&now),
                Trigger::Chance { seed, probability } => drawn(seed, self.calls) < probability,
            };
            if hit && met.is_none() {
                met = Some(rule.fault.clone());
            }
        }
        let enough_tokens = self
            .rate_limits
            .iter_mut()
            .filter(|bucket| bucket.limit.service == service && bucket.limit.operation == operation)
            .map(|bucket| bucket.take(now))
            // Take a token from every bucket, even if another one is already empty.
            .fold(true, |enough, took| enough & took);
        met.or_else(|| (!enough_tokens).then_some(Fault::Throttle))
    }
}

/// A pseudo-random number from 0 to 1 for one call.
fn drawn(seed: u64, call: u64) -> f64 {
    let mut ids = Ids::new(seed ^ call.wrapping_mul(0xD6E8_FEB8_6659_FD93));
    #[allow(clippy::cast_precision_loss, reason = "32 bits are exact")]
    let drawn = (ids.next() >> 32) as f64 / f64::from(u32::MAX);
    drawn
}

impl Bucket {
    fn take(&mut self, now: Time) -> bool {
        if let Some(filled) = self.filled {
            let gained = (now - filled).as_secs_f64() * self.limit.refill_per_second;
            self.tokens = (self.tokens + gained).min(self.limit.capacity);
        }
        self.filled = Some(now);
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

/// The throttling error of a service.
#[must_use]
pub fn throttled(service: &str) -> ApiError {
    let (code, status, message) = match service {
        "ec2" => ("RequestLimitExceeded", 503, "Request limit exceeded."),
        "s3" => ("SlowDown", 503, "Please reduce your request rate."),
        "imagebuilder" | "lambda" | "securityhub" => ("TooManyRequestsException", 429, "Too many requests"),
        "autoscaling" | "elbv2" | "cloudwatch" | "sts" => ("Throttling", 400, "Rate exceeded"),
        "ebs" => ("RequestThrottledException", 400, "Rate exceeded"),
        _ => ("ThrottlingException", 400, "Rate exceeded"),
    };
    ApiError::new(code, message).with_status(status)
}

/// The access denied error of a service.
#[must_use]
pub fn denied(service: &str, operation: &str) -> ApiError {
    let (code, status) = match service {
        "ec2" => ("UnauthorizedOperation", 403),
        "s3" | "autoscaling" | "elbv2" | "cloudwatch" | "sts" => ("AccessDenied", 403),
        "ebs" | "imagebuilder" | "lambda" | "securityhub" => ("AccessDeniedException", 403),
        _ => ("AccessDeniedException", 400),
    };
    let message = format!(
        "User is not authorized to perform: {service}:{operation} because no identity-based policy allows it"
    );
    ApiError::new(code, message).with_status(status)
}

/// Whether an operation changes what later calls read. `PollForJobs` only offers a job; `AcknowledgeJob` claims it.
#[must_use]
pub fn is_mutating(service: &str, operation: &str) -> bool {
    const READS: [&str; 6] = ["BatchGet", "Describe", "Get", "Head", "List", "Poll"];
    let only_computes = service == "kms" && matches!(operation, "Sign" | "Verify" | "GenerateDataKey");
    !only_computes && !READS.iter().any(|read| operation.starts_with(read))
}

#[cfg(test)]
mod tests;
