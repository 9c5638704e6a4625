//! How loud each audio source is (RFC 6464), smoothed.

use crate::types::{Micros, MS};

/// Levels are told at most this often.
pub const INTERVAL_US: Micros = 200 * MS;

/// An exponential mean over about eight packets, in 1/256 dB below full scale.
#[derive(Clone, Copy, Debug, Default)]
pub struct Level {
    quiet256: Option<i32>,
    fresh: bool,
}

impl Level {
    /// Take a packet's extension octet: V bit and 0..=127 dB below overload.
    pub fn take(&mut self, octet: u8) {
        let sample = i32::from(octet & 0x7F) << 8;
        self.quiet256 = Some(match self.quiet256 {
            None => sample,
            Some(mean) => mean + (sample - mean) / 8,
        });
        self.fresh = true;
    }

    /// The level in dBov, -127..=0, if packets came since the last call.
    pub fn told(&mut self) -> Option<i32> {
        if !std::mem::take(&mut self.fresh) {
            return None;
        }
        self.quiet256.map(|mean| -((mean + 128) >> 8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_level_is_told_as_it_is_and_once() {
        let mut level = Level::default();
        for _ in 0..50 {
            level.take(0x80 | 30);
        }
        assert_eq!(level.told(), Some(-30));
        assert_eq!(level.told(), None);
    }

    #[test]
    fn one_loud_packet_does_not_make_a_speaker() {
        let mut level = Level::default();
        (0..50).for_each(|_| level.take(127));
        level.take(0);
        assert!(level.told().is_some_and(|dbov| dbov < -100));
    }
}
