//! Takes container images that nothing uses out of ECR, as cleanup does with machine images.
//!
//! An image that nothing speaks for is marked, and put into ECR's archive: it cannot be pulled any more, and comes back
//! whenever it is asked for. After its quarantine, and another look at everything, it is deleted by its digest. What an
//! index names goes after the index, and what is about an image (a signature, an attestation) goes with it.

pub mod act;
pub mod apply;
pub mod graph;
pub mod image;
pub mod inventory;
pub mod marks;
pub mod plan;
pub mod quarantine;
pub mod record;
pub mod retain;
pub mod steps;
pub mod survey;
#[cfg(test)]
mod tests;
pub mod uri;
