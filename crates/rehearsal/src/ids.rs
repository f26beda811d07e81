//! Resource identifiers from a seed: the same seed gives the same identifiers.

/// A deterministic generator of AWS resource identifiers.
#[derive(Clone, Debug)]
pub struct Ids {
    seed: u64,
    drawn: u64,
}

impl Ids {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The next pseudo-random 64-bit number (`SplitMix64`): the world's only source of randomness.
    #[allow(clippy::should_implement_trait, reason = "an endless source of numbers is not an iterator")]
    pub fn next(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let mut z = self.seed.wrapping_add(self.drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// An EC2 resource id: `prefix` and 17 hexadecimal digits, such as `ami-0…`.
    pub fn ec2(&mut self, prefix: &str) -> String {
        format!("{prefix}-0{:016x}", self.next())
    }

    /// A UUID of version 4.
    pub fn uuid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            b >> 52,
            b & 0xffff_ffff_ffff
        )
    }
}
