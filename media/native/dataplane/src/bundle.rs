//! Sound in bundles: where a path is narrow, three frames share one packet.
//!
//! The headers of fifty packets a second take as much as a voice.  The frames travel as earlier ones
//! of RFC 2198, of packets that are never sent: whoever takes RED takes those for losses that it
//! has again, and numbers stay as they are.  It costs 40 ms, and losses come three at a time.

use crate::cache::{Cache, Packet};
use crate::epoch::Epoch;
use crate::red::{Earlier, MAX_EARLIER};
use crate::sink::Sink;
use crate::types::Codec;

/// Frames of one packet at most, and longest that its first one waits, in ticks of 1/48 ms.
const FRAMES: usize = MAX_EARLIER + 1;
const SPAN: u32 = 40 * 48;
/// Longest frame that shares a packet, in octets.
const LONGEST: usize = 300;
/// Sound in percent of the estimate above which it is bundled, and below which it no longer is.
pub const CROWDED: (u64, u64) = (60, 25);

/// Frames that wait for the next, consecutive ones of one spell.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    newest: u64,
    count: usize,
    /// Timestamp of the first.
    since: u32,
    first_out: u64,
}

/// What is to be sent now that a frame came.
pub(crate) struct Due {
    /// Frames it does not follow, which go before it: the newest, and how many are before that.
    pub broken: Option<(u64, usize)>,
    /// How many go along with it; `None`: it waits too.
    pub along: Option<usize>,
}

impl Sink {
    /// Take a frame of sound that is to be sent, in bundles or not.
    pub(crate) fn bundle(&mut self, packet: &Packet, epoch: &Epoch, bundles: bool) -> Due {
        let held = self.held.take();
        let held = held.filter(|held| held.first_out == epoch.first_out);
        let passed = |since: u32| packet.timestamp.wrapping_sub(since);
        let (follow, broken) = match held {
            Some(held) if held.newest + 1 != packet.index => (None, Some(held)),
            Some(held) if passed(held.since) > 2 * SPAN => (None, Some(held)),
            held => (held, None),
        };
        let (count, since) = follow.map_or((0, packet.timestamp), |h| (h.count, h.since));
        let short = count + 1 < FRAMES && passed(since) < SPAN && packet.payload.len() <= LONGEST;
        let agreed = matches!(self.payload_type(packet.codec), Some((_, Some(_))));
        let late = epoch
            .out(packet.index)
            .is_none_or(|out| out < self.next_out());
        let waits = bundles && short && agreed && !late && packet.codec == Codec::Opus;
        if waits {
            self.held = Some(Held {
                newest: packet.index,
                count: count + 1,
                since,
                first_out: epoch.first_out,
            });
        }
        Due {
            broken: broken.map(|held| (held.newest, held.count - 1)),
            along: (!waits).then_some(count),
        }
    }

    /// The frames that waited, to go along with `packet`.
    pub(crate) fn bundled<'a>(
        &self,
        packet: &Packet,
        cache: &'a Cache,
        epoch: &Epoch,
        count: usize,
    ) -> Earlier<'a> {
        Earlier::of(packet, cache, self, epoch, count).never_sent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ext::Kept;
    use crate::place::Place;
    use crate::sink::Wanted;
    use crate::types::{Kind, SinkConfig};

    fn frame(index: u64, timestamp: u32, octets: usize) -> Packet {
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
            payload: vec![0; octets],
        }
    }

    fn sink(red: Option<u8>) -> (Sink, Epoch) {
        let config = SinkConfig {
            transport: 1,
            kind: Kind::Audio,
            mid: None,
            ssrc: 7,
            rtx_ssrc: None,
            cname: String::new(),
            codecs: vec![(Codec::Opus, 111, red)],
        };
        let mut sink = Sink::new(1, 0, config, 1, 1, 0);
        let wanted = Wanted {
            source: 0,
            layer: 0,
        };
        let epoch = sink.begin(1, wanted, &frame(10, 0, 60), 0);
        (sink, epoch)
    }

    /// (frames that go first, with how many a frame goes) of frames at these places and times.
    fn due(red: Option<u8>, bundles: bool, frames: &[(u64, u32)]) -> Vec<(u64, Option<usize>)> {
        let (mut sink, epoch) = sink(red);
        let each = frames.iter().map(|(index, at)| {
            let due = sink.bundle(&frame(*index, *at, 60), &epoch, bundles);
            (due.broken.map_or(0, |(at, _)| at), due.along)
        });
        each.collect()
    }

    #[test]
    fn three_frames_go_together() {
        let frames = [(10, 0), (11, 960), (12, 1_920), (13, 2_880)];
        let together = [(0, None), (0, None), (0, Some(2)), (0, None)];
        assert_eq!(due(Some(63), true, &frames), together);
        let alone = [(0, Some(0)); 4];
        assert_eq!(due(Some(63), false, &frames), alone);
        assert_eq!(due(None, true, &frames), alone, "RED was not agreed");
    }

    #[test]
    fn long_frames_wait_for_fewer() {
        let frames = [(10, 0), (11, 2_880), (12, 5_760)];
        let due = due(Some(63), true, &frames);
        assert_eq!(due, [(0, None), (0, Some(1)), (0, None)]);
    }

    #[test]
    fn what_waits_goes_before_a_frame_that_does_not_follow() {
        let frames = [(10, 0), (11, 960), (13, 2_880), (14, 90_000)];
        let due = due(Some(63), true, &frames);
        assert_eq!(due, [(0, None), (0, None), (11, None), (13, None)]);
    }

    #[test]
    fn what_waits_goes_with_the_next_when_there_is_room_again() {
        let (mut sink, epoch) = sink(Some(63));
        assert_eq!(sink.bundle(&frame(10, 0, 60), &epoch, true).along, None);
        let next = sink.bundle(&frame(11, 960, 60), &epoch, false);
        assert_eq!((next.broken, next.along), (None, Some(1)));
        let large = sink.bundle(&frame(12, 1_920, LONGEST + 1), &epoch, true);
        assert_eq!(large.along, Some(0));
    }
}
