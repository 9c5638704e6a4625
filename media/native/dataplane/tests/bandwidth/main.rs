//! What viewers behind slow, lossy and changing paths get, in virtual time.

mod bad;
mod link;
mod narrow;
mod path;
#[path = "../support/mod.rs"]
mod support;
mod viewer;
mod world;

use dataplane::rtcp::{put_receiver_report, ReportBlock};
use dataplane::{Coming, Micros, MS};
use path::Path;
use viewer::{percentile, Telling};
use world::{World, SINK, VOICE};

const LAYERS: [u64; 3] = [150_000, 500_000, 1_300_000];

/// One viewer of a sender that has been there for two seconds.
fn watched(path: Path) -> World {
    let mut world = World::new(&LAYERS);
    world.run(2.0);
    world.watch(path, Telling::Arrivals);
    world
}

fn mean_estimate(world: &World, seconds: u64) -> u64 {
    let from = world.now - seconds * 1_000 * MS;
    let recent = world.estimates.iter().filter(|(at, _)| *at > from);
    let values: Vec<u64> = recent.map(|(_, bps)| *bps).collect();
    values.iter().sum::<u64>() / values.len() as u64
}

#[test]
fn what_a_path_carries_is_found_within_seconds_and_used() {
    for (bps, layer) in [(500_000, 0), (2_000_000, 2)] {
        let mut world = watched(Path::new(bps, 1));
        world.run(6.0);
        let soon = mean_estimate(&world, 1);
        assert!(soon > bps / 10 * 6, "{soon} of {bps} after six seconds");
        world.run(14.0);
        let found = mean_estimate(&world, 10);
        assert!((bps / 10 * 7..=bps).contains(&found), "{found} of {bps}");
        let viewer = &world.viewers[0];
        assert_eq!(viewer.layer(world.now), Some(layer), "of {bps}");
        let late = percentile(&viewer.waits(world.now, 10), 95);
        assert!(late < 100 * MS, "{late} us of queue at {bps}");
        assert_eq!(viewer.voices(world.now, 10), 500);
    }
}

#[test]
fn a_path_that_shrinks_to_a_third_is_followed_within_two_seconds_and_so_is_its_return() {
    let mut world = watched(Path::new(2_000_000, 2));
    world.run(12.0);
    world.viewers[0].path.bps = 666_000;
    world.run(2.0);
    let fallen = mean_estimate(&world, 1);
    assert!(fallen <= 666_000, "{fallen}");
    world.run(8.0);
    let kept = mean_estimate(&world, 4);
    assert!((250_000..=666_000).contains(&kept), "{kept}");
    let waits = world.viewers[0].waits(world.now, 6);
    assert!(percentile(&waits, 95) < 150 * MS, "the queue is gone");
    world.viewers[0].path.bps = 2_000_000;
    world.run(20.0);
    let back = mean_estimate(&world, 2);
    assert!(back > 1_300_000, "{back}");
    assert_ne!(world.viewers[0].layer(world.now), Some(0));
}

#[test]
fn at_64_kilobits_sound_is_whole_and_prompt_and_pictures_do_not_flow_until_there_is_room() {
    let mut world = watched(Path::new(64_000, 3));
    world.run(60.0);
    let viewer = &world.viewers[0];
    let late = percentile(&viewer.waits(world.now, 56), 95);
    assert!(
        late < 200 * MS,
        "{late} us of queue after the first moments"
    );
    let voices = viewer.voices(world.now, 50);
    assert!(voices >= 2_495, "{voices}");
    let last = |world: &World| world.told.last().map(|(_, sink, coming)| (*sink, *coming));
    assert_eq!(last(&world), Some((SINK, Coming::Thumbnails)));
    assert!(world.told[0].0 < 5_000 * MS, "within three seconds");
    world.viewers[0].path.bps = 1_000_000;
    world.run(20.0);
    assert_eq!(last(&world), Some((SINK, Coming::Flows)));
    assert!(world.viewers[0].layer(world.now).is_some());
}

/// Pictures' layers that no narrow path carries, and a voice of so many octets a frame for a minute.
fn spoken_to(bps: u64, octets: usize) -> World {
    let mut path = Path::new(bps, 23);
    path.queue_us = 1_000 * MS;
    let mut world = watched(path);
    world.loud = octets;
    world.run(60.0);
    world
}

#[test]
fn sound_that_would_fill_its_path_shares_packets_and_stays_whole_and_prompt() {
    for octets in [VOICE, 80] {
        let world = spoken_to(64_000, octets);
        let viewer = &world.viewers[0];
        let (voices, sounds) = (viewer.voices(world.now, 50), viewer.sounds(world.now, 50));
        let late = percentile(&viewer.waits(world.now, 50), 95);
        println!("{octets} octets: {voices} frames in {sounds} packets, {late} us of queue");
        assert!(voices >= 2_480 && late < 150 * MS, "{voices}, {late} us");
        assert!(sounds * 2 < voices, "{sounds} packets");
    }
}

#[test]
fn sound_shares_no_packets_where_there_is_room_and_no_longer_when_there_is_again() {
    let mut world = spoken_to(1_000_000, 80);
    let viewer = &world.viewers[0];
    let sounds = viewer.sounds(world.now, 50);
    assert!((2_490..=2_510).contains(&sounds), "{sounds}");
    world.viewers[0].path.bps = 64_000;
    world.run(20.0);
    assert!(world.viewers[0].sounds(world.now, 10) < 250);
    world.viewers[0].path.bps = 1_000_000;
    world.run(40.0);
    let viewer = &world.viewers[0];
    let (voices, sounds) = (viewer.voices(world.now, 10), viewer.sounds(world.now, 10));
    assert!(voices >= 495 && sounds >= 495, "{voices} in {sounds}");
}

/// What a viewer says that loses a fifth of its sound, each second.
fn fifth_lost(second: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let block = ReportBlock {
        ssrc: world::AUDIO_OUT,
        fraction_lost: 51,
        cumulative_lost: 10 * second as i32,
        highest: 50 * second,
        jitter: 0,
        last_sr: 0,
        delay: 0,
    };
    put_receiver_report(&mut out, 1, &[block]);
    out
}

/// (packets of sound with earlier sound, 95th percentile of the queue) in the second half of a minute.
fn losing_sound(bps: u64) -> (u64, Micros) {
    let mut path = Path::new(bps, 16);
    path.loss = 0.2;
    let mut world = watched(path);
    let redundant = |world: &World| world.engine.stats().engine.redundant_out;
    let mut before = 0;
    for second in 1..=60 {
        world.say(0, fifth_lost(second));
        world.run(1.0);
        if second == 30 {
            before = redundant(&world);
        }
    }
    let waits = world.viewers[0].waits(world.now, 30);
    (redundant(&world) - before, percentile(&waits, 95))
}

#[test]
fn sound_is_sent_twice_only_where_there_is_room_for_it() {
    let (twice, late) = losing_sound(64_000);
    assert!(twice < 300 && late < 300 * MS, "{twice} twice, {late} us");
    let (twice, late) = losing_sound(2_000_000);
    assert!(twice > 1_400 && late < 300 * MS, "{twice} twice, {late} us");
}

#[test]
fn a_third_lost_by_chance_is_no_reason_to_pause_a_picture_for_long() {
    let mut path = Path::new(3_000_000, 17);
    path.loss = 0.3;
    let mut world = World::new(&[1_200_000]);
    world.run(2.0);
    world.watch(path, Telling::Arrivals);
    world.run(90.0);
    let late: Vec<_> = world.told.iter().filter(|t| t.0 > 45_000 * MS).collect();
    let least = world
        .estimates
        .iter()
        .filter(|e| e.0 > 45_000 * MS)
        .map(|e| e.1)
        .min();
    assert!(late.len() <= 2, "{late:?}, least {least:?}");
    assert_eq!(world.viewers[0].layer(world.now), Some(0));
}

#[test]
fn a_few_percent_lost_at_random_cost_no_picture() {
    for (loss, seed) in [(0.02, 4), (0.05, 5)] {
        let mut path = Path::new(3_000_000, seed);
        path.loss = loss;
        let mut world = watched(path);
        world.run(20.0);
        let found = mean_estimate(&world, 10);
        assert!(found > 1_600_000, "{found} with {loss} lost");
        assert_eq!(world.viewers[0].layer(world.now), Some(2));
    }
}

#[test]
fn losses_that_come_from_the_rate_lower_it_until_there_is_room() {
    for (queue_ms, seed) in [(30, 6), (40, 7), (60, 8)] {
        let mut path = Path::new(700_000, seed);
        path.queue_us = queue_ms * MS;
        let mut world = watched(Path::new(5_000_000, seed));
        world.run(8.0);
        world.viewers[0].path.become_like(&path);
        world.run(4.0);
        let before = world.viewers[0].sent_octets;
        world.run(16.0);
        let sent_bps = (world.viewers[0].sent_octets - before) * 8 / 16;
        assert!(
            sent_bps < 900_000,
            "{sent_bps} sent, a queue of {queue_ms} ms"
        );
        let voices = world.viewers[0].voices(world.now, 10);
        assert!(voices > 440, "{voices} of 500, a queue of {queue_ms} ms");
        world.viewers[0]
            .path
            .become_like(&Path::new(5_000_000, seed));
        world.run(15.0);
        assert_eq!(world.viewers[0].layer(world.now), Some(2));
    }
}

#[test]
fn losses_that_do_not_come_from_the_rate_lower_no_picture() {
    for (loss, seed) in [(0.12, 6), (0.25, 7)] {
        let mut world = watched(Path::new(3_000_000, seed));
        world.run(10.0);
        world.viewers[0].path.loss = loss;
        world.run(8.0);
        let least = world.estimates.iter().filter(|(at, _)| *at > 12_000 * MS);
        let least = least.map(|(_, bps)| *bps).min().expect("estimates");
        assert!(least > 1_400_000, "{least} with {loss} lost");
        assert_eq!(world.viewers[0].layer(world.now), Some(2));
    }
}

#[test]
fn jitter_is_not_taken_for_a_queue() {
    let mut path = Path::new(3_000_000, 8);
    path.jitter_us = 40 * MS;
    let mut world = watched(path);
    world.run(20.0);
    let found = mean_estimate(&world, 10);
    assert!(found > 1_600_000, "{found}");
    assert_eq!(world.viewers[0].layer(world.now), Some(2));
}

#[test]
fn layers_do_not_flap() {
    let mut world = watched(Path::new(1_000_000, 9));
    world.run(40.0);
    let shown: Vec<u8> = world.viewers[0]
        .recent(world.now, 34)
        .filter_map(|got| got.layer)
        .collect();
    let changes = shown.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes <= 4, "{changes} changes in half a minute");
}

/// (octets of pictures, packets of sound) a viewer with room got in the last ten seconds.
fn beside(slow: Option<Path>) -> (usize, usize) {
    let mut world = watched(Path::new(20_000_000, 10));
    if let Some(path) = slow {
        world.watch(path, Telling::Arrivals);
    }
    world.run(15.0);
    let viewer = &world.viewers[0];
    let pictures = viewer
        .recent(world.now, 10)
        .filter(|got| got.layer == Some(2));
    (
        pictures.map(|got| got.octets).sum(),
        viewer.voices(world.now, 10),
    )
}

#[test]
fn a_slow_viewer_changes_nothing_for_another() {
    let alone = beside(None);
    let mut narrow = Path::new(300_000, 11);
    narrow.loss = 0.05;
    let together = beside(Some(narrow));
    assert_eq!(alone.1, 500);
    assert_eq!(alone.1, together.1);
    let ratio = together.0 as f64 / alone.0 as f64;
    assert!((0.97..=1.03).contains(&ratio), "{ratio}");
}

#[test]
fn who_tells_nothing_is_sent_everything() {
    let mut world = World::new(&LAYERS);
    world.run(2.0);
    world.watch(Path::new(50_000_000, 12), Telling::Nothing);
    world.run(5.0);
    let viewer = &world.viewers[0];
    assert_eq!(viewer.layer(world.now), Some(2));
    assert_eq!(viewer.voices(world.now, 4), 200);
    let (path, engine) = (world.path_stats(0), world.engine.stats().engine);
    assert_eq!(
        (path.estimate_bps_now, path.probes, path.queue_us_now),
        (0, 0, 0)
    );
    assert_eq!((engine.drop_paced_video, engine.padding_out), (0, 0));
}

/// A receiver's own estimate: `mantissa` (18 bits) times two to the power of `exponent`.
fn remb(exponent: u8, mantissa: u32) -> Vec<u8> {
    let mut out = Vec::new();
    dataplane::rtcp::put_receiver_report(&mut out, 1, &[]);
    out.extend([0x8F, 206, 0, 5]);
    out.extend(1u32.to_be_bytes());
    out.extend(0u32.to_be_bytes());
    out.extend(b"REMB");
    let [_, high, middle, low] = mantissa.to_be_bytes();
    out.extend([1, exponent << 2 | high, middle, low]);
    out.extend(world::VIDEO_OUT.to_be_bytes());
    out
}

#[test]
fn an_absurd_estimate_of_one_viewer_is_that_viewers_alone() {
    let mut world = World::new(&LAYERS);
    world.run(2.0);
    for seed in 13..15 {
        world.watch(Path::new(50_000_000, seed), Telling::Nothing);
    }
    world.run(3.0);
    world.say(0, remb(0, 1));
    world.run(2.5);
    let (own, other) = (&world.viewers[0], &world.viewers[1]);
    assert_eq!(
        (own.layer(world.now), other.layer(world.now)),
        (None, Some(2))
    );
    assert_eq!(
        (own.voices(world.now, 2), other.voices(world.now, 2)),
        (100, 100)
    );
    let mut before: Micros = 0;
    for (exponent, mantissa) in [(63, 0x3_FFFF), (46, 0x2_0000), (63, 1)] {
        world.say(0, remb(exponent, mantissa));
        world.run(3.0);
        let shown: Vec<_> = world.viewers.iter().map(|v| v.layer(world.now)).collect();
        assert_eq!(shown, [Some(2), Some(2)]);
        assert!(world.path_stats(0).estimate_bps_now >= before);
        before = world.path_stats(0).estimate_bps_now;
    }
    world.say(0, remb(1, 125_000));
    world.run(4.0);
    let shown: Vec<_> = world.viewers.iter().map(|v| v.layer(world.now)).collect();
    assert_eq!(shown, [Some(0), Some(2)]);
}

#[test]
fn a_line_that_becomes_a_hundred_times_narrower_is_left_to_sound_within_a_second() {
    for (delay_us, seed) in [(20 * MS, 31), (100 * MS, 32)] {
        let mut path = Path::new(30_000_000, seed);
        path.delay_us = delay_us;
        let mut world = watched(path);
        world.run(6.0);
        world.viewers[0].path.bps = 64_000;
        world.viewers[0].path.queue_us = 1_000 * MS;
        world.run(1.0);
        let before = world.viewers[0].sent_octets;
        world.run(1.0);
        let viewer = &world.viewers[0];
        let bps = (viewer.sent_octets - before) * 8;
        assert!(bps < 64_000, "{bps} in the second second");
        world.run(2.0);
        let from = world.now;
        world.run(10.0);
        let viewer = &world.viewers[0];
        let late = percentile(&viewer.waits(world.now, 10), 95);
        assert!(late < 150 * MS, "{late} us of queue from {from} on");
        assert!(viewer.voices(world.now, 10) >= 490);
    }
}
