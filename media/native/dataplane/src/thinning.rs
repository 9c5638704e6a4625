//! What a sink leaves out of its feed, and the numbers closed up over it.
//!
//! A viewer of a lower target must see no gaps: it would ask for what it is not to have.  So a
//! stretch of consecutive numbers, an epoch, ends where a packet is left out, and the next begins
//! after it.  What became of a packet that comes late is a matter of the epoch it falls into.

use crate::cache::Packet;
use crate::epoch::Epoch;
use crate::sink::{Sink, Wanted};
use crate::types::Codec;

/// Left-out pictures remembered, so that what comes late of one is known.
const PICTURES: usize = 64;

/// What is done with a packet for one sink.
pub(crate) enum Verdict {
    Send(Epoch),
    /// Its number is taken already: padding goes in its place.
    Fill(Epoch),
    Drop,
}

impl Sink {
    /// Decide on a packet of the live feed.
    #[inline]
    pub(crate) fn admit(&mut self, packet: &Packet) -> Verdict {
        let Some(live) = self.live else {
            return Verdict::Drop;
        };
        let needed = packet.place.needed & live.mask != 0;
        let stays = live.mask == self.aim && !(live.told_less && packet.keyframe_start);
        if needed && stays && packet.index >= live.first_in {
            self.next_in = self.next_in.max(packet.index + 1);
            return Verdict::Send(live);
        }
        self.weigh(packet, live)
    }

    fn weigh(&mut self, packet: &Packet, mut live: Epoch) -> Verdict {
        if packet.index < self.next_in {
            return self.late(packet, live);
        }
        self.next_in = packet.index + 1;
        if packet.place.starts {
            if self.aim == 0 {
                return self.halt(live);
            }
            live = self.turn(packet, live);
        }
        if packet.place.needed & live.mask != 0 {
            return Verdict::Send(live);
        }
        self.leave_out(packet, live);
        Verdict::Drop
    }

    /// Begin an epoch with another target where that may be, or with a key frame, from which on
    /// nothing is left of what its viewer was told.
    fn turn(&mut self, packet: &Packet, live: Epoch) -> Epoch {
        let turned = packet.place.turn(live.mask, self.aim);
        let mask = turned
            .filter(|_| live.mask != self.aim)
            .unwrap_or(live.mask);
        let told_less = !packet.keyframe_start && (live.told_less || mask != live.mask);
        if (mask, told_less) == (live.mask, live.told_less) {
            return live;
        }
        self.go_on(Epoch {
            first_in: packet.index,
            first_out: live.out(packet.index).unwrap_or(live.first_out),
            mask,
            told_less,
            ..live
        })
    }

    /// End the feed; it waits for its next key frame.
    fn halt(&mut self, live: Epoch) -> Verdict {
        self.live = None;
        self.wanted.get_or_insert(Wanted {
            source: live.source_key,
            layer: live.layer,
        });
        Verdict::Drop
    }

    fn leave_out(&mut self, packet: &Packet, live: Epoch) {
        self.stats.thinned += 1;
        let picture = packet
            .picture_to_close()
            .filter(|p| !self.left_out.contains(p));
        if let Some(picture) = picture {
            self.left_out.push_back(picture);
            if self.left_out.len() > PICTURES {
                self.left_out.pop_front();
            }
        }
        self.go_on(Epoch {
            first_in: packet.index + 1,
            first_out: live.out(packet.index).unwrap_or(live.first_out),
            picture_delta: live
                .picture_delta
                .wrapping_sub(u16::from(picture.is_some())),
            ..live
        });
    }

    /// A packet that comes after later ones of the same feed.
    fn late(&self, packet: &Packet, live: Epoch) -> Verdict {
        let Some((epoch, end)) = self.epoch_of(live.source_key, live.layer, packet.index) else {
            return Verdict::Drop;
        };
        if epoch.out(packet.index).is_none_or(|out| out >= end) {
            return Verdict::Drop;
        }
        let picture = packet.picture_to_close();
        if packet.place.needed & epoch.mask != 0
            || picture.is_some_and(|p| !self.left_out.contains(&p))
        {
            return Verdict::Send(epoch);
        }
        Verdict::Fill(epoch)
    }
}

impl Packet {
    /// The picture id that receivers want without gaps: VP8 knows no other order.
    fn picture_to_close(&self) -> Option<u16> {
        let vp8 = self.codec == Codec::Vp8;
        self.descriptor.filter(|_| vp8).and_then(|d| d.picture)
    }
}
