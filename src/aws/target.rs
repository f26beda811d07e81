//! Acting in another account: the role behind an alias, and clients under it.
//!
//! A release names a target by an alias only. Which role that is, and which pipelines may use it, stands in the
//! worker's configuration: whoever can push code must not be able to choose a role.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_credential_types::Credentials;
use serde::Deserialize;

use super::{Aws, AwsError};

/// The longest file of targets that is read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;
/// Sets of clients that are kept for the next slice; past this many, the one not used for longest is dropped.
const KEPT: usize = 128;
/// How long a session lasts, in seconds: the longest that a role which was assumed itself may ask for.
const SESSION: i32 = 3600;
/// A session with less than this left, in seconds, is not begun with: a slice is cut off long before.
const MARGIN: i64 = 15 * 60;

/// A role that stages may act as.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `arn:aws:iam::ACCOUNT:role/NAME`.
    pub role_arn: String,
    /// What the role's trust policy asks for.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The region of its clients; the worker's unless given.
    #[serde(default)]
    pub region: Option<String>,
    /// Names of the pipelines whose releases may name it; `*` alone is every one.
    pub pipelines: Vec<String>,
}

/// Why a stage cannot act in a target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("the targets {path} cannot be read: {source}")]
    File { path: String, source: std::io::Error },
    #[error("the file of targets is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("the targets cannot be read: {0}")]
    Shape(String),
    #[error("target `{alias}`: {member} is `{found}`, expected {expected}")]
    Member { alias: String, member: &'static str, found: String, expected: &'static str },
    #[error("this worker does not know the target `{0}`; add it to the worker's file of targets")]
    Unknown(String),
    #[error(
        "the target `{alias}` may not be used by the pipeline {pipeline}; add the pipeline to it in the worker's file \
         of targets"
    )]
    NotForPipeline { alias: String, pipeline: String },
    #[error(transparent)]
    Assume(#[from] AwsError),
}

/// The worker's targets by alias, and the clients under them that were made lately.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    by_alias: Arc<BTreeMap<String, Target>>,
    kept: Arc<Mutex<Vec<Kept>>>,
}

/// Clients of one session.
#[derive(Debug)]
struct Kept {
    alias: String,
    session: String,
    /// Seconds since the Unix epoch.
    expires: i64,
    aws: Aws,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    targets: BTreeMap<String, Target>,
}

impl Targets {
    /// Targets by alias, as they are.
    #[must_use]
    pub fn new(by_alias: BTreeMap<String, Target>) -> Self {
        Self { by_alias: Arc::new(by_alias), kept: Arc::default() }
    }

    /// Reads a file of targets.
    ///
    /// # Errors
    /// It cannot be read or is none.
    pub fn from_file(path: &Path) -> Result<Self, TargetError> {
        use std::io::Read as _;
        let failed = |source| TargetError::File { path: path.display().to_string(), source };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text).map_err(failed)?;
        Self::parse(&text)
    }

    /// Reads targets from YAML or JSON: `targets`, by alias, each with `role_arn`, `pipelines`, and optionally
    /// `external_id` and `region`.
    ///
    /// # Errors
    /// Unknown members, or values that STS would refuse.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text.len() > MAX_BYTES {
            return Err(TargetError::TooLong);
        }
        let options = serde_saphyr::options! { with_snippet: false };
        let wire: Wire = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| TargetError::Shape(error.without_snippet().to_string()))?;
        for (alias, target) in &wire.targets {
            check(alias, target)?;
        }
        Ok(Self::new(wire.targets))
    }

    /// Clients under the role of `alias`, with at least a quarter of an hour before them. `session` is what `CloudTrail`
    /// will call whoever uses them; `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// The alias is not one for this pipeline, or STS refused or did not answer.
    pub async fn clients(
        &self,
        worker: &Aws,
        alias: &str,
        pipeline: &str,
        session: &str,
        now: i64,
    ) -> Result<Aws, TargetError> {
        let target = self.by_alias.get(alias).ok_or_else(|| TargetError::Unknown(alias.to_owned()))?;
        if !target.pipelines.iter().any(|allowed| allowed == pipeline || allowed == "*") {
            return Err(TargetError::NotForPipeline {
                alias: alias.to_owned(),
                pipeline: pipeline.to_owned(),
            });
        }
        self.enter(worker, alias, target, session, now).await
    }

    /// The same for a person: which pipelines may name the alias says nothing of people, whom the role lets in or not.
    ///
    /// # Errors
    /// There is no such alias, or STS refused or did not answer.
    pub async fn clients_by_hand(
        &self,
        home: &Aws,
        alias: &str,
        session: &str,
        now: i64,
    ) -> Result<Aws, TargetError> {
        let target = self.by_alias.get(alias).ok_or_else(|| TargetError::Unknown(alias.to_owned()))?;
        self.enter(home, alias, target, session, now).await
    }

    async fn enter(
        &self,
        worker: &Aws,
        alias: &str,
        target: &Target,
        session: &str,
        now: i64,
    ) -> Result<Aws, TargetError> {
        if let Some(aws) = self.kept(alias, session, now) {
            return Ok(aws);
        }
        let (credentials, expires) = assume(worker, target, session).await?;
        let aws = worker.acting(credentials, target.region.as_deref());
        self.keep(Kept { alias: alias.to_owned(), session: session.to_owned(), expires, aws: aws.clone() });
        Ok(aws)
    }

    fn kept(&self, alias: &str, session: &str, now: i64) -> Option<Aws> {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|kept| kept.alias == alias && kept.session == session)?;
        let found = all.remove(at);
        if found.expires.saturating_sub(now) < MARGIN {
            return None;
        }
        let aws = found.aws.clone();
        all.push(found);
        Some(aws)
    }

    fn keep(&self, new: Kept) {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT {
            all.remove(0);
        }
        all.push(new);
    }
}

async fn assume(worker: &Aws, target: &Target, session: &str) -> Result<(Credentials, i64), AwsError> {
    let call = worker.sts.assume_role().role_arn(&target.role_arn).role_session_name(session);
    let call = call.set_external_id(target.external_id.clone()).duration_seconds(SESSION);
    let answer = call.send().await.map_err(|e| AwsError::new("sts:AssumeRole", &target.role_arn, e))?;
    let given = answer.credentials.ok_or_else(|| {
        AwsError::unanswered("sts:AssumeRole", &target.role_arn, "the answer has no credentials")
    })?;
    let expires = given.expiration.secs();
    let credentials = Credentials::new(
        given.access_key_id,
        given.secret_access_key,
        Some(given.session_token),
        None,
        "target role",
    );
    Ok((credentials, expires))
}

/// What STS would refuse, and what cannot be meant (API reference of `AssumeRole`).
fn check(alias: &str, target: &Target) -> Result<(), TargetError> {
    let wrong = |member, found: &str, expected| {
        let (alias, found) = (alias.to_owned(), found.to_owned());
        Err(TargetError::Member { alias, member, found, expected })
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if alias.is_empty() || alias.len() > 32 || !alias.chars().all(plain) {
        return wrong("its name", alias, "1 to 32 of a-z, 0-9 and -");
    }
    let mut parts = target.role_arn.splitn(6, ':');
    let arn: [Option<&str>; 6] = std::array::from_fn(|_| parts.next());
    let is_role = match arn {
        [Some("arn"), Some(partition), Some("iam"), Some(""), Some(account), Some(role)] => {
            partition.starts_with("aws")
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && role.strip_prefix("role/").is_some_and(|name| !name.is_empty())
        }
        _ => false,
    };
    if !is_role {
        return wrong("role_arn", &target.role_arn, "arn:aws:iam::ACCOUNT:role/NAME");
    }
    if let Some(id) = &target.external_id {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
        if !(2..=1224).contains(&id.len()) || !id.chars().all(allowed) {
            return wrong("external_id", id, "2 to 1224 letters, digits and _+=,.@:/-");
        }
    }
    if target.pipelines.is_empty() {
        return wrong("pipelines", "[]", "names of pipelines, or \"*\" for every one");
    }
    if target.pipelines.len() > 1 && target.pipelines.iter().any(|name| name == "*") {
        return wrong("pipelines", "* among others", "\"*\" alone");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "targets:\n  production:\n    role_arn: arn:aws:iam::111122223333:role/bakeline/target\n    \
                        external_id: release-7\n    pipelines: [web]\n";

    #[test]
    fn a_file_of_targets_is_read() {
        let targets = Targets::parse(GOOD).unwrap();
        let found = &targets.by_alias["production"];
        assert_eq!(found.external_id.as_deref(), Some("release-7"));
        assert_eq!(
            (found.region.as_deref(), found.pipelines.as_slice()),
            (None, ["web".to_owned()].as_slice())
        );
    }

    #[test]
    fn what_sts_would_refuse_is_refused_with_the_alias_and_what_was_expected() {
        for (passage, replacement, said) in [
            (
                "role_arn: arn:aws:iam::111122223333:role/",
                "role_arn: arn:aws:iam::111122223333:user/",
                "role_arn is",
            ),
            ("iam::111122223333", "iam::1111", "role_arn is"),
            ("release-7", "x", "external_id is `x`"),
            ("release-7", "\"two words\"", "external_id is `two words`"),
            ("[web]", "[]", "pipelines is `[]`"),
            ("[web]", "[\"*\", web]", "pipelines is `* among others`"),
            ("production:", "Production:", "its name is `Production`"),
            ("pipelines:", "pipeline:", "cannot be read"),
        ] {
            let error = Targets::parse(&GOOD.replace(passage, replacement)).unwrap_err().to_string();
            assert!(error.contains(said), "{replacement}: {error}");
        }
        assert!(matches!(Targets::parse(&" ".repeat(MAX_BYTES + 1)), Err(TargetError::TooLong)));
    }
}
