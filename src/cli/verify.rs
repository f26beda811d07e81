//! `bakeline verify`: verifies the statements of an artifact, or of every artifact of a folder.

pub mod content;
pub mod progress;
pub mod report;
pub mod summary;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::progress::Progress;
use self::report::Report;
use super::config_source::ConfigSource;
use super::exit::{CliError, Message};
use super::identity::{Identity, parse_trust};
use super::{Output, json};
use crate::artifact::{Archive, ArtifactError, Caps, EntryPath, is_canonical};
use crate::aws::Aws;
use crate::engine::clock::Mapping;
use crate::engine::{Clock, Timestamp};
use crate::evidence::layout::{SPEC, STATEMENTS};
use crate::evidence::trust::MAX_TRUST_ROOT_BYTES;
use crate::evidence::{
    self, Chain, Expectation, KeySource, NamedBytes, Sha256, Signer, Stage, TrustRoot, key_source,
};
use crate::stage::handover::{absent, hand_over_caps};
use crate::stage::store::Files;

/// Arguments of `bakeline verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An artifact, or a folder with the artifacts of one release
    path: PathBuf,
    /// The trust root, the public keys that are trusted: `file:PATH` or `ssm:NAME`
    #[arg(long, value_name = "SOURCE", env = "BAKELINE_TRUST")]
    trust: ConfigSource,
    /// Verify as of this moment (RFC 3339) instead of now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<OffsetDateTime>,
    /// The pipeline that the release must come from
    #[arg(long, value_name = "ARN")]
    pipeline: Option<String>,
    /// The run of the pipeline that the release must come from
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// Read the images' volumes, too, through the EBS direct API, and compare them with the statement. Prints what that
    /// costs before it starts; needs AWS credentials
    #[arg(long, verbatim_doc_comment)]
    content: bool,
    /// A file with the progress of --content: after an interruption, --content continues from there. Nothing verifies the
    /// file, so keep it where nobody else can write
    #[arg(long, value_name = "FILE", requires = "content", verbatim_doc_comment)]
    progress: Option<PathBuf>,
    /// Write a SLSA verification summary of the release to this file
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// The key that signs the summary: `kms:KEY`, `secretsmanager:ARN` or `file:PATH`. Without one, the summary is not signed
    #[arg(long, value_name = "KEY", requires = "summary", verbatim_doc_comment)]
    signing_key: Option<String>,
    /// Live in the virtual time that `bakeline serve-aws` prints
    #[arg(long, value_name = "CLOCK", env = "BAKELINE_TEST_CLOCK", hide = true)]
    clock: Option<Mapping>,
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|error| format!("{error}; expected e.g. 2026-01-31T12:00:00Z"))
}

/// What a chain must match.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The time of the verification; now, if none is given.
    pub at: Option<OffsetDateTime>,
    /// The pipeline's ARN.
    pub pipeline: Option<String>,
    /// The run of the pipeline.
    pub run: Option<String>,
}

impl Options {
    fn now(&self) -> OffsetDateTime {
        self.at.unwrap_or_else(|| Timestamp::date_time(Clock::system().now()))
    }
}

/// An artifact whose chain was verified.
struct Verified {
    path: PathBuf,
    chain: Chain,
}

pub fn main(args: &Args, output: Output) -> Result<(), CliError> {
    let trust_text = trust_text(args)?;
    let trust = parse_trust(&args.trust, &trust_text)?;
    let options = Options { at: args.at, pipeline: args.pipeline.clone(), run: args.run.clone() };
    let mut verified = Vec::new();
    let mut sources = Vec::new();
    for path in artifacts(&args.path)? {
        match verify(&path, &trust, &options)? {
            Some(chain) => verified.push(Verified { path, chain }),
            None => sources.push(path),
        }
    }
    let Some(longest) = verified.iter().max_by_key(|one| one.chain.links().count()) else {
        return Err(CliError::failed(
            format!("{} has no statement", args.path.display()),
            "the artifact of a stage has a folder statements/; is this a source artifact?",
        ));
    };
    let mut report = Report::new(options.now());
    for one in &verified {
        report.add(&one.path, &one.chain)?;
    }
    for source in &sources {
        report.add_source(source, &verify_source(source, &verified)?);
    }
    match output {
        Output::Text => report.print()?,
        Output::Json => json(report::SCHEMA, &report)?,
    }
    if let Some(path) = &args.summary {
        write_summary(args, path, &summary::statement(&longest.chain, &trust_text, options.now())?)?;
    }
    if args.content { compare_content(args, &verified, output) } else { Ok(()) }
}

/// The text of the trust root. A file needs no AWS.
fn trust_text(args: &Args) -> Result<String, CliError> {
    const KIND: &str = "trust root";
    match &args.trust {
        ConfigSource::File(_) => args.trust.read_file(MAX_TRUST_ROOT_BYTES, KIND),
        ConfigSource::Parameter(_) => super::runtime()?.block_on(async {
            let aws = aws(args).await;
            args.trust.read(&aws, MAX_TRUST_ROOT_BYTES, KIND).await
        }),
    }
}

async fn aws(args: &Args) -> Aws {
    Identity::aws(&clock(args)).await
}

fn clock(args: &Args) -> Clock {
    args.clock.map_or_else(Clock::system, Clock::mapped)
}

fn write_summary(args: &Args, path: &Path, statement: &evidence::Statement) -> Result<(), CliError> {
    super::runtime()?.block_on(async {
        let signer = match &args.signing_key {
            Some(key) => Some(signer(args, key).await?),
            None => None,
        };
        summary::write(path, statement, signer.as_ref()).await
    })
}

async fn signer(args: &Args, key: &str) -> Result<Signer, CliError> {
    let source = key
        .parse::<KeySource>()
        .map_err(|error: key_source::KeySourceError| CliError::usage(Message::of(&error), ""))?;
    let opened = match &source {
        KeySource::File(path) => Signer::from_file(path),
        KeySource::Kms(_) | KeySource::SecretsManager(_) => {
            let aws = aws(args).await;
            source.open(&aws.kms, &aws.secretsmanager).await
        }
    };
    opened.map_err(|error| CliError::unavailable("the signing key cannot be used", "").caused_by(&error))
}

fn compare_content(args: &Args, verified: &[Verified], output: Output) -> Result<(), CliError> {
    let mut progress = Progress::open(args.progress.as_deref())?;
    super::runtime()?.block_on(async {
        let (aws, clock) = (aws(args).await, clock(args));
        let chains = verified.iter().map(|one| &one.chain);
        content::compare(&aws, &clock, chains, &mut progress, output).await
    })
}

/// The artifacts at a path, in the order of their names.
fn artifacts(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    let unreadable = |error: std::io::Error| {
        CliError::data(format!("cannot read the folder `{}`", path.display()), "give an artifact or a folder")
            .caused_by(&error)
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

/// The error for an artifact that cannot be read: it does not exist (66), or is not a valid archive (65).
fn unreadable(path: &Path, error: &ArtifactError) -> CliError {
    let message = format!("cannot read the artifact `{}`", path.display());
    let missing = matches!(error, ArtifactError::Local { source, .. }
        if matches!(source.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied));
    if missing {
        return CliError::missing(message, "give an artifact or a folder with artifacts").caused_by(error);
    }
    CliError::data(message, "download the artifact again from its pipeline").caused_by(error)
}

/// Verifies the chain of an artifact; `None` if the artifact has no statements and so can only be a source.
///
/// # Errors
/// The artifact cannot be read, was changed, or its chain is refused.
pub fn verify(path: &Path, trust: &TrustRoot, options: &Options) -> Result<Option<Chain>, CliError> {
    let unreadable = |error: ArtifactError| unreadable(path, &error);
    let mut archive = Archive::open(path, &Caps::default()).map_err(unreadable)?;
    if !archive.files().any(|file| file.as_str().starts_with(STATEMENTS)) {
        return Ok(None);
    }
    let mut limited = Archive::open(path, &hand_over_caps()).map_err(unreadable)?;
    if !is_canonical(&mut archive).map_err(unreadable)? {
        return Err(CliError::failed(
            format!("{} is not, byte for byte, an archive that bakeline writes", path.display()),
            "someone changed or repacked it; download the artifact again from its pipeline",
        ));
    }
    let (mut statements, mut files, mut spec) = (Files::new(), BTreeMap::new(), Files::new());
    let paths: Vec<EntryPath> = limited.files().cloned().collect();
    for entry in paths {
        let bytes = limited.read(&entry, hand_over_caps().entry_bytes).map_err(unreadable)?;
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
        now: options.now(),
        files: &files,
    };
    evidence::verify(&envelopes, trust, &expect).map(Some).map_err(|error| {
        CliError::failed(
            format!("{} is not verified", path.display()),
            "do not use this artifact; download it again from its pipeline",
        )
        .caused_by(&error)
    })
}

/// The digest of a source artifact, if one of the verified releases was made from it.
fn verify_source(path: &Path, verified: &[Verified]) -> Result<Sha256, CliError> {
    let unreadable = |error: ArtifactError| unreadable(path, &error);
    let digest = Archive::open(path, &Caps::default()).map_err(unreadable)?.digest().map_err(unreadable)?;
    if verified.iter().any(|one| one.chain.first().link.source == Some(digest)) {
        return Ok(digest);
    }
    Err(CliError::failed(
        format!("{} is not the source of a release here (SHA-256 {digest})", path.display()),
        "compare it with the source artifact of the pipeline execution",
    ))
}
