//! One packet to everyone who is to have it: gathered for each destination, then written.

use crate::batch::MAX_SEGMENTS;
use crate::engine::Engine;
use crate::ext::Extension;
use crate::red::Earlier;
use crate::sink::{Sink, Wanted};
use crate::source::{Source, BEGUN_US};
use crate::thinning::Verdict;
use crate::transport::{Binding, Pending, Transport};
use crate::types::{Kind, Micros};
use crate::writing::{transmit, Egress, Form};
use slab::Slab;

impl Engine {
    /// Send a packet just put into a layer's cache to the source's sinks: sound at once, pictures
    /// when their destination's gathering time is over.
    pub(crate) fn fan_out(&mut self, source_key: usize, layer: usize, index: u64, now: Micros) {
        let Some(source) = self.tables.sources.get(source_key) else {
            return;
        };
        let here = Wanted {
            source: source_key,
            layer,
        };
        let pending = Pending {
            sink: 0,
            source: source_key,
            layer,
            index,
        };
        let kind = source.config.kind;
        let urgent = kind == Kind::Audio;
        let packet = source.layers.get(layer).and_then(|l| l.cache.get(index));
        let timestamp = packet.map_or(0, |packet| packet.timestamp);
        let mut joining: Vec<usize> = Vec::new();
        for &sink_key in &source.sinks {
            let Some(sink) = self.tables.sinks.get_mut(sink_key) else {
                continue;
            };
            if sink.wanted == Some(here) && sink.given.flows() {
                joining.push(sink_key);
                continue;
            }
            let live = sink.feed();
            if !live.is_some_and(|e| e.source_key == source_key && e.layer == layer) {
                continue;
            }
            let written = self.ready.packets();
            let full = self.congestion.full(kind, written, &self.limits);
            if urgent && full {
                self.counters.drop_congested_audio += 1;
                continue;
            }
            let key = sink.transport;
            let Some(transport) = self.tables.transports.get_mut(key) else {
                continue;
            };
            if !urgent {
                let stalled = transport.stalls();
                let crowded = transport.bandwidth.full(now);
                if sink.shedding.drops(timestamp, full || stalled || crowded) {
                    *match (stalled, crowded) {
                        (true, _) => &mut self.counters.drop_stalled_video,
                        (_, true) => &mut self.counters.drop_paced_video,
                        _ => &mut self.counters.drop_congested_video,
                    } += 1;
                    continue;
                }
            }
            transport.pending.push(Pending {
                sink: sink_key,
                ..pending
            });
            self.congestion.waiting += 1;
            match transport.pending.len() {
                _ if urgent => self.due.push_back(key),
                1 => self.gathering.opened(now + self.limits.gather_us, key),
                MAX_SEGMENTS => self.due.push_back(key),
                _ => {}
            }
        }
        for sink_key in joining {
            self.join(sink_key, here, pending, now);
        }
    }

    /// Begin feeding a waiting sink if the layer offers a start; until then its old feed, if it is
    /// another layer of the same source, goes on by itself.
    pub(crate) fn join(&mut self, sink_key: usize, here: Wanted, pending: Pending, now: Micros) {
        let Some(sink) = self.tables.sinks.get(sink_key) else {
            return;
        };
        let (key, before) = (sink.transport, sink.live);
        // What waits was counted under the feed that now ends.
        self.drain(key, now);
        if self.start(sink_key, here, pending, now).is_some() {
            if let Some(old) = before.filter(|e| e.source_key != here.source) {
                self.leave(sink_key, old.source_key);
            }
        }
    }

    /// Audio starts anywhere; video at the newest key frame, from which everything since is sent.
    fn start(
        &mut self,
        sink_key: usize,
        here: Wanted,
        pending: Pending,
        now: Micros,
    ) -> Option<()> {
        let sink = self.tables.sinks.get_mut(sink_key)?;
        if !sink.given.flows() {
            return None;
        }
        let transport = self.tables.transports.get_mut(sink.transport)?;
        let source = self.tables.sources.get(here.source)?;
        let feed = source.layers.get(here.layer)?;
        let index = match source.config.kind {
            Kind::Audio => pending.index,
            Kind::Video => feed.start(sink.newest_arrival(), now)?,
        };
        let first = feed.cache.get(index)?;
        sink.payload_type(first.codec)?;
        let catches_up = (index..pending.index).filter_map(|index| feed.cache.get(index));
        let octets: u64 = catches_up.map(|packet| packet.payload.len() as u64).sum();
        let begun = now.saturating_sub(first.arrived) <= BEGUN_US;
        let swamped = !begun && transport.bandwidth.pacer.swamped_by(octets);
        if swamped {
            return None;
        }
        if transport.tx.is_none() || transport.in_use.is_none() {
            return None;
        }
        sink.begin(source.id, here, first, 0);
        sink.wanted = None;
        self.counters.keyframe_joins += u64::from(index < pending.index);
        let came = (index..=feed.highest?).filter(|index| feed.cache.get(*index).is_some());
        let before = transport.pending.len();
        transport.pending.extend(came.map(|index| Pending {
            sink: sink_key,
            index,
            ..pending
        }));
        self.congestion.waiting += transport.pending.len() - before;
        self.due.push_back(sink.transport);
        Some(())
    }

    /// Write what waits for a transport into batches.
    pub(crate) fn drain(&mut self, key: usize, now: Micros) {
        let tables = &mut self.tables;
        let Some(transport) = tables.transports.get_mut(key) else {
            return;
        };
        let numbered = transport.ids.id(Extension::Twcc).is_some();
        let paced = transport.bandwidth.paces(numbered, now);
        if transport.pending.is_empty() && !paced {
            return;
        }
        let mut egress = Egress {
            ready: &mut self.ready,
            open: &mut self.open,
            counters: &mut self.counters,
            wall_us: self.wall_us,
            now,
        };
        let mut waiting = std::mem::take(&mut transport.pending);
        self.congestion.waiting -= waiting.len();
        // Looked at all at once, they come into the cache together, not one after the other.
        let octets = waiting
            .iter()
            .filter_map(|next| octets(next, &tables.sources));
        egress.open.expect(octets.sum());
        for next in waiting.drain(..) {
            let (sources, sinks) = (&tables.sources, &mut tables.sinks);
            let octets = paced.then(|| picture(&next, sources)).flatten();
            match octets {
                Some(octets) => transport.bandwidth.pacer.push(next, octets, now),
                None => {
                    send_waiting(&next, sources, sinks, transport, &mut egress);
                }
            }
        }
        transport.pending = waiting;
        if let Some(path) = transport.in_use {
            self.open.close(path, &mut self.ready);
        }
        if paced {
            self.pump(key, now);
        }
    }

    /// Write everything that waits, whomever for.
    pub(crate) fn drain_all(&mut self, now: Micros) {
        while let Some(key) = self.gathering.pop_due(Micros::MAX) {
            self.drain(key, now);
        }
        while let Some(key) = self.due.pop_front() {
            self.drain(key, now);
        }
    }

    /// Take a sink off a source that no longer feeds it.
    pub(crate) fn leave(&mut self, sink_key: usize, source_key: usize) {
        let uses = self
            .tables
            .sinks
            .get(sink_key)
            .is_some_and(|sink| sink.uses(source_key));
        if let Some(source) = self.tables.sources.get_mut(source_key).filter(|_| !uses) {
            source.sinks.retain(|key| *key != sink_key);
        }
    }

    /// A layer's SSRC changed: those it fed wait for its next start.
    pub(crate) fn unfeed(&mut self, binding: Binding) {
        let Some(source) = self.tables.sources.get(binding.source) else {
            return;
        };
        for &sink_key in &source.sinks {
            let Some(sink) = self.tables.sinks.get_mut(sink_key) else {
                continue;
            };
            let fed = sink
                .live
                .is_some_and(|e| e.source_key == binding.source && e.layer == binding.layer);
            if fed {
                sink.live = None;
                sink.wanted.get_or_insert(Wanted {
                    source: binding.source,
                    layer: binding.layer,
                });
            }
        }
    }
}

/// Octets of payload of a waiting packet.
fn octets(next: &Pending, sources: &Slab<Source>) -> Option<usize> {
    let layer = sources.get(next.source)?.layers.get(next.layer)?;
    Some(layer.cache.get(next.index)?.payload.len())
}

/// The same, if it is of a picture.
fn picture(next: &Pending, sources: &Slab<Source>) -> Option<usize> {
    let source = sources.get(next.source)?;
    octets(next, sources).filter(|_| source.config.kind == Kind::Video)
}

/// Write a packet that waited, if its sink is still fed from there.
pub(crate) fn send_waiting(
    next: &Pending,
    sources: &Slab<Source>,
    sinks: &mut Slab<Sink>,
    transport: &mut Transport,
    egress: &mut Egress<'_>,
) -> Option<()> {
    let source = sources.get(next.source);
    let feed = source.and_then(|source| source.layers.get(next.layer));
    let found = feed.and_then(|feed| Some((feed, feed.cache.get(next.index)?)));
    let Some((feed, packet)) = found else {
        egress.counters.drop_overtaken += 1;
        return None;
    };
    let fed = |sink: &&mut Sink| {
        let live = sink.live.as_ref();
        live.is_some_and(|e| e.source_key == next.source && e.layer == next.layer)
    };
    let Some(sink) = sinks.get_mut(next.sink).filter(fed) else {
        egress.counters.drop_unfed += 1;
        return None;
    };
    let (epoch, form) = match sink.admit(packet) {
        Verdict::Send(epoch) if sink.config.kind == Kind::Audio => {
            let due = sink.bundle(packet, &epoch, transport.bandwidth.bundles());
            let broken = due.broken.map(|(at, count)| (feed.cache.get(at), count));
            if let Some((Some(first), count)) = broken {
                let form = Form::First(sink.bundled(first, &feed.cache, &epoch, count));
                transmit(sink, transport, first, &epoch, form, egress);
            }
            let earlier = match due.along? {
                0 => {
                    let frames = sink.redundancy.frames();
                    let frames = transport.bandwidth.room_along(frames, egress.now);
                    Earlier::of(packet, &feed.cache, sink, &epoch, frames)
                }
                count => sink.bundled(packet, &feed.cache, &epoch, count),
            };
            (epoch, Form::First(earlier))
        }
        Verdict::Send(epoch) => (epoch, Form::First(Earlier::default())),
        Verdict::Fill(epoch) => (epoch, Form::Filling),
        Verdict::Drop => {
            egress.counters.left_out += 1;
            return None;
        }
    };
    transmit(sink, transport, packet, &epoch, form, egress)
}
