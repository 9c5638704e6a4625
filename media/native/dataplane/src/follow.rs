//! Sinks pointed at layers: what each wants and may have, looked at again 20 times a second.

use crate::engine::Engine;
use crate::layers::{pick, Step};
use crate::sink::{Allowed, Sink, Want, Wanted};
use crate::source::Source;
use crate::types::{Kind, Micros};

/// The layer a sink is to get from a source now.  One that is fed goes up only to a layer that
/// has been steady; the old choice stands while nothing flows.
fn layer_for(source: &Source, key: usize, steps: &[Step], sink: &Sink, now: Micros) -> usize {
    let live = sink.live.filter(|epoch| epoch.source_key == key);
    let steady = |step: &&Step| {
        let layer = usize::from(step.layer);
        live.is_none_or(|epoch| {
            layer <= epoch.layer || source.layers.get(layer).is_some_and(|l| l.steady(now))
        })
    };
    let offered: Vec<Step> = steps.iter().filter(steady).copied().collect();
    let picked = pick(&offered, sink.want, sink.given);
    picked.map_or(source.best, |step| usize::from(step.layer))
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

    /// The layer with which a sink begins with a source.
    pub(crate) fn first_layer(&mut self, sink_key: usize, source_key: usize, now: Micros) -> usize {
        let source = self.tables.sources.get(source_key);
        let sink = self.tables.sinks.get_mut(sink_key);
        source.zip(sink).map_or(0, |(source, sink)| {
            let steps = source.steps(now);
            sink.give(&steps, self.strain);
            layer_for(source, source_key, &steps, sink, now)
        })
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
        for &sink_key in &source.sinks {
            let Some(sink) = self.tables.sinks.get_mut(sink_key) else {
                continue;
            };
            if sink.wanted.is_some_and(|wanted| wanted.source != key) {
                continue;
            }
            sink.give(&steps, self.strain);
            let layer = layer_for(source, key, &steps, sink, now);
            if sink.given == Allowed::Paused {
                sink.wanted = Some(Wanted { source: key, layer });
                let before = sink.live.take().map(|epoch| epoch.source_key);
                paused.extend(before.filter(|old| *old != key).map(|old| (sink_key, old)));
                continue;
            }
            let fed = sink.live.filter(|epoch| epoch.source_key == key);
            let there = fed.is_some_and(|epoch| epoch.layer == layer);
            sink.wanted = (!there).then_some(Wanted { source: key, layer });
            if waits && !there && !asks.contains(&layer) {
                asks.push(layer);
            }
        }
        for (sink_key, old) in paused {
            self.leave(sink_key, old);
        }
        asks
    }
}
