//! Environments: roles in other accounts that stages act in, and clients with the credentials of these roles.
//!
//! A release names an environment. The worker's own file of environments says which role that is, and which pipelines
//! and stages may use it: a person who can push code to the source must not be able to choose a role.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::Credentials;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Aws, AwsError};
use crate::evidence::Stage;

/// The longest file of environments that is read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;
/// The version of the format of the file.
const VERSION: u32 = 1;
/// How many sessions keep their clients for the next slice; the least recently used one is dropped first.
const CACHED: usize = 128;
/// The duration of a session, in seconds: the longest that STS allows when a role assumes another role.
const SESSION: i32 = 3600;
/// A session that expires within this time, in seconds, is replaced: a slice ends long before.
const MARGIN: i64 = 15 * 60;

/// A role that stages may act in, and who may use it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The name that a release spec uses: 1 to 32 of a-z, 0-9 and -.
    pub name: String,
    /// The role's ARN, such as `arn:aws:iam::123456789012:role/bakeline/production`.
    pub role: String,
    /// The external id that the role's trust policy requires.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The Region of the clients; without one, the worker's.
    #[serde(default)]
    pub region: Option<String>,
    /// The pipelines and stages that may use the environment.
    pub allow: Allow,
}

/// The pipelines and stages that may use an environment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// Names of pipelines; * alone is every pipeline.
    pub pipelines: Vec<String>,
    /// Stages: bake, test, promote, cleanup.
    #[schemars(with = "Vec<String>", extend("items" = {"enum": ["bake", "test", "promote", "cleanup"]}))]
    pub stages: Vec<Stage>,
}

/// Why a stage cannot act in an environment.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// The file cannot be read.
    #[error("the file of environments {path} cannot be read")]
    File {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Longer than [`MAX_BYTES`].
    #[error("the file of environments is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Not YAML or JSON with the members of such a file.
    #[error("the file of environments cannot be read: {0}")]
    Shape(String),
    /// Another version of the format.
    #[error("the file of environments has version {0}, expected {VERSION}")]
    Version(u32),
    /// Two environments with the same name.
    #[error("the file of environments has two environments named `{0}`")]
    Twice(String),
    /// A member with a value that is not allowed.
    #[error("environment `{name}`: {member} is `{found}`, expected {expected}")]
    Member {
        /// The environment's name.
        name: String,
        /// The member.
        member: &'static str,
        /// Its value.
        found: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// The file has no environment of this name.
    #[error("the worker has no environment `{0}`; add it to the worker's file of environments")]
    Unknown(String),
    /// The pipeline may not use the environment.
    #[error(
        "the pipeline {pipeline} may not use the environment `{name}`; add the pipeline to the environment's \
         `allow.pipelines` in the worker's file of environments"
    )]
    PipelineNotAllowed {
        /// The environment's name.
        name: String,
        /// The pipeline's name.
        pipeline: String,
    },
    /// The stage may not use the environment.
    #[error(
        "the stage {stage} may not use the environment `{name}`; add the stage to the environment's `allow.stages` in \
         the worker's file of environments"
    )]
    StageNotAllowed {
        /// The environment's name.
        name: String,
        /// The stage.
        stage: Stage,
    },
    /// STS refused the role, or did not answer.
    #[error(transparent)]
    Assume(#[from] AwsError),
}

/// The environments of a worker, and the clients of their latest sessions.
#[derive(Clone, Debug, Default)]
pub struct Environments {
    all: Arc<Vec<Environment>>,
    sessions: Arc<Mutex<Vec<Session>>>,
}

/// The clients of one session.
#[derive(Debug)]
struct Session {
    environment: String,
    name: String,
    /// Seconds since the Unix epoch.
    expires: i64,
    aws: Aws,
}

/// The file of environments: the roles that releases may name.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "bakeline environments")]
struct File {
    /// The version of this format.
    #[schemars(extend("const" = 1))]
    version: u32,
    /// The environments.
    environments: Vec<Environment>,
}

/// The JSON Schema of the file of environments.
#[must_use]
pub fn schema() -> serde_json::Value {
    let generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<File>();
    schema.insert("$id".to_owned(), "https://bakeline.dev/schema/environments/v1".into());
    let mut schema = schema.to_value();
    crate::json_schema::remove_extensions(&mut schema);
    schema
}

impl Environments {
    /// Environments from a list, without checks.
    #[must_use]
    pub fn new(all: Vec<Environment>) -> Self {
        Self { all: Arc::new(all), sessions: Arc::default() }
    }

    /// Reads a file of environments.
    ///
    /// # Errors
    /// See [`EnvironmentError`].
    pub fn from_file(path: &Path) -> Result<Self, EnvironmentError> {
        use std::io::Read as _;
        let failed = |source| EnvironmentError::File { path: path.display().to_string(), source };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text).map_err(failed)?;
        Self::parse(&text)
    }

    /// Reads environments from YAML or JSON; `bakeline schema environments` prints the JSON Schema.
    ///
    /// # Errors
    /// Unknown members, values that STS would refuse, or an environment that nobody may use.
    pub fn parse(text: &str) -> Result<Self, EnvironmentError> {
        if text.len() > MAX_BYTES {
            return Err(EnvironmentError::TooLong);
        }
        let options = serde_saphyr::options! { with_snippet: false };
        let file: File = serde_saphyr::from_str_with_options(&crate::text::yaml(text), options)
            .map_err(|error| EnvironmentError::Shape(error.without_snippet().to_string()))?;
        if file.version != VERSION {
            return Err(EnvironmentError::Version(file.version));
        }
        for (index, environment) in file.environments.iter().enumerate() {
            check(environment)?;
            if file.environments.iter().take(index).any(|earlier| earlier.name == environment.name) {
                return Err(EnvironmentError::Twice(environment.name.clone()));
            }
        }
        Ok(Self::new(file.environments))
    }

    /// Clients with the role of the environment `name`, for a stage of a pipeline. The session is valid for a quarter
    /// of an hour or more. `CloudTrail` shows `session` as the caller; `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// The pipeline or the stage may not use the environment, or STS refused or did not answer.
    pub async fn clients(
        &self,
        worker: &Aws,
        name: &str,
        (pipeline, stage): (&str, Stage),
        session: &str,
        now: i64,
    ) -> Result<Aws, EnvironmentError> {
        let environment = self.named(name)?;
        if !environment.allow.pipelines.iter().any(|allowed| allowed == pipeline || allowed == "*") {
            let (name, pipeline) = (name.to_owned(), pipeline.to_owned());
            return Err(EnvironmentError::PipelineNotAllowed { name, pipeline });
        }
        if !environment.allow.stages.contains(&stage) {
            return Err(EnvironmentError::StageNotAllowed { name: name.to_owned(), stage });
        }
        self.enter(worker, environment, session, now).await
    }

    /// As [`Environments::clients`], for a person at the command line: `allow` limits releases, not people. The
    /// role's trust policy decides who may assume it.
    ///
    /// # Errors
    /// There is no such environment, or STS refused or did not answer.
    pub async fn clients_for_person(
        &self,
        home: &Aws,
        name: &str,
        session: &str,
        now: i64,
    ) -> Result<Aws, EnvironmentError> {
        self.enter(home, self.named(name)?, session, now).await
    }

    fn named(&self, name: &str) -> Result<&Environment, EnvironmentError> {
        let found = self.all.iter().find(|environment| environment.name == name);
        found.ok_or_else(|| EnvironmentError::Unknown(name.to_owned()))
    }

    async fn enter(
        &self,
        worker: &Aws,
        environment: &Environment,
        session: &str,
        now: i64,
    ) -> Result<Aws, EnvironmentError> {
        if let Some(aws) = self.cached(&environment.name, session, now) {
            return Ok(aws);
        }
        let (credentials, expires) = assume(worker, environment, session).await?;
        let aws = worker.with_credentials(credentials, environment.region.as_deref());
        let (environment, name) = (environment.name.clone(), session.to_owned());
        self.cache(Session { environment, name, expires, aws: aws.clone() });
        Ok(aws)
    }

    fn cached(&self, environment: &str, name: &str, now: i64) -> Option<Aws> {
        let mut all = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|session| session.environment == environment && session.name == name)?;
        let found = all.remove(at);
        if found.expires.saturating_sub(now) < MARGIN {
            return None;
        }
        let aws = found.aws.clone();
        all.push(found);
        Some(aws)
    }

    fn cache(&self, new: Session) {
        let mut all = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= CACHED {
            all.remove(0);
        }
        all.push(new);
    }
}

async fn assume(
    worker: &Aws,
    environment: &Environment,
    session: &str,
) -> Result<(Credentials, i64), AwsError> {
    const CALL: &str = "sts:AssumeRole";
    let role = &environment.role;
    let call = worker.sts.assume_role().role_arn(role).role_session_name(session);
    let call = call.set_external_id(environment.external_id.clone()).duration_seconds(SESSION);
    let answer = call.send().await.map_err(|error| AwsError::new(CALL, role, error))?;
    let missing = || AwsError::incomplete(CALL, role, "the answer has no credentials");
    let given = answer.credentials.ok_or_else(missing)?;
    let expires = given.expiration.secs();
    let credentials = Credentials::new(
        given.access_key_id,
        given.secret_access_key,
        Some(given.session_token),
        None,
        "environment role",
    );
    Ok((credentials, expires))
}

/// Refuses values that STS would refuse (API reference of `AssumeRole`), and an environment that nobody may use.
fn check(environment: &Environment) -> Result<(), EnvironmentError> {
    let Environment { name, role, external_id, allow, .. } = environment;
    let wrong = |member, found: &str, expected| {
        let (name, found) = (name.clone(), found.to_owned());
        Err(EnvironmentError::Member { name, member, found, expected })
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 32 || !name.chars().all(plain) {
        return wrong("name", name, "1 to 32 of a-z, 0-9 and -");
    }
    if !is_role(role) {
        return wrong("role", role, "arn:aws:iam::ACCOUNT:role/NAME");
    }
    if let Some(id) = external_id {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
        if !(2..=1224).contains(&id.len()) || !id.chars().all(allowed) {
            return wrong("external_id", id, "2 to 1224 letters, digits and _+=,.@:/-");
        }
    }
    if allow.pipelines.is_empty() {
        return wrong("allow.pipelines", "[]", "names of pipelines, or \"*\" for every one");
    }
    if allow.pipelines.len() > 1 && allow.pipelines.iter().any(|name| name == "*") {
        return wrong("allow.pipelines", "* among others", "\"*\" alone");
    }
    if allow.stages.is_empty() {
        return wrong("allow.stages", "[]", "at least one of bake, test, promote, cleanup");
    }
    Ok(())
}

/// Whether a text is the ARN of a role.
fn is_role(arn: &str) -> bool {
    let mut parts = arn.splitn(6, ':');
    let parts: [Option<&str>; 6] = std::array::from_fn(|_| parts.next());
    match parts {
        [Some("arn"), Some(partition), Some("iam"), Some(""), Some(account), Some(role)] => {
            partition.starts_with("aws")
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && role.strip_prefix("role/").is_some_and(|name| !name.is_empty())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../tests/golden/evidence/environments.yaml");

    #[test]
    fn the_golden_file_of_environments_is_read() {
        let environments = Environments::parse(GOOD).unwrap();
        let found = environments.named("production").unwrap();
        assert_eq!(found.role, "arn:aws:iam::111122223333:role/bakeline/production");
        assert_eq!(found.external_id.as_deref(), Some("release-7"));
        assert_eq!(found.region.as_deref(), Some("eu-west-1"));
        assert_eq!(found.allow.pipelines, ["web"]);
        assert_eq!(found.allow.stages, [Stage::Promote, Stage::Cleanup]);
        assert_eq!(environments.named("staging").unwrap().external_id, None);
        assert!(matches!(environments.named("other"), Err(EnvironmentError::Unknown(_))));
    }

    const SCHEMA: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/evidence/environments.schema.json");

    #[test]
    fn the_schema_is_the_golden_one() {
        if std::env::var("BAKELINE_TEST_GOLDEN").as_deref() == Ok("write") {
            std::fs::write(SCHEMA, serde_json::to_vec_pretty(&schema()).unwrap()).unwrap();
        }
        let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(SCHEMA).unwrap()).unwrap();
        assert_eq!(schema(), golden);
    }

    #[test]
    fn a_wrong_value_is_refused_with_the_environment_and_what_is_expected() {
        for (passage, replacement, message) in [
            ("role: arn:aws:iam::111122223333:role/", "role: arn:aws:iam::111122223333:user/", "role is"),
            ("iam::111122223333", "iam::1111", "role is"),
            ("release-7", "x", "external_id is `x`"),
            ("release-7", "\"two words\"", "external_id is `two words`"),
            ("[web]", "[]", "allow.pipelines is `[]`"),
            ("[web]", "[\"*\", web]", "allow.pipelines is `* among others`"),
            ("[promote, cleanup]", "[]", "allow.stages is `[]`"),
            ("[promote, cleanup]", "[deploy]", "cannot be read"),
            ("name: production", "name: Production", "name is `Production`"),
            ("name: production", "name: staging", "two environments named `staging`"),
            ("pipelines:", "pipeline:", "cannot be read"),
            ("version: 1", "version: 2", "has version 2, expected 1"),
            ("version: 1\n", "", "missing field `version`"),
        ] {
            let error = Environments::parse(&GOOD.replace(passage, replacement)).unwrap_err().to_string();
            assert!(error.contains(message), "{replacement}: {error}");
        }
        assert!(matches!(Environments::parse(&" ".repeat(MAX_BYTES + 1)), Err(EnvironmentError::TooLong)));
    }
}
