//! The release spec, `bakeline.yaml`: its types, how a file becomes them, and what is wrong with one that does not.

pub mod release;
pub mod span;

pub use release::{
    Bake, Check, Cleanup, Evidence, ImageCopy, Metric, MissingSection, Promote, Query, ReleaseSpec, Test,
};
pub use span::{Span, SpanError};
