//! Two spatial layers in one VP9 stream: the upper is left out at once, and begun with at a key frame.

mod support;

use dataplane::rtcp::{parse, Item};
use dataplane::vp9::Vp9;
use dataplane::{Codec, Engine, Limits, Micros, Op, Want, MS};
use support::{Sent, Terminal};

const IN: u32 = 1000;
const OUT: u32 = 2000;
/// Sizes of the two layers: 320 x 180 and 640 x 360.
const STRUCTURE: [u8; 9] = [0x30, 1, 64, 0, 180, 2, 128, 1, 104];

struct World {
    engine: Engine,
    sender: Terminal,
    viewer: Terminal,
    now: Micros,
    frame: u64,
    asked: bool,
    /// (number, spatial layer, marker) of what the viewer got.
    got: Vec<(u64, u8, bool)>,
}

impl World {
    fn new() -> World {
        let mut engine = Engine::new(Limits::default(), 3, 1_790_000_000_000_000);
        let sender = Terminal::connect(&mut engine, 1, 0);
        let viewer = Terminal::connect(&mut engine, 2, 0);
        support::one_picture(
            &mut engine,
            (&sender, IN),
            (&viewer, OUT),
            (Codec::Vp9, 100),
        );
        World {
            engine,
            sender,
            viewer,
            now: 0,
            frame: 0,
            asked: true,
            got: Vec::new(),
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

    /// `count` pictures of both layers, thirty a second; a key picture when one was asked for.
    fn pictures(&mut self, count: usize) {
        for _ in 0..count {
            let key = std::mem::take(&mut self.asked);
            for spatial in 0..2u8 {
                let payload = self.payload(spatial, key);
                let index = 100 + 2 * self.frame + u64::from(spatial);
                let time = 3_000 * self.frame as u32;
                let mut data = self.sender.marked(IN, index, time, spatial == 1, &payload);
                self.engine.receive(&mut data, self.sender.path, self.now);
            }
            self.frame += 1;
            self.now += 33 * MS;
            self.collect();
        }
    }

    fn payload(&self, spatial: u8, key: bool) -> Vec<u8> {
        let says = key && spatial == 0;
        let flags = 0xAC | if key { 0 } else { 0x40 } | if says { 0x02 } else { 0 };
        let [high, low] = (self.frame as u16 | 0x8000).to_be_bytes();
        let mut payload = vec![flags, high, low, spatial << 1 | spatial, self.frame as u8];
        if says {
            payload.extend_from_slice(&STRUCTURE);
        }
        payload.resize(100 + 300 * usize::from(spatial), 7);
        payload
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
        let layer = Vp9::parse(&payload).and_then(|found| found.layer);
        let (spatial, _) = layer.expect("a layered packet");
        self.got.push((index, spatial, header.marker));
    }

    fn read(&mut self, data: &[u8]) {
        let plain = self.sender.open_rtcp(data);
        let mut items = Vec::new();
        parse(&plain, &mut items).expect("well formed");
        self.asked |= items.iter().any(|item| matches!(item, Item::Pli { .. }));
    }
}

#[test]
fn a_spatial_layer_is_left_out_at_once_and_begun_with_at_a_key_frame() {
    let mut world = World::new();
    world.pictures(40);
    world.want(180);
    let before = world.got.len();
    world.pictures(40);
    assert!(world.got[before..]
        .iter()
        .all(|got| (got.1, got.2) == (0, true)));
    assert_eq!(world.got.len(), before + 40);
    assert!(!world.asked, "what is left needs no key frame");
    world.want(360);
    assert!(world.asked);
    let before = world.got.len();
    world.pictures(40);
    let layers: Vec<(u8, bool)> = world.got[before..].iter().map(|g| (g.1, g.2)).collect();
    assert!(layers.chunks(2).all(|pair| pair == [(0, false), (1, true)]));
    assert!(world.got.windows(2).all(|w| w[1].0 == w[0].0 + 1));
}
