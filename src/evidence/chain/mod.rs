//! Verification of the chain of statements of one release, before a stage acts on it.
//!
//! [`verify`] is pure: the files, the trust root, the expectation and the time are its arguments.

mod refusal;

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};

pub use refusal::{ChainError, Refusal};

use super::container::ContainerIdentity;
use super::dsse::Envelope;
use super::image::ImageIdentity;
use super::layout::{self, STATEMENTS};
use super::link::{Link, Stage};
use super::resource::ResourceDescriptor;
use super::statement::Statement;
use super::trust::{Opened, TrustRoot, TrustedKey};
use crate::digest::Sha256;

/// How far a signer's clock may be ahead of the verifier's, and of the next signer's.
pub const CLOCK_TOLERANCE: Duration = Duration::minutes(5);

/// A file of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedBytes<'a> {
    /// Its path in the artifact.
    pub name: &'a str,
    /// Its content.
    pub bytes: &'a [u8],
}

/// The chain that the verifier expects.
#[derive(Debug, Clone)]
pub struct Expectation<'a> {
    /// The pipeline's ARN. Without one, all statements must still name the same pipeline.
    pub pipeline: Option<&'a str>,
    /// The run of the pipeline. Without one, all statements must still name the same run.
    pub run_id: Option<&'a str>,
    /// Whether to accept statements of other runs of the same pipeline: the promotion of an earlier release.
    pub allow_other_run: bool,
    /// The stage of the last statement. Without one, the chain may end after any stage.
    pub last: Option<Stage>,
    /// Stages that the release does not have, as its spec says: the chain has no statements of them.
    pub absent: &'a [Stage],
    /// The attempt that is about to act: a chain that already has its statement is a replay.
    pub attempt_id: Option<&'a str>,
    /// The time of the verification.
    pub now: OffsetDateTime,
    /// Every file of the artifact beside the statements, by path.
    pub files: &'a BTreeMap<String, Sha256>,
}

/// The verified statements of a release, in order. There is at least the first.
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
    /// Its link in the chain.
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

impl Verified {
    /// The path of the statement's file in the artifact.
    #[must_use]
    pub fn path(&self) -> String {
        layout::statement(self.link.position, self.link.stage)
    }
}

impl Chain {
    /// The statements in order.
    pub fn links(&self) -> impl Iterator<Item = &Verified> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// The first statement, that of the bake stage.
    #[must_use]
    pub const fn first(&self) -> &Verified {
        &self.first
    }

    /// The last statement.
    #[must_use]
    pub fn last(&self) -> &Verified {
        self.later.last().unwrap_or(&self.first)
    }

    /// The statement of a stage, if the chain has one.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> Option<&Verified> {
        self.links().find(|verified| verified.link.stage == stage)
    }

    /// The machine images of the release: the subjects of the first statement.
    #[must_use]
    pub fn images(&self) -> &[ImageIdentity] {
        &self.first.images
    }

    /// The copies of the release's container images: the subjects of the first statement.
    #[must_use]
    pub fn containers(&self) -> &[ContainerIdentity] {
        &self.first.containers
    }

    /// The digest that the next statement must name as its `previous`.
    #[must_use]
    pub fn previous(&self) -> Sha256 {
        self.last().digest
    }
}

/// Verifies the statements of an artifact. `envelopes` are the files below `statements/`, in any order.
///
/// The files must be `statements/01-bake.dsse.json` and those of the following stages, without a gap except for the
/// absent stages. Each statement must be
/// - in canonical form, with one signature by the trusted key that its `keyid` names; the key may sign for this stage
///   and this service, and was valid when the statement was issued;
/// - of the expected pipeline and run, made by an attempt that made no other, about the same service;
/// - linked to the file before it by its digest;
/// - issued before now and after the statement before it (each within [`CLOCK_TOLERANCE`]), and not expired;
/// - about subjects of the first statement, made from the same source.
///
/// The last statement must list every file of the artifact, and no file may differ from what any statement lists.
///
/// # Errors
/// The first rule that is broken, with the file of the statement at fault.
pub fn verify(
    envelopes: &[NamedBytes<'_>],
    trust: &TrustRoot,
    expect: &Expectation<'_>,
) -> Result<Chain, ChainError> {
    let mut sorted = envelopes.to_vec();
    sorted.sort_by_key(|file| file.name);
    let present: Vec<Stage> = Stage::ALL.into_iter().filter(|stage| !expect.absent.contains(stage)).collect();
    let mut places = (1..).zip(present.iter().copied());
    let mut links: Vec<Verified> = Vec::with_capacity(sorted.len());
    for file in &sorted {
        let in_file = |refusal| ChainError::new(file.name, refusal);
        let place = places.next();
        let expected = place.map(|(position, stage)| layout::statement(position, stage));
        let Some((position, stage)) = place.filter(|_| expected.as_deref() == Some(file.name)) else {
            return Err(in_file(Refusal::UnexpectedFile { expected }));
        };
        let (verified, key) = open(file, trust).map_err(in_file)?;
        check(&verified, key, (position, stage), &links, expect).map_err(in_file)?;
        links.push(verified);
    }
    check_last(&links, places.next(), expect.last)?;
    let mut links = links.into_iter();
    let Some(first) = links.next() else { return Err(missing(1, Stage::Bake)) };
    let chain = Chain { first, later: links.collect() };
    check_files(&chain, expect.files)?;
    Ok(chain)
}

fn missing(position: u32, stage: Stage) -> ChainError {
    ChainError::new(&layout::statement(position, stage), Refusal::Missing { stage })
}

/// Checks that the chain ends with the expected stage; `next` is the position and the stage that would follow.
fn check_last(links: &[Verified], next: Option<(u32, Stage)>, last: Option<Stage>) -> Result<(), ChainError> {
    let (Some(end), Some(last)) = (links.last(), last) else { return Ok(()) };
    let found = end.link.stage;
    if found > last {
        return Err(ChainError::new(&end.path(), Refusal::TooFar { found, last }));
    }
    if found < last {
        let (position, stage) = next.unwrap_or((end.link.position.saturating_add(1), last));
        return Err(missing(position, stage));
    }
    Ok(())
}

/// Reads the statement of a file, and finds the key that signed it.
fn open<'t>(file: &NamedBytes<'_>, trust: &'t TrustRoot) -> Result<(Verified, &'t TrustedKey), Refusal> {
    let envelope = Envelope::decode(file.bytes).map_err(Refusal::Envelope)?;
    let signatures = envelope.signatures().len();
    if signatures != 1 {
        return Err(Refusal::Signatures { found: signatures });
    }
    let Opened { statement, key, signature } = trust.open(&envelope).map_err(Refusal::Signature)?;
    // The signature does not cover the key id; in what we write it is always the signer's.
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

/// Checks one statement against its key, its position, the statements before it and the expectation.
fn check(
    verified: &Verified,
    key: &TrustedKey,
    place: (u32, Stage),
    before: &[Verified],
    expect: &Expectation<'_>,
) -> Result<(), Refusal> {
    let link = &verified.link;
    check_place(link, place, before, expect)?;
    check_key(link, key)?;
    check_run(link, before, expect)?;
    let expected = before.last().map(|earlier| earlier.digest);
    if link.previous != expected {
        return Err(Refusal::OtherPrevious { expected, found: link.previous });
    }
    check_times(link, before, expect.now)?;
    let Some(first) = before.first() else { return Ok(()) };
    if link.service != first.link.service {
        let (expected, found) = (first.link.service.clone(), link.service.clone());
        return Err(Refusal::OtherService { expected, found });
    }
    if link.source != first.link.source {
        return Err(Refusal::OtherSource { expected: first.link.source, found: link.source });
    }
    let subjects = first.statement.subject();
    match verified.statement.subject().iter().find(|subject| !is_among(subject, subjects)) {
        Some(other) => Err(Refusal::OtherImage { label: other.label().to_owned() }),
        None => Ok(()),
    }
}

/// Checks the statement's stage and position, and that its attempt made no other statement.
fn check_place(
    link: &Link,
    (position, stage): (u32, Stage),
    before: &[Verified],
    expect: &Expectation<'_>,
) -> Result<(), Refusal> {
    let id = &link.run.attempt_id;
    if let Some(earlier) = before.iter().find(|earlier| earlier.link.run.attempt_id == *id) {
        return Err(Refusal::Replayed { stage: link.stage, earlier: earlier.link.stage, id: id.clone() });
    }
    if expect.attempt_id == Some(id.as_str()) {
        return Err(Refusal::OwnStatement { stage: link.stage, id: id.clone() });
    }
    if link.stage != stage {
        return Err(Refusal::OtherStage { expected: stage, found: link.stage });
    }
    if link.position != position {
        return Err(Refusal::OtherPosition { expected: position, found: link.position });
    }
    Ok(())
}

/// Checks that the key may sign such a statement, and was valid when the statement was issued.
fn check_key(link: &Link, key: &TrustedKey) -> Result<(), Refusal> {
    let name = || key.name.clone();
    if !key.may_sign(link.stage) {
        let allowed = key.may_sign.clone();
        return Err(Refusal::KeyNotForStage { key: name(), stage: link.stage, allowed });
    }
    if !key.may_sign_for(&link.service) {
        return Err(Refusal::KeyNotForService { key: name(), service: link.service.clone() });
    }
    if !key.valid_at(link.issued_on) {
        let (not_before, not_after) = (key.not_before, key.not_after);
        return Err(Refusal::KeyNotValid { key: name(), issued: link.issued_on, not_before, not_after });
    }
    Ok(())
}

/// Checks the statement's pipeline and run.
fn check_run(link: &Link, before: &[Verified], expect: &Expectation<'_>) -> Result<(), Refusal> {
    let first = before.first().map_or(link, |first| &first.link);
    let pipeline = expect.pipeline.unwrap_or(&first.run.pipeline);
    if link.run.pipeline != pipeline {
        let found = link.run.pipeline.clone();
        return Err(Refusal::OtherPipeline { expected: pipeline.to_owned(), found });
    }
    let run = expect.run_id.unwrap_or(&first.run.run_id);
    if link.run.run_id != run && !expect.allow_other_run {
        return Err(Refusal::OtherRun { expected: run.to_owned(), found: link.run.run_id.clone() });
    }
    Ok(())
}

/// Checks the statement's times against now and against the statement before it.
fn check_times(link: &Link, before: &[Verified], now: OffsetDateTime) -> Result<(), Refusal> {
    let (issued, expires) = (link.issued_on, link.hand_over_expires_on);
    // Differences, not sums: a time near the end of the calendar must not overflow.
    if issued - now > CLOCK_TOLERANCE {
        return Err(Refusal::FromTheFuture { issued, now });
    }
    if let Some(earlier) =
        before.last().map(|earlier| earlier.link.issued_on).filter(|e| *e - issued > CLOCK_TOLERANCE)
    {
        return Err(Refusal::BeforeItsPredecessor { issued, earlier });
    }
    if now >= expires || issued >= expires {
        return Err(Refusal::Expired { expires, now });
    }
    Ok(())
}

/// Whether a subject is one of the first statement's: equal in every digest algorithm that both have, and in at
/// least one.
fn is_among(subject: &ResourceDescriptor, subjects: &[ResourceDescriptor]) -> bool {
    subjects.iter().any(|known| {
        let mut shared = subject
            .digest
            .iter()
            .filter_map(|(algorithm, digest)| known.digest.get(algorithm).map(|other| digest == other));
        shared.next() == Some(true) && shared.all(|same| same)
    })
}

/// Checks the artifact's files against every statement's list; the last statement must list all of them.
fn check_files(chain: &Chain, files: &BTreeMap<String, Sha256>) -> Result<(), ChainError> {
    for verified in chain.links() {
        for (path, expected) in &verified.link.files {
            let refusal = match files.get(path) {
                Some(found) if found == expected => continue,
                Some(found) => {
                    Refusal::FileChanged { path: path.clone(), expected: *expected, found: *found }
                }
                None => Refusal::FileMissing { path: path.clone() },
            };
            return Err(ChainError::new(&verified.path(), refusal));
        }
    }
    let last = chain.last();
    let extra = |path: &&String| path.starts_with(STATEMENTS) || !last.link.files.contains_key(*path);
    files
        .keys()
        .find(extra)
        .map_or(Ok(()), |path| Err(ChainError::new(&last.path(), Refusal::FileExtra { path: path.clone() })))
}

#[cfg(test)]
mod tests;
