//! What runs left behind: found by the tags that everything carries from birth, and removed once the pipeline
//! execution it belongs to has ended.
//!
//! Images are left to the cleanup, which takes them by steps that can be undone. Versions of launch templates carry no
//! tags; ours are known by their description, and those that nothing launches from any more can be given up.

mod find;
pub mod records;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aws_sdk_codepipeline::types::PipelineExecutionStatus;

pub use self::find::{Builds, find};

use super::cleanup::graph::{Facts, Names, Template};
use crate::aws::{Aws, AwsError, Class, auto_scaling};
use crate::engine::StageError;
use crate::engine::key::{ClientToken, tag};

/// Something a run made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leftover {
    pub what: What,
    /// Id, name or ARN; of a template version `lt-…/7`.
    pub id: String,
    pub run: Run,
}

/// Kinds of leftovers, in the order in which they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// An instance on which an image was tested.
    StagingInstance,
    /// A task in which a container image was tested.
    StagingTask,
    /// The definition of such a task, which is to be taken out of use first.
    TaskDefinition,
    /// One that is out of use.
    DeregisteredDefinition,
    /// A canary or its baseline, behind production's load balancers.
    TrialGroup,
    /// An image that Image Builder is still building.
    Build,
    /// A snapshot that no image stands on.
    Snapshot,
    /// A version of a launch template that a promotion made and nothing launches from.
    TemplateVersion,
    /// Image Builder's record of a build whose images are gone.
    BuildRecord,
    /// A recipe of ours that nothing is made from any more.
    Recipe,
    /// A component of ours that no recipe is made from any more.
    Component,
    /// A trial's group that is to have no instances, and still has so many that drain.
    EmptiedTrialGroup { instances: usize },
}

/// Which run made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    pub pipeline: String,
    pub execution: String,
    pub action_execution: String,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    UnderWay,
    Ended,
    /// No pipeline here knows of its execution: it is another account's, its pipeline was deleted, or it is more than
    /// a year old, after which CodePipeline forgets.
    Unknown,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StagingInstance => "staging instance",
            Self::StagingTask => "staging task",
            Self::TaskDefinition | Self::DeregisteredDefinition => "task definition",
            Self::TrialGroup | Self::EmptiedTrialGroup { .. } => "trial group",
            Self::Build => "build",
            Self::Snapshot => "snapshot",
            Self::TemplateVersion => "template version",
            Self::BuildRecord => "build record",
            Self::Recipe => "recipe",
            Self::Component => "component",
        })
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnderWay => "under way",
            Self::Ended => "ended",
            Self::Unknown => "not known here",
        })
    }
}

impl Leftover {
    /// A short mark of it and of the step that is next for it.
    #[must_use]
    pub fn mark(&self) -> u32 {
        let emptied = matches!(self.what, What::EmptiedTrialGroup { .. } | What::DeregisteredDefinition);
        crc32fast::hash(format!("{}{}", self.id, u8::from(emptied)).as_bytes())
    }
}

impl Run {
    /// The run that tags speak of; none when one of the three is missing.
    #[must_use]
    pub fn of<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        Some(Self {
            pipeline: get(tag::PIPELINE)?.to_owned(),
            execution: get(tag::RUN)?.to_owned(),
            action_execution: get(tag::ATTEMPT)?.to_owned(),
        })
    }
}

/// Versions of launch templates that our promotions made and that nothing names: not the default, not the latest, not
/// among the `keep` newest of ours, and not named by number by anything. Pure.
#[must_use]
pub fn spare_versions(facts: &Facts, keep: usize) -> Vec<(String, i64)> {
    let named: BTreeSet<(&str, i64)> = facts
        .names
        .iter()
        .filter_map(|(_, names)| match names {
            Names::Template { template, version } => Some((template.as_str(), version.parse().ok()?)),
            Names::Text(_) => None,
        })
        .collect();
    let mut spare = Vec::new();
    for (id, template) in &facts.templates {
        let is_named = |version: i64| {
            named.contains(&(id.as_str(), version)) || named.contains(&(template.name.as_str(), version))
        };
        let Template { default, latest, ours, .. } = template;
        let old = ours.iter().rev().skip(keep).copied();
        spare.extend(
            old.filter(|version| version != default && version != latest && !is_named(*version))
                .map(|version| (id.clone(), version)),
        );
    }
    spare
}

/// How the runs of these leftovers stand, by the pipelines of the account and region of `home`.
///
/// # Errors
/// As the call.
pub async fn standings(home: &Aws, leftovers: &[Leftover]) -> Result<BTreeMap<Run, Standing>, StageError> {
    let runs: BTreeSet<&Run> = leftovers.iter().map(|leftover| &leftover.run).collect();
    let mut standings = BTreeMap::new();
    let mut known: BTreeMap<(&str, &str), Standing> = BTreeMap::new();
    for run in runs {
        let key = (run.pipeline.as_str(), run.execution.as_str());
        let standing = match known.get(&key) {
            Some(standing) => *standing,
            None => standing(home, run).await?,
        };
        known.insert(key, standing);
        standings.insert(run.clone(), standing);
    }
    Ok(standings)
}

async fn standing(home: &Aws, run: &Run) -> Result<Standing, StageError> {
    let ask = home
        .codepipeline
        .get_pipeline_execution()
        .pipeline_name(&run.pipeline)
        .pipeline_execution_id(&run.execution);
    match ask.send().await.map_err(|e| AwsError::new("codepipeline:GetPipelineExecution", &run.execution, e))
    {
        Ok(answer) => {
            let status = answer.pipeline_execution().and_then(|execution| execution.status());
            // A status that is not known may be one of a run under way.
            Ok(match status {
                Some(
                    PipelineExecutionStatus::Cancelled
                    | PipelineExecutionStatus::Failed
                    | PipelineExecutionStatus::Stopped
                    | PipelineExecutionStatus::Succeeded
                    | PipelineExecutionStatus::Superseded,
                ) => Standing::Ended,
                _ => Standing::UnderWay,
            })
        }
        // A pipeline of the same name in another account may have left it here, and be under way.
        Err(error) if error.class == Class::Missing => Ok(Standing::Unknown),
        Err(error) => Err(error.into()),
    }
}

/// Removes one leftover, or brings it one step towards that: a trial's group is emptied first, so that its instances
/// drain. One that is gone already is fine; whether one is gone is seen by looking again.
///
/// # Errors
/// As the call.
pub async fn remove(aws: &Aws, leftover: &Leftover) -> Result<(), StageError> {
    let id = leftover.id.as_str();
    let removed = match leftover.what {
        What::StagingInstance => {
            let sent = aws.once.ec2.terminate_instances().instance_ids(id).send().await;
            sent.map(drop).map_err(|e| AwsError::new("ec2:TerminateInstances", id, e))
        }
        What::StagingTask => tasks::stop(aws, id).await,
        What::TaskDefinition => tasks::deregister(aws, id).await,
        What::DeregisteredDefinition => tasks::delete(aws, id).await,
        What::TrialGroup => return auto_scaling::empty(aws, id).await.map_err(Into::into),
        What::EmptiedTrialGroup { .. } => return auto_scaling::delete(aws, id).await.map(drop).map_err(Into::into),
        What::Build => return cancel(aws, id).await,
        What::Snapshot => {
            let sent = aws.ec2.delete_snapshot().snapshot_id(id).send().await;
            sent.map(drop).map_err(|e| AwsError::new("ec2:DeleteSnapshot", id, e))
        }
        What::TemplateVersion => {
            let (template, version) = id.split_once('/').unwrap_or((id, ""));
            let ask =
                aws.ec2.delete_launch_template_versions().launch_template_id(template).versions(version);
            let sent = ask.send().await;
            sent.map(drop).map_err(|e| AwsError::new("ec2:DeleteLaunchTemplateVersions", id, e))
        }
        What::BuildRecord => {
            let sent = aws.imagebuilder.delete_image().image_build_version_arn(id).send().await;
            sent.map(drop).map_err(|e| AwsError::new("imagebuilder:DeleteImage", id, e))
        }
        What::Recipe if id.contains(":container-recipe/") => {
            let sent = aws.imagebuilder.delete_container_recipe().container_recipe_arn(id).send().await;
            sent.map(drop).map_err(|e| AwsError::new("imagebuilder:DeleteContainerRecipe", id, e))
        }
        What::Recipe => {
            let sent = aws.imagebuilder.delete_image_recipe().image_recipe_arn(id).send().await;
            sent.map(drop).map_err(|e| AwsError::new("imagebuilder:DeleteImageRecipe", id, e))
        }
        What::Component => {
            let sent = aws.imagebuilder.delete_component().component_build_version_arn(id).send().await;
            sent.map(drop).map_err(|e| AwsError::new("imagebuilder:DeleteComponent", id, e))
        }
    };
    match removed {
        // Something is made from it that our lists do not show, such as a container recipe: it stays.
        Err(error) if error.is("ResourceDependencyException") => Ok(()),
        Err(error) if error.class != Class::Missing => Err(error.into()),
        _ => Ok(()),
    }
}

/// Asks for a build to be cancelled. One that has just ended refuses, and is no leftover at the next look.
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
    use crate::stage::cleanup::graph::{Kind, User};

    #[test]
    fn only_versions_of_ours_that_nothing_can_launch_from_are_spare() {
        let template = Template {
            name: "web".into(),
            default: 3,
            latest: 9,
            versions: (1..=9).map(|version| (version, None)).collect(),
            ours: BTreeSet::from([2, 3, 4, 5, 7, 8, 9]),
            snapshots: BTreeSet::new(),
        };
        let mut facts = Facts::default();
        facts.templates.insert("lt-1".into(), template);
        let user = User { kind: Kind::AutoScalingGroup, id: "web".into() };
        for (template, version) in [("lt-1", "4"), ("web", "7"), ("lt-1", "$Latest"), ("lt-2", "5")] {
            let names = Names::Template { template: template.into(), version: version.into() };
            facts.names.push((user.clone(), names));
        }
        let spare = |keep| -> Vec<i64> {
            spare_versions(&facts, keep).into_iter().map(|(_, version)| version).collect()
        };
        assert_eq!(spare(0), [8, 5, 2]);
        assert_eq!(spare(2), [5, 2]);
        assert_eq!(spare(9), Vec::<i64>::new());
    }
}
