//! The images that a build makes: machine images and container images.

pub mod availability;
pub mod container;
pub mod copies;
pub mod error;
pub mod output;
pub mod registry;
