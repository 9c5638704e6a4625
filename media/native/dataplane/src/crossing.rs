//! What workers say to each other: packets of a source, wishes for key frames, and datagrams that
//! arrived at the wrong one.
//!
//! A transport lives on one worker.  A source is mirrored on every other worker that has a sink
//! for it: its packets, decrypted once, cross by reference and are kept in the mirror's own cache,
//! so that joining, switching and repair there need nobody else.  Only wishes go back.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::cache::Packet;
use crate::congestion::Shedding;
use crate::engine::Engine;
use crate::source::{Home, Source};
use crate::stun::{Message, BINDING_REQUEST};
use crate::table::{Held, Owner};
use crate::transport::Binding;
use crate::types::{Kind, Micros, Path, SourceConfig, SECOND};

/// A mirror that feeds nobody for this long is taken down.
const UNUSED_US: Micros = 2 * SECOND;

/// A mirror: the worker it is on, and a number that no other mirror there ever has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirror {
    pub worker: u8,
    pub token: u64,
}

/// One message between workers.
#[derive(Debug)]
pub enum Crossing {
    /// Begin, or cease, to feed a mirror of a source that lives where this goes.
    Feed {
        source: u32,
        mirror: Mirror,
    },
    Unfeed {
        source: u32,
        mirror: Mirror,
    },
    /// A packet for the mirror with this token.  While `more` follow of those that came before it
    /// was fed, nobody starts from them.
    Packet {
        token: u64,
        layer: usize,
        packet: Arc<Packet>,
        more: bool,
    },
    /// The layer has a new SSRC: whom it fed waits for its next start.
    Restart {
        token: u64,
        layer: usize,
    },
    /// The layer's sender ended it.
    Ended {
        token: u64,
        layer: usize,
    },
    /// For sender reports: the layer's last, and our clock minus its sender's, microseconds.
    Clock {
        token: u64,
        layer: usize,
        report: Option<(u64, u32)>,
        offset: Option<i64>,
    },
    /// A key frame is wished for.
    Ask {
        source: u32,
        layer: usize,
    },
    /// A datagram that arrived at the wrong worker.
    Datagram {
        data: Vec<u8>,
        path: Path,
    },
    /// How a worker holds a verified path, if it still does.
    Path {
        path: Path,
        worker: u8,
        held: Held,
    },
}

/// A mirror being fed, and what it does not get while its queue is full.
#[derive(Clone, Debug)]
pub struct Feed {
    pub mirror: Mirror,
    /// By layer.
    shedding: Vec<Shedding>,
}

/// Whether somebody will take a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rank {
    Pictures = 1,
    Sound = 2,
    Control = 4,
}

/// What waits to cross, by worker.
#[derive(Default)]
pub(crate) struct Crossings {
    pub me: u8,
    queues: Vec<VecDeque<Crossing>>,
    next_token: u64,
    /// A datagram another worker handed over is being taken: it goes no further.
    handed: bool,
}

impl Crossings {
    pub fn new(me: u8, workers: u8) -> Self {
        Crossings {
            me,
            queues: (0..workers).map(|_| VecDeque::new()).collect(),
            next_token: 1,
            handed: false,
        }
    }

    fn room(&self, worker: u8, rank: Rank, limit: usize) -> bool {
        let waiting = self
            .queues
            .get(usize::from(worker))
            .map_or(0, VecDeque::len);
        waiting < limit * rank as usize
    }

    fn push(&mut self, worker: u8, crossing: Crossing) {
        if let Some(queue) = self.queues.get_mut(usize::from(worker)) {
            queue.push_back(crossing);
        }
    }
}

impl Engine {
    /// Be worker `me` of `workers` that share a port.
    pub fn among(mut self, me: u8, workers: u8) -> Self {
        self.crossings = Crossings::new(me, workers);
        self.guard = self.guard.shared(workers);
        self
    }

    /// The next message for a worker.  What is not asked for waits within bounds.
    pub fn poll_crossing(&mut self, worker: u8) -> Option<Crossing> {
        self.crossings
            .queues
            .get_mut(usize::from(worker))?
            .pop_front()
    }

    /// Take a message from another worker.
    pub fn cross(&mut self, crossing: Crossing, now: Micros) {
        match crossing {
            Crossing::Feed { source, mirror } => self.begin_feed(source, mirror),
            Crossing::Unfeed { source, mirror } => self.end_feed(source, mirror),
            Crossing::Packet {
                token,
                layer,
                packet,
                more,
            } => {
                let kept = self.mirrored(token, layer, packet);
                if let Some((source, index)) = kept.filter(|_| !more) {
                    self.fan_out(source, layer, index, now);
                }
            }
            Crossing::Restart { token, layer } => {
                if let Some(source) = self.mirror(token) {
                    self.restart(source, layer);
                }
            }
            Crossing::Ended { token, layer } => {
                if let Some(source) = self.mirror(token) {
                    self.end_layer(source, layer);
                }
            }
            Crossing::Clock {
                token,
                layer,
                report,
                offset,
            } => self.set_clock(token, layer, report, offset),
            Crossing::Ask { source, layer } => {
                if let Some(&key) = self.tables.source_keys.get(&source) {
                    self.ask_keyframe(key, layer, now);
                }
            }
            Crossing::Datagram { mut data, path } => {
                self.crossings.handed = true;
                self.take(&mut data, path, now);
                self.crossings.handed = false;
            }
            Crossing::Path { path, worker, held } => self.path_told(path, worker, held),
        }
        self.bound_control();
        self.announce();
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

    /// Another worker says how it holds a path.
    fn path_told(&mut self, path: Path, worker: u8, held: Held) {
        let tables = &mut self.tables;
        let theirs = tables.elsewhere.get(&path).map(|owner| owner.worker) == Some(worker);
        let owner = |silent| Owner { worker, silent };
        match held {
            Held::Alive => tables.release(path, owner(false), self.crossings.me < worker),
            // Nothing, if it has been taken meanwhile.
            Held::Silent if theirs => {
                tables.elsewhere.insert(path, owner(true));
            }
            Held::Gone if theirs => {
                tables.elsewhere.remove(&path);
            }
            Held::Silent | Held::Gone => {}
        }
    }

    /// Whether whoever sends from there has been vouched for, here or on another worker.
    pub(crate) fn knows(&self, path: Path) -> bool {
        let tables = &self.tables;
        let ours = self.crossings.handed || tables.paths.contains_key(&path);
        ours || tables.elsewhere.contains_key(&path)
    }

    /// The worker a STUN message belongs to that means nothing here.
    pub(crate) fn belongs(&self, message: &Message<'_>) -> Option<u8> {
        let tables = &self.tables;
        if message.class_method == BINDING_REQUEST {
            let (ours, _) = message.ufrags()?;
            return tables.ufrags_elsewhere.get(ours).copied();
        }
        let known = tables.transactions.contains_key(&message.transaction);
        (!known).then_some(message.transaction[11])
    }

    pub(crate) fn set_elsewhere(&mut self, ufrag: String, worker: Option<u8>) -> Option<()> {
        let ufrags = &mut self.tables.ufrags_elsewhere;
        match worker {
            Some(worker) => ufrags.insert(ufrag, worker),
            None => ufrags.remove(&ufrag),
        };
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

    fn control(&mut self, worker: u8, crossing: Crossing) {
        if self
            .crossings
            .room(worker, Rank::Control, self.limits.max_crossing)
        {
            self.crossings.push(worker, crossing);
        } else {
            self.counters.drop_crossing_control += 1;
        }
    }

    /// Pass a datagram of somebody else's transport on.  False when it is nobody's.
    pub(crate) fn hand_over(&mut self, worker: Option<u8>, data: &[u8], path: Path) -> bool {
        let crossings = &mut self.crossings;
        let others = crossings.queues.len();
        let other = |w: &u8| *w != crossings.me && usize::from(*w) < others;
        let Some(worker) = worker.filter(other).filter(|_| !crossings.handed) else {
            return false;
        };
        if !crossings.room(worker, Rank::Sound, self.limits.max_crossing) {
            self.counters.drop_crossing_datagram += 1;
            return true;
        }
        let data = data.to_vec();
        crossings.push(worker, Crossing::Datagram { data, path });
        self.counters.crossed_datagrams += 1;
        true
    }

    /// The same, for one that is known by its path only.
    pub(crate) fn hand_over_by_path(&mut self, data: &[u8], path: Path) -> bool {
        let worker = self.tables.elsewhere.get(&path).map(|owner| owner.worker);
        self.hand_over(worker, data, path)
    }

    /// Tell the others what became of our paths.
    pub(crate) fn announce(&mut self) {
        if self.tables.moved.is_empty() {
            return;
        }
        let worker = self.crossings.me;
        for (path, held) in std::mem::take(&mut self.tables.moved) {
            for other in (0..self.crossings.queues.len() as u8).filter(|w| *w != worker) {
                self.control(other, Crossing::Path { path, worker, held });
            }
        }
    }

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
        let token = self.crossings.next_token;
        self.crossings.next_token += 1;
        let mut source = Source::new(
            id,
            Home::Elsewhere(worker),
            config,
            self.limits.cache_packets,
        );
        source.token = token;
        source.used = now;
        let key = self.tables.sources.insert(source);
        self.tables.source_keys.insert(id, key);
        self.tables.mirrors.insert(token, key);
        let mirror = Mirror {
            worker: self.crossings.me,
            token,
        };
        self.control(worker, Crossing::Feed { source: id, mirror });
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
        self.tables.mirrors.remove(&source.token);
        let mirror = Mirror {
            worker: self.crossings.me,
            token: source.token,
        };
        let source = source.id;
        self.control(worker, Crossing::Unfeed { source, mirror });
    }

    fn mirror(&mut self, token: u64) -> Option<usize> {
        let found = self.tables.mirrors.get(&token).copied();
        self.counters.drop_crossing_stale += u64::from(found.is_none());
        found
    }

    /// Feed a mirror: first all that a viewer could start from, then what comes.
    fn begin_feed(&mut self, source: u32, mirror: Mirror) {
        let key = self.tables.source_keys.get(&source);
        let Some(source) = key.and_then(|key| self.tables.sources.get_mut(*key)) else {
            return;
        };
        let Home::Here(transport) = source.home else {
            return;
        };
        source.feeds.push(Feed {
            mirror,
            shedding: vec![Shedding::default(); source.layers.len()],
        });
        let offset = self
            .tables
            .transports
            .get(transport)
            .and_then(|t| t.clock_offset);
        let (token, worker) = (mirror.token, mirror.worker);
        for (layer, held) in source.layers.iter().enumerate() {
            let report = held.report;
            let clock = Crossing::Clock {
                token,
                layer,
                report,
                offset,
            };
            self.crossings.push(worker, clock);
            let range = held.keyframe.map(|k| k.index).zip(held.highest);
            let newest = range.into_iter().flat_map(|(first, last)| first..=last);
            let mut newest = newest
                .filter_map(|index| held.cache.shared(index))
                .peekable();
            while let Some(packet) = newest.next().cloned() {
                let crossing = Crossing::Packet {
                    token,
                    layer,
                    packet,
                    more: newest.peek().is_some(),
                };
                self.crossings.push(worker, crossing);
                self.counters.crossed_packets += 1;
            }
        }
    }

    fn end_feed(&mut self, source: u32, mirror: Mirror) {
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
        if source.feeds.is_empty() {
            return;
        }
        let video = source.config.kind == Kind::Video;
        let held = source.layers.get(layer);
        let Some(packet) = held.and_then(|held| held.cache.shared(index)) else {
            return;
        };
        let limit = self.limits.max_crossing;
        for feed in &mut source.feeds {
            let (token, worker) = (feed.mirror.token, feed.mirror.worker);
            let rank = if video { Rank::Pictures } else { Rank::Sound };
            let full = !self.crossings.room(worker, rank, limit);
            let shedding = feed.shedding.get_mut(layer).filter(|_| video);
            if shedding.is_some_and(|shedding| shedding.drops(packet.timestamp, full)) {
                self.counters.drop_crossing_video += 1;
                continue;
            }
            if full {
                self.counters.drop_crossing_audio += 1;
                continue;
            }
            let packet = packet.clone();
            let crossing = Crossing::Packet {
                token,
                layer,
                packet,
                more: false,
            };
            self.crossings.push(worker, crossing);
            self.counters.crossed_packets += 1;
        }
    }

    /// Tell a source's mirrors something of a layer.
    pub(crate) fn tell_mirrors(&mut self, source_key: usize, make: impl Fn(u64) -> Crossing) {
        let source = self.tables.sources.get(source_key);
        let mirrors: Vec<Mirror> = source
            .map(|source| source.feeds.iter().map(|feed| feed.mirror).collect())
            .unwrap_or_default();
        for mirror in mirrors {
            self.control(mirror.worker, make(mirror.token));
        }
    }

    /// Keep a packet of a source that lives elsewhere.  Its source's slab key and its index, unless
    /// it is late or was here before.
    fn mirrored(&mut self, token: u64, layer: usize, packet: Arc<Packet>) -> Option<(usize, u64)> {
        let key = self.mirror(token)?;
        let source = self.tables.sources.get_mut(key)?;
        source.codec = Some(packet.codec);
        let held = source.layers.get_mut(layer)?;
        let index = packet.index;
        let known = held.cache.get(index).is_some();
        let late = held
            .highest
            .is_some_and(|highest| index + held.cache.reach() <= highest);
        if known || late {
            return None;
        }
        held.highest = Some(held.highest.map_or(index, |highest| highest.max(index)));
        let (codec, dependency) = (packet.codec, packet.dependency.as_deref());
        let at = (index, packet.timestamp);
        let reading = held.read(codec, &packet.payload, dependency, at);
        held.came(packet.place.needed, packet.payload.len(), packet.arrived);
        held.cache.share(packet);
        held.follow_keyframes(index, reading.heights);
        Some((key, index))
    }

    fn set_clock(
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
            self.control(worker, Crossing::Ask { source, layer });
        }
    }
}
