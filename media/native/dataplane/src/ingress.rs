//! An SRTP packet's way in: authenticate, bind to a layer, repair, remember, fan out.

use crate::cache::Packet;
use crate::contexts::Refused;
use crate::demux::Class;
use crate::engine::Engine;
use crate::ext::Values;
use crate::keyframe;
use crate::rtp::Header;
use crate::seqmap::unwrap;
use crate::source::{KeyframeStart, Source};
use crate::transport::{Binding, Stream, Transport};
use crate::types::{Codec, Event, Kind, Micros, Path};
use slab::Slab;

/// A decrypted packet and what it belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub binding: Binding,
    pub codec: Codec,
    /// Index at the SSRC it came on.
    pub index: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub values: Values<'a>,
    pub payload: &'a [u8],
}

impl Engine {
    pub(crate) fn on_srtp(&mut self, data: &mut [u8], path: Path, now: Micros) {
        let Some(&key) = self.tables.paths.get(&path) else {
            let handed = self.hand_over_by_path(data, path, Class::Rtp, now);
            self.counters.drop_unverified_srtp += u64::from(!handed);
            return;
        };
        if !self.within_rate(key, Class::Rtp, now) {
            return;
        }
        let Ok(header) = Header::parse(data) else {
            self.counters.drop_malformed_rtp += 1;
            return;
        };
        let size = data.len();
        let Some((index, plain)) = self.open_rtp(key, data, &header, now) else {
            return;
        };
        self.heard_media(key, path, size, now);
        let Some(packet) = data.get(..plain) else {
            return;
        };
        let Ok(payload) = header.payload(packet) else {
            self.counters.drop_malformed_rtp += 1;
            return;
        };
        self.admit(key, packet, &header, payload, index, now);
    }

    /// Authenticate and decrypt.  Returns (index, length without tag).
    fn open_rtp(
        &mut self,
        key: usize,
        data: &mut [u8],
        header: &Header,
        now: Micros,
    ) -> Option<(u64, usize)> {
        let transport = self.tables.transports.get_mut(key)?;
        let Some(keys) = &transport.rx else {
            self.counters.drop_no_keys += 1;
            return None;
        };
        let (streams, ssrc, max) = (&mut transport.streams, header.ssrc, self.limits.max_ssrcs);
        let index = match streams.place(ssrc, header.seq, max, now) {
            Ok(index) => index,
            Err(Refused::Full) => {
                self.counters.drop_ssrc_cap += 1;
                return None;
            }
            Err(Refused::Seen) => {
                self.counters.drop_replay += 1;
                return None;
            }
        };
        let Ok(plain) = keys.open_rtp(data, header.len, ssrc, index) else {
            self.counters.drop_srtp_auth += 1;
            return None;
        };
        streams.accept(ssrc, index, max, now);
        Some((index, plain))
    }

    fn admit(
        &mut self,
        key: usize,
        packet: &[u8],
        header: &Header,
        payload: &[u8],
        index: u64,
        now: Micros,
    ) {
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        let ids = &transport.ids;
        let values = Values::read(packet, header, ids);
        if let Some(seq) = values.twcc {
            transport.arrivals.record(seq, now);
        }
        let sources = &self.tables.sources;
        let Some(binding) = bind(transport, sources, header, &values) else {
            self.counters.drop_unbound += 1;
            return;
        };
        let codec = sources
            .get(binding.source)
            .and_then(|source| source.codec_of(header.payload_type));
        let Some((codec, _)) = codec.filter(|(_, repair)| *repair == binding.repair) else {
            self.counters.drop_codec += 1;
            return;
        };
        if !self.within_source_rate(binding.source, now) {
            return;
        }
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        if let Some(stream) = transport.streams.get_mut(header.ssrc) {
            stream
                .reception
                .packet(index, header.timestamp, codec.clock(), now);
        }
        let arrival = Arrival {
            binding,
            codec,
            index,
            timestamp: header.timestamp,
            marker: header.marker,
            values,
            payload,
        };
        self.arrive(arrival, header, now);
    }

    fn arrive(&mut self, mut arrival: Arrival<'_>, header: &Header, now: Micros) {
        let Some(source) = self.tables.sources.get_mut(arrival.binding.source) else {
            return;
        };
        source.stats.packets += 1;
        source.stats.bytes += arrival.payload.len() as u64;
        let frames = source.frames_in(header.payload_type);
        let Some(layer) = source.layers.get_mut(arrival.binding.layer) else {
            return;
        };
        if arrival.binding.repair {
            let Some((seq, payload)) = unwrap_repair(arrival.payload) else {
                self.counters.drop_rtx_empty += 1;
                return;
            };
            let original = layer.highest.and_then(|highest| unwrap(highest, seq));
            let Some(index) = original else {
                self.counters.drop_late += 1;
                return;
            };
            arrival.index = index;
            arrival.payload = payload;
        } else {
            if layer.ssrc != Some(header.ssrc) {
                let had = layer.ssrc.is_some();
                layer.adopt(header.ssrc);
                if had {
                    self.unfeed(arrival.binding);
                    self.refresh_mirrors(arrival.binding);
                }
            }
            let Some(layer) = self.layer(arrival.binding) else {
                return;
            };
            arrival.index += layer.offset;
        }
        match frames {
            Some(frames) => self.open_redundant(arrival, frames, now),
            None => self.remember(arrival, now),
        }
    }

    pub(crate) fn layer(&mut self, binding: Binding) -> Option<&mut crate::source::Layer> {
        self.tables
            .sources
            .get_mut(binding.source)?
            .layers
            .get_mut(binding.layer)
    }

    /// Check order, keep the packet, and send it on.
    pub(crate) fn remember(&mut self, arrival: Arrival<'_>, now: Micros) {
        let binding = arrival.binding;
        let Some(source) = self.tables.sources.get_mut(binding.source) else {
            return;
        };
        let started = source.codec != Some(arrival.codec);
        source.codec = Some(arrival.codec);
        let id = source.id;
        let video = source.config.kind == Kind::Video;
        if let Some(octet) = arrival.values.kept.audio_level.filter(|_| !video) {
            source.level.take(octet);
        }
        let home = source.transport();
        let fed = !source.feeds.is_empty();
        let Some(layer) = source.layers.get_mut(binding.layer) else {
            return;
        };
        if layer.cache.get(arrival.index).is_some() {
            self.counters.drop_duplicate += 1;
            return;
        }
        match layer.highest {
            Some(highest) if arrival.index + layer.cache.reach() <= highest => {
                self.counters.drop_late += 1;
                return;
            }
            Some(highest) if arrival.index < highest => {
                let found = layer.losses.found(arrival.index, now);
                source.stats.recovered += u64::from(found.is_some());
                self.counters.recovered += u64::from(found.is_some());
                // Without a repair SSRC the answer is the packet itself.
                let answer = binding.repair || source.config.codecs.iter().all(|c| c.2.is_none());
                let took = found.flatten().filter(|_| answer);
                let transport = home.and_then(|key| self.tables.transports.get_mut(key));
                if let (Some(took), Some(transport)) = (took, transport) {
                    transport.repaired(took);
                }
            }
            Some(highest) => {
                source.stats.lost += arrival.index - highest - 1;
                self.counters.lost += arrival.index - highest - 1;
                if video && arrival.index > highest + 1 {
                    layer.losses.gap(highest + 1, arrival.index, now);
                    let place = (binding.source, binding.layer);
                    if !self.lossy.contains(&place) {
                        self.lossy.push(place);
                    }
                }
                layer.highest = Some(arrival.index);
            }
            None => layer.highest = Some(arrival.index),
        }
        let keyframes = store(layer, &arrival, now);
        source.stats.keyframes += u64::from(keyframes);
        if started {
            let codec = arrival.codec;
            self.tell(Event::Started { source: id, codec });
        }
        if fed {
            self.feed_mirrors(binding.source, binding.layer, arrival.index);
        }
        self.fan_out(binding.source, binding.layer, arrival.index, now);
    }
}

/// Put a packet into its layer's cache and follow key frames.  Whether a new one starts here.
fn store(layer: &mut crate::source::Layer, arrival: &Arrival<'_>, now: Micros) -> bool {
    let codec = arrival.codec;
    let at = (arrival.index, arrival.timestamp);
    let (reading, dependency) = layer.read(codec, arrival.payload, arrival.values.dependency, at);
    layer.came(reading.place.needed, arrival.payload.len(), now);
    if codec == Codec::H264 && !layer.sps_in_band {
        layer.sps_in_band = keyframe::h264_has_sps(arrival.payload);
    }
    let head = Packet {
        index: arrival.index,
        timestamp: arrival.timestamp,
        arrived: now,
        marker: arrival.marker,
        codec,
        keyframe_start: reading.keyframe_start,
        kept: arrival.values.kept,
        place: reading.place,
        descriptor: reading.descriptor,
        dependency,
        payload: Vec::new(),
    };
    layer.cache.put(head, arrival.payload);
    let start = KeyframeStart {
        index: arrival.index,
        timestamp: arrival.timestamp,
        arrived: now,
    };
    let starts = reading.keyframe_start && layer.follow_keyframe(start, reading.heights);
    if starts {
        layer.assembling = Some(start);
    }
    let ends = layer
        .assembling
        .filter(|k| k.timestamp == arrival.timestamp);
    if let Some(start) = ends {
        if let Some(frame) = keyframe::assemble(&layer.cache, start.index) {
            layer.whole = Some(frame);
            layer.assembling = None;
            layer.find_single(start.timestamp);
        }
    }
    starts
}

/// RFC 4588 section 4: the original sequence number, then the original payload.
fn unwrap_repair(payload: &[u8]) -> Option<(u16, &[u8])> {
    let (seq, rest) = payload.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*seq), rest))
}

/// The layer an SSRC carries: known already, declared, named by mid and rid, or the only one
/// with its payload type.
fn bind(
    transport: &mut Transport,
    sources: &Slab<Source>,
    header: &Header,
    values: &Values<'_>,
) -> Option<Binding> {
    let stream: &mut Stream = transport.streams.get_mut(header.ssrc)?;
    if stream.binding.is_some() {
        return stream.binding;
    }
    let candidates = || {
        transport
            .sources
            .iter()
            .filter_map(|&key| Some((key, sources.get(key)?)))
    };
    let declared = candidates().find_map(|(key, source)| declared(key, source, header.ssrc));
    let found = declared.or_else(|| {
        let mut named = candidates().filter(|(_, source)| match values.mid {
            Some(mid) => source.config.mid.as_deref().map(str::as_bytes) == Some(mid),
            None => source.config.ssrcs.is_empty(),
        });
        let mut fitting = named.by_ref().filter_map(|(key, source)| {
            let (_, repair) = source.codec_of(header.payload_type)?;
            let layer = layer_of(source, values, repair)?;
            Some(Binding {
                source: key,
                layer,
                repair,
            })
        });
        let first = fitting.next();
        match fitting.next() {
            Some(_) if values.mid.is_none() => None,
            _ => first,
        }
    });
    stream.binding = found;
    found
}

fn declared(key: usize, source: &Source, ssrc: u32) -> Option<Binding> {
    let at = source
        .config
        .ssrcs
        .iter()
        .position(|&(media, rtx)| media == ssrc || rtx == Some(ssrc))?;
    let (media, _) = *source.config.ssrcs.get(at)?;
    (at < source.layers.len()).then_some(Binding {
        source: key,
        layer: at,
        repair: media != ssrc,
    })
}

fn layer_of(source: &Source, values: &Values<'_>, repair: bool) -> Option<usize> {
    if source.config.rids.is_empty() {
        return Some(0);
    }
    let rid = if repair {
        values.repaired_rid
    } else {
        values.rid
    };
    source.rid_layer(rid?)
}
