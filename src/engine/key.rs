//! Client tokens, resource names and tags derived from the action execution.
//!
//! They are the same on every worker, so that a repeated call is idempotent.

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

use crate::evidence::Stage;

/// The namespace of derived UUIDs: version 5 of the DNS name `bakeline.dev`.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0b_8a5c_52f4_5f0e_9d2b_5a3e_0c86_4b1d);

/// Identifies one attempt of one action in one pipeline execution.
///
/// All slices of an attempt have the same action execution id; a retry of the action gets a new one. The job id
/// changes with every slice, so no key is derived from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionKey {
    pub pipeline: String,
    /// The pipeline execution id.
    pub run_id: String,
    /// The name of the stage in the pipeline, such as `Deploy-EU`.
    pub pipeline_stage: String,
    pub action: String,
    /// The action execution id.
    pub attempt_id: String,
}

/// A client token for an idempotent AWS call: a UUID of 36 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientToken(String);

impl ClientToken {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ClientToken {
    /// Derives a token from the content of the request, so that every attempt that requests the same content shares it.
    #[must_use]
    pub fn of_content(content: &str) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, format!("content:{content}").as_bytes()).to_string())
    }
}

impl fmt::Display for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ClientToken> for String {
    fn from(token: ClientToken) -> Self {
        token.0
    }
}

/// Keys of the tags on the resources that bakeline creates.
pub mod tag {
    pub const PIPELINE: &str = "bakeline:pipeline";
    /// The pipeline execution id.
    pub const RUN: &str = "bakeline:run";
    /// The stage of bakeline: `bake`, `test`, `promote` or `cleanup`.
    pub const STAGE: &str = "bakeline:stage";
    /// The name of the stage in the pipeline.
    pub const PIPELINE_STAGE: &str = "bakeline:pipeline-stage";
    pub const ACTION: &str = "bakeline:action";
    /// The action execution id.
    pub const ATTEMPT: &str = "bakeline:attempt";
    /// The service an image belongs to; cleanup finds images by it.
    pub const SERVICE: &str = "bakeline:service";
    /// The hash of the inputs of a bake, on builds that several releases may share.
    pub const BAKE_KEY: &str = "bakeline:bake-key";
    /// The digest of the parent image when the container recipe was created.
    pub const PARENT_DIGEST: &str = "bakeline:parent-digest";
    /// The cluster in which the task of a task definition runs.
    pub const CLUSTER: &str = "bakeline:cluster";
    /// The channel of an image, such as `stable`; cleanup counts each channel separately.
    pub const CHANNEL: &str = "bakeline:channel";
    /// Cleanup keeps the image: without limit, or until the time in the tag's value.
    pub const KEEP: &str = "bakeline:keep";
    /// Cleanup ignores the age and count rules for the image. It still keeps an image that is in use.
    pub const DISCARD: &str = "bakeline:discard";
    /// When the image was last promoted.
    pub const PROMOTED_ON: &str = "bakeline:promoted-on";
    /// When the last signed statement about the image expires.
    pub const EVIDENCE_UNTIL: &str = "bakeline:evidence-until";
}

impl ExecutionKey {
    /// The client token of one step of this attempt.
    #[must_use]
    pub fn client_token(&self, step: &str) -> ClientToken {
        // The length prefixes keep two different pairs of parts from forming the same text.
        let seed = format!("{}:{}:{}:{step}", self.attempt_id.len(), self.attempt_id, step.len());
        ClientToken(Uuid::new_v5(&NAMESPACE, seed.as_bytes()).to_string())
    }

    /// A resource name for this attempt: `bakeline-<role>-<16 hex>`, 26 characters longer than the role.
    #[must_use]
    pub fn name(&self, role: &str) -> String {
        let token = self.client_token(role);
        let short: String = token.as_str().chars().filter(char::is_ascii_hexdigit).take(16).collect();
        format!("bakeline-{role}-{short}")
    }

    /// The tags of a resource that this attempt creates in a stage.
    #[must_use]
    pub fn tags(&self, stage: Stage) -> BTreeMap<String, String> {
        [
            (tag::PIPELINE, self.pipeline.as_str()),
            (tag::RUN, &self.run_id),
            (tag::STAGE, stage.name()),
            (tag::PIPELINE_STAGE, &self.pipeline_stage),
            (tag::ACTION, &self.action),
            (tag::ATTEMPT, &self.attempt_id),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(attempt_id: &str) -> ExecutionKey {
        ExecutionKey {
            pipeline: "web".into(),
            run_id: "e-1".into(),
            pipeline_stage: "Bake".into(),
            action: "Image".into(),
            attempt_id: attempt_id.into(),
        }
    }

    #[test]
    fn client_tokens_never_change_between_versions() {
        assert_eq!(key("a-1").client_token("start").as_str(), "5b2b83ac-7dd4-5290-be3b-60b4fb77da1a");
    }

    proptest! {
        #[test]
        fn a_client_token_depends_on_attempt_and_step_only(a in "[a-z0-9:-]{1,40}", b in "[a-z0-9:-]{1,40}", s in "[a-z:]{1,12}", t in "[a-z:]{1,12}") {
            let same = key(&a).client_token(&s);
            prop_assert_eq!(same.as_str().len(), 36);
            prop_assert_eq!(&same, &key(&a).client_token(&s));
            prop_assert_eq!(same == key(&b).client_token(&t), a == b && s == t);
        }
    }
}
