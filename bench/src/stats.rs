//! Latencies, counted in buckets: recording costs a few nanoseconds and no memory grows with the run.

use std::time::Duration;

/// Buckets per power of two: a value is known to 1/64, about 1.6 %.
const SUB: u64 = 64;
const SUB_BITS: u32 = SUB.trailing_zeros();
/// Values below `SUB` have a bucket each; above, 64 buckets for each of the remaining powers of two.
const BUCKETS: usize = (SUB as usize) * (65 - SUB_BITS as usize);

/// A log-linear histogram of durations in nanoseconds.
pub struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![0; BUCKETS].into(), total: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(ns)] += 1;
        self.total += 1;
        self.max = self.max.max(ns);
    }

    /// Counts also what another one has.
    pub fn add(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// How many durations were counted.
    pub fn len(&self) -> u64 {
        self.total
    }

    /// The nearest-rank percentile in microseconds (`p` from 0 to 100), NaN when nothing was counted. It is the
    /// upper edge of its bucket, so it never flatters.
    pub fn micros(&self, p: f64) -> f64 {
        if self.total == 0 {
            return f64::NAN;
        }
        let rank = ((p / 100.0 * self.total as f64).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper(index).min(self.max) as f64 / 1000.0;
            }
        }
        self.max as f64 / 1000.0
    }
}

fn bucket(ns: u64) -> usize {
    if ns < SUB {
        return ns as usize;
    }
    let shift = ns.ilog2() - SUB_BITS;
    // The top SUB_BITS + 1 bits, of which the first is always set.
    ((u64::from(shift) << SUB_BITS) + (ns >> shift)) as usize
}

fn upper(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * SUB {
        return index;
    }
    let shift = (index >> SUB_BITS) - 1;
    let top = (index & (SUB - 1)) | SUB;
    (top << shift) + ((1 << shift) - 1)
}

/// The middle value of an odd number, the mean of the two middle ones of an even number; NaN of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_tile_the_whole_range() {
        for shift in 0..64 {
            for ns in [1u64 << shift, (1 << shift) + (1 << shift >> 3), u64::MAX >> (63 - shift)] {
                let index = bucket(ns);
                assert!(index < BUCKETS, "{ns} fell into bucket {index} of {BUCKETS}");
                assert!(upper(index) >= ns && upper(index) - ns <= ns / SUB, "{ns}: edge {}", upper(index));
                assert!(bucket(ns - 1) <= index);
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        for index in 0..BUCKETS {
            assert_eq!(bucket(upper(index)), index);
        }
    }

    #[test]
    fn percentiles_agree_with_sorting() {
        // A skewed, deterministic sample: squares of a linear congruential sequence.
        let mut x: u64 = 12345;
        let mut exact = Vec::new();
        let mut histogram = Histogram::default();
        for _ in 0..10_000 {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let ns = (x >> 50).pow(2);
            exact.push(ns);
            histogram.record(Duration::from_nanos(ns));
        }
        exact.sort_unstable();
        for p in [1.0, 50.0, 90.0, 99.0, 99.9, 100.0] {
            let rank = (p / 100.0 * exact.len() as f64).ceil() as usize;
            let want = exact[rank - 1] as f64 / 1000.0;
            let have = histogram.micros(p);
            assert!(have >= want && have <= want * 1.02 + 0.001, "p{p}: {have} where sorting gives {want}");
        }
        assert_eq!(histogram.len(), 10_000);
        let mut twice = Histogram::default();
        twice.add(&histogram);
        twice.add(&histogram);
        assert_eq!((twice.len(), twice.micros(99.0)), (20_000, histogram.micros(99.0)));
    }

    #[test]
    fn few_values() {
        assert!(Histogram::default().micros(50.0).is_nan());
        let mut one = Histogram::default();
        one.record(Duration::from_micros(117));
        assert_eq!(one.micros(0.0), 117.0);
        assert_eq!(one.micros(99.0), 117.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
