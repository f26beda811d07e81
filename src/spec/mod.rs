//! The release spec, `bakeline.yaml`: its types, how a file becomes them, and what is wrong with one that does not.
//!
//! The types are the one source: the JSON Schema is derived from them ([`schema`]), a file is read with the place
//! of each value (`yaml`), held against that schema (`shape`), and then against the rules between values (`rules`).

mod parse;
pub mod problem;
pub mod release;
mod rules;
pub mod schema;
mod shape;
pub mod span;
mod yaml;

pub use problem::{Position, SpecErrors, SpecProblem};
pub use release::{
    Bake, Check, Cleanup, Evidence, ImageCopy, Metric, MissingSection, Promote, Query, ReleaseSpec, Test,
};
pub use schema::schema;
pub use span::{Span, SpanError};
pub use yaml::MAX_BYTES;

#[cfg(test)]
mod tests;
