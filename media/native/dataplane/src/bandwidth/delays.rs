//! How long packets wait on the way, apart from what the way itself takes.
//!
//! The wait is the least one-way delay of the last moments beyond the least of the last half
//! minute: jitter lets some packet through quickly, a queue does not.  A way that got longer at once
//! and then stays as long, with all that is sent coming, is another way and no queue: a queue grows,
//! loses, or shrinks when less is sent.

use std::collections::VecDeque;

use crate::types::{Micros, MS, SECOND};

/// Time over which the least delay of now is taken; longer than others' queues sway.
const FLOOR_US: i64 = 250_000;
/// The shortest way is forgotten after one to two of these.
const BASE_US: Micros = 15 * SECOND;
/// Delays kept at most, ascending: more only come from a peer that makes them up.
const MOST_RECENT: usize = 1_000;
/// Waits are noted so often, ...
const NOTE_US: Micros = 100 * MS;
/// ... and so many of the last are looked at.
const NOTES: usize = 16;
/// Notes that must be alike after a step, and in how many notes before it happened.
const ALIKE: usize = 6;
/// Alike is what differs by less than this and half the jitter.
const FLAT_US: i64 = 15_000;
/// A step is at least so high.
const STEP_US: i64 = 40_000;
/// Weight of the newest spread in the smoothed one.
const NEW: f64 = 0.1;
/// Most that is believed of jitter.
const MOST_SPREAD_US: f64 = 100_000.0;

/// Shortest of recent values, forgotten by halves.
#[derive(Debug, Default)]
struct Shortest {
    now: Option<i64>,
    before: Option<i64>,
    turned: Micros,
}

impl Shortest {
    fn take(&mut self, value: i64, now: Micros) -> i64 {
        if now.saturating_sub(self.turned) > BASE_US {
            self.before = self.now.take();
            self.turned = now;
        }
        let newest = self.now.map_or(value, |known| known.min(value));
        self.now = Some(newest);
        self.before.map_or(newest, |known| known.min(newest))
    }
}

/// One-way delays of one path, each with the same unknown offset between two clocks.
#[derive(Debug, Default)]
pub struct Delays {
    base: Shortest,
    /// (arrival, delay) of the last moments, both ascending: the first is the least.
    recent: VecDeque<(i64, i64)>,
    newest: i64,
    least_of_round: Option<i64>,
    most_of_round: i64,
    spread_us: f64,
    queue_us: i64,
    notes: VecDeque<i64>,
    noted: Micros,
}

impl Delays {
    /// Take a packet's delay; times in microseconds on the receiver's clock.
    pub fn packet(&mut self, way: i64, arrived: i64) {
        while self.recent.back().is_some_and(|(_, known)| *known >= way) {
            self.recent.pop_back();
        }
        self.recent.push_back((arrived, way));
        if self.recent.len() > MOST_RECENT {
            self.recent.pop_front();
        }
        self.newest = self.newest.max(arrived);
        self.most_of_round = match self.least_of_round {
            None => way,
            Some(_) => self.most_of_round.max(way),
        };
        self.least_of_round = Some(self.least_of_round.map_or(way, |least| least.min(way)));
    }

    /// All packets of a report were taken.  `whole`: as much arrives as was sent, and as before.
    pub fn report(&mut self, whole: bool, now: Micros) {
        while self.recent.len() > 1
            && self
                .recent
                .front()
                .is_some_and(|(at, _)| self.newest - at > FLOOR_US)
        {
            self.recent.pop_front();
        }
        let (Some(&(_, floor)), Some(least)) = (self.recent.front(), self.least_of_round.take())
        else {
            return;
        };
        let spread = (self.most_of_round - least) as f64;
        self.queue_us = floor - self.base.take(floor, now);
        if self.queue_us < FLAT_US {
            self.spread_us += NEW * (spread.min(MOST_SPREAD_US) - self.spread_us);
        }
        if now.saturating_sub(self.noted) >= NOTE_US {
            self.noted = now;
            self.note(floor, whole);
        }
    }

    fn note(&mut self, floor: i64, whole: bool) {
        self.notes.push_back(floor);
        if self.notes.len() > NOTES {
            self.notes.pop_front();
        }
        if whole && self.stepped() {
            self.rebase(floor);
        }
    }

    /// Whether the last waits are alike and those before the change were much shorter.
    fn stepped(&self) -> bool {
        let Some(split) = self.notes.len().checked_sub(ALIKE) else {
            return false;
        };
        let (before, after) = (self.notes.iter().take(split), self.notes.iter().skip(split));
        let (Some(least), Some(most)) = (after.clone().min(), after.max()) else {
            return false;
        };
        let flat = FLAT_US + self.spread_us() / 2;
        let shorter = before
            .min()
            .is_some_and(|known| least - known > STEP_US.max(flat));
        most - least <= flat && shorter && self.queue_us > STEP_US
    }

    /// The way is this long from now on.
    fn rebase(&mut self, floor: i64) {
        self.base.now = Some(floor);
        self.base.before = None;
        self.queue_us = 0;
        self.notes.clear();
    }

    /// How long packets wait, microseconds.
    pub fn queue_us(&self) -> i64 {
        self.queue_us
    }

    /// By how much delays differ from one packet to the next without a queue.
    pub fn spread_us(&self) -> i64 {
        self.spread_us as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    /// Packets every 10 ms, reports every 50 ms; the waits seen, 20 a second.
    fn run(
        delays: &mut Delays,
        from_ms: i64,
        ms: i64,
        mut way: impl FnMut(i64) -> i64,
    ) -> Vec<i64> {
        let mut seen = Vec::new();
        for at in (from_ms..from_ms + ms).step_by(10) {
            let extra = way(at - from_ms);
            delays.packet(5_000_000 + extra, at * 1_000 + extra);
            if at % 50 == 0 {
                delays.report(true, at as Micros * MS);
                seen.push(delays.queue_us());
            }
        }
        seen
    }

    #[test]
    fn a_queue_that_grows_is_seen_and_so_is_its_end() {
        let mut delays = Delays::default();
        run(&mut delays, 0, 2_000, |_| 0);
        let grows = run(&mut delays, 2_000, 1_000, |ms| 200 * ms);
        assert!(grows.last().is_some_and(|us| *us > 140_000), "{grows:?}");
        let ends = run(&mut delays, 3_000, 1_000, |_| 0);
        assert_eq!(ends.last(), Some(&0));
    }

    #[test]
    fn jitter_is_no_queue() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut delays = Delays::default();
        let seen = run(&mut delays, 0, 20_000, |_| rng.random_range(0..50_000));
        assert!(
            seen.iter().all(|us| *us < 25_000),
            "{:?}",
            seen.iter().max()
        );
        assert!((10_000..50_000).contains(&delays.spread_us()));
    }

    #[test]
    fn a_longer_way_is_no_queue_after_a_second() {
        let mut delays = Delays::default();
        run(&mut delays, 0, 3_000, |_| 0);
        let seen = run(&mut delays, 3_000, 2_000, |_| 300_000);
        assert!(seen.iter().skip(24).all(|us| *us == 0), "{seen:?}");
    }

    #[test]
    fn a_queue_that_stays_as_long_as_more_is_sent_than_arrives_is_one() {
        let mut delays = Delays::default();
        run(&mut delays, 0, 3_000, |_| 0);
        for at in (3_000..8_000).step_by(50) {
            delays.packet(5_400_000, at * 1_000 + 400_000);
            delays.report(false, at as Micros * MS);
        }
        assert_eq!(delays.queue_us(), 400_000);
    }
}
