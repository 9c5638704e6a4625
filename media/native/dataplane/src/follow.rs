//! Sinks pointed at layers: what each wants and may have, looked at again 20 times a second.

use crate::engine::Engine;
use crate::layers::{pick, several, Step};
use crate::place::{Place, TOP};
use crate::sink::{Allowed, Sink, Want, Wanted};
use crate::source::{Layer, Source};
use crate::types::{Kind, Micros, SECOND};
use hashbrown::HashMap;
use slab::Slab;

/// A feed that waits this long for a place to change over asks for a key frame.
const PATIENCE_US: Micros = 2 * SECOND;

/// What a sink is to get of a source now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub layer: usize,
    /// The target in that layer.
    goal: u16,
    /// The target in the layer it has meanwhile.
    aim: u16,
}

/// One that is fed goes up only to a layer that has been steady, unless nothing comes of its own;
/// the old choice stands while nothing flows.  Until a lower layer's key frame comes, the least of
/// the old one is sent.
fn choose(source: &Source, key: usize, steps: &[Step], sink: &Sink, now: Micros) -> Choice {
    let live = sink.live.filter(|epoch| epoch.source_key == key);
    let steady = |step: &&Step| {
        let layer = usize::from(step.layer);
        live.is_none_or(|epoch| {
            let comes = |at: usize| source.layers.get(at).is_some_and(|l| l.active(now));
            let steady = source.layers.get(layer).is_some_and(|l| l.steady(now));
            layer <= epoch.layer || steady || !comes(epoch.layer)
        })
    };
    let offered: Vec<Step> = steps.iter().filter(steady).copied().collect();
    let Some(step) = pick(&offered, sink.want, sink.given) else {
        let wanted = sink.wanted.filter(|wanted| wanted.source == key);
        let old = wanted.map(|wanted| wanted.layer);
        let layer = old.or(live.map(|epoch| epoch.layer)).unwrap_or(source.best);
        return Choice {
            layer,
            goal: TOP,
            aim: TOP,
        };
    };
    let layer = usize::from(step.layer);
    let goal = source.mask(&step);
    let aim = match live {
        Some(epoch) if epoch.layer > layer => least(source, epoch.layer),
        Some(epoch) if epoch.layer < layer => TOP,
        _ => goal,
    };
    Choice { layer, goal, aim }
}

/// Whether a sink would send what the one beside it sends already: there is but one size, or that
/// one has gone down to the same.
fn spare(
    sinks: &Slab<Sink>,
    keys: &HashMap<u32, usize>,
    key: usize,
    steps: &[Step],
    sink: usize,
) -> bool {
    let Some(sink) = sinks.get(sink).filter(|sink| sink.want.beside.is_some()) else {
        return false;
    };
    if !several(steps) {
        return true;
    }
    let large = sink.want.beside.and_then(|id| keys.get(&id));
    let large = large.and_then(|key| sinks.get(*key));
    let Some(large) = large.filter(|large| large.given != Allowed::Paused) else {
        return false;
    };
    if large.given == Allowed::Thumbnails {
        return true;
    }
    let small = pick(steps, sink.want, sink.allowed);
    let same = small.zip(pick(steps, large.want, large.given));
    let fed = large.live.filter(|epoch| epoch.source_key == key);
    same.zip(fed).is_some_and(|((small, large), epoch)| {
        small.picture() == large.picture() && epoch.layer == usize::from(small.layer)
    })
}

/// The lowest target of a layer.
fn least(source: &Source, layer: usize) -> u16 {
    let offered = source.layers.get(layer).map_or(0, |layer| layer.offered);
    match offered & offered.wrapping_neg() {
        0 => TOP,
        lowest if lowest == offered => TOP,
        lowest => lowest,
    }
}

/// Whether going from one target of a layer to another takes a key frame.
fn takes_keyframe(layer: &Layer, from: u16, aim: u16) -> bool {
    let place = Place {
        offered: layer.offered,
        nested: layer.frames.nested(),
        ..Place::default()
    };
    place.level(from).0 != place.level(aim).0 && !place.contains(from, aim)
}

/// Point a sink at its choice.  Whether a key frame of its layer is to be asked for.
fn point(source: &Source, key: usize, sink: &mut Sink, choice: Choice, now: Micros) -> bool {
    let paused = sink.given == Allowed::Paused;
    sink.goal = choice.goal;
    if sink.given == Allowed::Thumbnails {
        sink.wanted = Some(Wanted {
            source: key,
            layer: choice.layer,
        });
        sink.aim = choice.goal;
        sink.turning = None;
        return false;
    }
    let fed = sink.live.filter(|epoch| epoch.source_key == key);
    let there = fed.filter(|epoch| epoch.layer == choice.layer);
    sink.wanted = there.is_none().then_some(Wanted {
        source: key,
        layer: choice.layer,
    });
    if fed.is_some() {
        sink.aim = if paused { 0 } else { choice.aim };
    }
    let waits = fed.is_some_and(|epoch| epoch.mask != sink.aim);
    let since = sink.turning.filter(|_| waits).unwrap_or(now);
    sink.turning = waits.then_some(since);
    let stuck = now.saturating_sub(since) >= PATIENCE_US;
    let barred = there.zip(source.layers.get(choice.layer));
    let barred = barred.is_some_and(|(epoch, layer)| takes_keyframe(layer, epoch.mask, sink.aim));
    !paused && (there.is_none() || stuck || barred)
}

impl Engine {
    pub(crate) fn want(&mut self, sink: u32, want: Want, now: Micros) -> Option<()> {
        let key = *self.tables.sink_keys.get(&sink)?;
        self.tables.sinks.get_mut(key)?.want = want;
        self.follow_now(key, now);
        Some(())
    }

    /// What a sink wants or may have changed: follow it at once.
    pub(crate) fn follow_now(&mut self, sink_key: usize, now: Micros) -> Option<()> {
        let sink = self.tables.sinks.get(sink_key)?;
        let live = sink.live.map(|epoch| epoch.source_key);
        let source = sink.wanted.map(|wanted| wanted.source).or(live)?;
        for layer in self.follow_layers(source, now) {
            self.ask_keyframe(source, layer, now);
        }
        Some(())
    }

    /// Let a sink have so much of its picture, and follow that at once.  Whether it exists.
    pub fn allow(&mut self, sink: u32, allowed: Allowed, now: Micros) -> bool {
        let key = self.tables.sink_keys.get(&sink).copied();
        let found = key.and_then(|key| Some((key, self.tables.sinks.get_mut(key)?)));
        let Some((key, sink)) = found else {
            return false;
        };
        sink.allowed = allowed;
        self.follow_now(key, now);
        true
    }

    /// What a sink begins with of a source; a video sink is told the target.
    pub(crate) fn first_layer(&mut self, sink_key: usize, source_key: usize, now: Micros) -> usize {
        let Some(source) = self.tables.sources.get(source_key) else {
            return 0;
        };
        let steps = source.steps(now);
        let tables = &self.tables;
        let spare = spare(
            &tables.sinks,
            &tables.sink_keys,
            source_key,
            &steps,
            sink_key,
        );
        let Some(sink) = self.tables.sinks.get_mut(sink_key) else {
            return 0;
        };
        let steps = sink.decodable(&steps, source.codec);
        sink.give(&steps, self.strain, spare);
        let choice = choose(source, source_key, &steps, sink, now);
        sink.goal = choice.goal;
        choice.layer
    }

    /// Follow the layers of every source, and ask again where somebody waits.
    pub(crate) fn tick_sources(&mut self, now: Micros) {
        let keys: Vec<usize> = self.tables.sources.iter().map(|(key, _)| key).collect();
        for key in keys {
            for layer in self.follow_layers(key, now) {
                self.ask_keyframe(key, layer, now);
            }
        }
    }

    /// Point the source's sinks at what each is to get.  Returns the layers to ask key frames of.
    fn follow_layers(&mut self, key: usize, now: Micros) -> Vec<usize> {
        let Some(source) = self.tables.sources.get_mut(key) else {
            return Vec::new();
        };
        source.choose(now);
        let layers = source.layers.iter_mut().enumerate();
        let pending = layers.filter(|(_, layer)| layer.ask_pending);
        let mut asks: Vec<usize> = pending.map(|(at, _)| at).collect();
        let waits = source.config.kind == Kind::Video;
        let steps = source.steps(now);
        let mut paused: Vec<(usize, usize)> = Vec::new();
        let mut albums: Vec<usize> = Vec::new();
        for &sink_key in &source.sinks {
            let (sinks, keys) = (&self.tables.sinks, &self.tables.sink_keys);
            let spare = spare(sinks, keys, key, &steps, sink_key);
            let Some(sink) = self.tables.sinks.get_mut(sink_key) else {
                continue;
            };
            if sink.wanted.is_some_and(|wanted| wanted.source != key) {
                continue;
            }
            let steps = sink.decodable(&steps, source.codec);
            sink.give(&steps, self.strain, spare);
            if let Some(epoch) = sink.turn_page().filter(|epoch| epoch.source_key != key) {
                paused.push((sink_key, epoch.source_key));
            }
            let choice = choose(source, key, &steps, sink, now);
            let asks_for = point(source, key, sink, choice, now) && waits;
            let elsewhere = sink.live.filter(|epoch| epoch.source_key != key);
            if sink.given == Allowed::Thumbnails {
                albums.push(sink_key);
            }
            if let Some(epoch) = elsewhere.filter(|_| !sink.given.flows()) {
                sink.live = None;
                paused.push((sink_key, epoch.source_key));
            }
            if asks_for && !asks.contains(&choice.layer) {
                asks.push(choice.layer);
            }
        }
        for (sink_key, old) in paused {
            self.leave(sink_key, old);
        }
        for sink_key in albums {
            let asks_for = self.show_single(sink_key, now);
            asks.extend(asks_for.filter(|layer| !asks.contains(layer)));
        }
        asks
    }
}
