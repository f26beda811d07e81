//! The account and region in which a command acts: those of the credentials, or of a named environment.

use std::path::{Path, PathBuf};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::failed;
use crate::aws::{Aws, AwsError, EnvironmentError};
use crate::cli::exit::{CliError, Message};
use crate::cli::identity::Identity;
use crate::engine::StageError;

/// Environments that a command surveys in parallel, each with a few calls at a time.
pub const AT_ONCE: usize = 4;

/// Session name of an assumed role, as `CloudTrail` reports it.
const SESSION: &str = "bakeline-cleanup-by-hand";

/// An account and region.
#[derive(Debug)]
pub struct Environment {
    /// Its name in the environments file; `None` for the credentials' own account and region.
    pub name: Option<String>,
    pub aws: Aws,
    pub account: String,
}

impl Environment {
    /// The credentials' own account and region.
    pub async fn current(identity: &Identity) -> Result<Self, CliError> {
        Self::of(None, Identity::aws(&identity.clock()).await).await
    }

    /// A named environment, or the current one without a name.
    pub async fn named(identity: &Identity, name: Option<&str>) -> Result<Self, CliError> {
        let home = Identity::aws(&identity.clock()).await;
        match name {
            None => Self::of(None, home).await,
            Some(name) => Self::enter(identity, &home, name).await,
        }
    }

    /// All named environments, or the current one without names.
    pub async fn all(identity: &Identity, names: &[String]) -> Result<Vec<Self>, CliError> {
        if names.is_empty() {
            return Ok(vec![Self::current(identity).await?]);
        }
        let home = Identity::aws(&identity.clock()).await;
        let enter = |name: &String| {
            let (home, name) = (&home, name.clone());
            async move { Self::enter(identity, home, &name).await }
        };
        stream::iter(names).map(enter).buffered(AT_ONCE).try_collect().await
    }

    async fn enter(identity: &Identity, home: &Aws, name: &str) -> Result<Self, CliError> {
        let now = identity.clock().now().0;
        let aws = identity.environments(home).await?.clients_for_person(home, name, SESSION, now).await;
        let aws = aws.map_err(|error| match error {
            EnvironmentError::Assume(error) => failed(&StageError::from(error)),
            error => CliError::data(Message::of(&error), "give the environments file with --environments"),
        })?;
        Self::of(Some(name.to_owned()), aws).await
    }

    async fn of(name: Option<String>, aws: Aws) -> Result<Self, CliError> {
        let answer = aws.sts.get_caller_identity().send().await.map_err(|e| {
            failed(&StageError::from(AwsError::new("sts:GetCallerIdentity", "the credentials", e)))
        })?;
        let account = answer.account().unwrap_or_default().to_owned();
        Ok(Self { name, aws, account })
    }

    /// The file for this environment: `plan.json` becomes `plan.production.json`.
    #[must_use]
    pub fn file(&self, path: &Path) -> PathBuf {
        file_for(path, self.name.as_deref())
    }
}

fn file_for(path: &Path, environment: Option<&str>) -> PathBuf {
    let Some(environment) = environment else { return path.to_owned() };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = match name.split_once('.') {
        Some((stem, rest)) => format!("{stem}.{environment}.{rest}"),
        None => format!("{name}.{environment}"),
    };
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_environment_has_a_file_of_its_own() {
        let cases = [
            ("out/plan.json", Some("production"), "out/plan.production.json"),
            ("cleanup-plan.dsse.json", Some("eu"), "cleanup-plan.eu.dsse.json"),
            ("plan", Some("eu"), "plan.eu"),
            ("out/plan.json", None, "out/plan.json"),
        ];
        for (path, environment, expected) in cases {
            assert_eq!(file_for(Path::new(path), environment), Path::new(expected));
        }
    }
}
