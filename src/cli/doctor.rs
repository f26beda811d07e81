//! `bakeline doctor`: whether a pipeline and what its release names are fit for the line. Changes nothing.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use super::exit::CliError;
use super::identity::Identity;
use super::say;
use crate::doctor::{Examination, Finding, Verdict, worst};
use crate::spec::{self, ReleaseSpec};

/// Arguments of `bakeline doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The release spec whose image pipeline, network, group, alarms and metrics are looked at
    #[arg(value_name = "SPEC")]
    spec: Option<PathBuf>,
    /// The pipeline's name
    #[arg(long, value_name = "NAME")]
    pipeline: String,
    /// Where the worker will write down its jobs, if that is `s3://BUCKET/PREFIX`
    #[arg(long, value_name = "PLACE", env = "BAKELINE_JOURNAL")]
    journal: Option<String>,
    /// Write the findings as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    identity: Identity,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    pipeline: &'a str,
    region: &'a str,
    /// The worst of all findings.
    verdict: Verdict,
    findings: &'a [Finding],
}

pub fn main(args: Args) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::unavailable(format!("no runtime: {error}"), ""))?;
    runtime.block_on(doctor(args))
}

async fn doctor(args: Args) -> Result<(), CliError> {
    let spec = args.spec.as_deref().map(read).transpose()?;
    let clock = args.identity.clock();
    let aws = Identity::aws(&clock).await;
    let region = aws.region().to_owned();
    let place = args.journal.as_deref().and_then(|place| place.strip_prefix("s3://"));
    let examination = Examination {
        aws,
        now: clock.now(),
        pipeline: args.pipeline.clone(),
        spec,
        signing_key: args.identity.key_source()?,
        trust: args.identity.trust_root()?,
        environments: args.identity.environments()?,
        journal: place.map(|rest| rest.split('/').next().unwrap_or_default().to_owned()),
    };
    show(&args, &region, &examination.run().await)
}

fn read(path: &Path) -> Result<(ReleaseSpec, String), CliError> {
    let name = path.display().to_string();
    let text = super::read(path, spec::MAX_BYTES)
        .map_err(|error| CliError::data(format!("{name}: {error}"), "give the path of a release spec"))?;
    let spec =
        ReleaseSpec::parse(&text, &name).map_err(|mistakes| CliError::data(mistakes.to_string(), ""))?;
    Ok((spec, name))
}

fn show(args: &Args, region: &str, findings: &[Finding]) -> Result<(), CliError> {
    let verdict = worst(findings);
    if args.json {
        let report = Report { pipeline: &args.pipeline, region, verdict, findings };
        let text = serde_json::to_string_pretty(&report)
            .map_err(|error| CliError::bug(format!("the findings cannot be written: {error}")))?;
        say(&text)?;
    } else {
        say(&table(findings).to_string())?;
    }
    let count = |of: Verdict| findings.iter().filter(|finding| finding.verdict == of).count();
    let many = |of: Verdict, what: &str| format!("{} of {} things {what}", count(of), findings.len());
    match verdict {
        Verdict::Fit | Verdict::Doubtful => Ok(()),
        Verdict::Unfit => Err(CliError::data(many(verdict, "are unfit"), "")),
        Verdict::Denied => Err(CliError::denied(many(verdict, "may not be looked at"), "")),
        Verdict::Unanswered => Err(CliError::unavailable(many(verdict, "could not be looked at"), "")),
    }
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["VERDICT", "CHECK", "OF", "SEEN"]);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for finding in findings {
        let seen = match finding.hint.as_str() {
            "" => finding.observed.clone(),
            hint => format!("{}\n-> {hint}", finding.observed),
        };
        table.add_row([finding.verdict.name(), finding.check, &finding.thing, &seen]);
    }
    table
}
