//! What we tell senders (keyframe wishes, losses, arrival times) and what receivers tell us.

use crate::crossing::Note;
use crate::demux::Class;
use crate::engine::Engine;
use crate::rtcp::{self, Item, ReportBlock};
use crate::sink::Wanted;
use crate::twcc;
use crate::types::{Micros, Path, SECOND};

/// Octets around a packet of RTCP: IP, UDP, SRTCP index and tag.
const AROUND: u64 = 28 + 4 + 16;
/// A round trip longer than this is a mistake of somebody's clock.
const MAX_RTT_US: u64 = 10 * SECOND;

impl Engine {
    pub(crate) fn on_srtcp(&mut self, data: &mut [u8], path: Path, now: Micros) {
        let Some(&key) = self.tables.paths.get(&path) else {
            let handed = self.hand_over_by_path(data, path, Class::Rtcp, now);
            self.counters.drop_unverified_srtcp += u64::from(!handed);
            return;
        };
        if !self.within_rate(key, Class::Rtcp, now) {
            return;
        }
        let size = data.len();
        let Some(plain) = self.open_rtcp(key, data, now) else {
            return;
        };
        self.heard_media(key, path, size, now);
        self.counters.rtcp_in += 1;
        let mut items = Vec::new();
        let parsed = data
            .get(..plain)
            .is_some_and(|packet| rtcp::parse(packet, &mut items).is_ok());
        if !parsed {
            self.counters.drop_malformed_rtcp += 1;
            return;
        }
        for item in items {
            self.on_item(key, &item, now);
        }
    }

    /// Authenticate and decrypt.  Returns the length of the plain packet.
    fn open_rtcp(&mut self, key: usize, data: &mut [u8], now: Micros) -> Option<usize> {
        let transport = self.tables.transports.get_mut(key)?;
        let Some(keys) = &transport.rx else {
            self.counters.drop_no_keys += 1;
            return None;
        };
        let Ok((plain, ssrc, index)) = keys.open_rtcp(data) else {
            self.counters.drop_srtcp_auth += 1;
            return None;
        };
        let index = u64::from(index);
        let (windows, max) = (&mut transport.rtcp_windows, self.limits.max_ssrcs);
        if !windows.room(ssrc, max, now) {
            self.counters.drop_srtcp_cap += 1;
            return None;
        }
        if !windows.fresh(ssrc, index) {
            self.counters.drop_srtcp_replay += 1;
            return None;
        }
        windows.accept(ssrc, index, max, now);
        Some(plain)
    }

    fn on_item(&mut self, key: usize, item: &Item<'_>, now: Micros) {
        match *item {
            Item::SenderReport { ssrc, ntp, rtp } => {
                self.on_sender_report(key, ssrc, ntp, rtp, now)
            }
            Item::Block(block) => self.on_block(key, &block, now),
            Item::Nack { media, pairs } => self.on_nack(key, media, pairs, now),
            Item::Pli { media } | Item::Fir { media } => self.on_pli(key, media, now),
            Item::Bye { ssrc } => self.on_bye(key, ssrc),
            Item::Arrivals(report) => self.on_report(key, &report, now),
            Item::Remb { bps } => self.on_remb(key, bps, now),
        }
    }

    fn on_sender_report(&mut self, key: usize, ssrc: u32, ntp: u64, rtp: u32, now: Micros) {
        let ours = crate::reports::unix_us(self.wall_us, now);
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        let Some(stream) = transport.streams.get_mut(ssrc) else {
            return;
        };
        stream.reception.sender_report(ntp, now);
        let binding = stream.binding.filter(|b| !b.repair);
        let theirs = crate::reports::ntp_to_us(ntp);
        let offset = ours as i64 - theirs as i64;
        transport.clock_offset = Some(match transport.clock_offset {
            // The report that travelled fastest says the truth; a jump says the clock was set.
            Some(known) if (offset - known).unsigned_abs() < SECOND => known.min(offset),
            _ => offset,
        });
        let Some(binding) = binding else {
            return;
        };
        let source = self.tables.sources.get_mut(binding.source);
        let Some(layer) = source.and_then(|source| source.layers.get_mut(binding.layer)) else {
            return;
        };
        layer.report = Some((theirs, rtp));
        let layer = binding.layer;
        self.tell_mirrors(binding.source, |source, token| Note::Clock {
            source,
            token,
            layer,
        });
    }

    fn on_block(&mut self, key: usize, block: &ReportBlock, now: Micros) {
        let middle = (crate::reports::ntp(self.wall_us, now) >> 16) as u32;
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        let Some(&(sink_key, false)) = transport.sink_by_ssrc.get(&block.ssrc) else {
            return;
        };
        if block.last_sr != 0 {
            let ticks = middle.wrapping_sub(block.last_sr).wrapping_sub(block.delay);
            let rtt = u64::from(ticks) * SECOND / 65_536;
            if rtt < MAX_RTT_US {
                transport.measured(rtt);
            }
        }
        if let Some(sink) = self.tables.sinks.get_mut(sink_key) {
            let source = sink
                .live
                .and_then(|e| self.tables.sources.get(e.source_key));
            sink.reported(block, source.and_then(|source| source.codec));
        }
    }

    fn on_pli(&mut self, key: usize, media: u32, now: Micros) {
        let known = self
            .tables
            .transports
            .get(key)
            .and_then(|transport| transport.sink_by_ssrc.get(&media).copied());
        let Some(sink) = known.and_then(|(sink, _)| self.tables.sinks.get_mut(sink)) else {
            return;
        };
        sink.stats.plis_received += 1;
        self.counters.keyframe_requests_in += 1;
        if !sink.may_request(now) {
            self.counters.drop_pli_rate += 1;
            return;
        }
        if !sink.given.flows() {
            return; // nothing comes, or what comes has a beat of its own
        }
        let live = sink.live.map(|epoch| Wanted {
            source: epoch.source_key,
            layer: epoch.layer,
        });
        if let Some(feed) = sink.wanted.or(live) {
            self.ask_keyframe(feed.source, feed.layer, now);
        }
    }

    /// The peer ends an SSRC: its layer counts as inactive until a packet comes again.
    fn on_bye(&mut self, key: usize, ssrc: u32) {
        let binding = self
            .tables
            .transports
            .get(key)
            .and_then(|transport| transport.streams.get(ssrc))
            .and_then(|stream| stream.binding)
            .filter(|b| !b.repair);
        if let Some(binding) = binding {
            let layer = binding.layer;
            self.end_layer(binding.source, layer);
            self.tell_mirrors(binding.source, |source, token| Note::Ended {
                source,
                token,
                layer,
            });
        }
    }

    pub(crate) fn end_layer(&mut self, source_key: usize, layer: usize) {
        let source = self.tables.sources.get_mut(source_key);
        if let Some(layer) = source.and_then(|source| source.layers.get_mut(layer)) {
            layer.last_packet = None;
            layer.losses.clear();
        }
    }

    /// Ask a layer's sender for a key frame, now or when the last request is a second old.
    pub(crate) fn ask_keyframe(&mut self, source_key: usize, layer: usize, now: Micros) {
        let Some(source) = self.tables.sources.get_mut(source_key) else {
            return;
        };
        let Some(key) = source.transport() else {
            return self.ask_across(source_key, layer, now);
        };
        let Some(layer) = source.layers.get_mut(layer) else {
            return;
        };
        let reachable = self
            .tables
            .transports
            .get(key)
            .is_some_and(|t| t.tx.is_some() && t.way().is_some());
        let Some(media) = layer.ssrc.filter(|_| reachable) else {
            layer.ask_pending = true;
            return;
        };
        if !layer.may_ask(now) {
            return;
        }
        source.stats.plis_sent += 1;
        self.counters.keyframe_requests_out += 1;
        self.send_feedback(key, |out, sender| rtcp::put_pli(out, sender, media));
    }

    /// NACK what is due in layers with losses.
    pub(crate) fn ask_for_losses(&mut self, now: Micros) {
        for (source_key, layer) in std::mem::take(&mut self.lossy) {
            let Some(source) = self.tables.sources.get_mut(source_key) else {
                continue;
            };
            let Some(key) = source.transport() else {
                continue;
            };
            let Some(feed) = source.layers.get_mut(layer) else {
                continue;
            };
            let rtt = self.tables.transports.get(key).map_or(0, |t| t.rtt());
            let seqs = feed.losses.due(now, rtt);
            if !feed.losses.is_empty() {
                self.lossy.push((source_key, layer));
            }
            let Some(media) = feed.ssrc.filter(|_| !seqs.is_empty()) else {
                continue;
            };
            source.stats.nacks_sent += seqs.len() as u64;
            self.counters.nacks_out += seqs.len() as u64;
            self.send_feedback(key, |out, sender| {
                rtcp::put_nack(out, sender, media, &seqs);
            });
        }
    }

    /// Send a receiver report without blocks followed by what `put` appends.
    pub(crate) fn send_feedback(&mut self, key: usize, put: impl FnOnce(&mut Vec<u8>, u32)) {
        let Some(transport) = self.tables.transports.get(key) else {
            return;
        };
        let mut out = self.ready.buffer();
        rtcp::put_receiver_report(&mut out, transport.reporter, &[]);
        put(&mut out, transport.reporter);
        self.send_rtcp(key, out);
    }

    /// Protect and send one compound packet.
    pub(crate) fn send_rtcp(&mut self, key: usize, mut out: Vec<u8>) {
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        let (Some(keys), Some(path)) = (&transport.tx, transport.way()) else {
            return;
        };
        let index = transport.rtcp_index;
        if index >= 1 << 31 || keys.seal_rtcp(&mut out, index).is_err() {
            self.counters.drop_index_spent += 1;
            return;
        }
        transport.rtcp_index += 1;
        self.counters.rtcp_out += 1;
        self.count_out(key, out.len());
        self.ready.single(path, out);
    }

    /// Transport-wide arrival times, while packets carry the extension.
    pub(crate) fn tick_feedback(&mut self, key: usize, now: Micros) {
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        if transport.arrivals.is_empty() || now < transport.next_feedback {
            return;
        }
        let rate = transport.bandwidth.estimate(now);
        let media = transport.streams.ssrcs().next().unwrap_or(0);
        let reporter = transport.reporter;
        let mut reports = Vec::new();
        loop {
            let mut out = self.ready.buffer();
            rtcp::put_receiver_report(&mut out, reporter, &[]);
            if !transport.arrivals.feedback(&mut out, reporter, media) {
                self.ready.recycle(out);
                break;
            }
            reports.push(out);
        }
        let octets = reports.iter().map(|out| out.len() as u64 + AROUND).sum();
        transport.next_feedback = now + twcc::interval(octets, rate);
        for out in reports {
            self.send_rtcp(key, out);
        }
    }
}
