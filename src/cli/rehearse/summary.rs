//! The end of a rehearsal at a glance: stages, images, calls, and where everything lies.

use std::collections::BTreeMap;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use crate::aws::AwsError;
use crate::cli::exit::CliError;
use crate::cli::say;
use crate::engine::error::with_causes;
use crate::engine::key::tag;
use crate::engine::{Outcome, Timestamp};
use crate::evidence::Stage;
use crate::worker::WorkerDeps;
use bakeline_rehearsal::cloud::Cloud;

use super::collect_artifacts::{Kept, TRUST};
use super::watch::{Seen, Watch, elapsed};
use super::{Plan, epoch};

/// Prints the tables.
pub async fn print(
    deps: &WorkerDeps,
    cloud: &Cloud,
    plan: &Plan,
    watch: &Watch,
    kept: &Kept,
) -> Result<(), CliError> {
    let seen = watch.seen();
    say("")?;
    say(&stages(&seen, cloud, plan.setup.actions).to_string())?;
    say("")?;
    let images = images(deps, plan).await?;
    // A release of containers has none.
    if images.row_count() > 0 {
        say(&images.to_string())?;
    }
    let end = deps.clock.now();
    let calls = cloud.with_transcript(|transcript| transcript.counts().values().sum::<u64>());
    say(&format!("\n{} of virtual time, {calls} API calls", elapsed(end.since(epoch()))))?;
    say(&format!("Artifacts   {}", kept.folder.display()))?;
    say(&format!(
        "Verify      bakeline verify {} --trust file:{} --at {end}",
        kept.folder.display(),
        kept.folder.join(TRUST).display()
    ))
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table
}

/// A line for each stage of the pipeline, run or not.
fn stages(seen: &BTreeMap<Stage, Seen>, cloud: &Cloud, actions: [bool; 4]) -> Table {
    let mut table = table(&["STAGE", "RESULT", "BEGAN", "TOOK", "SLICES", "API CALLS", "SUMMARY"]);
    for (stage, _) in Stage::ALL.into_iter().zip(actions).filter(|(_, there)| *there) {
        let Some(of) = seen.get(&stage) else {
            table.add_row([stage.name(), "not run", "", "", "", "", ""]);
            continue;
        };
        let end = of.ended.unwrap_or(of.began);
        let (result, summary) = match &of.outcome {
            Some(Outcome::Succeeded { summary, .. }) => ("ok", summary.as_str()),
            Some(Outcome::Failed(failure)) => ("FAILED", failure.message.as_str()),
            None => ("cut off", ""),
        };
        table.add_row([
            stage.name().to_owned(),
            result.to_owned(),
            elapsed(of.began.since(epoch())),
            elapsed(end.since(of.began)),
            of.slices.to_string(),
            calls(cloud, of.began, end).to_string(),
            shortened(summary, 44),
        ]);
    }
    for column in [2, 3, 4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn calls(cloud: &Cloud, from: Timestamp, to: Timestamp) -> usize {
    let within = |at: i64| (from.0..=to.0).contains(&(at / 1000));
    cloud.with_transcript(|transcript| {
        transcript.records().iter().filter(|record| within(record.at.0)).count()
    })
}

/// The service's images that are left.
async fn images(deps: &WorkerDeps, plan: &Plan) -> Result<Table, CliError> {
    let filter = aws_sdk_ec2::types::Filter::builder()
        .name(format!("tag:{}", tag::SERVICE))
        .values(&plan.setup.service)
        .build();
    let asked =
        deps.aws.ec2.describe_images().owners("self").filters(filter).include_disabled(true).send().await;
    let answer = asked.map_err(|e| {
        CliError::bug(with_causes(&AwsError::new("ec2:DescribeImages", &plan.setup.service, e)))
    })?;
    let mut images = answer.images.unwrap_or_default();
    images.sort_by(|a, b| b.creation_date.cmp(&a.creation_date));
    let running = running(deps, plan).await?;
    let mut table = table(&["IMAGE", "NAME", "CREATED", "RUNNING IN PRODUCTION"]);
    for image in images {
        let id = image.image_id.unwrap_or_default();
        let instances = running.get(&id).copied().unwrap_or(0);
        table.add_row([
            id,
            image.name.unwrap_or_default(),
            image.creation_date.unwrap_or_default(),
            if instances == 0 { String::new() } else { format!("{instances} instances") },
        ]);
    }
    Ok(table)
}

/// Names in one filter of `DescribeInstances`.
const NAMES: usize = 200;

/// Instances of every group in production by image.
async fn running(deps: &WorkerDeps, plan: &Plan) -> Result<BTreeMap<String, usize>, CliError> {
    let mut running = BTreeMap::new();
    let Some(fleet) = &plan.setup.fleet else { return Ok(running) };
    for names in fleet.groups().chunks(NAMES) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let of_groups = aws_sdk_ec2::types::Filter::builder()
            .name("tag:aws:autoscaling:groupName")
            .set_values(Some(names))
            .build();
        let alive =
            aws_sdk_ec2::types::Filter::builder().name("instance-state-name").values("running").build();
        let pages = deps.aws.ec2.describe_instances().filters(of_groups).filters(alive).into_paginator();
        let reservations: Vec<_> = pages.items().send().try_collect().await.map_err(|e| {
            CliError::bug(with_causes(&AwsError::new("ec2:DescribeInstances", &fleet.group, e)))
        })?;
        for instance in reservations.into_iter().flat_map(|r| r.instances.unwrap_or_default()) {
            *running.entry(instance.image_id.unwrap_or_default()).or_insert(0) += 1;
        }
    }
    Ok(running)
}

/// The first line of a text, at most `most` characters of it.
fn shortened(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= most {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}
