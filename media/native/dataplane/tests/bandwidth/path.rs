//! A path with a rate, a queue, a delay, losses, jitter and reordering, from a seed.

use dataplane::{Micros, MS, SECOND};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Octets of IP and UDP around each datagram.
const WRAPPED: u64 = 28;
/// The extra delay moves from one random value to the next in this time.
const SWAY_US: Micros = 40 * MS;

/// How packets come later than the path is long, up to the path's `jitter_us`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    /// Each by itself.
    Each,
    /// All alike, slowly changing: a queue of others that fills and drains.
    Sway,
}

pub struct Path {
    pub bps: u64,
    pub delay_us: Micros,
    pub jitter_us: Micros,
    pub jitter: Jitter,
    pub loss: f64,
    /// Share of packets held back by 20 ms, so that others overtake them.
    pub reorder: f64,
    /// What would wait longer than this is dropped.
    pub queue_us: Micros,
    free: Micros,
    last: Micros,
    step: Micros,
    sway: (Micros, Micros),
    rng: StdRng,
}

impl Path {
    pub fn new(bps: u64, seed: u64) -> Path {
        Path {
            bps,
            delay_us: 20_000,
            jitter_us: 0,
            jitter: Jitter::Each,
            loss: 0.0,
            reorder: 0.0,
            queue_us: 2 * SECOND,
            free: 0,
            last: 0,
            step: 0,
            sway: (0, 0),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Be as bad as another from now on.
    pub fn become_like(&mut self, other: &Path) {
        (self.bps, self.queue_us) = (other.bps, other.queue_us);
        (self.delay_us, self.loss, self.reorder) = (other.delay_us, other.loss, other.reorder);
        (self.jitter_us, self.jitter) = (other.jitter_us, other.jitter);
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
        let jitter = self.extra(self.free);
        // Jitter delays, it does not reorder.
        self.last = self.last.max(self.free + jitter);
        let held = self.reorder > 0.0 && self.rng.random_bool(self.reorder);
        let held = if held { 20 * MS } else { 0 };
        Some((self.last + self.delay_us + held, waits))
    }

    fn extra(&mut self, at: Micros) -> Micros {
        if self.jitter == Jitter::Each {
            return self.rng.random_range(0..=self.jitter_us);
        }
        if at / SWAY_US != self.step {
            self.step = at / SWAY_US;
            self.sway = (self.sway.1, self.rng.random_range(0..=self.jitter_us));
        }
        let ((from, to), part) = (self.sway, at % SWAY_US);
        (from * (SWAY_US - part) + to * part) / SWAY_US
    }
}
