//! What references machine images in a region: instances, launch templates, groups, fleets, parameters, recipes.
//!
//! Every list is read to its end. A list that cannot be read fails the whole inventory with the name of its call: a
//! caller never decides on a part of the references.

mod autoscaling;
mod compute;
pub mod graph;
mod launch_templates;
mod parameters;
mod recipes;

pub use self::parameters::parameters;

use self::graph::{Gap, ListName, Listings, Reference, References, Resource, ResourceKind};
use crate::aws::Aws;
use crate::engine::StageError;
use crate::engine::error::{ErrorClass, ModuleError};

/// Parallel calls to one API.
pub const AT_ONCE: usize = 4;

/// The contents of all lists, and the references to images that follow from them.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    pub listings: Listings,
    /// By image id.
    pub references: References,
}

impl Inventory {
    /// Reads every list.
    ///
    /// # Errors
    /// As the calls; [`Gap`] if the lists contradict each other.
    pub async fn read(aws: &Aws) -> Result<Self, StageError> {
        // The services in parallel, the lists of one service in sequence.
        let (mut listings, mut groups) = (Listings::default(), Listings::default());
        let (mut recipes, mut parameters) = (Listings::default(), Listings::default());
        tokio::try_join!(
            compute::everything(aws, &mut listings),
            autoscaling::everything(aws, &mut groups),
            recipes::recipes(aws, &mut recipes),
            parameters::parameters(aws, &mut parameters),
        )?;
        for other in [groups, recipes, parameters] {
            listings.merge(other);
        }
        // Launch templates come after everything that names one: a template that is named exists by then.
        launch_templates::templates(aws, &mut listings).await?;
        parameters::resolve(aws, &mut listings).await?;
        recipes::build_outputs(aws, &mut listings).await?;
        let references = listings.by_image()?;
        Ok(Self { listings, references })
    }
}

impl Listings {
    /// Adds the lists of another service.
    fn merge(&mut self, mut other: Self) {
        self.references.append(&mut other.references);
        self.snapshots.append(&mut other.snapshots);
        self.groups.append(&mut other.groups);
        self.templates.append(&mut other.templates);
        self.missing_templates.append(&mut other.missing_templates);
        self.parameter_values.append(&mut other.parameter_values);
        self.build_outputs.append(&mut other.build_outputs);
        self.lengths.append(&mut other.lengths);
    }

    fn add(&mut self, kind: ResourceKind, id: &str, reference: Reference) {
        self.references.push((Resource { kind, id: id.to_owned() }, reference));
    }

    fn add_text(&mut self, kind: ResourceKind, id: &str, text: &str) {
        self.add(kind, id, Reference::Text(text.to_owned()));
    }

    /// Adds snapshots that the block device mappings of a resource name.
    fn add_snapshots<'s>(
        &mut self,
        kind: ResourceKind,
        id: &str,
        snapshots: impl IntoIterator<Item = &'s str>,
    ) {
        let reference = |snapshot: &str| (Resource { kind, id: id.to_owned() }, snapshot.to_owned());
        self.snapshots.extend(snapshots.into_iter().map(reference));
    }

    fn set_length(&mut self, list: ListName, entries: usize) {
        self.lengths.insert(list, u64::try_from(entries).unwrap_or(u64::MAX));
    }

    /// Adds a launch template as requests and groups name it: by id or by name (`by`), and by version.
    fn add_template(
        &mut self,
        (kind, id): (ResourceKind, &str),
        by: (Option<&str>, Option<&str>),
        version: Option<&str>,
    ) {
        if let Some(template) = by.0.or(by.1) {
            let version = version.unwrap_or("$Default").to_owned();
            self.add(kind, id, Reference::Template { template: template.to_owned(), version });
        }
    }
}

impl ModuleError for Gap {
    fn class(&self) -> ErrorClass {
        ErrorClass::NotYet
    }
}
