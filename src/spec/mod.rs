//! The release spec, `bakeline.yaml`: its types, how a file becomes them, and what is wrong with one that does not.
//!
//! The types are the one source: the JSON Schema is derived from them ([`schema`]), a file is read with the place
//! of each value (`yaml`), held against that schema (`shape`), and then against the rules between values (`rules`).

pub mod bake;
pub mod cleanup;
mod parse;
pub mod problem;
pub mod promote;
pub mod release;
mod rules;
pub mod schema;
mod shape;
pub mod span;
pub mod test;
pub mod trial;
mod yaml;

pub use bake::{Bake, ImageCopy};
pub use cleanup::{Cleanup, Exception, Limits, Shared};
pub use problem::{Position, SpecErrors, SpecProblem};
pub use promote::{Metric, Promote, Query};
pub use release::{Evidence, MissingSection, ReleaseSpec, Targets};
pub use schema::schema;
pub use span::{Span, SpanError};
pub use test::{Check, Test};
pub use trial::{Compared, Judge, Strategy};
pub use yaml::MAX_BYTES;

#[cfg(test)]
mod tests;
