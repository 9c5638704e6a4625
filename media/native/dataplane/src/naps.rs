//! When datagrams come fast, waking for each costs more than forwarding it.
//!
//! While at least two come per nap, to all workers of a port together if they have as much to do as
//! this one, the worker lets the kernel's queue gather them for that long.
//! A nap is half the gathering time, so it delays sound by half a millisecond at most, and only
//! under load; the time that pictures gather ends with the nap in which it runs out.

use crate::types::{Micros, MS};

/// How often the rate is judged.
const WINDOW_US: Micros = 10 * MS;
/// Datagrams per nap that make napping worth its while.
const WORTH: u64 = 2;

/// Whether to nap, and since when.
#[derive(Debug)]
pub struct Naps {
    length: Micros,
    workers: u64,
    window: Micros,
    counted: u64,
    on: bool,
    looked: Micros,
}

impl Naps {
    /// Naps for pictures that gather for `gather_us`, of one of `workers` (1..); none when that is
    /// too short to share.
    pub fn new(gather_us: Micros, workers: usize) -> Self {
        Naps {
            length: gather_us / 2,
            workers: workers as u64,
            window: 0,
            counted: 0,
            on: false,
            looked: 0,
        }
    }

    /// `count` datagrams were found at `now`.
    pub fn came(&mut self, count: usize, now: Micros) {
        self.looked = now;
        self.counted += count as u64;
        let elapsed = now.saturating_sub(self.window);
        if elapsed >= WINDOW_US {
            let all = self.counted * self.workers;
            self.on = self.length > 0 && all * self.length >= WORTH * elapsed;
            self.window = now;
            self.counted = 0;
        }
    }

    /// What is left of the nap; `None` when every datagram is worth waking for.
    pub fn left(&self, now: Micros) -> Option<Micros> {
        let end = self.looked + self.length;
        self.on.then(|| end.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_never_kept_waiting() {
        let mut naps = Naps::new(MS, 1);
        for at in 0..100 {
            naps.came(1, at * MS);
            assert_eq!(naps.left(at * MS), None);
        }
    }

    #[test]
    fn a_torrent_is_looked_at_once_per_nap_until_it_ends() {
        let mut naps = Naps::new(MS, 1);
        for at in 0..100 {
            naps.came(1, at * MS / 5);
        }
        assert_eq!(naps.left(99 * MS / 5 + 100), Some(400));
        naps.came(0, 40 * MS);
        naps.came(0, 60 * MS);
        assert_eq!(naps.left(60 * MS), None);
    }

    #[test]
    fn workers_who_share_a_torrent_nap_as_one_would_alone() {
        for (workers, naps_at_last) in [(1, false), (2, true)] {
            let mut naps = Naps::new(MS, workers);
            for at in 0..100 {
                naps.came(1, at * MS * 3 / 10);
            }
            assert_eq!(naps.left(99 * MS * 3 / 10).is_some(), naps_at_last);
        }
    }
}
