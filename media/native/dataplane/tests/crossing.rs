//! Two workers: viewers do not notice on which a source is.

mod support;

use dataplane::rtcp::{put_nack, put_pli};
use dataplane::stun::{integrity_key, Builder, BINDING_REQUEST};
use dataplane::{Codec, Credentials, Op, MS, SECOND};
use support::pair::{World, AWAY, HOME, IN, OUT};
use support::{vp8, Terminal};

#[test]
fn a_viewer_on_another_worker_gets_every_packet() {
    let mut world = World::new();
    world.watch_far();
    for frame in 0..30 {
        world.far_frame(frame, frame == 0);
        world.turn();
    }
    assert_eq!(world.frames(), (0..30).collect::<Vec<_>>());
    let stats = world.stats();
    assert_eq!(stats.engine.crossed_packets, 30);
    let (id, source, codec) = &stats.sources[0];
    assert_eq!(stats.sources.len(), 2, "a mirror is no second source");
    assert_eq!((*id, source.packets, source.sinks_now), (1, 30, 1));
    assert_eq!(*codec, Some(Codec::Vp8));
}

#[test]
fn a_viewer_joins_from_the_key_frame_its_own_worker_was_given() {
    let mut world = World::new();
    for frame in 0..20 {
        world.far_frame(frame, frame == 0);
        world.turn();
    }
    world.watch_far();
    world.far_frame(20, false);
    world.turn();
    assert_eq!(world.frames(), (0..=20).collect::<Vec<_>>());
}

#[test]
fn a_lost_packet_is_repeated_from_the_mirror_though_the_sender_is_gone() {
    let mut world = World::new();
    world.watch_far();
    for frame in 0..10 {
        world.far_frame(frame, frame == 0);
        world.turn();
    }
    let lost = world.got.keys().nth(4).copied().expect("five came");
    let before = world.stats().engine.crossed_packets;
    world.say(|out| put_nack(out, 9, OUT, &[lost as u16]));
    world.turn();
    assert_eq!(world.repaired, [4]);
    assert_eq!(world.stats().engine.crossed_packets, before);
}

#[test]
fn a_late_packet_crosses_too() {
    let mut world = World::new();
    world.watch_far();
    for frame in [0, 1, 3, 4, 2, 5] {
        world.far_frame(frame, frame == 0);
        world.turn();
    }
    assert_eq!(world.frames(), (0..=5).collect::<Vec<_>>());
}

#[test]
fn wishes_for_key_frames_meet_at_the_source_once_a_second() {
    let mut world = World::new();
    world.watch_far();
    world.far_frame(0, true);
    world.turn();
    world.asked.clear();
    let start = world.now;
    while world.now < start + 5 * SECOND {
        world.say(|out| put_pli(out, 9, OUT));
        let wish = Op::RequestKeyframe(1);
        world.workers[HOME].apply(wish, world.now);
        for _ in 0..50 {
            world.turn();
        }
    }
    assert!(world.asked.len() >= 4, "{:?}", world.asked);
    for pair in world.asked.windows(2) {
        assert!(pair[1] - pair[0] >= SECOND, "{:?}", world.asked);
    }
}

#[test]
fn a_viewer_does_not_notice_which_worker_a_source_is_on() {
    let mut world = World::new();
    world.watch_far();
    for frame in 0..90u64 {
        world.far_frame(frame, frame % 15 == 0);
        world.near_frame(1_000 + frame, frame % 15 == 0);
        for _ in 0..17 {
            world.turn();
        }
        match frame {
            30 => world.watch(2),
            60 => world.watch_far(),
            _ => {}
        }
    }
    let indices: Vec<u64> = world.got.keys().copied().collect();
    assert!(indices.windows(2).all(|w| w[1] == w[0] + 1), "no gap");
    let times: Vec<u32> = world.got.values().map(|(_, time)| *time).collect();
    for pair in times.windows(2) {
        let step = pair[1].wrapping_sub(pair[0]);
        assert!((1..9_000).contains(&step), "{step} ticks of 34 ms each");
    }
    let near = world.frames().iter().filter(|f| **f >= 1_000).count();
    assert!((15..=45).contains(&near), "{near}");
    assert!(world.frames().last().is_some_and(|frame| *frame == 89));
}

#[test]
fn dropping_a_source_or_its_transport_with_packets_under_way_disturbs_nobody() {
    for op in [Op::DropSource(1), Op::DropTransport(1)] {
        let mut world = World::new();
        world.watch_far();
        world.far_frame(0, true);
        world.turn();
        world.far_frame(1, false);
        world.workers[HOME].apply(op, world.now);
        world.workers[AWAY].apply(Op::DropMirror(1), world.now);
        world.turn();
        assert_eq!(world.frames(), [0]);
        let stats = world.stats();
        assert_eq!(stats.engine.drop_crossing_stale, 1);
        assert_eq!(stats.engine.sources_now, stats.sources.len() as u64);
        world.near_frame(7, true);
        world.watch(2);
        world.near_frame(8, false);
        world.turn();
        assert_eq!(world.frames(), [0, 7, 8]);
    }
}

#[test]
fn a_source_added_again_under_its_id_is_not_taken_for_the_old_one() {
    let mut world = World::new();
    world.watch_far();
    world.far_frame(0, true);
    world.turn();
    world.far_frame(1, false);
    world.workers[HOME].apply(Op::DropSource(1), world.now);
    world.workers[AWAY].apply(Op::DropMirror(1), world.now);
    world.far.source(&mut world.workers[HOME], 1, IN, world.now);
    world.watch_far();
    assert_eq!(world.frames(), [0], "frame 1 was the old source's");
    world.far_frame(2, true);
    world.turn();
    assert_eq!(world.frames(), [0, 2]);
}

#[test]
fn a_mirror_nobody_uses_is_taken_down_and_put_up_again() {
    let mut world = World::new();
    world.watch_far();
    world.far_frame(0, true);
    world.turn();
    world.watch(2);
    world.near_frame(1, true);
    let until = world.now + 3 * SECOND;
    while world.now < until {
        world.turn();
    }
    let crossed = world.stats().engine.crossed_packets;
    world.far_frame(1, false);
    world.turn();
    assert_eq!(world.stats().engine.crossed_packets, crossed, "not fed");
    world.watch_far();
    world.far_frame(2, true);
    world.turn();
    assert_eq!(world.frames().last(), Some(&2));
}

#[test]
fn a_datagram_at_the_wrong_worker_finds_its_transport() {
    let mut world = World::new();
    world.watch_far();
    // By path, once that is verified.
    let mut data = world
        .far
        .rtp(IN, 100, 0, &vp8(0, true, &0u64.to_be_bytes()));
    world.workers[AWAY].receive(&mut data, world.far.path, world.now);
    world.turn();
    assert_eq!(world.frames(), [0]);
    // By ufrag, before: the check of a new transport.
    let elsewhere = Op::Elsewhere {
        ufrag: "us4".to_owned(),
        worker: Some(AWAY as u8),
    };
    world.workers[HOME].apply(elsewhere, world.now);
    let mut second = Terminal::connect(&mut world.workers[AWAY], 4, world.now);
    second.path.peer = ([10, 0, 0, 40], 5000).into();
    let mut check = second.check();
    world.workers[HOME].receive(&mut check, second.path, world.now);
    world.turn();
    let stats = world.stats();
    let (_, transport) = stats
        .transports
        .iter()
        .find(|(id, _)| *id == 4)
        .expect("there");
    assert_eq!(transport.paths_now, 2);
    assert_eq!(stats.engine.crossed_datagrams, 2);
}

#[test]
fn what_nobody_knows_is_dropped_where_it_arrives() {
    let mut world = World::new();
    let stranger = dataplane::Path {
        socket: 0,
        peer: ([10, 9, 9, 9], 1).into(),
    };
    let mut data = world.far.rtp(IN, 1, 0, &[1, 2, 3]);
    world.workers[AWAY].receive(&mut data, stranger, world.now);
    world.turn();
    let stats = world.stats();
    assert_eq!(stats.engine.crossed_datagrams, 0);
    assert_eq!(stats.engine.drop_unverified_srtp, 1);
}

#[test]
fn a_living_path_is_not_taken_over_by_another_workers_transport() {
    let mut world = World::new();
    world.now += MS;
    let mut thief = Terminal::connect(&mut world.workers[AWAY], 5, world.now);
    thief.path = world.far.path;
    let mut check = thief.check();
    world.workers[AWAY].receive(&mut check, thief.path, world.now);
    assert_eq!(world.stats().engine.drop_path_taken, 1);
    // Once its owner has fallen silent it may be.
    let until = world.now + 4 * SECOND;
    while world.now < until {
        world.turn();
    }
    let mut check = thief.check();
    world.workers[AWAY].receive(&mut check, thief.path, world.now);
    world.turn();
    let stats = world.stats();
    let paths = |id| {
        stats
            .transports
            .iter()
            .find(|(t, _)| *t == id)
            .map(|(_, t)| t.paths_now)
    };
    assert_eq!((paths(1), paths(5)), (Some(0), Some(2)));
}

#[test]
fn a_silent_peer_is_still_found_when_it_comes_back_at_the_wrong_worker() {
    let mut world = World::new();
    world.watch_far();
    let until = world.now + 4 * SECOND;
    while world.now < until {
        world.turn();
    }
    let payload = vp8(0, true, &0u64.to_be_bytes());
    let mut data = world.far.rtp(IN, 100, 0, &payload);
    world.workers[AWAY].receive(&mut data, world.far.path, world.now);
    world.turn();
    assert_eq!(world.frames(), [0]);
    let mut thief = Terminal::connect(&mut world.workers[AWAY], 5, world.now);
    thief.path = world.far.path;
    let mut check = thief.check();
    world.workers[AWAY].receive(&mut check, thief.path, world.now);
    assert_eq!(world.stats().engine.drop_path_taken, 1, "it is alive again");
}

#[test]
fn a_path_that_two_workers_take_at_once_ends_with_one() {
    let mut world = World::new();
    let contested = dataplane::Path {
        socket: 0,
        peer: ([10, 7, 7, 7], 7).into(),
    };
    let mut first = world.far.check();
    world.workers[HOME].receive(&mut first, contested, world.now);
    let mut second = world.near.check();
    world.workers[AWAY].receive(&mut second, contested, world.now);
    world.turn();
    let stats = world.stats();
    let paths = |id| stats.transports.iter().find(|(t, _)| *t == id);
    let paths = |id| paths(id).map(|(_, t)| t.paths_now);
    assert_eq!((paths(1), paths(2)), (Some(2), Some(1)));
    let payload = vp8(0, true, &0u64.to_be_bytes());
    let mut data = world.far.rtp(IN, 100, 0, &payload);
    world.workers[AWAY].receive(&mut data, contested, world.now);
    world.turn();
    assert_eq!(world.stats().engine.drop_unverified_srtp, 0);
}

#[test]
fn checks_after_a_restart_find_their_transport_from_any_worker() {
    let mut world = World::new();
    let new = Credentials {
        local_ufrag: "again".to_owned(),
        local_pwd: "ours".to_owned(),
        remote_ufrag: "them".to_owned(),
        remote_pwd: "theirs".to_owned(),
    };
    let told = Op::Elsewhere {
        ufrag: "again".to_owned(),
        worker: Some(HOME as u8),
    };
    world.workers[AWAY].apply(told, world.now);
    world.workers[HOME].apply(Op::RestartIce(1, Box::new(new)), world.now);
    let moved = dataplane::Path {
        socket: 0,
        peer: ([10, 8, 8, 8], 8).into(),
    };
    let mut check = Builder::new(BINDING_REQUEST, &[9; 12])
        .username("again", "them")
        .use_candidate()
        .finish(&integrity_key("ours"));
    world.workers[AWAY].receive(&mut check, moved, world.now);
    world.turn();
    let stats = world.stats();
    let (_, transport) = &stats.transports[0];
    assert_eq!((transport.paths_now, transport.moves), (2, 1));
}

#[test]
fn a_stream_that_ended_is_nobodys_on_every_worker() {
    let mut world = World::new();
    let stream = dataplane::Path {
        socket: dataplane::STREAM,
        peer: ([10, 6, 6, 6], 6).into(),
    };
    let mut check = world.far.check();
    world.workers[HOME].receive(&mut check, stream, world.now);
    world.turn();
    for worker in &mut world.workers {
        worker.apply(Op::PathGone(stream), world.now);
    }
    world.turn();
    let mut check = world.near.check();
    world.workers[AWAY].receive(&mut check, stream, world.now);
    world.turn();
    let stats = world.stats();
    assert_eq!(stats.engine.drop_path_taken, 0);
    assert_eq!(stats.engine.crossed_datagrams, 0);
}
