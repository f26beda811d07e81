//! Where a command acts: as the identity in the environment, or in the accounts and regions behind targets.

use std::path::{Path, PathBuf};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::failed;
use crate::aws::{Aws, AwsError, EnvironmentError};
use crate::cli::exit::CliError;
use crate::cli::identity::Identity;
use crate::engine::StageError;
use crate::engine::error::with_causes;

/// Places that are worked on at once. Each makes a few calls of each service at a time.
pub const AT_ONCE: usize = 4;

/// What `CloudTrail` calls whoever uses a target by this command.
const SESSION: &str = "bakeline-cleanup-by-hand";

/// An account and region.
#[derive(Debug)]
pub struct Place {
    /// The target it was named by; none for the identity in the environment.
    pub alias: Option<String>,
    pub aws: Aws,
    pub account: String,
}

impl Place {
    /// The identity in the environment.
    pub async fn here(identity: &Identity) -> Result<Self, CliError> {
        Self::of(None, Identity::aws(&identity.clock()).await).await
    }

    /// Behind a target, or here without one.
    pub async fn named(identity: &Identity, alias: Option<&str>) -> Result<Self, CliError> {
        let home = Identity::aws(&identity.clock()).await;
        match alias {
            None => Self::of(None, home).await,
            Some(alias) => Self::behind(identity, &home, alias).await,
        }
    }

    /// Behind each of these targets, or here without any.
    pub async fn all(identity: &Identity, aliases: &[String]) -> Result<Vec<Self>, CliError> {
        if aliases.is_empty() {
            return Ok(vec![Self::here(identity).await?]);
        }
        let home = Identity::aws(&identity.clock()).await;
        let enter = |alias: &String| {
            let (home, alias) = (&home, alias.clone());
            async move { Self::behind(identity, home, &alias).await }
        };
        stream::iter(aliases).map(enter).buffered(AT_ONCE).try_collect().await
    }

    async fn behind(identity: &Identity, home: &Aws, alias: &str) -> Result<Self, CliError> {
        let now = identity.clock().now().0;
        let aws = identity.environments(home).await?.clients_for_person(home, alias, SESSION, now).await;
        let aws = aws.map_err(|error| match error {
            EnvironmentError::Assume(error) => failed(&StageError::from(error)),
            error => CliError::data(with_causes(&error), "give the file of environments with --environments"),
        })?;
        Self::of(Some(alias.to_owned()), aws).await
    }

    async fn of(alias: Option<String>, aws: Aws) -> Result<Self, CliError> {
        let answer = aws.sts.get_caller_identity().send().await.map_err(|e| {
            failed(&StageError::from(AwsError::new("sts:GetCallerIdentity", "this identity", e)))
        })?;
        let account = answer.account().unwrap_or_default().to_owned();
        Ok(Self { alias, aws, account })
    }

    /// A file of its own for each target: `plan.json` becomes `plan.production.json`.
    #[must_use]
    pub fn file(&self, path: &Path) -> PathBuf {
        file_of(path, self.alias.as_deref())
    }
}

fn file_of(path: &Path, alias: Option<&str>) -> PathBuf {
    let Some(alias) = alias else { return path.to_owned() };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = match name.split_once('.') {
        Some((stem, rest)) => format!("{stem}.{alias}.{rest}"),
        None => format!("{name}.{alias}"),
    };
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_a_file_of_its_own() {
        let cases = [
            ("out/plan.json", Some("production"), "out/plan.production.json"),
            ("cleanup-plan.dsse.json", Some("eu"), "cleanup-plan.eu.dsse.json"),
            ("plan", Some("eu"), "plan.eu"),
            ("out/plan.json", None, "out/plan.json"),
        ];
        for (path, alias, expected) in cases {
            assert_eq!(file_of(Path::new(path), alias), Path::new(expected));
        }
    }
}
