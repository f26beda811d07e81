//! What a cleanup says of container images when it is over.

use std::collections::BTreeSet;

use super::image::{Image, Key};
use super::marks;
use super::quarantine::Next;
use super::retain::Disposition;
use super::survey::{Scope, Survey};
use crate::evidence::predicate::{ContainerCleanup, ContainerImage, KeptContainer};

/// The record. What was marked and is gone was taken away: marks outlive their images until the next cleanup begins.
#[must_use]
pub fn containers(survey: &Survey, scope: &Scope<'_>, region: &str) -> ContainerCleanup {
    let kept = survey.images.iter().filter_map(|image| {
        let fate = survey.fates.get(&image.key)?;
        Some(KeptContainer { image: named(image, scope.account, region), reasons: reasons(fate) })
    });
    let gone = marks::gone(&survey.marks, &survey.images, &scope.rules.repositories);
    let removed = gone.into_iter().map(|key| gone_image(key, scope.account, region));
    ContainerCleanup { kept: kept.collect(), removed: removed.collect() }
}

/// An image by its name and tags.
#[must_use]
pub fn named(image: &Image, account: &str, region: &str) -> ContainerImage {
    let tags: &BTreeSet<String> = &image.tags;
    ContainerImage { tags: tags.iter().cloned().collect(), ..gone_image(image.key.clone(), account, region) }
}

fn gone_image(key: Key, account: &str, region: &str) -> ContainerImage {
    ContainerImage {
        account: account.to_owned(),
        region: region.to_owned(),
        repository: key.repository,
        digest: key.digest,
        tags: Vec::new(),
    }
}

/// Why an image is still there.
fn reasons(fate: &Disposition) -> Vec<String> {
    match fate {
        Disposition::Keep(reasons) => reasons.iter().map(ToString::to_string).collect(),
        Disposition::Reinstate(reasons) => {
            let back = "it is brought back from the archive".to_owned();
            std::iter::once(back).chain(reasons.iter().map(ToString::to_string)).collect()
        }
        Disposition::Go(Next::Rest { until }) => vec![format!("in quarantine until {until}")],
        Disposition::Go(Next::Step(_)) => {
            vec!["left for the next cleanup: one takes steps with only so many".to_owned()]
        }
    }
}
