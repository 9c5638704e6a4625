//! Transport-wide congestion control feedback: when each packet of a transport arrived.
//!
//! Source: draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1.

use std::collections::BTreeMap;

use crate::rtcp::TRANSPORT_FEEDBACK;
use crate::seqmap::unwrap;
use crate::types::{Micros, MS, SECOND};

/// How often feedback is sent while packets arrive: at least and at most, ...
const INTERVAL_US: (Micros, Micros) = (50 * MS, 250 * MS);
/// ... and so that it takes no more than one part in so many of what its way carries.
const SHARE: u64 = 20;

const FORMAT: u8 = 15;
const TICK_US: i64 = 250;
const REFERENCE_US: u64 = 64_000;
/// Statuses in one feedback packet; keeps it below 1,200 octets.
const MAX_STATUSES: u64 = 400;
/// How far back a late packet is still reported.
const REACH: u64 = 500;

const LOST: u8 = 0;
const SMALL: u8 = 1;
const LARGE: u8 = 2;

/// How long to wait after feedback of so many octets, on a way that carries `bps` if that is known.
pub fn interval(octets: u64, bps: Option<u64>) -> Micros {
    let (least, most) = INTERVAL_US;
    let takes = |bps: u64| octets.saturating_mul(8 * SECOND * SHARE) / bps.max(1);
    bps.map_or(least, |bps| takes(bps).clamp(least, most))
}

/// Arrivals not yet reported.
#[derive(Default)]
pub struct Arrivals {
    pending: BTreeMap<u64, Micros>,
    highest: Option<u64>,
    next_base: Option<u64>,
    feedbacks: u8,
}

impl Arrivals {
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Record a packet's transport-wide sequence number.
    pub fn record(&mut self, seq: u16, now: Micros) {
        // Starts a lap up, so that packets before the first one have an index too.
        let reference = self.highest.unwrap_or(u64::from(seq) + 0x1_0000);
        let Some(index) = unwrap(reference, seq) else {
            return;
        };
        let highest = self.highest.map_or(index, |h| h.max(index));
        let reach = self.next_base.map_or(0, |base| base.saturating_sub(REACH));
        self.highest = Some(highest);
        if index >= reach {
            self.pending.entry(index).or_insert(now);
        }
        while self.pending.len() > 4 * MAX_STATUSES as usize {
            self.pending.pop_first();
        }
    }

    /// Append one feedback packet; call again while it returns true.
    pub fn feedback(&mut self, out: &mut Vec<u8>, sender: u32, media: u32) -> bool {
        let Some((&first, &first_at)) = self.pending.first_key_value() else {
            return false;
        };
        let base = match self.next_base {
            Some(next) if next < first && first - next < MAX_STATUSES => next,
            _ => first,
        };
        let reference = first_at / REFERENCE_US;
        let (statuses, deltas) = self.collect(base, reference);
        self.next_base = Some(base + statuses.len() as u64);
        write(
            out,
            sender,
            media,
            base,
            reference,
            self.feedbacks,
            &statuses,
            &deltas,
        );
        self.feedbacks = self.feedbacks.wrapping_add(1);
        true
    }

    /// Take pending arrivals from `base` on, as statuses and delta octets.
    fn collect(&mut self, base: u64, reference: u64) -> (Vec<u8>, Vec<u8>) {
        let mut statuses = Vec::new();
        let mut deltas = Vec::new();
        let mut clock = (reference * REFERENCE_US) as i64 / TICK_US;
        while let Some((&index, &at)) = self.pending.first_key_value() {
            if index - base >= MAX_STATUSES {
                break;
            }
            let tick = at as i64 / TICK_US;
            let delta = tick - clock;
            let status = match (u8::try_from(delta), i16::try_from(delta)) {
                (Ok(small), _) => {
                    deltas.push(small);
                    SMALL
                }
                (_, Ok(large)) => {
                    deltas.extend_from_slice(&large.to_be_bytes());
                    LARGE
                }
                _ => break,
            };
            statuses.resize((index - base) as usize, LOST);
            statuses.push(status);
            clock = tick;
            self.pending.pop_first();
        }
        if statuses.is_empty() {
            // Unreachable while the reference is the first arrival's; never loop on it.
            self.pending.pop_first();
            statuses.push(LOST);
        }
        (statuses, deltas)
    }
}

#[allow(clippy::too_many_arguments)]
fn write(
    out: &mut Vec<u8>,
    sender: u32,
    media: u32,
    base: u64,
    reference: u64,
    number: u8,
    statuses: &[u8],
    deltas: &[u8],
) {
    let start = out.len();
    out.extend_from_slice(&[0x80 | FORMAT, TRANSPORT_FEEDBACK, 0, 0]);
    out.extend_from_slice(&sender.to_be_bytes());
    out.extend_from_slice(&media.to_be_bytes());
    out.extend_from_slice(&(base as u16).to_be_bytes());
    out.extend_from_slice(&(statuses.len() as u16).to_be_bytes());
    out.extend_from_slice(&(reference as u32).to_be_bytes()[1..]);
    out.push(number);
    write_chunks(out, statuses);
    out.extend_from_slice(deltas);
    let padding = (out.len() - start).next_multiple_of(4) - (out.len() - start);
    if padding > 0 {
        out[start] |= 0x20;
        out.resize(out.len() + padding - 1, 0);
        out.push(padding as u8);
    }
    let words = ((out.len() - start) / 4 - 1) as u16;
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

/// Run-length chunks for runs of seven and more, two-bit vectors for the rest.
fn write_chunks(out: &mut Vec<u8>, mut statuses: &[u8]) {
    while let Some(&first) = statuses.first() {
        let run = statuses.iter().take_while(|s| **s == first).count();
        if run >= 7 || run == statuses.len() {
            let chunk = u16::from(first) << 13 | run as u16;
            out.extend_from_slice(&chunk.to_be_bytes());
            statuses = &statuses[run..];
            continue;
        }
        let taken = statuses.len().min(7);
        let chunk = statuses[..taken]
            .iter()
            .enumerate()
            .fold(0xC000u16, |chunk, (at, s)| {
                chunk | u16::from(*s) << (12 - 2 * at)
            });
        out.extend_from_slice(&chunk.to_be_bytes());
        statuses = &statuses[taken..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtcp_types::{Compound, Packet, Twcc, TwccPacketStatus};

    /// (sequence number, arrival tick) of every received packet in one feedback, by another parser.
    fn read(out: &[u8]) -> Vec<(u16, i64)> {
        let part = Compound::parse(out).expect("compound").next().expect("one");
        let Ok(Packet::TransportFeedback(feedback)) = part else {
            unreachable!("transport feedback")
        };
        let twcc = feedback.parse_fci::<Twcc<'_>>().expect("twcc");
        let mut clock = i64::from(twcc.reference_time()) * 64_000 / TICK_US;
        let mut found = Vec::new();
        for packet in twcc.packets() {
            let (seq, status) = packet.expect("well formed");
            if let TwccPacketStatus::Received { delta } = status {
                clock += i64::from(delta);
                found.push((seq, clock));
            }
        }
        found
    }

    #[test]
    fn on_a_narrow_way_feedback_is_rarer() {
        assert_eq!(interval(100, None), 50 * MS);
        assert_eq!(interval(100, Some(2_000_000)), 50 * MS);
        assert_eq!(interval(100, Some(100_000)), 160 * MS);
        assert_eq!(interval(100, Some(10_000)), 250 * MS);
    }

    #[test]
    fn small_gap_is_reported_as_lost() {
        let mut arrivals = Arrivals::default();
        for (seq, at) in [(65_534u16, 1_000), (65_535, 2_000), (2, 70_000)] {
            arrivals.record(seq, at);
        }
        let mut out = Vec::new();
        assert!(arrivals.feedback(&mut out, 1, 2));
        assert_eq!(read(&out), vec![(65_534, 4), (65_535, 8), (2, 280)]);
        assert!(!arrivals.feedback(&mut out, 1, 2));
    }

    proptest! {
        #[test]
        fn every_arrival_is_reported_once(gaps in proptest::collection::vec((1u16..20, 0u64..30_000), 1..600), first: u16) {
            let mut arrivals = Arrivals::default();
            let (mut seq, mut now) = (first, 1_000_000u64);
            let mut expected = Vec::new();
            for (gap, wait) in gaps {
                seq = seq.wrapping_add(gap);
                now += wait;
                arrivals.record(seq, now);
                expected.push((seq, now as i64 / TICK_US));
            }
            let mut found = Vec::new();
            let mut out = Vec::new();
            while arrivals.feedback(&mut out, 1, 2) {
                prop_assert!(out.len() <= 1_200);
                found.extend(read(&out));
                out.clear();
            }
            prop_assert_eq!(found, expected);
        }
    }
}
