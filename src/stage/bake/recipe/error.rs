//! Errors about the recipe of a spec.

use std::str::Utf8Error;

use crate::engine::{ErrorClass, ModuleError};

/// Why a recipe cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    #[error("bake.{section}.infrastructure_configuration `{arn}` is not an ARN")]
    NotAnArn { section: &'static str, arn: String },
    #[error("a component of the recipe needs exactly one of path and arn")]
    ComponentSource,
    #[error("the source artifact has no {path}, {what}")]
    NoFile { path: String, what: &'static str },
    #[error("{path} is not {what}: byte {} is not UTF-8 text", source.valid_up_to())]
    NotText { path: String, what: &'static str, source: Utf8Error },
    #[error(
        "{path} has {characters} characters; {what} must have 1 to {max}, none of them NUL: move long scripts to files \
         that the build downloads"
    )]
    Length { path: String, what: &'static str, characters: usize, max: usize },
    #[error("{path} has no {{{{{{ imagebuilder:{variable} }}}}}}: write it {place}")]
    NoVariable { path: String, variable: &'static str, place: &'static str },
    #[error("SSM parameter {name}, the parent image, holds `{value}`, which is not the id of an AMI")]
    ParentParameter { name: String, value: String },
    #[error("component {arn} exists and its content is not {path}: someone created it by hand; delete it")]
    ComponentDiffers { arn: String, path: String },
    #[error("recipe {arn} exists and is not the recipe of the spec: someone created it by hand; delete it")]
    RecipeDiffers { arn: String },
    #[error("imagebuilder:GetImage of {arn} returned no image")]
    NoParentVersion { arn: String },
}

impl ModuleError for RecipeError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotAnArn { .. }
            | Self::ComponentSource
            | Self::NoFile { .. }
            | Self::NotText { .. }
            | Self::Length { .. }
            | Self::NoVariable { .. }
            | Self::ParentParameter { .. } => ErrorClass::Config,
            Self::ComponentDiffers { .. } | Self::RecipeDiffers { .. } => ErrorClass::Rejected,
            Self::NoParentVersion { .. } => ErrorClass::NotYet,
        }
    }
}
