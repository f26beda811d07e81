//! What a rehearsal leaves on disk: the source, each stage's artifact, and the trust root to verify them with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::aws::AwsError;
use crate::cli::exit::CliError;
use crate::cli::job_output::print_outcome;
use crate::engine::error::with_causes;
use crate::engine::{Job, Outcome};
use crate::evidence::Stage;
use crate::spec::ReleaseSpec;
use crate::telemetry::{Event, Telemetry};
use crate::worker::WorkerDeps;
use crate::worker::action::stage_of;
use crate::worker::claim::{self, Claim};
use crate::worker::journal::Journal;
use crate::worker::run_once::run;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::scenario::Scenario;
use bakeline_rehearsal::setup::{Provisioned, Setup};
use bakeline_rehearsal::timeline::Timeline;

use super::{EPOCH, fixtures, output_name, virtual_clock};

/// The file of the trust root in a rehearsal's folder.
pub const TRUST: &str = "trust.yaml";

/// What was put where.
#[derive(Debug, Default)]
pub struct Kept {
    pub folder: PathBuf,
    pub artifacts: BTreeMap<Stage, PathBuf>,
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let failed = |error: std::io::Error| {
        CliError::unavailable(
            format!("{}: {error}", path.display()),
            "name a folder that can be written with --out",
        )
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, bytes).map_err(failed)
}

/// Writes the trust root.
pub fn write_trust_root(provisioned: &Provisioned, folder: &Path) -> Result<(), CliError> {
    write(&folder.join(TRUST), fixtures::trust_root(provisioned).as_bytes())
}

/// Fetches every artifact of the execution from S3.
pub async fn artifacts(
    deps: &WorkerDeps,
    provisioned: &Provisioned,
    setup: &Setup,
    folder: &Path,
) -> Result<Kept, CliError> {
    write_trust_root(provisioned, folder)?;
    write(&folder.join("source.zip"), &setup.source)?;
    let mut kept = Kept { folder: folder.to_owned(), artifacts: BTreeMap::new() };
    let s3 = deps.aws.artifacts(None);
    let mut pages = s3.list_objects_v2().bucket(&provisioned.bucket).into_paginator().send();
    let unfetched = |error: AwsError| CliError::bug(with_causes(&error));
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| unfetched(AwsError::new("s3:ListBucket", &provisioned.bucket, e)))?;
        keys.extend(page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key));
    }
    for stage in Stage::ALL {
        let file = folder.join(format!("{}-{}.zip", stage.ordinal(), stage.name()));
        // One left by an earlier rehearsal must not stand for this one's.
        if file.exists() {
            std::fs::remove_file(&file)
                .map_err(|error| CliError::unavailable(format!("{}: {error}", file.display()), ""))?;
        }
        // CodePipeline cuts artifact names short in keys: PIPELINE/ARTIFACT/RANDOM.
        let of_stage = |key: &&String| {
            key.split('/').nth(1).is_some_and(|cut| !cut.is_empty() && output_name(stage).starts_with(cut))
        };
        let Some(key) = keys.iter().find(of_stage) else { continue };
        let object = s3.get_object().bucket(&provisioned.bucket).key(key).send().await;
        let object = object.map_err(|e| unfetched(AwsError::new("s3:GetObject", key, e)))?;
        let body = object.body.collect().await.map_err(|error| CliError::bug(error.to_string()))?;
        write(&file, &body.into_bytes())?;
        kept.artifacts.insert(stage, file);
    }
    Ok(kept)
}

/// Founds a world for the source the job was given, lets the worker go as far as the job's stage, and runs that
/// stage's job with the configuration of the document.
pub fn one_job(
    runtime: tokio::runtime::Runtime,
    job: Job,
    inputs: &BTreeMap<String, PathBuf>,
    output: Option<PathBuf>,
) -> Result<(), CliError> {
    let Some(stage) = stage_of(&job.action_type) else {
        return Err(CliError::data(
            "the job is not of an action type of bakeline",
            crate::worker::action::ACTION_TYPES,
        ));
    };
    let source = inputs.get("SourceArtifact").ok_or_else(|| {
        CliError::usage(
            "a rehearsal needs the release's source",
            "add --input SourceArtifact=FILE, a zip or the folder of the spec",
        )
    })?;
    let spec = job
        .configuration
        .get(crate::stage::handover::SPEC_PROPERTY)
        .unwrap_or(crate::stage::handover::SPEC_FILE);
    let (bytes, text) = read_source(source, spec)?;
    let release =
        ReleaseSpec::parse(&text, spec).map_err(|mistakes| CliError::data(mistakes.to_string(), ""))?;
    let plan = super::Plan {
        setup: fixtures::setup(&release, bytes.into(), spec),
        scenario: Scenario::default(),
        environments: fixtures::environments(&release),
    };
    runtime.block_on(async {
        let (world, provisioned) = super::provision(&plan)?;
        let cloud = Cloud::new(world, Timeline::tokio(EPOCH));
        let clock = virtual_clock();
        let telemetry = Telemetry::with_observer(|now, label, event| {
            crate::cli::job_output::print_progress(now, label.stage.name(), event);
        });
        let mut deps = fixtures::worker_deps(
            &cloud,
            &provisioned,
            &plan.setup.region,
            &clock,
            Arc::new(Journal::in_memory()),
            telemetry,
        )
        .await?;
        deps.environments = plan.environments.clone();
        let outcome = until(&deps, stage).await?;
        let folder = output.unwrap_or_else(|| PathBuf::from(".bakeline/job"));
        artifacts(&deps, &provisioned, &plan.setup, &folder).await?;
        crate::cli::say(&format!("artifacts and trust root: {}", folder.display()))?;
        print_outcome(outcome)
    })
}

/// Works through the stages up to `last` and gives that one's outcome, or that of the one that failed before.
async fn until(deps: &WorkerDeps, last: Stage) -> Result<Outcome, CliError> {
    let outcome: Arc<std::sync::Mutex<Option<Outcome>>> = Arc::default();
    let heard = Arc::clone(&outcome);
    let inner = deps.telemetry.clone();
    let mut deps = deps.clone();
    deps.telemetry = Telemetry::with_observer(move |now, label, event| {
        inner.emit(now, label, event);
        if let Event::Ended { outcome, .. } = event {
            let over = label.stage == last || matches!(outcome, Outcome::Failed(_));
            if over && let Ok(mut slot) = heard.lock() {
                *slot = Some((*outcome).clone());
            }
        }
    });
    loop {
        for stage in Stage::ALL.into_iter().filter(|stage| *stage <= last) {
            let offered =
                claim::poll(&deps, stage, 1).await.map_err(|error| CliError::bug(with_causes(&error)))?;
            for job in offered {
                if let Claim::Ours(job) =
                    claim::acknowledge(&deps, job).await.map_err(|e| CliError::bug(with_causes(&e)))?
                {
                    run(&deps, *job).await.map_err(|error| CliError::bug(with_causes(&error)))?;
                }
            }
            if let Some(outcome) = outcome.lock().ok().and_then(|slot| slot.clone()) {
                return Ok(outcome);
            }
        }
        deps.clock.sleep(super::POLL_INTERVAL).await;
    }
}

/// The source artifact and the spec in it, from a zip or a folder.
fn read_source(path: &Path, spec: &str) -> Result<(Vec<u8>, Vec<u8>), CliError> {
    let bad = |why: String| {
        CliError::data(format!("{}: {why}", path.display()), "give the release's folder, or a zip of it")
    };
    let packed;
    let file = if path.is_dir() {
        packed = super::source::pack(path)?;
        packed.path()
    } else {
        path
    };
    let bytes = std::fs::read(file).map_err(|error| bad(error.to_string()))?;
    let mut archive = crate::artifact::Archive::open(file, &crate::artifact::Caps::default())
        .map_err(|e| bad(with_causes(&e)))?;
    let entry = crate::artifact::EntryPath::new(spec).map_err(|fault| bad(fault.to_string()))?;
    let text = archive.read(&entry, 256 << 10).map_err(|error| bad(with_causes(&error)))?;
    Ok((bytes, text))
}
