//! Components of a recipe, and when an earlier image is reused.

use crate::partitions::{partition_pattern, region_pattern};
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::names::SOURCE_PATH;
use crate::spec::one_of::one_of;

/// A component: a document in the source artifact, or one that exists in Image Builder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = one_of(&["path", "arn"])))]
pub struct Component {
    /// Path of the component document in the source artifact: relative, `/` between folders, of letters, digits and `._-`, no part beginning with a dot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        length(max = 255),
        regex(pattern = SOURCE_PATH),
        example = &"imagebuilder/web.yaml"
    )]
    pub path: Option<String>,
    /// ARN of a component that exists, of one exact version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        regex(
            pattern = concat!(r"^arn:", partition_pattern!(), r":imagebuilder:", region_pattern!(), r":([0-9]{12}|aws|third-party):component/[a-z0-9_-]+/[0-9]+\.[0-9]+\.[0-9]+(/[0-9]+)?$")
        ),
        example = &"arn:aws:imagebuilder:eu-west-1:aws:component/update-linux/1.0.2"
    )]
    pub arn: Option<String>,
    /// Parameters of the component, by name. Do not put secrets here: Image Builder shows them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

choice! {
    /// When the image of an earlier release is reused in place of a new one.
    Reuse { Never, Unchanged, UnchangedExceptParent }
}
