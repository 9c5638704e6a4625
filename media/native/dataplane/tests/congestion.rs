//! A driver whose socket takes nothing for a while: what is dropped, and what is not.

mod support;

use std::collections::BTreeMap;

use dataplane::demux::{classify, Class};
use dataplane::rtcp::{put_nack, put_receiver_report};
use dataplane::{Allowed, Codec, Engine, Kind, Limits, Micros, Op, SinkConfig, SourceConfig, MS};
use proptest::prelude::*;
use support::Terminal;

const VIDEO_IN: u32 = 1000;
const AUDIO_IN: u32 = 1001;
const VIDEO_OUT: u32 = 2000;
const AUDIO_OUT: u32 = 2002;
const WAITING: usize = 10;
/// Packets of one picture.
const FRAME: u64 = 3;

struct World {
    engine: Engine,
    sender: Terminal,
    viewer: Terminal,
    now: Micros,
    video: u64,
    audio: u64,
    /// What came out: (frame, part of it) and outgoing index of pictures, number of sounds.
    pictures: BTreeMap<(u64, u64), u64>,
    sounds: Vec<u64>,
    repairs: Vec<(u64, u64)>,
}

impl World {
    /// A viewer that has had one key frame (number 0) and waits for no more.
    fn new() -> World {
        let limits = Limits {
            max_waiting: WAITING,
            // The peers say little here, and are to be sent something all the same.
            silent_us: 1_000_000 * MS,
            ..Limits::default()
        };
        let mut engine = Engine::new(limits, 7, 1_790_000_000_000_000);
        let sender = Terminal::connect(&mut engine, 1, 0);
        let viewer = Terminal::connect(&mut engine, 2, 0);
        sender.source(&mut engine, 1, VIDEO_IN, 0);
        viewer.sink(&mut engine, 1, VIDEO_OUT, 1, 0);
        add_audio(&mut engine);
        let mut world = World {
            engine,
            sender,
            viewer,
            now: 0,
            video: 0,
            audio: 0,
            pictures: BTreeMap::new(),
            sounds: Vec::new(),
            repairs: Vec::new(),
        };
        (0..FRAME).for_each(|_| world.send_video());
        world.collect();
        world
    }

    /// The next packet of the stream of pictures.
    fn send_video(&mut self) {
        let (frame, part) = (self.video / FRAME, self.video % FRAME);
        let start = if part == 0 { 0x90 } else { 0x80 };
        let [high, low] = (frame as u16 | 0x8000).to_be_bytes();
        let mut payload = vec![start, 0xE0, high, low, frame as u8, 0, u8::from(frame != 0)];
        payload.extend_from_slice(&frame.to_be_bytes());
        payload.extend_from_slice(&part.to_be_bytes());
        let timestamp = 3_000 * frame as u32;
        let data = self
            .sender
            .rtp(VIDEO_IN, 100 + self.video, timestamp, &payload);
        self.video += 1;
        self.arrive(data);
    }

    fn send_audio(&mut self) {
        let timestamp = 960 * self.audio as u32;
        let payload = self.audio.to_be_bytes();
        let index = 100 + self.audio;
        let data = self.sender.rtp(AUDIO_IN, index, timestamp, &payload);
        self.audio += 1;
        self.arrive(data);
    }

    fn arrive(&mut self, mut data: Vec<u8>) {
        self.now += 5 * MS;
        self.engine.receive(&mut data, self.sender.path, self.now);
        self.engine.tick(self.now);
    }

    /// What a driver does whose socket takes everything.
    fn collect(&mut self) {
        self.engine.congested(false);
        self.now += 2 * MS;
        self.engine.tick(self.now);
        while let Some(batch) = self.engine.poll_transmit(self.now) {
            let to_viewer = batch.path == self.viewer.path;
            for data in batch.octets.chunks(batch.segment).filter(|_| to_viewer) {
                self.look(data);
            }
            self.engine.recycle(batch.octets);
        }
    }

    fn look(&mut self, data: &[u8]) {
        if classify(data) != Class::Rtp {
            return;
        }
        let (header, index, payload) = self.viewer.open(data);
        let word = |at: usize| {
            let octets = payload.get(at..at + 8).expect("eight octets");
            u64::from_be_bytes(octets.try_into().expect("eight"))
        };
        match header.ssrc {
            VIDEO_OUT => drop(self.pictures.insert((word(7), word(15)), index)),
            AUDIO_OUT => self.sounds.push(word(0)),
            _ => self.repairs.push((word(9), word(17))),
        }
    }

    /// The parts of one frame that came.
    fn parts(&self, frame: u64) -> Vec<u64> {
        let all = self.pictures.keys();
        all.filter(|(f, _)| *f == frame).map(|(_, p)| *p).collect()
    }
}

fn add_audio(engine: &mut Engine) {
    let source = SourceConfig {
        transport: 1,
        kind: Kind::Audio,
        mid: None,
        ssrcs: vec![(AUDIO_IN, None)],
        rids: Vec::new(),
        codecs: vec![(96, Codec::Opus, None)],
    };
    engine.apply(Op::AddSource(2, Box::new(source)), 0);
    let sink = SinkConfig {
        transport: 2,
        kind: Kind::Audio,
        mid: Some("1".to_owned()),
        ssrc: AUDIO_OUT,
        rtx_ssrc: None,
        cname: "slot".to_owned(),
        codecs: vec![(Codec::Opus, 111, None)],
    };
    engine.apply(Op::AddSink(2, Box::new(sink)), 0);
    let (sink, source) = (2, Some(2));
    engine.apply(Op::Route { sink, source }, 0);
}

#[test]
fn pictures_are_dropped_to_the_next_frame_and_sound_is_not() {
    let mut world = World::new();
    world.engine.congested(true);
    for frame in 1..6 {
        let parts = if frame == 5 { FRAME - 1 } else { FRAME };
        (0..parts).for_each(|_| world.send_video());
        world.send_audio();
    }
    world.collect();
    world.send_video(); // the last part of frame 5, most of which was dropped
    (0..FRAME).for_each(|_| world.send_video());
    world.collect();
    let came: Vec<usize> = (0..7).map(|frame| world.parts(frame).len()).collect();
    assert_eq!(came, [3, 3, 3, 2, 0, 0, 3]);
    assert_eq!(world.sounds, [0, 1, 2, 3, 4]);
    let counters = world.engine.stats().engine;
    assert_eq!(
        (counters.drop_congested_video, counters.drop_congested_audio),
        (7, 0)
    );
    let (before, after) = (world.pictures[&(3, 1)], world.pictures[&(6, 0)]);
    assert_eq!(
        after - before,
        8,
        "the receiver sees that seven are missing"
    );
}

#[test]
fn a_packet_dropped_in_congestion_can_be_asked_for() {
    let mut world = World::new();
    world.engine.congested(true);
    (0..6 * FRAME).for_each(|_| world.send_video());
    world.collect();
    (0..FRAME).for_each(|_| world.send_video());
    world.collect();
    let next = world.pictures[&(7, 0)];
    let mut out = Vec::new();
    put_receiver_report(&mut out, 1, &[]);
    put_nack(&mut out, 1, VIDEO_OUT, &[(next - 1) as u16]);
    let mut data = world.viewer.rtcp(out);
    let path = world.viewer.path;
    world.engine.receive(&mut data, path, world.now);
    world.collect();
    assert_eq!(world.repairs, [(6, FRAME - 1)]);
}

#[test]
fn nothing_of_a_picture_that_stands_for_want_of_room_is_repeated() {
    let mut world = World::new();
    (0..3 * FRAME).for_each(|_| world.send_video());
    world.collect();
    let repeats = |world: &mut World, seq: u16| {
        let mut out = Vec::new();
        put_receiver_report(&mut out, 1, &[]);
        put_nack(&mut out, 1, VIDEO_OUT, &[seq]);
        let mut data = world.viewer.rtcp(out);
        let path = world.viewer.path;
        world.engine.receive(&mut data, path, world.now);
        world.collect();
        world.repairs.len()
    };
    let newest = *world.pictures.values().max().expect("something came") as u16;
    assert_eq!(repeats(&mut world, newest), 1);
    assert!(world.engine.allow(1, Allowed::Paused, world.now));
    assert_eq!(repeats(&mut world, newest - 1), 1);
    assert!(world.engine.allow(1, Allowed::Free, world.now));
    assert_eq!(repeats(&mut world, newest - 1), 2);
}

#[test]
fn sound_and_control_are_bounded_too() {
    let mut world = World::new();
    world.engine.congested(true);
    (0..100).for_each(|_| world.send_audio());
    let stats = world.engine.stats().engine;
    assert_eq!(stats.drop_congested_audio, 100 - 2 * WAITING as u64);
    for _ in 0..200 {
        world.now += 1_000 * MS;
        world.engine.tick(world.now);
    }
    assert!(world.engine.stats().engine.drop_send_queue > 0);
    let mut waiting = 0;
    while let Some(batch) = world.engine.poll_transmit(world.now) {
        waiting += batch.count;
    }
    assert!(waiting <= 4 * WAITING + 2 * WAITING, "{waiting}");
}

proptest! {
    /// However sending is interrupted: of each frame a beginning comes or all of it, never a part
    /// without those before it, and sound is complete while there is room for it.
    #[test]
    fn of_every_frame_a_beginning_comes_or_nothing(steps in proptest::collection::vec(0u8..12, 1..300)) {
        let mut world = World::new();
        let (mut stuck, mut waiting) = (false, 0);
        for step in steps {
            match step {
                0 => { stuck = false; waiting = 0; }
                1 => { stuck = true; world.engine.congested(true); }
                2 if waiting < WAITING / 2 => { world.send_audio(); waiting += 1; }
                _ => world.send_video(),
            }
            if !stuck {
                world.collect();
            }
        }
        world.collect();
        // What waits for the viewer's first report, which never comes, waits no longer.
        world.now += 1_000 * MS;
        world.collect();
        for frame in 0..world.video / FRAME {
            let parts = world.parts(frame);
            prop_assert_eq!(&parts, &(0..parts.len() as u64).collect::<Vec<_>>());
        }
        prop_assert_eq!(world.sounds.clone(), (0..world.audio).collect::<Vec<_>>());
        let dropped = world.engine.stats().engine.drop_congested_video;
        prop_assert_eq!(world.pictures.len() as u64 + dropped, world.video);
    }
}
