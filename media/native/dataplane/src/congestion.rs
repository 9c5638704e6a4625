//! What is dropped while the driver's socket takes nothing: pictures first and by whole frames,
//! sound later, control last.
//!
//! The driver stops asking for batches; what is to be sent waits unwritten.  When too much waits,
//! the rest of a sink's frame is dropped and sending resumes with the first packet of a later
//! frame for which there is room.  Sequence numbers are not closed up: a receiver sees what it
//! missed and may have it again from the cache.

use crate::engine::Engine;
use crate::types::{Kind, Limits};

/// What waits, and whether the driver can send.
#[derive(Debug, Default)]
pub(crate) struct Congestion {
    stuck: bool,
    /// Packets waiting in transports, not written yet.
    pub waiting: usize,
}

impl Congestion {
    /// Whether a packet is to be dropped, `written` packets waiting besides those here.
    pub fn full(&self, kind: Kind, written: usize, limits: &Limits) -> bool {
        let limit = match kind {
            Kind::Video => limits.max_waiting,
            Kind::Audio => 2 * limits.max_waiting,
        };
        self.stuck && self.waiting + written >= limit
    }
}

/// The frame of which a sink's packets are being dropped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shedding(Option<u32>);

impl Shedding {
    /// Whether to drop a packet of the frame with this timestamp (at the source), there being
    /// `full` no room: then, and until that frame is over.
    pub fn drops(&mut self, timestamp: u32, full: bool) -> bool {
        let later = |frame: u32| (timestamp.wrapping_sub(frame) as i32) > 0;
        match self.0 {
            Some(frame) if !later(frame) => return true,
            _ if full => self.0 = Some(timestamp),
            _ => self.0 = None,
        }
        full
    }
}

impl Engine {
    /// The driver says whether its socket takes nothing.  While so it need not ask for batches.
    pub fn congested(&mut self, stuck: bool) {
        self.congestion.stuck = stuck;
    }

    /// Keep control, written already, within bounds.
    pub(crate) fn bound_control(&mut self) {
        while self.congestion.stuck && self.ready.packets() > 4 * self.limits.max_waiting {
            let Some(batch) = self.ready.unpush() else {
                return;
            };
            self.counters.drop_send_queue += batch.count as u64;
            self.ready.recycle(batch.octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_ends_with_the_first_packet_of_a_later_frame_for_which_there_is_room() {
        let mut shedding = Shedding::default();
        assert!(!shedding.drops(100, false));
        assert!(shedding.drops(100, true));
        assert!(shedding.drops(100, false), "the rest of the frame");
        assert!(shedding.drops(200, true));
        assert!(
            shedding.drops(100, false),
            "a straggler of a frame given up"
        );
        assert!(shedding.drops(200, false));
        assert!(!shedding.drops(300, false));
        assert!(!shedding.drops(100, false), "a repaired packet of old");
    }

    #[test]
    fn timestamps_wrap() {
        let mut shedding = Shedding::default();
        assert!(shedding.drops(u32::MAX - 5, true));
        assert!(!shedding.drops(10, false));
    }
}
