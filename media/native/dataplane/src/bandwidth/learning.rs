//! What a report of arrivals teaches: queues, losses, what bursts found, and the rate after all that.

use super::history::News;
use super::loss::{Flow, Verdict};
use super::probe::Lesson;
use super::rate::Signals;
use super::report::{Report, Status};
use super::trend::Usage;
use super::{Bandwidth, QUEUED_US, STANDING_US};
use crate::types::{Micros, MS, SECOND};

/// The first reports only say what arrives, unless they say that it is too much.
const WARM_US: Micros = 600 * MS;
/// Time over which rates are taken.
const WINDOW_US: Micros = 500 * MS;
/// Something is done about a queue that stands for so long.
const STOOD_US: Micros = 2 * SECOND;
/// Growing delays are a queue of ours when it is so long, whatever arrives.
const FIRM_US: i64 = 80_000;
/// A path that became so many times narrower than what is sent brings too few packets for a trend.
const CHOKED: u64 = 4;
/// Losses so soon after that are of what was sent before.
const SETTLES_US: Micros = 1_500 * MS;
/// As much arrives as is sent, in percent.
const WHOLE: u64 = 92;
/// Share of losses beyond the usual that a line may have for a step of its delay to be believed.
const FEW: f64 = 0.25;
/// A burst that is to tell about losses has so many times the rate of all else.
const DOUBTFUL: u64 = 2;

/// What one report said in all.
#[derive(Default)]
struct Round {
    newest_sent: Option<Micros>,
    newest_arrived: i64,
}

impl Bandwidth {
    /// Take a report.  Whether the estimate fell.
    pub fn on_report(&mut self, report: &Report<'_>, now: Micros) -> bool {
        let before = self.bounded();
        self.first_report.get_or_insert(now);
        self.last_report = now;
        let zero = self.unwrap_reference(report.reference);
        self.history.sweep(report.base);
        let mut round = Round::default();
        for (seq, status) in report.packets() {
            self.on_status(seq, status, zero, &mut round);
        }
        let Some(newest_sent) = round.newest_sent else {
            self.judge_losses(None, now);
            return self.note(before, now);
        };
        self.turn_us = now.saturating_sub(newest_sent);
        let signals = self.signals(newest_sent, round.newest_arrived, now);
        if !self.warm {
            self.warm_up(&signals, now);
        } else {
            self.rate.adjust(&signals, now);
        }
        self.learn(now);
        self.judge_losses(signals.acked, now);
        self.note(before, now)
    }

    /// Microseconds to add to a report's times so that they never wrap.
    fn unwrap_reference(&mut self, reference: u32) -> i64 {
        let ahead = match self.reference {
            None => i64::from(reference) + (1 << 24),
            Some(last) => {
                let delta = (reference.wrapping_sub(last as u32) << 8) as i32 >> 8;
                last + i64::from(delta)
            }
        };
        self.reference = Some(ahead.max(1 << 23));
        (ahead - i64::from(reference)) * 64_000
    }

    fn on_status(&mut self, seq: u16, status: Status, zero: i64, round: &mut Round) {
        let Some(news) = self.history.learn(seq, status != Status::Lost) else {
            return;
        };
        let News::Arrived { sent, late } = news else {
            self.losses.lost();
            return;
        };
        self.losses.arrived(late);
        self.delivered += u64::from(sent.octets);
        self.reported.add(u64::from(sent.octets), sent.at);
        let newest = round.newest_sent.map_or(sent.at, |at| at.max(sent.at));
        round.newest_sent = Some(newest);
        if let Status::At(at) = status {
            let at = at.saturating_add(zero);
            self.acked.add(u64::from(sent.octets), at.max(0) as Micros);
            match sent.cluster {
                0 => self.trend.packet(sent.at, at),
                cluster => {
                    let octets = u64::from(sent.octets);
                    self.prober.arrived(cluster, octets, sent.at, at);
                }
            }
            round.newest_arrived = round.newest_arrived.max(at);
            self.delays.packet(at - sent.at as i64, at);
        }
    }

    fn signals(&mut self, newest_sent: Micros, newest_arrived: i64, now: Micros) -> Signals {
        let acked = self.acked.bps(WINDOW_US, newest_arrived.max(0) as Micros);
        let sent = self.reported.bps(WINDOW_US, newest_sent);
        let whole = acked >= sent.map(|sent| sent / 100 * WHOLE);
        let few = self.losses.share() - self.losses.inherent() < FEW;
        self.delays.report(whole && few, now);
        let queue = self.delays.queue_us();
        let since = self.standing.filter(|_| queue > STANDING_US).unwrap_or(now);
        self.standing = (queue > STANDING_US).then_some(since);
        let stood = now.saturating_sub(since) > STOOD_US;
        let queued = queue > if whole { FIRM_US } else { QUEUED_US };
        let choked = queue > STANDING_US && self.choked(acked, now);
        let usage = match self.trend.usage() {
            _ if stood || choked => Usage::Over,
            Usage::Over if !queued => Usage::Under,
            Usage::Normal if queue > STANDING_US / 3 => Usage::Under,
            usage => usage,
        };
        Signals {
            usage,
            acked,
            sent,
            rtt: self.turn_us,
            stood,
        }
    }

    /// Whether almost nothing arrives of what is sent; not of what was sent before the last fall.
    fn choked(&mut self, acked: Option<u64>, now: Micros) -> bool {
        let out = self.out.bps(WINDOW_US, now);
        let since = self.fell.map_or(Micros::MAX, |at| now.saturating_sub(at));
        let choked = since > 2 * WINDOW_US && acked.map(|acked| CHOKED * acked) < out;
        self.choked = if choked { Some(now) } else { self.choked };
        choked
    }

    /// Until something is known: what arrives is what the path carries, unless it is less than
    /// what was sent.
    fn warm_up(&mut self, signals: &Signals, now: Micros) {
        let began = self.first_report.unwrap_or(now);
        self.warm = now.saturating_sub(began) >= WARM_US.max(2 * self.turn_us);
        let Some(acked) = signals.acked else {
            return;
        };
        let held_back = signals.sent.is_some_and(|sent| acked < sent / 10 * 7);
        if signals.usage == Usage::Over || held_back {
            self.warm = true;
            self.rate.set(acked / 100 * 85, now);
        } else if acked > self.rate.bps() {
            self.rate.set(acked, now);
        }
    }

    fn judge_losses(&mut self, acked: Option<u64>, now: Micros) {
        if (self.choked).is_some_and(|at| now.saturating_sub(at) < SETTLES_US) {
            return self.losses.pass_over(now);
        }
        let bps = self.bounded();
        let flow = Flow {
            bps,
            sent: self.out.bps(WINDOW_US, now).unwrap_or(bps),
            acked: acked.unwrap_or(0),
        };
        let queued = self.delays.queue_us() > QUEUED_US;
        if self.losses.judge(flow, queued, now) == Verdict::Doubt {
            self.prober.ask(DOUBTFUL * flow.sent, now);
        }
    }

    fn learn(&mut self, now: Micros) {
        self.prober.spread(self.delays.spread_us() as Micros);
        let lesson = self.prober.read(self.bounded(), self.losses.share(), now);
        match lesson {
            Some(Lesson::Held(_)) => self.losses.acquitted(),
            Some(Lesson::Bounded(_)) => self.losses.convicted(),
            None => {}
        }
        match lesson {
            Some(Lesson::Held(bps) | Lesson::Bounded(bps)) if bps > self.rate.bps() => {
                self.rate.set(bps, now);
            }
            _ => {}
        }
    }
}
