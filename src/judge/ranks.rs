//! Ranks of two pooled samples: the Mann-Whitney statistic, its ties, and its exact distribution.
#![allow(clippy::float_cmp, reason = "a tie is exact equality, as R has it")]

/// What the ranks of two pooled samples say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankSum {
    /// Pairs in which the first sample's value is the larger, ties counted half: Mann and Whitney's U, R's `W`.
    pub statistic: f64,
    /// Sum over groups of equal values of t^3 - t.
    pub ties: f64,
    first: f64,
    second: f64,
}

/// Ranks `first` and `second` together, equal values sharing the mean of their ranks. Values must not be NaN.
#[must_use]
pub fn rank_sum(first: &[f64], second: &[f64]) -> RankSum {
    let mut pooled: Vec<(f64, bool)> =
        first.iter().map(|&value| (value, true)).chain(second.iter().map(|&value| (value, false))).collect();
    pooled.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut sum, mut ties, mut before) = (0.0, 0.0, 0.0);
    // -0.0 and 0.0 are neighbours in the total order and equal here, as in R.
    for group in pooled.chunk_by(|a, b| a.0 == b.0) {
        let size = count(group.len());
        let rank = before + f64::midpoint(size, 1.0);
        sum += rank * count(group.iter().filter(|(_, from_first)| *from_first).count());
        ties += size * size * size - size;
        before += size;
    }
    let n = count(first.len());
    RankSum { statistic: sum - n * (n + 1.0) / 2.0, ties, first: n, second: count(second.len()) }
}

impl RankSum {
    /// How far the statistic is from its mean under equal distributions.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        self.statistic - self.first * self.second / 2.0
    }

    /// Standard deviation of the statistic under equal distributions, corrected for ties; zero if all values are equal.
    #[must_use]
    pub fn sigma(&self) -> f64 {
        let all = self.first + self.second;
        (self.first * self.second / 12.0 * ((all + 1.0) - self.ties / (all * (all - 1.0)))).sqrt()
    }

    /// The normal score with the continuity correction that moves the statistic half a pair towards its mean.
    #[must_use]
    pub fn z(&self) -> f64 {
        let deviation = self.deviation();
        let correction = if deviation == 0.0 { 0.0 } else { 0.5_f64.copysign(deviation) };
        (deviation - correction) / self.sigma()
    }

    /// Whether any two values are equal.
    #[must_use]
    pub fn tied(&self) -> bool {
        self.ties > 0.0
    }
}

/// A count as a number; exact below 2^53, which no sample reaches.
#[allow(clippy::cast_precision_loss)]
#[must_use]
pub fn count(n: usize) -> f64 {
    n as f64
}

/// The exact distribution of the statistic for samples without ties, as (P(W <= w), P(W >= w)).
///
/// The number of arrangements with statistic u is the coefficient of q^u in the Gaussian binomial of (n + m) over n,
/// built factor by factor in integers: every product before each division is exact, so nothing is rounded.
/// `None` where the numbers would outgrow 128 bits (samples larger than 50).
#[must_use]
pub fn exact_tails(n: usize, m: usize, statistic: f64) -> Option<(f64, f64)> {
    if n == 0 || m == 0 || n > 50 || m > 50 || statistic.is_nan() {
        return None;
    }
    let degree = n * m;
    let mut ways = vec![0_u128; degree + 1];
    *ways.first_mut()? = 1;
    for i in 1..=n {
        // Times (1 - q^(m+i)). Intermediate values may pass below zero; wrapping arithmetic keeps them exact.
        for u in (m + i..=degree).rev() {
            let taken = *ways.get(u - (m + i))?;
            let entry = ways.get_mut(u)?;
            *entry = entry.wrapping_sub(taken);
        }
        // Divided by (1 - q^i).
        for u in i..=degree {
            let added = *ways.get(u - i)?;
            let entry = ways.get_mut(u)?;
            *entry = entry.wrapping_add(added);
        }
    }
    let all: u128 = ways.iter().sum();
    let sum = |keep: &dyn Fn(f64) -> bool| -> u128 {
        ways.iter().enumerate().filter(|(u, _)| keep(count(*u))).map(|(_, ways)| ways).sum()
    };
    Some((ratio(sum(&|u| u <= statistic + 1e-7), all), ratio(sum(&|u| u >= statistic - 1e-7), all)))
}

#[allow(clippy::cast_precision_loss)]
fn ratio(part: u128, whole: u128) -> f64 {
    part as f64 / whole as f64
}

/// The exact permutation tails (P(W <= w), P(W >= w)) of these very values, ties and all.
///
/// Counts the ways to draw the first sample's size from the pooled ranks by the sum of (doubled) ranks.
/// `None` above 40 values in all, where the table would be large and the normal approximation is good.
pub fn permutation_tails(first: &[f64], second: &[f64]) -> Option<(f64, f64)> {
    let ranks = rank_sum(first, second);
    if !ranks.tied() {
        return exact_tails(first.len(), second.len(), ranks.statistic);
    }
    let all = first.len() + second.len();
    if first.is_empty() || second.is_empty() || all > 40 {
        return None;
    }
    let mut pooled: Vec<f64> = first.iter().chain(second).copied().collect();
    pooled.sort_unstable_by(f64::total_cmp);
    let mut doubled = Vec::with_capacity(all);
    for group in pooled.chunk_by(|a, b| a == b) {
        let rank = 2 * doubled.len() + group.len() + 1;
        doubled.extend(std::iter::repeat_n(rank, group.len()));
    }
    let (size, top) = (first.len(), all * (all + 1));
    let mut ways = vec![vec![0.0_f64; top + 1]; size + 1];
    *ways.first_mut()?.first_mut()? = 1.0;
    for rank in doubled {
        for k in (1..=size).rev() {
            let (lower, upper) = ways.split_at_mut_checked(k)?;
            let (from, into) = (lower.last()?, upper.first_mut()?);
            for (taken, entry) in from.iter().zip(into.iter_mut().skip(rank)) {
                *entry += taken;
            }
        }
    }
    let row = ways.last()?;
    let offset = count(size * (size + 1));
    let seen = 2.0 * ranks.statistic + offset;
    let all_ways: f64 = row.iter().sum();
    let sum = |keep: &dyn Fn(f64) -> bool| -> f64 {
        row.iter().enumerate().filter(|(s, _)| keep(count(*s))).map(|(_, ways)| ways).sum()
    };
    Some((sum(&|s| s <= seen + 1e-6) / all_ways, sum(&|s| s >= seen - 1e-6) / all_ways))
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "numbers that must come out exactly are compared exactly")]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_the_mean_of_their_ranks() {
        let ranks = rank_sum(&[1.0, 2.0, 2.0], &[2.0, 3.0]);
        // Ranks 1, 3, 3 | 3, 5: the sum 7 less 6.
        assert_eq!((ranks.statistic, ranks.ties), (1.0, 24.0));
    }

    #[test]
    fn the_exact_distribution_is_the_table_of_mann_and_whitney() {
        let (below, above) = exact_tails(3, 3, 0.0).unwrap();
        assert_eq!((below, above), (1.0 / 20.0, 1.0));
        let (below, _) = exact_tails(5, 5, 2.0).unwrap();
        assert_eq!(below, 4.0 / 252.0);
        let (below, above) = exact_tails(49, 49, 1200.0).unwrap();
        assert!((below + above - 1.0) > 0.0 && (below - 0.5).abs() < 0.01);
        assert!(exact_tails(51, 3, 0.0).is_none());
    }

    #[test]
    fn permutations_of_tied_values_are_all_counted() {
        // Six ways to choose two of {1, 1, 1, 2}; three of them hold the 2.
        let (below, above) = permutation_tails(&[1.0, 2.0], &[1.0, 1.0]).unwrap();
        assert_eq!((below, above), (1.0, 0.5));
        let exact = permutation_tails(&[5.0, 6.0, 7.0], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(exact.1, 1.0 / 20.0);
    }
}
