//! The rate that the delays allow: up by a little while they are calm, down at once when they grow.
//!
//! Source: draft-ietf-rmcat-gcc-02 section 5.5 (rate control).

use super::trend::Usage;
use crate::types::{Micros, MS, SECOND};

pub const MIN_BPS: u64 = 10_000;
pub const MAX_BPS: u64 = 1_000_000_000;

/// What is kept of the acknowledged rate when a queue grows.
const DECREASE: f64 = 0.85;
/// Growth per second far from the last known ceiling.
const GROWTH: f64 = 1.08;
/// Slowest growth near it, bits per second and second.
const LEAST_GROWTH: f64 = 4_000.0;
/// A receiver may say that more arrives than was asked for by so much: the ceiling of growth.
const HEADROOM: f64 = 1.5;
const HEADROOM_BPS: f64 = 10_000.0;
/// Weight of a new ceiling in the mean of ceilings.
const NEW: f64 = 0.05;
/// Shortest and longest pause between two decreases.
const PAUSE_US: (Micros, Micros) = (100 * MS, 300 * MS);

/// What the estimator knows when it adjusts the rate.
#[derive(Clone, Copy, Debug)]
pub struct Signals {
    pub usage: Usage,
    /// What arrives, bits per second.
    pub acked: Option<u64>,
    /// What was sent over the same time, bits per second.
    pub sent: Option<u64>,
    pub rtt: Micros,
    /// A queue has stood for long, whoever's it is.
    pub stood: bool,
}

/// Mean of the rates at which queues began to grow, and its variance relative to the mean.
#[derive(Clone, Copy, Debug)]
struct Ceiling {
    mean: f64,
    variance: f64,
}

impl Ceiling {
    fn spread(&self) -> f64 {
        3.0 * (self.variance * self.mean).sqrt()
    }

    fn near(&self, bps: f64) -> bool {
        (bps - self.mean).abs() <= self.spread()
    }

    fn take(known: Option<Ceiling>, bps: f64) -> Ceiling {
        let Some(old) = known.filter(|old| old.near(bps)) else {
            return Ceiling {
                mean: bps,
                variance: 0.4e3,
            };
        };
        let mean = (1.0 - NEW) * old.mean + NEW * bps;
        let error = (mean - bps).powi(2) / mean.max(1.0);
        let variance = (1.0 - NEW) * old.variance + NEW * error;
        Ceiling {
            mean,
            variance: variance.clamp(0.4e3, 2.5e3),
        }
    }
}

/// Additive increase, multiplicative decrease.
#[derive(Debug)]
pub struct Rate {
    bps: f64,
    ceiling: Option<Ceiling>,
    adjusted: Option<Micros>,
    decreased: Option<Micros>,
}

impl Rate {
    pub fn new(bps: u64) -> Self {
        Rate {
            bps: bps as f64,
            ceiling: None,
            adjusted: None,
            decreased: None,
        }
    }

    pub fn bps(&self) -> u64 {
        self.bps as u64
    }

    /// Something else knows better: a probe, or the first moments.
    pub fn set(&mut self, bps: u64, now: Micros) {
        self.bps = bps.clamp(MIN_BPS, MAX_BPS) as f64;
        self.adjusted = Some(now);
    }

    /// Follow the delays.  Whether the rate fell.
    pub fn adjust(&mut self, signals: &Signals, now: Micros) -> bool {
        let before = self.adjusted.replace(now).unwrap_or(now);
        match signals.usage {
            Usage::Over => self.decrease(signals, now),
            // The queue empties: let it.
            Usage::Under => false,
            Usage::Normal => {
                self.increase(signals, now.saturating_sub(before).min(SECOND));
                false
            }
        }
    }

    fn increase(&mut self, signals: &Signals, elapsed: Micros) {
        let acked = signals.acked.map(|bps| bps as f64);
        // Rate that is not used proves nothing; probes raise it then.
        if signals
            .sent
            .is_some_and(|sent| (sent as f64) < 0.75 * self.bps)
        {
            return;
        }
        if let (Some(ceiling), Some(acked)) = (self.ceiling, acked) {
            if acked > ceiling.mean + ceiling.spread() {
                self.ceiling = None;
            }
        }
        let seconds = elapsed as f64 / SECOND as f64;
        let grown = match self.ceiling.filter(|ceiling| ceiling.near(self.bps)) {
            Some(_) => self.bps + seconds * self.additive(signals.rtt),
            None => self.bps * GROWTH.powf(seconds),
        };
        let most = acked.map_or(f64::MAX, |acked| HEADROOM * acked + HEADROOM_BPS);
        self.bps = grown.min(most.max(self.bps)).min(MAX_BPS as f64);
    }

    /// About one packet per response time, the packet being one of a picture 30 times a second.
    fn additive(&self, rtt: Micros) -> f64 {
        let picture = self.bps / 30.0;
        let packets = (picture / (1_200.0 * 8.0)).ceil().max(1.0);
        let response = (rtt + 100 * MS) as f64 / SECOND as f64;
        (picture / packets / response).max(LEAST_GROWTH)
    }

    fn decrease(&mut self, signals: &Signals, now: Micros) -> bool {
        let (least, most) = PAUSE_US;
        let pause = signals.rtt.clamp(least, most);
        if self
            .decreased
            .is_some_and(|at| now.saturating_sub(at) < pause)
        {
            return false;
        }
        let acked = signals.acked.map_or(self.bps, |bps| bps as f64);
        let sent = signals.sent.map_or(acked, |bps| bps as f64);
        // All that is sent arrives, and less is sent than may be: the queue is hardly ours.
        let innocent = acked >= 0.9 * sent && acked < 0.7 * self.bps;
        if innocent && !signals.stood {
            return false;
        }
        let target = match innocent {
            true => (DECREASE * self.bps).max(acked),
            false => DECREASE * acked,
        };
        if !innocent {
            self.ceiling = Some(Ceiling::take(self.ceiling, acked));
        }
        let lower = target.max(MIN_BPS as f64);
        if lower >= self.bps {
            return false;
        }
        self.bps = lower;
        self.decreased = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals(usage: Usage, acked: u64, sent: u64) -> Signals {
        Signals {
            usage,
            acked: Some(acked),
            sent: Some(sent),
            rtt: 50 * MS,
            stood: false,
        }
    }

    #[test]
    fn over_use_falls_to_a_little_below_what_arrives_and_not_twice_at_once() {
        let mut rate = Rate::new(1_000_000);
        let over = signals(Usage::Over, 300_000, 1_000_000);
        assert!(rate.adjust(&over, SECOND));
        assert_eq!(rate.bps(), 255_000);
        assert!(!rate.adjust(&over, SECOND + 50 * MS));
        assert!(!rate.adjust(&over, SECOND + 500 * MS), "already below");
    }

    #[test]
    fn growth_needs_use_and_is_bounded_by_what_arrives() {
        let mut rate = Rate::new(1_000_000);
        for at in 0..600 {
            rate.adjust(&signals(Usage::Normal, 300_000, 300_000), at * 100 * MS);
        }
        assert_eq!(rate.bps(), 1_000_000, "unused rate proves nothing");
        for at in 600..1_200 {
            rate.adjust(&signals(Usage::Normal, 800_000, 1_000_000), at * 100 * MS);
        }
        assert!(
            (1_150_000..=1_210_000).contains(&rate.bps()),
            "{}",
            rate.bps()
        );
    }

    #[test]
    fn a_queue_of_somebody_else_costs_nothing_unless_it_stays_and_little_then() {
        let mut rate = Rate::new(2_000_000);
        let mut over = signals(Usage::Over, 150_000, 150_000);
        assert!(!rate.adjust(&over, SECOND));
        over.stood = true;
        assert!(rate.adjust(&over, 2 * SECOND));
        assert_eq!(rate.bps(), 1_700_000);
    }

    #[test]
    fn near_a_known_ceiling_growth_is_slow() {
        let mut rate = Rate::new(1_100_000);
        rate.adjust(&signals(Usage::Over, 1_000_000, 1_100_000), 0);
        rate.set(990_000, 0);
        rate.adjust(&signals(Usage::Normal, 990_000, 990_000), SECOND);
        assert!(rate.bps() < 1_070_000, "{}", rate.bps());
    }
}
