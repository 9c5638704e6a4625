//! Layers of a picture: which a viewer gets, where it changes over, and how numbers are closed up.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use dataplane::rtcp::{parse, put_nack, put_receiver_report, Item};
use dataplane::vp8::Vp8;
use dataplane::{Allowed, Engine, Micros, Op, Step, Want, MS};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::{Sent, Terminal};

const LAYERS: [u32; 3] = [1000, 1001, 1002];
const OUT: u32 = 2000;
/// Temporal layers of eight frames, and those that depend on layer 0 only, as Chromium sends them.
const PATTERN: [(u8, bool); 8] = [
    (0, false),
    (2, true),
    (1, true),
    (2, false),
    (0, false),
    (2, false),
    (1, false),
    (2, false),
];

/// What the viewer got under one number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    timestamp: u32,
    marker: bool,
    /// Layer, frame, packet of the frame; `None` for padding.
    body: Option<(u8, u64, u8)>,
    picture: u16,
    temporal: u8,
}

struct World {
    engine: Engine,
    sender: Terminal,
    viewer: Terminal,
    now: Micros,
    frame: u64,
    seqs: [u64; 3],
    key: [bool; 3],
    got: BTreeMap<u64, Got>,
    asked: BTreeSet<u32>,
    repeated: usize,
    /// Layers that are sent.
    layers: std::ops::Range<usize>,
}

impl World {
    fn new() -> World {
        let mut engine = Engine::new(support::patient(), 3, 1_790_000_000_000_000);
        let sender = Terminal::connect(&mut engine, 1, 0);
        let viewer = Terminal::connect(&mut engine, 2, 0);
        sender.simulcast(&mut engine, 1, &LAYERS, 0);
        viewer.sink(&mut engine, 1, OUT, 1, 0);
        World {
            engine,
            sender,
            viewer,
            now: 0,
            frame: 0,
            seqs: [100, 20_000, 40_000],
            key: [true; 3],
            got: BTreeMap::new(),
            asked: BTreeSet::new(),
            repeated: 0,
            layers: 0..3,
        }
    }

    /// One frame of `packets` packets on each layer, a thirtieth of a second after the last;
    /// packets whose (layer, packet) `loses` names are kept back.
    fn send(&mut self, packets: u8, loses: &[(usize, u8)]) -> Vec<(usize, Vec<u8>)> {
        let mut kept = Vec::new();
        for layer in self.layers.clone() {
            let key = std::mem::take(&mut self.key[layer]);
            for packet in 0..packets {
                let payload = self.payload(layer, packet, key);
                let marker = packet + 1 == packets;
                let index = self.seqs[layer];
                self.seqs[layer] += 1;
                let time = 3_000 * self.frame as u32;
                let data = self
                    .sender
                    .marked(LAYERS[layer], index, time, marker, &payload);
                if loses.contains(&(layer, packet)) {
                    kept.push((layer, data));
                } else {
                    self.receive(data);
                }
            }
        }
        self.frame += 1;
        self.now += 33 * MS;
        self.collect();
        kept
    }

    fn payload(&self, layer: usize, packet: u8, key: bool) -> Vec<u8> {
        let frame = self.frame;
        let (temporal, sync) = if key {
            (0, false)
        } else {
            PATTERN[(frame % 8) as usize]
        };
        let [high, low] = (frame as u16 & 0x7FFF | 0x8000).to_be_bytes();
        let first = if packet == 0 { 0x90 } else { 0x80 };
        let flags = temporal << 6 | u8::from(sync) << 5;
        let mut payload = vec![first, 0xE0, high, low, (frame / 4) as u8, flags];
        if packet == 0 {
            let lines = (180u16 << layer).to_le_bytes();
            let head = [
                u8::from(!key),
                0,
                0,
                0x9D,
                0x01,
                0x2A,
                0,
                1,
                lines[0],
                lines[1],
            ];
            payload.extend_from_slice(&head);
        }
        payload.extend([layer as u8, packet]);
        payload.extend_from_slice(&frame.to_be_bytes());
        payload.resize(200 << layer, 0);
        payload
    }

    fn receive(&mut self, mut data: Vec<u8>) {
        self.engine.receive(&mut data, self.sender.path, self.now);
        self.collect();
    }

    fn frames(&mut self, count: usize) {
        for _ in 0..count {
            self.send(2, &[]);
            self.answer();
        }
    }

    /// The sender answers key frame requests.
    fn answer(&mut self) {
        for ssrc in std::mem::take(&mut self.asked) {
            let layer = LAYERS.iter().position(|l| *l == ssrc).expect("one of ours");
            self.key[layer] = true;
        }
    }

    fn want(&mut self, height: u16) {
        let want = Want {
            height,
            ..Want::default()
        };
        self.engine.apply(Op::Want { sink: 1, want }, self.now);
        self.collect();
    }

    fn collect(&mut self) {
        self.now += MS;
        self.engine.tick(self.now);
        for came in support::sent(&mut self.engine, self.viewer.path, self.now) {
            match came {
                Sent::Media(data) => self.look(&data),
                Sent::Report(data) => self.read(&data),
            }
        }
    }

    fn look(&mut self, data: &[u8]) {
        let (header, index, payload) = self.viewer.open(data);
        let (index, payload) = match header.ssrc {
            OUT => (index, payload),
            _ => {
                let seq = u16::from_be_bytes([payload[0], payload[1]]);
                (u64::from(seq), payload[2..].to_vec())
            }
        };
        let read = Vp8::parse(&payload).filter(|_| !header.padded);
        let skip = read.map_or(0, |r| 6 + if r.frame_start { 10 } else { 0 });
        let body = read.map(|_| {
            let frame = payload[skip + 2..skip + 10].try_into().expect("eight");
            (payload[skip], u64::from_be_bytes(frame), payload[skip + 1])
        });
        let got = Got {
            timestamp: header.timestamp,
            marker: header.marker,
            body,
            picture: read.and_then(|r| r.descriptor.picture).unwrap_or(0),
            temporal: read.and_then(|r| r.temporal).map_or(0, |(layer, _)| layer),
        };
        if header.ssrc == OUT {
            let before = self.got.insert(index, got);
            assert_eq!(before, None, "a number is used once");
        } else {
            assert_eq!(
                self.got.get(&index),
                Some(&got),
                "what is repeated was sent so"
            );
            self.repeated += 1;
        }
    }

    fn read(&mut self, data: &[u8]) {
        let plain = self.sender.open_rtcp(data);
        let mut items = Vec::new();
        parse(&plain, &mut items).expect("well formed");
        for item in items {
            if let Item::Pli { media } = item {
                self.asked.insert(media);
            }
        }
    }

    /// The layer and temporal layers of what came since `since` numbers were there.
    fn seen(&self, since: usize) -> BTreeSet<(u8, u8)> {
        let got = self.got.values().skip(since);
        got.filter_map(|g| g.body.map(|(layer, _, _)| (layer, g.temporal)))
            .collect()
    }

    fn check_numbers(&self) {
        let numbers: Vec<u64> = self.got.keys().copied().collect();
        let hole = numbers.windows(2).find(|w| w[1] != w[0] + 1);
        assert_eq!(hole, None);
        let pictures: BTreeSet<u16> = self
            .got
            .values()
            .filter(|g| g.body.is_some())
            .map(|g| g.picture)
            .collect();
        let first = self.got.values().next().map_or(0, |got| got.picture);
        let expected: BTreeSet<u16> = (first..).take(pictures.len()).collect();
        assert_eq!(pictures, expected, "no picture id is passed over");
    }

    /// Whether numbers and picture ids have no holes, each picture is whole and time goes on.
    fn check(&self) {
        self.check_numbers();
        let bodies: Vec<&Got> = self.got.values().filter(|g| g.body.is_some()).collect();
        for pair in bodies.windows(2) {
            let picture = |got: &Got| got.body.map(|(layer, frame, _)| (layer, frame));
            let same = picture(pair[0]) == picture(pair[1]);
            let step = pair[1].picture.wrapping_sub(pair[0].picture) & 0x7FFF;
            assert_eq!(step, u16::from(!same), "{pair:?}");
            assert_eq!(pair[0].marker, !same, "{pair:?}");
            let time = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
            assert!(
                same && time == 0 || !same && (1..270_000).contains(&time),
                "{pair:?}"
            );
        }
    }
}

#[test]
fn a_viewer_gets_the_layer_it_wants_and_changes_over_at_key_frames() {
    let mut world = World::new();
    world.want(180);
    world.frames(60);
    assert_eq!(world.seen(8), [(0, 0), (0, 1), (0, 2)].into());
    world.want(360);
    world.frames(4);
    let before = world.got.len();
    world.frames(40);
    assert_eq!(world.seen(before), [(1, 0), (1, 1), (1, 2)].into());
    world.want(0);
    world.frames(4);
    let before = world.got.len();
    world.frames(40);
    assert_eq!(world.seen(before), [(2, 0), (2, 1), (2, 2)].into());
    world.check();
}

#[test]
fn a_layer_that_has_just_come_is_not_gone_up_to() {
    let mut world = World::new();
    world.layers = 0..2;
    world.frames(60);
    world.layers = 0..3;
    world.key[2] = true;
    let before = world.got.len();
    world.frames(20);
    assert_eq!(world.seen(before), [(1, 0), (1, 1), (1, 2)].into());
    world.frames(30);
    let before = world.got.len();
    world.frames(8);
    assert_eq!(world.seen(before), [(2, 0), (2, 1), (2, 2)].into());
    world.check();
}

#[test]
fn a_layer_that_ends_is_left_for_the_one_below() {
    let mut world = World::new();
    world.frames(60);
    world.layers = 0..1;
    world.frames(60);
    let before = world.got.len();
    world.frames(8);
    assert_eq!(world.seen(before), [(0, 0), (0, 1), (0, 2)].into());
    world.check();
}

/// The viewer may have no more than the temporal layer `temporal` of the lowest layer.
fn allow(world: &mut World, temporal: u8) {
    let step = Step {
        layer: 0,
        spatial: 0,
        temporal,
        bps: 0,
        height: 180,
    };
    assert!(world.engine.allow(1, Allowed::UpTo(step), world.now));
}

#[test]
fn temporal_layers_are_left_out_at_once_and_numbers_closed_up() {
    let mut world = World::new();
    world.want(180);
    world.frames(60);
    allow(&mut world, 1);
    let before = world.got.len();
    world.frames(16);
    assert_eq!(world.seen(before), [(0, 0), (0, 1)].into());
    allow(&mut world, 0);
    let before = world.got.len();
    world.frames(16);
    assert_eq!(world.seen(before), [(0, 0)].into());
    assert!(world.engine.allow(1, Allowed::Free, world.now));
    let before = world.got.len();
    world.frames(16);
    assert_eq!(world.seen(before), [(0, 0), (0, 1), (0, 2)].into());
    world.check();
    assert!(world.asked.is_empty(), "no key frame was needed");
}

#[test]
fn going_up_waits_for_frames_that_depend_on_layer_0_only() {
    let mut world = World::new();
    world.want(180);
    world.frames(60);
    allow(&mut world, 0);
    world.frames(20);
    assert_eq!(world.frame % 8, 0);
    world.frames(4);
    assert!(world.engine.allow(1, Allowed::Free, world.now));
    let before = world.got.len();
    world.frames(4);
    assert_eq!(
        world.seen(before),
        [(0, 0)].into(),
        "the rest of eight depends on what was left out"
    );
    world.frames(3);
    assert_eq!(world.seen(before), [(0, 0), (0, 1)].into());
    world.frames(8);
    assert_eq!(world.seen(before), [(0, 0), (0, 1), (0, 2)].into());
    world.check();
}

#[test]
fn a_late_packet_of_a_frame_that_is_left_out_becomes_padding() {
    let mut world = World::new();
    world.want(180);
    world.frames(60);
    allow(&mut world, 1);
    while PATTERN[(world.frame % 8) as usize] != (2, false) {
        world.frames(1);
    }
    let late = world.send(2, &[(0, 0)]);
    world.frames(4);
    for (_, data) in late {
        world.receive(data);
    }
    world.check();
    let padding = world.got.values().filter(|got| got.body.is_none()).count();
    assert_eq!(padding, 1);
}

#[test]
fn a_late_frame_that_has_its_numbers_is_sent_after_all() {
    let mut world = World::new();
    world.want(180);
    world.frames(60);
    allow(&mut world, 1);
    while PATTERN[(world.frame % 8) as usize] != (2, false) {
        world.frames(1);
    }
    let late = world.send(2, &[(0, 0), (0, 1)]);
    world.frames(4);
    for (_, data) in late {
        world.receive(data);
    }
    world.check();
}

#[test]
fn what_a_viewer_asks_for_again_is_what_it_was_sent() {
    let mut world = World::new();
    world.want(180);
    world.frames(60);
    allow(&mut world, 1);
    world.frames(20);
    let newest: Vec<u64> = world.got.keys().rev().take(12).copied().collect();
    let mut nack = Vec::new();
    put_receiver_report(&mut nack, 9, &[]);
    let seqs: Vec<u16> = newest.iter().rev().map(|seq| *seq as u16).collect();
    put_nack(&mut nack, 9, OUT, &seqs);
    let mut nack = world.viewer.rtcp(nack);
    world
        .engine
        .receive(&mut nack, world.viewer.path, world.now);
    world.repeated = 0;
    world.collect();
    assert_eq!(world.repeated, 12);
    world.check();
}

#[test]
fn loss_and_repair_leave_no_holes_whatever_is_left_out() {
    let mut world = World::new();
    world.want(180);
    world.frames(60);
    let mut rng = StdRng::seed_from_u64(7);
    let mut late: Vec<(u64, Vec<u8>)> = Vec::new();
    for turn in 0..600 {
        if turn % 40 == 0 {
            allow(&mut world, rng.random_range(0..3));
        }
        let lost: Vec<(usize, u8)> = (0..3)
            .map(|p| (0, p))
            .filter(|_| rng.random_bool(0.2))
            .collect();
        let kept = world.send(3, &lost);
        let due = world.frame + rng.random_range(1..6);
        late.extend(kept.into_iter().map(|(_, data)| (due, data)));
        let frame = world.frame;
        let (now, later): (Vec<_>, Vec<_>) = late.into_iter().partition(|(due, _)| *due <= frame);
        late = later;
        now.into_iter().for_each(|(_, data)| world.receive(data));
        world.answer();
    }
    late.into_iter().for_each(|(_, data)| world.receive(data));
    world.frames(2);
    world.check_numbers();
    let stats = world.engine.stats();
    assert!(stats.sinks[0].1.thinned > 300, "{:?}", stats.sinks[0]);
}

#[test]
fn a_paused_viewer_gets_nothing_until_it_may_again_at_a_key_frame() {
    let mut world = World::new();
    world.want(180);
    world.frames(60);
    assert!(world.engine.allow(1, Allowed::Paused, world.now));
    world.frames(1);
    let before = world.got.len();
    world.asked.clear();
    world.frames(60);
    assert_eq!(world.got.len(), before);
    assert!(
        world.asked.is_empty(),
        "nobody asks for what nobody may have"
    );
    assert!(world.engine.allow(1, Allowed::Free, world.now));
    world.frames(10);
    assert_eq!(world.seen(before), [(0, 0), (0, 1), (0, 2)].into());
    world.check();
}
