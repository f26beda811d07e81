//! The content digest of a machine image: what is on its volumes, read block by block through the EBS direct APIs.

pub mod chain;
pub mod cost;
mod digest;
pub mod error;
pub mod read;

pub use chain::{ALGORITHM, Chain, Position};
pub use cost::BlockCount;
pub use digest::{ContentEvent, digest};
pub use read::{ReadProgress, Volume, count_blocks, percent, read_piece, volumes};
