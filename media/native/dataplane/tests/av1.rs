//! AV1 with dependency descriptors: what a viewer is sent of it, and what it is told that there is.

mod support;

use dataplane::bits::Pen;
use dataplane::dependency::Tracker;
use dataplane::ext::{Extension, Ids, Values};
use dataplane::rtcp::{parse, Item};
use dataplane::rtp::Fixed;
use dataplane::{Allowed, Codec, Engine, Micros, Op, Step, Want, MS};
use support::{Sent, Terminal};

const IN: u32 = 1000;
const OUT: u32 = 2000;
const EXTENSIONS: [(Extension, u8); 2] =
    [(Extension::Mid, 3), (Extension::DependencyDescriptor, 7)];

/// One template: (spatial layer, temporal layer), its indications, and what it refers to.
type Template = ((u32, u32), &'static str, &'static [u32]);

/// A stream: its templates, and those of a key picture and of the pictures after it, in turn.
struct Shape {
    templates: &'static [Template],
    key: &'static [u32],
    others: &'static [&'static [u32]],
}

/// Two sizes, the larger made from the smaller.
const L2T1: Shape = Shape {
    templates: &[
        ((0, 0), "SS", &[]),
        ((0, 0), "SR", &[2]),
        ((1, 0), "-S", &[1]),
        ((1, 0), "-R", &[2, 1]),
    ],
    key: &[0, 2],
    others: &[&[1, 3]],
};
/// Two sizes that have nothing to do with each other.
const S2T1: Shape = Shape {
    templates: &[
        ((0, 0), "S-", &[]),
        ((0, 0), "S-", &[2]),
        ((1, 0), "-S", &[]),
        ((1, 0), "-S", &[2]),
    ],
    key: &[0, 2],
    others: &[&[1, 3]],
};
/// One size at full and at half the rate.
const L1T2: Shape = Shape {
    templates: &[
        ((0, 0), "SS", &[]),
        ((0, 0), "SS", &[2]),
        ((0, 1), "-S", &[1]),
    ],
    key: &[0],
    others: &[&[2], &[1]],
};

/// What the viewer got in one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Got {
    number: u64,
    spatial: u8,
    marker: bool,
    /// Decode targets it is told that there are.
    active: u32,
    /// Octets of the descriptor.
    size: usize,
    brings: bool,
}

struct World {
    engine: Engine,
    shape: Shape,
    ids: Ids,
    sender: Terminal,
    viewer: Terminal,
    reads: Tracker,
    now: Micros,
    picture: u64,
    next: u64,
    frame: u32,
    asked: bool,
    got: Vec<Got>,
}

impl World {
    fn new(shape: Shape, extensions: &[(Extension, u8)]) -> World {
        let mut engine = Engine::new(support::patient(), 3, 1_790_000_000_000_000);
        let sender = Terminal::connect_with(&mut engine, 1, &EXTENSIONS, 0);
        let viewer = Terminal::connect_with(&mut engine, 2, extensions, 0);
        support::one_picture(&mut engine, (&sender, IN), (&viewer, OUT), (Codec::Av1, 45));
        World {
            engine,
            shape,
            ids: Ids::new(&EXTENSIONS),
            sender,
            viewer,
            reads: Tracker::default(),
            now: 0,
            picture: 0,
            next: 100,
            frame: 65_500,
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

    fn allow(&mut self, allowed: Allowed) {
        assert!(self.engine.allow(1, allowed, self.now));
        self.collect();
    }

    /// `count` pictures, thirty a second; a key picture when one was asked for.  Returns what came.
    fn pictures(&mut self, count: usize) -> Vec<Got> {
        let before = self.got.len();
        for _ in 0..count {
            let key = std::mem::take(&mut self.asked);
            let turns = self.shape.others;
            let frames = match key {
                true => self.shape.key,
                false => turns[self.picture as usize % turns.len()],
            };
            for (at, template) in frames.iter().enumerate() {
                self.frame_of(*template, key && at == 0, at + 1 == frames.len());
            }
            self.picture += 1;
            self.now += 33 * MS;
            self.collect();
        }
        self.got[before..].to_vec()
    }

    /// One frame in two packets.
    fn frame_of(&mut self, template: u32, brings: bool, ends: bool) {
        let ((spatial, _), _, _) = self.shape.templates[template as usize];
        for last in [false, true] {
            let fixed = Fixed {
                extended: true,
                marker: ends && last,
                payload_type: 96,
                seq: self.next as u16,
                timestamp: 3_000 * self.picture as u32,
                ssrc: IN,
            };
            let head = if brings && !last { 0x18 } else { 0x10 };
            let mut payload = vec![head, 0x30];
            payload.resize(100 + 300 * spatial as usize, spatial as u8);
            let descriptor = self.descriptor(template, !last, last, brings && !last);
            let mut data =
                self.sender
                    .described(fixed, self.next, &self.ids, &descriptor, &payload);
            self.engine.receive(&mut data, self.sender.path, self.now);
            self.next += 1;
        }
        self.frame += 1;
    }

    fn descriptor(&self, template: u32, first: bool, last: bool, brings: bool) -> Vec<u8> {
        let mut pen = Pen::default();
        pen.put(u32::from(first), 1);
        pen.put(u32::from(last), 1);
        pen.put(template, 6);
        pen.put(self.frame & 0xFFFF, 16);
        if brings {
            pen.put(0b10000, 5);
            self.structure(&mut pen);
        }
        pen.octets().to_vec()
    }

    fn structure(&self, pen: &mut Pen) {
        let templates = self.shape.templates;
        let targets = templates[0].1.len() as u32;
        pen.put(0, 6);
        pen.put(targets - 1, 5);
        for pair in templates.windows(2) {
            let ((s0, t0), (s1, t1)) = (pair[0].0, pair[1].0);
            pen.put(if s1 > s0 { 2 } else { t1 - t0 }, 2);
        }
        pen.put(3, 2);
        for letter in templates.iter().flat_map(|t| t.1.chars()) {
            pen.put("-DSR".find(letter).expect("known") as u32, 2);
        }
        for (_, _, references) in templates {
            for back in *references {
                pen.put(1, 1);
                pen.put(back - 1, 4);
            }
            pen.put(0, 1);
        }
        // No chains; then sizes: 320 x 180 and twice that.
        pen.put(0, 1);
        pen.put(1, 1);
        let largest = templates.iter().map(|t| t.0 .0).max().expect("some");
        for spatial in 0..=largest {
            pen.put((320 << spatial) - 1, 16);
            pen.put((180 << spatial) - 1, 16);
        }
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

    /// A viewer that never knows the templates of what it is sent fails here.
    fn look(&mut self, data: &[u8]) {
        let (header, number, payload) = self.viewer.open(data);
        let values = Values::read(data, &header, &self.ids);
        let told = values.dependency.map(|descriptor| {
            let (_, layout) = self
                .reads
                .place(descriptor, (number, header.timestamp))
                .expect("a frame it has the templates of");
            (layout.active, descriptor.len(), layout.brings)
        });
        let (active, size, brings) = told.unwrap_or_default();
        self.got.push(Got {
            number,
            spatial: *payload.last().expect("a payload"),
            marker: header.marker,
            active,
            size,
            brings,
        });
    }

    fn read(&mut self, data: &[u8]) {
        let plain = self.sender.open_rtcp(data);
        let mut items = Vec::new();
        parse(&plain, &mut items).expect("well formed");
        self.asked |= items.iter().any(|item| matches!(item, Item::Pli { .. }));
    }
}

fn without_gaps(got: &[Got]) -> bool {
    got.windows(2).all(|w| w[1].number == w[0].number + 1)
}

/// Whether nothing is added to descriptors without templates.
fn as_it_came(got: &[Got]) -> bool {
    got.iter().all(|got| got.brings != (got.size == 3))
}

#[test]
fn who_is_sent_the_smaller_picture_is_told_that_there_is_no_larger() {
    let mut world = World::new(L2T1, &EXTENSIONS);
    let whole = world.pictures(40);
    assert!(whole.iter().all(|got| got.active == 0b11));
    assert!(as_it_came(&whole));
    world.want(180);
    let small = world.pictures(40);
    assert!(small
        .iter()
        .all(|got| (got.spatial, got.active) == (0, 0b01)));
    assert_eq!(small.iter().filter(|got| got.marker).count(), 40);
    assert!(!world.asked, "what is left needs no key frame");
    world.want(360);
    let large = world.pictures(40);
    let key = large
        .iter()
        .position(|got| got.brings)
        .expect("a key frame");
    assert!(large[key..].iter().all(|got| got.active == 0b11));
    assert_eq!(
        large[key..].iter().filter(|got| got.spatial == 1).count(),
        80
    );
    assert!(as_it_came(&large[key..]));
    assert!(without_gaps(&world.got));
}

#[test]
fn who_is_not_sent_the_packet_with_the_templates_gets_them_with_the_next() {
    let mut world = World::new(S2T1, &EXTENSIONS);
    world.want(360);
    world.pictures(40);
    world.asked = true;
    let large = world.pictures(40);
    assert!(large
        .iter()
        .all(|got| (got.spatial, got.active) == (1, 0b10)));
    assert!(large.iter().any(|got| got.brings), "a key frame");
    world.want(180);
    let after = world.pictures(40);
    let small = after
        .iter()
        .position(|got| got.spatial == 0)
        .expect("turns");
    assert!(after[small].brings);
    assert!(after[small..]
        .iter()
        .all(|got| (got.spatial, got.active) == (0, 0b01)));
    assert!(without_gaps(&world.got));
}

#[test]
fn who_is_sent_everything_again_without_a_key_frame_is_told_until_the_next() {
    let mut world = World::new(L1T2, &EXTENSIONS);
    world.pictures(40);
    let half = Step {
        layer: 0,
        spatial: 0,
        temporal: 0,
        bps: 0,
        height: 180,
    };
    world.allow(Allowed::UpTo(half));
    let slow = world.pictures(40);
    assert!(slow[2..].iter().all(|got| got.active == 0b01));
    assert!(slow.len() < 50, "{} packets of 40 pictures", slow.len());
    world.allow(Allowed::Free);
    let fast = world.pictures(40);
    assert!(!fast.iter().any(|got| got.brings) && fast.len() > 75);
    assert!(fast[2..]
        .iter()
        .all(|got| got.active == 0b11 && got.size > 3));
    world.asked = true;
    let later = world.pictures(40);
    assert!(later.iter().all(|got| got.active == 0b11));
    assert!(as_it_came(&later));
    assert!(without_gaps(&world.got));
}

#[test]
fn who_takes_no_descriptors_is_sent_one_size() {
    let mut world = World::new(L2T1, &[(Extension::Mid, 3)]);
    world.want(360);
    world.pictures(40);
    let later = world.pictures(40);
    assert!(later.iter().all(|got| (got.spatial, got.size) == (0, 0)));
    assert_eq!(later.iter().filter(|got| got.marker).count(), 40);
    assert!(without_gaps(&world.got));
}
