//! What we sent under which transport-wide number, until the receiver has told what became of it.

use std::collections::VecDeque;

use crate::seqmap::unwrap;
use crate::types::{Micros, SECOND};

/// Packets remembered; less than half the space of sequence numbers, so that they stay distinct.
pub const MAX_PACKETS: usize = 16_384;
/// A packet nobody spoke of for this long is no longer thought to be under way.
pub const MAX_AGE_US: Micros = 3 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Flying,
    Lost,
    Settled,
}

/// One packet as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub at: Micros,
    pub octets: u32,
    /// The probe it belongs to; 0 for none.
    pub cluster: u32,
    state: State,
}

/// What a report says of one packet that was news.
#[derive(Clone, Copy, Debug)]
pub enum News {
    Lost,
    Arrived {
        sent: Sent,
        /// It had been reported as lost.
        late: bool,
    },
}

/// A ring of packets with consecutive numbers.
#[derive(Debug, Default)]
pub struct History {
    ring: VecDeque<Sent>,
    /// Unwrapped number of the ring's first packet.
    first: u64,
    flying: u64,
    /// Packets before this one are not under way any more.
    swept: u64,
}

impl History {
    /// Octets sent of which nothing is known yet.
    pub fn flying(&self) -> u64 {
        self.flying
    }

    fn next(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    /// Remember a packet just written.  Numbers are consecutive; others start the ring anew.
    pub fn push(&mut self, seq: u16, octets: u32, cluster: u32, now: Micros) {
        if self.next() as u16 != seq || self.first == 0 {
            // A lap up, so that there is room for numbers before the first one.
            self.ring.clear();
            self.first = u64::from(seq) + 0x1_0000;
            self.swept = self.first;
            self.flying = 0;
        }
        self.ring.push_back(Sent {
            at: now,
            octets,
            cluster,
            state: State::Flying,
        });
        self.flying += u64::from(octets);
        self.expire(now);
    }

    /// Forget what is too old or too much.
    pub fn expire(&mut self, now: Micros) {
        while let Some(oldest) = self.ring.front() {
            let old = now.saturating_sub(oldest.at) > MAX_AGE_US;
            if !old && self.ring.len() <= MAX_PACKETS {
                return;
            }
            self.land(0);
            self.ring.pop_front();
            self.first += 1;
        }
    }

    /// Packet `at` of the ring is not under way any more.
    fn land(&mut self, at: usize) {
        if let Some(sent) = self.ring.get_mut(at) {
            if sent.state == State::Flying {
                sent.state = State::Settled;
                self.flying -= u64::from(sent.octets);
            }
        }
    }

    fn find(&self, seq: u16) -> Option<usize> {
        let index = unwrap(self.next().checked_sub(1)?, seq)?;
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        (at < self.ring.len()).then_some(at)
    }

    /// A report begins with `base`: whatever was to be said of earlier packets got lost.
    pub fn sweep(&mut self, base: u16) {
        let Some(at) = self.find(base) else {
            return;
        };
        let from = self.swept.saturating_sub(self.first) as usize;
        (from..at).for_each(|at| self.land(at));
        self.swept = self.swept.max(self.first + at as u64);
    }

    /// Take a report's word for a packet; `None` when it is not ours or it was said before.
    pub fn learn(&mut self, seq: u16, arrived: bool) -> Option<News> {
        let at = self.find(seq)?;
        let sent = self.ring.get_mut(at)?;
        let before = sent.state;
        match (before, arrived) {
            (State::Settled, _) | (State::Lost, false) => return None,
            (_, true) => sent.state = State::Settled,
            (_, false) => sent.state = State::Lost,
        }
        let sent = *sent;
        if before == State::Flying {
            self.flying -= u64::from(sent.octets);
        }
        let late = before == State::Lost;
        Some(match arrived {
            true => News::Arrived { sent, late },
            false => News::Lost,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::MS;
    use proptest::prelude::*;

    #[test]
    fn a_packet_is_lost_once_and_may_still_arrive_late() {
        let mut history = History::default();
        for seq in [65_534, 65_535, 0, 1] {
            history.push(seq, 100, 7, 5 * MS);
        }
        assert_eq!(history.flying(), 400);
        assert!(matches!(history.learn(65_535, false), Some(News::Lost)));
        assert!(history.learn(65_535, false).is_none());
        let Some(News::Arrived { sent, late: true }) = history.learn(65_535, true) else {
            unreachable!("a late arrival")
        };
        assert_eq!((sent.at, sent.octets, sent.cluster), (5 * MS, 100, 7));
        assert!(history.learn(65_535, true).is_none());
        assert!(history.learn(2, true).is_none(), "never sent");
        assert_eq!(history.flying(), 300);
        history.sweep(1);
        assert_eq!(history.flying(), 100, "a lost report holds nothing back");
        assert!(history.learn(0, true).is_none());
    }

    #[test]
    fn old_packets_are_not_under_way() {
        let mut history = History::default();
        history.push(3, 100, 0, 0);
        history.push(4, 50, 0, MAX_AGE_US + 1);
        assert_eq!(history.flying(), 50);
        assert!(history.learn(3, true).is_none());
        (0..MAX_PACKETS as u32 + 10).for_each(|n| history.push(n as u16 + 5, 1, 0, 4 * SECOND));
        assert!(history.ring.len() <= MAX_PACKETS);
    }

    proptest! {
        #[test]
        fn whatever_is_said_octets_under_way_add_up(steps in proptest::collection::vec((0u8..4, any::<u16>()), 1..300), first: u16) {
            let mut history = History::default();
            let mut next = first;
            for (step, value) in steps {
                let seq = next.wrapping_sub(value % 64);
                match step {
                    0 => {
                        history.push(next, u32::from(value), 0, u64::from(value));
                        next = next.wrapping_add(1);
                    }
                    1 => history.sweep(seq),
                    kind => drop(history.learn(seq, kind == 2)),
                }
                let flying = history.ring.iter().filter(|s| s.state == State::Flying);
                prop_assert_eq!(flying.map(|s| u64::from(s.octets)).sum::<u64>(), history.flying());
            }
        }
    }
}
