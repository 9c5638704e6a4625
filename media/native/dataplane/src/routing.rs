//! Operations: transports, keys, sources, sinks, and which source feeds which sink.

use crate::engine::Engine;
use crate::ext::Extension;
use crate::sink::{Sink, Wanted};
use crate::source::{Home, Source};
use crate::srtp::Protection;
use crate::transport::{Pending, Transport};
use crate::types::{Kind, MasterKey, Micros, Profile, SinkConfig, SourceConfig, TransportConfig};

impl Engine {
    pub(crate) fn add_transport(
        &mut self,
        id: u32,
        config: TransportConfig,
        now: Micros,
    ) -> Option<()> {
        let tables = &self.tables;
        let taken = tables.transport_keys.contains_key(&id)
            || tables.ufrags.contains_key(&config.local_ufrag);
        if taken || tables.transports.len() >= self.limits.max_transports {
            return None;
        }
        let (tie_breaker, reporter) = (self.random_u64(), self.random_u32());
        let ufrag = config.local_ufrag.clone();
        let transport = Transport::new(id, config, tie_breaker, reporter);
        let key = self.tables.transports.insert(transport);
        self.tables.transport_keys.insert(id, key);
        self.tables.ufrags.insert(ufrag, key);
        self.tick_ice(key, now);
        Some(())
    }

    pub(crate) fn set_keys(
        &mut self,
        id: u32,
        profile: Profile,
        rx: &MasterKey,
        tx: &MasterKey,
    ) -> Option<()> {
        let (Ok(rx), Ok(tx)) = (Protection::new(profile, rx), Protection::new(profile, tx)) else {
            self.counters.drop_bad_key += 1;
            return Some(());
        };
        let (_, transport) = self.tables.transport(id)?;
        transport.rx = Some(rx);
        transport.tx = Some(tx);
        let sources = transport.sources.clone();
        for key in sources {
            if let Some(source) = self.tables.sources.get_mut(key) {
                source
                    .layers
                    .iter_mut()
                    .for_each(|l| l.ask_pending |= l.ssrc.is_some());
            }
        }
        Some(())
    }

    pub(crate) fn drop_transport(&mut self, id: u32) -> Option<()> {
        let (_, transport) = self.tables.transport(id)?;
        let (sources, sinks) = (transport.sources.clone(), transport.sinks.clone());
        for key in sinks {
            let sink = self.tables.sinks.get(key).map(|s| s.id);
            sink.and_then(|sink| self.drop_sink(sink));
        }
        for key in sources {
            let source = self.tables.sources.get(key).map(|s| s.id);
            source.and_then(|source| self.drop_source(source));
        }
        self.tables.remove_transport(id).map(|_| ())
    }

    pub(crate) fn add_source(&mut self, id: u32, config: SourceConfig) -> Option<()> {
        if self.tables.source_keys.contains_key(&id) {
            return None;
        }
        let cache_packets = self.limits.cache_packets;
        let (key, _) = self.tables.transport(config.transport)?;
        let source = Source::new(id, Home::Here(key), config, cache_packets);
        let declared: Vec<u32> = source.declared().collect();
        let source_key = self.tables.sources.insert(source);
        self.tables.source_keys.insert(id, source_key);
        let transport = self.tables.transports.get_mut(key)?;
        transport.sources.push(source_key);
        transport.streams.declare(declared.iter().copied());
        transport.rtcp_windows.declare(declared.into_iter());
        Some(())
    }

    pub(crate) fn drop_source(&mut self, id: u32) -> Option<()> {
        let key = self.tables.source_keys.remove(&id)?;
        let source = self.tables.sources.try_remove(key)?;
        // Not only those it feeds: earlier spells of any sink may still point here.
        for (_, sink) in &mut self.tables.sinks {
            sink.forget(key);
        }
        self.lossy.retain(|(source, _)| *source != key);
        self.cease(&source);
        let Home::Here(transport) = source.home else {
            return Some(());
        };
        let transport = self.tables.transports.get_mut(transport)?;
        transport.sources.retain(|k| *k != key);
        transport.streams.revoke(source.declared());
        transport.rtcp_windows.revoke(source.declared());
        for stream in transport.streams.all_held() {
            if stream.binding.is_some_and(|b| b.source == key) {
                stream.binding = None;
            }
        }
        Some(())
    }

    pub(crate) fn add_sink(&mut self, id: u32, config: SinkConfig) -> Option<()> {
        if self.tables.sink_keys.contains_key(&id) {
            return None;
        }
        let random = (self.random_u32(), self.random_u32(), self.random_u32());
        let max_sinks = self.limits.max_sinks;
        let (key, transport) = self.tables.transport(config.transport)?;
        let ssrcs = [Some(config.ssrc), config.rtx_ssrc];
        let clash = ssrcs
            .iter()
            .flatten()
            .any(|s| transport.sink_by_ssrc.contains_key(s))
            || config.rtx_ssrc == Some(config.ssrc);
        if clash || transport.sinks.len() >= max_sinks {
            return None;
        }
        // Half the space below the first wrap, so that receivers agree on the roll-over counter.
        let start = |ssrc: u32, random: u32| {
            let known = transport.next_index.get(&ssrc).copied();
            known.unwrap_or(u64::from(random & 0x7FFF) + 1)
        };
        let first = start(config.ssrc, random.0);
        let repair = config.rtx_ssrc.map_or(0, |ssrc| start(ssrc, random.1));
        let mut sink = Sink::new(id, key, config, first, repair, random.2);
        sink.flat = transport.ids.id(Extension::DependencyDescriptor).is_none();
        let (ssrc, rtx_ssrc) = (sink.config.ssrc, sink.config.rtx_ssrc);
        let sink_key = self.tables.sinks.insert(sink);
        self.tables.sink_keys.insert(id, sink_key);
        let transport = self.tables.transports.get_mut(key)?;
        transport.sinks.push(sink_key);
        transport.sink_by_ssrc.insert(ssrc, (sink_key, false));
        if let Some(ssrc) = rtx_ssrc {
            transport.sink_by_ssrc.insert(ssrc, (sink_key, true));
        }
        Some(())
    }

    pub(crate) fn drop_sink(&mut self, id: u32) -> Option<()> {
        let key = self.tables.sink_keys.remove(&id)?;
        let sink = self.tables.sinks.try_remove(key)?;
        let feeds = [
            sink.live.map(|e| e.source_key),
            sink.wanted.map(|w| w.source),
        ];
        for source in feeds.into_iter().flatten() {
            if let Some(source) = self.tables.sources.get_mut(source) {
                source.sinks.retain(|k| *k != key);
            }
        }
        let transport = self.tables.transports.get_mut(sink.transport)?;
        transport.sinks.retain(|k| *k != key);
        transport.sink_by_ssrc.remove(&sink.config.ssrc);
        transport
            .next_index
            .insert(sink.config.ssrc, sink.next_out());
        if let Some(ssrc) = sink.config.rtx_ssrc {
            transport.sink_by_ssrc.remove(&ssrc);
            transport.next_index.insert(ssrc, sink.next_repair);
        }
        Some(())
    }

    pub(crate) fn route(&mut self, sink: u32, source: Option<u32>, now: Micros) -> Option<()> {
        let sink_key = *self.tables.sink_keys.get(&sink)?;
        let target = match source {
            Some(source) => Some(*self.tables.source_keys.get(&source)?),
            None => None,
        };
        let sink = self.tables.sinks.get_mut(sink_key)?;
        let live = sink.live.map(|e| e.source_key);
        let wanted = sink.wanted.map(|w| w.source);
        let video = sink.config.kind == Kind::Video;
        let Some(target) = target else {
            sink.live = None;
            sink.wanted = None;
            for old in [live, wanted].into_iter().flatten() {
                self.leave(sink_key, old);
            }
            return Some(());
        };
        if wanted == Some(target) || wanted.is_none() && live == Some(target) {
            return Some(());
        }
        let layer = self.first_layer(sink_key, target, now);
        let source = self.tables.sources.get_mut(target)?;
        let sink = self.tables.sinks.get_mut(sink_key)?;
        sink.wanted = Some(Wanted {
            source: target,
            layer,
        });
        if live == Some(target) {
            sink.wanted = None;
        } else if !video {
            sink.live = None;
        }
        if !source.sinks.contains(&sink_key) {
            source.sinks.push(sink_key);
        }
        for old in [live, wanted].into_iter().flatten() {
            self.leave(sink_key, old);
        }
        if video {
            let transport = self.tables.sinks.get(sink_key)?.transport;
            self.share_out(transport, now);
        }
        if video && live != Some(target) && !self.join_cached(sink_key, now) {
            self.ask_keyframe(target, layer, now);
        }
        Some(())
    }

    /// Start a waiting sink from what the cache holds.  One that is being fed goes on with its
    /// old feed until the next packet of the new one.  Whether it started.
    fn join_cached(&mut self, sink_key: usize, now: Micros) -> bool {
        let sink = self.tables.sinks.get(sink_key);
        let Some(here) = sink.filter(|s| s.live.is_none()).and_then(|s| s.wanted) else {
            return false;
        };
        let source = self.tables.sources.get(here.source);
        let feed = source.and_then(|source| source.layers.get(here.layer));
        let Some(index) = feed.and_then(|feed| feed.highest) else {
            return false;
        };
        let pending = Pending {
            sink: sink_key,
            source: here.source,
            layer: here.layer,
            index,
        };
        self.join(sink_key, here, pending, now);
        let sink = self.tables.sinks.get(sink_key);
        sink.is_some_and(|sink| sink.live.is_some())
    }

    pub(crate) fn request_keyframe(&mut self, source: u32, now: Micros) -> Option<()> {
        let key = *self.tables.source_keys.get(&source)?;
        let layer = self.tables.sources.get(key)?.best;
        self.ask_keyframe(key, layer, now);
        Some(())
    }
}
