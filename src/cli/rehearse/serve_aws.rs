//! `bakeline serve-aws`: the embedded AWS on a loopback address, for clients outside this process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::listen::Listener;
use bakeline_rehearsal::setup::{Provisioned, provision_another};
use bakeline_rehearsal::timeline::Timeline;

use super::{EPOCH, Plan, collect_artifacts, provision, write_transcript};
use crate::cli::exit::CliError;
use crate::cli::say;
use crate::engine::clock::Mapping;
use crate::engine::error::with_causes;

/// Arguments of `bakeline serve-aws`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Release specs; the embedded AWS has what each of them names, and a started execution of its pipeline
    #[arg(value_name = "SPEC", default_value = "bakeline.yaml")]
    specs: Vec<PathBuf>,
    /// The folder that is the source artifact, if the specs are in folders below it; their paths start there
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// How images behave, how builds end and which calls fail
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// The loopback address to listen on; port 0 takes a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Virtual seconds in one second of wall-clock time
    #[arg(long, value_name = "N", default_value_t = 60.0)]
    speed: f64,
    /// The folder for the trust root
    #[arg(long, value_name = "DIR", default_value = ".bakeline/rehearsal")]
    out: PathBuf,
    /// Write every API call to this file as a JSON line when the server stops
    #[arg(long, value_name = "FILE")]
    transcript: Option<PathBuf>,
}

/// Serves the embedded AWS until SIGINT or SIGTERM.
pub fn main(args: &Args) -> Result<(), CliError> {
    if !args.speed.is_finite() || args.speed <= 0.0 {
        return Err(CliError::usage(
            "--speed is not more than zero",
            "with --speed 60 an hour passes in a minute",
        ));
    }
    let [first, others @ ..] = args.specs.as_slice() else {
        return Err(CliError::usage("no release spec is given", "name one, such as bakeline.yaml"));
    };
    let plan = Plan::read_below(args.root.as_deref(), first, args.scenario.as_deref())?;
    crate::cli::runtime()?.block_on(async {
        let (mut world, provisioned) = provision(&plan)?;
        for spec in others {
            let other = Plan::read_below(args.root.as_deref(), spec, None)?;
            (world, _) = provision_another(world, &other.setup, &plan.scenario).map_err(|error| {
                CliError::data(
                    format!("{}: {error}", spec.display()),
                    "each release needs its own service name and resource names",
                )
            })?;
        }
        let timeline = Timeline::scaled(EPOCH, args.speed);
        let cloud = Cloud::new(world, timeline);
        cloud.set_faults(plan.scenario.fault_plan(EPOCH));
        let listener = Listener::bind(args.listen).await.map_err(|error| {
            CliError::unavailable(with_causes(&error), "give a free loopback address, such as 127.0.0.1:0")
        })?;
        collect_artifacts::write_trust_root(&provisioned, &args.out)?;
        print_environment(&listener, &provisioned, &plan, timeline, &args.out)?;
        listener.serve(cloud.clone(), stop_signal()).await;
        write_transcript(&cloud, args.transcript.as_deref())
    })
}

/// Resolves at SIGINT or SIGTERM.
async fn stop_signal() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Prints the environment variables with which any client uses this AWS.
fn print_environment(
    listener: &Listener,
    provisioned: &Provisioned,
    plan: &Plan,
    timeline: Timeline,
    out: &Path,
) -> Result<(), CliError> {
    let Timeline::Scaled { real_epoch_ms, epoch, speed } = timeline else { return Ok(()) };
    let clock = Mapping { real_epoch_ms, epoch_ms: epoch.0, speed };
    for (name, value) in [
        ("AWS_ENDPOINT_URL", format!("http://{}", listener.address())),
        ("AWS_ACCESS_KEY_ID", provisioned.credentials.access_key_id.clone()),
        ("AWS_SECRET_ACCESS_KEY", provisioned.credentials.secret_access_key.clone()),
        ("AWS_REGION", plan.setup.region.clone()),
        // boto3 and version 1 of the AWS CLI read this one.
        ("AWS_DEFAULT_REGION", plan.setup.region.clone()),
        ("BAKELINE_TEST_CLOCK", clock.to_string()),
        ("BAKELINE_SIGNING_KEY", format!("kms:{}", provisioned.signing_key)),
        ("BAKELINE_TRUST", format!("file:{}", out.join(collect_artifacts::TRUST).display())),
    ] {
        say(&format!("export {name}={value}"))?;
    }
    say(&format!("# pipeline {} execution {}", provisioned.pipeline_arn, provisioned.execution))
}
