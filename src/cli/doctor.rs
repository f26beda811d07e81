//! `bakeline doctor`: checks a pipeline and the resources that its release spec names, without changing anything.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::{CliError, Message};
use super::identity::{Identity, Keys};
use super::{Output, json, say};
use crate::doctor::{Examination, Finding, Status, worst};
use crate::spec::{self, ReleaseSpec};

/// The schema of the JSON report.
pub const REPORT: &str = "doctor-report/v1";

/// Arguments of `bakeline doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The release spec whose resources are checked: image pipeline, network, target, alarms, metrics
    #[arg(value_name = "SPEC")]
    spec: Option<PathBuf>,
    /// The pipeline's name
    #[arg(long, value_name = "NAME")]
    pipeline: String,
    /// The worker's journal, if it is in S3: `s3://BUCKET/PREFIX`
    #[arg(long, value_name = "PLACE", env = "BAKELINE_JOURNAL")]
    journal: Option<String>,
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    identity: Identity,
}

/// JSON output of `bakeline doctor`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report<'a> {
    /// Name of the pipeline.
    pipeline: &'a str,
    /// Region of the checks.
    region: &'a str,
    /// The worst status of all findings.
    status: Status,
    findings: &'a [Finding],
}

pub fn main(args: Args, output: Output) -> Result<(), CliError> {
    super::runtime()?.block_on(doctor(args, output))
}

async fn doctor(args: Args, output: Output) -> Result<(), CliError> {
    let spec = args.spec.as_deref().map(read).transpose()?;
    let clock = args.identity.clock();
    let aws = Identity::aws(&clock).await;
    let region = aws.region().to_owned();
    let place = args.journal.as_deref().and_then(|place| place.strip_prefix("s3://"));
    let (trust, environments) = (args.keys.trust_root(&aws).await?, args.identity.environments(&aws).await?);
    let examination = Examination {
        aws,
        now: clock.now(),
        pipeline: args.pipeline.clone(),
        spec,
        signing_key: args.keys.key_source()?,
        trust,
        environments,
        journal: place.map(|rest| rest.split('/').next().unwrap_or_default().to_owned()),
    };
    show(&args, output, &region, &examination.run().await)
}

fn read(path: &Path) -> Result<(ReleaseSpec, String), CliError> {
    let name = path.display().to_string();
    let text = super::read_input(path, spec::MAX_BYTES, "release spec")?;
    let spec =
        ReleaseSpec::parse(&text, &name).map_err(|mistakes| CliError::data(Message::of(&mistakes), ""))?;
    Ok((spec, name))
}

fn show(args: &Args, output: Output, region: &str, findings: &[Finding]) -> Result<(), CliError> {
    let status = worst(findings);
    match output {
        Output::Json => json(REPORT, &Report { pipeline: &args.pipeline, region, status, findings })?,
        Output::Text => say(&table(findings).to_string())?,
    }
    let count = findings.iter().filter(|finding| finding.status == status).count();
    let many = |what: &str| format!("{count} of {} checks {what}", findings.len());
    match status {
        Status::Ok | Status::Warning => Ok(()),
        Status::Failed => Err(CliError::failed(many("failed"), "the table says what to change")),
        Status::Denied => Err(CliError::denied(
            many("were denied"),
            "run doctor as a principal with the policy of pipeline/doctor.yaml",
        )),
        Status::Unknown => Err(CliError::unavailable(many("got no answer from AWS"), "run doctor again")),
    }
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["STATUS", "CHECK", "SUBJECT", "OBSERVED"]);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for finding in findings {
        let observed = match finding.hint.as_str() {
            "" => finding.observed.clone(),
            hint => format!("{}\nhint: {hint}", finding.observed),
        };
        table.add_row([finding.status.name(), finding.check, &finding.subject, &observed]);
    }
    table
}
