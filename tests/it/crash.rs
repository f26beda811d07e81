//! Every API call of every stage meets every fault; the end must be the undisturbed one, and no call act twice.
//!
//! The stages run on a release with few and short holds. None of their calls is left out. A worker rests nowhere but in
//! the token, so a case begins at the rest before the call it is about, with another worker, instead of at the stage's
//! first call.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bakeline::evidence::Stage;
use bakeline::telemetry::Telemetry;
use bakeline::worker::journal::Journal;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::faults::{Fault, FaultPlan, When};
use bakeline_rehearsal::services::codepipeline::ActionStatus;
use bakeline_rehearsal::transcript::Record;

use crate::support::{Moment, in_virtual_time, plan, work, work_resting};
use crate::trail::{Trail, trail};

/// What every call meets.
pub fn faults() -> [(&'static str, Fault); 5] {
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
    /// From the first poll on: a worker's own start is not part of the stage.
    records: Vec<Record>,
}

/// A moment of the undisturbed run at which no job was in hand, after so many calls.
struct Rest {
    calls: usize,
    moment: Moment,
}

/// Calls between two rests that are kept. A rest is a copy of the world.
const BETWEEN_RESTS: usize = 6;

/// Runs a stage to its end undisturbed, and keeps its rests.
fn undisturbed(moment: &Moment, stage: Stage) -> (Run, Vec<Rest>) {
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let journal = Arc::new(Journal::in_memory());
        let deps = moment.worker(&cloud, &clock, &journal, &[stage], Telemetry::default()).await;
        let first = called(&cloud);
        let mut rests: Vec<Rest> = Vec::new();
        let status = work_resting(moment, &cloud, &deps, stage, || {
            let calls = called(&cloud) - first;
            if rests.last().is_none_or(|last| calls >= last.calls + BETWEEN_RESTS) {
                rests.push(Rest { calls, moment: moment.now(&cloud) });
            }
        })
        .await;
        (over(moment, &cloud, &clock, status, first).await, rests)
    })
}

/// Goes on from a rest to the stage's end under a plan. A worker that is killed is followed by another with the same
/// journal.
fn run(moment: &Moment, stage: Stage, faults: FaultPlan) -> Run {
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let journal = Arc::new(Journal::in_memory());
        let mut first = 0;
        let mut faults = Some(faults);
        let status = loop {
            let deps = moment.worker(&cloud, &clock, &journal, &[stage], Telemetry::default()).await;
            if let Some(faults) = faults.take() {
                first = called(&cloud);
                cloud.set_faults(faults);
            }
            let mut kills = cloud.kills();
            kills.mark_unchanged();
            tokio::select! {
                status = work(moment, &cloud, &deps, stage) => break status,
                _ = kills.changed() => {}
            }
        };
        cloud.set_faults(FaultPlan::default());
        over(moment, &cloud, &clock, status, first).await
    })
}

fn called(cloud: &Cloud) -> usize {
    cloud.with_transcript(|transcript| transcript.records().len())
}

/// What is told of a run that is over, once all that is under way has come to rest: instances that shut down, targets
/// that drain.
async fn over(
    moment: &Moment,
    cloud: &Cloud,
    clock: &bakeline::engine::Clock,
    status: ActionStatus,
    first: usize,
) -> Run {
    clock.sleep(std::time::Duration::from_mins(10)).await;
    Run {
        status,
        trail: cloud.with_world(|world| trail(moment, world)),
        records: cloud.with_transcript(|transcript| transcript.records()[first..].to_vec()),
    }
}

/// Calls that may be said twice. An acknowledgement says the same thing again. A parameter of type `aws:ec2:image` cannot
/// be seen before SSM has validated it: a worker killed in between writes the same value again. ECR answers the deletion of
/// a digest that is gone as it answers one that is there, with a failure in the list. A finding has one id in Security Hub
/// however often it is sent.
/// An image that is to be where it is stays there: a look that is behind asks ECR to archive it again.
const SAID_TWICE: [&str; 5] =
    ["AcknowledgeJob", "BatchDeleteImage", "BatchImportFindings", "PutParameter", "UpdateImageStorageClass"];

/// Calls that change something and were carried out more than once with the same input.
///
/// A call under a client token is carried out once however often it arrives; whether it was is seen in the trail.
/// See [`SAID_TWICE`] for the others.
pub fn applied_twice<'r>(records: impl IntoIterator<Item = &'r Record>) -> Vec<String> {
    let mut applied: BTreeMap<String, u32> = BTreeMap::new();
    for record in records.into_iter().filter(|record| record.applied && record.mutating) {
        let tokened = ["clientToken", "ClientToken"].iter().any(|member| record.input.get(member).is_some());
        if !tokened && !SAID_TWICE.contains(&record.operation.as_str()) {
            *applied
                .entry(format!(
                    "{}:{} in {} {}",
                    record.service, record.operation, record.region, record.input
                ))
                .or_default() += 1;
        }
    }
    applied
        .into_iter()
        .filter(|(_, times)| *times > 1)
        .map(|(call, times)| format!("{times} x {call}"))
        .collect()
}

/// One call and what it meets.
struct Case<'r> {
    /// The call's place in the undisturbed run, from nought.
    call: usize,
    what: &'static str,
    fault: Fault,
    /// Where the run begins: far enough back that a stale read has a write before it.
    rest: &'r Rest,
}

/// All cases of a run, and the calls of which there is no stale read.
///
/// A stale read hides the last write to its service. Of one that nothing was written to there is no such read, and a
/// call that writes reads nothing. S3 answers every read with the last write, and has since 2020.
fn cases<'r>(records: &[Record], rests: &'r [Rest]) -> (Vec<Case<'r>>, Vec<usize>) {
    let mut cases = Vec::new();
    let mut without = Vec::new();
    for (call, record) in records.iter().enumerate() {
        for (what, fault) in faults() {
            let from = if fault == Fault::StaleRead {
                let written = |earlier: &Record| {
                    earlier.mutating && earlier.applied && earlier.service == record.service
                };
                let last = records[..call].iter().rposition(written);
                let Some(write) = last.filter(|_| !record.mutating && record.service != "s3") else {
                    without.push(call);
                    continue;
                };
                write
            } else {
                call
            };
            let rest = rests.iter().rev().find(|rest| rest.calls <= from);
            cases.push(Case { call, what, fault, rest: rest.expect("the first rest is before every call") });
        }
    }
    (cases, without)
}

/// Runs a stage once for each of its calls and each fault; how many cases that were, and those that went wrong.
pub fn crash_everywhere(name: &str, stage: Stage, moment: &Moment) -> (usize, Vec<String>) {
    crash_within(name, stage, moment, |records| 0..records.len())
}

/// As [`crash_everywhere`], for those calls of the undisturbed run that `part` picks: the others are another test's.
pub fn crash_within(
    name: &str,
    stage: Stage,
    moment: &Moment,
    part: impl FnOnce(&[Record]) -> Range<usize>,
) -> (usize, Vec<String>) {
    crash_some(name, stage, moment, part, usize::MAX)
}

/// As [`crash_within`], for at most so many cases, spread evenly over the run, the calls and the faults. All of them run
/// with `BAKELINE_CRASH=all`.
pub fn crash_some(
    name: &str,
    stage: Stage,
    moment: &Moment,
    part: impl FnOnce(&[Record]) -> Range<usize>,
    most: usize,
) -> (usize, Vec<String>) {
    let (expected, rests) = undisturbed(moment, stage);
    let twice = applied_twice(&expected.records);
    assert!(twice.is_empty(), "{name}: undisturbed, and yet carried out twice: {twice:#?}");
    let part = part(&expected.records);
    let (mut cases, mut without) = cases(&expected.records, &rests);
    cases.retain(|case| part.contains(&case.call));
    without.retain(|call| part.contains(call));
    let without = without.len();
    let there_are = cases.len();
    if std::env::var("BAKELINE_CRASH").as_deref() != Ok("all") && there_are > most {
        let every = there_are.div_ceil(most);
        // Calls have four or five faults each: a stride that shares no factor with either meets all of them.
        let stride = (every..every + 10).find(|stride| stride % 2 != 0 && stride % 5 != 0).unwrap_or(every);
        cases = cases.into_iter().step_by(stride).collect();
        println!("{name}: {} of {there_are} cases; BAKELINE_CRASH=all runs every one", cases.len());
    }
    let total = cases.len();
    println!(
        "{name}: {} of {} calls, {total} cases; {without} stale reads that cannot be: nothing was written, or the call writes",
        part.len(),
        expected.records.len()
    );
    let queue = Mutex::new(cases.into_iter());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let Some(case) = queue.lock().unwrap().next() else { break };
                    let wrong = went_wrong(&case, stage, &expected);
                    if !wrong.is_empty() {
                        let met = &expected.records[case.call];
                        let told = format!(
                            "{name}: call {}, {}:{}, {}: {}",
                            case.call + 1,
                            met.service,
                            met.operation,
                            case.what,
                            wrong.join("; ")
                        );
                        println!("WRONG {told}");
                        failures.lock().unwrap().push(told);
                    }
                }
            });
        }
    });
    (total, failures.into_inner().unwrap())
}

/// Runs one case; everything in which its end is not the undisturbed one.
fn went_wrong(case: &Case<'_>, stage: Stage, expected: &Run) -> Vec<String> {
    let nth = case.call - case.rest.calls;
    let index = u64::try_from(nth).expect("fits") + 1;
    let plan = FaultPlan::default().rule(When::index(index), case.fault.clone());
    let disturbed = run(&case.rest.moment, stage, plan);
    let mut wrong = Vec::new();
    // The fault met the call it was meant for, or the case says nothing.
    let meant = &expected.records[case.call];
    let met = disturbed.records.get(nth);
    if !met.is_some_and(|met| {
        (&met.service, &met.operation) == (&meant.service, &meant.operation)
            && met.fault.as_ref().is_some_and(|fault| fault.took_effect)
    }) {
        wrong.push(format!("the fault met {met:?}"));
    }
    if disturbed.status != expected.status {
        let failed = disturbed.records.iter().find(|record| record.operation == "PutJobFailureResult");
        let told = failed.map(|record| &record.input["failureDetails"]["message"]);
        wrong.push(format!("ended {:?} instead of {:?}: {told:?}", disturbed.status, expected.status));
    }
    wrong.extend(differences(&expected.trail, &disturbed.trail));
    wrong.extend(applied_twice(expected.records[..case.rest.calls].iter().chain(&disturbed.records)));
    wrong
}

/// In what one trail is not another.
pub fn differences(expected: &Trail, found: &Trail) -> Vec<String> {
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

/// Every call of one stage of a good release.
fn forward(stage: Stage) {
    let release = plan("tests/it/fixtures/crash/bakeline.yaml", SHORT);
    let (cases, wrong) = crash_everywhere(stage.name(), stage, &Moment::before(&release, stage));
    println!("{stage}: {cases} cases, {} of them wrong", wrong.len());
    report(&wrong);
}

#[test]
fn every_call_of_bake_survives_every_fault() {
    forward(Stage::Bake);
}

#[test]
fn every_call_of_test_survives_every_fault() {
    forward(Stage::Test);
}

#[test]
fn every_call_of_promote_survives_every_fault() {
    forward(Stage::Promote);
}

#[test]
fn every_call_of_cleanup_survives_every_fault() {
    forward(Stage::Cleanup);
}

/// Stages that have to undo what they did, each at the moment before it.
pub fn backward() -> impl Iterator<Item = (Stage, Moment)> {
    [
        (Stage::Test, "images: {baked: {instance: {commands: [{contains: web, exit_code: 1, stderr: no}]}}}\n"),
        (Stage::Promote, "images: {baked: {instance: {error_rate: 0.2}}}\n"),
    ]
    .into_iter()
    .map(|(stage, scenario)| {
        let release = plan("tests/it/fixtures/crash/bakeline.yaml", &format!("{SHORT}{scenario}"));
        (stage, Moment::before(&release, stage))
    })
}

#[test]
fn every_call_on_the_way_back_survives_every_fault() {
    let mut failures = Vec::new();
    let mut cases = 0;
    for (stage, moment) in backward() {
        let (ran, wrong) = crash_everywhere(&format!("{stage} on its way back"), stage, &moment);
        println!("{stage} on its way back: {ran} cases, {} of them wrong", wrong.len());
        cases += ran;
        failures.extend(wrong);
    }
    println!("{cases} cases ran");
    report(&failures);
}

/// A release that takes minutes: as few looks as show everything.
pub const SHORT: &str = "build: {duration: 4m}\n";

pub fn report(failures: &[String]) {
    let shown: Vec<&String> = failures.iter().take(25).collect();
    assert!(failures.is_empty(), "{} cases went wrong; the first of them:\n{shown:#?}", failures.len());
}
