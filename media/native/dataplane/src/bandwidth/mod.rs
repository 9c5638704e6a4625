//! How much one transport's path carries, and what is sent because of it.
//!
//! A peer that reports when packets arrive (transport-wide feedback) is estimated here; one that
//! estimates by itself tells (REMB).  A peer that does neither is sent everything at once.
//!
//! Source: draft-ietf-rmcat-gcc-02; draft-alvestrand-rmcat-remb-03.

pub mod allocate;
pub mod assign;
pub mod history;
pub mod loss;
pub mod meter;
pub mod pacer;
pub mod pacing;
pub mod probe;
pub mod rate;
pub mod receiver;
pub mod report;
pub mod trend;

use crate::red::MAX_EARLIER;
use crate::types::{Micros, MS, SECOND};
use history::{History, News};
use loss::Losses;
use meter::Meter;
use pacer::Pacer;
use probe::{Lesson, Prober};
use rate::{Rate, Signals, MAX_BPS, MIN_BPS};
use receiver::Receiver;
use report::{Report, Status};
use trend::{Trend, Usage};

/// Where an estimate begins that nothing is known of.
const START_BPS: u64 = 300_000;
/// The first reports only say what arrives, unless they say that it is too much.
const WARM_US: Micros = 600 * MS;
/// Time over which rates are taken.
const WINDOW_US: Micros = 500 * MS;
/// A packet's way takes so much longer than the shortest known when a queue stands.
const STANDING_US: i64 = 180_000;
/// The shortest way is forgotten after one to two of these.
const BASE_US: Micros = 15 * SECOND;
/// Without a report for so long while sending, the estimate falls, again after each such time.
const SILENCE_US: Micros = 800 * MS;
/// Octets under way beyond what the estimate explains, as time, and at least.
const SPARE_US: Micros = 200 * MS;
const LEAST_WINDOW: u64 = 4_000;
/// Octets under way before the first report, for which is waited so long, and what every octet
/// that arrives adds while nothing else is known: a slow start.
const FIRST_WINDOW: u64 = LEAST_WINDOW;
const FIRST_WAIT_US: Micros = SECOND;
/// Least pacing rate meanwhile.
const FIRST_PACE_BPS: u64 = 5_000_000;
/// Growing delays are a queue of ours when even the fastest packet of a report is so late.
const QUEUED_US: i64 = 25_000;
/// Pacing rate in tenths of the estimate.
const PACING_TENTHS: u64 = 25;
/// After a fall nobody gets more for this long; twice as long if a rise caused it, up to the most.
const UNEASY_US: (Micros, Micros) = (SECOND, 16 * SECOND);
/// A fall so soon after a rise is because of it.
const BLAME_US: Micros = 8 * SECOND;

/// What a packet carries, as far as its path cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    Audio,
    Video,
    /// Repeats, control.
    Other,
}

/// Shortest of recent values, forgotten by halves.
#[derive(Debug, Default)]
struct Shortest {
    now: Option<i64>,
    before: Option<i64>,
    turned: Micros,
}

impl Shortest {
    fn take(&mut self, value: i64, now: Micros) -> i64 {
        if now.saturating_sub(self.turned) > BASE_US {
            self.before = self.now.take();
            self.turned = now;
        }
        let newest = self.now.map_or(value, |known| known.min(value));
        self.now = Some(newest);
        self.before.map_or(newest, |known| known.min(newest))
    }
}

/// Everything known of one transport's path.
#[derive(Debug)]
pub struct Bandwidth {
    history: History,
    trend: Trend,
    rate: Rate,
    losses: Losses,
    pub(crate) prober: Prober,
    pub(crate) pacer: Pacer,
    /// What arrived, by the receiver's clock, and the same and lost packets by when they were sent.
    acked: Meter,
    reported: Meter,
    audio: Meter,
    /// Of that, what was sent along of earlier sound, and whether more would have been.
    along: Meter,
    cut: bool,
    receiver: Receiver,
    /// Everything written.
    out: Meter,
    /// When the first numbered packet went out, and octets that arrived since.
    first_sent: Option<Micros>,
    delivered: u64,
    first_report: Option<Micros>,
    last_report: Micros,
    last_sent: Micros,
    warm: bool,
    /// Unwrapped reference time of the last report, in 64 ms.
    reference: Option<i64>,
    /// One-way delay on two clocks, and time from sending to report.
    ways: Shortest,
    turns: Shortest,
    turn_us: Micros,
    standing_us: i64,
    fell: Option<Micros>,
    rose: Option<Micros>,
    uneasy_us: Micros,
    /// Estimate when the path was last shared out, and since when pictures cost more than it.
    shared_bps: u64,
    misfit: Option<Micros>,
}

impl Default for Bandwidth {
    fn default() -> Self {
        Bandwidth {
            history: History::default(),
            trend: Trend::default(),
            rate: Rate::new(START_BPS),
            losses: Losses::default(),
            prober: Prober::default(),
            pacer: Pacer::default(),
            acked: Meter::default(),
            reported: Meter::default(),
            audio: Meter::default(),
            along: Meter::default(),
            cut: false,
            receiver: Receiver::default(),
            out: Meter::default(),
            first_sent: None,
            delivered: 0,
            first_report: None,
            last_report: 0,
            last_sent: 0,
            warm: false,
            reference: None,
            ways: Shortest::default(),
            turns: Shortest::default(),
            turn_us: 0,
            standing_us: 0,
            fell: None,
            rose: None,
            uneasy_us: UNEASY_US.0,
            shared_bps: 0,
            misfit: None,
        }
    }
}

/// What one report said in all.
#[derive(Default)]
struct Round {
    newest_sent: Option<Micros>,
    newest_arrived: i64,
    shortest_way: Option<i64>,
}

impl Bandwidth {
    /// Whether the peer says anything of its path.
    pub fn known(&self) -> bool {
        self.first_report.is_some() || self.receiver.known()
    }

    /// Whether pictures may have to wait.  Those for a peer that numbers packets do until its
    /// first report, but not long: it may never send one.
    pub fn paces(&self, numbered: bool, now: Micros) -> bool {
        self.known() || numbered && self.starting(now) || !self.pacer.is_empty()
    }

    fn starting(&self, now: Micros) -> bool {
        let early = |at: Micros| now.saturating_sub(at) < FIRST_WAIT_US;
        !self.known() && self.first_sent.is_none_or(early)
    }

    /// Bits per second the path carries; `None` when the peer says nothing of it.
    pub fn estimate(&self, now: Micros) -> Option<u64> {
        match self.first_report {
            Some(_) => Some(self.bounded()),
            None => self.receiver.bps(now),
        }
    }

    /// The estimate as it is shown to people; a receiver's is shown as it said it.
    pub fn shown(&self) -> u64 {
        match self.first_report {
            Some(_) => self.bounded(),
            None => self.receiver.said().unwrap_or(0),
        }
    }

    fn bounded(&self) -> u64 {
        let bound = self.losses.bound().unwrap_or(MAX_BPS);
        self.rate.bps().min(bound).clamp(MIN_BPS, MAX_BPS)
    }

    /// Whether the estimate is good enough to give and take pictures by.
    pub fn settled(&self) -> bool {
        self.warm || self.first_report.is_none() && self.receiver.known()
    }

    /// Whether somebody may get more.
    pub fn calm(&self, now: Micros) -> bool {
        let recent = |at: Micros| now.saturating_sub(at) < self.uneasy_us;
        self.standing_us < STANDING_US / 2 && !self.fell.is_some_and(recent)
    }

    /// Somebody got more.
    pub fn raised(&mut self, now: Micros) {
        self.rose = Some(now);
    }

    /// Whether pictures that do not fit may keep what they have for now: they had it, the estimate
    /// did not fall, and they have cost too much for less than `patience`.
    pub fn tolerates(
        &mut self,
        misfit: bool,
        estimate: u64,
        patience: Micros,
        now: Micros,
    ) -> bool {
        let before = std::mem::replace(&mut self.shared_bps, estimate);
        let fell = estimate < before || before == 0;
        if !misfit || fell {
            self.misfit = None;
            return false;
        }
        let since = *self.misfit.get_or_insert(now);
        now.saturating_sub(since) < patience
    }

    /// Bits per second of sound.
    pub fn audio_bps(&mut self, now: Micros) -> u64 {
        self.audio.bps(SECOND, now).unwrap_or(0)
    }

    /// Bits per second of sound by itself.
    fn plain_bps(&mut self, now: Micros) -> u64 {
        let along = self.along.bps(SECOND, now).unwrap_or(0);
        self.audio_bps(now).saturating_sub(along)
    }

    /// How many of `frames` earlier frames may go along with each packet of sound: those for which
    /// there is room beside the sound itself.  A narrow path that is sent more loses more.
    pub fn room_along(&mut self, frames: usize, now: Micros) -> usize {
        let Some(estimate) = self.estimate(now).filter(|_| self.settled() && frames > 0) else {
            return frames;
        };
        let plain = self.plain_bps(now).max(1);
        let room = estimate.saturating_sub(plain) / plain;
        let fit = usize::try_from(room).map_or(frames, |room| room.min(frames));
        self.cut |= fit < frames;
        fit
    }

    /// Earlier sound went along, so many octets.
    pub fn sent_along(&mut self, octets: usize, now: Micros) {
        self.along.add(octets as u64, now);
    }

    /// Estimate at which all earlier sound could go along; 0 when it does.
    pub fn wished_along(&mut self, now: Micros) -> u64 {
        match std::mem::take(&mut self.cut) {
            true => self.plain_bps(now).saturating_mul(MAX_EARLIER as u64 + 1),
            false => 0,
        }
    }

    /// A packet was written; `seq` is its transport-wide number if it has one.
    pub fn sent(&mut self, seq: Option<u16>, octets: usize, load: Load, now: Micros) {
        if let Some(seq) = seq {
            let cluster = self.prober.cluster();
            self.history.push(seq, octets as u32, cluster, now);
            self.prober.sent(octets as u64);
            self.first_sent.get_or_insert(now);
        }
        if load == Load::Audio {
            self.audio.add(octets as u64, now);
        }
        if self.known() {
            self.pacer.spend(octets as u64);
            self.last_sent = now;
        }
        self.out.add(octets as u64, now);
    }

    /// Take a receiver's own estimate.  The peer's word, and so only within bounds.
    pub fn on_remb(&mut self, bps: u64, now: Micros) -> bool {
        let sent = self.out.bps(SECOND, now).unwrap_or(0);
        self.receiver.take(bps.clamp(MIN_BPS, MAX_BPS), sent, now)
    }

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
            self.judge_losses(now);
            return self.note(before, now);
        };
        let turn = now.saturating_sub(newest_sent);
        self.turn_us = self.turns.take(turn as i64, now).max(0) as Micros;
        if let Some(way) = round.shortest_way {
            self.standing_us = way - self.ways.take(way, now);
        }
        let signals = self.signals(newest_sent, round.newest_arrived, now);
        if !self.warm {
            self.warm_up(&signals, now);
        } else {
            self.rate.adjust(&signals, now);
        }
        self.judge_losses(now);
        self.learn(now);
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
            let way = at - sent.at as i64;
            let shortest = round.shortest_way.map_or(way, |known| known.min(way));
            round.shortest_way = Some(shortest);
        }
    }

    fn signals(&mut self, newest_sent: Micros, newest_arrived: i64, now: Micros) -> Signals {
        let usage = match self.trend.usage() {
            Usage::Normal if self.standing_us > STANDING_US => Usage::Over,
            Usage::Over if self.standing_us < QUEUED_US => Usage::Under,
            Usage::Normal if self.standing_us > STANDING_US / 3 => Usage::Under,
            usage => usage,
        };
        Signals {
            usage,
            acked: self.acked.bps(WINDOW_US, newest_arrived.max(0) as Micros),
            sent: self.reported.bps(WINDOW_US, newest_sent),
            rtt: self.turn_us,
            probing: self.prober.busy(now),
        }
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

    fn judge_losses(&mut self, now: Micros) {
        let bps = self.bounded();
        self.losses.judge(bps, now);
    }

    fn learn(&mut self, now: Micros) {
        let lost = self.losses.inherent();
        match self.prober.read(self.bounded(), lost, now) {
            Some(Lesson::Held(bps) | Lesson::Bounded(bps)) if bps > self.rate.bps() => {
                self.rate.set(bps, now);
            }
            _ => {}
        }
    }

    /// Compare the estimate with what it was.  Whether it fell.
    fn note(&mut self, before: u64, now: Micros) -> bool {
        let fell = self.bounded() < before;
        if fell {
            let (first, longest) = UNEASY_US;
            let blamed = self.rose.take_if(|at| now.saturating_sub(*at) < BLAME_US);
            self.uneasy_us = match blamed {
                Some(_) => (2 * self.uneasy_us).min(longest),
                None if self.fell.is_none_or(|at| now.saturating_sub(at) > longest) => first,
                None => self.uneasy_us,
            };
            self.fell = Some(now);
            self.prober.abandon(now);
        }
        fell
    }

    /// Let time pass.  Whether the estimate fell.
    pub fn tick(&mut self, now: Micros) -> bool {
        self.history.expire(now);
        self.prober.tick(now);
        let silence = SILENCE_US.max(3 * self.turn_us);
        let unanswered = self.last_sent > self.last_report;
        let silent = now.saturating_sub(self.last_report) > silence;
        if self.first_report.is_none() || !unanswered || !silent {
            return false;
        }
        let before = self.bounded();
        self.last_report = now;
        self.warm = true;
        self.rate.set(before / 10 * 7, now);
        self.note(before, now)
    }

    /// Probe when more could be used than is known to be there.
    pub fn probe(&mut self, wished_bps: u64, now: Micros) {
        let estimate = self.bounded();
        let useful = wished_bps > estimate && self.first_report.is_some() && self.warm;
        let clear = self.trend.usage() == Usage::Normal && self.standing_us < STANDING_US / 3;
        if useful && clear && self.pacer.is_empty() {
            let goal = wished_bps / 10 * 11;
            let bps = goal.clamp(estimate / 10 * 13, estimate.saturating_mul(2));
            self.prober.begin(bps, now);
        }
    }

    /// Let the bucket fill.
    pub fn refill(&mut self, now: Micros) {
        let estimate = self.estimate(now).unwrap_or(MAX_BPS);
        let rate = match self.prober.bps() {
            Some(bps) => bps,
            None => estimate.saturating_mul(PACING_TENTHS) / 10,
        };
        let rate = match self.settled() {
            true => rate,
            false => rate.max(FIRST_PACE_BPS),
        };
        self.pacer.refill(rate, now);
    }

    /// Whether a picture may go out now: there is credit, and not too much is under way.
    pub fn open(&self, now: Micros) -> bool {
        self.pacer.open() && self.history.flying() <= self.window(now)
    }

    /// Octets that may be under way.
    fn window(&self, now: Micros) -> u64 {
        match self.first_report {
            Some(_) if !self.warm && self.standing_us > QUEUED_US => return LEAST_WINDOW / 4,
            Some(_) if !self.warm => return FIRST_WINDOW + self.delivered,
            None if self.starting(now) => return FIRST_WINDOW,
            None => return u64::MAX,
            Some(_) => {}
        }
        let time = self.turn_us + SPARE_US;
        (self.bounded().saturating_mul(time) / (8 * SECOND)).max(LEAST_WINDOW)
    }

    /// How long a picture's packet that comes now has to wait.
    pub fn wait_us(&self) -> Micros {
        self.pacer.backlog_us()
    }

    /// Whether pictures are to be dropped rather than to wait.
    pub fn full(&mut self, now: Micros) -> bool {
        self.known() && self.pacer.full(now)
    }
}
