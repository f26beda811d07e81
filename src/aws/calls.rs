//! Counts the calls of AWS operations, each retry of the SDK included.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::FinalizerInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// Attempts of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub calls: u64,
    pub throttles: u64,
    /// Attempts that AWS refused or did not answer, throttles excluded.
    pub failures: u64,
}

/// Counts every attempt of every operation: an interceptor of all clients.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    tallies: Arc<Mutex<BTreeMap<String, Tally>>>,
}

impl Calls {
    /// Takes the counts since the last call, by `Service:Operation`.
    #[must_use]
    pub fn take(&self) -> BTreeMap<String, Tally> {
        std::mem::take(&mut *self.tallies.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "Calls"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(operation) = config.load::<Metadata>() else { return Ok(()) };
        let failed = matches!(context.output_or_error(), None | Some(Err(_)));
        let status = context.response().map(|response| response.status().as_u16());
        let body = context.response().and_then(|response| response.body().bytes()).unwrap_or_default();
        let contains = |code: &&str| body.windows(code.len()).any(|part| part == code.as_bytes());
        let throttled = failed && (status == Some(429) || THROTTLES.iter().any(contains));
        let name = format!("{}:{}", operation.service(), operation.name());
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(name).or_default();
        tally.calls += 1;
        tally.throttles += u64::from(throttled);
        tally.failures += u64::from(failed && !throttled);
        Ok(())
    }
}

/// Parts of the error codes of throttled calls, in the responses of every protocol.
const THROTTLES: [&str; 5] =
    ["Throttl", "RequestLimitExceeded", "TooManyRequests", "SlowDown", "CallRateLimitExceeded"];
