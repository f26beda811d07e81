//! Builds of Image Builder.

pub mod calls;
pub mod find;
pub mod log_link;
pub mod remove_images;
pub mod reuse;
pub mod status;
