//! What goes wrong: which call meets which fault.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::ApiError;
use super::ids::Ids;
use super::time::Time;

/// One way for a call to go wrong.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Refused with a server error; nothing was done.
    FailBefore {
        #[serde(default = "internal_status")]
        status: u16,
        #[serde(default = "internal_code")]
        code: String,
    },
    /// Done, but the answer is lost on the way.
    LoseReply,
    /// Refused with the service's own throttling code; nothing was done.
    Throttle,
    /// Refused for want of a permission, with the service's own code; nothing was done.
    Deny,
    /// A read that does not yet see the last write. Means nothing for a mutating call.
    StaleRead,
    /// The caller dies before the call arrives.
    KillBefore,
    /// The caller dies after the call was carried out, before it hears of it.
    KillAfter,
}

fn internal_status() -> u16 {
    500
}

fn internal_code() -> String {
    "InternalFailure".to_owned()
}

impl Fault {
    /// A refusal with `500 InternalFailure`.
    #[must_use]
    pub fn fail_before() -> Self {
        Self::FailBefore { status: internal_status(), code: internal_code() }
    }
}

/// Which calls a rule is about.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum When {
    /// The nth call, of those that match, since the plan was set. Absent names match any.
    Call {
        #[serde(default)]
        service: Option<String>,
        #[serde(default)]
        operation: Option<String>,
        /// Counted from one; zero is every one of them.
        nth: u64,
    },
    /// The nth call of all, counted from one since the plan was set.
    Index(u64),
}

impl When {
    /// The nth call of one operation.
    #[must_use]
    pub fn nth(service: &str, operation: &str, nth: u64) -> Self {
        Self::Call { service: Some(service.to_owned()), operation: Some(operation.to_owned()), nth }
    }
}

/// A fault for the calls it is about.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub when: When,
    pub fault: Fault,
}

/// Chaos, the same every time for one seed.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Random {
    pub seed: u64,
    /// Of each call to meet a fault, 0 to 1.
    pub probability: f64,
    pub kinds: Vec<Fault>,
}

/// A request limit for one operation, as AWS keeps it: a bucket of tokens refilled over time.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    pub service: String,
    pub operation: String,
    pub capacity: f64,
    /// Tokens a virtual second.
    pub refill: f64,
}

/// A time in which a service, or one operation of it, answers with an error only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    pub service: String,
    /// All of the service's without it.
    pub operation: Option<String>,
    pub from: Time,
    /// From here on it answers again.
    pub until: Time,
    pub fault: Fault,
}

/// Everything that is to go wrong, and how far it has come.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    rules: Vec<(Rule, u64)>,
    random: Option<Random>,
    limits: Vec<Bucket>,
    outages: Vec<Outage>,
    calls: u64,
}

#[derive(Clone, Debug)]
struct Bucket {
    limit: Limit,
    tokens: f64,
    filled: Option<Time>,
}

impl FaultPlan {
    #[must_use]
    pub fn rule(mut self, when: When, fault: Fault) -> Self {
        self.rules.push((Rule { when, fault }, 0));
        self
    }

    #[must_use]
    pub fn random(mut self, random: Random) -> Self {
        self.random = Some(random);
        self
    }

    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limits.push(Bucket { tokens: limit.capacity, limit, filled: None });
        self
    }

    #[must_use]
    pub fn outage(mut self, outage: Outage) -> Self {
        self.outages.push(outage);
        self
    }

    /// Whether a stale read can come up, so that the world before each write must be kept.
    #[must_use]
    pub fn wants_past(&self) -> bool {
        let to_come = |rule: &Rule| !matches!(rule.when, When::Index(index) if index <= self.calls);
        self.rules.iter().any(|(rule, _)| rule.fault == Fault::StaleRead && to_come(rule))
            || self.random.as_ref().is_some_and(|random| random.kinds.contains(&Fault::StaleRead))
    }

    /// The fault the next call meets. The first rule that matches counts, then outages, limits and chance.
    pub fn meet(&mut self, service: &str, operation: &str, now: Time) -> Option<Fault> {
        self.calls += 1;
        let mut met = None;
        for (rule, seen) in &mut self.rules {
            let hit = match &rule.when {
                When::Index(index) => *index == self.calls,
                When::Call { service: s, operation: o, nth } => {
                    let matches = s.as_deref().is_none_or(|s| s == service)
                        && o.as_deref().is_none_or(|o| o == operation);
                    *seen += u64::from(matches);
                    matches && (*nth == 0 || nth == seen)
                }
            };
            if hit && met.is_none() {
                met = Some(rule.fault.clone());
            }
        }
        let out = self.outages.iter().find(|outage| {
            outage.service == service
                && outage.operation.as_deref().is_none_or(|o| o == operation)
                && (outage.from..outage.until).contains(&now)
        });
        met = met.or_else(|| out.map(|outage| outage.fault.clone()));
        let enough_tokens = self
            .limits
            .iter_mut()
            .filter(|bucket| bucket.limit.service == service && bucket.limit.operation == operation)
            .map(|bucket| bucket.take(now))
            // Every bucket gives its token, also after one was found empty.
            .fold(true, |enough, took| enough & took);
        met.or_else(|| (!enough_tokens).then_some(Fault::Throttle)).or_else(|| self.chance())
    }

    fn chance(&self) -> Option<Fault> {
        let random = self.random.as_ref()?;
        let mut ids = Ids::new(random.seed ^ self.calls.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        #[allow(clippy::cast_precision_loss, reason = "32 bits are exact")]
        let drawn = (ids.next() >> 32) as f64 / f64::from(u32::MAX);
        if drawn >= random.probability {
            return None;
        }
        let kinds = u64::try_from(random.kinds.len()).ok().filter(|kinds| *kinds > 0)?;
        random.kinds.get(usize::try_from(ids.next() % kinds).ok()?).cloned()
    }
}

impl Bucket {
    fn take(&mut self, now: Time) -> bool {
        if let Some(filled) = self.filled {
            let gained = (now - filled).as_secs_f64() * self.limit.refill;
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

/// The refusal a service throttles with.
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

/// The refusal a service answers a caller with who lacks the permission.
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

/// Whether an operation changes what later calls see. `PollForJobs` hands out a job but does not take it: the
/// acknowledgement does.
#[must_use]
pub fn is_mutating(service: &str, operation: &str) -> bool {
    const READS: [&str; 6] = ["BatchGet", "Describe", "Get", "Head", "List", "Poll"];
    let only_computes = service == "kms" && matches!(operation, "Sign" | "Verify" | "GenerateDataKey");
    !only_computes && !READS.iter().any(|read| operation.starts_with(read))
}

#[cfg(test)]
mod tests;
