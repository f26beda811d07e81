//! Checks the gates: the properties of the images, and the findings of their vulnerability scan.

use super::super::build::calls;
use super::super::gates::error::GateError;
use super::super::gates::scan::{self, Finding, ScanState};
use super::super::gates::{image as image_gate, read};
use super::super::images::output::BuildOutput;
use super::super::inputs::{Inputs, output_of_available};
use super::super::state::Bake;
use super::BUILD_POLL_INTERVAL;
use crate::engine::{Progress, StageError, Step, Timestamp};
use crate::spec::{ContentDigest, Scan};
use crate::stage::Cx;

/// Checks the images' properties, and waits for the scan if there is a gate on it.
pub async fn check_gates(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    since: Timestamp,
) -> Result<Step<Bake>, StageError> {
    let found = calls::get(cx, &image).await?;
    let gates = &inputs.bake.gates;
    match output_of_available(inputs, cx, &calls::read(&found, &inputs.account), &image)? {
        BuildOutput::MachineImages(copies) => {
            let properties = read::properties(cx, &copies).await?;
            for (copy, properties) in &properties {
                image_gate::check_properties(gates.image.as_ref(), copy, properties)?;
            }
            image_gate::check_copies_equal(&properties)?;
        }
        BuildOutput::ContainerImages { .. }
            if gates.image.is_some() || inputs.bake.content_digest != ContentDigest::None =>
        {
            return Err(GateError::NeedsMachineImage { build: image }.into());
        }
        BuildOutput::ContainerImages { .. } => {}
    }
    let Some(scan) = &gates.scan else { return Ok(Step::Next(after_gates(image))) };
    match scan::scan_state(read::scan_status(&found)) {
        ScanState::Completed => {
            if scan.reports_to_security_hub() {
                return Ok(Step::Next(Bake::ReportingFindings { image, since, done: 0 }));
            }
            let findings = read::findings(cx, &image).await?;
            check_findings(scan, &findings, cx, image)
        }
        ScanState::Unusable(reason) => Err(GateError::NoScan { build: image, reason }.into()),
        ScanState::Running(status) if cx.now().since(since) > scan.timeout.as_duration() => {
            Err(GateError::ScanTimeout { build: image, status, timeout: scan.timeout.to_string() }.into())
        }
        ScanState::Running(status) => {
            let progress = Progress {
                percent: 97,
                summary: format!("vulnerability scan: {status}"),
                external_id: Some(image.clone()),
            };
            let state = Bake::CheckingGates { image, since };
            Ok(Step::Wait { state, again_in: BUILD_POLL_INTERVAL, progress })
        }
    }
}

/// Checks the findings of a completed scan.
pub fn check_findings(
    scan: &Scan,
    findings: &[Finding],
    cx: &Cx,
    image: String,
) -> Result<Step<Bake>, StageError> {
    scan::check_findings(scan, findings, cx.now().date_time().date())
        .map_err(|findings| GateError::Findings { build: image.clone(), findings })?;
    Ok(Step::Next(after_gates(image)))
}

/// The state after the gates.
pub fn after_gates(image: String) -> Bake {
    Bake::ReadingContent { image, copy: 0, position: None, content: None }
}
