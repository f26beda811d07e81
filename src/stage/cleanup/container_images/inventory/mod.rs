//! Reads the repositories, and every list that tells what uses their images, each to its end. One that cannot be read
//! makes the whole fail, under the name of its call, and nothing is removed.

mod ecr;
mod ecs;
mod lambda;
mod parameters;
mod recipes;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

pub use self::ecr::{image, images};
pub use self::parameters::marks;

use super::graph::{Facts, Gap, User};
use crate::aws::Aws;
use crate::engine::StageError;
use crate::stage::cleanup::graph::Source;

/// What the containers of task definitions run, by ARN, as far as it was read: a revision never changes.
#[derive(Debug, Default)]
pub struct Definitions(Mutex<BTreeMap<String, Vec<String>>>);

impl Definitions {
    fn get(&self, arn: &str) -> Option<Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(arn).cloned()
    }

    fn put(&self, arn: &str, images: &[String]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(arn.to_owned(), images.to_vec());
    }
}

/// Reads every source.
///
/// # Errors
/// As the calls.
pub async fn facts(aws: &Aws, definitions: &Definitions) -> Result<Facts, StageError> {
    let (mut facts, mut functions) = (Facts::default(), Facts::default());
    let (mut parameters, mut recipes) = (Facts::default(), Facts::default());
    tokio::try_join!(
        ecs::everything(aws, definitions, &mut facts),
        lambda::functions(aws, &mut functions),
        parameters::parameters(aws, &mut parameters),
        recipes::recipes(aws, &mut recipes),
    )?;
    for mut other in [functions, parameters, recipes] {
        facts.texts.append(&mut other.texts);
        facts.counts.append(&mut other.counts);
    }
    Ok(facts)
}

impl Facts {
    fn text(&mut self, user: User, text: &str) {
        self.texts.push((user, text.to_owned()));
    }

    fn count(&mut self, source: Source, entries: usize) {
        let more = u64::try_from(entries).unwrap_or(u64::MAX);
        let count = self.counts.entry(source).or_default();
        *count = count.saturating_add(more);
    }
}

impl From<Gap> for StageError {
    /// What does not fit together may be two lists of different moments: the next look may see them alike.
    fn from(gap: Gap) -> Self {
        Self::NotYet(format!("the lists of what uses container images do not fit together: {gap}"))
    }
}

/// The end of an ARN that tells one from another: `CLUSTER/NAME`, `CLUSTER/ID`, `FAMILY:REVISION`.
fn name_of(arn: &str) -> &str {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or(arn);
    resource.split_once('/').map_or(resource, |(_, name)| name)
}
