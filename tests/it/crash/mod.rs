//! Every API call of every stage meets every fault; the run must end as the undisturbed one, and no call be carried out twice.
//!
//! The stages run on a release with few and short holds. Everything a worker knows between two slices lies in the
//! continuation token, so a case begins at the last copy of the world before its call, with another worker, instead of at
//! the stage's first call; and it ends as soon as it has become the undisturbed run again (see [`convergence`]). Every tenth
//! case runs to the stage's end all the same. A test runs at most [`MAX_CASES`] cases and prints how many it leaves out;
//! `BAKELINE_TEST_CRASH=all` runs every case to the stage's end, and a number there is a smaller maximum.

mod convergence;
mod run;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, OnceLock};

use bakeline::evidence::Stage;
use bakeline_rehearsal::faults::{Fault, FaultPlan, When};
use bakeline_rehearsal::transcript::Record;

use self::run::{End, Snapshot, Undisturbed};
use crate::support::{Moment, plan};
use crate::trail::Trail;

/// What every call meets.
pub fn faults() -> [(&'static str, Fault); 5] {
    [
        ("killed before", Fault::KillBefore),
        ("killed after", Fault::KillAfter),
        ("reply lost", Fault::LoseReply),
        ("refused", Fault::Throttle),
        ("stale read", Fault::StaleRead),
    ]
}

/// The refusal that a call meets: calls of one operation take turns with its throttling and its modeled server errors.
fn refusal(record: &Record, call: usize) -> Fault {
    let mut refusals = Fault::modeled_errors(&record.service, &record.operation);
    refusals.push(Fault::Throttle);
    refusals.push(Fault::server_error());
    refusals.swap_remove(call % refusals.len())
}

/// Operations that change nothing when they are repeated with the same input.
///
/// - `AcknowledgeJob` repeats an acknowledgement.
/// - `PutParameter` of type `aws:ec2:image`: the value is invisible until SSM has validated it, so a worker killed in
///   between writes it again.
/// - `BatchDeleteImage` answers for a digest that is gone with a failure in the list.
/// - `BatchImportFindings` replaces a finding of the same id.
/// - `UpdateImageStorageClass` of an image that is archived already, after a stale read.
const REPEATABLE: [&str; 5] =
    ["AcknowledgeJob", "BatchDeleteImage", "BatchImportFindings", "PutParameter", "UpdateImageStorageClass"];

/// Calls that change something and were carried out more than once with the same input.
///
/// A call under a client token is carried out once however often it arrives; whether it was is seen in the trail.
/// See [`REPEATABLE`] for the others.
pub fn applied_twice<'r>(records: impl IntoIterator<Item = &'r Record>) -> Vec<String> {
    let mut applied: BTreeMap<String, u32> = BTreeMap::new();
    for record in records.into_iter().filter(|record| record.applied && record.mutating) {
        let tokened = ["clientToken", "ClientToken"].iter().any(|member| record.input.get(member).is_some());
        if !tokened && !REPEATABLE.contains(&record.operation.as_str()) {
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
    /// The call's place in the undisturbed run, from zero.
    call: usize,
    name: &'static str,
    fault: Fault,
    /// Where the run begins: far enough back that a stale read has a write before it.
    from: &'r Snapshot,
}

/// All cases of a run, and the calls of which there is no stale read.
///
/// A stale read hides the last write to its service. Of one that nothing was written to there is no such read, and a
/// call that writes reads nothing. S3 answers every read with the last write, and has since 2020.
fn cases(undisturbed: &Undisturbed) -> (Vec<Case<'_>>, Vec<usize>) {
    let records = &undisturbed.records;
    let mut cases = Vec::new();
    let mut without = Vec::new();
    for (call, record) in records.iter().enumerate() {
        for (name, fault) in faults() {
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
            let from = undisturbed.snapshots.iter().rev().find(|snapshot| snapshot.calls <= from);
            let fault = if fault == Fault::Throttle { refusal(record, call) } else { fault };
            cases.push(Case { call, name, fault, from: from.expect("the first one is before every call") });
        }
    }
    (cases, without)
}

/// The maximum number of cases of one test, unless `BAKELINE_TEST_CRASH` or the test has a smaller one.
const MAX_CASES: usize = 400;

/// Runs a stage once for each of its calls and each fault, for at most [`MAX_CASES`] of them; how many cases that were,
/// and those that went wrong.
pub fn crash_everywhere(name: &str, stage: Stage, moment: &Moment) -> (usize, Vec<String>) {
    crash_some(name, stage, moment, |records| 0..records.len(), MAX_CASES)
}

/// As [`crash_everywhere`], for those calls of the undisturbed run that `part` picks: the others are another test's.
pub fn crash_within(
    name: &str,
    stage: Stage,
    moment: &Moment,
    part: impl FnOnce(&[Record]) -> Range<usize>,
) -> (usize, Vec<String>) {
    crash_some(name, stage, moment, part, MAX_CASES)
}

/// As [`crash_within`], for at most so many cases, spread evenly over the run, the calls and the faults. All of them run
/// with `BAKELINE_TEST_CRASH=all`.
pub fn crash_some(
    name: &str,
    stage: Stage,
    moment: &Moment,
    part: impl FnOnce(&[Record]) -> Range<usize>,
    most: usize,
) -> (usize, Vec<String>) {
    let undisturbed = run::undisturbed(moment, stage);
    let twice = applied_twice(&undisturbed.records);
    assert!(twice.is_empty(), "{name}: undisturbed, and yet carried out twice: {twice:#?}");
    let part = part(&undisturbed.records);
    let (mut cases, mut without) = cases(&undisturbed);
    cases.retain(|case| part.contains(&case.call));
    without.retain(|call| part.contains(call));
    let all = cases.len();
    let most = if run_all() { usize::MAX } else { max_cases().map_or(most, |max| max.min(most)) };
    if all > most {
        let every = all.div_ceil(most);
        // Calls have four or five faults each: a stride that shares no factor with either meets all of them.
        let stride = (every..every + 10).find(|stride| stride % 2 != 0 && stride % 5 != 0).unwrap_or(every);
        cases = cases.into_iter().step_by(stride).collect();
        let left_out = all - cases.len();
        println!("{name}: {left_out} of {all} cases are left out; BAKELINE_TEST_CRASH=all runs every one");
    }
    let total = cases.len();
    println!(
        "{name}: {} of {} calls, {total} cases; {} stale reads that cannot be: nothing was written, or the call writes",
        part.len(),
        undisturbed.records.len(),
        without.len()
    );
    let queue = Mutex::new(cases.into_iter().enumerate());
    let wrong = Mutex::new(Vec::new());
    let converged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                loop {
                    let Some((nth, case)) = queue.lock().unwrap().next() else { break };
                    let _core = Core::take();
                    let to_the_end = run_all() || nth % 10 == 0;
                    let (differences, stopped_early) = check(&case, stage, &undisturbed, to_the_end);
                    converged.fetch_add(usize::from(stopped_early), Ordering::Relaxed);
                    if !differences.is_empty() {
                        let met = &undisturbed.records[case.call];
                        let line = format!(
                            "{name}: call {}, {}:{}, {}: {}",
                            case.call + 1,
                            met.service,
                            met.operation,
                            case.name,
                            differences.join("; ")
                        );
                        println!("WRONG {line}");
                        wrong.lock().unwrap().push(line);
                    }
                }
            });
        }
    });
    println!("{name}: {} of {total} cases converged before the end", converged.into_inner());
    (total, wrong.into_inner().unwrap())
}

/// Whether every case is run, each of them to the stage's end.
fn run_all() -> bool {
    std::env::var("BAKELINE_TEST_CRASH").as_deref() == Ok("all")
}

/// The maximum number of cases of every test: a number in `BAKELINE_TEST_CRASH`.
fn max_cases() -> Option<usize> {
    let value = std::env::var("BAKELINE_TEST_CRASH").ok()?;
    let number = value.parse().ok().filter(|number| *number > 0);
    assert!(number.is_some(), "BAKELINE_TEST_CRASH is {value}, expected `all` or a number above 0");
    number
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

/// One of the machine's cores. All crash tests of this process share them: a case runs only while it has one.
struct Core;

fn free_cores() -> &'static (Mutex<usize>, Condvar) {
    static FREE: OnceLock<(Mutex<usize>, Condvar)> = OnceLock::new();
    FREE.get_or_init(|| (Mutex::new(cores()), Condvar::new()))
}

impl Core {
    fn take() -> Self {
        let (free, freed) = free_cores();
        let mut free = freed.wait_while(free.lock().unwrap(), |free| *free == 0).unwrap();
        *free -= 1;
        Self
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let (free, freed) = free_cores();
        *free.lock().unwrap() += 1;
        freed.notify_one();
    }
}

/// Runs one case: everything in which it is not the undisturbed run, and whether it ended before the stage did.
fn check(case: &Case<'_>, stage: Stage, expected: &Undisturbed, to_the_end: bool) -> (Vec<String>, bool) {
    let nth = case.call - case.from.calls;
    let index = u64::try_from(nth).expect("fits") + 1;
    let plan = FaultPlan::default().rule(When::index(index), case.fault.clone());
    let until = (!to_the_end).then_some((&expected.checkpoints, case.call));
    let disturbed = run::disturbed(&case.from.moment, stage, plan, until);
    let mut wrong = Vec::new();
    // The fault met the call it was meant for, or the case proves nothing.
    let meant = &expected.records[case.call];
    let met = disturbed.records.get(nth);
    if !met.is_some_and(|met| {
        (&met.service, &met.operation) == (&meant.service, &meant.operation)
            && met.fault.as_ref().is_some_and(|fault| fault.took_effect)
    }) {
        wrong.push(format!("the fault met {met:?}"));
    }
    let before = &expected.records[..case.from.calls];
    let now = disturbed.records.last().map(|record| record.at);
    let after = match &disturbed.end {
        // What follows is what the undisturbed run did from there.
        End::Converged { calls } => &expected.records[*calls..],
        End::Ended { status, trail } => {
            if *status != expected.status {
                let failed =
                    disturbed.records.iter().find(|record| record.operation == "PutJobFailureResult");
                let message = failed.map(|record| &record.input["failureDetails"]["message"]);
                wrong.push(format!("ended {status:?} instead of {:?}: {message:?}", expected.status));
            }
            wrong.extend(differences(&expected.trail, trail));
            &[]
        }
    };
    // It may have waited longer at this checkpoint than the disturbed run has.
    let to_come = after.iter().filter(|record| Some(record.at) > now);
    wrong.extend(applied_twice(before.iter().chain(&disturbed.records).chain(to_come)));
    (wrong, matches!(disturbed.end, End::Converged { .. }))
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
        (
            Stage::Test,
            "images: {baked: {instance: {commands: [{contains: web, exit_code: 1, stderr: no}]}}}\n",
        ),
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
