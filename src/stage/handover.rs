//! The hand-over between stages: what a stage receives and proves before it acts, and what it leaves, signed.

use std::collections::BTreeMap;

use crate::artifact::{ArchiveFault, ArchiveWriter, ArtifactError, Caps, EntryPath, Finished};
use crate::engine::error::with_causes;
use crate::engine::{StageError, Timestamp};
use crate::evidence::predicate::{Predicate, TestOutcome, TestResult};
use crate::evidence::{
    self, Chain, ContainerIdentity, Expectation, ImageIdentity, Link, NamedBytes, ResourceDescriptor, Sha256,
    Stage, Statement, link,
};
use crate::spec::{Bake, ReleaseSpec};

use super::context::Cx;
use super::store::{Files, Input, input, output};

/// Where the spec lies in a source artifact unless the action's configuration says otherwise.
pub const SPEC: &str = "bakeline.yaml";

/// The action's configuration property that names the spec file.
pub const SPEC_PROPERTY: &str = "Spec";

/// Limits on what travels between stages: the spec, scripts, reports and statements, all held in memory.
#[must_use]
pub fn hand_over_caps() -> Caps {
    Caps {
        entries: 1000,
        entry_bytes: 4 << 20,
        total_bytes: 16 << 20,
        archive_bytes: 16 << 20,
        ..Caps::default()
    }
}

/// What a release takes along from stage to stage.
#[derive(Clone, Debug)]
pub struct ReleaseFiles {
    /// Every file beside the statements.
    pub files: Files,
    /// The statements so far, by path.
    pub statements: Files,
    /// SHA-256 of the source artifact.
    pub source: Option<Sha256>,
}

/// The source artifact, as the bake stage reads it: the spec and the files the spec names.
#[derive(Debug)]
pub struct Source {
    pub spec: ReleaseSpec,
    pub archive: Input,
    /// The spec and the scripts it names.
    pub files: Files,
}

/// What an earlier stage handed over, proved.
#[derive(Debug)]
pub struct Release {
    pub spec: ReleaseSpec,
    pub chain: Chain,
    pub baggage: ReleaseFiles,
}

impl Source {
    /// Reads the spec and the scripts it names: a few small reads, whatever the size of the artifact.
    ///
    /// # Errors
    /// The artifact cannot be read, or the spec has mistakes, or names a script that is not there.
    pub async fn open(cx: &Cx) -> Result<Self, StageError> {
        let archive = cx.store.open(input(&cx.job.inputs)?, &Caps::default()).await?;
        let name = cx.job.configuration.get(SPEC_PROPERTY).unwrap_or(SPEC);
        let text = read(&archive, name, SPEC_BYTES, "the release spec").await?;
        let spec =
            ReleaseSpec::parse(&text, name).map_err(|mistakes| StageError::Config(mistakes.to_string()))?;
        cx.record_service(&spec.service);
        let mut files = Files::from([(SPEC.to_owned(), text)]);
        let checks = spec.test.iter().flat_map(|test| &test.checks);
        for path in checks.filter_map(|check| Some(&check.script.as_ref()?.path)) {
            let what = "a script that the spec names";
            files.insert(path.clone(), read(&archive, path, SCRIPT_BYTES, what).await?);
        }
        for (path, what) in spec.bake.iter().flat_map(Bake::documents) {
            files.insert(path.to_owned(), read(&archive, path, SCRIPT_BYTES, what).await?);
        }
        Ok(Self { spec, archive, files })
    }
}

/// Scripts travel in the parameters of `SendCommand`, whose document parameters are limited to 64 KiB.
const SCRIPT_BYTES: u64 = 48 << 10;
const SPEC_BYTES: u64 = 256 << 10;

/// One file of the source; that it is not there is for whoever wrote the release to mend.
async fn read(archive: &Input, path: &str, max: u64, what: &str) -> Result<Vec<u8>, StageError> {
    archive.read(&entry(path)?, max).await.map_err(|error| match error {
        ArtifactError::Refused { origin, fault: ArchiveFault::NoEntry { entry } } => {
            StageError::Config(format!("{origin} has no file `{entry}`, {what}"))
        }
        other => other.into(),
    })
}

fn entry(path: &str) -> Result<EntryPath, StageError> {
    EntryPath::new(path)
        .map_err(|fault| StageError::Config(format!("`{path}` cannot be a path in an artifact: {fault}")))
}

impl Release {
    /// Reads the input artifact of `stage` and proves its chain as of `at`, when the action began: what was good
    /// enough to begin with must not run out in the middle.
    ///
    /// # Errors
    /// The artifact cannot be read, its chain does not hold, or it says that the release did not pass its test.
    pub async fn open(cx: &Cx, stage: Stage, at: Timestamp) -> Result<Self, StageError> {
        let all = cx.store.read(input(&cx.job.inputs)?, &hand_over_caps()).await?;
        let absent = absent(stage, &all);
        let last = Stage::ALL.into_iter().rfind(|earlier| *earlier < stage && !absent.contains(earlier));
        let (chain, baggage) = prove(cx, all, (last, absent), at, Some(&cx.job.key.attempt_id))?;
        if let Some(test) = chain.stage(Stage::Test) {
            passed(&test.statement)?;
        }
        let text = baggage
            .files
            .get(SPEC)
            .ok_or_else(|| StageError::Config(format!("the input artifact has no {SPEC}")))?;
        let spec =
            ReleaseSpec::parse(text, SPEC).map_err(|mistakes| StageError::Config(mistakes.to_string()))?;
        cx.record_service(&spec.service);
        Ok(Self { spec, chain, baggage })
    }

    /// The release's image in a region.
    ///
    /// # Errors
    /// The chain speaks of no image there, or of several.
    pub fn image_in(&self, region: &str) -> Result<&ImageIdentity, StageError> {
        let mut here = self.chain.images().iter().filter(|image| image.region == region);
        match (here.next(), here.next()) {
            (Some(image), None) => Ok(image),
            (None, _) => Err(StageError::Rejected(format!("the release has no image in {region}"))),
            (Some(_), Some(_)) => Err(StageError::Rejected(format!(
                "the release has several images in {region}; one account's is expected"
            ))),
        }
    }

    /// What the release is about, as the subjects of a statement: its machine images, or its container images.
    #[must_use]
    pub fn subjects(&self) -> Vec<ResourceDescriptor> {
        let machines = self.chain.images().iter().map(ImageIdentity::subject);
        machines.chain(ContainerIdentity::subjects(self.chain.containers())).collect()
    }

    /// The release's container image in a region.
    ///
    /// # Errors
    /// The chain speaks of no container image there, or of several.
    pub fn container_in(&self, region: &str) -> Result<&ContainerIdentity, StageError> {
        let mut here = self.chain.containers().iter().filter(|image| image.region == region);
        match (here.next(), here.next()) {
            (Some(image), None) => Ok(image),
            (None, _) => Err(StageError::Rejected(format!("the release has no container image in {region}"))),
            (Some(_), Some(_)) => Err(StageError::Rejected(format!(
                "the release has several container images in {region}; one repository's is expected"
            ))),
        }
    }
}

/// Refuses a release that did not pass: a failed test leaves its signed record at its output's place too, and nobody
/// may go on from there.
fn passed(test: &Statement) -> Result<(), StageError> {
    let result: TestResult = test.predicate_as().map_err(|fault| {
        let why = with_causes(&fault);
        StageError::Rejected(format!("the input artifact's test result cannot be read: {why}"))
    })?;
    match result.result {
        TestOutcome::Passed | TestOutcome::Warned => Ok(()),
        TestOutcome::Failed => Err(StageError::Rejected(format!(
            "the release did not pass its test; failed checks: {}",
            result.failed_tests.join(", ")
        ))),
    }
}

/// Stages that a release goes without on its way to `stage`, told from the spec among the files: a cleanup follows the
/// test where nothing is promoted, as with a container image that others bring into production. No stage acts on a release
/// that was not tested.
///
/// The spec is read before it is proved. It is proved with the chain, since the bake's statement has its digest.
#[must_use]
pub fn absent(stage: Stage, files: &Files) -> &'static [Stage] {
    if stage != Stage::Cleanup {
        return &[];
    }
    let spec = files.get(SPEC).and_then(|text| ReleaseSpec::parse(text, SPEC).ok());
    if spec.is_some_and(|spec| spec.promote.is_none()) { &[Stage::Promote] } else { &[] }
}

/// Proves the statements among `all`, up to the `last` of those that are not `absent`, and that the other files are those
/// they speak of.
fn prove(
    cx: &Cx,
    all: Files,
    (last, absent): (Option<Stage>, &[Stage]),
    at: Timestamp,
    own: Option<&str>,
) -> Result<(Chain, ReleaseFiles), StageError> {
    let (statements, files): (Files, Files) =
        all.into_iter().partition(|(path, _)| path.starts_with(link::STATEMENTS));
    let envelopes: Vec<NamedBytes<'_>> =
        statements.iter().map(|(name, bytes)| NamedBytes { name, bytes }).collect();
    let expect = Expectation {
        pipeline_arn: Some(&cx.job.pipeline_arn),
        execution_id: Some(&cx.job.key.run_id),
        allow_other_execution: false,
        last,
        absent,
        action_execution_id: own,
        now: at.date_time(),
        files: &digests(&files),
    };
    let chain = evidence::verify(&envelopes, &cx.authority.trust, &expect)?;
    let source = chain.first().link.source;
    Ok((chain, ReleaseFiles { files, statements, source }))
}

fn digests(files: &Files) -> BTreeMap<String, Sha256> {
    files.iter().map(|(path, bytes)| (path.clone(), Sha256::of(bytes))).collect()
}

/// Signs what `stage` has to say about `images`, packs it with everything that travels, and stores the output.
///
/// A repeated hand-over finds the first one: an output that is there already is adopted if its last statement is
/// this action execution's, and refused otherwise. Returns the digest of that statement.
///
/// # Errors
/// The statement could not be signed, or the output not be stored and read back.
pub async fn hand_over<P: Predicate>(
    cx: &Cx,
    stage: Stage,
    images: &[ImageIdentity],
    predicate: &P,
    baggage: ReleaseFiles,
    valid_for: std::time::Duration,
) -> Result<Sha256, StageError> {
    let subjects = images.iter().map(ImageIdentity::subject).collect();
    hand_over_about(cx, stage, subjects, predicate, baggage, valid_for).await
}

/// As [`hand_over`], about subjects that may say more of an image than who it is.
///
/// # Errors
/// As [`hand_over`].
pub async fn hand_over_about<P: Predicate>(
    cx: &Cx,
    stage: Stage,
    subjects: Vec<ResourceDescriptor>,
    predicate: &P,
    mut baggage: ReleaseFiles,
    valid_for: std::time::Duration,
) -> Result<Sha256, StageError> {
    let to = output(&cx.job.outputs)?;
    let issued = cx.now();
    let previous = baggage.statements.last_key_value().map(|(_, bytes)| Sha256::of(bytes));
    let link = Link {
        pipeline_arn: cx.job.pipeline_arn.clone(),
        execution_id: cx.job.key.run_id.clone(),
        action_execution_id: cx.job.key.attempt_id.clone(),
        stage,
        sequence: stage.sequence(),
        previous,
        issued: issued.date_time(),
        expires: issued.plus(valid_for).date_time(),
        files: digests(&baggage.files),
        source: baggage.source,
    };
    let statement = Statement::new(subjects, predicate, &link)
        .map_err(|fault| StageError::Bug(format!("the {stage} statement cannot be made: {fault}")))?;
    let envelope = evidence::seal(&statement, &cx.authority.signer).await?.encode();
    let digest = Sha256::of(&envelope);
    baggage.statements.insert(stage.path().to_owned(), envelope);
    match cx.store.put(to, &pack(&baggage)?).await {
        Ok(_) => Ok(digest),
        Err(ArtifactError::Occupied { .. }) => adopt(cx, stage, issued).await,
        Err(other) => Err(other.into()),
    }
}

/// The statement an earlier run of the same hand-over left at the output's place.
async fn adopt(cx: &Cx, stage: Stage, at: Timestamp) -> Result<Sha256, StageError> {
    let to = output(&cx.job.outputs)?;
    let all = cx.store.read_output(to, &hand_over_caps()).await?;
    let absent = absent(stage, &all);
    let (chain, _) = prove(cx, all, (Some(stage), absent), at, None)?;
    if chain.last().link.action_execution_id != cx.job.key.attempt_id {
        return Err(StageError::Rejected(format!(
            "the place of output {} is taken by another action's artifact",
            to.name
        )));
    }
    Ok(chain.last().digest)
}

fn pack(baggage: &ReleaseFiles) -> Result<Finished, StageError> {
    let mut writer = ArchiveWriter::new()?;
    for (path, bytes) in baggage.files.iter().chain(&baggage.statements) {
        writer.add(&entry(path)?, bytes)?;
    }
    Ok(writer.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_goes_on_from_a_release_that_failed_its_test() {
        let image = ImageIdentity {
            account: "123456789012".into(),
            creation_date: "2026-01-01T00:00:00.000Z".into(),
            image_id: "ami-1".into(),
            name: "web".into(),
            region: "eu-west-1".into(),
        };
        let said = |result| {
            let predicate = TestResult {
                result,
                configuration: Vec::new(),
                url: None,
                passed_tests: Vec::new(),
                warned_tests: Vec::new(),
                failed_tests: vec!["serves".into()],
            };
            let link = Link {
                pipeline_arn: "arn".into(),
                execution_id: "e".into(),
                action_execution_id: "a".into(),
                stage: Stage::Test,
                sequence: Stage::Test.sequence(),
                previous: Some(Sha256::of(b"")),
                issued: Timestamp(0).date_time(),
                expires: Timestamp(1).date_time(),
                files: BTreeMap::new(),
                source: None,
            };
            passed(&Statement::new(vec![image.subject()], &predicate, &link).unwrap())
        };
        assert!(said(TestOutcome::Passed).is_ok());
        assert!(said(TestOutcome::Warned).is_ok());
        let refused = said(TestOutcome::Failed).unwrap_err();
        assert!(matches!(refused, StageError::Rejected(_)));
        assert_eq!(refused.to_string(), "the release did not pass its test; failed checks: serves");
    }
}
