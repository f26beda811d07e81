//! The launch template versions that this promotion creates, and the instance refreshes to them.

use crate::aws::Aws;
use crate::engine::StageError;
use crate::engine::key::ExecutionKey;
use crate::stage::aws_view::instance_refreshes::Refresh;
use crate::stage::aws_view::launch_templates::{self, CreatedVersion, number};

/// The step that creates the template version of the first group, as its client token names it.
pub const FIRST: &str = "promote-version";

/// The step that creates the version after `from` of a template of a wave. Groups with the same template share it.
#[must_use]
pub fn step(template: &str, from: i64) -> String {
    format!("{FIRST} {template} {from}")
}

/// The versions of a template that this promotion created, from `since` on.
///
/// # Errors
/// `DescribeLaunchTemplateVersions` failed.
pub async fn read(
    aws: &Aws,
    key: &ExecutionKey,
    template: &str,
    since: i64,
) -> Result<Vec<CreatedVersion>, StageError> {
    let mut created = launch_templates::created(aws, template, since).await?;
    created.retain(|version| {
        let token = version.mark.token.as_str();
        token == key.client_token(FIRST).as_str()
            || token == key.client_token(&step(template, version.mark.from)).as_str()
    });
    Ok(created)
}

/// The newest refresh to a template version.
#[must_use]
pub fn refresh_of<'a>(refreshes: &'a [Refresh], template: &str, version: i64) -> Option<&'a Refresh> {
    let version = version.to_string();
    refreshes
        .iter()
        .find(|refresh| refresh.brings.as_ref().is_some_and(|(id, at)| id == template && *at == version))
}

/// Whether a group was ever refreshed to a version that this promotion created.
#[must_use]
pub fn was_refreshed(refreshes: &[Refresh], created: &[CreatedVersion], template: &str) -> bool {
    refreshes.iter().filter_map(|refresh| refresh.brings.as_ref()).any(|(id, version)| {
        id == template && created.iter().any(|created| Some(created.version) == number(version))
    })
}
