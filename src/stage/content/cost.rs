//! What reading an image's blocks costs. Pure.

use std::fmt;

/// Blocks asked for with one `ListSnapshotBlocks` by a reading: EBS lists at most 10 000.
pub const PIECE: u32 = 4096;

/// Billionths of a dollar for a block read, and for a list, in us-east-1 (2026-11). Other Regions cost somewhat more.
const NANO_DOLLARS_A_BLOCK: u64 = 3000;
const NANO_DOLLARS_A_LIST: u64 = 600;

/// How much there is to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Blocks that were written, on all volumes.
    pub blocks: u64,
    /// Lists that it took to count them.
    pub lists: u64,
}

impl Survey {
    /// The price of counting and reading, in billionths of a dollar.
    #[must_use]
    pub fn nano_dollars(self) -> u64 {
        let lists = self.blocks.div_ceil(u64::from(PIECE)).saturating_add(self.lists.saturating_mul(2));
        self.blocks
            .saturating_mul(NANO_DOLLARS_A_BLOCK)
            .saturating_add(lists.saturating_mul(NANO_DOLLARS_A_LIST))
    }
}

impl std::ops::Add for Survey {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            blocks: self.blocks.saturating_add(other.blocks),
            lists: self.lists.saturating_add(other.lists),
        }
    }
}

/// As `1234 blocks, 617.0 MiB, about $0.01`.
impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = self.nano_dollars().div_ceil(10_000_000);
        let halves = self.blocks;
        write!(
            f,
            "{} blocks, {}.{} MiB, about ${}.{:02}",
            self.blocks,
            halves / 2,
            (halves % 2) * 5,
            cents / 100,
            cents % 100
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_told_in_whole_cents_rounded_up() {
        for (blocks, lists, text) in [
            (0, 1, "0 blocks, 0.0 MiB, about $0.01"),
            (3, 1, "3 blocks, 1.5 MiB, about $0.01"),
            (2048 * 8, 2, "16384 blocks, 8192.0 MiB, about $0.05"),
            (2048 * 1000, 205, "2048000 blocks, 1024000.0 MiB, about $6.15"),
        ] {
            assert_eq!(Survey { blocks, lists }.to_string(), text);
        }
        let most = Survey { blocks: u64::MAX, lists: u64::MAX };
        assert_eq!((most + most).nano_dollars(), u64::MAX);
    }
}
