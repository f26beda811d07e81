//! Leftovers of runs: found by the tags that bakeline puts on everything it creates, and removed once the run has
//! ended.
//!
//! Images are left to the cleanup stage, which removes them in steps that can be undone. Versions of launch templates
//! carry no tags: those of bakeline are known by their description, and can be removed once nothing launches from
//! them.

mod find;
pub mod records;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aws_sdk_codepipeline::types::PipelineExecutionStatus;

pub use self::find::{Builds, find};

use super::aws_view::image_references::graph::{Listings, Reference, Template};
use crate::aws::{Aws, AwsError, Class, auto_scaling};
use crate::engine::StageError;
use crate::engine::key::{ClientToken, tag};

/// A resource that a run created and left behind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leftover {
    pub kind: LeftoverKind,
    /// Its id, name or ARN; for a launch template version `lt-…/7`.
    pub id: String,
    pub run: Run,
}

/// Kinds of leftovers, in the order of their removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftoverKind {
    /// An instance of a test.
    TestInstance,
    /// A task of a test.
    TestTask,
    /// The active task definition of a test. It is deregistered first.
    TaskDefinition,
    /// A deregistered task definition of a test.
    DeregisteredTaskDefinition,
    /// The group of a canary or its baseline, behind production's load balancers.
    CanaryGroup,
    /// A build that Image Builder has not finished.
    Build,
    /// A snapshot that no image uses.
    Snapshot,
    /// A launch template version that a promotion created and nothing launches from.
    TemplateVersion,
    /// Image Builder's record of a build whose images no longer exist.
    BuildRecord,
    /// A recipe that a bake declared and nothing builds any more.
    Recipe,
    /// A component that a bake declared and no recipe uses any more.
    Component,
    /// A canary group with a maximum size of 0 and this many instances that still drain.
    EmptiedCanaryGroup { instances: usize },
}

/// The run that created a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    pub pipeline: String,
    pub run_id: String,
    pub attempt_id: String,
}

/// The status of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    Running,
    Ended,
    /// No pipeline of this account and region knows the run: it belongs to another account, its pipeline was deleted,
    /// or it is more than a year old, after which CodePipeline forgets it.
    Unknown,
}

impl LeftoverKind {
    /// Its name in JSON output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TestInstance => "test_instance",
            Self::TestTask => "test_task",
            Self::TaskDefinition | Self::DeregisteredTaskDefinition => "task_definition",
            Self::CanaryGroup | Self::EmptiedCanaryGroup { .. } => "canary_group",
            Self::Build => "build",
            Self::Snapshot => "snapshot",
            Self::TemplateVersion => "template_version",
            Self::BuildRecord => "build_record",
            Self::Recipe => "recipe",
            Self::Component => "component",
        }
    }
}

impl fmt::Display for LeftoverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('_', " "))
    }
}

impl RunStatus {
    /// Its name in text and JSON output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Leftover {
    /// A CRC-32 of the leftover and the step that is due for it.
    #[must_use]
    pub fn fingerprint(&self) -> u32 {
        let second_step = matches!(
            self.kind,
            LeftoverKind::EmptiedCanaryGroup { .. } | LeftoverKind::DeregisteredTaskDefinition
        );
        crc32fast::hash(format!("{}{}", self.id, u8::from(second_step)).as_bytes())
    }
}

impl Run {
    /// The run in the tags of a resource; `None` if a tag is missing.
    #[must_use]
    pub fn of<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        Some(Self {
            pipeline: get(tag::PIPELINE)?.to_owned(),
            run_id: get(tag::RUN)?.to_owned(),
            attempt_id: get(tag::ATTEMPT)?.to_owned(),
        })
    }
}

/// Launch template versions that promotions created and nothing references: not the default version, not the latest,
/// not among the `keep` newest of bakeline's, and not referenced by number. Pure.
#[must_use]
pub fn unused_template_versions(listings: &Listings, keep: usize) -> Vec<(String, i64)> {
    let named: BTreeSet<(&str, i64)> = listings
        .references
        .iter()
        .filter_map(|(_, reference)| match reference {
            Reference::Template { template, version } => Some((template.as_str(), version.parse().ok()?)),
            Reference::Text(_) => None,
        })
        .collect();
    let mut unused = Vec::new();
    for (id, template) in &listings.templates {
        let is_named = |version: i64| {
            named.contains(&(id.as_str(), version)) || named.contains(&(template.name.as_str(), version))
        };
        let Template { default, latest, ours, .. } = template;
        let old = ours.iter().rev().skip(keep).copied();
        unused.extend(
            old.filter(|version| version != default && version != latest && !is_named(*version))
                .map(|version| (id.clone(), version)),
        );
    }
    unused
}

/// The status of each leftover's run, from the pipelines of the account and region of `home`.
///
/// # Errors
/// As the call.
pub async fn run_statuses(
    home: &Aws,
    leftovers: &[Leftover],
) -> Result<BTreeMap<Run, RunStatus>, StageError> {
    let runs: BTreeSet<&Run> = leftovers.iter().map(|leftover| &leftover.run).collect();
    let mut run_statuses = BTreeMap::new();
    let mut known: BTreeMap<(&str, &str), RunStatus> = BTreeMap::new();
    for run in runs {
        let key = (run.pipeline.as_str(), run.run_id.as_str());
        let status = match known.get(&key) {
            Some(status) => *status,
            None => status(home, run).await?,
        };
        known.insert(key, status);
        run_statuses.insert(run.clone(), status);
    }
    Ok(run_statuses)
}

async fn status(home: &Aws, run: &Run) -> Result<RunStatus, StageError> {
    let ask = home
        .codepipeline
        .get_pipeline_execution()
        .pipeline_name(&run.pipeline)
        .pipeline_execution_id(&run.run_id);
    match ask.send().await.map_err(|e| AwsError::new("codepipeline:GetPipelineExecution", &run.run_id, e)) {
        Ok(answer) => {
            let status = answer.pipeline_execution().and_then(|execution| execution.status());
            // An unknown status may mean a running execution.
            Ok(match status {
                Some(
                    PipelineExecutionStatus::Cancelled
                    | PipelineExecutionStatus::Failed
                    | PipelineExecutionStatus::Stopped
                    | PipelineExecutionStatus::Succeeded
                    | PipelineExecutionStatus::Superseded,
                ) => RunStatus::Ended,
                _ => RunStatus::Running,
            })
        }
        // The execution may belong to a pipeline of the same name in another account, and be running.
        Err(error) if error.class == Class::Missing => Ok(RunStatus::Unknown),
        Err(error) => Err(error.into()),
    }
}

/// Makes the next call that removes a leftover: a canary group is emptied first, so that its instances drain. A
/// leftover that does not exist any more is no error. The next search shows whether it is removed.
///
/// # Errors
/// As the call.
pub async fn remove(aws: &Aws, leftover: &Leftover) -> Result<(), StageError> {
    let id = leftover.id.as_str();
    let removed = match leftover.kind {
        LeftoverKind::TestInstance => {
            let sent = aws.once.ec2.terminate_instances().instance_ids(id).send().await;
            sent.map(drop).map_err(|e| AwsError::new("ec2:TerminateInstances", id, e))
        }
        LeftoverKind::TestTask => tasks::stop(aws, id).await,
        LeftoverKind::TaskDefinition => tasks::deregister(aws, id).await,
        LeftoverKind::DeregisteredTaskDefinition => tasks::delete(aws, id).await,
        LeftoverKind::CanaryGroup => return auto_scaling::empty(aws, id).await.map_err(Into::into),
        LeftoverKind::EmptiedCanaryGroup { .. } => {
            return auto_scaling::delete(aws, id).await.map(drop).map_err(Into::into);
        }
        LeftoverKind::Build => return cancel(aws, id).await,
        LeftoverKind::Snapshot => {
            let sent = aws.ec2.delete_snapshot().snapshot_id(id).send().await;
            sent.map(drop).map_err(|e| AwsError::new("ec2:DeleteSnapshot", id, e))
        }
        LeftoverKind::TemplateVersion => {
            let (template, version) = id.split_once('/').unwrap_or((id, ""));
            let ask =
                aws.ec2.delete_launch_template_versions().launch_template_id(template).versions(version);
            let sent = ask.send().await;
            sent.map(drop).map_err(|e| AwsError::new("ec2:DeleteLaunchTemplateVersions", id, e))
        }
        LeftoverKind::BuildRecord => {
            let sent = aws.imagebuilder.delete_image().image_build_version_arn(id).send().await;
            sent.map(drop).map_err(|e| AwsError::new("imagebuilder:DeleteImage", id, e))
        }
        LeftoverKind::Recipe if id.contains(":container-recipe/") => {
            let sent = aws.imagebuilder.delete_container_recipe().container_recipe_arn(id).send().await;
            sent.map(drop).map_err(|e| AwsError::new("imagebuilder:DeleteContainerRecipe", id, e))
        }
        LeftoverKind::Recipe => {
            let sent = aws.imagebuilder.delete_image_recipe().image_recipe_arn(id).send().await;
            sent.map(drop).map_err(|e| AwsError::new("imagebuilder:DeleteImageRecipe", id, e))
        }
        LeftoverKind::Component => {
            let sent = aws.imagebuilder.delete_component().component_build_version_arn(id).send().await;
            sent.map(drop).map_err(|e| AwsError::new("imagebuilder:DeleteComponent", id, e))
        }
    };
    match removed {
        // A resource that the lists do not show still uses it: it stays.
        Err(error) if error.is("ResourceDependencyException") => Ok(()),
        Err(error) if error.class != Class::Missing => Err(error.into()),
        _ => Ok(()),
    }
}

/// Cancels a build. Image Builder refuses if the build has just ended; the next search omits it then.
async fn cancel(aws: &Aws, id: &str) -> Result<(), StageError> {
    let token = ClientToken::of_content(&format!("cancel {id}"));
    let ask = aws.imagebuilder.cancel_image_creation().image_build_version_arn(id).client_token(token);
    match ask.send().await.map_err(|e| AwsError::new("imagebuilder:CancelImageCreation", id, e)) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.class, Class::Missing | Class::Conflict | Class::Invalid) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::aws_view::image_references::graph::{Resource, ResourceKind};

    #[test]
    fn unreferenced_versions_of_promotions_are_unused() {
        let template = Template {
            name: "web".into(),
            default: 3,
            latest: 9,
            versions: (1..=9).map(|version| (version, None)).collect(),
            ours: BTreeSet::from([2, 3, 4, 5, 7, 8, 9]),
            snapshots: BTreeSet::new(),
        };
        let mut listings = Listings::default();
        listings.templates.insert("lt-1".into(), template);
        let group = Resource { kind: ResourceKind::AutoScalingGroup, id: "web".into() };
        for (template, version) in [("lt-1", "4"), ("web", "7"), ("lt-1", "$Latest"), ("lt-2", "5")] {
            let reference = Reference::Template { template: template.into(), version: version.into() };
            listings.references.push((group.clone(), reference));
        }
        let unused = |keep| -> Vec<i64> {
            unused_template_versions(&listings, keep).into_iter().map(|(_, version)| version).collect()
        };
        assert_eq!(unused(0), [8, 5, 2]);
        assert_eq!(unused(2), [5, 2]);
        assert_eq!(unused(9), Vec::<i64>::new());
    }
}
