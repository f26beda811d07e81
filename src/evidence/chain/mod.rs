//! The chain of statements of one release, judged before a stage acts on it.
//!
//! [`verify`] is pure: the files, the trust root, what is expected and the time are its arguments.

mod refusal;

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};

pub use refusal::{ChainError, Refusal};

use super::container::ContainerIdentity;
use super::dsse::Envelope;
use super::image::ImageIdentity;
use super::link::{Link, STATEMENTS, Stage};
use super::statement::{ResourceDescriptor, Statement};
use super::trust::{Opened, TrustRoot, TrustedKey};
use crate::digest::Sha256;

/// How far a signer's clock may be ahead of ours, and of the next signer's.
pub const CLOCK_TOLERANCE: Duration = Duration::minutes(5);

/// A file of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedBytes<'a> {
    /// Its path in the artifact.
    pub name: &'a str,
    /// Its content.
    pub bytes: &'a [u8],
}

/// What the chain is expected to be.
#[derive(Debug, Clone)]
pub struct Expectation<'a> {
    /// The pipeline's ARN; if none is given, the statements must still agree on one.
    pub pipeline_arn: Option<&'a str>,
    /// The pipeline execution; if none is given, the statements must still agree on one.
    pub execution_id: Option<&'a str>,
    /// Accept statements of other executions of the same pipeline: the promotion of an earlier release.
    pub allow_other_execution: bool,
    /// The stage whose statement must be the last; if none is given, the chain may end after any stage.
    pub last: Option<Stage>,
    /// Stages that the release goes without, as its spec says: their statements are not missed, and not believed.
    pub absent: &'a [Stage],
    /// The action execution that is about to act: a chain that already has its statement is a replay.
    pub action_execution_id: Option<&'a str>,
    /// The moment of the judgement.
    pub now: OffsetDateTime,
    /// Every file of the artifact beside the statements, as it was read.
    pub files: &'a BTreeMap<String, Sha256>,
}

/// The statements of a release, each verified, in order. There is at least the first.
#[derive(Debug, Clone)]
pub struct Chain {
    first: Verified,
    later: Vec<Verified>,
}

/// A statement of a verified chain.
#[derive(Debug, Clone)]
pub struct Verified {
    /// SHA-256 of its file.
    pub digest: Sha256,
    /// The statement.
    pub statement: Statement,
    /// Its place in the chain.
    pub link: Link,
    /// The machine images among its subjects.
    pub images: Vec<ImageIdentity>,
    /// The copies of container images among its subjects.
    pub containers: Vec<ContainerIdentity>,
    /// The name of the trusted key that signed it.
    pub key: String,
    /// That key's id.
    pub key_id: String,
}

impl Chain {
    /// The statements in order.
    pub fn links(&self) -> impl Iterator<Item = &Verified> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// The first statement, that of the bake.
    #[must_use]
    pub const fn first(&self) -> &Verified {
        &self.first
    }

    /// The last statement.
    #[must_use]
    pub fn last(&self) -> &Verified {
        self.later.last().unwrap_or(&self.first)
    }

    /// The statement of a stage, if the chain has come so far.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> Option<&Verified> {
        self.links().find(|verified| verified.link.stage == stage)
    }

    /// The images the release is about: those of the first statement.
    #[must_use]
    pub fn images(&self) -> &[ImageIdentity] {
        &self.first.images
    }

    /// The copies of container images the release is about: those of the first statement.
    #[must_use]
    pub fn containers(&self) -> &[ContainerIdentity] {
        &self.first.containers
    }

    /// What the next statement must name as the one before it.
    #[must_use]
    pub fn previous(&self) -> Sha256 {
        self.last().digest
    }
}

/// Judges the statements of an artifact. `envelopes` are the files below `statements/`, in any order.
///
/// A chain stands if its files are `statements/1-bake.dsse.json` and those after it without a gap but for the stages that
/// are absent, each
/// - in the one form we write, with one signature, made by the trusted key its `keyid` names, which may sign
///   for that stage and counted when the statement was issued;
/// - of the expected pipeline and execution, made by an action execution that made no other;
/// - naming the digest of the file before it;
/// - issued before now (give or take [`CLOCK_TOLERANCE`]) and after the one before it, and not expired;
/// - about images the first one is about, made from the same source;
///
/// and every file is as the last statement that lists it says, none missing, none unaccounted for.
///
/// # Errors
/// The first thing that does not hold, with the file it was found in.
pub fn verify(
    envelopes: &[NamedBytes<'_>],
    trust: &TrustRoot,
    expect: &Expectation<'_>,
) -> Result<Chain, ChainError> {
    let mut sorted = envelopes.to_vec();
    sorted.sort_by_key(|file| file.name);
    let present: Vec<Stage> = Stage::ALL.into_iter().filter(|stage| !expect.absent.contains(stage)).collect();
    let mut stages = present.iter().copied();
    let mut links: Vec<Verified> = Vec::with_capacity(sorted.len());
    for file in &sorted {
        let in_file = |refusal| ChainError::new(file.name, refusal);
        let Some(stage) = stages.next().filter(|stage| stage.path() == file.name) else {
            let expected = present.get(links.len()).map(|stage| stage.path());
            return Err(in_file(Refusal::UnexpectedFile { expected }));
        };
        let (verified, key) = open(file, trust).map_err(in_file)?;
        judge(&verified, key, stage, &links, expect).map_err(in_file)?;
        links.push(verified);
    }
    let missing = |stage: Stage| ChainError::new(stage.path(), Refusal::Missing { stage });
    let ends = links.last().map(|verified| verified.link.stage);
    match (ends, expect.last) {
        (Some(found), Some(last)) if found < last => {
            // `found` is before `last`, so there is a stage after it.
            return Err(missing(present.iter().copied().find(|stage| *stage > found).unwrap_or(last)));
        }
        (Some(found), Some(last)) if found > last => {
            return Err(ChainError::new(found.path(), Refusal::TooFar { found, last }));
        }
        _ => {}
    }
    let mut links = links.into_iter();
    let Some(first) = links.next() else { return Err(missing(Stage::Bake)) };
    let chain = Chain { first, later: links.collect() };
    judge_files(&chain, expect.files)?;
    Ok(chain)
}

/// The statement in a file, and the key that signed it.
fn open<'t>(file: &NamedBytes<'_>, trust: &'t TrustRoot) -> Result<(Verified, &'t TrustedKey), Refusal> {
    let envelope = Envelope::decode(file.bytes).map_err(Refusal::Envelope)?;
    let signatures = envelope.signatures().len();
    if signatures != 1 {
        return Err(Refusal::Signatures { found: signatures });
    }
    let Opened { statement, key, signature } = trust.open(&envelope).map_err(Refusal::Signature)?;
    // The key id stands outside what is signed; in what we write it is nevertheless always right.
    let key_id = key.public_key.id();
    if signature.keyid != key_id {
        return Err(Refusal::OtherKeyNamed { named: signature.keyid, key: key.name.clone(), key_id });
    }
    if envelope.encode() != file.bytes {
        return Err(Refusal::NotCanonical);
    }
    let link = statement.link().map_err(Refusal::Statement)?;
    let images = statement.images().map_err(Refusal::Statement)?;
    let containers = statement.containers().map_err(Refusal::Statement)?;
    let digest = Sha256::of(file.bytes);
    Ok((Verified { digest, statement, link, images, containers, key: key.name.clone(), key_id }, key))
}

/// Holds one statement against its key, its place, those before it and what is expected.
fn judge(
    verified: &Verified,
    key: &TrustedKey,
    stage: Stage,
    before: &[Verified],
    expect: &Expectation<'_>,
) -> Result<(), Refusal> {
    let link = &verified.link;
    judge_place(link, stage, before, expect)?;
    if !key.may_sign(link.stage) {
        let allowed = key.stages.clone();
        return Err(Refusal::KeyNotForStage { key: key.name.clone(), stage: link.stage, allowed });
    }
    if !key.valid_at(link.issued) {
        let (not_before, not_after) = (key.not_before, key.not_after);
        return Err(Refusal::KeyNotValid {
            key: key.name.clone(),
            issued: link.issued,
            not_before,
            not_after,
        });
    }
    judge_origin(link, before, expect)?;
    let expected = before.last().map(|earlier| earlier.digest);
    if link.previous != expected {
        return Err(Refusal::OtherPrevious { expected, found: link.previous });
    }
    judge_times(link, before, expect.now)?;
    if let Some(first) = before.first() {
        if link.source != first.link.source {
            return Err(Refusal::OtherSource { expected: first.link.source, found: link.source });
        }
        let subjects = first.statement.subject();
        if let Some(other) = verified.statement.subject().iter().find(|subject| !among(subject, subjects)) {
            return Err(Refusal::OtherImage { label: other.label().to_owned() });
        }
    }
    Ok(())
}

/// Whether it stands where it says, and was not there already.
fn judge_place(
    link: &Link,
    stage: Stage,
    before: &[Verified],
    expect: &Expectation<'_>,
) -> Result<(), Refusal> {
    let id = &link.action_execution_id;
    let replayed = before
        .iter()
        .find(|earlier| earlier.link.action_execution_id == *id || earlier.link.sequence == link.sequence);
    if let Some(earlier) = replayed {
        return Err(Refusal::Replayed { stage: link.stage, earlier: earlier.link.stage, id: id.clone() });
    }
    if expect.action_execution_id == Some(id.as_str()) {
        return Err(Refusal::OwnStatement { stage: link.stage, id: id.clone() });
    }
    if link.stage != stage {
        return Err(Refusal::OtherStage { expected: stage, found: link.stage });
    }
    Ok(())
}

/// Whether it comes from the pipeline and the execution it should.
fn judge_origin(link: &Link, before: &[Verified], expect: &Expectation<'_>) -> Result<(), Refusal> {
    let first = before.first().map_or(link, |first| &first.link);
    let pipeline = expect.pipeline_arn.unwrap_or(&first.pipeline_arn);
    if link.pipeline_arn != pipeline {
        return Err(Refusal::OtherPipeline {
            expected: pipeline.to_owned(),
            found: link.pipeline_arn.clone(),
        });
    }
    let execution = expect.execution_id.unwrap_or(&first.execution_id);
    if link.execution_id != execution && !expect.allow_other_execution {
        return Err(Refusal::OtherExecution {
            expected: execution.to_owned(),
            found: link.execution_id.clone(),
        });
    }
    Ok(())
}

fn judge_times(link: &Link, before: &[Verified], now: OffsetDateTime) -> Result<(), Refusal> {
    let (issued, expires) = (link.issued, link.expires);
    // Differences, not sums: a time near the end of the calendar must not overflow.
    if issued - now > CLOCK_TOLERANCE {
        return Err(Refusal::FromTheFuture { issued, now });
    }
    if let Some(earlier) =
        before.last().map(|earlier| earlier.link.issued).filter(|e| *e - issued > CLOCK_TOLERANCE)
    {
        return Err(Refusal::BeforeItsPredecessor { issued, earlier });
    }
    if now >= expires || issued >= expires {
        return Err(Refusal::Expired { expires, now });
    }
    Ok(())
}

/// Whether a subject is one of the first statement's: they match by digest alone, on every algorithm both
/// have and on at least one.
fn among(subject: &ResourceDescriptor, subjects: &[ResourceDescriptor]) -> bool {
    subjects.iter().any(|known| {
        let mut shared = subject
            .digest
            .iter()
            .filter_map(|(algorithm, digest)| known.digest.get(algorithm).map(|other| digest == other));
        shared.next() == Some(true) && shared.all(|same| same)
    })
}

/// Whether the files at hand are those the last statement lists, and those of earlier ones among them.
fn judge_files(chain: &Chain, files: &BTreeMap<String, Sha256>) -> Result<(), ChainError> {
    for verified in chain.links() {
        for (path, expected) in &verified.link.files {
            let refusal = match files.get(path) {
                Some(found) if found == expected => continue,
                Some(found) => {
                    Refusal::FileChanged { path: path.clone(), expected: *expected, found: *found }
                }
                None => Refusal::FileMissing { path: path.clone() },
            };
            return Err(ChainError::new(verified.link.stage.path(), refusal));
        }
    }
    let last = chain.last();
    let extra = |path: &&String| path.starts_with(STATEMENTS) || !last.link.files.contains_key(*path);
    files.keys().find(extra).map_or(Ok(()), |path| {
        Err(ChainError::new(last.link.stage.path(), Refusal::FileExtra { path: path.clone() }))
    })
}

#[cfg(test)]
mod tests;
