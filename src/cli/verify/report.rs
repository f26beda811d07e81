//! The report of `bakeline verify`, as text and as JSON.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::content::bindings;
use crate::cli::exit::CliError;
use crate::cli::say;
use crate::digest::Sha256;
use crate::evidence::{Chain, Stage};

/// The schema of the JSON document.
pub const SCHEMA: &str = "verify-report/v1";

/// JSON output of `bakeline verify`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The time of the verification.
    verified_on: String,
    /// The artifacts whose statements were verified.
    artifacts: Vec<Artifact>,
    /// The source artifacts that these releases were made from.
    sources: Vec<Source>,
}

/// An artifact whose statements were verified.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    /// The path of its file.
    path: String,
    /// The service of the release.
    service: String,
    /// The ARN of the pipeline.
    pipeline: String,
    /// The id of the pipeline's run.
    run_id: String,
    /// The images of the release.
    images: Vec<Image>,
    /// The verified statements, in the order of the chain.
    statements: Vec<Statement>,
}

/// An image of a release.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Image {
    /// The ARN of a machine image, or the reference of a container image.
    uri: String,
    /// What the digests of the subject bind: `identity`, `content` or `content_of_another_copy`; bytes of a container image.
    binds: String,
    /// SHA-256 of the content: of the volumes or of the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_digest: Option<String>,
}

/// A verified statement.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Statement {
    /// The stage: bake, test, promote or cleanup.
    stage: String,
    /// How the stage ended: baked; passed, warned or failed; the promotion's outcome; complete or incomplete.
    result: String,
    /// When the statement was signed.
    issued_on: String,
    /// From this moment on no stage acts on the statement.
    hand_over_expires_on: String,
    /// The name of the trusted key that signed it.
    key: String,
    /// The id of that key.
    key_id: String,
    /// The path of the statement in the artifact.
    path: String,
    /// SHA-256 of the statement's file.
    digest: String,
}

/// A source artifact.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Source {
    /// The path of its file.
    path: String,
    /// SHA-256 of the file.
    digest: String,
}

impl Report {
    /// An empty report.
    #[must_use]
    pub fn new(verified_on: OffsetDateTime) -> Self {
        Self { verified_on: written(verified_on), artifacts: Vec::new(), sources: Vec::new() }
    }

    /// Adds a verified artifact.
    ///
    /// # Errors
    /// A subject's content digest is malformed.
    pub fn add(&mut self, path: &Path, chain: &Chain) -> Result<(), CliError> {
        let link = &chain.first().link;
        let machines = bindings(chain)?.into_iter().map(|bound| Image {
            uri: bound.image.arn(),
            binds: bound.binds,
            content_digest: bound.content.map(|digest| digest.to_string()),
        });
        let containers = chain.containers().iter().map(|container| Image {
            uri: container.reference(),
            binds: "bytes".to_owned(),
            content_digest: Some(container.digest.to_string()),
        });
        let statements = chain.links().map(|verified| Statement {
            stage: verified.link.stage.name().to_owned(),
            result: result(verified.link.stage, verified.statement.predicate()),
            issued_on: written(verified.link.issued_on),
            hand_over_expires_on: written(verified.link.hand_over_expires_on),
            key: verified.key.clone(),
            key_id: verified.key_id.clone(),
            path: verified.path(),
            digest: verified.digest.to_string(),
        });
        self.artifacts.push(Artifact {
            path: path.display().to_string(),
            service: link.service.clone(),
            pipeline: link.run.pipeline.clone(),
            run_id: link.run.run_id.clone(),
            images: machines.chain(containers).collect(),
            statements: statements.collect(),
        });
        Ok(())
    }

    /// Adds a source artifact.
    pub fn add_source(&mut self, path: &Path, digest: &Sha256) {
        let (path, digest) = (path.display().to_string(), digest.to_string());
        self.sources.push(Source { path, digest });
    }

    /// Prints the report for people.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn print(&self) -> Result<(), CliError> {
        for artifact in &self.artifacts {
            say(&artifact.path)?;
            say(&format!("  service    {}", artifact.service))?;
            say(&format!("  pipeline   {}", artifact.pipeline))?;
            say(&format!("  run        {}", artifact.run_id))?;
            for Image { uri, binds, content_digest } in &artifact.images {
                say(&format!("  image      {uri}"))?;
                let digest = content_digest.as_deref().map(|digest| format!(" ({})", short(digest)));
                say(&format!("  binds      {binds}{}", digest.unwrap_or_default()))?;
            }
            for Statement { stage, result, issued_on, key, key_id, digest, .. } in &artifact.statements {
                let (key_id, digest) = (short(key_id), short(digest));
                say(&format!(
                    "  {stage:<9}  {result:<11}  signed {issued_on} by {key} ({key_id})  statement {digest}"
                ))?;
            }
        }
        for Source { path, digest } in &self.sources {
            say(&format!("{path}  source artifact of the release (SHA-256 {})", short(digest)))?;
        }
        Ok(())
    }
}

/// How a stage ended, by its predicate.
#[must_use]
pub fn result(stage: Stage, predicate: &Value) -> String {
    let text =
        |member: &str| predicate.get(member).and_then(Value::as_str).unwrap_or("unknown").to_lowercase();
    match stage {
        Stage::Bake => "baked".to_owned(),
        Stage::Test => text("result"),
        Stage::Promote => text("outcome"),
        Stage::Cleanup if predicate.get("complete") == Some(&Value::Bool(true)) => "complete".to_owned(),
        Stage::Cleanup => "incomplete".to_owned(),
    }
}

fn written(moment: OffsetDateTime) -> String {
    moment.format(&Rfc3339).unwrap_or_default()
}

/// The first digits of a digest.
fn short(hex: &str) -> &str {
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_of_a_stage_is_read_from_its_predicate() {
        for (stage, predicate, expected) in [
            (Stage::Bake, serde_json::json!({}), "baked"),
            (Stage::Test, serde_json::json!({"result": "WARNED"}), "warned"),
            (Stage::Promote, serde_json::json!({"outcome": "rolled_back"}), "rolled_back"),
            (Stage::Promote, serde_json::json!({}), "unknown"),
            (Stage::Cleanup, serde_json::json!({"complete": true}), "complete"),
            (Stage::Cleanup, serde_json::json!({"complete": false}), "incomplete"),
        ] {
            assert_eq!(result(stage, &predicate), expected);
        }
    }
}
