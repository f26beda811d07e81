//! As whom a command acts in AWS, in whose name it signs, and whom it believes.

use std::path::PathBuf;
use std::time::Duration;

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader};

use super::exit::CliError;
use crate::aws::{Aws, Environments};
use crate::engine::Clock;
use crate::engine::clock::Mapping;
use crate::engine::error::with_causes;
use crate::evidence::{KeySource, TrustRoot};
use crate::stage::Authority;

/// How long a connection may take to be made, and a body may stand still, before the call is tried again: the SDK's own
/// values, of the machine's time. On a clock that runs 1200 times as fast, the SDK would give a body 17 ms.
const CONNECT: Duration = Duration::from_millis(3_100);
const STALL: Duration = Duration::from_secs(20);
/// How long an answer may take to begin. The SDK would wait for ever: a poll whose connection died without a word would
/// keep its slots, and its stage would not be polled again.
const ANSWER: Duration = Duration::from_mins(1);

/// What the SDK finds in the environment, with the time of `clock` and an end to every wait for the network.
fn patient(clock: &Clock) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(clock.from_machine_time(CONNECT))
        .operation_attempt_timeout(clock.from_machine_time(ANSWER));
    let stall = StalledStreamProtectionConfig::enabled().grace_period(clock.from_machine_time(STALL));
    aws_config::defaults(BehaviorVersion::latest())
        .time_source(clock.time_source())
        .sleep_impl(clock.sleep_impl())
        .timeout_config(timeouts.build())
        .stalled_stream_protection(stall.build())
}

/// Arguments of every command that works on jobs in AWS.
#[derive(Clone, Debug, clap::Args)]
pub struct Identity {
    /// Who signs: `kms:ARN`, `secretsmanager:ARN` or `file:PATH`
    #[arg(long, value_name = "KEY", env = "BAKELINE_SIGNING_KEY")]
    signing_key: Option<String>,
    /// Who is believed: the trust root
    #[arg(long, value_name = "FILE", env = "BAKELINE_TRUST")]
    trust: Option<PathBuf>,
    /// The environments that releases may name, with their roles: a file of the worker's own
    #[arg(long, value_name = "FILE", env = "BAKELINE_ENVIRONMENTS")]
    environments: Option<PathBuf>,
    /// Live in the virtual time that `bakeline rehearse --listen` prints
    #[arg(long, value_name = "CLOCK", env = "BAKELINE_TEST_CLOCK", hide = true)]
    clock: Option<Mapping>,
}

impl Identity {
    /// The clock of everything the command does.
    pub fn clock(&self) -> Clock {
        self.clock.map_or_else(Clock::system, Clock::mapped)
    }

    /// Clients under the identity that the SDK finds in the environment.
    pub async fn aws(clock: &Clock) -> Aws {
        Aws::new(&patient(clock).load().await)
    }

    /// Where the signing key is; none if none was given.
    ///
    /// # Errors
    /// What was given names no key.
    pub fn key_source(&self) -> Result<Option<KeySource>, CliError> {
        let Some(source) = self.signing_key.as_deref() else { return Ok(None) };
        let source = source.parse().map_err(|error: crate::evidence::key_source::KeySourceError| {
            CliError::usage(with_causes(&error), "")
        })?;
        Ok(Some(source))
    }

    /// The trust root; none if none was given.
    ///
    /// # Errors
    /// The file is not one.
    pub fn trust_root(&self) -> Result<Option<TrustRoot>, CliError> {
        let Some(path) = &self.trust else { return Ok(None) };
        TrustRoot::from_file(path).map(Some).map_err(|error| CliError::data(with_causes(&error), ""))
    }

    /// The environments that releases may name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn environments(&self) -> Result<Environments, CliError> {
        let Some(path) = &self.environments else { return Ok(Environments::default()) };
        Environments::from_file(path).map_err(|error| CliError::data(with_causes(&error), ""))
    }

    /// The signer and the trust root.
    ///
    /// # Errors
    /// One of them was not given or cannot be used.
    pub async fn authority(&self, aws: &Aws) -> Result<Authority, CliError> {
        let trust = self.trust_root()?.ok_or_else(|| {
            CliError::usage(
                "no trust root was given",
                "add --trust FILE; it lists the public keys that are believed",
            )
        })?;
        let source = self.key_source()?.ok_or_else(|| {
            CliError::usage(
                "no signing key was given",
                "add --signing-key kms:ARN, secretsmanager:ARN or file:PATH",
            )
        })?;
        let signer = source.open(&aws.kms, &aws.secretsmanager).await.map_err(|error| {
            CliError::unavailable(with_causes(&error), "the signing key must be a P-256 key that can be used")
        })?;
        Ok(Authority { signer, trust })
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

    use super::*;
    use crate::aws::{AwsError, Class};

    #[derive(Debug)]
    struct Silent;

    impl HttpConnector for Silent {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            HttpConnectorFuture::new(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_never_answered_ends_and_may_be_tried_again() {
        let clock = Clock::tokio(std::time::UNIX_EPOCH);
        let config = patient(&clock)
            .http_client(http_client_fn(|_, _| SharedHttpConnector::new(Silent)))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .region("eu-west-1");
        let aws = Aws::new(&config.load().await);
        let error = aws.codepipeline.get_job_details().job_id("a").send().await.unwrap_err();
        let error = AwsError::new("codepipeline:GetJobDetails", "a", error);
        assert_eq!(error.class, Class::Transient, "{error}");
        let took = clock.now().since(crate::engine::Timestamp(0));
        assert!(took < Duration::from_mins(5), "{took:?}");
    }
}
