//! AWS clients, environments, signing key and trust root of a command.

use std::time::Duration;

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader};

use super::config_source::ConfigSource;
use super::exit::{CliError, Message};
use crate::aws::{Aws, Environments, environment};
use crate::engine::Clock;
use crate::engine::clock::Mapping;
use crate::evidence::{KeySource, TrustRoot, key_source, trust};
use crate::stage::Authority;

/// Timeout of a connection, in the machine's time: the SDK's default. The SDK counts in the time of the clock, and a
/// rehearsal's clock may run 1200 times as fast.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);
/// Timeout of a body without progress, in the machine's time: the SDK's default.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Timeout of one attempt of a call. The SDK has none by default: a poll on a dead connection would keep its slots, and
/// the worker would not poll that stage again.
const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(1);

/// The SDK configuration of the process environment, with the time of `clock` and a timeout for every call.
fn sdk_config(clock: &Clock) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(clock.from_machine_time(CONNECT_TIMEOUT))
        .operation_attempt_timeout(clock.from_machine_time(ATTEMPT_TIMEOUT));
    let stall = StalledStreamProtectionConfig::enabled().grace_period(clock.from_machine_time(STALL_TIMEOUT));
    aws_config::defaults(BehaviorVersion::latest())
        .time_source(clock.time_source())
        .sleep_impl(clock.sleep_impl())
        .http_client(crate::aws::http::client())
        .timeout_config(timeouts.build())
        .stalled_stream_protection(stall.build())
}

/// Arguments of every command that acts in AWS.
#[derive(Clone, Debug, clap::Args)]
pub struct Identity {
    /// The environments that releases may name, with their roles: `file:PATH` or `ssm:NAME`
    #[arg(long, value_name = "SOURCE", env = "BAKELINE_ENVIRONMENTS")]
    environments: Option<ConfigSource>,
    /// Live in the virtual time that `bakeline serve-aws` prints
    #[arg(long, value_name = "CLOCK", env = "BAKELINE_TEST_CLOCK", hide = true)]
    clock: Option<Mapping>,
}

/// Arguments of every command that signs statements and verifies them.
#[derive(Clone, Debug, clap::Args)]
pub struct Keys {
    /// The key that signs: `kms:KEY`, `secretsmanager:ARN` or `file:PATH`
    #[arg(long, value_name = "KEY", env = "BAKELINE_SIGNING_KEY")]
    signing_key: Option<String>,
    /// The trust root, the public keys that are trusted: `file:PATH` or `ssm:NAME`
    #[arg(long, value_name = "SOURCE", env = "BAKELINE_TRUST")]
    trust: Option<ConfigSource>,
}

impl Identity {
    /// The clock of the command.
    pub fn clock(&self) -> Clock {
        self.clock.map_or_else(Clock::system, Clock::mapped)
    }

    /// Clients with the credentials of the process environment.
    pub async fn aws(clock: &Clock) -> Aws {
        Aws::new(&sdk_config(clock).load().await)
    }

    /// The environments that releases may name; none without `--environments`.
    ///
    /// # Errors
    /// The file or the parameter cannot be read, or has mistakes.
    pub async fn environments(&self, aws: &Aws) -> Result<Environments, CliError> {
        let Some(source) = &self.environments else { return Ok(Environments::default()) };
        let text = source.read(aws, environment::MAX_BYTES, "file of environments").await?;
        Environments::parse(&text).map_err(|error| {
            CliError::data(format!("{source} is not a file of environments"), "see docs/operations.md")
                .caused_by(&error)
        })
    }
}

impl Keys {
    /// The reference to the signing key, if one was given.
    ///
    /// # Errors
    /// The text is not a reference to a key.
    pub fn key_source(&self) -> Result<Option<KeySource>, CliError> {
        let Some(source) = self.signing_key.as_deref() else { return Ok(None) };
        let source = source.parse();
        source.map(Some).map_err(|error: key_source::KeySourceError| CliError::usage(Message::of(&error), ""))
    }

    /// The trust root, if one was given.
    ///
    /// # Errors
    /// The file or the parameter cannot be read, or has mistakes.
    pub async fn trust_root(&self, aws: &Aws) -> Result<Option<TrustRoot>, CliError> {
        let Some(source) = &self.trust else { return Ok(None) };
        let text = source.read(aws, trust::MAX_TRUST_ROOT_BYTES, "trust root").await?;
        parse_trust(source, &text).map(Some)
    }

    /// The signer and the trust root.
    ///
    /// # Errors
    /// One of them is missing or cannot be used.
    pub async fn authority(&self, aws: &Aws) -> Result<Authority, CliError> {
        let trust = self.trust_root(aws).await?.ok_or_else(|| {
            CliError::usage("no trust root was given", "add --trust `file:PATH` or `ssm:NAME`")
        })?;
        let source = self.key_source()?.ok_or_else(|| {
            CliError::usage(
                "no signing key was given",
                "add --signing-key `kms:KEY`, `secretsmanager:ARN` or `file:PATH`",
            )
        })?;
        let signer = source.open(&aws.kms, &aws.secretsmanager).await.map_err(|error| {
            CliError::unavailable(
                "the signing key cannot be used",
                "use an enabled key on P-256 (ECC_NIST_P256)",
            )
            .caused_by(&error)
        })?;
        Ok(Authority { signer, trust })
    }
}

/// Reads a trust root from its text.
///
/// # Errors
/// The text has mistakes.
pub fn parse_trust(source: &ConfigSource, text: &str) -> Result<TrustRoot, CliError> {
    TrustRoot::parse(text).map_err(|error| {
        CliError::data(format!("{source} is not a trust root"), "docs/predicates.md shows one")
            .caused_by(&error)
    })
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
    async fn a_call_without_a_response_times_out_as_a_transient_error() {
        let clock = Clock::tokio(std::time::UNIX_EPOCH);
        let config = sdk_config(&clock)
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
