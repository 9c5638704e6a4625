//! Transport-wide feedback read: which of our packets arrived, and when.
//!
//! Source: draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1.

use crate::rtp::Malformed;

/// Statuses one report may hold.  A run of lost packets takes two octets however long it is, so
/// the octets of a datagram do not bound the work it asks for.
pub const MAX_STATUSES: u16 = 8_192;

const TICK_US: i64 = 250;
const REFERENCE_US: i64 = 64_000;
const HEAD: usize = 8;

const LOST: u8 = 0;
const SMALL: u8 = 1;
const LARGE: u8 = 2;

/// What became of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Lost,
    /// Microseconds on the receiver's clock, from the report's own zero.
    At(i64),
    /// Received, the receiver does not say when.
    Untimed,
}

/// A well-formed report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report<'a> {
    /// Sequence number of the first status.
    pub base: u16,
    pub count: u16,
    /// Time of the report's zero on the receiver's clock: 24 bits, in 64 ms.
    pub reference: u32,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

fn be16(data: &[u8], at: usize) -> Option<u16> {
    let octets = data.get(at..at + 2)?;
    Some(u16::from_be_bytes(octets.try_into().ok()?))
}

/// How many statuses a chunk holds.
fn length(chunk: u16) -> u16 {
    match chunk >> 14 {
        0 | 1 => chunk & 0x1FFF,
        2 => 14,
        _ => 7,
    }
}

/// Status `at` of a chunk, 0 <= `at` < its length.
fn symbol(chunk: u16, at: u16) -> u8 {
    let found = match chunk >> 14 {
        0 | 1 => chunk >> 13,
        2 => chunk >> 13u16.saturating_sub(at) & 1,
        _ => chunk >> 12u16.saturating_sub(2 * at),
    };
    (found & 3) as u8
}

fn octets(symbol: u8) -> usize {
    match symbol {
        SMALL => 1,
        LARGE => 2,
        _ => 0,
    }
}

impl<'a> Report<'a> {
    /// Read what follows the two SSRCs of the feedback packet.
    ///
    /// # Errors
    /// `Malformed` without a status, with more than [`MAX_STATUSES`], or when chunks or deltas
    /// are missing.
    pub fn parse(fci: &'a [u8]) -> Result<Report<'a>, Malformed> {
        let (base, count) = (be16(fci, 0), be16(fci, 2));
        let (Some(base), Some(count), Some(&[a, b, c, _])) = (base, count, fci.get(4..HEAD)) else {
            return Err(Malformed);
        };
        if count == 0 || count > MAX_STATUSES {
            return Err(Malformed);
        }
        let body = fci.get(HEAD..).unwrap_or(&[]);
        let (mut left, mut end, mut needed) = (count, 0, 0);
        while left > 0 {
            let chunk = be16(body, end).ok_or(Malformed)?;
            let taken = length(chunk).min(left);
            needed += match chunk >> 15 {
                0 => usize::from(taken) * octets(symbol(chunk, 0)),
                _ => (0..taken).map(|at| octets(symbol(chunk, at))).sum(),
            };
            left -= taken;
            end += 2;
        }
        let (chunks, rest) = body.split_at(end);
        let deltas = rest.get(..needed).ok_or(Malformed)?;
        let reference = u32::from_be_bytes([0, a, b, c]);
        Ok(Report {
            base,
            count,
            reference,
            chunks,
            deltas,
        })
    }

    /// Every sequence number the report speaks of, in order, with its fate.
    pub fn packets(&self) -> Packets<'a> {
        Packets {
            seq: self.base,
            left: self.count,
            clock: i64::from(self.reference) * REFERENCE_US,
            chunks: self.chunks,
            at: 0,
            deltas: self.deltas,
        }
    }
}

/// See [`Report::packets`].
pub struct Packets<'a> {
    seq: u16,
    left: u16,
    clock: i64,
    chunks: &'a [u8],
    /// Statuses taken of the first chunk.
    at: u16,
    deltas: &'a [u8],
}

impl Packets<'_> {
    fn symbol(&mut self) -> Option<u8> {
        loop {
            let chunk = be16(self.chunks, 0)?;
            if self.at < length(chunk) {
                self.at += 1;
                return Some(symbol(chunk, self.at - 1));
            }
            self.at = 0;
            self.chunks = self.chunks.get(2..)?;
        }
    }

    fn status(&mut self, symbol: u8) -> Option<Status> {
        let ticks = match symbol {
            LOST => return Some(Status::Lost),
            SMALL => i64::from(*self.deltas.first()?),
            LARGE => i64::from(be16(self.deltas, 0)? as i16),
            _ => return Some(Status::Untimed),
        };
        self.deltas = self.deltas.get(octets(symbol)..)?;
        self.clock += ticks * TICK_US;
        Some(Status::At(self.clock))
    }
}

impl Iterator for Packets<'_> {
    type Item = (u16, Status);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let symbol = self.symbol()?;
        let seq = self.seq;
        self.seq = seq.wrapping_add(1);
        Some((seq, self.status(symbol)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twcc::Arrivals;
    use proptest::prelude::*;

    /// The part behind the header and the two SSRCs of a feedback packet, padding included.
    fn fci(packet: &[u8]) -> &[u8] {
        &packet[12..]
    }

    #[test]
    fn one_bit_vectors_and_reserved_symbols_are_read() {
        let head = [0, 9, 0, 16, 0, 0, 1, 0];
        // A vector of 14 one-bit symbols, then one of two-bit symbols of which two count.
        let chunks = [0x80 | 0x20, 0x01, 0xC0 | 0x30, 0];
        let mut octets: Vec<u8> = head.iter().chain(&chunks).copied().collect();
        assert!(Report::parse(&octets).is_err(), "two deltas are missing");
        octets.extend([4, 8]);
        let report = Report::parse(&octets).expect("well formed");
        let found: Vec<(u16, Status)> = report.packets().collect();
        assert_eq!(found.len(), 16);
        assert_eq!(found[0], (9, Status::At(65_000)));
        assert_eq!(found[1], (10, Status::Lost));
        assert_eq!(found[13], (22, Status::At(67_000)));
        assert_eq!(found[14], (23, Status::Untimed));
        assert_eq!(found[15], (24, Status::Lost));
    }

    #[test]
    fn a_report_that_asks_for_too_much_work_is_refused() {
        let head = |count: u16| {
            let mut octets = vec![0, 0];
            octets.extend(count.to_be_bytes());
            octets.extend([0; 4]);
            octets.extend([0x1F, 0xFF].repeat(8));
            octets
        };
        assert!(Report::parse(&head(0)).is_err());
        assert!(Report::parse(&head(MAX_STATUSES)).is_ok());
        assert!(Report::parse(&head(MAX_STATUSES + 1)).is_err());
    }

    proptest! {
        #[test]
        fn what_our_receiver_writes_we_read(gaps in proptest::collection::vec((1u16..20, 0u64..200_000), 1..300), first: u16) {
            let mut arrivals = Arrivals::default();
            let (mut seq, mut now) = (first, 1_000_000u64);
            let mut expected = Vec::new();
            for (gap, wait) in gaps {
                seq = seq.wrapping_add(gap);
                now += wait;
                arrivals.record(seq, now);
                expected.push((seq, now as i64 / TICK_US));
            }
            let (mut found, mut out) = (Vec::new(), Vec::new());
            while arrivals.feedback(&mut out, 1, 2) {
                let report = Report::parse(fci(&out)).expect("well formed");
                found.extend(report.packets().filter_map(|(seq, status)| match status {
                    Status::At(us) => Some((seq, us / TICK_US)),
                    _ => None,
                }));
                out.clear();
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_octets_are_refused_or_read_whole(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(report) = Report::parse(&octets) {
                prop_assert_eq!(report.packets().count(), usize::from(report.count));
            }
        }
    }
}
