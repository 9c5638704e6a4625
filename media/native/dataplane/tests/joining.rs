//! A viewer that comes to a picture under way: what it starts from, and who is asked for what.

mod support;

use dataplane::rtcp::{parse, Item};
use dataplane::{Engine, Limits, Micros, Op, MS};
use support::{vp8, Sent, Terminal};

const IN: u32 = 1000;
const OTHER_IN: u32 = 1001;
const OUT: u32 = 2000;
const FRAME_US: Micros = 100 * MS;

struct World {
    engine: Engine,
    sender: Terminal,
    viewer: Terminal,
    now: Micros,
    frame: u64,
    /// Frame numbers and timestamps the viewer got.
    got: Vec<(u64, u32)>,
    requests: usize,
}

impl World {
    /// A sender that has sent one key frame and `frames` more, ten a second, without those `lost`.
    fn new(frames: u64, lost: &[u64]) -> World {
        let mut engine = Engine::new(Limits::default(), 3, 1_790_000_000_000_000);
        let sender = Terminal::connect(&mut engine, 1, 0);
        let viewer = Terminal::connect(&mut engine, 2, 0);
        sender.source(&mut engine, 1, IN, 0);
        let mut world = World {
            engine,
            sender,
            viewer,
            now: 0,
            frame: 0,
            got: Vec::new(),
            requests: 0,
        };
        for frame in 0..=frames {
            world.send(IN, !lost.contains(&frame));
        }
        world
    }

    /// The next frame, a tenth of a second after the last.
    fn send(&mut self, ssrc: u32, arrives: bool) {
        let frame = self.frame;
        let payload = vp8(frame as u16, frame == 0, &frame.to_be_bytes());
        let mut data = self
            .sender
            .rtp(ssrc, 100 + frame, 9_000 * frame as u32, &payload);
        self.frame += 1;
        self.now += FRAME_US;
        if arrives {
            self.engine.receive(&mut data, self.sender.path, self.now);
        }
        self.collect();
    }

    fn watch(&mut self, source: u32) {
        self.viewer.sink(&mut self.engine, 1, OUT, source, self.now);
        self.collect();
    }

    fn collect(&mut self) {
        self.now += 2 * MS;
        self.engine.tick(self.now);
        for came in support::sent(&mut self.engine, self.viewer.path, self.now) {
            match came {
                Sent::Media(data) => self.look(&data),
                Sent::Report(data) => self.read(&data),
            }
        }
    }

    fn look(&mut self, data: &[u8]) {
        let timestamp = u32::from_be_bytes([data[4], data[5], data[6], data[7]]);
        let (_, _, payload) = self.viewer.open(data);
        let octets = payload[7..15].try_into().expect("eight octets");
        self.got.push((u64::from_be_bytes(octets), timestamp));
    }

    fn read(&mut self, data: &[u8]) {
        let plain = self.sender.open_rtcp(data);
        let mut items = Vec::new();
        parse(&plain, &mut items).expect("well formed");
        let asks = items.iter().filter(|i| matches!(i, Item::Pli { .. }));
        self.requests += asks.count();
    }

    fn frames(&self) -> Vec<u64> {
        self.got.iter().map(|(frame, _)| *frame).collect()
    }
}

#[test]
fn a_joiner_gets_the_key_frame_of_a_second_ago_and_everything_since_at_once() {
    let mut world = World::new(15, &[]);
    world.watch(1);
    assert_eq!(world.frames(), (0..=15).collect::<Vec<_>>());
    assert_eq!(world.requests, 0, "nobody need be asked");
    world.send(IN, true);
    assert_eq!(world.frames().last(), Some(&16));
    let first = world.got[0].1;
    let times = world.got.iter().map(|(_, t)| t.wrapping_sub(first));
    assert!(times.eq((0..=16).map(|frame| 9_000 * frame)));
    assert_eq!(world.engine.stats().engine.keyframe_joins, 1);
}

#[test]
fn an_old_key_frame_starts_nobody() {
    let mut world = World::new(20, &[]);
    world.watch(1);
    world.send(IN, true);
    assert_eq!((world.frames(), world.requests), (Vec::new(), 1));
}

#[test]
fn a_key_frame_with_a_gap_behind_it_starts_nobody() {
    let mut world = World::new(10, &[4]);
    world.watch(1);
    world.send(IN, true);
    assert_eq!((world.frames(), world.requests), (Vec::new(), 1));
}

#[test]
fn a_viewer_fed_by_another_source_waits_for_a_new_key_frame() {
    let mut world = World::new(5, &[]);
    world
        .sender
        .source(&mut world.engine, 2, OTHER_IN, world.now);
    world.watch(1);
    world.frame = 0;
    (0..6).for_each(|_| world.send(OTHER_IN, true));
    world.frame = 6;
    world.send(IN, true);
    let before = world.got.len();
    let route = Op::Route {
        sink: 1,
        source: Some(2),
    };
    world.engine.apply(route, world.now);
    world.collect();
    world.frame = 6;
    world.send(OTHER_IN, true);
    assert_eq!(world.got.len(), before, "its time would be pushed ahead");
    assert_eq!(world.requests, 1);
    world.frame = 7;
    world.send(IN, true);
    assert_eq!(world.frames().last(), Some(&7), "the old feed goes on");
}
