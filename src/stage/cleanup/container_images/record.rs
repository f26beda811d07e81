//! The container images in the signed record of a cleanup.

use std::collections::BTreeSet;

use super::image::{Image, ImageKey};
use super::marks;
use super::quarantine::Next;
use super::retention::Disposition;
use super::survey::{Scope, Survey};
use crate::evidence::predicate::{ContainerCleanup, ContainerImage, KeptContainer};

/// The record. Images that are marked and no longer exist were removed: marks outlive their images until the next
/// cleanup starts.
#[must_use]
pub fn containers(survey: &Survey, scope: &Scope<'_>, region: &str) -> ContainerCleanup {
    let kept = survey.images.iter().filter_map(|image| {
        let disposition = survey.dispositions.get(&image.key)?;
        Some(KeptContainer { image: identity(image, scope.account, region), reasons: reasons(disposition) })
    });
    let removed = marks::removed(&survey.marks, &survey.images, &scope.rules.repositories);
    let removed = removed.into_iter().map(|key| untagged(key, scope.account, region));
    ContainerCleanup { kept: kept.collect(), removed: removed.collect() }
}

/// The image's account, region, repository, digest and tags.
#[must_use]
pub fn identity(image: &Image, account: &str, region: &str) -> ContainerImage {
    let tags: &BTreeSet<String> = &image.tags;
    ContainerImage { tags: tags.iter().cloned().collect(), ..untagged(image.key.clone(), account, region) }
}

fn untagged(key: ImageKey, account: &str, region: &str) -> ContainerImage {
    ContainerImage {
        account: account.to_owned(),
        region: region.to_owned(),
        repository: key.repository,
        digest: key.digest,
        tags: Vec::new(),
    }
}

/// Why an image is not removed.
fn reasons(disposition: &Disposition) -> Vec<String> {
    match disposition {
        Disposition::Keep(reasons) => reasons.iter().map(ToString::to_string).collect(),
        Disposition::Restore(reasons) => {
            let restore = "cleanup restores it from the archive".to_owned();
            std::iter::once(restore).chain(reasons.iter().map(ToString::to_string)).collect()
        }
        Disposition::Remove(Next::Wait { until }) => vec![format!("in quarantine until {until}")],
        Disposition::Remove(Next::Step(_)) => {
            vec!["deferred to the next cleanup: max_per_run limits this one".to_owned()]
        }
    }
}
