//! Lines that turn bad under a link of two pictures: what the people behind it see.

use dataplane::{Micros, MS, SECOND};

use crate::link::{story, Seen};
use crate::path::{Jitter, Path};

const LAYERS: &[u64] = &[150_000, 500_000, 1_300_000];
const ONE: &[u64] = &[1_200_000];
const BACK_US: Micros = 5 * SECOND;

fn line(seed: u64) -> Path {
    let mut path = Path::new(30_000_000, seed);
    path.delay_us = 5 * MS;
    path
}

fn long(seed: u64) -> Path {
    let mut path = line(seed);
    path.delay_us = 300 * MS;
    path
}

fn swaying(seed: u64) -> Path {
    let mut path = line(seed);
    (path.delay_us, path.jitter_us) = (10 * MS, 50 * MS);
    path.jitter = Jitter::Sway;
    path
}

fn mixed(seed: u64) -> Path {
    let mut path = line(seed);
    path.reorder = 0.25;
    path
}

fn lossy(seed: u64) -> Path {
    let mut path = line(seed);
    path.loss = 0.3;
    path
}

fn narrow(bps: u64, queue_us: Micros, seed: u64) -> Path {
    let mut path = Path::new(bps, seed);
    path.queue_us = queue_us;
    path
}

fn seen(pictures: &'static [u64], path: &Path, seed: u64) -> Seen {
    let seen = story(&[pictures, pictures], path, seed);
    println!("{} layers, seed {seed}: {seen:?}", pictures.len());
    seen
}

/// Nothing is in the way of pictures here but time, chance and order: they go on, a new one comes
/// at once, and sound loses no more than the line does.
fn costs_no_picture(path: fn(u64) -> Path, seeds: &[u64], sound: f64) {
    for &seed in seeds {
        for pictures in [ONE, LAYERS] {
            let path = path(seed);
            let seen = seen(pictures, &path, seed);
            assert!(seen.stood <= 0.1 && seen.new_stood <= 0.1, "{seen:?}");
            let soon = path.delay_us + SECOND;
            assert!(seen.first_us.is_some_and(|us| us <= soon), "{seen:?}");
            assert_eq!(seen.layer, Some(pictures.len() as u8 - 1), "{seen:?}");
            assert!(seen.sound >= sound, "{seen:?}");
            assert!(seen.queue_us < 50 * MS, "{seen:?}");
            assert!(seen.back_us.is_some_and(|us| us <= SECOND), "{seen:?}");
        }
    }
}

#[test]
fn a_longer_way_costs_no_picture() {
    costs_no_picture(long, &[21], 0.98);
}

#[test]
fn delays_that_sway_cost_no_picture() {
    costs_no_picture(swaying, &[21], 0.99);
}

#[test]
fn packets_out_of_order_cost_no_picture() {
    costs_no_picture(mixed, &[21], 0.99);
}

#[test]
fn a_third_lost_by_chance_costs_no_picture() {
    costs_no_picture(lossy, &[21], 0.64);
}

/// A step, losses and swaying at once take longer to be told apart.
#[test]
fn a_long_lossy_swaying_way_costs_no_picture_for_long() {
    let mut path = swaying(1_001);
    (path.delay_us, path.loss) = (150 * MS, 0.1);
    let seen = seen(ONE, &path, 1_001);
    assert!(seen.stood <= 0.6 && seen.new_stood <= 0.1, "{seen:?}");
    assert!(seen.layer.is_some() && seen.sound >= 0.87, "{seen:?}");
    assert!(seen.back_us.is_some_and(|us| us <= SECOND), "{seen:?}");
}

#[test]
fn a_scattering_way_costs_no_picture() {
    let scattered = |seed| {
        let mut path = line(seed);
        (path.delay_us, path.jitter_us, path.reorder) = (60 * MS, 80 * MS, 0.4);
        path
    };
    costs_no_picture(scattered, &[1_004], 0.99);
}

#[test]
fn a_narrow_way_shows_what_fits_and_is_left_behind_within_seconds() {
    for (bps, queue_us, seed) in [(500_000, 400 * MS, 23), (700_000, SECOND, 24)] {
        let seen = seen(LAYERS, &narrow(bps, queue_us, seed), seed);
        assert!(seen.stood <= 0.1 && seen.new_stood <= 0.1, "{seen:?}");
        assert!(seen.first_us.is_some_and(|us| us <= SECOND), "{seen:?}");
        assert!(seen.sound >= 0.99, "{seen:?}");
        assert!(seen.queue_us < 400 * MS, "{seen:?}");
        assert!(seen.back_us.is_some_and(|us| us <= BACK_US), "{seen:?}");
    }
}

#[test]
fn pictures_that_fit_nowhere_pause_and_come_back_within_seconds() {
    for (bps, queue_us, sound, back_us) in [
        (500_000, 400 * MS, 0.99, BACK_US),
        (64_000, SECOND, 0.9, 8 * SECOND),
    ] {
        let seen = seen(ONE, &narrow(bps, queue_us, 25), 25);
        assert!(seen.stood > 0.5, "{seen:?}");
        assert!(seen.sound >= sound, "{seen:?}");
        assert!(seen.back_us.is_some_and(|us| us <= back_us), "{seen:?}");
    }
}
