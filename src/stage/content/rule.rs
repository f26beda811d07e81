//! The content digest `bakeline_ebsContentV1`: a chain over the blocks that are not all zeros. Pure.
//!
//! A SHA-256 under way cannot travel in a continuation token. A chain of finished ones can: what is known after a block
//! is 32 bytes, and the next slice goes on from them. `docs/predicates.md` writes the rule down.
//!
//! EBS lists blocks that were written, and one that was written with zeros reads as one that never was. Which of the two
//! a copy has depends on how it was made, so blocks of zeros do not count. The aggregate that EBS documents for
//! `CompleteSnapshot` counts them, and it says nothing about where a block stands.

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::digest::Sha256;

/// The digest's name among the digests of a subject, with which every chain begins.
pub const ALGORITHM: &str = crate::evidence::image::CONTENT_DIGEST;

/// Bytes of a block.
pub const BLOCK_SIZE: usize = 512 << 10;

/// What a block of zeros is compared with, piece by piece.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Blocks in a GiB of volume.
pub const BLOCKS_PER_GIB: u64 = 2048;

/// The digest of everything so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Chain(Sha256);

impl Default for Chain {
    fn default() -> Self {
        Self(Sha256::of(ALGORITHM.as_bytes()))
    }
}

impl Chain {
    /// A volume begins: its device's name and its size.
    #[must_use]
    pub fn volume(self, device: &str, gib: u32) -> Self {
        self.link(b'v', &[&gib.to_be_bytes(), device.as_bytes()])
    }

    /// A block of the volume that began last.
    #[must_use]
    pub fn block(self, index: u32, sum: BlockSum) -> Self {
        match sum {
            BlockSum::Zeros => self,
            BlockSum::Data(digest) => self.link(b'b', &[&index.to_be_bytes(), digest.as_bytes()]),
        }
    }

    /// The digest, once the last block of the last volume is in it.
    #[must_use]
    pub const fn digest(self) -> Sha256 {
        self.0
    }

    fn link(self, kind: u8, parts: &[&[u8]]) -> Self {
        let mut hasher = sha2::Sha256::new();
        hasher.update(self.0.as_bytes());
        hasher.update([kind]);
        for part in parts {
            hasher.update(part);
        }
        Self(Sha256::from_bytes(hasher.finalize().into()))
    }
}

/// How far a reading has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Place of the volume, in the order of the devices.
    pub volume: u16,
    /// The first block that is not in the chain yet.
    pub next: u32,
    pub chain: Chain,
}

/// What one block is to the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockSum {
    Zeros,
    Data(Sha256),
}

/// A block while its bytes come in.
#[derive(Clone, Debug)]
pub struct Summing {
    hasher: sha2::Sha256,
    zeros: bool,
    length: usize,
}

impl Default for Summing {
    fn default() -> Self {
        Self { hasher: sha2::Sha256::new(), zeros: true, length: 0 }
    }
}

impl Summing {
    pub fn update(&mut self, bytes: &[u8]) {
        self.zeros = self.zeros && bytes.chunks(ZEROS.len()).all(|piece| ZEROS.starts_with(piece));
        self.length = self.length.saturating_add(bytes.len());
        self.hasher.update(bytes);
    }

    /// The block's SHA-256 as EBS counts it, and what the block is to the chain; none if it is not a whole block.
    #[must_use]
    pub fn finish(self) -> Option<(Sha256, BlockSum)> {
        let digest = Sha256::from_bytes(self.hasher.finalize().into());
        let sum = if self.zeros { BlockSum::Zeros } else { BlockSum::Data(digest) };
        (self.length == BLOCK_SIZE).then_some((digest, sum))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(bytes: &[u8]) -> BlockSum {
        let mut summing = Summing::default();
        for chunk in bytes.chunks(100_000) {
            summing.update(chunk);
        }
        summing.finish().unwrap().1
    }

    fn data(text: &str) -> BlockSum {
        BlockSum::Data(Sha256::of(text.as_bytes()))
    }

    #[test]
    fn a_digest_is_the_documented_one() {
        // Written from docs/predicates.md with Python's hashlib:
        // h = sha256(b"bakeline_ebsContentV1"); h = sha256(h + b"v" + pack(">I", 8) + b"/dev/xvda")
        // h = sha256(h + b"b" + pack(">I", 3) + sha256(b"\x01" * 524288))
        let block = sum(&vec![1; BLOCK_SIZE]);
        let chain = Chain::default().volume("/dev/xvda", 8).block(3, block);
        assert_eq!(
            chain.digest().to_string(),
            "0c8e6197309b65ed18f62e535623b07366d4a6d139653314575c069f351e9c48"
        );
    }

    #[test]
    fn what_is_where_counts_and_zeros_do_not() {
        let empty = Chain::default().volume("/dev/xvda", 8);
        let one = empty.block(1, data("a"));
        assert_eq!(empty.block(0, sum(&vec![0; BLOCK_SIZE])), empty);
        for other in [
            empty,
            empty.block(2, data("a")),
            empty.block(1, data("b")),
            one.block(2, data("a")),
            Chain::default().volume("/dev/xvda", 9).block(1, data("a")),
            Chain::default().volume("/dev/sda1", 8).block(1, data("a")),
            one.volume("/dev/sdb", 8),
        ] {
            assert_ne!(one, other);
        }
        let both = one.volume("/dev/sdb", 8).block(1, data("b"));
        let moved = empty.volume("/dev/sdb", 8).block(1, data("a")).block(1, data("b"));
        assert_ne!(both, moved, "a block on another volume");
    }

    #[test]
    fn a_block_that_is_cut_off_is_none() {
        for length in [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE + 1] {
            let mut summing = Summing::default();
            summing.update(&vec![1; length]);
            assert_eq!(summing.finish(), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn one_byte_anywhere_makes_another_block(at in 0..BLOCK_SIZE, byte in 1..=u8::MAX, piece in 1..BLOCK_SIZE) {
            let mut bytes = vec![0; BLOCK_SIZE];
            bytes[at] = byte;
            let mut summing = Summing::default();
            for chunk in bytes.chunks(piece.max(4096)) {
                summing.update(chunk);
            }
            prop_assert_eq!(summing.finish(), Some((Sha256::of(&bytes), BlockSum::Data(Sha256::of(&bytes)))));
        }

        #[test]
        fn a_chain_goes_on_from_anywhere(blocks in proptest::collection::btree_map(0..16_384u32, any::<u8>(), 0..40), cut in 0..40usize) {
            let all: Vec<(u32, u8)> = blocks.into_iter().collect();
            let (head, tail) = all.split_at(cut.min(all.len()));
            let on = |chain: Chain, blocks: &[(u32, u8)]| {
                blocks.iter().fold(chain, |chain, (index, byte)| chain.block(*index, data(&byte.to_string())))
            };
            let start = Chain::default().volume("/dev/xvda", 8);
            let rest: Chain = serde_json::from_str(&serde_json::to_string(&on(start, head)).unwrap()).unwrap();
            prop_assert_eq!(on(rest, tail), on(start, &all));
        }
    }
}
