//! Whether queues on the way grow, from how arrivals spread compared with departures.
//!
//! Source: draft-ietf-rmcat-gcc-02 sections 5.1, 5.2 and 5.4, with a least-squares line through
//! the smoothed delays of the last groups in the place of the Kalman filter of section 5.3.

use std::collections::VecDeque;

use crate::types::{Micros, MS};

/// Packets sent within this time are one group (section 5.2).
const BURST_US: i64 = 5_000;
/// Groups the line goes through.
const WINDOW: usize = 20;
/// Groups before there is a line.
const LEAST: usize = 5;
/// Weight of the past in a smoothed delay.
const SMOOTHING: f64 = 0.9;
/// A slope counts by how many groups stand behind it, up to so many, ...
const FULL_WEIGHT: f64 = 60.0;
/// ... and this turns it into the milliseconds of the threshold.
const GAIN: f64 = 4.0;
const FIRST_THRESHOLD_MS: f64 = 12.5;
const THRESHOLD_MS: (f64, f64) = (6.0, 600.0);
/// A deviation so far beyond the threshold does not move it.
const OUTLIER_MS: f64 = 15.0;
const RISE: f64 = 0.0087;
const FALL: f64 = 0.039;
/// Over-use must last for so long.
const SUSTAINED_MS: f64 = 10.0;
/// A delay that grows by so much from one group to the next is another way or a stalled one and no
/// queue that fills, unless it does again so soon.
const JUMP_US: (i64, i64) = (80_000, 1_000_000);
/// A pause of the clock or the sender longer than this starts anew.
const PAUSE_US: i64 = 3_000_000;

/// What the delays say of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Usage {
    #[default]
    Normal,
    Over,
    Under,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: i64,
    last_sent: i64,
    last_arrived: i64,
}

/// Delay gradient of one path.
#[derive(Debug)]
pub struct Trend {
    current: Option<Group>,
    previous: Option<Group>,
    /// (arrival in ms, smoothed delay in ms).
    points: VecDeque<(f64, f64)>,
    groups: usize,
    delay_ms: f64,
    smoothed_ms: f64,
    threshold_ms: f64,
    before_ms: f64,
    over_ms: f64,
    overs: u32,
    jumped: Option<i64>,
    usage: Usage,
}

impl Default for Trend {
    fn default() -> Self {
        Trend {
            current: None,
            previous: None,
            points: VecDeque::with_capacity(WINDOW + 1),
            groups: 0,
            delay_ms: 0.0,
            smoothed_ms: 0.0,
            threshold_ms: FIRST_THRESHOLD_MS,
            before_ms: 0.0,
            over_ms: 0.0,
            overs: 0,
            jumped: None,
            usage: Usage::Normal,
        }
    }
}

impl Trend {
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Take one packet's times, microseconds on either side's own clock, in order of sending.
    pub fn packet(&mut self, sent: Micros, arrived: i64) {
        let sent = sent as i64;
        let Some(group) = &mut self.current else {
            self.open(sent, arrived);
            return;
        };
        if sent < group.first_sent {
            return;
        }
        let spread = arrived - group.last_arrived;
        let with_it = sent - group.first_sent <= BURST_US
            || (spread <= BURST_US && spread < sent - group.last_sent);
        if with_it {
            group.last_sent = group.last_sent.max(sent);
            group.last_arrived = group.last_arrived.max(arrived);
            return;
        }
        let whole = *group;
        let before = self.previous.replace(whole);
        self.open(sent, arrived);
        if let Some(before) = before {
            self.compare(&before, &whole);
        }
    }

    fn open(&mut self, sent: i64, arrived: i64) {
        self.current = Some(Group {
            first_sent: sent,
            last_sent: sent,
            last_arrived: arrived,
        });
    }

    /// Section 5.1: how much later than its predecessor a group came than it was sent.
    fn compare(&mut self, before: &Group, group: &Group) {
        let sent = group.last_sent - before.last_sent;
        let arrived = group.last_arrived - before.last_arrived;
        if !(0..=PAUSE_US).contains(&arrived) || sent > PAUSE_US {
            let threshold_ms = self.threshold_ms;
            *self = Trend {
                threshold_ms,
                current: self.current,
                ..Trend::default()
            };
            return;
        }
        let (jump, again) = JUMP_US;
        let at = group.last_arrived;
        if arrived - sent > jump && self.jumped.is_none_or(|last| at - last > again) {
            self.jumped = Some(at);
            return;
        }
        let ms = |us: i64| us as f64 / MS as f64;
        self.groups += 1;
        self.delay_ms += ms(arrived - sent);
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.delay_ms;
        self.points
            .push_back((ms(group.last_arrived), self.smoothed_ms));
        if self.points.len() > WINDOW {
            self.points.pop_front();
        }
        if self.points.len() >= LEAST {
            let weight = (self.groups as f64).min(FULL_WEIGHT);
            let trend_ms = slope(&self.points) * weight * GAIN;
            self.judge(trend_ms, ms(sent), ms(arrived));
        }
    }

    /// Section 5.4.
    fn judge(&mut self, trend_ms: f64, sent_ms: f64, arrived_ms: f64) {
        if trend_ms > self.threshold_ms {
            self.over_ms += if self.overs == 0 {
                sent_ms / 2.0
            } else {
                sent_ms
            };
            self.overs += 1;
            if self.over_ms > SUSTAINED_MS && self.overs > 1 && trend_ms >= self.before_ms {
                self.usage = Usage::Over;
            }
        } else {
            self.over_ms = 0.0;
            self.overs = 0;
            self.usage = match trend_ms < -self.threshold_ms {
                true => Usage::Under,
                false => Usage::Normal,
            };
        }
        self.before_ms = trend_ms;
        let beyond = trend_ms.abs() - self.threshold_ms;
        if beyond <= OUTLIER_MS {
            let speed = if beyond < 0.0 { FALL } else { RISE };
            let (least, most) = THRESHOLD_MS;
            self.threshold_ms += speed * beyond * arrived_ms.min(100.0);
            self.threshold_ms = self.threshold_ms.clamp(least, most);
        }
    }
}

/// Slope of the least-squares line; 0 when all points have one abscissa.
fn slope(points: &VecDeque<(f64, f64)>) -> f64 {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|p| p.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|p| p.1).sum::<f64>() / count;
    let over: f64 = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
    let under: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    if under > 0.0 {
        over / under
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    /// Send a packet every 20 ms; each is `extra_us(n)` later than the path is long.
    fn run(
        trend: &mut Trend,
        from: u64,
        count: u64,
        mut extra_us: impl FnMut(u64) -> i64,
    ) -> Vec<Usage> {
        (from..from + count)
            .map(|n| {
                let sent = n * 20 * MS;
                trend.packet(sent, 1_000_000 + sent as i64 + extra_us(n));
                trend.usage()
            })
            .collect()
    }

    #[test]
    fn a_queue_that_grows_is_over_use_and_one_that_empties_is_under_use() {
        let mut trend = Trend::default();
        let calm = run(&mut trend, 0, 100, |_| 0);
        assert!(calm.iter().all(|u| *u == Usage::Normal));
        let grows = run(&mut trend, 100, 30, |n| (n as i64 - 99) * 5_000);
        assert!(grows.contains(&Usage::Over));
        let empties = run(&mut trend, 130, 60, |n| (155 - n as i64).max(0) * 5_000);
        assert!(empties.contains(&Usage::Under));
        let calm = run(&mut trend, 200, 200, |_| 0);
        assert_eq!(calm.last(), Some(&Usage::Normal));
    }

    #[test]
    fn jitter_is_rarely_over_use() {
        for seed in 0..5 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut trend = Trend::default();
            let found = run(&mut trend, 0, 2_000, |_| rng.random_range(0..30_000));
            let over = found.iter().filter(|u| **u == Usage::Over).count();
            assert!(over < 100, "seed {seed}: {over} of 2000");
        }
    }

    #[test]
    fn reordered_packets_and_a_pause_are_survived() {
        let mut trend = Trend::default();
        for (sent, arrived) in [
            (0, 0),
            (40, 45),
            (20, 50),
            (60, 40),
            (10_000, 9_000),
            (10_020, -5),
        ] {
            trend.packet(sent * MS, arrived * MS as i64);
        }
        assert_eq!(trend.usage(), Usage::Normal);
    }
}
