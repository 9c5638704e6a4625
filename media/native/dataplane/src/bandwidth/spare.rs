//! What a path has left beside sound and flowing pictures, spent on single pictures.
//!
//! Pure.  A picture may go when those before it are paid for at the spare rate; it is sent so slowly
//! that nothing waits behind it.

use crate::types::{Micros, MS, SECOND};

/// Least rate with which there are single pictures, ...
const LEAST_BPS: u64 = 8_000;
/// ... and below which, for so long, there are no more.
const TOO_LITTLE_BPS: u64 = 4_000;
const PATIENCE_US: Micros = 3 * SECOND;
/// Of what is left so much is spent, in percent: estimates of paths that are hardly used are high.
const SPENT: u64 = 65;
/// No picture is sent in less time.
const SPREAD_US: Micros = 1_600 * MS;
/// Longest a picture may take; one that got so far may take half as long again.
const LONGEST_US: Micros = 10 * SECOND;
/// Headers, extensions and authentication of a packet, percent of its payload.
const OVERHEAD: u64 = 108;

/// One path's.
#[derive(Clone, Debug, Default)]
pub struct Spare {
    left_bps: u64,
    sound_bps: u64,
    /// Pictures flow too: they set the pace.
    flows: bool,
    /// There are single pictures.
    singles: bool,
    on: bool,
    little: Option<Micros>,
    /// Bits not paid for, times a million.
    debt: u64,
    paid: Micros,
    /// Octets of the last picture.
    octets: u64,
}

impl Spare {
    /// Take what is left beside `sound_bps` and, if `flows`, pictures.
    pub fn take(&mut self, left_bps: u64, sound_bps: u64, flows: bool, now: Micros) {
        let elapsed = now.saturating_sub(self.paid).min(SECOND);
        let paid = (self.left_bps / 100 * SPENT).saturating_mul(elapsed);
        self.debt = self.debt.saturating_sub(paid);
        self.paid = now;
        (self.left_bps, self.sound_bps, self.flows) = (left_bps, sound_bps, flows);
        if left_bps >= TOO_LITTLE_BPS {
            self.little = None;
        } else if now.saturating_sub(*self.little.get_or_insert(now)) >= PATIENCE_US {
            self.on = false;
        }
        self.on |= left_bps >= LEAST_BPS;
    }

    /// Whether there is enough for pictures of so many octets; `had`: there was.
    pub fn fits(&self, octets: u64, had: bool) -> bool {
        let longest = if had { LONGEST_US * 3 / 2 } else { LONGEST_US };
        let bps = self.left_bps.max(TOO_LITTLE_BPS) / 100 * SPENT;
        self.on && bits(octets) * SECOND / bps.max(1) <= longest
    }

    /// Whether all that was sent is paid for.
    pub fn open(&self, now: Micros) -> bool {
        let elapsed = now.saturating_sub(self.paid).min(SECOND);
        let paid = (self.left_bps / 100 * SPENT).saturating_mul(elapsed);
        self.on && self.left_bps >= TOO_LITTLE_BPS && paid >= self.debt
    }

    /// Send a picture of so many octets.  How long that takes.
    pub fn spend(&mut self, octets: u64) -> Micros {
        self.debt = self.debt.saturating_add(bits(octets) * SECOND);
        self.octets = octets;
        match self.flows {
            true => 0,
            false => bits(octets) * SECOND / self.rate().max(1),
        }
    }

    /// Whether anybody is sent single pictures.
    pub fn serves(&mut self, singles: bool) {
        self.singles = singles;
    }

    /// Bits per second at which a single picture goes.
    fn rate(&self) -> u64 {
        let most = self.left_bps / 100 * SPENT;
        match self.octets {
            0 => most,
            octets => most.min(bits(octets) * SECOND / SPREAD_US),
        }
    }

    /// Pacing rate of a path on which nothing but single pictures goes beside sound.
    pub fn pace_bps(&self) -> Option<u64> {
        (self.singles && !self.flows).then(|| self.sound_bps + self.rate())
    }
}

fn bits(octets: u64) -> u64 {
    octets.saturating_mul(8 * OVERHEAD) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When pictures of so many octets go in a minute.
    fn shown(octets: u64, left_bps: u64) -> Vec<Micros> {
        let mut spare = Spare::default();
        let mut at = Vec::new();
        for now in (0..60 * SECOND).step_by(100 * MS as usize) {
            spare.take(left_bps, 30_000, false, now);
            if spare.fits(octets, !at.is_empty()) && spare.open(now) {
                spare.spend(octets);
                at.push(now);
            }
        }
        at
    }

    #[test]
    fn pictures_take_two_thirds_of_what_is_left() {
        for (octets, left_bps) in [(1_000, 20_000), (4_000, 20_000), (4_000, 12_000)] {
            let bps = shown(octets, left_bps).len() as u64 * bits(octets) / 60;
            assert!(
                (left_bps * 11 / 20..=left_bps * 3 / 4).contains(&bps),
                "{bps}"
            );
        }
    }

    #[test]
    fn there_are_none_where_little_is_left_or_pictures_are_large() {
        assert!(shown(4_000, LEAST_BPS - 1).is_empty());
        assert!(shown(30_000, 20_000).is_empty());
    }

    #[test]
    fn a_moment_with_nothing_left_ends_nothing() {
        let mut spare = Spare::default();
        spare.take(20_000, 30_000, false, 0);
        spare.take(0, 50_000, false, SECOND);
        assert!(spare.fits(2_000, true) && !spare.open(2 * SECOND));
        spare.take(0, 50_000, false, SECOND + PATIENCE_US);
        assert!(!spare.fits(2_000, true));
    }

    #[test]
    fn a_picture_takes_most_of_the_time_until_the_next() {
        let mut spare = Spare::default();
        spare.take(90_000, 30_000, false, 0);
        assert_eq!(spare.pace_bps(), None, "nobody is there");
        spare.serves(true);
        assert_eq!(spare.spend(1_000), SPREAD_US);
        assert_eq!(spare.pace_bps(), Some(30_000 + bits(1_000) * 10 / 16));
        spare.spend(5_000);
        spare.take(20_000, 30_000, false, SECOND);
        assert_eq!(spare.pace_bps(), Some(30_000 + 13_000));
        spare.take(20_000, 30_000, true, SECOND);
        assert_eq!(spare.pace_bps(), None, "pictures flow");
    }
}
