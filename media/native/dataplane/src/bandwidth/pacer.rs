//! Pictures that wait until the path has room for them: a leaky bucket of 2.5 times the estimate.
//!
//! Sound, control and repeated packets never wait here, but what they send is taken out of the
//! bucket (draft-ietf-rmcat-gcc-02 section 4).

use std::collections::VecDeque;

use crate::transport::Pending;
use crate::types::{Micros, MS, SECOND};

/// How often what waits is looked at: long enough for several packets to share a send.
pub const EVERY_US: Micros = 2 * MS;
/// Longest pictures may have to wait, ...
const PATIENCE_US: Micros = 250 * MS;
/// ... unless they do for no longer than this, as after a key frame, ...
const GRACE_US: Micros = 250 * MS;
/// ... and longest in any case.
const LIMIT_US: Micros = SECOND;
const MAX_PACKETS: usize = 8_192;
/// Debt that sound and repeated packets may leave, as time at the bucket's rate.
const DEBT_US: Micros = 250 * MS;
/// Headers, extensions and authentication of one packet, octets.
const OVERHEAD: u64 = 50;

#[derive(Debug)]
struct Waiting {
    what: Pending,
    octets: u64,
    since: Micros,
}

/// One transport's bucket and what waits for it.
#[derive(Debug, Default)]
pub struct Pacer {
    queue: VecDeque<Waiting>,
    /// Octets in the queue.
    octets: u64,
    /// Millionths of bits that may be sent now; negative while in debt.
    credit: i64,
    refilled: Micros,
    rate: u64,
    crowded: Option<Micros>,
    /// A look at the queue is arranged already.
    pub scheduled: bool,
}

impl Pacer {
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Let the bucket fill at `rate`, bits per second, since it was last looked at.
    pub fn refill(&mut self, rate: u64, now: Micros) {
        let elapsed = now.saturating_sub(self.refilled).min(SECOND);
        let gained = rate.saturating_mul(elapsed).min(i64::MAX as u64 / 4) as i64;
        let most = rate.saturating_mul(EVERY_US) as i64;
        self.credit = (self.credit + gained).min(most.max(0));
        self.refilled = now;
        self.rate = rate;
    }

    /// Whether something may go out now.
    pub fn open(&self) -> bool {
        self.credit >= 0
    }

    /// Whether so much was sent out of turn that repeats have to be left out.
    pub fn exhausted(&self) -> bool {
        self.rate > 0 && self.credit <= -self.debt()
    }

    fn debt(&self) -> i64 {
        i64::try_from(self.rate.saturating_mul(DEBT_US)).unwrap_or(i64::MAX)
    }

    /// Octets went out.
    pub fn spend(&mut self, octets: u64) {
        let cost = octets.saturating_mul(8 * SECOND).min(i64::MAX as u64 / 4) as i64;
        self.credit = (self.credit - cost).max(-self.debt());
    }

    /// Let a packet with this payload wait.
    pub fn push(&mut self, what: Pending, payload: usize, now: Micros) {
        let octets = payload as u64 + OVERHEAD;
        self.octets += octets;
        self.queue.push_back(Waiting {
            what,
            octets,
            since: now,
        });
    }

    pub fn pop(&mut self) -> Option<Pending> {
        let first = self.queue.pop_front()?;
        self.octets -= first.octets;
        Some(first.what)
    }

    /// How long a packet that comes now has to wait.
    pub fn wait_us(&self, now: Micros) -> Micros {
        let waited = self
            .queue
            .front()
            .map_or(0, |w| now.saturating_sub(w.since));
        waited.max(self.backlog_us())
    }

    /// What waits, as time at the bucket's rate.
    pub fn backlog_us(&self) -> Micros {
        self.octets.saturating_mul(8 * SECOND) / self.rate.max(1)
    }

    /// Whether pictures are to be dropped rather than to wait.
    pub fn full(&mut self, now: Micros) -> bool {
        if self.queue.is_empty() {
            self.crowded = None;
            return false;
        }
        let wait = self.wait_us(now);
        if wait <= PATIENCE_US {
            self.crowded = None;
            return false;
        }
        let since = *self.crowded.get_or_insert(now);
        now.saturating_sub(since) > GRACE_US || wait > LIMIT_US || self.queue.len() >= MAX_PACKETS
    }

    /// Whether so many octets at once would make others wait too long.
    pub fn swamped_by(&self, octets: u64) -> bool {
        self.rate > 0 && octets.saturating_mul(8 * SECOND) / self.rate > PATIENCE_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHAT: Pending = Pending {
        sink: 1,
        source: 2,
        layer: 0,
        index: 3,
    };

    #[test]
    fn what_goes_out_follows_the_rate_in_small_batches() {
        let mut pacer = Pacer::default();
        (0..1_000).for_each(|_| pacer.push(WHAT, 1_200, 0));
        let (mut sent, mut most) = (0, 0);
        for tick in 1..=500 {
            pacer.refill(5_000_000, tick * EVERY_US);
            let mut batch = 0;
            while pacer.open() && pacer.pop().is_some() {
                pacer.spend(1_250);
                batch += 1;
            }
            sent += batch;
            most = most.max(batch);
        }
        assert!(
            (495..=505).contains(&sent),
            "one second at 5 Mbit/s: {sent}"
        );
        assert!(most <= 3, "{most} packets in 2 ms");
    }

    #[test]
    fn sound_goes_out_in_debt_and_pictures_wait_for_it() {
        let mut pacer = Pacer::default();
        pacer.refill(100_000, SECOND);
        pacer.spend(1_000);
        assert!(!pacer.open() && !pacer.exhausted());
        pacer.refill(100_000, SECOND + 70 * MS);
        assert!(!pacer.open());
        pacer.refill(100_000, SECOND + 90 * MS);
        assert!(pacer.open());
        (0..100).for_each(|_| pacer.spend(1_000));
        assert!(pacer.exhausted());
        pacer.refill(100_000, SECOND + 90 * MS + DEBT_US);
        assert!(pacer.open(), "the debt is bounded");
    }

    #[test]
    fn a_key_frame_may_be_late_but_a_crowd_is_not_kept_waiting() {
        let mut pacer = Pacer::default();
        pacer.refill(1_000_000, 0);
        (0..50).for_each(|_| pacer.push(WHAT, 1_200, 0));
        assert!(pacer.wait_us(0) > PATIENCE_US && !pacer.full(0));
        assert!(pacer.full(GRACE_US + 1), "it does not get better");
        (0..30).for_each(|_| assert!(pacer.pop().is_some()));
        assert!(!pacer.full(100 * MS));
        (0..150).for_each(|_| pacer.push(WHAT, 1_200, 0));
        assert!(pacer.full(200 * MS), "more than a second");
    }
}
