//! The release spec, `bakeline.yaml`: its types, its JSON Schema, and the reader that reports every mistake in a file.
//!
//! The types are the single source: the JSON Schema is derived from them ([`schema`]). A file is read with the
//! position of each value (`yaml`), validated against that schema (`shape`), and then against the rules between
//! values (`rules`).

#[macro_use]
mod choice;
pub mod bake;
pub mod cleanup;
pub mod evidence;
mod moved;
mod names;
mod one_of;
mod parse;
pub mod problem;
pub mod promote;
pub mod release;
mod rules;
pub mod schema;
mod shape;
pub mod span;
pub mod test;
mod words;
mod yaml;

pub use bake::component::{Component, Reuse};
pub use bake::container_recipe::ContainerRecipe;
pub use bake::gates::{Architecture, BootMode, Gates, ImageCopy, ImageRequirements};
pub use bake::image_recipe::{ImageRecipe, RootVolume};
pub use bake::scan::{AcceptedFinding, Scan};
pub use bake::{Bake, ContentDigest};
pub use cleanup::Cleanup;
pub use cleanup::container_images::ContainerImages;
pub use cleanup::machine_images::{MachineImages, SharedImages};
pub use evidence::Evidence;
pub use problem::{Position, SpecErrors, SpecProblem};
pub use promote::Promote;
pub use promote::cloudwatch::Query;
pub use promote::judge::Judge;
pub use promote::limit::Limit;
pub use release::{MissingSection, ReleaseSpec};
pub use schema::schema;
pub use span::{Span, SpanError};
pub use test::Test;
pub use test::check::Check;
pub use test::instance::Instance;
pub use test::output::Output;
pub use test::soak::Soak;
pub use test::task::Task;
pub use yaml::MAX_BYTES;

#[cfg(test)]
mod tests;
