//! Latencies of one run.

/// Percentiles over every sample kept.
#[derive(Default)]
pub struct Tally(Vec<u64>);

impl Tally {
    pub fn add(&mut self, us: u64) {
        self.0.push(us);
    }

    pub fn merge(&mut self, other: &Tally) {
        self.0.extend(&other.0);
    }

    /// The least latency that `share` (0..=1) of the samples do not exceed, milliseconds; NaN of
    /// none.  So that of several tallies together is at most the greatest of theirs.
    pub fn percentile_ms(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        self.0
            .get(rank.saturating_sub(1))
            .map_or(f64::NAN, |us| *us as f64 / 1000.0)
    }
}
