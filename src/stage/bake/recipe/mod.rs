//! The recipe of a spec, as components and a recipe of Image Builder.

pub mod create;
pub mod document;
pub mod dockerfile;
pub mod plan;
pub mod version;
