//! Removes container images that nothing uses from ECR, in steps that can be undone until the last.
//!
//! An image is marked and moved to ECR's archive: it cannot be pulled there, and can be restored. After its quarantine
//! it is deleted by digest. The images of an index follow the index, and referrers (signatures, attestations) stay and
//! go with the image they refer to.

pub mod apply;
pub mod calls;
pub mod image;
pub mod image_names;
pub mod inventory;
pub mod marks;
pub mod plan;
pub mod quarantine;
pub mod record;
pub mod references;
pub mod relations;
pub mod retention;
pub mod steps;
pub mod survey;
#[cfg(test)]
mod tests;
pub mod undo;
