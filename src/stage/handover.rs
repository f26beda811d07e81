//! The hand-over between stages: a stage verifies its input artifact before it acts, and signs its output artifact.

mod error;

use std::collections::BTreeMap;

use crate::artifact::{ArchiveFault, ArchiveWriter, ArtifactError, Caps, EntryPath, Finished};
use crate::engine::{StageError, Timestamp};
use crate::evidence::layout::{self, SPEC};
use crate::evidence::predicate::{Predicate, TestOutcome, TestResult};
use crate::evidence::{
    self, Chain, ContainerIdentity, Expectation, ImageIdentity, Link, NamedBytes, ResourceDescriptor, Run,
    Sha256, Stage, Statement, System,
};
use crate::spec::{Bake, ReleaseSpec};

pub use error::HandoverError;

use super::context::Cx;
use super::store::{Files, Input, input, output};

/// The release spec's path in the source, unless the action's configuration names another one.
pub const SPEC_FILE: &str = "bakeline.yaml";

/// The action's configuration property that names the spec file.
pub const SPEC_PROPERTY: &str = "Spec";

/// Limits of an artifact between stages: the spec, scripts, reports and statements, all in memory.
#[must_use]
pub fn hand_over_caps() -> Caps {
    Caps {
        entries: 1000,
        entry_bytes: 4 << 20,
        total_bytes: 16 << 20,
        archive_bytes: 16 << 20,
        // Stages write none.
        links: false,
        ..Caps::default()
    }
}

/// The files of a release's artifact.
#[derive(Clone, Debug)]
pub struct ReleaseFiles {
    /// The service, as the spec names it.
    pub service: String,
    /// Every file beside the statements, by path.
    pub files: Files,
    /// The statements so far, by path.
    pub statements: Files,
    /// SHA-256 of the source artifact.
    pub source: Option<Sha256>,
}

/// The source artifact, as the bake stage reads it: the spec and the files that the spec names.
#[derive(Debug)]
pub struct Source {
    pub spec: ReleaseSpec,
    pub archive: Input,
    /// The spec and the files it names, by their path in the output artifact.
    pub files: Files,
}

/// A verified input artifact.
#[derive(Debug)]
pub struct Release {
    pub spec: ReleaseSpec,
    pub chain: Chain,
    pub artifact: ReleaseFiles,
}

impl Source {
    /// Reads the spec and the files it names: a few small reads, whatever the size of the artifact.
    ///
    /// # Errors
    /// The artifact cannot be read, the spec has mistakes, or a file that it names is missing.
    pub async fn open(cx: &Cx) -> Result<Self, StageError> {
        let archive = cx.store.open(input(&cx.job.inputs)?, &Caps::default()).await?;
        let property = cx.job.configuration.get(SPEC_PROPERTY);
        let (name, what) = spec_path(property)?;
        let text = read(&archive, name, SPEC_BYTES, what).await;
        let text = text.map_err(|error| below_one_folder(error, &archive, name))?;
        let spec = ReleaseSpec::parse(&text, name).map_err(StageError::config)?;
        cx.record_service(&spec.service);
        let mut files = Files::from([(SPEC.to_owned(), text)]);
        for (path, what) in named_files(&spec) {
            let bytes = read(&archive, path, SCRIPT_BYTES, what).await?;
            let path = layout::source(path);
            if path == SPEC && name != SPEC_FILE {
                let spec = name.to_owned();
                return Err(HandoverError::SpecPathTaken { spec, file: SPEC_FILE }.into());
            }
            files.insert(path, bytes);
        }
        Ok(Self { spec, archive, files })
    }
}

/// The path of the spec in the source, and its description for messages.
fn spec_path(property: Option<&str>) -> Result<(&str, &'static str), HandoverError> {
    let Some(value) = property else { return Ok((SPEC_FILE, "the release spec")) };
    let path = value.strip_prefix("./").unwrap_or(value);
    match EntryPath::new(path) {
        Ok(_) => {
            Ok((path, "the release spec, which the property `Spec` of the action's configuration names"))
        }
        Err(source) => Err(HandoverError::SpecProperty { value: value.to_owned(), source }),
    }
}

/// The files of the source that a spec names, each with a description for messages.
fn named_files(spec: &ReleaseSpec) -> Vec<(&str, &'static str)> {
    let checks = spec.test.iter().flat_map(|test| &test.checks);
    let script = "a script that the spec names";
    let scripts = checks.filter_map(|check| Some((check.script.as_ref()?.path.as_str(), script)));
    scripts.chain(spec.bake.iter().flat_map(Bake::documents)).collect()
}

/// `SendCommand` takes a script as a parameter of a document, and limits parameters to 64 KiB.
const SCRIPT_BYTES: u64 = 48 << 10;
const SPEC_BYTES: u64 = 256 << 10;

/// Reads one file of the source. A missing file is a mistake of the release, not of the worker.
async fn read(archive: &Input, path: &str, max: u64, what: &str) -> Result<Vec<u8>, StageError> {
    archive.read(&entry(path)?, max).await.map_err(|error| match error {
        ArtifactError::Refused { origin, fault: ArchiveFault::NoEntry { entry } } => {
            HandoverError::NoFile { origin, path: entry.to_string(), what: what.to_owned() }.into()
        }
        other => other.into(),
    })
}

/// The only folder at the top of an archive that has no file at its top.
fn only_folder(files: &[EntryPath]) -> Option<&str> {
    let first = files.first()?.folders().next()?;
    files.iter().all(|path| path.folders().next() == Some(first)).then_some(first)
}

/// Names the folder if the whole source, with its spec, is in one folder: a zip of a folder in place of its content.
fn below_one_folder(error: StageError, archive: &Input, spec: &str) -> StageError {
    let files = archive.files();
    let Some(folder) = only_folder(&files) else { return error };
    let below = format!("{folder}/{spec}");
    if files.iter().any(|path| path.as_str() == below) {
        let (spec, folder) = (spec.to_owned(), folder.to_owned());
        return HandoverError::BelowOneFolder { spec, folder, source: Box::new(error) }.into();
    }
    error
}

fn entry(path: &str) -> Result<EntryPath, StageError> {
    EntryPath::new(path).map_err(|source| HandoverError::Path { path: path.to_owned(), source }.into())
}

impl Release {
    /// Reads the input artifact of `stage` and verifies its chain as of `at`, when the action began: a statement that
    /// was valid then must not expire in the middle of the action.
    ///
    /// # Errors
    /// The artifact cannot be read, its chain is refused, or the release did not pass its test.
    pub async fn open(cx: &Cx, stage: Stage, at: Timestamp) -> Result<Self, StageError> {
        let all = cx.store.read(input(&cx.job.inputs)?, &hand_over_caps()).await?;
        let absent = absent(stage, &all);
        let last = Stage::ALL.into_iter().rfind(|earlier| *earlier < stage && !absent.contains(earlier));
        let (chain, artifact) = verify(cx, all, (last, absent), at, Some(&cx.job.key.attempt_id))?;
        if let Some(test) = chain.stage(Stage::Test) {
            passed(&test.statement)?;
        }
        let text = artifact.files.get(SPEC).ok_or(HandoverError::NoSpec)?;
        let spec = ReleaseSpec::parse(text, SPEC_FILE).map_err(StageError::config)?;
        cx.record_service(&spec.service);
        Ok(Self { spec, chain, artifact })
    }

    /// The release's machine image in a Region.
    ///
    /// # Errors
    /// The chain has no image there, or several.
    pub fn image_in(&self, region: &str) -> Result<&ImageIdentity, StageError> {
        let here = self.chain.images().iter().filter(|image| image.region == region);
        only(here, "machine image", region)
    }

    /// The release's images as the subjects of a statement: its machine images, or its container images.
    #[must_use]
    pub fn subjects(&self) -> Vec<ResourceDescriptor> {
        let machines = self.chain.images().iter().map(ImageIdentity::subject);
        machines.chain(ContainerIdentity::subjects(self.chain.containers())).collect()
    }

    /// The release's container image in a Region.
    ///
    /// # Errors
    /// The chain has no container image there, or several.
    pub fn container_in(&self, region: &str) -> Result<&ContainerIdentity, StageError> {
        let here = self.chain.containers().iter().filter(|image| image.region == region);
        only(here, "container image", region)
    }
}

/// The only image of a Region.
fn only<'r, T>(
    mut images: impl Iterator<Item = &'r T>,
    kind: &'static str,
    region: &str,
) -> Result<&'r T, StageError> {
    match (images.next(), images.next()) {
        (Some(image), None) => Ok(image),
        (None, _) => Err(HandoverError::Images { found: 0, kind, region: region.to_owned() }.into()),
        (Some(_), Some(_)) => {
            let found = images.count().saturating_add(2);
            Err(HandoverError::Images { found, kind, region: region.to_owned() }.into())
        }
    }
}

/// Refuses a release that did not pass its test: a failed test stores its signed record at its output's location, too.
fn passed(test: &Statement) -> Result<(), StageError> {
    let result: TestResult = test.predicate_as().map_err(HandoverError::TestResult)?;
    match result.result {
        TestOutcome::Passed | TestOutcome::Warned => Ok(()),
        TestOutcome::Failed => Err(HandoverError::TestFailed { failed: result.failed_tests }.into()),
    }
}

/// The stages that a release does not have on its way to `stage`, by the spec among the files. A cleanup follows the
/// test if the spec has no section `promote`: then something else deploys the container image. No stage acts on a
/// release that was not tested.
///
/// The spec is read before it is verified. The chain verifies it, since the bake's statement has its digest.
#[must_use]
pub fn absent(stage: Stage, files: &Files) -> &'static [Stage] {
    if stage != Stage::Cleanup {
        return &[];
    }
    let spec = files.get(SPEC).and_then(|text| ReleaseSpec::parse(text, SPEC_FILE).ok());
    if spec.is_some_and(|spec| spec.promote.is_none()) { &[Stage::Promote] } else { &[] }
}

/// Verifies the statements among `all`, up to the `last` stage and without the `absent` ones, and the other files.
fn verify(
    cx: &Cx,
    all: Files,
    (last, absent): (Option<Stage>, &[Stage]),
    at: Timestamp,
    own: Option<&str>,
) -> Result<(Chain, ReleaseFiles), StageError> {
    let (statements, files): (Files, Files) =
        all.into_iter().partition(|(path, _)| path.starts_with(layout::STATEMENTS));
    let envelopes: Vec<NamedBytes<'_>> =
        statements.iter().map(|(name, bytes)| NamedBytes { name, bytes }).collect();
    let expect = Expectation {
        pipeline: Some(&cx.job.pipeline_arn),
        run_id: Some(&cx.job.key.run_id),
        allow_other_run: false,
        last,
        absent,
        attempt_id: own,
        now: at.date_time(),
        files: &digests(&files),
    };
    let chain = evidence::verify(&envelopes, &cx.authority.trust, &expect)?;
    let link = &chain.first().link;
    let (service, source) = (link.service.clone(), link.source);
    Ok((chain, ReleaseFiles { service, files, statements, source }))
}

fn digests(files: &Files) -> BTreeMap<String, Sha256> {
    files.iter().map(|(path, bytes)| (path.clone(), Sha256::of(bytes))).collect()
}

/// Signs the statement of `stage` about `images`, packs it with the artifact's files, and stores the output artifact.
///
/// A second run of the same hand-over finds the first one's output: it adopts an output whose last statement this
/// action execution made, and refuses any other. Returns the digest of that statement.
///
/// # Errors
/// The statement cannot be signed, or the output cannot be stored and read back.
pub async fn hand_over<P: Predicate>(
    cx: &Cx,
    stage: Stage,
    images: &[ImageIdentity],
    predicate: &P,
    artifact: ReleaseFiles,
    valid_for: std::time::Duration,
) -> Result<Sha256, StageError> {
    let subjects = images.iter().map(ImageIdentity::subject).collect();
    hand_over_about(cx, stage, subjects, predicate, artifact, valid_for).await
}

/// As [`hand_over`], about any subjects.
///
/// # Errors
/// As [`hand_over`].
pub async fn hand_over_about<P: Predicate>(
    cx: &Cx,
    stage: Stage,
    subjects: Vec<ResourceDescriptor>,
    predicate: &P,
    mut artifact: ReleaseFiles,
    valid_for: std::time::Duration,
) -> Result<Sha256, StageError> {
    let to = output(&cx.job.outputs)?;
    let issued = cx.now();
    let position = u32::try_from(artifact.statements.len()).unwrap_or(u32::MAX).saturating_add(1);
    let previous = artifact.statements.last_key_value().map(|(_, bytes)| Sha256::of(bytes));
    let link = Link {
        run: run(cx),
        service: artifact.service.clone(),
        stage,
        position,
        previous,
        issued_on: issued.date_time(),
        hand_over_expires_on: issued.plus(valid_for).date_time(),
        files: digests(&artifact.files),
        source: artifact.source,
    };
    let statement = Statement::new(subjects, predicate, &link)
        .map_err(|source| HandoverError::Statement { stage, source })?;
    let envelope = evidence::seal(&statement, &cx.authority.signer).await?.encode();
    let digest = Sha256::of(&envelope);
    artifact.statements.insert(layout::statement(position, stage), envelope);
    match cx.store.put(to, &pack(&artifact)?).await {
        Ok(_) => Ok(digest),
        Err(ArtifactError::Occupied { .. }) => adopt(cx, stage, issued).await,
        Err(other) => Err(other.into()),
    }
}

/// The run that the job belongs to.
fn run(cx: &Cx) -> Run {
    Run {
        system: System::CodePipeline,
        pipeline: cx.job.pipeline_arn.clone(),
        run_id: cx.job.key.run_id.clone(),
        attempt_id: cx.job.key.attempt_id.clone(),
    }
}

/// The digest of the statement that an earlier run of the same hand-over stored.
async fn adopt(cx: &Cx, stage: Stage, at: Timestamp) -> Result<Sha256, StageError> {
    let to = output(&cx.job.outputs)?;
    let all = cx.store.read_output(to, &hand_over_caps()).await?;
    let absent = absent(stage, &all);
    let (chain, _) = verify(cx, all, (Some(stage), absent), at, None)?;
    if chain.last().link.run.attempt_id != cx.job.key.attempt_id {
        return Err(HandoverError::OutputTaken { output: to.name.clone() }.into());
    }
    Ok(chain.last().digest)
}

fn pack(artifact: &ReleaseFiles) -> Result<Finished, StageError> {
    let mut writer = ArchiveWriter::new()?;
    for (path, bytes) in artifact.files.iter().chain(&artifact.statements) {
        writer.add(&entry(path)?, bytes)?;
    }
    Ok(writer.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stage_acts_on_a_release_that_failed_its_test() {
        let image = ImageIdentity {
            account: "123456789012".into(),
            creation_date: "2026-01-01T00:00:00.000Z".into(),
            image_id: "ami-1".into(),
            name: "web".into(),
            region: "eu-west-1".into(),
        };
        let check = |result| {
            let predicate = TestResult {
                result,
                configuration: Vec::new(),
                url: None,
                passed_tests: Vec::new(),
                warned_tests: Vec::new(),
                failed_tests: vec!["serves".into()],
            };
            let link = Link {
                run: Run {
                    system: System::CodePipeline,
                    pipeline: "arn".into(),
                    run_id: "e".into(),
                    attempt_id: "a".into(),
                },
                service: "web".into(),
                stage: Stage::Test,
                position: 2,
                previous: Some(Sha256::of(b"")),
                issued_on: Timestamp(0).date_time(),
                hand_over_expires_on: Timestamp(1).date_time(),
                files: BTreeMap::new(),
                source: None,
            };
            passed(&Statement::new(vec![image.subject()], &predicate, &link).unwrap())
        };
        assert!(check(TestOutcome::Passed).is_ok());
        assert!(check(TestOutcome::Warned).is_ok());
        let refused = check(TestOutcome::Failed).unwrap_err();
        assert!(matches!(refused.module(), Some(HandoverError::TestFailed { .. })));
        assert_eq!(refused.to_string(), "the release did not pass its test; failed checks: serves");
    }
}
