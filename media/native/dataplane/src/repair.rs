//! Lost packets sent again from the source's cache.

use crate::engine::Engine;
use crate::rtcp::nacked;
use crate::sink::Allowed;
use crate::types::Micros;
use crate::writing::{transmit, Egress, Form};

impl Engine {
    /// Answer a NACK.  A packet we do not have yet goes out when it comes, as every late one does.
    pub(crate) fn on_nack(&mut self, key: usize, media: u32, pairs: &[u8], now: Micros) {
        let known = self
            .tables
            .transports
            .get(key)
            .and_then(|transport| transport.sink_by_ssrc.get(&media).copied());
        let Some((sink_key, false)) = known else {
            self.counters.drop_nack_unknown += 1;
            return;
        };
        for seq in nacked(pairs) {
            self.repeat(key, sink_key, seq, now);
        }
    }

    fn repeat(&mut self, key: usize, sink_key: usize, seq: u16, now: Micros) -> Option<()> {
        let transport = self.tables.transports.get_mut(key)?;
        let sink = self.tables.sinks.get_mut(sink_key)?;
        sink.stats.nacks_received += 1;
        self.counters.nacks_in += 1;
        if !sink.may_ask() {
            self.counters.drop_nack_rate += 1;
            return None;
        }
        if sink.allowed == Allowed::Paused {
            return None; // nothing of a picture that stands is worth its place on the line
        }
        let (epoch, index) = sink.trace(seq)?;
        let source_key = *self.tables.source_keys.get(&epoch.source)?;
        let source = self.tables.sources.get(source_key)?;
        let packet = source.layers.get(epoch.layer)?.cache.useful(index, now)?;
        if packet.place.needed & epoch.mask == 0 {
            return None;
        }
        let (_, repair_type) = sink.payload_type(packet.codec)?;
        let form = match (sink.config.rtx_ssrc, repair_type) {
            (Some(ssrc), Some(payload_type)) => Form::Repair { ssrc, payload_type },
            _ if sink.repeats_plainly() => Form::Repeat,
            _ => return None,
        };
        transport.bandwidth.refill(now);
        if transport.bandwidth.pacer.exhausted() {
            self.counters.drop_nack_rate += 1;
            return None;
        }
        let rtt = transport.rtt();
        if !sink.may_repeat(epoch.out(index)?, packet.payload.len(), rtt, now) {
            self.counters.drop_nack_rate += 1;
            return None;
        }
        let mut egress = Egress {
            ready: &mut self.ready,
            open: &mut self.open,
            counters: &mut self.counters,
            wall_us: self.wall_us,
            now,
        };
        let path = transport.way()?;
        transmit(sink, transport, packet, &epoch, form, &mut egress);
        self.open.close(path, &mut self.ready);
        Some(())
    }
}
