//! Promotions on the embedded AWS: what the fleet runs at the end, what the record says, whom it harmed.

pub mod blue_green;
mod crash;
mod mechanisms;
mod outcomes;
mod rivals;
mod scenarios;
pub mod waves;

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::sync::Arc;
use std::time::Duration;

use bakeline::evidence::Stage;
use bakeline::telemetry::Telemetry;
use bakeline::worker::journal::Journal;
use bakeline::worker::run_once::run_once;
use bakeline_rehearsal::faults::FaultPlan;
use bakeline_rehearsal::services::codepipeline::ActionStatus;
use bakeline_rehearsal::services::s3;
use bakeline_rehearsal::transcript::Record;
use bakeline_rehearsal::world::World;
use serde_json::{Value, json};

use crate::support::{Moment, in_virtual_time, plan};
use crate::trail::ask;

const GROUP: &str = "web-production";
/// Errors a minute of a service in which nothing goes wrong: 0.05 % of 3000 requests.
const USUAL: f64 = 1.5;

/// What happens while the promotion is under way.
enum Meanwhile {
    Nothing,
    /// Something is done once, so many minutes after its start.
    At(u64, fn(&Moment, &mut World)),
    /// The second is done once, when the first is so.
    When(fn(&Moment, &mut World) -> bool, fn(&Moment, &mut World)),
    /// No worker lives from this minute on, for so many.
    Dead(u64, u64),
    /// The second is done once when the first is so, and no worker lives from then on for so many minutes.
    DeadFrom(fn(&Moment, &mut World) -> bool, fn(&Moment, &mut World), u64),
    /// The calls meet faults.
    Faults(FaultPlan),
}

/// How a promotion ended.
struct End {
    status: ActionStatus,
    world: World,
    moment: Moment,
    minutes: u64,
    /// The fleet while nobody was alive, seen at the end of it.
    while_dead: Option<BTreeMap<String, usize>>,
    /// Every call from the action's start to its end.
    records: Vec<Record>,
    files: BTreeMap<String, Vec<u8>>,
}

/// The world in which the promote job of this release waits.
fn before(spec: &str, scenario: &str) -> Moment {
    Moment::before(&plan(spec, &format!("build: {{duration: 4m}}\n{scenario}")), Stage::Promote)
}

fn play(moment: &Moment, meanwhile: Meanwhile) -> End {
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let journal = Arc::new(Journal::in_memory());
        let deps = moment.worker(&cloud, &clock, &journal, &[Stage::Promote], Telemetry::default()).await;
        let began = clock.now();
        let minutes = || clock.now().since(began).as_secs() / 60;
        let (mut due, mut while_dead) = (true, None);
        if let Meanwhile::Faults(faults) = &meanwhile {
            cloud.set_faults(faults.clone());
        }
        let status = loop {
            match &meanwhile {
                Meanwhile::At(minute, happens) if due && minutes() >= *minute => {
                    due = false;
                    cloud.with_world(|world| happens(moment, world));
                }
                Meanwhile::When(so, happens) if due && cloud.with_world(|world| so(moment, world)) => {
                    due = false;
                    cloud.with_world(|world| happens(moment, world));
                }
                Meanwhile::DeadFrom(so, happens, long)
                    if due && cloud.with_world(|world| so(moment, world)) =>
                {
                    due = false;
                    cloud.with_world(|world| happens(moment, world));
                    clock.sleep(Duration::from_secs(long * 60)).await;
                    while_dead = Some(cloud.with_world(|world| fleet(moment, world)));
                }
                Meanwhile::Dead(from, long) if due && minutes() >= *from => {
                    due = false;
                    clock.sleep(Duration::from_secs(long * 60)).await;
                    while_dead = Some(cloud.with_world(|world| fleet(moment, world)));
                }
                _ => {}
            }
            // A turn that was cut short is taken again: that is what a worker does.
            let _ = run_once(&deps).await;
            match cloud.with_world(|world| moment.action(world, Stage::Promote)) {
                Some(ActionStatus::InProgress) | None => {}
                Some(over) => break over,
            }
            assert!(minutes() < 10 * 24 * 60, "the promotion does not end");
            clock.sleep(Duration::from_secs(5)).await;
        };
        let minutes = minutes();
        let records = cloud.with_transcript(|transcript| transcript.records().to_vec());
        cloud.set_faults(FaultPlan::default());
        // Instances that shut down, targets that drain, an abandoned action that is undone.
        for _ in 0..40 {
            let _ = run_once(&deps).await;
            clock.sleep(Duration::from_secs(30)).await;
        }
        let world = cloud.with_world(|world| world.clone());
        let files = artifact(moment, &world);
        End { status, world, moment: moment.clone(), minutes, while_dead, records, files }
    })
}

/// The files of the promotion's artifact.
pub fn artifact(moment: &Moment, world: &World) -> BTreeMap<String, Vec<u8>> {
    let bucket = s3::bucket(world, &moment.provisioned.bucket).unwrap();
    let found = bucket
        .objects()
        .find(|(key, _)| key.split('/').nth(1).is_some_and(|cut| cut.starts_with("Promoted")));
    let Some((_, object)) = found else { return BTreeMap::new() };
    let mut archive = zip::ZipArchive::new(Cursor::new(object.body.clone())).unwrap();
    let mut files = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(entry.name().unwrap().into_owned(), bytes);
    }
    files
}

/// Makes a version of production's template by hand, of this image: the template and the version, as a group names them.
fn version_by_hand(moment: &Moment, world: &mut World, image: &str, description: Option<&str>) -> Value {
    let input = json!({"AutoScalingGroupNames": [GROUP]});
    let groups = ask(moment, world, "autoscaling", "DescribeAutoScalingGroups", input);
    let template = list(&groups, "AutoScalingGroups")[0]["LaunchTemplate"]["LaunchTemplateId"].clone();
    let mut input =
        json!({"LaunchTemplateId": template, "SourceVersion": "1", "LaunchTemplateData": {"ImageId": image}});
    if let Some(text) = description {
        input["VersionDescription"] = text.into();
    }
    let made = ask(moment, world, "ec2", "CreateLaunchTemplateVersion", input);
    json!({"LaunchTemplateId": template, "Version": made["LaunchTemplateVersion"]["VersionNumber"].to_string()})
}

fn list<'v>(answer: &'v Value, member: &str) -> &'v [Value] {
    answer.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Instances in service in production, by whether they run the old image, or another.
fn fleet(moment: &Moment, world: &mut World) -> BTreeMap<String, usize> {
    fleet_of(GROUP, moment, world)
}

pub fn fleet_of(group: &str, moment: &Moment, world: &mut World) -> BTreeMap<String, usize> {
    let groups = ask(
        moment,
        world,
        "autoscaling",
        "DescribeAutoScalingGroups",
        json!({"AutoScalingGroupNames": [group]}),
    );
    let mut count = BTreeMap::new();
    for instance in list(&list(&groups, "AutoScalingGroups")[0], "Instances") {
        if instance["LifecycleState"] != "InService" {
            continue;
        }
        let found =
            ask(moment, world, "ec2", "DescribeInstances", json!({"InstanceIds": [instance["InstanceId"]]}));
        let image = &found["Reservations"][0]["Instances"][0]["ImageId"];
        let old = moment.provisioned.current_image.as_deref() == image.as_str();
        *count.entry(if old { "old" } else { "new" }.to_owned()).or_default() += 1;
    }
    count
}

impl End {
    fn fleet(&mut self) -> BTreeMap<String, usize> {
        fleet(&self.moment, &mut self.world)
    }

    /// Groups that the trial made and that are still there.
    fn left_behind(&mut self) -> Vec<String> {
        let groups =
            ask(&self.moment, &mut self.world, "autoscaling", "DescribeAutoScalingGroups", json!({}));
        let names = list(&groups, "AutoScalingGroups")
            .iter()
            .map(|g| g["AutoScalingGroupName"].as_str().unwrap_or_default().to_owned());
        names.filter(|name| name != GROUP).collect()
    }

    fn record(&self) -> Value {
        self.files
            .get("reports/promote/report.json")
            .map_or(Value::Null, |bytes| serde_json::from_slice(bytes).unwrap())
    }

    /// Requests that failed beyond those that always do.
    fn harmed(&mut self) -> f64 {
        let (from, to) = (seconds(self.moment.now.0), seconds(self.world.now.0));
        let mut all = 0.0;
        for name in ["HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count"] {
            let answer = ask(
                &self.moment,
                &mut self.world,
                "cloudwatch",
                "GetMetricStatistics",
                json!({
                    "Namespace": "AWS/ApplicationELB", "MetricName": name,
                    "Dimensions": [{"Name": "LoadBalancer", "Value": "app/web/50dc6c495c0c9188"}],
                    "StartTime": from, "EndTime": to,
                    "Period": 60, "Statistics": ["Sum"],
                }),
            );
            all += list(&answer, "Datapoints").iter().filter_map(|point| point["Sum"].as_f64()).sum::<f64>();
        }
        let minutes = (to - from) / 60.0;
        (all - USUAL * minutes).max(0.0)
    }
}

fn seconds(milliseconds: i64) -> f64 {
    Duration::from_millis(milliseconds.unsigned_abs()).as_secs_f64()
}
