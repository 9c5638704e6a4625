//! The rate that losses allow.
//!
//! Source: draft-ietf-rmcat-gcc-02 section 6: above a tenth lost the rate falls, below a fiftieth
//! it grows, between it holds.  Beyond the draft: losses that do not become fewer when the rate
//! has nearly been halved are not made by us, and from then on only those count that are more than
//! these and than what chance makes of so few packets.  Where no queue stands a burst at a higher
//! rate may tell first: one that loses no more shows the same at once, and nothing is lowered.

use super::rate::{MAX_BPS, MIN_BPS};
use crate::types::{Micros, MS, SECOND};

/// Packets and time after which a share of losses means something.
const LEAST_PACKETS: u32 = 20;
const LEAST_US: Micros = 300 * MS;
/// With fewer packets the share is taken after this.
const MOST_US: Micros = 2 * SECOND;
const MANY: f64 = 0.10;
const FEW: f64 = 0.02;
const GROWTH: f64 = 1.08;
/// Weight of the newest share in the smoothed one.
const NEW: f64 = 0.5;
/// A share differs from another by more than chance when it does by so many standard errors.
const CHANCE: f64 = 2.0;
/// Losses fell when they are below this part of what they were.
const FEWER: f64 = 0.7;
/// Part of a difference that is forgotten at each look, when fewer are lost than ever.
const FORGET: f64 = 0.1;
/// A burst is believed up to this share: a line that drops more drops single packets of it too.
const MOST_INHERENT: f64 = 0.4;
/// How long to wait for what a burst says.
const ANSWER_US: Micros = 1_500 * MS;

/// A spell of many losses: what was sent when it began and what share was lost.
#[derive(Clone, Copy, Debug)]
struct Spell {
    bps: u64,
    share: f64,
}

/// Bits per second: in force, sent, and arriving.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    pub bps: u64,
    pub sent: u64,
    pub acked: u64,
}

/// What a look at the losses says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing new.
    Calm,
    /// The bound fell.
    Fell,
    /// Many are lost without a queue: a burst would tell why.
    Doubt,
}

/// What a burst is to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Question {
    #[default]
    Unasked,
    Asked(Micros),
    /// It is the rate, or nothing was heard.
    Guilty,
}

/// Counts fates and bounds the rate.
#[derive(Debug, Default)]
pub struct Losses {
    lost: u32,
    arrived: u32,
    since: Option<Micros>,
    smoothed: Option<f64>,
    /// Share that is lost whatever we send.
    inherent: f64,
    bound: Option<u64>,
    spell: Option<Spell>,
    question: Question,
}

impl Losses {
    /// The bound, while losses set one.
    pub fn bound(&self) -> Option<u64> {
        self.bound
    }

    /// Share of packets lost whatever is sent, 0..1.
    pub fn inherent(&self) -> f64 {
        self.inherent
    }

    /// Smoothed share of packets lost, 0..1.
    pub fn share(&self) -> f64 {
        self.smoothed.unwrap_or(0.0)
    }

    pub fn lost(&mut self) {
        self.lost = self.lost.saturating_add(1);
    }

    /// A packet came; `late` when it had been counted as lost.
    pub fn arrived(&mut self, late: bool) {
        self.arrived = self.arrived.saturating_add(1);
        self.lost = self.lost.saturating_sub(u32::from(late));
    }

    /// What was counted since the last look says nothing.
    pub fn pass_over(&mut self, now: Micros) {
        (self.lost, self.arrived, self.since) = (0, 0, Some(now));
    }

    /// A burst lost no more than all else.
    pub fn acquitted(&mut self) {
        match self.question {
            Question::Asked(_) if self.share() < MOST_INHERENT => {
                self.inherent = self.share();
                self.absolve();
            }
            _ => self.convicted(),
        }
    }

    /// A burst did not come through.
    pub fn convicted(&mut self) {
        if let Question::Asked(_) = self.question {
            self.question = Question::Guilty;
        }
    }

    fn absolve(&mut self) {
        (self.bound, self.spell) = (None, None);
        self.question = Question::Unasked;
    }

    /// Judge what was counted.  With `queued` a queue stands.
    pub fn judge(&mut self, flow: Flow, queued: bool, now: Micros) -> Verdict {
        let since = *self.since.get_or_insert(now);
        let (elapsed, packets) = (now.saturating_sub(since), self.lost + self.arrived);
        let enough = packets >= LEAST_PACKETS && elapsed >= LEAST_US;
        if !enough && (elapsed < MOST_US || packets == 0) {
            return Verdict::Calm;
        }
        let share = f64::from(self.lost) / f64::from(packets);
        (self.lost, self.arrived, self.since) = (0, 0, Some(now));
        let smoothed = self
            .smoothed
            .map_or(share, |old| (1.0 - NEW) * old + NEW * share);
        self.smoothed = Some(smoothed);
        self.inherent -= (self.inherent - smoothed).max(0.0) * FORGET;
        let ours = smoothed - self.inherent - self.chance(smoothed, packets);
        if ours > MANY {
            return match self.question {
                _ if queued => self.fall(flow, smoothed),
                Question::Unasked => {
                    self.question = Question::Asked(now);
                    Verdict::Doubt
                }
                Question::Asked(at) if now.saturating_sub(at) < ANSWER_US => Verdict::Calm,
                _ => self.fall(flow, smoothed),
            };
        }
        if ours < FEW {
            self.spell = None;
            self.question = Question::Unasked;
            let seconds = elapsed as f64 / SECOND as f64;
            let grown = |bound: u64| (bound as f64 * GROWTH.powf(seconds)) as u64;
            // Far above what is in force it bounds nothing.
            self.bound = self
                .bound
                .map(grown)
                .filter(|bound| *bound < flow.bps.saturating_mul(2));
        }
        Verdict::Calm
    }

    /// What chance may add to a smoothed share that ends with so many packets, once some of it is
    /// not ours: at the rate of sound alone a third more comes up every few seconds.
    fn chance(&self, smoothed: f64, packets: u32) -> f64 {
        if self.inherent == 0.0 {
            return 0.0;
        }
        let variance = smoothed * (1.0 - smoothed) / f64::from(packets.max(1));
        CHANCE * (variance * NEW / (2.0 - NEW)).sqrt()
    }

    /// A rate that was not used lost nothing: what counts is what was sent.
    fn fall(&mut self, flow: Flow, share: f64) -> Verdict {
        let bps = flow.bps.min(flow.sent);
        let spell = *self.spell.get_or_insert(Spell { bps, share });
        if bps < spell.bps / 10 * 6 {
            self.spell = None;
            if share >= FEWER * spell.share {
                self.inherent = share;
                self.absolve();
                return Verdict::Calm;
            }
        }
        let lower = (bps as f64 * (1.0 - 0.5 * share)) as u64;
        self.bound = Some(lower.max(flow.acked.min(bps)).clamp(MIN_BPS, MAX_BPS));
        Verdict::Fell
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    fn flow(bps: u64) -> Flow {
        let (sent, acked) = (bps, 0);
        Flow { bps, sent, acked }
    }

    /// Lose one of `every` packets for some seconds at 100 packets a second; the rate in the end.
    fn run(losses: &mut Losses, every: Option<u32>, bps: u64, from: Micros, seconds: u64) -> u64 {
        let mut bps = bps;
        for n in 0..seconds * 100 {
            match every {
                Some(every) if n as u32 % every == 0 => losses.lost(),
                _ => losses.arrived(false),
            }
            losses.judge(flow(bps), true, from + n * 10 * MS);
            bps = losses.bound().unwrap_or(bps);
        }
        bps
    }

    #[test]
    fn few_losses_change_nothing_and_many_lower_the_rate() {
        let mut losses = Losses::default();
        assert_eq!(run(&mut losses, Some(20), 1_000_000, 0, 10), 1_000_000);
        assert_eq!(losses.bound(), None);
        let lower = run(&mut losses, Some(5), 1_000_000, 10 * SECOND, 1);
        assert!(lower < 900_000, "{lower}");
    }

    #[test]
    fn losses_that_a_lower_rate_does_not_cure_do_not_keep_it_down() {
        let mut losses = Losses::default();
        let least = (0..60)
            .map(|s| run(&mut losses, Some(4), 1_000_000, s * SECOND, 1))
            .min();
        assert!(
            (450_000..=600_000).contains(&least.expect("sixty")),
            "{least:?}"
        );
        run(&mut losses, Some(4), 1_000_000, 60 * SECOND, 60);
        assert_eq!(losses.bound(), None);
        let lower = run(&mut losses, Some(2), 1_000_000, 120 * SECOND, 2);
        assert!(lower < 900_000, "more than before is ours: {lower}");
    }

    #[test]
    fn steady_losses_are_not_taken_for_more_by_chance() {
        for (seed, per_s) in [(1, 50), (2, 60), (3, 150), (4, 400)] {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut losses, mut least) = (Losses::default(), MAX_BPS);
            for n in 0..120 * per_s {
                match rng.random_bool(0.3) {
                    true => losses.lost(),
                    false => losses.arrived(false),
                }
                let bps = losses.bound().unwrap_or(MAX_BPS).min(3_000_000);
                losses.judge(flow(bps), true, n * SECOND / per_s);
                least = least.min(bps);
            }
            assert!(least > 500_000, "{least} at {per_s} packets a second");
        }
    }

    #[test]
    fn a_clean_path_lifts_the_bound_again() {
        let mut losses = Losses::default();
        let lower = run(&mut losses, Some(5), 1_000_000, 0, 3);
        let mut bound = Some(lower);
        for n in 0..6_000u64 {
            losses.arrived(false);
            losses.judge(flow(lower), true, 3 * SECOND + n * 10 * MS);
            bound = losses.bound();
        }
        assert_eq!(bound, None);
    }
}
