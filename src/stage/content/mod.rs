//! What is on an image's volumes, as one digest: read block by block through the EBS direct API.

mod check;
pub mod cost;
pub mod read;
pub mod rule;

pub use check::{News, digest};
pub use cost::Survey;
pub use read::{Turn, Volume, percent, read_on, survey, volumes};
pub use rule::{ALGORITHM, Chain, Position};
