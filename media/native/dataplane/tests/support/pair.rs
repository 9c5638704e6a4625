//! Two workers in virtual time: a source on one, viewers on the other.

use std::collections::BTreeMap;

use dataplane::demux::{classify, Class};
use dataplane::rtcp::{parse, put_receiver_report, Item};
use dataplane::{Codec, Engine, Kind, Limits, Micros, Op, SourceConfig, Stats, MS};

use super::{vp8, Terminal};

pub const IN: u32 = 1000;
pub const NEAR_IN: u32 = 1001;
pub const OUT: u32 = 2000;
/// What lies ahead of an original sequence number in a repaired packet's payload.
pub const ORIGINAL: usize = 2;

/// The sender's worker and the viewer's.
pub const HOME: usize = 0;
pub const AWAY: usize = 1;

pub fn described(transport: u32, ssrc: u32) -> SourceConfig {
    SourceConfig {
        transport,
        kind: Kind::Video,
        mid: None,
        ssrcs: vec![(ssrc, None)],
        rids: Vec::new(),
        codecs: vec![(96, Codec::Vp8, None)],
    }
}

pub struct World {
    pub workers: Vec<Engine>,
    /// On the home worker, on the viewer's, and the viewer.
    pub far: Terminal,
    pub near: Terminal,
    pub viewer: Terminal,
    pub now: Micros,
    /// Frames and timestamps the viewer got, by outgoing index.
    pub got: BTreeMap<u64, (u64, u32)>,
    pub repaired: Vec<u64>,
    /// When the far sender was asked for a key frame.
    pub asked: Vec<Micros>,
}

impl World {
    pub fn new() -> World {
        World::with(Limits::default())
    }

    pub fn with(limits: Limits) -> World {
        let mut workers: Vec<Engine> = (0..2)
            .map(|me| Engine::new(limits, 7 + u64::from(me), 1_790_000_000_000_000).among(me, 2))
            .collect();
        let far = Terminal::connect(&mut workers[HOME], 1, 0);
        let near = Terminal::connect(&mut workers[AWAY], 2, 0);
        let viewer = Terminal::connect(&mut workers[AWAY], 3, 0);
        far.source(&mut workers[HOME], 1, IN, 0);
        near.source(&mut workers[AWAY], 2, NEAR_IN, 0);
        let mut world = World {
            workers,
            far,
            near,
            viewer,
            now: 0,
            got: BTreeMap::new(),
            repaired: Vec::new(),
            asked: Vec::new(),
        };
        world.turn();
        world
    }

    /// As the driver does: the mirror first, then the route.
    pub fn watch_far(&mut self) {
        let config = Box::new(described(self.far.id, IN));
        let mirror = Op::Mirror {
            source: 1,
            worker: HOME as u8,
            config,
        };
        self.workers[AWAY].apply(mirror, self.now);
        self.watch(1);
    }

    pub fn watch(&mut self, source: u32) {
        if self.workers[AWAY].stats().sinks.is_empty() {
            self.viewer
                .sink(&mut self.workers[AWAY], 1, OUT, source, self.now);
        } else {
            let source = Some(source);
            self.workers[AWAY].apply(Op::Route { sink: 1, source }, self.now);
        }
        self.turn();
    }

    /// A frame of one packet from the far sender, numbered as given.
    pub fn far_frame(&mut self, frame: u64, key: bool) {
        let payload = vp8(frame as u16, key, &frame.to_be_bytes());
        let mut data = self
            .far
            .rtp(IN, 100 + frame, 3_000 * frame as u32, &payload);
        self.workers[HOME].receive(&mut data, self.far.path, self.now);
    }

    pub fn near_frame(&mut self, frame: u64, key: bool) {
        let payload = vp8(frame as u16, key, &frame.to_be_bytes());
        let mut data = self
            .near
            .rtp(NEAR_IN, 100 + frame, 3_000 * frame as u32, &payload);
        self.workers[AWAY].receive(&mut data, self.near.path, self.now);
    }

    /// Let what crosses cross, until nothing does.
    pub fn cross(&mut self) {
        loop {
            let mut crossed = 0;
            for from in 0..self.workers.len() {
                for to in 0..self.workers.len() {
                    while let Some(crossing) = self.workers[from].poll_crossing(to as u8) {
                        self.workers[to].cross(crossing, self.now);
                        crossed += 1;
                    }
                }
            }
            if crossed == 0 {
                return;
            }
        }
    }

    /// Two milliseconds in which everything crosses and is sent.
    pub fn turn(&mut self) {
        self.cross();
        self.now += 2 * MS;
        self.collect();
    }

    pub fn collect(&mut self) {
        for at in 0..self.workers.len() {
            self.workers[at].tick(self.now);
        }
        self.cross();
        for at in 0..self.workers.len() {
            while let Some(batch) = self.workers[at].poll_transmit(self.now) {
                let path = batch.path;
                for data in batch.octets.chunks(batch.segment) {
                    match classify(data) {
                        Class::Rtp if path == self.viewer.path => self.look(data),
                        Class::Rtcp if path == self.far.path => self.read(data),
                        _ => {}
                    }
                }
                self.workers[at].recycle(batch.octets);
            }
        }
    }

    pub fn look(&mut self, data: &[u8]) {
        let (header, index, payload) = self.viewer.open(data);
        let frame = |payload: &[u8]| {
            let tail = payload.last_chunk::<8>().expect("a frame number");
            u64::from_be_bytes(*tail)
        };
        if header.ssrc == OUT {
            self.got.insert(index, (frame(&payload), header.timestamp));
        } else {
            self.repaired.push(frame(&payload[ORIGINAL..]));
        }
    }

    pub fn read(&mut self, data: &[u8]) {
        let plain = self.far.open_rtcp(data);
        let mut items = Vec::new();
        parse(&plain, &mut items).expect("parses");
        let asks = items.iter().filter(|i| matches!(i, Item::Pli { .. }));
        let now = self.now;
        self.asked.extend(asks.map(|_| now));
    }

    pub fn say(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        let mut packet = Vec::new();
        put_receiver_report(&mut packet, 9, &[]);
        put(&mut packet);
        let mut data = self.viewer.rtcp(packet);
        self.workers[AWAY].receive(&mut data, self.viewer.path, self.now);
    }

    pub fn frames(&self) -> Vec<u64> {
        self.got.values().map(|(frame, _)| *frame).collect()
    }

    pub fn stats(&self) -> Stats {
        Stats::merged(self.workers.iter().map(Engine::stats))
    }
}
