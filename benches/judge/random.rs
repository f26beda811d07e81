//! Random numbers for the simulations: small, seeded, and the same in every version of every library.

/// `SplitMix64` (Steele, Lea and Flood, 2014).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in (0, 1).
    #[allow(clippy::cast_precision_loss)]
    pub fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// A Poisson count, exactly: by inversion, in parts of mean 500 at most.
    pub fn poisson(&mut self, mean: f64) -> f64 {
        let (mut left, mut sum) = (mean, 0.0);
        while left > 0.0 {
            let part = left.min(500.0);
            left -= part;
            let (mut k, mut p, u) = (0.0, (-part).exp(), self.uniform());
            let mut below = p;
            while u > below && p > 0.0 {
                k += 1.0;
                p *= part / k;
                below += p;
            }
            sum += k;
        }
        sum
    }

    /// A binomial count, by inversion; for n p up to a few hundred.
    pub fn binomial(&mut self, n: f64, p: f64) -> f64 {
        let (mut k, u) = (0.0, self.uniform());
        let mut mass = (n * (-p).ln_1p()).exp();
        let mut below = mass;
        while u > below && k < n {
            mass *= (n - k) / (k + 1.0) * p / (1.0 - p);
            k += 1.0;
            below += mass;
        }
        k
    }

    /// Events that come in clumps of one, two or three with equal chances; `mean` events in all.
    pub fn clumped(&mut self, mean: f64) -> f64 {
        (1..=3).map(|size| f64::from(size) * self.poisson(mean / 6.0)).sum()
    }

    /// Gamma with shape 4 and mean 1.
    pub fn gamma4(&mut self) -> f64 {
        -(0..4).map(|_| self.uniform().ln()).sum::<f64>() / 4.0
    }

    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
