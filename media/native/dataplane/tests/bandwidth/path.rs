//! A path with a rate, a queue, a delay, losses and jitter, from a seed.

use dataplane::{Micros, SECOND};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Octets of IP and UDP around each datagram.
const WRAPPED: u64 = 28;

pub struct Path {
    pub bps: u64,
    pub delay_us: Micros,
    pub jitter_us: Micros,
    pub loss: f64,
    /// What would wait longer than this is dropped.
    pub queue_us: Micros,
    free: Micros,
    last: Micros,
    rng: StdRng,
}

impl Path {
    pub fn new(bps: u64, seed: u64) -> Path {
        Path {
            bps,
            delay_us: 20_000,
            jitter_us: 0,
            loss: 0.0,
            queue_us: 2 * SECOND,
            free: 0,
            last: 0,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// (when it arrives, how long it waited) of a datagram sent now; `None` when it is lost.
    pub fn carry(&mut self, octets: usize, now: Micros) -> Option<(Micros, Micros)> {
        let waits = self.free.saturating_sub(now);
        if waits > self.queue_us {
            return None;
        }
        self.free = self.free.max(now) + (octets as u64 + WRAPPED) * 8 * SECOND / self.bps;
        if self.rng.random_bool(self.loss) {
            return None;
        }
        let jitter = self.rng.random_range(0..=self.jitter_us);
        // Jitter delays, it does not reorder.
        self.last = self.last.max(self.free + self.delay_us + jitter);
        Some((self.last, waits))
    }
}
