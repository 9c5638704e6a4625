//! Lines with room for sound and a picture now and then: key frames by themselves.

use dataplane::{Coming, Micros, MS, SECOND};

use crate::path::Path;
use crate::viewer::{percentile, Got, Picture, Telling, Viewer};
use crate::world::{World, SINK};

const LAYERS: [u64; 3] = [150_000, 500_000, 1_300_000];
const SETTLED_S: f64 = 8.0;
const WATCHED_S: u64 = 30;

/// Two seconds of a sender, then a viewer behind a line of so many bits per second.
fn behind(bps: u64, key: usize, pictures: &[&[u64]]) -> World {
    let mut path = Path::new(bps, 41);
    path.queue_us = SECOND;
    let mut world = World::of(pictures);
    world.key = key;
    world.run(2.0);
    world.watch(path, Telling::Arrivals);
    for at in 1..pictures.len() {
        world.add(at as u32);
    }
    world.run(SETTLED_S);
    world
}

/// (when it was whole, its last packet) of every whole picture of a source since `from`; fails
/// when one is not whole, or no key frame.
fn wholes(viewer: &Viewer, source: usize, from: Micros) -> Vec<(Micros, Picture)> {
    let of = |got: &&Got| got.at > from && got.source == source;
    let packets = viewer.got.iter().filter(of);
    let pictures = packets.filter_map(|got| Some((got.at, got.picture?)));
    let mut open: Option<Picture> = None;
    let mut wholes = Vec::new();
    for (at, packet) in pictures.skip_while(|(_, picture)| !picture.starts) {
        assert!(packet.key, "{packet:?} is not of a key frame");
        match open {
            Some(last) => {
                assert_eq!(packet.index, last.index + 1, "numbers have no gaps");
                assert_eq!(packet.starts, last.ends, "{last:?} {packet:?}");
                let step = packet.number.wrapping_sub(last.number) & 0x7FFF;
                assert_eq!(step, u16::from(last.ends), "{last:?} {packet:?}");
            }
            None => assert!(packet.starts),
        }
        if packet.ends {
            wholes.push((at, packet));
        }
        open = Some(packet);
    }
    wholes
}

fn gaps(wholes: &[(Micros, Picture)]) -> Vec<Micros> {
    let mut gaps: Vec<_> = wholes.windows(2).map(|w| w[1].0 - w[0].0).collect();
    gaps.sort_unstable();
    gaps
}

/// Sound goes on whole, with little before it, while it is watched.
fn sounds_well(world: &World, queue_us: Micros) {
    let viewer = &world.viewers[0];
    let waits = viewer.waits(world.now, WATCHED_S);
    let late = percentile(&waits, 95);
    assert!(late < queue_us, "{late} us of queue");
    let voices = viewer.voices(world.now, WATCHED_S) as u64;
    assert!(voices >= WATCHED_S * 49, "{voices} frames of sound");
}

#[test]
fn a_picture_comes_every_two_seconds_beside_sound_at_64_kilobits() {
    let mut world = behind(64_000, 3, &[&LAYERS]);
    let (from, asked) = (world.now, world.asked);
    world.run(WATCHED_S as f64);
    let wholes = wholes(&world.viewers[0], 0, from);
    let gaps = gaps(&wholes);
    println!("{} pictures, {gaps:?}", wholes.len());
    assert!(wholes.len() >= 12, "{} pictures", wholes.len());
    assert!(percentile(&gaps, 100) < 4 * SECOND, "{gaps:?}");
    assert!(world.asked - asked <= wholes.len() as u64 + 2);
    sounds_well(&world, 150 * MS);
    let last = world.told.last().map(|(_, sink, coming)| (*sink, *coming));
    assert_eq!(last, Some((SINK, Coming::Thumbnails)));
}

#[test]
fn the_time_of_a_picture_is_that_at_which_it_is_whole() {
    let mut world = behind(64_000, 7, &[&LAYERS]);
    let from = world.now;
    world.run(WATCHED_S as f64);
    let wholes = wholes(&world.viewers[0], 0, from);
    let late = |(at, picture): &(Micros, Picture)| {
        let shown = u64::from(picture.timestamp.wrapping_sub(wholes[0].1.timestamp)) * 100 / 9;
        (at - wholes[0].0).abs_diff(shown)
    };
    let mut late: Vec<Micros> = wholes.iter().map(late).collect();
    late.sort_unstable();
    assert!(percentile(&late, 80) < 800 * MS, "{late:?}");
}

#[test]
fn larger_pictures_come_less_often_and_the_largest_never() {
    let mut world = behind(64_000, 14, &[&LAYERS]);
    let from = world.now;
    world.run(WATCHED_S as f64);
    let shown = wholes(&world.viewers[0], 0, from).len();
    println!("{shown} pictures of 10.5 kB");
    assert!((4..=10).contains(&shown), "{shown} pictures");
    sounds_well(&world, 300 * MS);
    let mut world = behind(64_000, 100, &[&LAYERS]);
    let from = world.now;
    world.run(WATCHED_S as f64);
    assert!(wholes(&world.viewers[0], 0, from).is_empty());
    let last = world.told.last().map(|(_, _, coming)| *coming);
    assert_eq!(last, Some(Coming::Paused));
}

#[test]
fn several_pictures_take_turns() {
    let mut world = behind(64_000, 3, &[&LAYERS, &LAYERS, &LAYERS]);
    let (from, asked) = (world.now, world.asked);
    world.run(WATCHED_S as f64);
    let viewer = &world.viewers[0];
    let shown: Vec<usize> = (0..3).map(|at| wholes(viewer, at, from).len()).collect();
    println!("{shown:?} pictures");
    let (least, most) = (shown.iter().min(), shown.iter().max());
    assert!(least >= Some(&4) && most <= Some(&12), "{shown:?}");
    assert!(world.asked - asked <= shown.iter().sum::<usize>() as u64 + 2);
    sounds_well(&world, 200 * MS);
}

#[test]
fn who_has_room_loses_nothing_beside_one_who_has_none() {
    let mut world = behind(64_000, 3, &[&LAYERS]);
    world.watch(Path::new(20_000_000, 42), Telling::Arrivals);
    world.run(6.0);
    let (from, asked) = (world.now, world.asked);
    world.run(20.0);
    let wide = &world.viewers[1];
    let largest = wide
        .recent(world.now, 20)
        .filter(|got| got.layer == Some(2));
    let starts = largest.filter(|got| got.picture.is_some_and(|p| p.starts));
    assert_eq!(
        starts.count(),
        20 * 25,
        "every picture of the largest layer"
    );
    assert!(wholes(&world.viewers[0], 0, from).len() >= 6);
    assert!(world.asked - asked <= 11, "one each two seconds");
}

#[test]
fn pictures_flow_again_when_there_is_room_and_end_when_there_is_none_at_all() {
    let mut world = behind(64_000, 3, &[&LAYERS]);
    world.viewers[0].path.bps = 1_000_000;
    world.run(20.0);
    let told = |world: &World| world.told.last().map(|(_, _, coming)| *coming);
    assert_eq!(told(&world), Some(Coming::Flows));
    let viewer = &world.viewers[0];
    let flowed = viewer
        .recent(world.now, 2)
        .filter(|got| got.layer.is_some());
    assert!(flowed.count() >= 48);
    world.viewers[0].path.bps = 32_000;
    world.run(20.0);
    let from = world.now;
    world.run(30.0);
    let shown = wholes(&world.viewers[0], 0, from).len();
    println!("{shown} pictures at 32 kbit/s, {:?}", world.told);
    assert!(shown <= 15 && world.viewers[0].voices(world.now, 30) >= 1_350);
}
