//! The content of a snapshot: sparse blocks of zeros or of pseudo-random bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The size of a block in bytes.
pub const BLOCK_SIZE: usize = 512 << 10;

/// The number of blocks in a GiB.
pub const BLOCKS_PER_GIB: u32 = 2048;

/// The content of a written block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Zeros: reads like a block that was never written.
    Zeros,
    /// Pseudo-random bytes from a seed.
    Noise(u64),
}

impl Fill {
    /// The bytes of the block.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let mut state = match self {
            Self::Zeros => return vec![0; BLOCK_SIZE],
            Self::Noise(seed) => seed,
        };
        // SplitMix64.
        let word = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)).to_le_bytes()
        };
        std::iter::repeat_with(word).take(BLOCK_SIZE / 8).flatten().collect()
    }
}

/// The written blocks of a snapshot, by index. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks(Arc<BTreeMap<u32, Fill>>);

impl Blocks {
    /// A few written blocks of a volume, with the volume's name as the seed.
    pub(super) fn named(name: &str) -> Self {
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        [0, 1, 100].into_iter().map(|index| (index, Fill::Noise(seed ^ u64::from(index)))).collect()
    }

    #[must_use]
    pub fn get(&self, index: u32) -> Option<Fill> {
        self.0.get(&index).copied()
    }

    /// Writes a block.
    pub fn write(&mut self, index: u32, fill: Fill) {
        Arc::make_mut(&mut self.0).insert(index, fill);
    }

    /// The indices of the written blocks from `index` on, in ascending order.
    pub fn from(&self, index: u32) -> impl Iterator<Item = u32> {
        self.0.range(index..).map(|(index, _)| *index)
    }
}

impl FromIterator<(u32, Fill)> for Blocks {
    fn from_iter<I: IntoIterator<Item = (u32, Fill)>>(blocks: I) -> Self {
        Self(Arc::new(blocks.into_iter().collect()))
    }
}
