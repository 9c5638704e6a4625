//! How much one transport's path carries, and what is sent because of it.
//!
//! A peer that reports when packets arrive (transport-wide feedback) is estimated here; one that
//! estimates by itself tells (REMB).  A peer that does neither is sent everything at once.
//!
//! Source: draft-ietf-rmcat-gcc-02; draft-alvestrand-rmcat-remb-03.

pub mod allocate;
pub mod assign;
pub mod delays;
pub mod history;
pub mod learning;
pub mod loss;
pub mod meter;
pub mod pacer;
pub mod pacing;
pub mod probe;
pub mod rate;
pub mod receiver;
pub mod report;
pub mod spare;
pub mod trend;

use crate::bundle::CROWDED;
use crate::red::MAX_EARLIER;
use crate::types::{Micros, MS, SECOND};
use delays::Delays;
use history::History;
use loss::Losses;
use meter::Meter;
use pacer::Pacer;
use probe::Prober;
use rate::{Rate, MAX_BPS, MIN_BPS};
use receiver::Receiver;
use spare::Spare;
use trend::{Trend, Usage};

/// Where an estimate begins that nothing is known of.
const START_BPS: u64 = 1_000_000;
/// A queue of this length stands.
const STANDING_US: i64 = 150_000;
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
/// Growing delays are a queue of ours when it is so long and less arrives than is sent.
const QUEUED_US: i64 = 25_000;
/// Octets of IP and UDP around each packet: sound is a third of them.
const WRAPPED: usize = 28;
/// Pictures that cost so much more than there is, in percent, are not tolerated for a moment.
const TOO_MUCH: u64 = 150;
/// Pacing rate in tenths of the estimate.
const PACING_TENTHS: u64 = 25;
/// After a fall nobody gets more for this long; twice as long if a rise caused it, up to the most.
const UNEASY_US: (Micros, Micros) = (SECOND, 4 * SECOND);
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

/// Everything known of one transport's path.
#[derive(Debug)]
pub struct Bandwidth {
    history: History,
    trend: Trend,
    rate: Rate,
    losses: Losses,
    pub(crate) prober: Prober,
    pub(crate) pacer: Pacer,
    /// What is left for single pictures.
    pub(crate) spare: Spare,
    /// What arrived, by the receiver's clock, and the same and lost packets by when they were sent.
    acked: Meter,
    reported: Meter,
    audio: Meter,
    /// Of that, what was sent along of earlier sound, and whether more would have been.
    along: Meter,
    cut: bool,
    bundles: bool,
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
    delays: Delays,
    /// Since when a queue stands.
    standing: Option<Micros>,
    /// Time from sending to report.
    turn_us: Micros,
    fell: Option<Micros>,
    /// When the path was last found to have become far narrower.
    choked: Option<Micros>,
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
            spare: Spare::default(),
            acked: Meter::default(),
            reported: Meter::default(),
            audio: Meter::default(),
            along: Meter::default(),
            cut: false,
            bundles: false,
            receiver: Receiver::default(),
            out: Meter::default(),
            first_sent: None,
            delivered: 0,
            first_report: None,
            last_report: 0,
            last_sent: 0,
            warm: false,
            reference: None,
            delays: Delays::default(),
            standing: None,
            turn_us: 0,
            fell: None,
            choked: None,
            rose: None,
            uneasy_us: UNEASY_US.0,
            shared_bps: 0,
            misfit: None,
        }
    }
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
        self.delays.queue_us() < STANDING_US / 2 && !self.fell.is_some_and(recent)
    }

    /// Whether a single picture may go before others wait.
    pub fn idle(&self) -> bool {
        let queue = self.delays.queue_us();
        self.pacer.is_empty() && self.settled() && queue < STANDING_US / 3
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
        cost: u64,
        estimate: u64,
        patience: Micros,
        now: Micros,
    ) -> bool {
        let before = std::mem::replace(&mut self.shared_bps, estimate);
        let fell = estimate < before || before == 0;
        if !misfit || fell || cost > estimate / 100 * TOO_MUCH {
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

    /// Whether sound goes in bundles.
    pub fn bundles(&self) -> bool {
        self.bundles
    }

    /// Decide that: by itself it would take most of a path before which something waits already.
    pub fn weigh_sound(&mut self, estimate: u64, now: Micros) {
        let sound = self.plain_bps(now).saturating_mul(100);
        let (above, below) = CROWDED;
        self.bundles = match self.bundles {
            true => sound > estimate.saturating_mul(below),
            false => {
                sound > estimate.saturating_mul(above) && self.delays.queue_us() > STANDING_US / 3
            }
        };
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
        let octets = octets + WRAPPED;
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
        let queue = self.delays.queue_us();
        let clear = self.trend.usage() != Usage::Over && queue < STANDING_US / 3;
        if useful && clear && self.pacer.is_empty() {
            let goal = wished_bps / 10 * 11;
            let most = if self.prober.lucky() { 3 } else { 2 };
            let bps = goal.clamp(estimate / 10 * 13, estimate.saturating_mul(most));
            self.prober.begin(bps, now);
        }
    }

    /// Let the bucket fill.
    pub fn refill(&mut self, now: Micros) {
        let estimate = self.estimate(now).unwrap_or(MAX_BPS);
        let rate = match (self.prober.bps(), self.spare.pace_bps()) {
            (Some(bps), _) => bps,
            (None, Some(bps)) => bps,
            (None, None) => estimate.saturating_mul(PACING_TENTHS) / 10,
        };
        let rate = match self.settled() {
            true => rate,
            false => rate.max(FIRST_PACE_BPS),
        };
        self.pacer.refill(rate, now);
    }

    /// Whether a picture may go out now: there is credit, and not too much is under way.
    pub fn open(&self, now: Micros) -> bool {
        self.pacer.open() && self.history.flying() <= self.window(now) && !self.hinders(now)
    }

    /// Whether a single picture would lengthen a queue in which sound waits, as far as is known now.
    fn hinders(&self, now: Micros) -> bool {
        let known = now.saturating_sub(self.last_report) < SILENCE_US / 2;
        self.spare.pace_bps().is_some() && known && self.delays.queue_us() > STANDING_US / 2
    }

    /// Octets that may be under way.
    fn window(&self, now: Micros) -> u64 {
        match self.first_report {
            Some(_) if !self.warm && self.delays.queue_us() > QUEUED_US => return LEAST_WINDOW / 4,
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
