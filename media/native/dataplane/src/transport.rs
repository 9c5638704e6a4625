//! One peer: its ICE credentials, verified paths, SRTP keys and streams, and what waits for it.

use aws_lc_rs::hmac;
use hashbrown::HashMap;

use crate::bandwidth::Bandwidth;
use crate::contexts::Contexts;
use crate::counters::TransportStats;
use crate::ext::Ids;
use crate::guard::Intake;
use crate::reception::Reception;
use crate::srtp::Protection;
use crate::stun::{integrity_key, Message, TransactionId};
use crate::twcc::Arrivals;
use crate::types::{Micros, Path, TransportConfig, MS};

/// Verified paths kept per transport (Safari sends from several).
pub const MAX_PATHS: usize = 8;

/// Round trip assumed until one is measured.
pub const ASSUMED_RTT_US: Micros = 100 * MS;

/// Which layer of which source an SSRC carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Slab key of the source.
    pub source: usize,
    pub layer: usize,
    /// Retransmissions (RFC 4588) of that layer.
    pub repair: bool,
}

/// One authenticated incoming SSRC.
#[derive(Default)]
pub struct Stream {
    pub binding: Option<Binding>,
    pub reception: Reception,
}

/// A packet in a source's cache that waits to be written for a sink (slab keys).
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    pub sink: usize,
    pub source: usize,
    pub layer: usize,
    pub index: u64,
}

/// A path on which a check of the peer's was authenticated.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    pub path: Path,
    /// When something authentic last came on it.
    pub heard: Micros,
}

/// Our credentials before an ICE restart, good until a check with the new ones comes.
pub struct Former {
    pub ufrag: String,
    pub key: hmac::Key,
}

/// A connectivity check we sent and have no answer to.
#[derive(Clone, Copy)]
pub struct Check {
    pub transaction: TransactionId,
    pub path: Path,
    pub sent: Micros,
}

pub struct Transport {
    pub id: u32,
    pub config: TransportConfig,
    pub local_key: hmac::Key,
    pub remote_key: hmac::Key,
    pub tie_breaker: u64,
    pub ids: Ids,
    /// Verified, oldest first.
    pub paths: Vec<Verified>,
    pub in_use: Option<Path>,
    pub nominated: bool,
    /// The stream that takes no pictures for now.
    pub stalled: Option<Path>,
    pub former: Option<Former>,
    pub checks: Vec<Check>,
    pub next_check: Micros,
    pub rx: Option<Protection>,
    pub tx: Option<Protection>,
    pub streams: Contexts<Stream>,
    pub rtcp_windows: Contexts<()>,
    /// Next SRTCP index for all our SSRCs together.
    pub rtcp_index: u32,
    /// SSRC of our reports and feedback.
    pub reporter: u32,
    pub arrivals: Arrivals,
    pub next_feedback: Micros,
    pub next_report: Micros,
    /// Pictures waiting for company, in order of arrival.
    pub pending: Vec<Pending>,
    /// Slab keys.
    pub sources: Vec<usize>,
    pub sinks: Vec<usize>,
    /// Outgoing SSRC to (sink's slab key, whether it is the sink's repair SSRC).
    pub sink_by_ssrc: HashMap<u32, (usize, bool)>,
    /// Next packet index of every SSRC ever sent with these keys: an index is never used again.
    pub next_index: HashMap<u32, u64>,
    pub twcc_seq: u16,
    /// What its path carries.
    pub bandwidth: Bandwidth,
    pub last_heard: Option<Micros>,
    /// When a check of ours was last answered; only who is controlling sends any.
    pub answered: Option<Micros>,
    pub silent: bool,
    /// The peer no longer consents to be sent anything but checks.
    pub withheld: bool,
    pub intake: Intake,
    pub rtt_us: Option<Micros>,
    /// The round trip as repairs tell it, where no receiver reports do.
    repair_us: Option<Micros>,
    /// Our wall clock minus the peer's, microseconds.
    pub clock_offset: Option<i64>,
    pub stats: TransportStats,
}

impl Transport {
    pub fn new(id: u32, config: TransportConfig, tie_breaker: u64, reporter: u32) -> Self {
        Transport {
            id,
            local_key: integrity_key(&config.local_pwd),
            remote_key: integrity_key(&config.remote_pwd),
            tie_breaker,
            ids: Ids::new(&config.extensions),
            paths: Vec::new(),
            in_use: None,
            nominated: false,
            stalled: None,
            former: None,
            checks: Vec::new(),
            next_check: 0,
            rx: None,
            tx: None,
            streams: Contexts::default(),
            rtcp_windows: Contexts::default(),
            rtcp_index: 0,
            reporter,
            arrivals: Arrivals::default(),
            next_feedback: 0,
            next_report: 0,
            pending: Vec::new(),
            sources: Vec::new(),
            sinks: Vec::new(),
            sink_by_ssrc: HashMap::new(),
            next_index: HashMap::new(),
            twcc_seq: 0,
            bandwidth: Bandwidth::default(),
            last_heard: None,
            answered: None,
            silent: false,
            withheld: false,
            intake: Intake::default(),
            rtt_us: None,
            repair_us: None,
            clock_offset: None,
            stats: TransportStats::default(),
            config,
        }
    }

    /// Where to send, while the peer consents to be sent anything (RFC 7675).
    pub fn way(&self) -> Option<Path> {
        self.in_use.filter(|_| !self.withheld)
    }

    /// The key of a check made with the credentials of before a restart, if it is.
    pub fn former_key(&self, message: &Message<'_>) -> Option<&hmac::Key> {
        let (ours, _) = message.ufrags()?;
        let former = self.former.as_ref().filter(|former| former.ufrag == ours);
        former.map(|former| &former.key)
    }

    /// Whether, being the one who checks, it has had no answer for longer than `limit`.
    pub fn unanswered(&self, limit: Micros, now: Micros) -> bool {
        let late = |at: Micros| now.saturating_sub(at) > limit;
        self.config.controlling && self.answered.is_some_and(late)
    }

    pub fn verified(&mut self, path: Path) -> Option<&mut Verified> {
        self.paths.iter_mut().find(|verified| verified.path == path)
    }

    pub fn heard_on(&self, path: Path) -> Option<Micros> {
        let mut known = self.paths.iter();
        known
            .find(|verified| verified.path == path)
            .map(|v| v.heard)
    }

    /// Whether its path is a stream that takes no pictures for now.
    pub fn stalls(&self) -> bool {
        self.stalled.is_some() && self.stalled == self.in_use
    }

    pub fn rtt(&self) -> Micros {
        self.rtt_us.or(self.repair_us).unwrap_or(ASSUMED_RTT_US)
    }

    /// Take the time from a request to its answer.  The answerer may have had to wait for the
    /// packet itself, so what is shorter is nearer the truth.
    pub fn repaired(&mut self, took: Micros) {
        self.repair_us = Some(match self.repair_us {
            Some(mean) if took > mean => (15 * mean + took.min(4 * mean)) / 16,
            _ => took,
        });
    }

    /// Take a measured round trip, smoothed by an eighth.
    pub fn measured(&mut self, rtt: Micros) {
        self.rtt_us = Some(match self.rtt_us {
            None => rtt,
            Some(mean) => (7 * mean + rtt) / 8,
        });
    }
}
