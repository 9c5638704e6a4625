//! A picture sent in two sizes to one receiver: the small one only while it is not the large one.

mod support;

use std::collections::BTreeSet;

use dataplane::demux::{classify, Class};
use dataplane::rtcp::{parse, Item};
use dataplane::{Allowed, Engine, Micros, Op, Step, Want, MS};
use support::Terminal;

const LAYERS: [u32; 2] = [1000, 1001];
const LARGE: u32 = 2000;
const SMALL: u32 = 2010;
const FRAME_US: Micros = 33 * MS;

/// A sender of 180 and 360 lines, and a receiver with a sink of each size.
struct World {
    engine: Engine,
    sender: Terminal,
    receiver: Terminal,
    now: Micros,
    frame: u64,
    key: [bool; 2],
    /// Layers that are sent.
    layers: usize,
    /// (outgoing SSRC, layer) of what came since the last look.
    got: Vec<(u32, u8)>,
}

impl World {
    fn new(layers: usize) -> World {
        let mut engine = Engine::new(support::patient(), 3, 1_790_000_000_000_000);
        let sender = Terminal::connect(&mut engine, 1, 0);
        let receiver = Terminal::connect(&mut engine, 2, 0);
        sender.simulcast(&mut engine, 1, &LAYERS, 0);
        receiver.sink(&mut engine, 1, LARGE, 1, 0);
        receiver.sink(&mut engine, 2, SMALL, 1, 0);
        let want = Want {
            height: 90,
            beside: Some(1),
            ..Want::default()
        };
        engine.apply(Op::Want { sink: 2, want }, 0);
        World {
            engine,
            sender,
            receiver,
            now: 0,
            frame: 0,
            key: [true; 2],
            layers,
            got: Vec::new(),
        }
    }

    /// Let seconds pass and return which layers came on which SSRC in the last of them.
    fn live(&mut self, seconds: u64) -> BTreeSet<(u32, u8)> {
        let until = self.now + seconds * 1_000 * MS;
        while self.now < until {
            if self.now + 1_000 * MS < until {
                self.got.clear();
            }
            self.step();
        }
        self.got.drain(..).collect()
    }

    fn step(&mut self) {
        for (layer, ssrc) in LAYERS.into_iter().enumerate().take(self.layers) {
            let key = std::mem::take(&mut self.key[layer]);
            let lines = (180u16 << layer).to_le_bytes();
            let mut body = vec![0, 0, 0x9D, 0x01, 0x2A, 0, 1, lines[0], lines[1]];
            body.resize(200 << (2 * layer), layer as u8);
            let payload = support::vp8(self.frame as u16 & 0x7FFF, key, &body);
            let time = 3_000 * self.frame as u32;
            let mut data = self.sender.rtp(ssrc, 100 + self.frame, time, &payload);
            self.engine.receive(&mut data, self.sender.path, self.now);
        }
        self.frame += 1;
        self.now += FRAME_US;
        self.engine.tick(self.now);
        while let Some(batch) = self.engine.poll_transmit(self.now) {
            for data in batch.octets.chunks(batch.segment) {
                match (classify(data), batch.path == self.receiver.path) {
                    (Class::Rtp, true) => {
                        let (header, _, payload) = self.receiver.open(data);
                        let layer = *payload.last().expect("a payload");
                        self.got.push((header.ssrc, layer));
                    }
                    (Class::Rtcp, false) => self.asked(data),
                    _ => {}
                }
            }
            self.engine.recycle(batch.octets);
        }
    }

    fn asked(&mut self, data: &[u8]) {
        let plain = self.sender.open_rtcp(data);
        let mut items = Vec::new();
        parse(&plain, &mut items).expect("well formed");
        for item in items {
            if let Item::Pli { media } = item {
                self.key[(media - LAYERS[0]) as usize] = true;
            }
        }
    }

    fn allow(&mut self, sink: u32, allowed: Allowed) {
        assert!(self.engine.allow(sink, allowed, self.now));
    }
}

fn up_to(layer: u8) -> Allowed {
    Allowed::UpTo(Step {
        layer,
        spatial: 0,
        temporal: 0,
        bps: 0,
        height: 0,
    })
}

#[test]
fn a_small_copy_goes_beside_the_large_picture() {
    let mut world = World::new(2);
    let both = BTreeSet::from([(LARGE, 1), (SMALL, 0)]);
    assert_eq!(world.live(5), both);
}

#[test]
fn a_picture_of_one_size_has_no_copy_of_itself() {
    let mut world = World::new(1);
    assert_eq!(world.live(5), BTreeSet::from([(LARGE, 0)]));
    world.allow(1, Allowed::Paused);
    assert_eq!(world.live(3), BTreeSet::new(), "nor where it is paused");
}

#[test]
fn a_large_one_that_went_down_to_the_small_one_is_enough() {
    let mut world = World::new(2);
    world.live(5);
    world.allow(1, up_to(0));
    assert_eq!(world.live(3), BTreeSet::from([(LARGE, 0)]));
    world.allow(1, Allowed::Paused);
    assert_eq!(world.live(3), BTreeSet::from([(SMALL, 0)]));
    world.allow(1, Allowed::Free);
    let both = BTreeSet::from([(LARGE, 1), (SMALL, 0)]);
    assert_eq!(world.live(3), both);
}

#[test]
fn one_beside_what_does_not_exist_is_sent() {
    let mut world = World::new(2);
    let want = Want {
        height: 90,
        beside: Some(77),
        ..Want::default()
    };
    world.engine.apply(Op::Want { sink: 2, want }, 0);
    assert!(world.live(5).contains(&(SMALL, 0)));
}
