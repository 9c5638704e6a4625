//! What we have received of one SSRC, as receiver reports say it.
//!
//! Source: RFC 3550 sections 6.4.1, A.3 and A.8.

use crate::rtcp::ReportBlock;
use crate::types::Micros;

/// Counts since the first packet, and what the last report said.
#[derive(Clone, Debug, Default)]
pub struct Reception {
    first: Option<u64>,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    transit: Option<i64>,
    /// Sixteen times the jitter, in timestamp units.
    jitter16: i64,
    last_sr: Option<(u32, Micros)>,
}

/// What was received of one SSRC between two reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub expected: u64,
    pub lost: u64,
    /// In timestamp units.
    pub jitter: u32,
}

impl Reception {
    /// Count a packet.  `clock` is the codec's rate in Hz.
    pub fn packet(&mut self, index: u64, timestamp: u32, clock: u64, now: Micros) {
        self.first = Some(self.first.map_or(index, |first| first.min(index)));
        self.highest = self.highest.max(index);
        self.received += 1;
        let arrival = (now.wrapping_mul(clock) / 1_000_000) as u32;
        let transit = i64::from(arrival.wrapping_sub(timestamp) as i32);
        if let Some(before) = self.transit {
            let difference = i64::from((transit - before) as i32).abs();
            self.jitter16 += difference - ((self.jitter16 + 8) >> 4);
        }
        self.transit = Some(transit);
    }

    /// Note a sender report: the middle 32 bits of its NTP time.
    pub fn sender_report(&mut self, ntp: u64, now: Micros) {
        self.last_sr = Some(((ntp >> 16) as u32, now));
    }

    fn expected(&self) -> u64 {
        self.first.map_or(0, |first| self.highest - first + 1)
    }

    /// Packets expected but not received so far.
    pub fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    /// The report block for the interval since the last call, and the interval in whole packets;
    /// `None` before the first packet.
    pub fn report(&mut self, ssrc: u32, now: Micros) -> Option<(ReportBlock, Interval)> {
        self.first?;
        let expected = self.expected();
        let interval = expected.saturating_sub(self.expected_before);
        let lost = interval.saturating_sub(self.received - self.received_before);
        self.expected_before = expected;
        self.received_before = self.received;
        let (last_sr, delay) = match self.last_sr {
            Some((sr, at)) => (sr, (now.saturating_sub(at) * 65_536 / 1_000_000) as u32),
            None => (0, 0),
        };
        let jitter = (self.jitter16 >> 4) as u32;
        let block = ReportBlock {
            ssrc,
            fraction_lost: (lost * 256).checked_div(interval).unwrap_or(0).min(255) as u8,
            cumulative_lost: (expected as i64 - self.received as i64) as i32,
            highest: self.highest as u32,
            jitter,
            last_sr,
            delay,
        };
        let interval = Interval {
            expected: interval,
            lost,
            jitter,
        };
        Some((block, interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_lost_is_reported_as_64_of_256() {
        let mut reception = Reception::default();
        for index in (0..400u64).filter(|i| i % 4 != 1) {
            reception.packet(index, index as u32 * 3000, 90_000, index * 33_333);
        }
        let (block, interval) = reception.report(7, 400 * 33_333).expect("a block");
        assert_eq!((block.fraction_lost, block.cumulative_lost), (64, 100));
        assert_eq!((interval.expected, interval.lost), (400, 100));
        assert!(block.jitter <= 1);
        let (block, interval) = reception.report(7, 0).expect("again");
        assert_eq!((block.fraction_lost, interval.expected), (0, 0));
    }
}
