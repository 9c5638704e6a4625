//! Writing one packet for one sink: numbers, extensions, encryption, and what is counted of it.

use crate::bandwidth::Load;
use crate::batch::{Open, Ready};
use crate::bits::Pen;
use crate::cache::Packet;
use crate::counters::Counters;
use crate::epoch::Epoch;
use crate::ext::{abs_send_time, Extension, Writer};
use crate::red::Earlier;
use crate::rtp::Fixed;
use crate::sink::Sink;
use crate::transport::Transport;
use crate::types::{Kind, Micros};

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
