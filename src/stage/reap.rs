//! What runs left behind: found by the tags that everything carries from birth, and removed once the pipeline
//! execution it belongs to has ended.
//!
//! Images are left to the cleanup, which takes them by steps that can be undone. Versions of launch templates carry no
//! tags; ours are known by their description, and those that nothing launches from any more can be given up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aws_sdk_codepipeline::types::PipelineExecutionStatus;
use aws_sdk_ec2::types::{Filter, InstanceStateName, Tag};

use super::cleanup::graph::{Facts, Names, Template};
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::engine::key::tag;

/// Begins the name of every staging instance.
const STAGING: &str = "bakeline-test-";

/// Values in one filter of EC2.
const BATCH: usize = 200;

/// Something a run made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leftover {
    pub what: What,
    /// Id or ARN; of a template version `lt-…/7`.
    pub id: String,
    pub run: Run,
}

/// Kinds of leftovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// An instance on which an image was tested.
    StagingInstance,
    /// An image that Image Builder is still building.
    Build,
    /// A snapshot that no image stands on.
    Snapshot,
    /// A version of a launch template that a promotion made and nothing launches from.
    TemplateVersion,
}

/// Which run made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    pub pipeline: String,
    pub execution: String,
    pub action_execution: String,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StagingInstance => "staging instance",
            Self::Build => "build",
            Self::Snapshot => "snapshot",
            Self::TemplateVersion => "template version",
        })
    }
}

impl Run {
    /// The run that tags speak of; none when one of the three is missing.
    #[must_use]
    pub fn of<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        Some(Self {
            pipeline: get(tag::PIPELINE)?.to_owned(),
            execution: get(tag::PIPELINE_EXECUTION)?.to_owned(),
            action_execution: get(tag::ACTION_EXECUTION)?.to_owned(),
        })
    }
}

fn tagged(tags: &[Tag], key: &str) -> Option<String> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value()).map(str::to_owned)
}

fn run_of(tags: &[Tag]) -> Option<Run> {
    Some(Run {
        pipeline: tagged(tags, tag::PIPELINE)?,
        execution: tagged(tags, tag::PIPELINE_EXECUTION)?,
        action_execution: tagged(tags, tag::ACTION_EXECUTION)?,
    })
}

fn of_ours() -> Filter {
    Filter::builder().name("tag-key").values(tag::ACTION_EXECUTION).build()
}

/// Everything that runs left, whether they have ended or not. `image_pipeline` is the Image Builder pipeline whose
/// builds are looked at.
///
/// # Errors
/// As the calls.
pub async fn find(aws: &Aws, image_pipeline: Option<&str>) -> Result<Vec<Leftover>, StageError> {
    let mut found = instances(aws).await?;
    found.extend(snapshots(aws).await?);
    if let Some(pipeline) = image_pipeline {
        found.extend(builds(aws, pipeline).await?);
    }
    found.sort();
    Ok(found)
}

async fn instances(aws: &Aws) -> Result<Vec<Leftover>, StageError> {
    let mut pages = aws.ec2.describe_instances().filters(of_ours()).into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(reservation) = pages.next().await {
        let reservation =
            reservation.map_err(|e| AwsError::new("ec2:DescribeInstances", tag::ACTION_EXECUTION, e))?;
        for instance in reservation.instances() {
            let state = instance.state().and_then(|state| state.name());
            let over = matches!(state, Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown));
            let staging = tagged(instance.tags(), "Name").is_some_and(|name| name.starts_with(STAGING));
            if let (false, true, Some(id), Some(run)) =
                (over, staging, instance.instance_id(), run_of(instance.tags()))
            {
                found.push(Leftover { what: What::StagingInstance, id: id.to_owned(), run });
            }
        }
    }
    Ok(found)
}

/// Snapshots with our tags that no image stands on, a disabled one included.
async fn snapshots(aws: &Aws) -> Result<Vec<Leftover>, StageError> {
    let ask = aws.ec2.describe_snapshots().owner_ids("self").filters(of_ours());
    let mut pages = ask.into_paginator().items().send();
    let mut found: BTreeMap<String, Run> = BTreeMap::new();
    while let Some(snapshot) = pages.next().await {
        let snapshot =
            snapshot.map_err(|e| AwsError::new("ec2:DescribeSnapshots", tag::ACTION_EXECUTION, e))?;
        if let (Some(id), Some(run)) = (snapshot.snapshot_id(), run_of(snapshot.tags())) {
            found.insert(id.to_owned(), run);
        }
    }
    let ids: Vec<String> = found.keys().cloned().collect();
    for batch in ids.chunks(BATCH) {
        let behind = Filter::builder()
            .name("block-device-mapping.snapshot-id")
            .set_values(Some(batch.to_vec()))
            .build();
        let ask = aws.ec2.describe_images().owners("self").include_disabled(true).filters(behind);
        let mut images = ask.into_paginator().items().send();
        while let Some(image) = images.next().await {
            let image = image.map_err(|e| AwsError::new("ec2:DescribeImages", "of our snapshots", e))?;
            for disk in image.block_device_mappings().iter().filter_map(|mapping| mapping.ebs()) {
                found.remove(disk.snapshot_id().unwrap_or_default());
            }
        }
    }
    Ok(found.into_iter().map(|(id, run)| Leftover { what: What::Snapshot, id, run }).collect())
}

/// Builds under way that carry our tags.
async fn builds(aws: &Aws, pipeline: &str) -> Result<Vec<Leftover>, StageError> {
    let ask = aws.imagebuilder.list_image_pipeline_images().image_pipeline_arn(pipeline);
    let mut pages = ask.into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(image) = pages.next().await {
        let image = image.map_err(|e| AwsError::new("imagebuilder:ListImagePipelineImages", pipeline, e))?;
        let status = image.state().and_then(|state| state.status()).map_or("", |status| status.as_str());
        let under_way = matches!(
            status,
            "PENDING" | "CREATING" | "BUILDING" | "TESTING" | "DISTRIBUTING" | "INTEGRATING"
        );
        let run = image.tags().and_then(|tags| Run::of(|key| tags.get(key).map(String::as_str)));
        if let (true, Some(id), Some(run)) = (under_way, image.arn(), run) {
            found.push(Leftover { what: What::Build, id: id.to_owned(), run });
        }
    }
    Ok(found)
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

/// Which of the runs are known to have ended, by the pipelines of this account.
///
/// # Errors
/// As the call.
pub async fn ended(aws: &Aws, leftovers: &[Leftover]) -> Result<BTreeSet<Run>, StageError> {
    let runs: BTreeSet<&Run> = leftovers.iter().map(|leftover| &leftover.run).collect();
    let mut ended = BTreeSet::new();
    let mut known: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    for run in runs {
        let key = (run.pipeline.as_str(), run.execution.as_str());
        let over = match known.get(&key) {
            Some(over) => *over,
            None => has_ended(aws, run).await?,
        };
        known.insert(key, over);
        if over {
            ended.insert(run.clone());
        }
    }
    Ok(ended)
}

async fn has_ended(aws: &Aws, run: &Run) -> Result<bool, StageError> {
    let ask = aws
        .codepipeline
        .get_pipeline_execution()
        .pipeline_name(&run.pipeline)
        .pipeline_execution_id(&run.execution);
    match ask.send().await.map_err(|e| AwsError::new("codepipeline:GetPipelineExecution", &run.execution, e))
    {
        Ok(answer) => {
            let status = answer.pipeline_execution().and_then(|execution| execution.status());
            // A status that is not known may be one of a run under way.
            Ok(matches!(
                status,
                Some(
                    PipelineExecutionStatus::Cancelled
                        | PipelineExecutionStatus::Failed
                        | PipelineExecutionStatus::Stopped
                        | PipelineExecutionStatus::Succeeded
                        | PipelineExecutionStatus::Superseded
                )
            ))
        }
        // The pipeline is here and has forgotten the execution, which it does after a year.
        Err(error) if error.is("PipelineExecutionNotFoundException") => Ok(true),
        // The pipeline may be another account's: nothing is known of its runs.
        Err(error) if error.class == Class::Missing => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes one leftover. One that is gone already is fine.
///
/// # Errors
/// As the call.
pub async fn remove(aws: &Aws, leftover: &Leftover) -> Result<(), StageError> {
    let id = leftover.id.as_str();
    let removed = match leftover.what {
        What::StagingInstance => {
            let sent = aws.ec2.terminate_instances().instance_ids(id).send().await;
            sent.map(drop).map_err(|e| AwsError::new("ec2:TerminateInstances", id, e))
        }
        What::Build => {
            let token = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, id.as_bytes()).to_string();
            let ask =
                aws.imagebuilder.cancel_image_creation().image_build_version_arn(id).client_token(token);
            let sent = ask.send().await;
            sent.map(drop).map_err(|e| AwsError::new("imagebuilder:CancelImageCreation", id, e))
        }
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
    };
    match removed {
        Err(error) if error.class != Class::Missing => Err(error.into()),
        _ => Ok(()),
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
