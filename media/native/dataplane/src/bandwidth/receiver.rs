//! A receiver's own estimate of its path (REMB), taken for what it can know.
//!
//! A receiver judges by what arrives, so what it says is bounded by what we send.  Little said
//! while little is sent tells nothing of the path.  Little said while more was sent holds for a
//! while, which doubles each time: without a try nobody would learn that the path is wide again.
//!
//! Source: draft-alvestrand-rmcat-remb-03.

use crate::bandwidth::allocate::{AGAIN_BPS, LEAST_BPS};
use crate::types::{Micros, SECOND};

/// How long a word below what pictures need holds at first, and at most.
const HOLDS_US: (Micros, Micros) = (3 * SECOND, 60 * SECOND);

#[derive(Debug)]
pub struct Receiver {
    bps: Option<u64>,
    /// Until when a word below what pictures need holds.
    until: Micros,
    holds_us: Micros,
}

impl Default for Receiver {
    fn default() -> Self {
        Receiver {
            bps: None,
            until: 0,
            holds_us: HOLDS_US.0,
        }
    }
}

impl Receiver {
    pub fn known(&self) -> bool {
        self.bps.is_some()
    }

    /// Bits per second as the receiver said it last.
    pub fn said(&self) -> Option<u64> {
        self.bps
    }

    /// Bits per second to go by; `None` when the receiver never said.
    pub fn bps(&self, now: Micros) -> Option<u64> {
        self.bps.map(|bps| match now < self.until {
            true => bps,
            false => bps.max(AGAIN_BPS),
        })
    }

    /// Take its word, `sent` bits per second having gone out in the last second.  Whether the
    /// estimate fell.
    pub fn take(&mut self, bps: u64, sent: u64, now: Micros) -> bool {
        let before = self.bps(now);
        let little = bps < LEAST_BPS;
        if little && sent >= LEAST_BPS && now >= self.until {
            self.until = now + self.holds_us;
            self.holds_us = (2 * self.holds_us).min(HOLDS_US.1);
        } else if bps >= AGAIN_BPS {
            self.until = now;
            self.holds_us = HOLDS_US.0;
        }
        self.bps = Some(bps);
        self.bps(now) < before || before.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_said_while_little_is_sent_stops_nothing() {
        let mut receiver = Receiver::default();
        receiver.take(28_000, 40_000, SECOND);
        assert_eq!(receiver.bps(SECOND), Some(AGAIN_BPS));
    }

    #[test]
    fn little_said_while_more_was_sent_holds_longer_each_time_until_more_is_said() {
        let mut receiver = Receiver::default();
        let mut now = 0;
        for holds in [3, 6, 12] {
            receiver.take(28_000, 150_000, now);
            receiver.take(25_000, 30_000, now + SECOND);
            assert_eq!(receiver.bps(now + holds * SECOND - 1), Some(25_000));
            now += holds * SECOND;
            assert_eq!(receiver.bps(now), Some(AGAIN_BPS));
        }
        receiver.take(2_000_000, 150_000, now);
        assert_eq!(receiver.bps(now), Some(2_000_000));
        receiver.take(28_000, 150_000, now);
        assert_eq!(receiver.bps(now + 3 * SECOND), Some(AGAIN_BPS));
    }
}
