//! What references container images in a region: task definitions, services, tasks, functions, parameters, recipes.
//!
//! Every list is read to its end. A list that cannot be read fails the whole with the name of its call: cleanup never
//! decides on a part of the references.

mod ecs;
pub mod graph;
mod lambda;
mod parameters;
mod recipes;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use self::graph::{Gap, Listings, Resource};
use crate::aws::Aws;
use crate::engine::StageError;
use crate::engine::error::{ErrorClass, ModuleError};
use crate::stage::aws_view::image_references::graph::ListName;

/// The images of task definitions that were read before, by ARN: a revision never changes.
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

/// Reads every list.
///
/// # Errors
/// As the calls.
pub async fn read(aws: &Aws, definitions: &Definitions) -> Result<Listings, StageError> {
    let (mut listings, mut functions) = (Listings::default(), Listings::default());
    let (mut parameters, mut recipes) = (Listings::default(), Listings::default());
    tokio::try_join!(
        ecs::everything(aws, definitions, &mut listings),
        lambda::functions(aws, &mut functions),
        parameters::parameters(aws, &mut parameters),
        recipes::recipes(aws, &mut recipes),
    )?;
    for mut other in [functions, parameters, recipes] {
        listings.texts.append(&mut other.texts);
        listings.lengths.append(&mut other.lengths);
    }
    Ok(listings)
}

impl Listings {
    fn add_text(&mut self, resource: Resource, text: &str) {
        self.texts.push((resource, text.to_owned()));
    }

    fn add_length(&mut self, list: ListName, entries: usize) {
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        let length = self.lengths.entry(list).or_default();
        *length = length.saturating_add(entries);
    }
}

/// A list that contradicts another or that AWS answered in part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    #[error("{call} did not describe {resource}: {reason}")]
    NotDescribed { call: &'static str, resource: String, reason: String },
    #[error("lambda:GetFunction returned no image for the function {function}, whose package type is Image")]
    NoImage { function: String },
}

impl ModuleError for ListError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Rejected
    }
}

impl ModuleError for Gap {
    fn class(&self) -> ErrorClass {
        ErrorClass::NotYet
    }
}

/// The end of an ARN that identifies the resource: `CLUSTER/NAME`, `CLUSTER/ID`, `FAMILY:REVISION`.
fn name_of(arn: &str) -> &str {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or(arn);
    resource.split_once('/').map_or(resource, |(_, name)| name)
}
