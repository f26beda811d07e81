//! The release spec, `bakeline.yaml`: its types, how a file becomes them, and what is wrong with one that does not.
//!
//! The types are the one source: the JSON Schema is derived from them ([`schema`]), a file is read with the place
//! of each value (`yaml`), held against that schema (`shape`), and then against the rules between values (`rules`).

pub mod bake;
pub mod check;
pub mod cleanup;
pub mod container;
pub mod gates;
mod parse;
pub mod problem;
pub mod promote;
pub mod recipe;
pub mod release;
mod rules;
pub mod schema;
mod shape;
pub mod span;
pub mod task;
pub mod test;
pub mod trial;
pub mod wave;
mod yaml;

pub use bake::{Bake, Content, ImageCopy};
pub use check::Check;
pub use cleanup::{Cleanup, Containers, Exception, Limits, Shared};
pub use container::Container;
pub use gates::{Architecture, BootMode, Facts, Gates, Scan, ScanException};
pub use problem::{Position, SpecErrors, SpecProblem};
pub use promote::{Metric, Promote, Query};
pub use recipe::{Component, Recipe, Reuse, Volume};
pub use release::{Evidence, MissingSection, ReleaseSpec, Targets};
pub use schema::schema;
pub use span::{Span, SpanError};
pub use task::Task;
pub use test::{Output, Soak, Test};
pub use trial::{Compared, Judge, Strategy};
pub use wave::Wave;
pub use yaml::MAX_BYTES;

#[cfg(test)]
mod tests;
