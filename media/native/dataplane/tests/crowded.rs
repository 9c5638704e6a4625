//! Two workers, one of which takes nothing for a while: what waits is bounded, and control is kept.

mod support;

use dataplane::rtcp::{put_bye, put_sender_report};
use dataplane::{Crossing, Limits, Op, Path, SourceConfig};
use support::pair::{described, World, AWAY, HOME, IN};
use support::vp8;

fn crowded(max_crossing: usize) -> World {
    World::with(Limits {
        max_crossing,
        ..Limits::default()
    })
}

/// What waits for a worker.
fn waiting(world: &mut World, from: usize, to: usize) -> Vec<Crossing> {
    std::iter::from_fn(|| world.workers[from].poll_crossing(to as u8)).collect()
}

fn far_says(world: &mut World, put: impl FnOnce(&mut Vec<u8>)) {
    let mut packet = Vec::new();
    put(&mut packet);
    let mut data = world.far.rtcp(packet);
    world.workers[HOME].receive(&mut data, world.far.path, world.now);
}

/// More of the far sender's datagrams arrive at the wrong worker than may wait there.
fn misdirect(world: &mut World, datagrams: u64) {
    for frame in 0..datagrams {
        let payload = vp8(frame as u16, false, &frame.to_be_bytes());
        let mut data = world
            .far
            .rtp(IN, 100 + frame, 3_000 * frame as u32, &payload);
        world.workers[AWAY].receive(&mut data, world.far.path, world.now);
    }
}

fn mirror(source: u32, config: SourceConfig) -> Op {
    Op::Mirror {
        source,
        worker: HOME as u8,
        config: Box::new(config),
    }
}

#[test]
fn a_full_queue_drops_the_rest_of_a_frame_and_counts() {
    let mut world = crowded(16);
    world.watch_far();
    world.far_frame(0, true);
    world.turn();
    // Frames of four packets, and a worker that takes nothing for a while.
    let mut index = 101;
    let mut send = |world: &mut World, frame: u32| {
        for part in 0..4u64 {
            let payload = vp8(
                frame as u16,
                false,
                &(10 * u64::from(frame) + part).to_be_bytes(),
            );
            let mut data = world.far.rtp(IN, index, 3_000 * frame, &payload);
            index += 1;
            world.workers[HOME].receive(&mut data, world.far.path, world.now);
        }
    };
    for frame in 1..10 {
        send(&mut world, frame);
    }
    let waiting = waiting(&mut world, HOME, AWAY);
    assert_eq!(waiting.len(), 16);
    for crossing in waiting {
        world.workers[AWAY].cross(crossing, world.now);
    }
    send(&mut world, 10);
    world.turn();
    let whole: Vec<u64> = [1, 2, 3, 4, 10]
        .into_iter()
        .flat_map(|frame| (0..4).map(move |part| 10 * frame + part))
        .collect();
    assert_eq!(world.frames()[1..], whole);
    assert_eq!(world.stats().engine.drop_crossing_video, 5 * 4);
}

#[test]
fn every_packet_taken_in_is_forwarded_or_counted() {
    for (cache_packets, max_crossing) in [(16, 4_096), (1_024, 8), (16, 8), (1_024, 4_096)] {
        let mut world = World::with(Limits {
            cache_packets,
            max_crossing,
            ..Limits::default()
        });
        world.watch_far();
        world.far_frame(0, true);
        world.turn();
        for frame in 1..300 {
            world.far_frame(frame, false);
            if frame % 50 == 0 {
                world.cross();
            }
        }
        for _ in 0..500 {
            world.turn();
        }
        let stats = world.stats().engine;
        let (crossing, overtaken) = (stats.drop_crossing_video, stats.drop_overtaken);
        assert_eq!(crossing > 0, max_crossing == 8, "{stats:?}");
        assert_eq!(overtaken > 0, cache_packets == 16, "{stats:?}");
        let counted = crossing + overtaken;
        assert_eq!(stats.packets_forwarded + counted, 300, "{stats:?}");
    }
}

#[test]
fn what_a_sender_says_of_itself_waits_once_and_is_told_as_it_stands() {
    let mut world = crowded(4);
    world.watch_far();
    world.far_frame(0, true);
    world.turn();
    for frame in 1..100 {
        world.far_frame(frame, false);
    }
    for report in 0..50u32 {
        let ntp = (u64::from(report) + 3_900_000_000) << 32;
        far_says(&mut world, |out| {
            put_sender_report(out, IN, ntp, report, 1, 1);
        });
    }
    far_says(&mut world, |out| {
        put_sender_report(out, IN, 3_900_000_050 << 32, 50, 1, 1);
        put_bye(out, IN);
    });
    let waiting = waiting(&mut world, HOME, AWAY);
    let packets = waiting
        .iter()
        .filter(|c| matches!(c, Crossing::Packet { .. }));
    assert_eq!(packets.count(), 4);
    let reports: Vec<_> = waiting
        .iter()
        .filter_map(|c| match c {
            Crossing::Clock { report, .. } => Some(report.map(|(_, rtp)| rtp)),
            _ => None,
        })
        .collect();
    assert_eq!(reports, [Some(50)]);
    let ended = waiting
        .iter()
        .filter(|c| matches!(c, Crossing::Ended { .. }));
    assert_eq!(ended.count(), 1);
    assert_eq!(waiting.len(), 4 + 1 + 1);
    assert_eq!(world.stats().engine.drop_crossing_video, 95);
}

#[test]
fn a_new_ssrc_is_known_to_the_mirror_though_its_first_packets_were_dropped() {
    let mut world = crowded(4);
    let config = SourceConfig {
        ssrcs: Vec::new(),
        ..described(world.far.id, 0)
    };
    let add = Op::AddSource(4, Box::new(config.clone()));
    world.workers[HOME].apply(add, world.now);
    world.workers[AWAY].apply(mirror(4, config), world.now);
    world.watch(4);
    let send = |world: &mut World, ssrc: u32, frame: u64, time: u32, key: bool| {
        let payload = vp8(frame as u16, key, &frame.to_be_bytes());
        let mut data = world.far.rtp(ssrc, 100 + frame, time, &payload);
        world.workers[HOME].receive(&mut data, world.far.path, world.now);
    };
    send(&mut world, 5_000, 0, 900_000, true);
    world.turn();
    for frame in 1..20 {
        send(
            &mut world,
            5_000,
            frame,
            900_000 + 3_000 * frame as u32,
            false,
        );
    }
    for frame in 20..24 {
        send(&mut world, 6_000, frame, 3_000 * frame as u32, frame == 20);
    }
    world.turn();
    assert_eq!(world.frames(), [0, 1, 2, 3, 4]);
    send(&mut world, 6_000, 24, 72_000, false);
    world.turn();
    assert_eq!(
        world.frames(),
        [0, 1, 2, 3, 4],
        "nothing to start from has crossed"
    );
    send(&mut world, 6_000, 25, 75_000, true);
    send(&mut world, 6_000, 26, 78_000, false);
    world.turn();
    assert_eq!(world.frames(), [0, 1, 2, 3, 4, 25, 26]);
}

#[test]
fn a_full_queue_keeps_routes_wishes_and_paths() {
    let mut world = crowded(2);
    misdirect(&mut world, 20);
    assert_eq!(world.stats().engine.drop_crossing_datagram, 16);
    let moved = Path {
        socket: 0,
        peer: ([10, 7, 7, 7], 7).into(),
    };
    let mut check = world.near.check();
    world.workers[AWAY].receive(&mut check, moved, world.now);
    world.watch_far();
    assert_eq!(world.asked.len(), 1, "by the viewer's worker");
    world.far_frame(50, true);
    world.turn();
    assert_eq!(world.frames(), [50]);
    let mut check = world.far.check();
    world.workers[HOME].receive(&mut check, moved, world.now);
    assert_eq!(world.stats().engine.drop_path_taken, 1);
}

#[test]
fn a_flood_at_the_wrong_worker_is_throttled_before_it_crosses() {
    let mut world = World::with(Limits {
        packet_rate: 100,
        ..Limits::default()
    });
    misdirect(&mut world, 200);
    let stats = world.stats().engine;
    assert!((1..=50).contains(&stats.crossed_datagrams), "{stats:?}");
    assert_eq!(stats.crossed_datagrams + stats.drop_rate, 200);
    assert_eq!(stats.drop_crossing_datagram, 0);
}

#[test]
fn a_full_queue_keeps_removals() {
    let mut world = crowded(2);
    world.watch_far();
    world.far_frame(0, true);
    world.turn();
    misdirect(&mut world, 20);
    world.workers[AWAY].apply(Op::DropMirror(1), world.now);
    world.turn();
    let before = world.stats().engine;
    world.far_frame(30, true);
    world.turn();
    let after = world.stats().engine;
    assert_eq!(after.crossed_packets, before.crossed_packets, "fed no more");
    assert_eq!(after.drop_crossing_stale, before.drop_crossing_stale);
}

#[test]
fn a_mirror_for_which_there_is_no_room_yet_begins_with_a_new_key_frame() {
    let mut world = crowded(2);
    for frame in 0..20 {
        world.far_frame(frame, frame == 0);
        world.turn();
    }
    world.watch_far();
    assert_eq!(world.stats().engine.drop_crossing_video, 20);
    assert_eq!(world.asked.len(), 1);
    world.far_frame(20, false);
    world.turn();
    assert_eq!(world.frames(), Vec::<u64>::new());
    world.far_frame(21, true);
    world.turn();
    assert_eq!(world.frames(), [21]);
}
