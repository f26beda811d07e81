//! The AWS clients of the stages.
//!
//! Stages use the SDK's clients directly. Tests and rehearsals replace the HTTP connector or the endpoint only, so that
//! signing, serialization, retries and error parsing always run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_credential_types::Credentials;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use secrecy::{ExposeSecret, SecretString};

pub mod auto_scaling;
pub mod calls;
pub mod ecr;
pub mod environment;
pub mod error;
pub mod http;

pub use calls::{Calls, Tally};
pub use environment::{Environment, EnvironmentError, Environments};
pub use error::{AwsError, Class, ServiceError};

/// Clients for all services, with the credentials of one identity, in one region.
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
    /// Clients without retries, for calls that have no client token: a retry could create a resource twice. A step
    /// first looks for the resource and adopts it.
    pub once: NoRetryClients,
    /// Counts the calls of these clients.
    pub calls: Calls,
    config: SdkConfig,
    regional: Arc<Mutex<Regional>>,
}

/// Clients in other regions, by region.
#[derive(Debug, Default)]
struct Regional {
    all: BTreeMap<String, Aws>,
    ec2: BTreeMap<String, aws_sdk_ec2::Client>,
    ecr: BTreeMap<String, aws_sdk_ecr::Client>,
    ebs: BTreeMap<String, aws_sdk_ebs::Client>,
}

/// Attempts to read a block of a snapshot.
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
        Self::build(config, Calls::default())
    }

    /// Clients with other credentials and, if given, in another region. Their calls count with ours.
    #[must_use]
    pub fn with_credentials(&self, credentials: Credentials, region: Option<&str>) -> Self {
        let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
        let mut config = self.config.clone().into_builder().credentials_provider(provider);
        if let Some(region) = region {
            config = config.region(aws_types::region::Region::new(region.to_owned()));
        }
        Self::build(&config.build(), self.calls.clone())
    }

    fn build(config: &SdkConfig, calls: Calls) -> Self {
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
            regional: Arc::default(),
        }
    }

    /// The same identity in another region.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Self {
        if region == self.region() {
            return self.clone();
        }
        self.regional(region, |regional| &mut regional.all, |config| Self::build(&config, self.calls.clone()))
    }

    /// EC2 in another region, with the same credentials.
    #[must_use]
    pub fn ec2_in(&self, region: &str) -> aws_sdk_ec2::Client {
        if region == self.region() {
            return self.ec2.clone();
        }
        self.regional(
            region,
            |regional| &mut regional.ec2,
            |config| {
                let config = aws_sdk_ec2::config::Builder::from(&config);
                aws_sdk_ec2::Client::from_conf(config.interceptor(self.calls.clone()).build())
            },
        )
    }

    /// ECR in another region, with the same credentials.
    #[must_use]
    pub fn ecr_in(&self, region: &str) -> aws_sdk_ecr::Client {
        if region == self.region() {
            return self.ecr.clone();
        }
        self.regional(
            region,
            |regional| &mut regional.ecr,
            |config| {
                let config = aws_sdk_ecr::config::Builder::from(&config);
                aws_sdk_ecr::Client::from_conf(config.interceptor(self.calls.clone()).build())
            },
        )
    }

    /// The EBS direct APIs in a region, with the same credentials.
    #[must_use]
    pub fn ebs_in(&self, region: &str) -> aws_sdk_ebs::Client {
        self.regional(
            region,
            |regional| &mut regional.ebs,
            |config| {
                // Parallel reads are throttled: retry each one instead of failing all.
                let retries = RetryConfig::standard().with_max_attempts(BLOCK_ATTEMPTS);
                let config = aws_sdk_ebs::config::Builder::from(&config).retry_config(retries);
                aws_sdk_ebs::Client::from_conf(config.interceptor(self.calls.clone()).build())
            },
        )
    }

    /// The client of a region from the cache, or a new one.
    fn regional<C: Clone>(
        &self,
        region: &str,
        cache: impl Fn(&mut Regional) -> &mut BTreeMap<String, C>,
        create: impl FnOnce(SdkConfig) -> C,
    ) -> C {
        let mut regional = self.regional.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = cache(&mut regional).get(region) {
            return client.clone();
        }
        let client = create(self.config_in(region));
        cache(&mut regional).insert(region.to_owned(), client.clone());
        client
    }

    fn config_in(&self, region: &str) -> SdkConfig {
        let region = aws_types::region::Region::new(region.to_owned());
        self.config.clone().into_builder().region(region).build()
    }

    /// The region of the clients.
    #[must_use]
    pub fn region(&self) -> &str {
        self.config.region().map_or("", aws_types::region::Region::as_ref)
    }

    /// S3 for the artifacts of one job, created on first use.
    #[must_use]
    pub fn artifacts_of(&self, credentials: Option<ArtifactCredentials>) -> Artifacts {
        Artifacts { aws: self.clone(), credentials, client: Arc::default() }
    }

    /// S3 with the artifact credentials of a job, or with the own credentials of the worker if there are none.
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

/// S3 with the artifact credentials of one job.
///
/// The client is created on first use: many slices use no artifact, and a client costs as much as several calls.
#[derive(Clone, Debug)]
pub struct Artifacts {
    aws: Aws,
    credentials: Option<ArtifactCredentials>,
    client: Arc<OnceLock<aws_sdk_s3::Client>>,
}

impl Artifacts {
    #[must_use]
    pub fn client(&self) -> &aws_sdk_s3::Client {
        self.client.get_or_init(|| self.aws.artifacts(self.credentials.as_ref()))
    }
}

/// Temporary credentials for the artifacts of one job. They are used for nothing else.
#[derive(Clone, Debug)]
pub struct ArtifactCredentials {
    pub access_key_id: SecretString,
    pub secret_access_key: SecretString,
    pub session_token: SecretString,
}
