//! The content digest: a hash chain over the blocks that are not all zeros. Pure.
//!
//! A continuation token cannot hold an unfinished SHA-256. It can hold the chain: after each block the state is 32 bytes,
//! and the next slice continues from them. `docs/predicates.md` specifies the rule.
//!
//! EBS lists the blocks that were written. A block written with zeros reads like one that was never written; which of the
//! two a copy has depends on how it was made. So blocks of zeros do not count. The aggregate checksum that EBS documents
//! for `CompleteSnapshot` counts them, and does not cover the position of a block.

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::digest::Sha256;

/// The name of the digest in a `DigestSet`. Every chain starts with the hash of this name.
pub const ALGORITHM: &str = crate::evidence::image::CONTENT_DIGEST;

/// Bytes in a block.
pub const BLOCK_SIZE: usize = 512 << 10;

/// Zeros to compare a block with, piece by piece.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Blocks in a GiB of volume.
pub const BLOCKS_PER_GIB: u64 = 2048;

/// The digest of all blocks so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Chain(Sha256);

impl Default for Chain {
    fn default() -> Self {
        Self(Sha256::of(ALGORITHM.as_bytes()))
    }
}

impl Chain {
    /// Adds the start of a volume: its device name and size.
    #[must_use]
    pub fn volume(self, device: &str, gib: u32) -> Self {
        self.link(b'v', &[&gib.to_be_bytes(), device.as_bytes()])
    }

    /// Adds a block of the last volume.
    #[must_use]
    pub fn block(self, index: u32, digest: BlockDigest) -> Self {
        match digest {
            BlockDigest::Zeros => self,
            BlockDigest::Data(digest) => self.link(b'b', &[&index.to_be_bytes(), digest.as_bytes()]),
        }
    }

    /// The content digest, after the last block of the last volume.
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

/// The position of a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Index of the volume, in the order of the devices.
    pub volume: u16,
    /// The first block that the chain does not cover yet.
    pub next: u32,
    pub chain: Chain,
}

/// The digest of one block in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockDigest {
    Zeros,
    Data(Sha256),
}

/// Hashes a block while its bytes arrive.
#[derive(Clone, Debug)]
pub struct BlockHasher {
    hasher: sha2::Sha256,
    zeros: bool,
    length: usize,
}

impl Default for BlockHasher {
    fn default() -> Self {
        Self { hasher: sha2::Sha256::new(), zeros: true, length: 0 }
    }
}

impl BlockHasher {
    /// Adds bytes of the block.
    pub fn update(&mut self, bytes: &[u8]) {
        self.zeros = self.zeros && bytes.chunks(ZEROS.len()).all(|piece| ZEROS.starts_with(piece));
        self.length = self.length.saturating_add(bytes.len());
        self.hasher.update(bytes);
    }

    /// The SHA-256 of the block, as EBS computes it, and its digest in the chain; none if the block is incomplete.
    #[must_use]
    pub fn finish(self) -> Option<(Sha256, BlockDigest)> {
        let digest = Sha256::from_bytes(self.hasher.finalize().into());
        let in_chain = if self.zeros { BlockDigest::Zeros } else { BlockDigest::Data(digest) };
        (self.length == BLOCK_SIZE).then_some((digest, in_chain))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(bytes: &[u8]) -> BlockDigest {
        let mut hasher = BlockHasher::default();
        for chunk in bytes.chunks(100_000) {
            hasher.update(chunk);
        }
        hasher.finish().unwrap().1
    }

    fn data(text: &str) -> BlockDigest {
        BlockDigest::Data(Sha256::of(text.as_bytes()))
    }

    #[test]
    fn the_digest_follows_the_documented_rule() {
        // Written from docs/predicates.md with Python's hashlib:
        // h = sha256(b"bakeline_ebsContentV1"); h = sha256(h + b"v" + pack(">I", 8) + b"/dev/xvda")
        // h = sha256(h + b"b" + pack(">I", 3) + sha256(b"\x01" * 524288))
        let block = sum(&vec![1; BLOCK_SIZE]);
        let chain = Chain::default().volume("/dev/xvda", 8).block(3, block);
        assert_eq!(
            chain.digest().to_string(),
            "86c87f5120afd9a2c4a6f20ec35fffd6ab14ebd9df0504153e56b825ddb70beb"
        );
    }

    #[test]
    fn the_position_of_a_block_counts_and_blocks_of_zeros_do_not() {
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
        assert_ne!(both, moved, "the same block on another volume");
    }

    #[test]
    fn an_incomplete_block_has_no_digest() {
        for length in [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE + 1] {
            let mut hasher = BlockHasher::default();
            hasher.update(&vec![1; length]);
            assert_eq!(hasher.finish(), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_byte_changes_the_digest_of_a_block(at in 0..BLOCK_SIZE, byte in 1..=u8::MAX, piece in 1..BLOCK_SIZE) {
            let mut bytes = vec![0; BLOCK_SIZE];
            bytes[at] = byte;
            let mut hasher = BlockHasher::default();
            for chunk in bytes.chunks(piece.max(4096)) {
                hasher.update(chunk);
            }
            prop_assert_eq!(hasher.finish(), Some((Sha256::of(&bytes), BlockDigest::Data(Sha256::of(&bytes)))));
        }

        #[test]
        fn a_chain_resumes_at_any_block(blocks in proptest::collection::btree_map(0..16_384u32, any::<u8>(), 0..40), cut in 0..40usize) {
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
