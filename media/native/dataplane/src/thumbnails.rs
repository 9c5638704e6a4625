//! Where a path has no room for a picture that moves but for some of it: key frames by themselves.
//!
//! A viewer gets whole key frames of the least layer, at least two seconds apart and no more than
//! is left beside the sound pays for (`bandwidth::spare`), its numbers closed up over all between.
//! They come by turns where several viewers share a path.  One that is here already is taken if it
//! is young; else one is asked for, once for each turn.

use crate::bandwidth::spare::Spare;
use crate::engine::Engine;
use crate::epoch::Epoch;
use crate::sink::{Allowed, Sink, Wanted};
use crate::source::{Layer, Single, FRESH_US};
use crate::transport::Pending;
use crate::types::{Micros, SECOND};

/// Two pictures of one viewer are so far apart at least.
const BEAT_US: Micros = 2 * SECOND;
/// A turn passes on when nothing came for so long.
const TURN_US: Micros = 2 * SECOND;

/// What one sink is sent of single pictures.
#[derive(Debug, Default)]
pub struct Album {
    /// What is live is one of them.
    open: bool,
    /// The last: id of the source, layer, and index of its first packet.
    last: Option<(u32, usize, u64)>,
    /// When it went.
    shown: Option<Micros>,
    /// Since when it is this sink's turn.
    turn: Option<Micros>,
    /// When it last had a turn.
    served: Micros,
    asked: bool,
}

impl Sink {
    /// The feed whose packets go on as they come.
    #[inline]
    pub(crate) fn feed(&self) -> Option<&Epoch> {
        let moves = !self.album.open && self.given != Allowed::Thumbnails;
        self.live.as_ref().filter(|_| moves)
    }

    /// Going over to single pictures, or from them, ends what is live.  What that was.
    pub(crate) fn turn_page(&mut self) -> Option<Epoch> {
        let singles = self.given == Allowed::Thumbnails;
        if singles == self.album.open {
            return None;
        }
        self.album.open = false;
        let epoch = self.live.take()?;
        self.wanted.get_or_insert(Wanted {
            source: epoch.source_key,
            layer: epoch.layer,
        });
        Some(epoch)
    }

    /// Whether it is to have a picture, as far as it has had some.
    fn may_have_turn(&self, now: Micros) -> bool {
        let rested = |at: Micros| now.saturating_sub(at) >= BEAT_US;
        let waits = self.given == Allowed::Thumbnails && self.wanted.is_some();
        waits && self.album.shown.is_none_or(rested)
    }

    /// A layer's newest key frame, if it is whole, young, and news.
    fn news(&self, source: u32, at: usize, layer: &Layer, now: Micros) -> Option<Single> {
        let single = layer.single?;
        let young = now.saturating_sub(single.start.arrived) <= FRESH_US;
        let new = self.album.last != Some((source, at, single.start.index));
        (young && new).then_some(single)
    }

    /// Give the turn back.
    fn served(&mut self, now: Micros) {
        self.album.turn = None;
        self.album.served = now;
        self.album.asked = false;
    }
}

impl Engine {
    /// Whether what is left of a path is enough for single pictures of what a sink is to show.
    pub(crate) fn fits_single(&self, sink_key: usize, spare: &Spare) -> bool {
        let Some(sink) = self.tables.sinks.get(sink_key) else {
            return false;
        };
        let had = sink.allowed == Allowed::Thumbnails;
        let live = sink.live.map(|epoch| epoch.source_key);
        let source = sink.wanted.map(|wanted| wanted.source).or(live);
        let source = source.and_then(|key| self.tables.sources.get(key));
        let mut singles = source.iter().flat_map(|source| &source.layers);
        let known = singles.find_map(|layer| layer.single);
        spare.fits(known.map_or(0, |single| single.octets), had)
    }

    /// See whose turn it is on a path.
    pub(crate) fn next_single(&mut self, key: usize, now: Micros) {
        let tables = &mut self.tables;
        let Some(transport) = tables.transports.get_mut(key) else {
            return;
        };
        let singles = |key: &usize| {
            let sink = tables.sinks.get(*key);
            sink.is_some_and(|sink| sink.given == Allowed::Thumbnails)
        };
        let serves = transport.sinks.iter().any(singles);
        transport.bandwidth.spare.serves(serves);
        if !serves || !transport.bandwidth.spare.open(now) {
            return;
        }
        let mut next: Option<((Micros, u8), usize)> = None;
        for &sink_key in &transport.sinks {
            let Some(sink) = tables.sinks.get_mut(sink_key) else {
                continue;
            };
            let late = |at: Micros| now.saturating_sub(at) >= TURN_US;
            if sink.album.turn.is_some_and(late) {
                sink.served(now);
            }
            if !sink.may_have_turn(now) {
                sink.album.turn = None;
                continue;
            }
            if sink.album.turn.is_some() {
                return;
            }
            let rank = (sink.album.served, sink.want.priority);
            if next.is_none_or(|(least, _)| rank < least) {
                next = Some((rank, sink_key));
            }
        }
        if let Some(sink) = next.and_then(|(_, key)| tables.sinks.get_mut(key)) {
            sink.album.turn = Some(now);
        }
    }

    /// Send a sink the key frame it waits for, if it is its turn.  The layer to ask for one.
    pub(crate) fn show_single(&mut self, sink_key: usize, now: Micros) -> Option<usize> {
        let sink = self.tables.sinks.get_mut(sink_key)?;
        let transport = self.tables.transports.get(sink.transport)?;
        let here = sink.wanted.filter(|_| sink.album.turn.is_some())?;
        if !transport.bandwidth.idle() || !transport.bandwidth.spare.open(now) {
            return None;
        }
        let source = self.tables.sources.get(here.source)?;
        let layer = source.layers.get(here.layer)?;
        let Some(single) = sink.news(source.id, here.layer, layer, now) else {
            let asks = !sink.album.asked && layer.assembling.is_none();
            sink.album.asked |= asks;
            return asks.then_some(here.layer);
        };
        self.send_single(sink_key, here, single, now);
        None
    }

    fn send_single(
        &mut self,
        sink_key: usize,
        here: Wanted,
        single: Single,
        now: Micros,
    ) -> Option<()> {
        let sink = self.tables.sinks.get_mut(sink_key)?;
        let key = sink.transport;
        let transport = self.tables.transports.get_mut(key)?;
        let source = self.tables.sources.get(here.source)?;
        let cache = &source.layers.get(here.layer)?.cache;
        let first = cache.get(single.start.index)?;
        sink.payload_type(first.codec)?;
        if transport.tx.is_none() || transport.way().is_none() {
            return None;
        }
        let whole = now + transport.bandwidth.spare.spend(single.octets);
        let late_us = whole.saturating_sub(first.arrived);
        sink.begin(source.id, here, first, late_us);
        sink.album.open = true;
        sink.album.last = Some((source.id, here.layer, single.start.index));
        sink.album.shown = Some(now);
        sink.served(now);
        sink.stats.thumbnails += 1;
        let packets = (single.start.index..=single.last).map(|index| Pending {
            sink: sink_key,
            source: here.source,
            layer: here.layer,
            index,
        });
        let before = transport.pending.len();
        transport.pending.extend(packets);
        self.congestion.waiting += transport.pending.len() - before;
        self.due.push_back(key);
        Some(())
    }
}
