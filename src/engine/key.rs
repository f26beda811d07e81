//! Names and client tokens derived from the action execution: a repeated call is the same call, on any worker.

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

/// The UUID namespace of bakeline's derived names: version 5 of the DNS name `bakeline.dev`.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0b_8a5c_52f4_5f0e_9d2b_5a3e_0c86_4b1d);

/// Who acts: one attempt of one action in one pipeline execution.
///
/// The action execution id is the same over all slices of an attempt and new when a failed action is retried;
/// job ids change with every slice and are never used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionKey {
    pub pipeline: String,
    pub pipeline_execution: String,
    pub stage: String,
    pub action: String,
    pub action_execution: String,
}

/// A client token: 36 characters, the form every AWS service accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientToken(String);

impl ClientToken {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ClientToken {
    /// A token derived from what is asked for instead of from who asks: whoever asks for the same gets the same.
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

/// Keys of the tags that everything bakeline creates carries from birth.
pub mod tag {
    pub const PIPELINE: &str = "bakeline:pipeline";
    pub const PIPELINE_EXECUTION: &str = "bakeline:pipeline-execution";
    pub const STAGE: &str = "bakeline:stage";
    pub const ACTION: &str = "bakeline:action";
    pub const ACTION_EXECUTION: &str = "bakeline:action-execution";
    /// The service an image belongs to; cleanup finds images by it.
    pub const SERVICE: &str = "bakeline:service";
    /// What makes two bakes the same, on builds that several releases may share.
    pub const BAKE_KEY: &str = "bakeline:bake-key";
    /// The digest that the parent image of a container recipe had when the recipe was made.
    pub const PARENT_DIGEST: &str = "bakeline:parent-digest";
    /// The cluster that the task of a task definition runs in.
    pub const CLUSTER: &str = "bakeline:cluster";
    /// The line of releases an image belongs to, such as `stable`; cleanup counts each line on its own.
    pub const CHANNEL: &str = "bakeline:channel";
    /// Cleanup keeps the image: forever, or until the date that is the tag's value.
    pub const KEEP: &str = "bakeline:keep";
    /// Ages and counts do not keep the image; references do.
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
        // Length-prefixed, so that no two pairs of parts run together into one text.
        let seed = format!("{}:{}:{}:{step}", self.action_execution.len(), self.action_execution, step.len());
        ClientToken(Uuid::new_v5(&NAMESPACE, seed.as_bytes()).to_string())
    }

    /// A resource name for this attempt, such as `bakeline-staging-1f0c…`: at most 26 characters past `kind`.
    #[must_use]
    pub fn name(&self, kind: &str) -> String {
        let token = self.client_token(kind);
        let short: String = token.as_str().chars().filter(char::is_ascii_hexdigit).take(16).collect();
        format!("bakeline-{kind}-{short}")
    }

    /// The tags that tie a resource to this attempt.
    #[must_use]
    pub fn tags(&self) -> BTreeMap<String, String> {
        [
            (tag::PIPELINE, &self.pipeline),
            (tag::PIPELINE_EXECUTION, &self.pipeline_execution),
            (tag::STAGE, &self.stage),
            (tag::ACTION, &self.action),
            (tag::ACTION_EXECUTION, &self.action_execution),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(action_execution: &str) -> ExecutionKey {
        ExecutionKey {
            pipeline: "web".into(),
            pipeline_execution: "e-1".into(),
            stage: "Bake".into(),
            action: "Image".into(),
            action_execution: action_execution.into(),
        }
    }

    #[test]
    fn the_token_of_a_released_version_never_changes() {
        assert_eq!(key("a-1").client_token("start").as_str(), "5b2b83ac-7dd4-5290-be3b-60b4fb77da1a");
    }

    proptest! {
        #[test]
        fn a_token_depends_on_execution_and_step_alone(a in "[a-z0-9:-]{1,40}", b in "[a-z0-9:-]{1,40}", s in "[a-z:]{1,12}", t in "[a-z:]{1,12}") {
            let same = key(&a).client_token(&s);
            prop_assert_eq!(same.as_str().len(), 36);
            prop_assert_eq!(&same, &key(&a).client_token(&s));
            prop_assert_eq!(same == key(&b).client_token(&t), a == b && s == t);
        }
    }
}
