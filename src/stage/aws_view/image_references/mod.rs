//! Reads every list that tells what uses images in the region, each to its end. One that cannot be read makes the
//! whole fail, under the name of its call, and nothing is removed.

mod autoscaling;
mod compute;
mod images;
mod parameters;
mod recipes;
mod templates;

pub use self::images::{image, images};
pub use self::parameters::parameters;

use super::graph::{Facts, Gap, Kind, Names, Source, User, Users};
use crate::aws::Aws;
use crate::engine::StageError;

/// Calls to one API that are under way at once.
pub(super) const AT_ONCE: usize = 4;

/// What the lists say, and the users of images that follow from it.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    pub facts: Facts,
    pub users: Users,
}

impl Inventory {
    /// Reads every source.
    ///
    /// # Errors
    /// As the calls; or the lists do not fit together.
    pub async fn read(aws: &Aws) -> Result<Self, StageError> {
        // Each service's lists one after the other, and the services at once.
        let (mut facts, mut groups) = (Facts::default(), Facts::default());
        let (mut recipes, mut parameters) = (Facts::default(), Facts::default());
        tokio::try_join!(
            compute::everything(aws, &mut facts),
            autoscaling::everything(aws, &mut groups),
            recipes::recipes(aws, &mut recipes),
            parameters::parameters(aws, &mut parameters),
        )?;
        for other in [groups, recipes, parameters] {
            facts.absorb(other);
        }
        // The templates come after whoever names them: what is named is then there to be found.
        templates::templates(aws, &mut facts).await?;
        parameters::aliases(aws, &mut facts).await?;
        recipes::builds(aws, &mut facts).await?;
        let users = facts.users()?;
        Ok(Self { facts, users })
    }
}

impl Facts {
    /// Takes in what another service's lists say.
    fn absorb(&mut self, mut other: Self) {
        self.names.append(&mut other.names);
        self.disks.append(&mut other.disks);
        self.groups.append(&mut other.groups);
        self.templates.append(&mut other.templates);
        self.no_templates.append(&mut other.no_templates);
        self.aliases.append(&mut other.aliases);
        self.built.append(&mut other.built);
        self.counts.append(&mut other.counts);
    }

    fn note(&mut self, kind: Kind, id: &str, names: Names) {
        self.names.push((User { kind, id: id.to_owned() }, names));
    }

    fn text(&mut self, kind: Kind, id: &str, text: &str) {
        self.note(kind, id, Names::Text(text.to_owned()));
    }

    /// A snapshot that is named in a block device mapping.
    fn disk<'s>(&mut self, kind: Kind, id: &str, snapshots: impl IntoIterator<Item = &'s str>) {
        let user = |snapshot: &str| (User { kind, id: id.to_owned() }, snapshot.to_owned());
        self.disks.extend(snapshots.into_iter().map(user));
    }

    fn count(&mut self, source: Source, entries: usize) {
        self.counts.insert(source, u64::try_from(entries).unwrap_or(u64::MAX));
    }

    /// A launch template as requests and groups name it: by id or by name, and by version.
    fn template_of(&mut self, user: (Kind, &str), by: (Option<&str>, Option<&str>), version: Option<&str>) {
        if let Some(template) = by.0.or(by.1) {
            let version = version.unwrap_or("$Default").to_owned();
            self.note(user.0, user.1, Names::Template { template: template.to_owned(), version });
        }
    }
}

impl From<Gap> for StageError {
    /// What does not fit together may be two lists of different moments: the next look may see them alike.
    fn from(gap: Gap) -> Self {
        Self::NotYet(format!("the lists of what uses images do not fit together: {gap}"))
    }
}
