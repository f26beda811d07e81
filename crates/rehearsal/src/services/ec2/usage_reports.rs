//! Image usage reports: the other accounts that run an image or use it in a launch template.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::{Place, page, present, refuse};
use super::launch::{remember, replay};
use super::{images, place};

/// The duration of a report's creation.
const TAKES: Duration = Duration::from_mins(2);
const LASTS: Duration = Duration::from_hours(30 * 24);

/// A usage report of one image.
#[derive(Clone, Debug)]
pub(super) struct Report {
    place: Place,
    image: String,
    kinds: Vec<String>,
    asked: Time,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    image_id: String,
    resource_types: Vec<Kind>,
    #[serde(default)]
    client_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Kind {
    resource_type: String,
}

/// `CreateImageUsageReport`.
pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Create = call.parse()?;
    if let Some(token) = &input.client_token
        && let Some(answer) = replay(world, &place(call), "CreateImageUsageReport", token, call)?
    {
        return Ok(answer);
    }
    images::owned(world, call, &input.image_id)?;
    let id = world.ids.ec2("imgurpt");
    let report = Report {
        place: place(call),
        image: input.image_id,
        kinds: input.resource_types.into_iter().map(|kind| kind.resource_type).collect(),
        asked: call.now,
    };
    world.ec2.usage_reports.insert(id.clone(), report);
    let answer = json!({ "ReportId": id });
    if let Some(token) = input.client_token {
        remember(world, place(call), "CreateImageUsageReport", token, call, &answer);
    }
    Ok(answer)
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    image_ids: Vec<String>,
    report_ids: Vec<String>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

fn chosen<'a>(
    world: &'a World,
    call: &Call,
    input: &Describe,
) -> impl Iterator<Item = (&'a String, &'a Report)> {
    let (here, now) = (place(call), call.now);
    let (images, reports) = (input.image_ids.clone(), input.report_ids.clone());
    world.ec2.usage_reports.iter().filter(move |(id, report)| {
        report.place == here
            && report.asked + LASTS > now
            && (images.is_empty() || images.contains(&report.image))
            && (reports.is_empty() || reports.contains(id))
    })
}

/// `DescribeImageUsageReports`.
pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let found: Vec<Value> = chosen(world, call, &input)
        .map(|(id, report)| {
            let ready = report.asked + TAKES <= call.now;
            json!({
                "ReportId": id, "ImageId": report.image,
                "State": if ready { "available" } else { "pending" },
                "CreationTime": report.asked.epoch_seconds(),
                "ExpirationTime": (report.asked + LASTS).epoch_seconds(),
            })
        })
        .collect();
    let size = input.max_results.unwrap_or(100);
    let (found, next) = page(found, input.next_token.as_deref(), size, "InvalidParameterValue")?;
    Ok(present(json!({ "ImageUsageReports": found, "NextToken": next })))
}

/// `DescribeImageUsageReportEntries`: accounts other than the owner.
pub(super) fn entries(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let mut found = Vec::new();
    for (id, report) in chosen(world, call, &input) {
        if report.asked + TAKES > call.now {
            return Err(refuse("InvalidParameterValue", format!("The report '{id}' is not available")));
        }
        for kind in &report.kinds {
            for (account, count) in users(world, report, kind) {
                found.push(json!({
                    "ReportId": id, "ImageId": report.image, "AccountId": account,
                    "ResourceType": kind, "UsageCount": count,
                }));
            }
        }
    }
    let size = input.max_results.unwrap_or(100);
    let (found, next) = page(found, input.next_token.as_deref(), size, "InvalidParameterValue")?;
    Ok(present(json!({ "ImageUsageReportEntries": found, "NextToken": next })))
}

fn users(world: &World, report: &Report, kind: &str) -> BTreeMap<String, u64> {
    let elsewhere =
        |account: &str, region: &str| account != report.place.account && region == report.place.region;
    let accounts: Vec<&String> = match kind {
        "ec2:Instance" => world
            .ec2
            .instances
            .values()
            .filter(|one| elsewhere(&one.account, &one.region) && one.image_id == report.image)
            .map(|one| &one.account)
            .collect(),
        "ec2:LaunchTemplate" => world
            .ec2
            .launch_templates
            .values()
            .filter(|one| elsewhere(&one.account, &one.region))
            .filter(|one| one.versions.keys().any(|v| one.data_image(*v) == Some(&report.image)))
            .map(|one| &one.account)
            .collect(),
        _ => Vec::new(),
    };
    let mut users = BTreeMap::new();
    for account in accounts {
        *users.entry(account.clone()).or_insert(0) += 1;
    }
    users
}
