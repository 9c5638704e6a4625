//! Engines in a row, as the tiers of government are, over hops that lose and reorder; virtual time.
//!
//! A publisher sends one stream into the first node, each node hands it to the next over a link, and
//! viewers may sit at any node.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use dataplane::nack::Losses;
use dataplane::reception::Reception;
use dataplane::rtcp;
use dataplane::stun::{integrity_key, Builder, BINDING_REQUEST};
use dataplane::{
    Codec, Engine, Kind, Limits, Micros, Op, Path, SinkConfig, SourceConfig, TransportConfig, MS,
    SECOND,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::ends::{Publisher, Viewer};
use super::{master, Terminal, PROFILE};

const WALL_US: u64 = 1_790_000_000_000_000;
/// Near the wrap of the sequence number, so that the roll-over counter has to be right.
pub(super) const FIRST: u64 = 65_400;
pub(super) const PUBLISHED: u32 = 1000;
const CARRIED: u32 = 3000;
const WATCHED: u32 = 2000;
const UPLINK: u32 = 1;
const DOWNLINK: u32 = 2;
pub(super) const OPUS: u8 = 111;
pub(super) const RED: u8 = 63;
pub(super) const KEY_PACKETS: u64 = 12;

/// What one hop does to each datagram, in either direction.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub loss: f64,
    pub delay_us: Micros,
    /// On top of the delay, evenly spread; packets overtake each other by it.
    pub jitter_us: Micros,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 30 frames a second of 4 packets, key frames of 12.
    Pictures,
    /// 10 frames a second of one packet, key frames of 12.
    Slides,
    /// 50 frames a second.
    Sound,
    /// The same between nodes and viewers that never agreed on RED.
    PlainSound,
}

impl Shape {
    pub(super) fn kind(self) -> Kind {
        match self {
            Shape::Pictures | Shape::Slides => Kind::Video,
            Shape::Sound | Shape::PlainSound => Kind::Audio,
        }
    }

    /// Time between frames, and packets of one.
    pub(super) fn frames(self) -> (Micros, u64) {
        match self {
            Shape::Pictures => (SECOND / 30, 4),
            Shape::Slides => (SECOND / 10, 1),
            Shape::Sound | Shape::PlainSound => (20 * MS, 1),
        }
    }

    fn redundancy(self) -> Option<u8> {
        (self == Shape::Sound).then_some(RED)
    }
}

/// Where a datagram arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum To {
    /// A node, over the path of its own transport with this number.
    Node(usize, u32),
    Publisher,
    Viewer(usize),
}

/// A hop by what it joins to the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    Published,
    Link,
    Watched,
}

type Datagram = (Micros, u64, To, Vec<u8>);

pub struct Chain {
    pub engines: Vec<Engine>,
    pub publisher: Publisher,
    pub viewers: Vec<Viewer>,
    pub now: Micros,
    shape: Shape,
    rng: StdRng,
    pub weather: Weather,
    /// Which hops are fine, whatever the weather.
    clear: fn(Hop) -> bool,
    under_way: BinaryHeap<Reverse<Datagram>>,
    number: u64,
    /// Where a node's path leads.
    paths: HashMap<(usize, Path), To>,
    /// Each viewer's node and transport.
    places: Vec<(usize, u32)>,
}

fn path(transport: u32) -> Path {
    let [_, _, high, low] = transport.to_be_bytes();
    Path {
        socket: 0,
        peer: ([10, 0, high, low], 5000).into(),
    }
}

/// One end of a link: keys by seed, path verified.
fn connect(engine: &mut Engine, id: u32, rx: u8, tx: u8) {
    let config = TransportConfig {
        local_ufrag: format!("us{id}"),
        local_pwd: "ours".to_owned(),
        remote_ufrag: "them".to_owned(),
        remote_pwd: "theirs".to_owned(),
        controlling: false,
        candidates: Vec::new(),
        extensions: Vec::new(),
    };
    engine.apply(Op::AddTransport(id, Box::new(config)), 0);
    let keys = Op::SetKeys {
        transport: id,
        profile: PROFILE,
        rx: master(rx),
        tx: master(tx),
    };
    engine.apply(keys, 0);
    let mut check = Builder::new(BINDING_REQUEST, &[id as u8; 12])
        .username(&format!("us{id}"), "them")
        .use_candidate()
        .finish(&integrity_key("ours"));
    engine.receive(&mut check, path(id), 0);
}

fn source(engine: &mut Engine, shape: Shape, transport: u32, ssrc: u32) {
    let kind = shape.kind();
    let (ssrcs, codecs) = match kind {
        Kind::Audio => {
            let opus = (OPUS, Codec::Opus, shape.redundancy());
            (vec![(ssrc, None)], vec![opus])
        }
        Kind::Video => (
            vec![(ssrc, Some(ssrc + 1))],
            vec![(96, Codec::Vp8, Some(97))],
        ),
    };
    let config = SourceConfig {
        transport,
        kind,
        mid: None,
        ssrcs,
        rids: Vec::new(),
        codecs,
    };
    engine.apply(Op::AddSource(1, Box::new(config)), 0);
}

fn sink(engine: &mut Engine, shape: Shape, id: u32, transport: u32, ssrc: u32, now: Micros) {
    let kind = shape.kind();
    let (rtx_ssrc, codecs) = match kind {
        Kind::Audio => (None, vec![(Codec::Opus, OPUS, shape.redundancy())]),
        Kind::Video => (Some(ssrc + 1), vec![(Codec::Vp8, 96, Some(97))]),
    };
    let config = SinkConfig {
        transport,
        kind,
        mid: None,
        ssrc,
        rtx_ssrc,
        cname: "chain".to_owned(),
        codecs,
    };
    engine.apply(Op::AddSink(id, Box::new(config)), now);
    let source = Some(1);
    engine.apply(Op::Route { sink: id, source }, now);
}

impl Chain {
    /// `nodes` engines: one hop from the publisher, one between each two.
    pub fn new(seed: u64, nodes: usize, shape: Shape, weather: Weather) -> Chain {
        let mut engines: Vec<Engine> = (0..nodes)
            .map(|node| Engine::new(Limits::default(), seed + node as u64, WALL_US))
            .collect();
        let terminal = Terminal::connect(&mut engines[0], UPLINK as u16, 0);
        source(&mut engines[0], shape, UPLINK, PUBLISHED);
        let mut chain = Chain {
            publisher: Publisher {
                terminal,
                shape,
                sent: BTreeMap::new(),
                next: 0,
                frame: 0,
                keyframe_due: true,
                withheld: None,
                requests: Vec::new(),
            },
            engines,
            viewers: Vec::new(),
            now: 0,
            shape,
            rng: StdRng::seed_from_u64(seed),
            weather,
            clear: |_| false,
            under_way: BinaryHeap::new(),
            number: 0,
            paths: HashMap::new(),
            places: Vec::new(),
        };
        chain.paths.insert((0, path(UPLINK)), To::Publisher);
        for node in 1..nodes {
            chain.link(node);
        }
        chain.collect();
        chain.under_way.clear();
        chain
    }

    /// Join a node to the one above it, and carry the stream down.
    fn link(&mut self, node: usize) {
        let seeds = (10 + node as u8, 50 + node as u8);
        connect(&mut self.engines[node], UPLINK, seeds.0, seeds.1);
        connect(&mut self.engines[node - 1], DOWNLINK, seeds.1, seeds.0);
        source(&mut self.engines[node], self.shape, UPLINK, CARRIED);
        let above = &mut self.engines[node - 1];
        sink(above, self.shape, 1, DOWNLINK, CARRIED, 0);
        self.paths
            .insert((node, path(UPLINK)), To::Node(node - 1, DOWNLINK));
        self.paths
            .insert((node - 1, path(DOWNLINK)), To::Node(node, UPLINK));
    }

    /// Sit a viewer down at a node.
    pub fn join(&mut self, node: usize) {
        let at = self.viewers.len();
        let id = 10 + at as u16;
        let engine = &mut self.engines[node];
        let terminal = Terminal::connect(engine, id, self.now);
        let ssrc = WATCHED + 2 * at as u32;
        sink(
            engine,
            self.shape,
            u32::from(id),
            terminal.id,
            ssrc,
            self.now,
        );
        self.paths.insert((node, terminal.path), To::Viewer(at));
        self.places.push((node, terminal.id));
        self.viewers.push(Viewer {
            terminal,
            ssrc,
            losses: Losses::default(),
            reception: Reception::default(),
            lowest: 0,
            highest: None,
            joined: self.now,
            got: BTreeMap::new(),
            key_ends: None,
            pictured: None,
            asked_keyframe: self.now,
            shift: None,
            redundant: (0, 0),
        });
    }

    /// Let a millisecond pass.
    pub fn step(&mut self) {
        self.publish();
        self.deliver();
        for engine in &mut self.engines {
            engine.tick(self.now);
        }
        if self.now % (10 * MS) == 0 {
            for viewer in 0..self.viewers.len() {
                self.ask(viewer);
            }
        }
        self.collect();
        self.now += MS;
    }

    pub fn run(&mut self, until: Micros) {
        while self.now < until {
            self.step();
        }
    }

    /// Let some hops lose nothing.
    pub fn clear(&mut self, clear: fn(Hop) -> bool) {
        self.clear = clear;
    }

    fn carry(&mut self, to: To, data: Vec<u8>) {
        let hop = match to {
            To::Publisher | To::Node(0, UPLINK) => Hop::Published,
            To::Node(_, UPLINK | DOWNLINK) => Hop::Link,
            To::Node(..) | To::Viewer(_) => Hop::Watched,
        };
        if !(self.clear)(hop) && self.rng.random_bool(self.weather.loss) {
            return;
        }
        let jitter = self.rng.random_range(0..=self.weather.jitter_us);
        let arrives = self.now + self.weather.delay_us + jitter;
        self.number += 1;
        self.under_way
            .push(Reverse((arrives, self.number, to, data)));
    }

    fn publish(&mut self) {
        let (every, _) = self.shape.frames();
        while self.publisher.frame * every <= self.now {
            let before = self.publisher.next;
            for (at, data) in self.publisher.frame().into_iter().enumerate() {
                if self.publisher.withheld != Some(before + at as u64) {
                    self.carry(To::Node(0, UPLINK), data);
                }
            }
        }
    }

    fn collect(&mut self) {
        for node in 0..self.engines.len() {
            while let Some(batch) = self.engines[node].poll_transmit(self.now) {
                let to = self.paths.get(&(node, batch.path)).copied();
                for data in batch.octets.chunks(batch.segment) {
                    if let Some(to) = to {
                        self.carry(to, data.to_vec());
                    }
                }
                self.engines[node].recycle(batch.octets);
            }
        }
    }

    fn deliver(&mut self) {
        while let Some(Reverse(next)) = self.under_way.peek() {
            if next.0 > self.now {
                return;
            }
            let Some(Reverse((_, _, to, mut data))) = self.under_way.pop() else {
                return;
            };
            match to {
                To::Node(node, transport) => {
                    self.engines[node].receive(&mut data, path(transport), self.now);
                }
                To::Publisher => {
                    for data in self.publisher.hear(&data, self.now) {
                        self.carry(To::Node(0, UPLINK), data);
                    }
                }
                To::Viewer(at) => self.viewers[at].hear(self.shape.kind(), &data, self.now),
            }
        }
    }

    /// A viewer says something besides.
    pub fn say(&mut self, at: usize, put: impl FnOnce(&mut Vec<u8>, u32)) {
        let mut out = Vec::new();
        rtcp::put_receiver_report(&mut out, 1, &[]);
        let viewer = &mut self.viewers[at];
        put(&mut out, viewer.ssrc);
        let data = viewer.terminal.rtcp(out);
        let (node, transport) = self.places[at];
        self.carry(To::Node(node, transport), data);
    }

    /// A viewer's losses, its report once a second, and its wish for a first picture.
    fn ask(&mut self, at: usize) {
        let (now, kind) = (self.now, self.shape.kind());
        let (node, transport) = self.places[at];
        let viewer = &mut self.viewers[at];
        let mut out = Vec::new();
        let since = now - viewer.joined;
        let block = (since % SECOND < 10 * MS)
            .then(|| viewer.reception.report(viewer.ssrc, now))
            .flatten()
            .map(|(block, _)| block);
        rtcp::put_receiver_report(&mut out, 1, block.as_slice());
        let empty = out.len();
        if kind == Kind::Video {
            let rtt = 2 * self.weather.delay_us + self.weather.jitter_us;
            let missing = viewer.losses.due(now, rtt);
            if !missing.is_empty() {
                rtcp::put_nack(&mut out, 1, viewer.ssrc, &missing);
            }
            if viewer.pictured.is_none() && now >= viewer.asked_keyframe + 300 * MS {
                viewer.asked_keyframe = now;
                rtcp::put_pli(&mut out, 1, viewer.ssrc);
            }
        }
        if out.len() > empty || block.is_some() {
            let data = viewer.terminal.rtcp(out);
            self.carry(To::Node(node, transport), data);
        }
    }
}
