//! A CodePipeline job, read from the API or from a job document in a file.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::SecretString;
use serde::Deserialize;

use super::key::ExecutionKey;
use crate::artifact::Location;
use crate::aws::ArtifactCredentials;

/// One CodePipeline job: one slice of an action.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: String,
    /// Needed by `AcknowledgeJob`; `GetJobDetails` and job documents do not have it.
    pub nonce: Option<String>,
    pub action_type: ActionType,
    pub configuration: Configuration,
    pub pipeline_arn: String,
    pub key: ExecutionKey,
    pub inputs: Vec<NamedArtifact>,
    pub outputs: Vec<NamedArtifact>,
    pub credentials: Option<ArtifactCredentials>,
    pub continuation_token: Option<String>,
    /// The KMS key for output artifacts; the AWS managed key if `None`.
    pub encryption_key: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActionType {
    pub category: String,
    pub provider: String,
    pub version: String,
}

/// The configuration of the action. `Debug` prints no values: they may be secret.
#[derive(Clone, Default)]
pub struct Configuration(BTreeMap<String, String>);

impl Configuration {
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Configuration {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// An artifact: its name in the pipeline and its location in S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedArtifact {
    pub name: String,
    pub location: Location,
}

/// Why a job document or an API response is not a valid job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// `what` names types of values, never a value: a credential may be in the wrong place.
    #[error("{file}:{line}:{column}: not a CodePipeline job document: {what}")]
    Syntax { file: String, line: usize, column: usize, what: String },
    #[error("{file}: the job document is longer than {max} bytes")]
    TooLarge { file: String, max: usize },
    #[error("{file}: {member} is {value}: expected {expected}")]
    InDocument { file: String, member: &'static str, value: String, expected: &'static str },
    #[error("the job has no {member}; `aws codepipeline get-job-details` prints a complete one")]
    Missing { member: &'static str },
}

impl Job {
    /// The longest job document, in bytes.
    pub const MAX_DOCUMENT: usize = 1024 * 1024;

    /// Parses a job document as `poll-for-jobs` or `get-job-details` prints it: the whole response, its
    /// `jobDetails`, the only job in `jobs`, or the job itself.
    ///
    /// # Errors
    /// [`JobError`] with the line and column of the mistake.
    pub fn from_document(text: &[u8], file: &str) -> Result<Self, JobError> {
        if text.len() > Self::MAX_DOCUMENT {
            return Err(JobError::TooLarge { file: file.to_owned(), max: Self::MAX_DOCUMENT });
        }
        document::read(text, file)
    }

    /// Converts a job from `PollForJobs`.
    ///
    /// # Errors
    /// A required member is missing.
    pub fn from_poll(job: aws_sdk_codepipeline::types::Job) -> Result<Self, JobError> {
        let id = job.id.ok_or(JobError::Missing { member: "id" })?;
        Self::from_data(id, job.nonce, job.data.ok_or(JobError::Missing { member: "data" })?)
    }

    /// Converts a job from `GetJobDetails`.
    ///
    /// # Errors
    /// A required member is missing.
    pub fn from_details(details: aws_sdk_codepipeline::types::JobDetails) -> Result<Self, JobError> {
        let id = details.id.ok_or(JobError::Missing { member: "id" })?;
        Self::from_data(id, None, details.data.ok_or(JobError::Missing { member: "data" })?)
    }

    fn from_data(
        id: String,
        nonce: Option<String>,
        data: aws_sdk_codepipeline::types::JobData,
    ) -> Result<Self, JobError> {
        let missing = |member| JobError::Missing { member };
        let action_type = data.action_type_id.ok_or(missing("data.actionTypeId"))?;
        let context = data.pipeline_context.ok_or(missing("data.pipelineContext"))?;
        let action = context.action.ok_or(missing("data.pipelineContext.action"))?;
        let artifact = |artifact: aws_sdk_codepipeline::types::Artifact| {
            let name = artifact.name.ok_or(missing("the name of an artifact"))?;
            let s3 = artifact
                .location
                .and_then(|at| at.s3_location)
                .ok_or(missing("the location of an artifact"))?;
            Ok(NamedArtifact { name, location: Location { bucket: s3.bucket_name, key: s3.object_key } })
        };
        Ok(Self {
            id,
            nonce,
            action_type: ActionType {
                category: action_type.category.as_str().to_owned(),
                provider: action_type.provider,
                version: action_type.version,
            },
            configuration: data
                .action_configuration
                .and_then(|c| c.configuration)
                .unwrap_or_default()
                .into_iter()
                .collect(),
            pipeline_arn: context.pipeline_arn.ok_or(missing("data.pipelineContext.pipelineArn"))?,
            key: ExecutionKey {
                pipeline: context.pipeline_name.ok_or(missing("data.pipelineContext.pipelineName"))?,
                run_id: context
                    .pipeline_execution_id
                    .ok_or(missing("data.pipelineContext.pipelineExecutionId"))?,
                pipeline_stage: context
                    .stage
                    .and_then(|s| s.name)
                    .ok_or(missing("data.pipelineContext.stage.name"))?,
                action: action.name.ok_or(missing("data.pipelineContext.action.name"))?,
                attempt_id: action
                    .action_execution_id
                    .ok_or(missing("data.pipelineContext.action.actionExecutionId"))?,
            },
            inputs: data
                .input_artifacts
                .unwrap_or_default()
                .into_iter()
                .map(artifact)
                .collect::<Result<_, _>>()?,
            outputs: data
                .output_artifacts
                .unwrap_or_default()
                .into_iter()
                .map(artifact)
                .collect::<Result<_, _>>()?,
            credentials: data.artifact_credentials.map(|c| ArtifactCredentials {
                access_key_id: c.access_key_id.into(),
                secret_access_key: c.secret_access_key.into(),
                session_token: c.session_token.into(),
            }),
            continuation_token: data.continuation_token,
            encryption_key: data.encryption_key.map(|key| key.id),
        })
    }
}

/// The JSON form of a job document. Unknown members are ignored, because AWS adds new ones.
mod document {
    use super::{
        ActionType, ArtifactCredentials, BTreeMap, Deserialize, ExecutionKey, Job, JobError, Location,
        NamedArtifact, SecretString,
    };
    use serde::de::{DeserializeOwned, IgnoredAny};

    /// Tells which response a document is. Each response has a type of its own, so that an error has a line and a
    /// column.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", expecting = "a JSON object")]
    struct Kind {
        job_details: Option<IgnoredAny>,
        jobs: Option<IgnoredAny>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Details {
        job_details: Document,
    }

    #[derive(Deserialize)]
    struct Offered {
        jobs: Vec<Document>,
    }

    /// Parses a document in any of its forms.
    pub fn read(text: &[u8], file: &str) -> Result<Job, JobError> {
        let text = crate::text::bytes_without_bom(text);
        let Kind { job_details, jobs } = parse(text, file)?;
        let document = if job_details.is_some() {
            parse::<Details>(text, file)?.job_details
        } else if jobs.is_some() {
            let mut jobs = parse::<Offered>(text, file)?.jobs;
            let many = jobs.len();
            let Some(job) = jobs.pop().filter(|_| many == 1) else {
                return Err(invalid(file, "jobs", format!("a list of {many}"), "exactly one job"));
            };
            job
        } else {
            parse(text, file)?
        };
        // Both ids become file names and tags.
        for (member, id) in [
            ("id", &document.id),
            ("actionExecutionId", &document.data.pipeline_context.action.action_execution_id),
        ] {
            let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !plain || !(1..=64).contains(&id.len()) {
                let shown: String = id.chars().take(64).collect();
                return Err(invalid(
                    file,
                    member,
                    format!("{shown:?}"),
                    "an id such as 8d3f6a52-1c0e-4b7f-9a64-2f5f0c1d7e11",
                ));
            }
        }
        Ok(document.into_job())
    }

    fn invalid(file: &str, member: &'static str, value: String, expected: &'static str) -> JobError {
        JobError::InDocument { file: file.to_owned(), member, value, expected }
    }

    fn parse<T: DeserializeOwned>(text: &[u8], file: &str) -> Result<T, JobError> {
        serde_json::from_slice(text).map_err(|error| JobError::Syntax {
            file: file.to_owned(),
            line: error.line(),
            column: error.column(),
            what: without_values(&error.to_string()),
        })
    }

    /// The message of serde without the value it found and without the position, which the error has already.
    fn without_values(message: &str) -> String {
        let message = message.rsplit_once(" at line ").map_or(message, |(what, _)| what);
        let found =
            ["invalid type: ", "invalid value: "].into_iter().find_map(|start| message.strip_prefix(start));
        let Some((found, expected)) = found.and_then(|rest| rest.rsplit_once(", expected ")) else {
            return message.to_owned();
        };
        let kind: String = found.chars().take_while(|c| c.is_ascii_alphabetic() || *c == ' ').collect();
        format!("found {}, expected {expected}", kind.trim_end())
    }

    #[derive(Deserialize)]
    struct Document {
        id: String,
        nonce: Option<String>,
        data: Data,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        action_type_id: Type,
        action_configuration: Option<ConfigurationDocument>,
        pipeline_context: Context,
        #[serde(default)]
        input_artifacts: Vec<ArtifactDocument>,
        #[serde(default)]
        output_artifacts: Vec<ArtifactDocument>,
        artifact_credentials: Option<Credentials>,
        continuation_token: Option<String>,
        encryption_key: Option<Key>,
    }

    #[derive(Deserialize)]
    struct Type {
        category: String,
        provider: String,
        version: String,
    }

    #[derive(Deserialize)]
    struct ConfigurationDocument {
        #[serde(default)]
        configuration: BTreeMap<String, String>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Context {
        pipeline_name: String,
        pipeline_arn: String,
        pipeline_execution_id: String,
        stage: Named,
        action: Action,
    }

    #[derive(Deserialize)]
    struct Named {
        name: String,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Action {
        name: String,
        action_execution_id: String,
    }

    #[derive(Deserialize)]
    struct ArtifactDocument {
        name: String,
        location: ArtifactLocation,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ArtifactLocation {
        s3_location: S3Location,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct S3Location {
        bucket_name: String,
        object_key: String,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Credentials {
        access_key_id: SecretString,
        secret_access_key: SecretString,
        session_token: SecretString,
    }

    #[derive(Deserialize)]
    struct Key {
        id: String,
    }

    impl Document {
        fn into_job(self) -> Job {
            let artifact = |artifact: ArtifactDocument| NamedArtifact {
                name: artifact.name,
                location: Location {
                    bucket: artifact.location.s3_location.bucket_name,
                    key: artifact.location.s3_location.object_key,
                },
            };
            let data = self.data;
            let context = data.pipeline_context;
            Job {
                id: self.id,
                nonce: self.nonce,
                action_type: ActionType {
                    category: data.action_type_id.category,
                    provider: data.action_type_id.provider,
                    version: data.action_type_id.version,
                },
                configuration: data
                    .action_configuration
                    .map(|c| c.configuration)
                    .unwrap_or_default()
                    .into_iter()
                    .collect(),
                pipeline_arn: context.pipeline_arn,
                key: ExecutionKey {
                    pipeline: context.pipeline_name,
                    run_id: context.pipeline_execution_id,
                    pipeline_stage: context.stage.name,
                    action: context.action.name,
                    attempt_id: context.action.action_execution_id,
                },
                inputs: data.input_artifacts.into_iter().map(artifact).collect(),
                outputs: data.output_artifacts.into_iter().map(artifact).collect(),
                credentials: data.artifact_credentials.map(|c| ArtifactCredentials {
                    access_key_id: c.access_key_id,
                    secret_access_key: c.secret_access_key,
                    session_token: c.session_token,
                }),
                continuation_token: data.continuation_token,
                encryption_key: data.encryption_key.map(|key| key.id),
            }
        }
    }
}
