//! The machine: datagrams, operations and time in; batches and events out.
//!
//! This file holds the state and the doors.  What a door leads to is in the file named after it:
//! `ice`, `ingress`, `fanout`, `feedback`, `follow`, `repair`, `reports`, `routing`,
//! `strain`.

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use crate::bandwidth::assign;
use crate::batch::{Batch, Gathering, Open, Ready};
use crate::congestion::Congestion;
use crate::counters::{Counters, Stats};
use crate::crossing::Crossings;
use crate::demux::{classify, Class};
use crate::guard::Guard;
use crate::levels;
use crate::sink::Allowed;
use crate::table::Tables;
use crate::types::{Codec, Event, Limits, Micros, Op, Path, MS};

/// Slow timers: ICE, silence, feedback, reports, layers.
const SLOW_TICK_US: Micros = 50 * MS;
/// Retransmission requests, while anything is missing.
const FAST_TICK_US: Micros = 10 * MS;
/// Events kept for a driver that does not read them.
const MAX_EVENTS: usize = 65_536;

pub struct Engine {
    pub(crate) limits: Limits,
    pub(crate) tables: Tables,
    pub(crate) ready: Ready,
    pub(crate) open: Open,
    pub(crate) gathering: Gathering,
    /// Transports with pictures that wait for room on their path.
    pub(crate) pacing: Gathering,
    pub(crate) congestion: Congestion,
    pub(crate) crossings: Crossings,
    /// Slab keys of transports whose waiting packets are to be written.
    pub(crate) due: VecDeque<usize>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) counters: Counters,
    pub(crate) rng: StdRng,
    pub(crate) guard: Guard,
    /// Unix time in microseconds when the monotonic clock was zero.
    pub(crate) wall_us: u64,
    /// (source, layer) slab keys with something missing.
    pub(crate) lossy: Vec<(usize, usize)>,
    /// Steps by which all pictures are lower, 0..=3.
    pub(crate) strain: u8,
    next_slow: Micros,
    next_fast: Micros,
    next_levels: Micros,
    next_sharing: Micros,
}

impl Engine {
    /// `wall_us` is the Unix time, in microseconds, at which the driver's clock was zero.
    pub fn new(limits: Limits, seed: u64, wall_us: u64) -> Self {
        Engine {
            limits,
            tables: Tables::default(),
            ready: Ready::default(),
            open: Open::default(),
            gathering: Gathering::default(),
            pacing: Gathering::default(),
            congestion: Congestion::default(),
            crossings: Crossings::default(),
            due: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            rng: StdRng::seed_from_u64(seed),
            guard: Guard::new(seed),
            wall_us,
            lossy: Vec::new(),
            strain: 0,
            next_slow: 0,
            next_fast: 0,
            next_levels: 0,
            next_sharing: 0,
        }
    }

    /// Take a datagram off a socket.  It is decrypted in place.
    pub fn receive(&mut self, data: &mut [u8], path: Path, now: Micros) {
        self.counters.packets_in += 1;
        self.counters.bytes_in += data.len() as u64;
        self.take(data, path, now);
        self.bound_control();
        self.announce();
    }

    /// A datagram of this worker's, or handed over by another.
    pub(crate) fn take(&mut self, data: &mut [u8], path: Path, now: Micros) {
        match classify(data) {
            Class::Rtp => self.on_srtp(data, path, now),
            Class::Rtcp => self.on_srtcp(data, path, now),
            Class::Stun => self.on_stun(data, path, now),
            Class::Dtls => self.on_dtls(data, path, now),
            Class::Unknown => self.counters.drop_unknown += 1,
            Class::Short => self.counters.drop_short += 1,
        }
    }

    /// Count a datagram the driver could not take whole.
    pub fn oversize(&mut self) {
        self.counters.packets_in += 1;
        self.counters.drop_oversize += 1;
    }

    /// Carry out an operation.  The driver has checked ids; an unknown one is counted.
    pub fn apply(&mut self, op: Op, now: Micros) {
        // What waits was taken in under the routes and paths that may now change.
        self.drain_all(now);
        let done = match op {
            Op::AddTransport(id, config) => self.add_transport(id, *config, now),
            Op::SetKeys {
                transport,
                profile,
                rx,
                tx,
            } => self.set_keys(transport, profile, &rx, &tx),
            Op::SendDtls(transport, datagram) => self.send_dtls(transport, &datagram),
            Op::DropTransport(id) => self.drop_transport(id),
            Op::RestartIce(id, credentials) => self.restart_ice(id, *credentials, now),
            Op::Redirect(id, path) => self.redirect(id, path, now),
            Op::Stalled(path) => self.stalled(path, true),
            Op::Flowing(path) => self.stalled(path, false),
            Op::PathGone(path) => self.path_gone(path),
            Op::Elsewhere { ufrag, worker } => self.set_elsewhere(ufrag, worker),
            Op::Mirror {
                source,
                worker,
                config,
            } => self.add_mirror(source, worker, *config, now),
            Op::DropMirror(source) => self.drop_mirror(source),
            Op::AddSource(id, config) => self.add_source(id, *config),
            Op::DropSource(id) => self.drop_source(id),
            Op::AddSink(id, config) => self.add_sink(id, *config),
            Op::DropSink(id) => self.drop_sink(id),
            Op::Route { sink, source } => self.route(sink, source, now),
            Op::RequestKeyframe(source) => self.request_keyframe(source, now),
            Op::Want { sink, want } => self.want(sink, want, now),
            Op::Strain(level) => self.set_strain(level, now),
        };
        if done.is_none() {
            self.counters.drop_unknown_op += 1;
        }
        self.announce();
    }

    /// The next batch to send, if any.  Batches are written as they are asked for, so that what
    /// is sent next is still in the processor's cache.
    pub fn poll_transmit(&mut self, now: Micros) -> Option<Batch> {
        loop {
            if let Some(batch) = self.ready.pop() {
                return Some(batch);
            }
            let key = self.due.pop_front()?;
            self.drain(key, now);
        }
    }

    /// Give a sent batch's buffer back.
    pub fn recycle(&mut self, octets: Vec<u8>) {
        self.ready.recycle(octets);
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn tell(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        } else {
            self.counters.drop_events_full += 1;
        }
    }

    pub(crate) fn random_u32(&mut self) -> u32 {
        self.rng.next_u32()
    }

    pub(crate) fn random_u64(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// When `tick` is next worth calling.
    pub fn deadline(&self) -> Option<Micros> {
        let slow = (!self.tables.transports.is_empty()).then_some(self.next_slow);
        let fast = (!self.lossy.is_empty()).then_some(self.next_fast);
        [
            slow,
            fast,
            self.gathering.deadline(),
            self.pacing.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Let time pass: flush what has gathered, run what is due.
    pub fn tick(&mut self, now: Micros) {
        self.flush(now);
        if now >= self.next_fast {
            self.next_fast = now + FAST_TICK_US;
            self.ask_for_losses(now);
        }
        if now >= self.next_slow {
            self.next_slow = now + SLOW_TICK_US;
            self.tick_transports(now);
            self.tick_mirrors(now);
            self.tick_sources(now);
        }
        if now >= self.next_sharing {
            self.next_sharing = now + assign::EVERY_US;
            self.tick_bandwidth(now);
        }
        if now >= self.next_levels {
            self.next_levels = now + levels::INTERVAL_US;
            self.tell_levels();
        }
        self.bound_control();
        self.announce();
    }

    /// Let go of packets whose gathering time is over.
    pub fn flush(&mut self, now: Micros) {
        while let Some(key) = self.gathering.pop_due(now) {
            self.due.push_back(key);
        }
        self.wake_paced(now);
    }

    fn tick_transports(&mut self, now: Micros) {
        let keys: Vec<usize> = self.tables.transports.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.tick_ice(key, now);
            self.tick_feedback(key, now);
            self.tick_reports(key, now);
        }
    }

    fn tell_levels(&mut self) {
        let levels: Vec<(u32, i32)> = self
            .tables
            .sources
            .iter_mut()
            .filter_map(|(_, source)| source.level.told().map(|dbov| (source.id, dbov)))
            .collect();
        if !levels.is_empty() {
            self.tell(Event::Levels(levels));
        }
    }

    /// The newest whole key frame of a source's highest layer that has one.
    pub fn keyframe(&self, source: u32) -> Option<(Codec, Vec<u8>)> {
        let key = *self.tables.source_keys.get(&source)?;
        let source = self.tables.sources.get(key)?;
        source.layers.iter().rev().find_map(|l| l.whole.clone())
    }

    /// A snapshot of every counter.
    pub fn stats(&self) -> Stats {
        let mut engine = self.counters.clone();
        engine.transports_now = self.tables.transports.len() as u64;
        engine.sources_now = (self.tables.sources.len() - self.tables.mirrors.len()) as u64;
        engine.sinks_now = self.tables.sinks.len() as u64;
        let transports = self.tables.transports.iter().map(|(_, transport)| {
            let mut stats = transport.stats.clone();
            stats.rtt_us_now = transport.rtt_us.unwrap_or(0);
            stats.paths_now = transport.paths.len() as u64;
            stats.ssrcs_now = transport.streams.len() as u64;
            let path = &transport.bandwidth;
            stats.estimate_bps_now = path.shown();
            stats.queue_us_now = path.wait_us();
            stats.probes = path.prober.count;
            (transport.id, stats)
        });
        let all = self.tables.sources.iter().map(|(_, source)| source);
        let (ours, mirrors): (Vec<_>, Vec<_>) = all.partition(|s| s.transport().is_some());
        let mirrors = mirrors
            .iter()
            .map(|source| (source.id, source.sinks.len() as u64));
        let sources = ours.iter().map(|source| {
            let mut stats = source.stats.clone();
            stats.layers_now = source.layers.iter().filter(|l| l.ssrc.is_some()).count() as u64;
            stats.layer_now = source.best as u64;
            stats.sinks_now = source.sinks.len() as u64;
            (source.id, stats, source.codec)
        });
        let sinks = self.tables.sinks.iter().map(|(_, sink)| {
            let mut stats = sink.stats.clone();
            stats.waiting_now = u64::from(sink.wanted.is_some());
            stats.layer_now = sink.live.map_or(0, |epoch| epoch.layer as u64 + 1);
            stats.paused_now = u64::from(sink.given == Allowed::Paused && sink.wanted.is_some());
            let album = sink.given == Allowed::Thumbnails && sink.wanted.is_some();
            stats.thumbnails_now = u64::from(album);
            stats.lowered_now = u64::from(sink.lowered);
            (sink.id, stats)
        });
        Stats {
            engine,
            transports: transports.collect(),
            sources: sources.collect(),
            sinks: sinks.collect(),
            mirrors: mirrors.collect(),
        }
    }
}
