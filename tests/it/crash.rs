//! Every API call of every stage meets every fault; the end must be the undisturbed one, and no call act twice.
//!
//! The stages run on a release with few and short holds. What stands for repeated looks is said and counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bakeline::evidence::Stage;
use bakeline::rehearsal::cloud::Cloud;
use bakeline::rehearsal::faults::{Fault, FaultPlan, When};
use bakeline::rehearsal::services::codepipeline::ActionStatus;
use bakeline::rehearsal::transcript::Record;
use bakeline::telemetry::Telemetry;
use bakeline::worker::journal::Journal;

use crate::support::{Moment, in_virtual_time, plan, work};
use crate::trail::{Trail, trail};

/// What every call meets.
fn faults() -> [(&'static str, Fault); 5] {
    [
        ("killed before", Fault::KillBefore),
        ("killed after", Fault::KillAfter),
        ("reply lost", Fault::LoseReply),
        ("throttled", Fault::Throttle),
        ("stale read", Fault::StaleRead),
    ]
}

/// How a stage went.
struct Run {
    status: ActionStatus,
    trail: Trail,
    records: Vec<Record>,
}

/// Runs a stage to its end under a plan. A worker that is killed is followed by another with the same journal.
fn run(moment: &Moment, stage: Stage, faults: FaultPlan) -> Run {
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let journal = Arc::new(Journal::in_memory());
        let mut faults = Some(faults);
        let status = loop {
            let house = moment.worker(&cloud, &clock, &journal, &[stage], Telemetry::default()).await;
            if let Some(faults) = faults.take() {
                cloud.set_faults(faults);
            }
            let mut kills = cloud.kills();
            kills.mark_unchanged();
            tokio::select! {
                status = work(moment, &cloud, &house, stage) => break status,
                _ = kills.changed() => {}
            }
        };
        cloud.set_faults(FaultPlan::default());
        settle(&cloud, &clock).await;
        Run {
            status,
            trail: cloud.with_world(|world| trail(moment, world)),
            records: cloud.with_transcript(|transcript| transcript.records().to_vec()),
        }
    })
}

/// Lets what is under way come to rest: instances that shut down, targets that drain.
async fn settle(cloud: &Cloud, clock: &bakeline::engine::Clock) {
    clock.sleep(std::time::Duration::from_mins(10)).await;
    cloud.with_world(|_| ());
}

/// Calls that change something and were carried out more than once with the same input.
///
/// A call under a client token is carried out once however often it arrives; whether it was is seen in the trail.
/// An acknowledgement says the same thing twice. A parameter of type `aws:ec2:image` cannot be seen before SSM has
/// validated it: a worker killed in between writes the same value again, which is the one repetition there is.
pub fn applied_twice(records: &[Record]) -> Vec<String> {
    let mut applied: BTreeMap<String, u32> = BTreeMap::new();
    for record in records.iter().filter(|record| record.applied && record.mutating) {
        let tokened = ["clientToken", "ClientToken"].iter().any(|member| record.input.get(member).is_some());
        if !tokened && !["AcknowledgeJob", "PutParameter"].contains(&record.operation.as_str()) {
            *applied
                .entry(format!("{}:{} {}", record.service, record.operation, record.input))
                .or_default() += 1;
        }
    }
    applied
        .into_iter()
        .filter(|(_, times)| *times > 1)
        .map(|(call, times)| format!("{times} x {call}"))
        .collect()
}

/// The calls that are met, with their numbers counted from one, and how many are left out.
///
/// A stage that waits asks the same again and again. Of each operation the first six and the last three calls are met
/// and every ninth between, and every call that changes something outside CodePipeline. `BAKELINE_CRASH=all` meets all.
fn chosen(calls: &[Record]) -> (Vec<(u64, &Record)>, usize) {
    let all = std::env::var("BAKELINE_CRASH").is_ok_and(|which| which == "all");
    let mut of: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for call in calls {
        *of.entry((&call.service, &call.operation)).or_default() += 1;
    }
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut met = Vec::new();
    for (call, index) in calls.iter().zip(1..) {
        let operation = (call.service.as_str(), call.operation.as_str());
        let at = seen.entry(operation).or_default();
        *at += 1;
        let left = of.get(&operation).copied().unwrap_or_default() - *at;
        let acts = call.mutating && call.service != "codepipeline";
        if all || acts || *at <= 6 || left < 3 || at.is_multiple_of(9) {
            met.push((index, call));
        }
    }
    let like_others = calls.len() - met.len();
    (met, like_others)
}

/// Runs a stage once for each of its calls and each fault; the cases that did not end as they should.
pub fn crash_everywhere(name: &str, stage: Stage, moment: &Moment) -> (usize, Vec<String>) {
    let undisturbed = run(moment, stage, FaultPlan::default());
    let calls: Vec<Record> = undisturbed.records.clone();
    let twice = applied_twice(&undisturbed.records);
    assert!(twice.is_empty(), "{name}: undisturbed, and yet carried out twice: {twice:#?}");
    // The worker's own start is not part of the stage: faults are counted from its first poll.
    let first = calls.iter().position(|call| call.operation == "PollForJobs").unwrap();
    let (met, like_others) = chosen(&calls[first..]);
    println!(
        "{name}: {} of {} calls are met; {like_others} more are looks like those",
        met.len(),
        calls.len() - first
    );
    let cases: Vec<(u64, &Record, &str, Fault)> = met
        .into_iter()
        .flat_map(|(index, call)| faults().map(|(what, fault)| (index, call, what, fault)))
        // S3 answers every read with the last write, and has since 2020: a stale read there is not a thing of this world.
        .filter(|(_, call, _, fault)| !(call.service == "s3" && *fault == Fault::StaleRead))
        .collect();
    let total = cases.len();
    let queue = Mutex::new(cases.into_iter());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let Some((index, call, what, fault)) = queue.lock().unwrap().next() else { break };
                    let disturbed = run(moment, stage, FaultPlan::default().rule(When::Index(index), fault));
                    let mut wrong = Vec::new();
                    if disturbed.status != undisturbed.status {
                        wrong.push(format!(
                            "ended {:?} instead of {:?}",
                            disturbed.status, undisturbed.status
                        ));
                    }
                    for line in differences(&undisturbed.trail, &disturbed.trail) {
                        wrong.push(line);
                    }
                    wrong.extend(applied_twice(&disturbed.records));
                    if !wrong.is_empty() {
                        let case = format!(
                            "{name}: call {index}, {}:{}, {what}: {}",
                            call.service,
                            call.operation,
                            wrong.join("; ")
                        );
                        println!("WRONG {case}");
                        failures.lock().unwrap().push(case);
                    }
                }
            });
        }
    });
    (total, failures.into_inner().unwrap())
}

fn differences(expected: &Trail, found: &Trail) -> Vec<String> {
    let mut lines: Vec<&String> = expected.keys().chain(found.keys()).collect();
    lines.sort();
    lines.dedup();
    lines
        .into_iter()
        .filter(|line| expected.get(*line) != found.get(*line))
        .map(|line| {
            format!(
                "{line}: {} instead of {}",
                found.get(line).unwrap_or(&0),
                expected.get(line).unwrap_or(&0)
            )
        })
        .collect()
}

#[test]
fn every_call_of_every_stage_survives_every_fault() {
    let release = plan("tests/it/fixtures/crash/bakeline.yaml", SHORT);
    let mut failures = Vec::new();
    let mut cases = 0;
    for (stage, moment) in Moment::before_each_stage(&release) {
        let (ran, wrong) = crash_everywhere(stage.name(), stage, &moment);
        println!("{stage}: {ran} cases, {} of them wrong", wrong.len());
        cases += ran;
        failures.extend(wrong);
    }
    println!("{cases} cases ran");
    report(&failures);
}

#[test]
fn every_call_on_the_way_back_survives_every_fault() {
    let mut failures = Vec::new();
    let mut cases = 0;
    for (stage, scenario) in [
        (
            Stage::Test,
            format!("{SHORT}baked_image: {{commands: [{{contains: web, exit_code: 1, stderr: no}}]}}\n"),
        ),
        (Stage::Promote, format!("{SHORT}baked_image: {{error_rate: 0.2}}\n")),
    ] {
        let release = plan("tests/it/fixtures/crash/bakeline.yaml", &scenario);
        let moment = Moment::before(&release, stage);
        let (ran, wrong) = crash_everywhere(&format!("{stage} on its way back"), stage, &moment);
        println!("{stage} on its way back: {ran} cases, {} of them wrong", wrong.len());
        cases += ran;
        failures.extend(wrong);
    }
    println!("{cases} cases ran");
    report(&failures);
}

/// A release that takes minutes: as few looks as show everything.
pub const SHORT: &str = "build: {minutes: 4}\n";

pub fn report(failures: &[String]) {
    let shown: Vec<&String> = failures.iter().take(25).collect();
    assert!(failures.is_empty(), "{} cases went wrong; the first of them:\n{shown:#?}", failures.len());
}
