//! One packet to everyone who is to have it: numbers rewritten, encrypted in place, gathered.

use crate::bandwidth::Load;
use crate::batch::{Open, Ready, MAX_SEGMENTS};
use crate::bits::Pen;
use crate::cache::Packet;
use crate::counters::Counters;
use crate::engine::Engine;
use crate::epoch::Epoch;
use crate::ext::{abs_send_time, Extension, Writer};
use crate::red::Earlier;
use crate::rtp::Fixed;
use crate::sink::{Sink, Wanted};
use crate::source::{Source, BEGUN_US};
use crate::thinning::Verdict;
use crate::transport::{Binding, Pending, Transport};
use crate::types::{Kind, Micros};
use slab::Slab;

/// How a packet is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form<'a> {
    /// For the first time, though perhaps late, with what is to be sent along.
    First(Earlier<'a>),
    /// Padding in place of a packet that came late and is not for this sink.
    Filling,
    /// Again, octet for octet.
    Repeat,
    /// Again, on the repair SSRC with this payload type (RFC 4588).
    Repair { ssrc: u32, payload_type: u8 },
}

/// Where packets go once written.
pub(crate) struct Egress<'a> {
    pub ready: &'a mut Ready,
    /// The batch being written; empty between calls of the engine.
    pub open: &'a mut Open,
    pub counters: &'a mut Counters,
    pub wall_us: u64,
    pub now: Micros,
}

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

/// Write one packet for one sink into the open batch.
pub(crate) fn transmit(
    sink: &mut Sink,
    transport: &mut Transport,
    packet: &Packet,
    epoch: &Epoch,
    form: Form<'_>,
    egress: &mut Egress<'_>,
) -> Option<()> {
    let out = epoch.out(packet.index)?;
    let Some(path) = transport.way() else {
        *match transport.in_use {
            Some(_) => &mut egress.counters.drop_no_consent,
            None => &mut egress.counters.drop_no_path,
        } += 1;
        return None;
    };
    let Some((payload_type, redundant)) = sink.payload_type(packet.codec) else {
        egress.counters.drop_codec += 1;
        return None;
    };
    let (ssrc, payload_type, index) = match form {
        Form::First(earlier) if !earlier.is_empty() => (sink.config.ssrc, redundant?, out),
        Form::First(_) | Form::Filling | Form::Repeat => (sink.config.ssrc, payload_type, out),
        Form::Repair { ssrc, payload_type } => (ssrc, payload_type, sink.next_repair),
    };
    if index >= 1 << 48 {
        egress.counters.drop_index_spent += 1;
        return None;
    }
    let fixed = Fixed {
        extended: false,
        marker: packet.marker || packet.place.ends & epoch.mask != 0,
        payload_type,
        seq: index as u16,
        timestamp: packet.timestamp.wrapping_add(epoch.timestamp_delta),
        ssrc,
    };
    let (start, size) = write(sink, transport, packet, epoch, fixed, form, index, egress)?;
    egress.open.commit(start, path, egress.ready);
    account(sink, transport, packet, epoch, form, out, size, egress);
    Some(())
}

/// Header, extensions, payload, encryption.  Returns where the packet starts and its size.
#[allow(clippy::too_many_arguments)]
fn write(
    sink: &Sink,
    transport: &mut Transport,
    packet: &Packet,
    epoch: &Epoch,
    mut fixed: Fixed,
    form: Form<'_>,
    index: u64,
    egress: &mut Egress<'_>,
) -> Option<(usize, usize)> {
    let varying = !sink.repeats_plainly();
    let (out, start) = egress.open.begin();
    fixed.write(out);
    let mid = sink.config.mid.as_deref().unwrap_or("").as_bytes();
    let filling = matches!(form, Form::Filling);
    let wanted = transport.ids.id(Extension::DependencyDescriptor);
    let wanted = wanted.filter(|_| !filling).and(packet.dependency.as_ref());
    let told = wanted.and_then(|dependency| dependency.tell(epoch.listener()));
    let dependency = told.as_ref().map_or(&[][..], Pen::octets);
    let mut writer = Writer::new(out, &transport.ids, mid.len().max(dependency.len()));
    if !mid.is_empty() {
        writer.put(Extension::Mid, mid);
    }
    let kept = &packet.kept;
    if let Some(level) = kept.audio_level {
        writer.put(Extension::AudioLevel, &[level]);
    }
    if let Some(orientation) = kept.video_orientation {
        writer.put(Extension::VideoOrientation, &[orientation]);
    }
    if let Some(delay) = kept.playout_delay {
        writer.put(Extension::PlayoutDelay, &delay);
    }
    if varying {
        let time = abs_send_time(egress.wall_us + egress.now);
        writer.put(Extension::AbsSendTime, &time);
        writer.put(Extension::Twcc, &transport.twcc_seq.to_be_bytes());
    }
    if !dependency.is_empty() {
        writer.put(Extension::DependencyDescriptor, dependency);
    }
    fixed.extended = writer.finish();
    if fixed.extended {
        out[start] |= 0x10;
    }
    let header_len = out.len() - start;
    if let Form::Repair { .. } = form {
        let original = epoch.out(packet.index).unwrap_or_default() as u16;
        out.extend_from_slice(&original.to_be_bytes());
    }
    match (form, &packet.descriptor) {
        (Form::Filling, _) => {
            out[start] |= 0x20;
            out.push(1);
        }
        (Form::First(earlier), _) if !earlier.is_empty() => {
            let frames = sink.payload_type(packet.codec).map_or(0, |(pt, _)| pt);
            earlier.write(packet, frames, out);
        }
        (_, Some(numbers)) => {
            numbers.rewrite(&packet.payload, epoch.picture_delta, epoch.tl0_delta, out);
        }
        _ => out.extend_from_slice(&packet.payload),
    }
    let sealed = match &transport.tx {
        Some(keys) => keys
            .seal_rtp(out, start, header_len, fixed.ssrc, index)
            .is_ok(),
        None => false,
    };
    if !sealed {
        out.truncate(start);
        egress.counters.drop_no_keys += 1;
        return None;
    }
    let size = out.len() - start;
    if varying && transport.ids.id(Extension::Twcc).is_some() {
        transport.twcc_seq = transport.twcc_seq.wrapping_add(1);
    }
    Some((start, size))
}

#[allow(clippy::too_many_arguments)]
fn account(
    sink: &mut Sink,
    transport: &mut Transport,
    packet: &Packet,
    epoch: &Epoch,
    form: Form<'_>,
    out: u64,
    size: usize,
    egress: &mut Egress<'_>,
) {
    egress.counters.packets_out += 1;
    egress.counters.bytes_out += size as u64;
    transport.stats.packets_out += 1;
    transport.stats.bytes_out += size as u64;
    let numbered = !sink.repeats_plainly() && transport.ids.id(Extension::Twcc).is_some();
    let seq = numbered.then_some(transport.twcc_seq.wrapping_sub(1));
    let load = match (form, sink.config.kind) {
        (Form::First(_), Kind::Audio) => Load::Audio,
        (Form::First(_), Kind::Video) => Load::Video,
        _ => Load::Other,
    };
    transport.bandwidth.sent(seq, size, load, egress.now);
    match form {
        Form::First(earlier) => {
            egress.counters.packets_forwarded += 1;
            let redundant = !earlier.is_empty() && !earlier.new;
            egress.counters.redundant_out += u64::from(redundant);
            egress.counters.bundled_out += u64::from(!earlier.is_empty() && earlier.new);
            sink.sent.1 = sink.sent.1.wrapping_add(earlier.octets() as u32);
            if redundant {
                let bandwidth = &mut transport.bandwidth;
                bandwidth.sent_along(earlier.octets(), egress.now);
            }
            sink.advanced(epoch, packet, out, size, egress.now);
        }
        Form::Filling => sink.filled(size),
        Form::Repeat => {
            egress.counters.cache_hits += 1;
            sink.stats.retransmitted += 1;
        }
        Form::Repair { .. } => {
            egress.counters.cache_hits += 1;
            sink.next_repair += 1;
            sink.stats.retransmitted += 1;
        }
    }
}
