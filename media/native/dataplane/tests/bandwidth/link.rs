//! What goes over a link of several pictures when its line turns bad, and when it is good again.

use dataplane::{Micros, MS, SECOND};

use crate::path::Path;
use crate::viewer::{percentile, Got, Telling};
use crate::world::World;

/// A picture stands when none of it comes for so long.
const SLOT_US: Micros = 300 * MS;
/// Of 25 pictures a second, what counts as pictures again.
const BACK_FPS: usize = 15;
/// How long a line is good before, bad, and good again.
const BEFORE_S: f64 = 4.0;
const BAD_S: u64 = 20;
const AFTER_S: u64 = 15;

/// What people behind the link saw.
#[derive(Debug)]
pub struct Seen {
    /// Share of the bad time in which the picture stood that was there before, 0..1.
    pub stood: f64,
    /// Until the first of a picture that began a second into it, and share of the rest it stood.
    pub first_us: Option<Micros>,
    pub new_stood: f64,
    /// Largest layer seen in the last quarter of it, of the first picture.
    pub layer: Option<u8>,
    /// Share of the sound that came.
    pub sound: f64,
    /// 95th percentile of the queue on the way.
    pub queue_us: Micros,
    /// Until all pictures flowed, on the line that is good again; `None`: they did not.
    pub back_us: Option<Micros>,
}

fn good(seed: u64) -> Path {
    let mut path = Path::new(30_000_000, seed);
    path.delay_us = 2 * MS;
    path
}

/// Two of `pictures` on a good line that becomes like `bad` both ways, and good again.
pub fn story(pictures: &[&[u64]; 2], bad: &Path, seed: u64) -> Seen {
    let mut world = World::of(pictures);
    world.run(2.0);
    world.watch(good(seed), Telling::Arrivals);
    world.run(BEFORE_S);
    turn(&mut world, bad);
    let began = world.now;
    world.run(1.0);
    world.add(1);
    let joined = world.now;
    world.run(BAD_S as f64 - 1.0);
    let ended = world.now;
    let viewer = &world.viewers[0];
    let last = |got: &&Got| got.at > ended - BAD_S * SECOND / 4 && got.source == 0;
    let layer = viewer.got.iter().filter(last).filter_map(|g| g.layer).max();
    let first = frames(&world, 1, joined, ended)
        .first()
        .map(|at| at - joined);
    let sound = viewer.voices(ended, BAD_S) as f64 / (BAD_S * 50) as f64;
    let waits = viewer.waits(ended, BAD_S);
    let stood = stands(&frames(&world, 0, began, ended), began, ended);
    let rest = joined + first.unwrap_or(0);
    let new_stood = stands(&frames(&world, 1, rest, ended), rest, ended);
    let queue_us = percentile(&waits, 95);
    turn(&mut world, &good(seed));
    world.run(AFTER_S as f64);
    let back_us = back(&world, ended);
    Seen {
        stood,
        first_us: first,
        new_stood,
        layer,
        sound,
        queue_us,
        back_us,
    }
}

fn turn(world: &mut World, to: &Path) {
    let viewer = &mut world.viewers[0];
    viewer.path.become_like(to);
    viewer.up.become_like(to);
}

/// When each picture of a source first showed, ascending.
fn frames(world: &World, source: usize, from: Micros, until: Micros) -> Vec<Micros> {
    let got = world.viewers[0].got.iter();
    let mut last = None;
    got.filter(|g| g.layer.is_some() && g.source == source && (from..until).contains(&g.at))
        .filter(|g| last.replace(g.frame) != Some(g.frame))
        .map(|g| g.at)
        .collect()
}

fn stands(frames: &[Micros], from: Micros, until: Micros) -> f64 {
    let slots = (until - from) / SLOT_US;
    let shown = |slot: &u64| {
        let start = from + slot * SLOT_US;
        let at = frames.partition_point(|at| *at < start);
        frames.get(at).is_some_and(|at| *at < start + SLOT_US)
    };
    let empty = (0..slots).filter(|slot| !shown(slot)).count();
    empty as f64 / slots.max(1) as f64
}

/// Until both pictures flow for a second and on.
fn back(world: &World, from: Micros) -> Option<Micros> {
    let until = world.now;
    (0..(until - from) / SECOND)
        .map(|s| from + s * SECOND)
        .find_map(|at| {
            let flows = |source| frames(world, source, at, at + SECOND).len() >= BACK_FPS;
            (flows(0) && flows(1)).then_some(at - from)
        })
}
