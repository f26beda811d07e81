//! `bakeline verify`: the chain of statements in an artifact, or in every artifact of a folder.

pub mod content;
pub mod progress;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::progress::Progress;
use super::exit::CliError;
use super::identity::Identity;
use super::say;
use crate::artifact::{Archive, EntryPath, is_canonical};
use crate::engine::clock::Mapping;
use crate::engine::error::with_causes;
use crate::engine::{Clock, Timestamp};
use crate::evidence::layout::{SPEC, STATEMENTS};
use crate::evidence::{self, Chain, Expectation, NamedBytes, Sha256, Stage, TrustRoot};
use crate::stage::handover::{absent, hand_over_caps};
use crate::stage::store::Files;

/// Arguments of `bakeline verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An artifact, or a folder with the artifacts of one release
    path: PathBuf,
    /// The trust root: public keys, the stages each may sign for, and since when and until when
    #[arg(long, value_name = "FILE", env = "BAKELINE_TRUST")]
    trust: PathBuf,
    /// Judge as of this moment (RFC 3339) instead of now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<OffsetDateTime>,
    /// The pipeline the release must come from
    #[arg(long, value_name = "ARN")]
    pipeline: Option<String>,
    /// The run of the pipeline (its execution id) that the release must come from
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// Read what is on the images' volumes too, through the EBS direct API, and compare it with the statement. Says
    /// beforehand what that costs; needs AWS credentials
    #[arg(long, verbatim_doc_comment)]
    content: bool,
    /// A file that holds how far --content has come: interrupted, it goes on from there. It is believed, so keep it where
    /// nobody else writes
    #[arg(long, value_name = "FILE", requires = "content", verbatim_doc_comment)]
    progress: Option<PathBuf>,
    /// Live in the virtual time that `bakeline rehearse --listen` prints
    #[arg(long, value_name = "CLOCK", env = "BAKELINE_TEST_CLOCK", hide = true)]
    clock: Option<Mapping>,
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|error| format!("{error}; expected e.g. 2026-01-31T12:00:00Z"))
}

/// What a chain is held against.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The moment of the judgement; now, if none is given.
    pub at: Option<OffsetDateTime>,
    pub pipeline: Option<String>,
    pub run: Option<String>,
}

/// An artifact whose chain holds.
struct Proven {
    path: PathBuf,
    chain: Chain,
}

pub fn main(args: &Args) -> Result<(), CliError> {
    let trust = TrustRoot::from_file(&args.trust).map_err(|error| {
        CliError::data(with_causes(&error), "the trust root lists public keys; docs/predicates.md shows one")
    })?;
    let options = Options { at: args.at, pipeline: args.pipeline.clone(), run: args.run.clone() };
    let mut proven = Vec::new();
    let mut sources = Vec::new();
    for path in artifacts(&args.path)? {
        match prove(&path, &trust, &options)? {
            Some(chain) => proven.push(Proven { path, chain }),
            None => sources.push(path),
        }
    }
    if proven.is_empty() {
        return Err(CliError::data(
            format!("{} holds no statement", args.path.display()),
            "an artifact of a bakeline stage has a folder statements/; is this one the source?",
        ));
    }
    for one in &proven {
        show(one)?;
    }
    for source in &sources {
        prove_source(source, &proven)?;
    }
    if args.content {
        let runtime = super::runtime()?;
        let mut progress = Progress::open(args.progress.as_deref())?;
        runtime.block_on(async {
            let clock = args.clock.map_or_else(Clock::system, Clock::mapped);
            let aws = Identity::aws(&clock).await;
            content::compare(&aws, &clock, proven.iter().map(|one| &one.chain), &mut progress).await
        })?;
    }
    Ok(())
}

/// The artifacts at a path, in the order of their names.
fn artifacts(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    let unreadable = |error: std::io::Error| {
        CliError::data(format!("{}: {error}", path.display()), "give an artifact or a folder of them")
    };
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|extension| extension == "zip") {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

/// The chain of an artifact; none if it has no statements and so can only be a source.
///
/// # Errors
/// The artifact was changed, or its chain does not hold.
pub fn prove(path: &Path, trust: &TrustRoot, options: &Options) -> Result<Option<Chain>, CliError> {
    let now = options.at.unwrap_or_else(|| Timestamp::date_time(Clock::system().now()));
    let refused = |why: String| {
        CliError::data(
            format!("{}: {why}", path.display()),
            "do not use this artifact; fetch it again from its pipeline",
        )
    };
    let caps = crate::artifact::Caps::default();
    let mut archive = Archive::open(path, &caps).map_err(|error| refused(with_causes(&error)))?;
    if !archive.files().any(|file| file.as_str().starts_with(STATEMENTS)) {
        return Ok(None);
    }
    let mut archive_small =
        Archive::open(path, &hand_over_caps()).map_err(|error| refused(with_causes(&error)))?;
    if !is_canonical(&mut archive).map_err(|error| refused(with_causes(&error)))? {
        return Err(refused(
            "the archive is not, byte for byte, one that bakeline writes: it was changed or packed anew"
                .into(),
        ));
    }
    let (mut statements, mut files, mut spec) = (Files::new(), BTreeMap::new(), Files::new());
    let paths: Vec<EntryPath> = archive_small.files().cloned().collect();
    for entry in paths {
        let bytes = archive_small
            .read(&entry, hand_over_caps().entry_bytes)
            .map_err(|error| refused(with_causes(&error)))?;
        if entry.as_str().starts_with(STATEMENTS) {
            statements.insert(entry.as_str().to_owned(), bytes);
        } else {
            files.insert(entry.as_str().to_owned(), Sha256::of(&bytes));
            if entry.as_str() == SPEC {
                spec.insert(SPEC.to_owned(), bytes);
            }
        }
    }
    let envelopes: Vec<NamedBytes<'_>> =
        statements.iter().map(|(name, bytes)| NamedBytes { name, bytes }).collect();
    let expect = Expectation {
        pipeline: options.pipeline.as_deref(),
        run_id: options.run.as_deref(),
        allow_other_run: false,
        last: None,
        absent: absent(Stage::Cleanup, &spec),
        attempt_id: None,
        now,
        files: &files,
    };
    let chain = evidence::verify(&envelopes, trust, &expect).map_err(|error| refused(with_causes(&error)))?;
    Ok(Some(chain))
}

/// A source artifact is believed if a chain at hand was made from exactly it.
fn prove_source(path: &Path, proven: &[Proven]) -> Result<(), CliError> {
    let refused = |why: String| {
        CliError::data(
            format!("{}: {why}", path.display()),
            "compare with the source artifact of the pipeline execution",
        )
    };
    let mut archive = Archive::open(path, &crate::artifact::Caps::default())
        .map_err(|error| refused(with_causes(&error)))?;
    let digest = archive.digest().map_err(|error| refused(with_causes(&error)))?.to_string();
    let matches = |one: &Proven| {
        one.chain.first().link.source.as_ref().map(ToString::to_string) == Some(digest.clone())
    };
    match proven.iter().find(|one| matches(one)) {
        Some(_) => {
            say(&format!("{}  the source of the release (SHA-256 {})", path.display(), short(&digest)))
        }
        None => Err(refused(format!("no chain here was made from it (SHA-256 {digest})"))),
    }
}

fn show(one: &Proven) -> Result<(), CliError> {
    let first = &one.chain.first().link;
    say(&format!("{}", one.path.display()))?;
    say(&format!("  pipeline   {}", first.run.pipeline))?;
    say(&format!("  run        {}", first.run.run_id))?;
    for (image, content) in content::bound(&one.chain)? {
        say(&format!(
            "  image      {} in {} of account {} ({})",
            image.image_id, image.region, image.account, image.name
        ))?;
        say(&match content {
            Some(content) => {
                format!("  bound      its identity and its content ({})", short(&content.to_string()))
            }
            None => "  bound      its identity; not what is on its disks".into(),
        })?;
    }
    for container in one.chain.containers() {
        let tag = container.tag.as_deref().map(|tag| format!(", pushed as {tag}")).unwrap_or_default();
        say(&format!("  image      {}{tag}", container.reference()))?;
        say("  bound      its bytes, by the digest of its manifest")?;
    }
    for verified in one.chain.links() {
        let issued = verified.link.issued_on.format(&Rfc3339).unwrap_or_default();
        say(&format!(
            "  {:<9}  signed {issued} by {} ({})  statement {}",
            verified.link.stage.name(),
            verified.key,
            short(&verified.key_id),
            short(&verified.digest.to_string()),
        ))?;
    }
    Ok(())
}

fn short(hex: &str) -> &str {
    hex.get(..12).unwrap_or(hex)
}
