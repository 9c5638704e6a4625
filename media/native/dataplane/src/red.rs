//! Sound sent twice (RFC 2198): read, written, and for whom.
//!
//! A packet carries one or two earlier Opus frames beside its own, so that whoever lost those has
//! them again without asking.  Every hop takes RED apart, fills its gaps, and wraps anew only for
//! receivers that report losses.
//!
//! Lost sound is not asked for: what a jitter buffer of 60 ms waits for would come too late for 3 %
//! of all packets at a loss of 10 % and a round trip of 13 ms, and for 8 % at 43 ms, where what came
//! along leaves 0.1 % missing (chains of `tests/hops.rs`, one hop).

use crate::cache::{Cache, Packet};
use crate::engine::Engine;
use crate::epoch::Epoch;
use crate::ext::Values;
use crate::ingress::Arrival;
use crate::sink::Sink;
use crate::source::Layer;
use crate::types::{Codec, Micros};

/// Blocks of one packet that are read, the primary included; libwebrtc writes at most ten.
pub const MAX_BLOCKS: usize = 10;
/// Most earlier frames we send along.
pub const MAX_EARLIER: usize = 2;
/// Timestamp offsets have 14 bits, lengths 10.
const MAX_OFFSET: u32 = (1 << 14) - 1;
const MAX_LENGTH: usize = (1 << 10) - 1;
/// Octets of payload beyond which nothing more is sent along.
const MAX_PAYLOAD: usize = 1_100;

/// One frame of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block<'a> {
    pub payload_type: u8,
    /// Timestamp ticks before the packet's own, 0..=16383; 0 for the primary.
    pub offset: u16,
    pub data: &'a [u8],
}

/// The frames of one packet, oldest first, the primary last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocks<'a> {
    blocks: [Block<'a>; MAX_BLOCKS],
    count: usize,
}

impl<'a> Blocks<'a> {
    pub fn as_slice(&self) -> &[Block<'a>] {
        self.blocks.get(..self.count).unwrap_or(&[])
    }

    fn push(&mut self, block: Block<'a>) -> Option<()> {
        *self.blocks.get_mut(self.count)? = block;
        self.count += 1;
        Some(())
    }
}

/// Take a payload apart; `None` when headers or frames run past its end, or there are too many.
///
/// Source: RFC 2198 section 3.
pub fn parse(payload: &[u8]) -> Option<Blocks<'_>> {
    let mut lengths = [0usize; MAX_BLOCKS];
    let mut found = Blocks::default();
    let mut rest = payload;
    while *rest.first()? & 0x80 != 0 {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let bits = u32::from_be_bytes(*head);
        *lengths.get_mut(found.count)? = (bits & 0x3FF) as usize;
        found.push(Block {
            payload_type: head[0] & 0x7F,
            offset: (bits >> 10 & 0x3FFF) as u16,
            data: &[],
        })?;
        rest = after;
    }
    let (&last, mut rest) = rest.split_first()?;
    for (block, length) in found.blocks.iter_mut().zip(lengths).take(found.count) {
        (block.data, rest) = rest.split_at_checked(length)?;
    }
    found.push(Block {
        payload_type: last,
        offset: 0,
        data: rest,
    })?;
    Some(found)
}

/// Earlier frames to send along with a packet, oldest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Earlier<'a> {
    packets: [Option<&'a Packet>; MAX_EARLIER],
    /// They did not go out before.
    pub(crate) new: bool,
}

impl<'a> Earlier<'a> {
    /// The `wanted` frames just before `packet`.  None of a frame that the sink was not to have,
    /// none beyond a gap: who takes it apart numbers frames by their place.
    pub(crate) fn of(
        packet: &Packet,
        cache: &'a Cache,
        sink: &Sink,
        epoch: &Epoch,
        wanted: usize,
    ) -> Self {
        let mut found = Earlier::default();
        let agreed = matches!(sink.payload_type(packet.codec), Some((_, Some(_))));
        let late = epoch
            .out(packet.index)
            .is_none_or(|out| out < sink.next_out());
        if packet.codec != Codec::Opus || !agreed || late {
            return found;
        }
        let mut room = MAX_PAYLOAD.saturating_sub(packet.payload.len());
        for back in 1..=wanted {
            let index = packet.index.checked_sub(back as u64);
            let earlier = index
                .filter(|index| *index >= epoch.first_in)
                .and_then(|index| cache.get(index))
                .filter(|p| fits(p, packet) && p.payload.len() <= room);
            let Some(earlier) = earlier else {
                break;
            };
            room -= earlier.payload.len();
            found.packets[MAX_EARLIER - back] = Some(earlier);
        }
        found
    }

    pub(crate) fn never_sent(self) -> Self {
        Earlier { new: true, ..self }
    }

    pub fn is_empty(&self) -> bool {
        self.packets.iter().all(Option::is_none)
    }

    fn each(&self) -> impl Iterator<Item = &'a Packet> + '_ {
        self.packets.iter().copied().flatten()
    }

    /// Octets they add to a payload.
    pub fn octets(&self) -> usize {
        let frames: usize = self.each().map(|p| p.payload.len() + 4).sum();
        frames + usize::from(frames > 0)
    }

    /// Append them with `packet` as one RED payload; `payload_type` is that of the frames.
    pub fn write(&self, packet: &Packet, payload_type: u8, out: &mut Vec<u8>) {
        for earlier in self.each() {
            let offset = packet.timestamp.wrapping_sub(earlier.timestamp) & MAX_OFFSET;
            let length = (earlier.payload.len() & MAX_LENGTH) as u32;
            let head = u32::from(payload_type | 0x80) << 24 | offset << 10 | length;
            out.extend_from_slice(&head.to_be_bytes());
        }
        out.push(payload_type & 0x7F);
        self.each().for_each(|p| out.extend_from_slice(&p.payload));
        out.extend_from_slice(&packet.payload);
    }
}

/// Whether a frame's time and length can be said in a block header of `packet`.
fn fits(earlier: &Packet, packet: &Packet) -> bool {
    let offset = packet.timestamp.wrapping_sub(earlier.timestamp);
    earlier.codec == packet.codec
        && (1..=MAX_OFFSET).contains(&offset)
        && (1..=MAX_LENGTH).contains(&earlier.payload.len())
}

/// How many earlier frames a receiver's losses call for.
///
/// A bad report brings them at once, and they go when losses have been rare for a while.
#[derive(Clone, Copy, Debug, Default)]
pub struct Redundancy {
    /// Share of packets lost: a worse report counts whole, a better one an eighth.
    loss: f64,
    frames: usize,
}

/// Shares lost from which so many frames are sent along, and below which one fewer is.
const STEPS: [(f64, f64); MAX_EARLIER] = [(0.05, 0.02), (0.08, 0.04)];

impl Redundancy {
    /// Earlier frames to send along, 0..=2.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// The receiver lost this share of what we sent, 0.0..=1.0.
    pub fn reported(&mut self, share: f64) {
        self.loss = share.max((7.0 * self.loss + share) / 8.0);
        while self.frames < MAX_EARLIER && self.loss >= STEPS[self.frames].0 {
            self.frames += 1;
        }
        while self.frames > 0 && self.loss < STEPS[self.frames - 1].1 {
            self.frames -= 1;
        }
    }
}

/// Whether a frame that came along as number `index` and time `timestamp` fills a gap.
fn fills(layer: &Layer, index: u64, timestamp: u32) -> bool {
    let Some(highest) = layer.highest else {
        return false;
    };
    let before = index
        .checked_sub(1)
        .and_then(|index| layer.cache.get(index));
    let after = layer.cache.get(index + 1);
    let later = |than: u32, time: u32| (time.wrapping_sub(than) as i32) > 0;
    index + layer.cache.reach() > highest
        && layer.cache.get(index).is_none()
        && before.is_none_or(|p| later(p.timestamp, timestamp))
        && after.is_none_or(|p| later(timestamp, p.timestamp))
}

impl Engine {
    /// Take a RED packet apart: frames of packets that did not come first, then its own.
    pub(crate) fn open_redundant(&mut self, arrival: Arrival<'_>, frames: u8, now: Micros) {
        let Some(blocks) = parse(arrival.payload) else {
            self.counters.drop_malformed_red += 1;
            return;
        };
        let Some((primary, earlier)) = blocks.as_slice().split_last() else {
            return;
        };
        if primary.payload_type != frames {
            self.counters.drop_codec += 1;
            return;
        }
        for (place, block) in earlier.iter().enumerate() {
            let index = arrival.index.checked_sub((earlier.len() - place) as u64);
            let timestamp = arrival.timestamp.wrapping_sub(u32::from(block.offset));
            let sound = block.payload_type == frames && !block.data.is_empty() && block.offset > 0;
            let layer = self.layer(arrival.binding);
            let wanted = |index: &u64| sound && layer.is_some_and(|l| fills(l, *index, timestamp));
            let Some(index) = index.filter(wanted) else {
                continue;
            };
            if let Some(source) = self.tables.sources.get_mut(arrival.binding.source) {
                let new = layer_highest(source, arrival.binding.layer).is_some_and(|h| index > h);
                source.stats.lost += u64::from(new);
                source.stats.recovered += 1;
                source.mended += 1;
                self.counters.lost += u64::from(new);
                self.counters.recovered += 1;
            }
            let again = Arrival {
                index,
                timestamp,
                marker: false,
                values: Values::default(),
                payload: block.data,
                ..arrival
            };
            self.remember(again, now);
        }
        self.remember(
            Arrival {
                payload: primary.data,
                ..arrival
            },
            now,
        );
    }
}

fn layer_highest(source: &crate::source::Source, layer: usize) -> Option<u64> {
    source.layers.get(layer)?.highest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ext::Kept;
    use crate::place::Place;
    use proptest::prelude::*;

    fn frame(index: u64, timestamp: u32, payload: Vec<u8>) -> Packet {
        Packet {
            index,
            timestamp,
            arrived: 0,
            marker: false,
            codec: Codec::Opus,
            keyframe_start: false,
            kept: Kept::default(),
            place: Place::default(),
            descriptor: None,
            dependency: None,
            payload,
        }
    }

    #[test]
    fn redundancy_comes_with_one_bad_report_and_goes_after_several_good_ones() {
        let mut redundancy = Redundancy::default();
        redundancy.reported(0.04);
        assert_eq!(redundancy.frames(), 0);
        redundancy.reported(0.06);
        assert_eq!(redundancy.frames(), 1);
        redundancy.reported(0.2);
        assert_eq!(redundancy.frames(), 2);
        let good: Vec<usize> = (0..30)
            .map(|_| {
                redundancy.reported(0.0);
                redundancy.frames()
            })
            .collect();
        assert!(good[5] == 2 && good[29] == 0, "{good:?}");
    }

    #[test]
    fn a_chromium_packet_is_taken_apart() {
        let payload = [0xEF, 0x0F, 0x00, 0x02, 0x6F, 1, 2, 3, 4, 5];
        let blocks = parse(&payload).expect("parses");
        let earlier = Block {
            payload_type: 111,
            offset: 960,
            data: &[1, 2],
        };
        let primary = Block {
            payload_type: 111,
            offset: 0,
            data: &[3, 4, 5],
        };
        assert_eq!(blocks.as_slice(), [earlier, primary]);
    }

    #[test]
    fn what_runs_past_the_end_or_has_no_end_is_refused() {
        for payload in [
            &[][..],
            &[0xEF],
            &[0xEF, 0, 0],
            &[0xEF, 0x0F, 0, 2, 0x6F, 1],
            &[0xFF; 80],
        ] {
            assert!(parse(payload).is_none(), "{payload:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            lengths in proptest::collection::vec(1usize..300, 1..4),
            start: u32,
            step in 1u32..5_000,
        ) {
            let times = (0..).map(|at| start.wrapping_add(at * step));
            let frames: Vec<Packet> = lengths.iter().zip(times).enumerate()
                .map(|(at, (len, time))| frame(at as u64, time, vec![at as u8; *len]))
                .collect();
            let (packet, before) = frames.split_last().expect("at least one");
            let mut earlier = Earlier::default();
            for (place, frame) in earlier.packets[MAX_EARLIER - before.len()..].iter_mut().zip(before) {
                *place = Some(frame);
            }
            let mut out = Vec::new();
            earlier.write(packet, 111, &mut out);
            if !before.is_empty() {
                prop_assert_eq!(out.len(), packet.payload.len() + earlier.octets());
            }
            let blocks = parse(&out).expect("parses");
            prop_assert_eq!(blocks.as_slice().len(), frames.len());
            for (block, frame) in blocks.as_slice().iter().zip(&frames) {
                prop_assert_eq!(block.payload_type, 111);
                prop_assert_eq!(block.data, &frame.payload[..]);
                let time = packet.timestamp.wrapping_sub(u32::from(block.offset));
                prop_assert_eq!(time, frame.timestamp);
            }
        }

        #[test]
        fn random_payloads_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Some(blocks) = parse(&payload) {
                let data: usize = blocks.as_slice().iter().map(|b| b.data.len()).sum();
                prop_assert_eq!(data + 4 * blocks.as_slice().len() - 3, payload.len());
            }
        }
    }
}
