//! Latencies, counted in buckets: recording one costs nanoseconds, and no memory grows with the run.

use std::time::Duration;

/// Buckets of each power of two: a value is known to 1/32.
const SUB_BITS: u32 = 5;
const SUB: u64 = 1 << SUB_BITS;
const BUCKETS: usize = SUB as usize * (65 - SUB_BITS as usize);

/// A log-linear histogram of durations in nanoseconds.
pub struct Latency {
    counts: Vec<u64>,
    total: u64,
    most: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Latency { counts: vec![0; BUCKETS], total: 0, most: 0 }
    }
}

impl Latency {
    /// Counts one.
    pub fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.most = self.most.max(nanos);
    }

    /// Counts all that another one has.
    pub fn add(&mut self, other: &Latency) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.total += other.total;
        self.most = self.most.max(other.most);
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The nearest-rank percentile (`p` from 0 to 100) in microseconds, rounded up to its bucket's edge; 0 of nothing.
    pub fn micros(&self, p: f64) -> f64 {
        let rank = ((p / 100.0 * self.total as f64).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        let index = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        index.map_or(0.0, |index| edge(index).min(self.most) as f64 / 1000.0)
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < SUB {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - SUB_BITS;
    ((u64::from(shift) << SUB_BITS) + (nanos >> shift)) as usize
}

/// The largest value of a bucket.
fn edge(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * SUB {
        return index;
    }
    let shift = (index >> SUB_BITS) - 1;
    ((index & (SUB - 1) | SUB) << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_sorting_rounded_up() {
        let (mut latency, mut exact, mut x) = (Latency::default(), Vec::new(), 7u64);
        for _ in 0..5_000 {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let nanos = (x >> 52).pow(2);
            latency.record(Duration::from_nanos(nanos));
            exact.push(nanos);
        }
        exact.sort_unstable();
        let mut both = Latency::default();
        both.add(&latency);
        both.add(&latency);
        for p in [0.0f64, 50.0, 99.0, 99.9, 100.0] {
            let rank = ((p / 100.0 * 5_000.0).ceil() as usize).max(1);
            let want = exact[rank - 1] as f64 / 1000.0;
            for found in [latency.micros(p), both.micros(p)] {
                assert!(found >= want && found <= want * 1.04 + 0.001, "p{p}: {found} for {want}");
            }
        }
    }

    #[test]
    fn every_bucket_ends_where_the_next_begins() {
        for index in 0..BUCKETS - 1 {
            assert_eq!((bucket(edge(index)), bucket(edge(index) + 1)), (index, index + 1));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert!(Latency::default().is_empty() && Latency::default().micros(99.0) == 0.0);
    }
}
