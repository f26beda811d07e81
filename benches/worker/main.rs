//! `scripts/bench worker`: what a job and a waiting action cost a worker process, beside a worker made with boto3.
//!
//! Both run against the same endpoint in a process of its own, which answers the job protocol from templates and costs
//! next to nothing; its CPU time is told apart. Three measurements: jobs without work (polled, acknowledged, answered),
//! slices of a bake whose image is being built (the spec read from the source artifact, the execution and the build
//! looked at, answered with a token), and actions that wait.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark measures real time, and fails loudly"
)]

mod endpoint;
mod floor;
mod process;

use std::path::Path;
use std::time::{Duration, Instant};

use bakeline::artifact::{ArchiveWriter, EntryPath};
use endpoint::Control;
use process::{Measured, Process};

/// Jobs without work that the worker is given, and the boto3 worker.
const JOBS: (u64, u64) = (20_000, 2_000);
/// Slices that the worker is given, and the boto3 worker.
const SLICES: (u64, u64) = (5_000, 500);
/// Actions in flight in the worker, and in the boto3 worker, which holds each in a thread.
const IN_FLIGHT: (u64, u64) = (10_000, 1_000);
/// Calls that a process makes which does nothing else.
const CALLS: u64 = 20_000;
const SOURCE: &str = "source.zip";
/// How long an idle worker with all its actions in flight is watched.
const WATCHED: Duration = Duration::from_secs(10);
/// Jobs a second that come in while it is watched for how soon it claims.
const RATE: u64 = 100;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    match arguments.next().as_deref() {
        Some("endpoint") => endpoint::serve(Path::new(&arguments.next().unwrap())),
        Some("calls") => floor::call(&arguments.next().unwrap(), arguments.next().unwrap().parse().unwrap()),
        python => compare(python),
    }
}

fn compare(python: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    keys(folder);
    source(folder);
    println!(
        "| worker | start to first poll ms | jobs/s | CPU µs a job | endpoint CPU µs a job | claim ms p50/p99 |"
    );
    println!("|---|---|---|---|---|---|");
    let ours = |control: &Control, slots: &str| Process::bakeline(control, folder, slots);
    let one = throughput("bakeline", folder, JOBS.0, |control| ours(control, "100"));
    let theirs = python.map(|python| {
        throughput("boto3, 8 threads", folder, JOBS.1, |control| Process::boto3(control, python, 8))
    });
    println!("\n| worker | slices/s | CPU µs a slice | endpoint CPU µs a slice | calls a slice |");
    println!("|---|---|---|---|---|");
    let slice = slices("bakeline", folder, SLICES.0, |control| ours(control, "100"));
    let slice_theirs = python.map(|python| {
        slices("boto3, 8 threads", folder, SLICES.1, |control| Process::boto3(control, python, 8))
    });
    println!("\n| worker | in flight | peak RSS MiB | KiB an action | idle CPU % |");
    println!("|---|---|---|---|---|");
    let held = in_flight("bakeline", folder, IN_FLIGHT.0, |control| ours(control, "100"));
    let threads = usize::try_from(IN_FLIGHT.1).unwrap();
    let held_theirs = python.map(|python| {
        in_flight("boto3, a thread each", folder, IN_FLIGHT.1, |control| {
            Process::boto3(control, python, threads)
        })
    });
    println!("\n| a call and nothing else | CPU µs a call | endpoint CPU µs a call |");
    println!("|---|---|---|");
    floor("the SDK's client", "sdk", folder);
    floor("bytes over a socket, not signed", "socket", folder);
    if let (Some(theirs), Some(slice_theirs), Some(held_theirs)) = (theirs, slice_theirs, held_theirs) {
        println!(
            "\njobs per CPU second: {:.1} times boto3's; slices per CPU second: {:.1} times; memory an action in flight: \
             1/{:.1}",
            theirs / one,
            slice_theirs / slice,
            held_theirs / held
        );
    }
}

/// A signing key and a trust root, so that nothing but the job protocol is called.
fn keys(folder: &Path) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/evidence");
    std::fs::copy(golden.join("keys/p256-pkcs8.pem"), folder.join("key.pem")).unwrap();
    std::fs::copy(golden.join("trust.yaml"), folder.join("trust.yaml")).unwrap();
}

/// The source artifact of the jobs.
fn source(folder: &Path) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/crash");
    let mut archive = ArchiveWriter::new().unwrap();
    for path in ["bakeline.yaml", "checks/serves.sh"] {
        let content = std::fs::read(fixture.join(path)).unwrap();
        archive.add(&EntryPath::new(path).unwrap(), &content).unwrap();
    }
    std::fs::copy(archive.finish().unwrap().path(), folder.join(SOURCE)).unwrap();
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.1}", seconds * 1e3)
}

fn percentile(sorted: &[u64], share: usize) -> f64 {
    let at = (sorted.len() * share / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |nanos| *nanos as f64 / 1e6)
}

/// CPU seconds of the worker for a job without work.
fn throughput(name: &str, folder: &Path, jobs: u64, start: impl Fn(&Control) -> Process) -> f64 {
    let control = Control::start(&folder.join(SOURCE));
    let mut starts: Vec<f64> = (0..5)
        .map(|_| {
            control.offer(0, 0, 0);
            let began = Instant::now();
            let worker = start(&control);
            while control.stats().polls == 0 {
                std::thread::yield_now();
            }
            let took = began.elapsed().as_secs_f64();
            worker.end();
            took
        })
        .collect();
    starts.sort_by(f64::total_cmp);
    let worker = polling(&control, start);
    let Carried { took, cpu, endpoint } = carry(&control, &worker, jobs, |control| control.offer(jobs, 0, 0));
    control.pace(RATE, RATE * WATCHED.as_secs());
    while control.stats().done < RATE * WATCHED.as_secs() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut claims = control.claims();
    claims.sort_unstable();
    println!(
        "| {name} | {} | {:.0} | {:.0} | {:.1} | {:.1}/{:.1} |",
        milliseconds(starts[starts.len() / 2]),
        jobs as f64 / took,
        cpu * 1e6,
        endpoint * 1e6,
        percentile(&claims, 50),
        percentile(&claims, 99),
    );
    worker.end();
    cpu
}

/// A worker that has begun to poll and found nothing.
fn polling(control: &Control, start: impl Fn(&Control) -> Process) -> Process {
    control.offer(0, 0, 0);
    let worker = start(control);
    while control.stats().polls == 0 {
        std::thread::yield_now();
    }
    worker
}

/// What carrying out so many jobs took, in seconds.
struct Carried {
    took: f64,
    /// CPU of the worker, a job.
    cpu: f64,
    /// CPU of the endpoint, a job.
    endpoint: f64,
}

fn carry(control: &Control, worker: &Process, jobs: u64, offer: impl Fn(&Control)) -> Carried {
    let (before, endpoint) = (worker.measured(), control.measured());
    let began = Instant::now();
    offer(control);
    while control.stats().done < jobs {
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = began.elapsed().as_secs_f64();
    let each = |after: &Measured, before: &Measured| (after.cpu - before.cpu) / jobs as f64;
    Carried { took, cpu: each(&worker.measured(), &before), endpoint: each(&control.measured(), &endpoint) }
}

/// CPU seconds of the worker for a slice of a bake whose image is being built.
fn slices(name: &str, folder: &Path, slices: u64, start: impl Fn(&Control) -> Process) -> f64 {
    let control = Control::start(&folder.join(SOURCE));
    let worker = polling(&control, start);
    let Carried { took, cpu, endpoint } =
        carry(&control, &worker, slices, |control| control.offer(0, 0, slices));
    // Acknowledged and answered, beside what the slice itself called.
    let calls = 2.0 + control.stats().others as f64 / slices as f64;
    println!(
        "| {name} | {:.0} | {:.0} | {:.0} | {calls:.1} |",
        slices as f64 / took,
        cpu * 1e6,
        endpoint * 1e6,
    );
    worker.end();
    cpu
}

/// What a call costs without a worker.
fn floor(name: &str, how: &str, folder: &Path) {
    let control = Control::start(&folder.join(SOURCE));
    let endpoint = control.measured();
    let process = Process::calls(&control, how, CALLS);
    while control.stats().acknowledged < CALLS {
        std::thread::sleep(Duration::from_millis(5));
    }
    let each = |after: Measured, before: f64| (after.cpu - before) / CALLS as f64 * 1e6;
    println!(
        "| {name} | {:.0} | {:.0} |",
        each(process.measured(), 0.0),
        each(control.measured(), endpoint.cpu)
    );
    process.end();
}

/// KiB of the worker for an action that waits.
fn in_flight(name: &str, folder: &Path, actions: u64, start: impl Fn(&Control) -> Process) -> f64 {
    let control = Control::start(&folder.join(SOURCE));
    let worker = polling(&control, start);
    let empty = worker.measured();
    control.offer(0, actions, 0);
    while control.stats().acknowledged < actions {
        std::thread::sleep(Duration::from_millis(5));
    }
    // What claiming left to do settles first.
    std::thread::sleep(Duration::from_secs(3));
    let before = worker.measured();
    std::thread::sleep(WATCHED);
    let after = worker.measured();
    let each = (after.rss - empty.rss) / actions as f64;
    println!(
        "| {name} | {actions} | {:.0} | {:.1} | {:.1} |",
        after.peak / 1024.0,
        each,
        (after.cpu - before.cpu) / WATCHED.as_secs_f64() * 100.0,
    );
    worker.end();
    each
}
