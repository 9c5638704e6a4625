//! Short bursts at a higher rate, to learn whether the path carries it before pictures rely on it.

use std::collections::VecDeque;

use crate::types::{Micros, MS, SECOND};

/// How long a burst lasts, and how many octets it may have at most.
const LAST_US: u64 = 60 * MS;
const MAX_OCTETS: u64 = 24_000;
/// Longest burst where delays differ, which must outlast the differences.
const LONGEST_US: u64 = 200 * MS;
const LEAST_PACKETS: u64 = 5;
/// Largest and smallest packet we make for a burst, in octets of padding.
const SIZES: (u64, u64) = (40, 240);
/// A burst whose reports do not come within this time has failed.
const PATIENCE_US: Micros = 3 * SECOND;
/// Pause after a success, and the first and longest one after a failure.
const PAUSE_US: Micros = 300 * MS;
const BACKOFF_US: (Micros, Micros) = (SECOND, 4 * SECOND);
/// Where delays differ by so much, chance fails bursts too: the pause does not get longer than this.
const JITTERY_US: Micros = 10 * MS;
const JITTERY_BACKOFF_US: Micros = 500 * MS;
/// A burst held when this share of its rate came through.
const HELD: f64 = 0.9;
/// A burst is read when this share of what is to be expected came.
const WHOLE: f64 = 0.9;
/// A burst may lose more than the usual share by so many standard errors, and so long it is waited
/// for where there are losses.
const CHANCE: f64 = 2.0;
const LOSSY_US: Micros = 500 * MS;
/// What is kept of a rate at which a burst was held back.
const CAUTION: f64 = 0.95;

/// Times and octets of the packets of one burst that arrived.
#[derive(Clone, Copy, Debug)]
struct Seen {
    packets: u64,
    octets: u64,
    first_octets: u64,
    last_octets: u64,
    first_sent: Micros,
    last_sent: Micros,
    first_arrived: i64,
    last_arrived: i64,
}

#[derive(Debug)]
struct Cluster {
    id: u32,
    bps: u64,
    /// Octets it shall have.
    goal: u64,
    begun: Micros,
    sent_packets: u64,
    sent_octets: u64,
    seen: Option<Seen>,
}

/// What a burst taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// The path carries this rate.
    Held(u64),
    /// It carries only this.
    Bounded(u64),
}

/// Starts bursts and reads their results.
#[derive(Debug, Default)]
pub struct Prober {
    last_id: u32,
    active: Option<Cluster>,
    /// Sent, not all reported.
    waiting: VecDeque<Cluster>,
    next: Micros,
    backoff: Micros,
    jitter_us: Micros,
    pub count: u64,
}

impl Prober {
    /// Delays differ by so much without a queue.
    pub fn spread(&mut self, jitter_us: Micros) {
        self.jitter_us = jitter_us;
    }

    /// Whether the last burst held.
    pub fn lucky(&self) -> bool {
        self.backoff == 0
    }

    /// Begin a burst at `bps` unless it is too early.
    pub fn begin(&mut self, bps: u64, now: Micros) -> bool {
        now >= self.next && self.ask(bps, now)
    }

    /// Begin a burst at `bps` unless there is one.
    pub fn ask(&mut self, bps: u64, now: Micros) -> bool {
        if self.active.is_some() || !self.waiting.is_empty() {
            return false;
        }
        let last_us = (LAST_US + 2 * self.jitter_us).min(LONGEST_US);
        self.last_id = self.last_id.wrapping_add(1).max(1);
        self.count += 1;
        self.active = Some(Cluster {
            id: self.last_id,
            bps,
            goal: goal(bps, last_us),
            begun: now,
            sent_packets: 0,
            sent_octets: 0,
            seen: None,
        });
        true
    }

    /// Give up what is under way: the path is in trouble.
    pub fn abandon(&mut self, now: Micros) {
        if self.active.take().is_some() || !self.waiting.is_empty() {
            self.waiting.clear();
            self.fail(now);
        }
    }

    /// Rate of the burst being sent.
    pub fn bps(&self) -> Option<u64> {
        self.active.as_ref().map(|cluster| cluster.bps)
    }

    /// Number of the burst that packets sent now belong to; 0 for none.
    pub fn cluster(&self) -> u32 {
        self.active.as_ref().map_or(0, |cluster| cluster.id)
    }

    /// Octets of padding that the next packet made for the burst has.
    pub fn padding(&self) -> Option<u8> {
        let cluster = self.active.as_ref()?;
        let share = cluster.goal / LEAST_PACKETS;
        let (least, most) = SIZES;
        Some(share.clamp(least, most) as u8)
    }

    /// A packet of the burst went out.
    pub fn sent(&mut self, octets: u64) {
        let Some(cluster) = &mut self.active else {
            return;
        };
        cluster.sent_packets += 1;
        cluster.sent_octets += octets;
        let over = cluster.sent_octets >= cluster.goal;
        if over && cluster.sent_packets >= LEAST_PACKETS {
            self.waiting.extend(self.active.take());
        }
    }

    /// A packet of a burst arrived.
    pub fn arrived(&mut self, id: u32, octets: u64, sent: Micros, at: i64) {
        let mut known = self.waiting.iter_mut().chain(self.active.as_mut());
        let Some(cluster) = known.find(|cluster| cluster.id == id) else {
            return;
        };
        let seen = cluster.seen.get_or_insert(Seen {
            packets: 0,
            octets: 0,
            first_octets: octets,
            last_octets: octets,
            first_sent: sent,
            last_sent: sent,
            first_arrived: at,
            last_arrived: at,
        });
        seen.packets += 1;
        seen.octets += octets;
        if at < seen.first_arrived {
            (seen.first_arrived, seen.first_octets) = (at, octets);
        }
        if sent >= seen.last_sent {
            (seen.last_sent, seen.last_octets) = (sent, octets);
        }
        seen.first_sent = seen.first_sent.min(sent);
        seen.last_arrived = seen.last_arrived.max(at);
    }

    /// Read the results after a report.  `least` is the rate in force; `lost` is the share of all
    /// packets that is lost whatever is sent, 0..1: of a burst too, which proves nothing then.
    pub fn read(&mut self, least: u64, lost: f64, now: Micros) -> Option<Lesson> {
        let cluster = self.waiting.front()?;
        let age = now.saturating_sub(cluster.begun);
        let late = age > PATIENCE_US;
        let packets = cluster.sent_packets as f64;
        let chance = CHANCE * (packets * lost * (1.0 - lost)).sqrt();
        let enough = WHOLE * ((1.0 - lost) * packets - chance).max(0.0);
        let told = lost == 0.0 || age > LOSSY_US;
        let whole = told
            && cluster.seen.is_some_and(|seen| {
                seen.packets as f64 >= enough && seen.packets + 1 >= LEAST_PACKETS
            });
        if !whole && !late {
            return None;
        }
        let cluster = self.waiting.pop_front()?;
        let lesson = cluster.seen.filter(|_| whole).and_then(|seen| {
            let missing = match lost > 0.0 {
                true => cluster.sent_octets as f64 / seen.octets.max(1) as f64,
                false => 1.0,
            };
            learn(&seen, missing)
        });
        let better = |bps: u64| bps > least + least / 20;
        match lesson {
            Some(Lesson::Held(bps)) if better(bps) => self.succeed(now),
            _ => self.fail(now),
        }
        lesson
    }

    fn succeed(&mut self, now: Micros) {
        self.backoff = 0;
        self.next = now + PAUSE_US;
    }

    fn fail(&mut self, now: Micros) {
        let (first, longest) = BACKOFF_US;
        self.backoff = match self.jitter_us < JITTERY_US {
            true => (2 * self.backoff).clamp(first, longest),
            false => JITTERY_BACKOFF_US,
        };
        self.next = now + self.backoff;
    }

    /// Forget bursts that are not answered.
    pub fn tick(&mut self, now: Micros) {
        let old = |cluster: &Cluster| now.saturating_sub(cluster.begun) > PATIENCE_US;
        let gone = self.active.as_ref().is_some_and(old) || self.waiting.front().is_some_and(old);
        if gone {
            self.abandon(now);
        }
    }
}

/// Octets of a burst at this rate.
fn goal(bps: u64, last_us: u64) -> u64 {
    ((bps / 8).saturating_mul(last_us) / SECOND).min(MAX_OCTETS)
}

/// What a burst says; rates count `missing` times, for packets that were lost by chance.
fn learn(seen: &Seen, missing: f64) -> Option<Lesson> {
    let sent_us = seen.last_sent.checked_sub(seen.first_sent)?;
    let came_us = u64::try_from(seen.last_arrived - seen.first_arrived).ok()?;
    if sent_us < MS || came_us < MS {
        return None;
    }
    let rate = |octets: u64, us: u64| (missing * (octets * 8 * SECOND / us) as f64) as u64;
    let sent = rate(seen.octets - seen.last_octets, sent_us);
    let came = rate(seen.octets - seen.first_octets, came_us);
    Some(match (came as f64) < HELD * sent as f64 {
        true => Lesson::Bounded((CAUTION * came as f64) as u64),
        false => Lesson::Held(sent.min(came)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Send a burst over a path of a given rate and hear of it at `now`.
    fn burst(prober: &mut Prober, bps: u64, path_bps: u64, now: Micros) -> Option<Lesson> {
        assert!(prober.begin(bps, now));
        let (mut sent, mut free) = (now, 0);
        while prober.bps().is_some() {
            let octets = u64::from(prober.padding().expect("a burst")) + 40;
            let id = prober.cluster();
            prober.sent(octets);
            free = free.max(sent) + octets * 8 * SECOND / path_bps;
            prober.arrived(id, octets, sent, free as i64);
            sent += octets * 8 * SECOND / bps;
        }
        prober.read(100_000, 0.0, now + SECOND)
    }

    #[test]
    fn a_burst_that_comes_through_raises_and_one_held_back_bounds() {
        let mut prober = Prober::default();
        let Some(Lesson::Held(bps)) = burst(&mut prober, 400_000, 10_000_000, 0) else {
            unreachable!("held")
        };
        assert!((360_000..=440_000).contains(&bps), "{bps}");
        let Some(Lesson::Bounded(bps)) = burst(&mut prober, 800_000, 500_000, 2 * SECOND) else {
            unreachable!("held back")
        };
        assert!((400_000..=500_000).contains(&bps), "{bps}");
    }

    #[test]
    fn failures_make_the_pauses_longer() {
        let mut prober = Prober::default();
        let mut now = 0;
        let mut begun = Vec::new();
        while begun.len() < 3 {
            if prober.begin(1_000_000, now) {
                begun.push(now);
                (0..100).for_each(|_| prober.sent(1_000));
            }
            prober.tick(now);
            now += 100 * MS;
        }
        let pauses: Vec<Micros> = begun.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(pauses.windows(2).all(|w| w[1] > w[0]), "{pauses:?}");
    }

    #[test]
    fn a_burst_is_small_however_high_its_rate() {
        assert_eq!(goal(u64::MAX, LAST_US), MAX_OCTETS);
        assert_eq!(goal(120_000, LAST_US), 900);
    }
}
