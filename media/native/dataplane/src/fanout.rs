//! One packet to everyone who is to have it: numbers rewritten, encrypted in place, gathered.

use crate::batch::{Gathering, Ready};
use crate::cache::Packet;
use crate::counters::Counters;
use crate::engine::Engine;
use crate::ext::{Extension, Writer};
use crate::rtp::Fixed;
use crate::sink::{Epoch, Sink, Wanted};
use crate::source::{Layer, Source};
use crate::transport::{Binding, Transport};
use crate::types::{Codec, Kind, Micros, Path};

/// How a packet is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For the first time, though perhaps late.
    First,
    /// Again, octet for octet.
    Repeat,
    /// Again, on the repair SSRC with this payload type (RFC 4588).
    Repair { ssrc: u32, payload_type: u8 },
}

/// Where packets go once written.
pub(crate) struct Egress<'a> {
    pub ready: &'a mut Ready,
    pub gathering: &'a mut Gathering,
    pub counters: &'a mut Counters,
    pub gather_us: Micros,
    pub wall_us: u64,
    pub now: Micros,
}

impl Engine {
    /// Send a packet just put into a layer's cache to the source's sinks.
    pub(crate) fn fan_out(&mut self, source_key: usize, layer: usize, index: u64, now: Micros) {
        let Some(source) = self.tables.sources.get(source_key) else {
            return;
        };
        let Some(feed) = source.layers.get(layer) else {
            return;
        };
        let Some(packet) = feed.cache.get(index) else {
            return;
        };
        let mut egress = Egress {
            ready: &mut self.ready,
            gathering: &mut self.gathering,
            counters: &mut self.counters,
            gather_us: self.limits.gather_us,
            wall_us: self.wall_us,
            now,
        };
        let here = Wanted {
            source: source_key,
            layer,
        };
        let mut left: Vec<(usize, usize)> = Vec::new();
        for &sink_key in &source.sinks {
            let Some(sink) = self.tables.sinks.get_mut(sink_key) else {
                continue;
            };
            let key = sink.transport;
            let Some(transport) = self.tables.transports.get_mut(key) else {
                continue;
            };
            if sink.wanted == Some(here) {
                let before = sink.live;
                if join(
                    source,
                    feed,
                    packet,
                    (key, transport),
                    sink,
                    here,
                    &mut egress,
                ) {
                    left.extend(before.map(|epoch| (sink_key, epoch.source_key)));
                    continue;
                }
            }
            let live = sink
                .live
                .filter(|e| e.source_key == source_key && e.layer == layer);
            if let Some(epoch) = live {
                transmit(
                    sink,
                    (key, transport),
                    packet,
                    &epoch,
                    Form::First,
                    &mut egress,
                );
            }
        }
        for (sink_key, old) in left.into_iter().filter(|(_, old)| *old != source_key) {
            self.leave(sink_key, old);
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

/// Begin feeding a waiting sink if the layer offers a start.  Audio starts anywhere; video at a
/// key frame just begun, from which everything since is sent.
fn join(
    source: &Source,
    feed: &Layer,
    packet: &Packet,
    to: (usize, &mut Transport),
    sink: &mut Sink,
    here: Wanted,
    egress: &mut Egress<'_>,
) -> bool {
    let start = match source.config.kind {
        Kind::Audio => Some(packet.index),
        Kind::Video => feed
            .keyframe
            .filter(|k| egress.now.saturating_sub(k.arrived) <= Source::FRESH_KEYFRAME_US)
            .map(|k| k.index),
    };
    let first = start.and_then(|index| feed.cache.get(index));
    let (Some(first), Some(highest)) = (first, feed.highest) else {
        return false;
    };
    if sink.payload_type(first.codec).is_none() || to.1.tx.is_none() || to.1.in_use.is_none() {
        return false;
    }
    let epoch = sink.begin(source.id, here, first);
    sink.wanted = None;
    egress.counters.keyframe_joins += u64::from(first.index < packet.index);
    let (key, transport) = to;
    for index in first.index..=highest {
        if let Some(packet) = feed.cache.get(index) {
            transmit(sink, (key, transport), packet, &epoch, Form::First, egress);
        }
    }
    true
}

/// Write one packet for one sink into its transport's batch.
pub(crate) fn transmit(
    sink: &mut Sink,
    to: (usize, &mut Transport),
    packet: &Packet,
    epoch: &Epoch,
    form: Form,
    egress: &mut Egress<'_>,
) -> Option<()> {
    let (key, transport) = to;
    let out = epoch.out(packet.index)?;
    let Some(path) = transport.in_use else {
        egress.counters.drop_no_path += 1;
        return None;
    };
    let Some((payload_type, _)) = sink.payload_type(packet.codec) else {
        egress.counters.drop_codec += 1;
        return None;
    };
    let (ssrc, payload_type, index) = match form {
        Form::First | Form::Repeat => (sink.config.ssrc, payload_type, out),
        Form::Repair { ssrc, payload_type } => (ssrc, payload_type, sink.next_repair),
    };
    if index >= 1 << 48 {
        egress.counters.drop_index_spent += 1;
        return None;
    }
    let fixed = Fixed {
        extended: false,
        marker: packet.marker,
        payload_type,
        seq: index as u16,
        timestamp: packet.timestamp.wrapping_add(epoch.timestamp_delta),
        ssrc,
    };
    let original = matches!(form, Form::Repair { .. }).then_some(out as u16);
    let (start, size) = write(
        sink, transport, packet, epoch, fixed, original, index, egress,
    )?;
    transport.batch.commit(start, path, egress.ready);
    settle(
        transport,
        key,
        path,
        packet.codec == Codec::Opus || form != Form::First,
        egress,
    );
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
    original: Option<u16>,
    index: u64,
    egress: &mut Egress<'_>,
) -> Option<(usize, usize)> {
    let varying = !sink.repeats_plainly();
    let (out, start) = transport.batch.begin();
    fixed.write(out);
    let mid = sink.config.mid.as_deref().unwrap_or("").as_bytes();
    let mut writer = Writer::new(out, &transport.ids, mid.len());
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
    fixed.extended = writer.finish();
    if fixed.extended {
        out[start] |= 0x10;
    }
    let header_len = out.len() - start;
    if let Some(seq) = original {
        out.extend_from_slice(&seq.to_be_bytes());
    }
    match &packet.vp8 {
        Some(vp8) => vp8.rewrite(&packet.payload, epoch.picture_delta, epoch.tl0_delta, out),
        None => out.extend_from_slice(&packet.payload),
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

/// Let the batch wait for company, or send it off at once.
fn settle(
    transport: &mut Transport,
    key: usize,
    path: Path,
    urgent: bool,
    egress: &mut Egress<'_>,
) {
    if urgent {
        transport.batch.hurry();
        transport.batch.close(path, egress.ready);
    } else if transport.batch.is_first() {
        let due = egress.now + egress.gather_us;
        egress.gathering.opened(due, key);
    }
}

#[allow(clippy::too_many_arguments)]
fn account(
    sink: &mut Sink,
    transport: &mut Transport,
    packet: &Packet,
    epoch: &Epoch,
    form: Form,
    out: u64,
    size: usize,
    egress: &mut Egress<'_>,
) {
    egress.counters.packets_out += 1;
    egress.counters.bytes_out += size as u64;
    transport.stats.packets_out += 1;
    transport.stats.bytes_out += size as u64;
    match form {
        Form::First => {
            egress.counters.packets_forwarded += 1;
            sink.advanced(epoch, packet, out, size);
        }
        Form::Repeat => sink.stats.retransmitted += 1,
        Form::Repair { .. } => {
            sink.next_repair += 1;
            sink.stats.retransmitted += 1;
        }
    }
}

/// 24 bits of 6.18 fixed point seconds.
fn abs_send_time(unix_us: u64) -> [u8; 3] {
    let fixed = u128::from(unix_us) * (1 << 18) / 1_000_000;
    let octets = (fixed as u32).to_be_bytes();
    [octets[1], octets[2], octets[3]]
}
