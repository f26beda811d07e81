//! Reads every list that tells what uses images in the region, each to its end. One that cannot be read makes the
//! whole fail, under the name of its call, and nothing is removed.

mod autoscaling;
mod compute;
mod images;
mod parameters;
mod recipes;
mod templates;

pub use self::images::{image, images};

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
        let mut facts = Facts::default();
        compute::instances(aws, &mut facts).await?;
        compute::spot_requests(aws, &mut facts).await?;
        compute::fleets(aws, &mut facts).await?;
        compute::spot_fleets(aws, &mut facts).await?;
        autoscaling::configurations(aws, &mut facts).await?;
        autoscaling::groups(aws, &mut facts).await?;
        recipes::recipes(aws, &mut facts).await?;
        // The templates come after whoever names them: what is named is then there to be found.
        templates::templates(aws, &mut facts).await?;
        parameters::parameters(aws, &mut facts).await?;
        parameters::aliases(aws, &mut facts).await?;
        recipes::builds(aws, &mut facts).await?;
        let users = facts.users()?;
        Ok(Self { facts, users })
    }
}

impl Facts {
    fn note(&mut self, kind: Kind, id: &str, names: Names) {
        self.names.push((User { kind, id: id.to_owned() }, names));
    }

    fn text(&mut self, kind: Kind, id: &str, text: &str) {
        self.note(kind, id, Names::Text(text.to_owned()));
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
