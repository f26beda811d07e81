//! The gates an image must pass before it counts as baked.

pub mod error;
pub mod image;
pub mod read;
pub mod sarif;
pub mod scan;
pub mod security_hub;
pub mod vulnerabilities;
