//! The engine's side of pacing: pictures let out as their path has room, and padding for probes.

use slab::Slab;

use crate::bandwidth::pacer;
use crate::bandwidth::Load;
use crate::engine::Engine;
use crate::ext::{abs_send_time, Extension, Writer};
use crate::fanout::send_waiting;
use crate::rtp::Fixed;
use crate::sink::Sink;
use crate::transport::Transport;
use crate::types::{Codec, Kind, Micros};
use crate::writing::Egress;

impl Engine {
    /// Look at what waits for a transport whose path has room again.
    pub(crate) fn pump(&mut self, key: usize, now: Micros) {
        let tables = &mut self.tables;
        let Some(transport) = tables.transports.get_mut(key) else {
            return;
        };
        let Some(path) = transport.way() else {
            return;
        };
        transport.bandwidth.refill(now);
        let mut egress = Egress {
            ready: &mut self.ready,
            open: &mut self.open,
            counters: &mut self.counters,
            wall_us: self.wall_us,
            now,
        };
        while transport.bandwidth.open(now) {
            let Some(next) = transport.bandwidth.pacer.pop() else {
                break;
            };
            send_waiting(
                &next,
                &tables.sources,
                &mut tables.sinks,
                transport,
                &mut egress,
            );
        }
        pad(transport, &mut tables.sinks, &mut egress);
        self.open.close(path, &mut self.ready);
        let bandwidth = &mut transport.bandwidth;
        let more = !bandwidth.pacer.is_empty() || bandwidth.prober.bps().is_some();
        if more && !bandwidth.pacer.scheduled {
            bandwidth.pacer.scheduled = true;
            self.pacing.opened(now + pacer::EVERY_US, key);
        }
    }

    /// Transports whose time to be looked at has come.
    pub(crate) fn wake_paced(&mut self, now: Micros) {
        while let Some(key) = self.pacing.pop_due(now) {
            if let Some(transport) = self.tables.transports.get_mut(key) {
                transport.bandwidth.pacer.scheduled = false;
                self.due.push_back(key);
            }
        }
    }
}

/// Fill a probe up with padding on the repair SSRC of a slot in use: receivers ignore it (RFC 4588
/// section 6.3 has no payload shorter than its two octets), it takes no sequence number of a
/// picture, and nothing comes in a slot that shows nobody.
fn pad(transport: &mut Transport, sinks: &mut Slab<Sink>, egress: &mut Egress<'_>) {
    if !transport.bandwidth.pacer.is_empty() || transport.ids.id(Extension::Twcc).is_none() {
        return;
    }
    let used = |sink: &Sink| sink.live.is_some() || sink.wanted.is_some();
    let repairs =
        |sink: &Sink| sink.config.kind == Kind::Video && used(sink) && repair_of(sink).is_some();
    let mut candidates = transport.sinks.iter().copied();
    let found = candidates.find(|key| sinks.get(*key).is_some_and(repairs));
    let Some(sink) = found.and_then(|key| sinks.get_mut(key)) else {
        return;
    };
    while let Some(octets) = transport.bandwidth.prober.padding() {
        if !transport.bandwidth.pacer.open()
            || write_padding(transport, sink, octets, egress).is_none()
        {
            return;
        }
    }
}

/// (SSRC, payload type) of a sink's repeats.
fn repair_of(sink: &Sink) -> Option<(u32, u8)> {
    let types = sink.config.codecs.iter();
    let payload_type = types.filter_map(|(_, _, repair)| *repair).next()?;
    Some((sink.config.rtx_ssrc?, payload_type))
}

/// One packet of nothing but `octets` of padding, 1..=255.
fn write_padding(
    transport: &mut Transport,
    sink: &mut Sink,
    octets: u8,
    egress: &mut Egress<'_>,
) -> Option<()> {
    let (path, keys) = (transport.way()?, transport.tx.as_ref()?);
    let (ssrc, payload_type) = repair_of(sink)?;
    let index = sink.next_repair;
    if index >= 1 << 48 {
        return None;
    }
    let timestamp = sink.extrapolated(Codec::Vp8.clock(), egress.now);
    let fixed = Fixed {
        extended: true,
        marker: false,
        payload_type,
        seq: index as u16,
        timestamp: timestamp.unwrap_or(0),
        ssrc,
    };
    let (out, start) = egress.open.begin();
    fixed.write(out);
    out[start] |= 0x20;
    let mid = sink.config.mid.as_deref().unwrap_or("").as_bytes();
    let mut writer = Writer::new(out, &transport.ids, mid.len());
    if !mid.is_empty() {
        writer.put(Extension::Mid, mid);
    }
    let time = abs_send_time(egress.wall_us + egress.now);
    writer.put(Extension::AbsSendTime, &time);
    let seq = transport.twcc_seq;
    writer.put(Extension::Twcc, &seq.to_be_bytes());
    writer.finish();
    let header_len = out.len() - start;
    out.resize(out.len() + usize::from(octets) - 1, 0);
    out.push(octets);
    if keys.seal_rtp(out, start, header_len, ssrc, index).is_err() {
        out.truncate(start);
        return None;
    }
    let size = out.len() - start;
    transport.twcc_seq = seq.wrapping_add(1);
    sink.next_repair += 1;
    egress.open.commit(start, path, egress.ready);
    egress.counters.packets_out += 1;
    egress.counters.bytes_out += size as u64;
    egress.counters.padding_out += 1;
    transport.stats.packets_out += 1;
    transport.stats.bytes_out += size as u64;
    let bandwidth = &mut transport.bandwidth;
    bandwidth.sent(Some(seq), size, Load::Other, egress.now);
    Some(())
}
