//! A sender with three layers and a voice, an engine, and viewers behind paths, in virtual time.

use std::cmp::Reverse;

use dataplane::demux::{classify, Class};
use dataplane::rtcp::{parse, put_receiver_report, Item};
use dataplane::{
    Codec, Coming, Engine, Event, Kind, Limits, Micros, Op, SinkConfig, SourceConfig,
    TransportStats, MS,
};

use crate::path::Path;
use crate::support::Terminal;
use crate::viewer::{Telling, Viewer};

const VIDEO_IN: u32 = 1_000;
const AUDIO_IN: u32 = 1_100;
const VOICE_SOURCE: u32 = 100;
/// The first viewer's first picture.
pub const SINK: u32 = 10;
pub const VIDEO_OUT: u32 = 2_000;
pub const AUDIO_OUT: u32 = 1_996;
const EMPTY_OUT: u32 = 1_998;
/// Numbers from one sender's picture to the next, in and out.
pub const APART: u32 = 10;
const FRAME_US: Micros = 40 * MS;
const VOICE_US: Micros = 20 * MS;
/// Octets of a frame at 24 kbit/s.
pub const VOICE: usize = 60;
const PACKET: usize = 1_100;
/// A key frame is so many times as large as another, unless told otherwise.
const KEY: usize = 3;
const FEEDBACK_US: Micros = 50 * MS;

struct Layer {
    ssrc: u32,
    bps: u64,
    index: u64,
    wants_key: bool,
}

pub struct World {
    pub engine: Engine,
    pub now: Micros,
    sender: Terminal,
    layers: Vec<Layer>,
    /// Octets of the next frame of sound.
    pub loud: usize,
    pub key: usize,
    /// Key frames that were asked for.
    pub asked: u64,
    voice: u64,
    frame: u64,
    pub viewers: Vec<Viewer>,
    /// (when, sink, how its pictures come).
    pub told: Vec<(Micros, u32, Coming)>,
    /// Estimate of the first viewer's path every 100 ms.
    pub estimates: Vec<(Micros, u64)>,
}

impl World {
    /// A sender whose layers have these rates, nobody watching.
    pub fn new(layers: &[u64]) -> World {
        World::of(&[layers])
    }

    /// Pictures whose layers have these rates, and one voice.
    pub fn of(pictures: &[&[u64]]) -> World {
        let mut engine = Engine::new(Limits::default(), 7, 1_790_000_000_000_000);
        let sender = Terminal::connect(&mut engine, 1, 0);
        let mut source = SourceConfig {
            transport: 1,
            kind: Kind::Audio,
            mid: None,
            ssrcs: vec![(AUDIO_IN, None)],
            rids: Vec::new(),
            codecs: vec![(96, Codec::Opus, None)],
        };
        engine.apply(Op::AddSource(VOICE_SOURCE, Box::new(source.clone())), 0);
        source.kind = Kind::Video;
        source.codecs = vec![(96, Codec::Vp8, None)];
        let mut all = Vec::new();
        for (at, layers) in pictures.iter().enumerate() {
            let first = VIDEO_IN + APART * at as u32;
            let ssrcs = (first..).take(layers.len()).map(|ssrc| (ssrc, None));
            source.ssrcs = ssrcs.collect();
            engine.apply(Op::AddSource(1 + at as u32, Box::new(source.clone())), 0);
            all.extend((first..).zip(*layers).map(|(ssrc, &bps)| Layer {
                ssrc,
                bps,
                index: 100,
                wants_key: true,
            }));
        }
        World {
            engine,
            now: 0,
            sender,
            layers: all,
            loud: VOICE,
            key: KEY,
            asked: 0,
            voice: 0,
            frame: 0,
            viewers: Vec::new(),
            told: Vec::new(),
            estimates: Vec::new(),
        }
    }

    /// A viewer with an empty slot, the first picture (sink 10, 20, ...) and the voice.
    pub fn watch(&mut self, path: Path, telling: Telling) -> &mut Viewer {
        let number = self.viewers.len() as u16 + 2;
        let terminal = Terminal::connect(&mut self.engine, number, self.now);
        let first = 10 * (u32::from(number) - 1);
        let empty = SinkConfig {
            transport: u32::from(number),
            kind: Kind::Video,
            mid: Some("2".to_owned()),
            ssrc: EMPTY_OUT,
            rtx_ssrc: Some(EMPTY_OUT + 1),
            cname: "slot".to_owned(),
            codecs: vec![(Codec::Vp8, 96, Some(97))],
        };
        self.engine
            .apply(Op::AddSink(first - 1, Box::new(empty)), self.now);
        terminal.sink(&mut self.engine, first, VIDEO_OUT, 1, self.now);
        let voice = SinkConfig {
            transport: u32::from(number),
            kind: Kind::Audio,
            mid: Some("1".to_owned()),
            ssrc: AUDIO_OUT,
            rtx_ssrc: None,
            cname: "slot".to_owned(),
            codecs: vec![(Codec::Opus, 111, Some(63))],
        };
        self.engine
            .apply(Op::AddSink(first + 1, Box::new(voice)), self.now);
        let (sink, source) = (first + 1, Some(VOICE_SOURCE));
        self.engine.apply(Op::Route { sink, source }, self.now);
        let up = Path::new(1_000_000_000, u64::from(number));
        self.viewers.push(Viewer::new(terminal, path, up, telling));
        self.viewers.last_mut().expect("just added")
    }

    /// The first viewer watches picture `at` too, 1..8.
    pub fn add(&mut self, at: u32) {
        let terminal = &self.viewers[0].terminal;
        let (sink, ssrc) = (SINK + 1 + at, VIDEO_OUT + APART * at);
        terminal.sink(&mut self.engine, sink, ssrc, 1 + at, self.now);
    }

    /// Let seconds pass.
    pub fn run(&mut self, seconds: f64) {
        let until = self.now + (seconds * 1e6) as Micros;
        while self.now < until {
            self.now += MS;
            self.speak();
            for at in 0..self.viewers.len() {
                self.hear(at);
            }
            self.engine.tick(self.now);
            self.transmit();
            while let Some(event) = self.engine.poll_event() {
                if let Event::Video { sink, coming } = event {
                    self.told.push((self.now, sink, coming));
                }
            }
            if self.now % (100 * MS) == 0 && !self.viewers.is_empty() {
                let estimate = self.path_stats(0).estimate_bps_now;
                self.estimates.push((self.now, estimate));
            }
        }
    }

    pub fn path_stats(&self, viewer: usize) -> TransportStats {
        let id = self.viewers[viewer].terminal.id;
        let stats = self.engine.stats().transports;
        let found = stats.into_iter().find(|(transport, _)| *transport == id);
        found.expect("it is there").1
    }

    fn speak(&mut self) {
        if self.now % VOICE_US == 0 {
            let index = 100 + self.voice;
            let timestamp = 960 * self.voice as u32;
            self.voice += 1;
            let data = self
                .sender
                .rtp(AUDIO_IN, index, timestamp, &vec![0; self.loud]);
            self.arrive(data);
        }
        if self.now % FRAME_US == 0 {
            self.frame += 1;
            for at in 0..self.layers.len() {
                self.show(at);
            }
        }
    }

    fn show(&mut self, at: usize) {
        let layer = &mut self.layers[at];
        let key = std::mem::take(&mut layer.wants_key);
        let mut left = (layer.bps * FRAME_US / 8_000_000) as usize * if key { self.key } else { 1 };
        let mut start = true;
        let mut packets = Vec::new();
        while left > 0 {
            let octets = left.min(PACKET);
            let [high, low] = (self.frame as u16 | 0x8000).to_be_bytes();
            let first = if start { 0x90 } else { 0x80 };
            let mut payload = vec![first, 0xE0, high, low, self.frame as u8, 0, u8::from(!key)];
            payload.push((layer.ssrc - VIDEO_IN) as u8);
            payload.resize(octets.max(8), 0);
            let timestamp = 3_600 * self.frame as u32;
            let (ssrc, index, ends) = (layer.ssrc, layer.index, left == octets);
            let sender = &self.sender;
            packets.push(sender.marked(ssrc, index, timestamp, ends, &payload));
            layer.index += 1;
            left -= octets;
            start = false;
        }
        packets.into_iter().for_each(|data| self.arrive(data));
    }

    fn arrive(&mut self, mut data: Vec<u8>) {
        self.engine.receive(&mut data, self.sender.path, self.now);
    }

    fn transmit(&mut self) {
        while let Some(batch) = self.engine.poll_transmit(self.now) {
            for data in batch.octets.chunks(batch.segment) {
                if batch.path == self.sender.path {
                    self.asked(data);
                } else {
                    let mut all = self.viewers.iter_mut();
                    let viewer = all.find(|v| v.terminal.path == batch.path).expect("known");
                    viewer.send(data, self.now);
                }
            }
            self.engine.recycle(batch.octets);
        }
    }

    /// The sender makes a key frame when asked.
    fn asked(&mut self, data: &[u8]) {
        if classify(data) != Class::Rtcp {
            return;
        }
        let plain = self.sender.open_rtcp(data);
        let mut items = Vec::new();
        parse(&plain, &mut items).expect("the engine's RTCP is well formed");
        for item in items {
            if let Item::Pli { media } = item {
                let mut layers = self.layers.iter_mut();
                let layer = layers.find(|layer| layer.ssrc == media);
                layer.expect("a layer").wants_key = true;
                self.asked += 1;
            }
        }
    }

    /// Deliver what is due at a viewer, and to the engine what it says.
    fn hear(&mut self, at: usize) {
        let (viewer, now) = (&mut self.viewers[at], self.now);
        viewer.receive(now);
        if viewer.telling == Telling::Arrivals && now % FEEDBACK_US == 0 {
            viewer.tell(now);
        } else if viewer.telling == Telling::Nothing && now % (1_000 * MS) == 0 {
            let mut alive = Vec::new();
            put_receiver_report(&mut alive, 1, &[]);
            viewer.say(alive, now);
        }
        let path = viewer.terminal.path;
        while viewer
            .back
            .peek()
            .is_some_and(|Reverse(next)| next.0 <= now)
        {
            if let Some(Reverse((_, _, mut data))) = viewer.back.pop() {
                self.engine.receive(&mut data, path, now);
            }
        }
    }

    /// Something a viewer says, arriving at once.
    pub fn say(&mut self, viewer: usize, packet: Vec<u8>) {
        let viewer = &mut self.viewers[viewer];
        let mut data = viewer.terminal.rtcp(packet);
        let path = viewer.terminal.path;
        self.engine.receive(&mut data, path, self.now);
    }
}
