//! The bundle of SDK clients, and what AWS's errors mean to us.
//!
//! The clients are used as they are. The seam for tests and rehearsals is the SDK's HTTP connector and endpoint,
//! so that signing, serialisation, retries and error parsing run everywhere.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::FinalizerInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use secrecy::{ExposeSecret, SecretString};

pub mod auto_scaling;
pub mod ecr;
pub mod environment;

pub use environment::{Environment, EnvironmentError, Environments};

/// Clients of every service a stage calls, under one identity in one region.
#[derive(Clone, Debug)]
pub struct Aws {
    pub autoscaling: aws_sdk_autoscaling::Client,
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    pub codepipeline: aws_sdk_codepipeline::Client,
    pub ec2: aws_sdk_ec2::Client,
    pub ecr: aws_sdk_ecr::Client,
    pub ecs: aws_sdk_ecs::Client,
    pub elbv2: aws_sdk_elasticloadbalancingv2::Client,
    pub imagebuilder: aws_sdk_imagebuilder::Client,
    pub kms: aws_sdk_kms::Client,
    pub lambda: aws_sdk_lambda::Client,
    pub secretsmanager: aws_sdk_secretsmanager::Client,
    pub securityhub: aws_sdk_securityhub::Client,
    pub ssm: aws_sdk_ssm::Client,
    pub sts: aws_sdk_sts::Client,
    /// Clients that send a request once: for calls that take no client token, where a second try by the SDK
    /// could act twice. A step looks first and adopts instead.
    pub once: NoRetryClients,
    /// What was called through these clients.
    pub calls: Calls,
    config: SdkConfig,
}

/// Attempts at one operation since they were last asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub calls: u64,
    pub throttles: u64,
    /// Attempts that AWS refused or did not answer, throttles not included.
    pub failures: u64,
}

/// Counts every attempt at every operation, the SDK's own retries included.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    tallies: Arc<Mutex<BTreeMap<String, Tally>>>,
}

impl Calls {
    /// What was counted since the last time, by `Service:Operation`.
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
        let body = context.response().and_then(|answer| answer.body().bytes()).unwrap_or_default();
        let throttled = failed
            && THROTTLES.iter().any(|code| body.windows(code.len()).any(|part| part == code.as_bytes()));
        let name = format!("{}:{}", operation.service(), operation.name());
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(name).or_default();
        tally.calls += 1;
        tally.throttles += u64::from(throttled);
        tally.failures += u64::from(failed && !throttled);
        Ok(())
    }
}

/// What the error codes of throttled calls have in common, in every protocol's answer.
const THROTTLES: [&str; 5] =
    ["Throttl", "RequestLimitExceeded", "TooManyRequests", "SlowDown", "CallRateLimitExceeded"];

/// How often a block is asked for before its reading fails.
const BLOCK_ATTEMPTS: u32 = 8;

/// See [`Aws::once`].
#[derive(Clone, Debug)]
pub struct NoRetryClients {
    pub autoscaling: aws_sdk_autoscaling::Client,
    pub ec2: aws_sdk_ec2::Client,
    pub ecr: aws_sdk_ecr::Client,
    pub ecs: aws_sdk_ecs::Client,
    pub elbv2: aws_sdk_elasticloadbalancingv2::Client,
    pub ssm: aws_sdk_ssm::Client,
}

impl Aws {
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self::counted(config, Calls::default())
    }

    /// Clients with other credentials, and in another region if one is given. What they call is counted with ours.
    #[must_use]
    pub fn acting(&self, credentials: Credentials, region: Option<&str>) -> Self {
        let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
        let mut config = self.config.clone().into_builder().credentials_provider(provider);
        if let Some(region) = region {
            config = config.region(aws_types::region::Region::new(region.to_owned()));
        }
        Self::counted(&config.build(), self.calls.clone())
    }

    fn counted(config: &SdkConfig, calls: Calls) -> Self {
        let once = config.clone().into_builder().retry_config(RetryConfig::disabled()).build();
        macro_rules! client {
            ($service:ident, $config:expr) => {
                $service::Client::from_conf(
                    $service::config::Builder::from($config).interceptor(calls.clone()).build(),
                )
            };
        }
        Self {
            autoscaling: client!(aws_sdk_autoscaling, config),
            cloudwatch: client!(aws_sdk_cloudwatch, config),
            codepipeline: client!(aws_sdk_codepipeline, config),
            ec2: client!(aws_sdk_ec2, config),
            ecr: client!(aws_sdk_ecr, config),
            ecs: client!(aws_sdk_ecs, config),
            elbv2: client!(aws_sdk_elasticloadbalancingv2, config),
            imagebuilder: client!(aws_sdk_imagebuilder, config),
            kms: client!(aws_sdk_kms, config),
            lambda: client!(aws_sdk_lambda, config),
            secretsmanager: client!(aws_sdk_secretsmanager, config),
            securityhub: client!(aws_sdk_securityhub, config),
            ssm: client!(aws_sdk_ssm, config),
            sts: client!(aws_sdk_sts, config),
            once: NoRetryClients {
                autoscaling: client!(aws_sdk_autoscaling, &once),
                ec2: client!(aws_sdk_ec2, &once),
                ecr: client!(aws_sdk_ecr, &once),
                ecs: client!(aws_sdk_ecs, &once),
                elbv2: client!(aws_sdk_elasticloadbalancingv2, &once),
                ssm: client!(aws_sdk_ssm, &once),
            },
            config: config.clone(),
            calls,
        }
    }

    /// The same clients in another region, under the same identity.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Self {
        if region == self.region() {
            return self.clone();
        }
        Self::counted(&self.config_in(region), self.calls.clone())
    }

    /// EC2 in another region, under the same identity.
    #[must_use]
    pub fn ec2_in(&self, region: &str) -> aws_sdk_ec2::Client {
        let config = aws_sdk_ec2::config::Builder::from(&self.config_in(region));
        aws_sdk_ec2::Client::from_conf(config.interceptor(self.calls.clone()).build())
    }

    /// ECR in another region, under the same identity.
    #[must_use]
    pub fn ecr_in(&self, region: &str) -> aws_sdk_ecr::Client {
        let config = aws_sdk_ecr::config::Builder::from(&self.config_in(region));
        aws_sdk_ecr::Client::from_conf(config.interceptor(self.calls.clone()).build())
    }

    /// The EBS direct API in another region, under the same identity.
    #[must_use]
    pub fn ebs_in(&self, region: &str) -> aws_sdk_ebs::Client {
        // Many reads at a time meet the account's rate: each waits for its turn rather than to let all others go.
        let patient = RetryConfig::standard().with_max_attempts(BLOCK_ATTEMPTS);
        let config = aws_sdk_ebs::config::Builder::from(&self.config_in(region)).retry_config(patient);
        aws_sdk_ebs::Client::from_conf(config.interceptor(self.calls.clone()).build())
    }

    fn config_in(&self, region: &str) -> SdkConfig {
        let region = aws_types::region::Region::new(region.to_owned());
        self.config.clone().into_builder().region(region).build()
    }

    /// The region the clients call.
    #[must_use]
    pub fn region(&self) -> &str {
        self.config.region().map_or("", aws_types::region::Region::as_ref)
    }

    /// S3 for the artifacts of one job, made when it is first needed.
    #[must_use]
    pub fn artifacts_of(&self, credentials: Option<ArtifactCredentials>) -> Artifacts {
        Artifacts { aws: self.clone(), credentials, made: Arc::default() }
    }

    /// S3 under the job's artifact credentials. They are used for artifact objects and nothing else.
    #[must_use]
    pub fn artifacts(&self, credentials: Option<&ArtifactCredentials>) -> aws_sdk_s3::Client {
        let mut config = aws_sdk_s3::config::Builder::from(&self.config).interceptor(self.calls.clone());
        if let Some(c) = credentials {
            config = config.credentials_provider(Credentials::new(
                c.access_key_id.expose_secret(),
                c.secret_access_key.expose_secret(),
                Some(c.session_token.expose_secret().to_owned()),
                None,
                "CodePipeline job",
            ));
        }
        aws_sdk_s3::Client::from_conf(config.build())
    }
}

/// S3 under one job's artifact credentials. A client costs as much as several calls, so none is made for a job that
/// ends without touching an artifact.
#[derive(Clone, Debug)]
pub struct Artifacts {
    aws: Aws,
    credentials: Option<ArtifactCredentials>,
    made: Arc<OnceLock<aws_sdk_s3::Client>>,
}

impl Artifacts {
    #[must_use]
    pub fn client(&self) -> &aws_sdk_s3::Client {
        self.made.get_or_init(|| self.aws.artifacts(self.credentials.as_ref()))
    }
}

/// Minutes-long credentials for artifact objects and nothing else.
#[derive(Clone, Debug)]
pub struct ArtifactCredentials {
    pub access_key_id: SecretString,
    pub secret_access_key: SecretString,
    pub session_token: SecretString,
}

/// What an AWS error means for what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No answer, or a fault on AWS's side: the call may or may not have been applied.
    Transient,
    /// Too many calls: nothing was applied.
    Throttled,
    /// The thing named does not exist, or not yet.
    Missing,
    /// The caller may not.
    Denied,
    /// The caller's temporary credentials have run out.
    ExpiredCredentials,
    /// Something else is in the way, or the call was made before with other parameters.
    Conflict,
    /// The request is not one AWS accepts.
    Invalid,
    Other,
}

impl Class {
    #[must_use]
    pub fn is_transient(self) -> bool {
        match self {
            Self::Transient | Self::Throttled | Self::ExpiredCredentials => true,
            Self::Missing | Self::Denied | Self::Conflict | Self::Invalid | Self::Other => false,
        }
    }

    /// The class of a call that did not succeed.
    #[must_use]
    pub fn of_error<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Self {
        match error {
            SdkError::ServiceError(answer) => answer.err().code().map_or(Self::Transient, Self::of_code),
            SdkError::ConstructionFailure(_) => Self::Invalid,
            _ => Self::Transient,
        }
    }

    /// The class of an error code, as the services spell them.
    #[must_use]
    pub fn of_code(code: &str) -> Self {
        match code {
            "InternalFailure"
            | "InternalError"
            | "InternalServerError"
            | "InternalServiceError"
            | "ServerException"
            | "InternalException"
            | "ServiceException"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "Unavailable"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "ResourceContention"
            | "ResourceContentionFault"
            | "KMSInternalException"
            | "DependencyTimeoutException"
            | "ConcurrentModificationException" => Self::Transient,
            "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "CallRateLimitExceededException"
            | "SlowDown"
            | "TooManyUpdates"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "EC2ThrottledException"
            | "LimitExceededException.Rate"
            | "PriorRequestNotComplete"
            | "BandwidthLimitExceeded" => Self::Throttled,
            "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => Self::ExpiredCredentials,
            "AccessDenied"
            | "AccessDeniedException"
            | "UnauthorizedOperation"
            | "AuthFailure"
            | "OptInRequired"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "ForbiddenException"
            | "SignatureDoesNotMatch" => Self::Denied,
            _ if code.contains("NotFound") || code.contains("DoesNotExist") || code.starts_with("NoSuch") => {
                Self::Missing
            }
            _ if code.contains("InUse")
                || code.contains("InProgress")
                || code.contains("AlreadyExists")
                || code.contains("Conflict")
                || code.contains("Mismatch") =>
            {
                Self::Conflict
            }
            _ if code.contains("Validation")
                || code.contains("InvalidParameter")
                || code.starts_with("Malformed")
                || code.starts_with("Missing")
                || code.starts_with("Invalid") =>
            {
                Self::Invalid
            }
            _ => Self::Other,
        }
    }
}

/// An AWS call that did not succeed: what was asked of what, and what came back.
#[derive(Debug, thiserror::Error)]
#[error("{call} of {thing}: {detail}{}", hint(.class))]
pub struct AwsError {
    /// `service:Operation`, as IAM names it.
    pub call: &'static str,
    pub thing: String,
    pub class: Class,
    /// AWS's own code, when it answered.
    pub code: Option<String>,
    detail: String,
    #[source]
    source: Box<dyn StdError + Send + Sync>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "a format argument is a reference")]
fn hint(class: &Class) -> &'static str {
    match class {
        Class::Denied => " (give the worker's role this permission)",
        Class::Transient
        | Class::Throttled
        | Class::Missing
        | Class::ExpiredCredentials
        | Class::Conflict
        | Class::Invalid
        | Class::Other => "",
    }
}

impl AwsError {
    /// Names a failed call. `call` is spelled as IAM spells it: `ec2:RunInstances`.
    pub fn new<E, R>(call: &'static str, thing: impl Into<String>, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let class = Class::of_error(&error);
        let (code, detail) = match &error {
            SdkError::ServiceError(answer) => {
                let code = answer.err().code().map(str::to_owned);
                let message = answer.err().message().unwrap_or("no message");
                let detail = format!("{}: {message}", code.as_deref().unwrap_or("unknown error"));
                (code, detail)
            }
            SdkError::ConstructionFailure(_) => (None, "the request could not be built".to_owned()),
            SdkError::TimeoutError(_) => (None, "no answer in time".to_owned()),
            SdkError::DispatchFailure(_) => (None, "the connection failed".to_owned()),
            SdkError::ResponseError(_) => (None, "the answer could not be read".to_owned()),
            _ => (None, "the call failed".to_owned()),
        };
        Self { call, thing: thing.into(), class, code, detail, source: Box::new(error) }
    }

    /// An answer that lacks what it must have: like none.
    pub fn unanswered(call: &'static str, thing: impl Into<String>, detail: &'static str) -> Self {
        let class = Class::Transient;
        Self {
            call,
            thing: thing.into(),
            class,
            code: None,
            detail: detail.to_owned(),
            source: detail.into(),
        }
    }

    /// Whether AWS answered with this code.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}
