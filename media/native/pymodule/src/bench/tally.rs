//! Latencies and counts of one run.

use crate::bench::Figures;

/// Round-off free percentiles over every sample kept.
#[derive(Default)]
pub struct Tally {
    pub received: u64,
    latencies_us: Vec<u32>,
}

impl Tally {
    pub fn latency(&mut self, us: u64) {
        self.latencies_us.push(us.min(u64::from(u32::MAX)) as u32);
    }

    pub fn merge(&mut self, other: Tally) {
        self.received += other.received;
        self.latencies_us.extend(other.latencies_us);
    }

    /// The latency below which `share` (0..=1) of the samples lie, milliseconds.
    pub fn percentile_ms(&mut self, share: f64) -> f64 {
        self.latencies_us.sort_unstable();
        let last = self.latencies_us.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.latencies_us
            .get(at)
            .map_or(f64::NAN, |us| f64::from(*us) / 1000.0)
    }

    pub fn into_figures(mut self, figures: &mut Figures) {
        figures.insert("p50_ms", self.percentile_ms(0.5));
        figures.insert("p99_ms", self.percentile_ms(0.99));
    }
}
