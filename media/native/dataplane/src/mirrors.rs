//! A source on workers on which its packets do not arrive.
//!
//! A transport lives on one worker.  A source is mirrored on every other worker that has a sink
//! for it: its packets, decrypted once, cross by reference and are kept in the mirror's own cache,
//! so that joining, switching and repair there need nobody else.  Only wishes go back.

use std::sync::Arc;

use crate::cache::Packet;
use crate::congestion::Shedding;
use crate::crossing::{Crossing, Mirror, Note, Rank};
use crate::engine::Engine;
use crate::source::{Home, KeyframeStart, Source};
use crate::telling::Dependency;
use crate::transport::Binding;
use crate::types::{Kind, Micros, SourceConfig, SECOND};

/// A mirror that feeds nobody for this long is taken down.
const UNUSED_US: Micros = 2 * SECOND;

/// A mirror being fed.
#[derive(Clone, Debug)]
pub struct Feed {
    pub mirror: Mirror,
    layers: Vec<FedLayer>,
}

/// What a mirror does not get of a layer while its queue is full, and whether the layer has begun
/// anew since it was given something.
#[derive(Clone, Debug, Default)]
struct FedLayer {
    shedding: Shedding,
    fresh: bool,
}

impl Engine {
    // ---- where the viewers are ---------------------------------------------------------------

    /// Stand in for a source that lives on another worker.
    pub(crate) fn add_mirror(
        &mut self,
        id: u32,
        worker: u8,
        config: SourceConfig,
        now: Micros,
    ) -> Option<()> {
        if let Some(&key) = self.tables.source_keys.get(&id) {
            self.tables.sources.get_mut(key)?.used = now;
            return Some(());
        }
        let home = Home::Elsewhere(worker);
        let mut source = Source::new(id, home, config, self.limits.cache_packets);
        let token = self.crossings.token();
        source.token = token;
        source.used = now;
        let key = self.tables.sources.insert(source);
        self.tables.source_keys.insert(id, key);
        self.tables.mirrors.insert(token, key);
        let note = Note::Feed { source: id, token };
        self.crossings.note(worker, note);
        Some(())
    }

    /// The source behind a mirror is gone.
    pub(crate) fn drop_mirror(&mut self, id: u32) -> Option<()> {
        let key = self.tables.source_keys.get(&id);
        let source = key.and_then(|key| self.tables.sources.get(*key));
        if source.is_some_and(|source| source.transport().is_none()) {
            self.drop_source(id);
        }
        Some(())
    }

    /// Take down mirrors that feed nobody.
    pub(crate) fn tick_mirrors(&mut self, now: Micros) {
        let mut unused = Vec::new();
        for key in self.tables.mirrors.values() {
            let Some(source) = self.tables.sources.get_mut(*key) else {
                continue;
            };
            if !source.sinks.is_empty() {
                source.used = now;
            } else if now.saturating_sub(source.used) >= UNUSED_US {
                unused.push(source.id);
            }
        }
        for id in unused {
            self.drop_source(id);
        }
    }

    /// A mirror is gone: its source need not feed it.
    pub(crate) fn cease(&mut self, source: &Source) {
        let Home::Elsewhere(worker) = source.home else {
            return;
        };
        let token = source.token;
        self.tables.mirrors.remove(&token);
        let source = source.id;
        self.crossings.note(worker, Note::Unfeed { source, token });
    }

    pub(crate) fn mirror(&mut self, token: u64) -> Option<usize> {
        let found = self.tables.mirrors.get(&token).copied();
        self.counters.drop_crossing_stale += u64::from(found.is_none());
        found
    }

    pub(crate) fn take_mirrored(
        &mut self,
        token: u64,
        layer: usize,
        packet: Arc<Packet>,
        more: bool,
        fresh: bool,
        now: Micros,
    ) {
        let Some(source) = self.mirror(token) else {
            return;
        };
        if fresh {
            self.restart(source, layer);
        }
        let index = packet.index;
        let kept = self.keep_mirrored(source, layer, packet).is_some();
        if kept && !more {
            self.fan_out(source, layer, index, now);
        }
    }

    /// A mirrored layer begins anew under another SSRC.
    fn restart(&mut self, source: usize, layer: usize) {
        let found = self.tables.sources.get_mut(source);
        if let Some(held) = found.and_then(|source| source.layers.get_mut(layer)) {
            held.begin_anew();
        }
        let repair = false;
        self.unfeed(Binding {
            source,
            layer,
            repair,
        });
    }

    /// Keep a packet of a source that lives elsewhere, unless it is late or was here before.
    fn keep_mirrored(&mut self, key: usize, layer: usize, packet: Arc<Packet>) -> Option<()> {
        let source = self.tables.sources.get_mut(key)?;
        source.codec = Some(packet.codec);
        let held = source.layers.get_mut(layer)?;
        let index = packet.index;
        let known = held.cache.get(index).is_some();
        let late = held
            .highest
            .is_some_and(|highest| index + held.cache.reach() <= highest);
        self.counters.drop_duplicate += u64::from(known);
        self.counters.drop_late += u64::from(late && !known);
        if known || late {
            return None;
        }
        held.highest = Some(held.highest.map_or(index, |highest| highest.max(index)));
        let dependency = packet.dependency.as_ref().map(Dependency::octets);
        let at = (index, packet.timestamp);
        let (reading, _) = held.read(packet.codec, &packet.payload, dependency, at);
        held.came(packet.place.needed, packet.payload.len(), packet.arrived);
        if packet.keyframe_start {
            let start = KeyframeStart {
                index,
                timestamp: packet.timestamp,
                arrived: packet.arrived,
            };
            held.follow_keyframe(start, reading.heights);
        }
        let timestamp = packet.timestamp;
        held.cache.share(packet);
        held.find_single(timestamp);
        Some(())
    }

    pub(crate) fn set_clock(
        &mut self,
        token: u64,
        layer: usize,
        report: Option<(u64, u32)>,
        offset: Option<i64>,
    ) {
        let key = self.mirror(token);
        let Some(source) = key.and_then(|key| self.tables.sources.get_mut(key)) else {
            return;
        };
        source.clock_offset = offset;
        if let Some(layer) = source.layers.get_mut(layer) {
            layer.report = report;
        }
    }

    /// Wish for a key frame of a source that lives on another worker.
    pub(crate) fn ask_across(&mut self, source_key: usize, layer: usize, now: Micros) {
        let Some(source) = self.tables.sources.get_mut(source_key) else {
            return;
        };
        let (Home::Elsewhere(worker), id) = (source.home, source.id) else {
            return;
        };
        let asked = source.layers.get_mut(layer).is_some_and(|l| l.may_ask(now));
        if asked {
            let source = id;
            self.crossings.note(worker, Note::Ask { source, layer });
        }
    }

    // ---- where the packets arrive ------------------------------------------------------------

    /// Feed a mirror: first all that a viewer could start from, then what comes.
    pub(crate) fn begin_feed(&mut self, id: u32, mirror: Mirror) {
        let key = self.tables.source_keys.get(&id);
        let Some(source) = key.and_then(|key| self.tables.sources.get_mut(*key)) else {
            return;
        };
        let layers = vec![FedLayer::default(); source.layers.len()];
        source.feeds.push(Feed { mirror, layers });
        let Mirror { token, worker } = mirror;
        for (layer, held) in source.layers.iter().enumerate() {
            let source = id;
            let note = Note::Clock {
                source,
                token,
                layer,
            };
            self.crossings.note(worker, note);
            let range = held.keyframe.map(|k| k.index).zip(held.highest);
            let newest = range.into_iter().flat_map(|(first, last)| first..=last);
            let newest: Vec<_> = newest
                .filter_map(|index| held.cache.shared(index))
                .collect();
            let count = newest.len();
            let limit = self.limits.max_crossing;
            if !self.crossings.room(worker, Rank::First, count, limit) {
                self.counters.drop_crossing_video += count as u64;
                continue;
            }
            for (at, packet) in newest.into_iter().enumerate() {
                let crossing = Crossing::Packet {
                    token,
                    layer,
                    packet: packet.clone(),
                    more: at + 1 < count,
                    fresh: false,
                };
                self.crossings.push(worker, crossing);
            }
            self.counters.crossed_packets += count as u64;
        }
    }

    pub(crate) fn end_feed(&mut self, source: u32, mirror: Mirror) {
        let key = self.tables.source_keys.get(&source);
        if let Some(source) = key.and_then(|key| self.tables.sources.get_mut(*key)) {
            source.feeds.retain(|feed| feed.mirror != mirror);
        }
    }

    /// Send a packet just put into a layer's cache to the source's mirrors.
    pub(crate) fn feed_mirrors(&mut self, source_key: usize, layer: usize, index: u64) {
        let Some(source) = self.tables.sources.get_mut(source_key) else {
            return;
        };
        let video = source.config.kind == Kind::Video;
        let held = source.layers.get(layer);
        let Some(packet) = held.and_then(|held| held.cache.shared(index)) else {
            return;
        };
        let limit = self.limits.max_crossing;
        let rank = if video { Rank::Pictures } else { Rank::Sound };
        for feed in &mut source.feeds {
            let Mirror { token, worker } = feed.mirror;
            let Some(fed) = feed.layers.get_mut(layer) else {
                continue;
            };
            let full = !self.crossings.room(worker, rank, 1, limit);
            if video && fed.shedding.drops(packet.timestamp, full) {
                self.counters.drop_crossing_video += 1;
                continue;
            }
            if full {
                self.counters.drop_crossing_audio += 1;
                continue;
            }
            let crossing = Crossing::Packet {
                token,
                layer,
                packet: packet.clone(),
                more: false,
                fresh: std::mem::take(&mut fed.fresh),
            };
            self.crossings.push(worker, crossing);
            self.counters.crossed_packets += 1;
        }
    }

    /// A layer has begun anew under another SSRC: mirrors learn it with its next packet.
    pub(crate) fn refresh_mirrors(&mut self, binding: Binding) {
        let source = self.tables.sources.get_mut(binding.source);
        let feeds = source.into_iter().flat_map(|source| &mut source.feeds);
        for fed in feeds.filter_map(|feed| feed.layers.get_mut(binding.layer)) {
            // Its timestamps are no continuation either.
            let shedding = Shedding::default();
            *fed = FedLayer {
                shedding,
                fresh: true,
            };
        }
    }

    /// Tell a source's mirrors something; `make` says what, from the source's id and the token.
    pub(crate) fn tell_mirrors(&mut self, source_key: usize, make: impl Fn(u32, u64) -> Note) {
        let Some(source) = self.tables.sources.get(source_key) else {
            return;
        };
        for feed in &source.feeds {
            let Mirror { token, worker } = feed.mirror;
            self.crossings.note(worker, make(source.id, token));
        }
    }

    /// A source that feeds the mirror with this token.
    pub(crate) fn fed(&self, source: u32, token: u64) -> Option<&Source> {
        let key = self.tables.source_keys.get(&source)?;
        let source = self.tables.sources.get(*key)?;
        let fed = source.feeds.iter().any(|feed| feed.mirror.token == token);
        fed.then_some(source)
    }

    /// What a mirror is to know of a layer's time.
    pub(crate) fn clock(&self, source: u32, token: u64, layer: usize) -> Option<Crossing> {
        let source = self.fed(source, token)?;
        let report = source.layers.get(layer)?.report;
        let transport = self.tables.transports.get(source.transport()?)?;
        let offset = transport.clock_offset;
        Some(Crossing::Clock {
            token,
            layer,
            report,
            offset,
        })
    }
}
