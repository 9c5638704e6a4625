//! Bits per second over the last second or a part of it.

use crate::types::{Micros, MS, SECOND};

const BUCKET_US: Micros = 50 * MS;
const BUCKETS: usize = 20;

/// Octets by the twentieth of a second in which they came.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    buckets: [u64; BUCKETS],
    first: Option<Micros>,
    newest: Micros,
}

impl Meter {
    /// Count octets.  Times may go back by less than a second; older ones are passed over.
    pub fn add(&mut self, octets: u64, at: Micros) {
        let bucket = at / BUCKET_US;
        match self.first {
            None => (self.first, self.newest) = (Some(at), bucket),
            Some(_) => self.advance(bucket),
        }
        if self.newest - bucket.min(self.newest) < BUCKETS as Micros {
            self.buckets[(bucket % BUCKETS as Micros) as usize] += octets;
        }
    }

    fn advance(&mut self, bucket: Micros) {
        let steps = bucket.saturating_sub(self.newest);
        for step in 1..=steps.min(BUCKETS as Micros) {
            let at = (self.newest + step) % BUCKETS as Micros;
            self.buckets[at as usize] = 0;
        }
        if steps > BUCKETS as Micros {
            self.buckets = [0; BUCKETS];
        }
        self.newest = self.newest.max(bucket);
    }

    /// Bits per second in the last `window` before `now`, 50 ms..1 s; `None` before three
    /// twentieths of a second are known.
    pub fn bps(&mut self, window: Micros, now: Micros) -> Option<u64> {
        let first = self.first?;
        self.advance(now / BUCKET_US);
        let known = now.checked_sub(first).filter(|k| *k >= 3 * BUCKET_US)?;
        let whole = (window / BUCKET_US).clamp(1, BUCKETS as Micros);
        let newest = self.newest;
        let octets: u64 = (0..whole)
            .filter_map(|back| newest.checked_sub(back))
            .map(|bucket| self.buckets[(bucket % BUCKETS as Micros) as usize])
            .sum();
        // The newest bucket has just begun.
        let span = (whole - 1) * BUCKET_US + now % BUCKET_US + 1;
        Some(octets * 8 * SECOND / span.min(known).max(BUCKET_US))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_has_its_rate_and_a_pause_lowers_it() {
        let mut meter = Meter::default();
        assert_eq!(meter.bps(SECOND, 0), None);
        for at in 0..200 {
            meter.add(125, at * 10 * MS);
        }
        let rate = meter.bps(500 * MS, 2 * SECOND).expect("known");
        assert!((90_000..=110_000).contains(&rate), "{rate}");
        let later = meter.bps(SECOND, 2 * SECOND + 500 * MS).expect("known");
        assert!((40_000..=60_000).contains(&later), "{later}");
        assert_eq!(meter.bps(SECOND, 100 * SECOND), Some(0));
    }

    #[test]
    fn the_first_moments_count_by_what_is_known() {
        let mut meter = Meter::default();
        (0..20).for_each(|at| meter.add(125, SECOND + at * 10 * MS));
        let rate = meter.bps(SECOND, SECOND + 200 * MS).expect("known");
        assert!((90_000..=110_000).contains(&rate), "{rate}");
    }
}
