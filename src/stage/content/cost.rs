//! How many blocks an image has, and what reading them costs. Pure.

use std::fmt;

/// Blocks in one `ListSnapshotBlocks` call of a read; EBS lists up to 10,000.
pub const PIECE: u32 = 4096;

/// Price in billionths of a dollar of one `GetSnapshotBlock` and one `ListSnapshotBlocks` call in us-east-1 (2026-11).
/// Other Regions cost somewhat more.
const NANO_DOLLARS_PER_BLOCK: u64 = 3000;
const NANO_DOLLARS_PER_LIST: u64 = 600;

/// The blocks of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCount {
    /// Blocks that were written, on all volumes.
    pub blocks: u64,
    /// `ListSnapshotBlocks` calls that counting them took.
    pub lists: u64,
}

impl BlockCount {
    /// The price of counting and reading the blocks, in billionths of a dollar.
    #[must_use]
    pub fn nano_dollars(self) -> u64 {
        let lists = self.blocks.div_ceil(u64::from(PIECE)).saturating_add(self.lists.saturating_mul(2));
        self.blocks
            .saturating_mul(NANO_DOLLARS_PER_BLOCK)
            .saturating_add(lists.saturating_mul(NANO_DOLLARS_PER_LIST))
    }
}

impl std::ops::Add for BlockCount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            blocks: self.blocks.saturating_add(other.blocks),
            lists: self.lists.saturating_add(other.lists),
        }
    }
}

/// As `1234 blocks, 617.0 MiB, about $0.01`.
impl fmt::Display for BlockCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = self.nano_dollars().div_ceil(10_000_000);
        write!(
            f,
            "{} blocks, {}.{} MiB, about ${}.{:02}",
            self.blocks,
            self.blocks / 2,
            (self.blocks % 2) * 5,
            cents / 100,
            cents % 100
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_is_rounded_up_to_whole_cents() {
        for (blocks, lists, text) in [
            (0, 1, "0 blocks, 0.0 MiB, about $0.01"),
            (3, 1, "3 blocks, 1.5 MiB, about $0.01"),
            (2048 * 8, 2, "16384 blocks, 8192.0 MiB, about $0.05"),
            (2048 * 1000, 205, "2048000 blocks, 1024000.0 MiB, about $6.15"),
        ] {
            assert_eq!(BlockCount { blocks, lists }.to_string(), text);
        }
        let max = BlockCount { blocks: u64::MAX, lists: u64::MAX };
        assert_eq!((max + max).nano_dollars(), u64::MAX);
    }
}
