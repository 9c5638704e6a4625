//! A sender with three layers and a voice, an engine, and viewers behind paths, in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use dataplane::demux::{classify, Class};
use dataplane::ext::{Extension, Ids, Values};
use dataplane::red;
use dataplane::rtcp::{parse, put_receiver_report, Item};
use dataplane::rtp::Header;
use dataplane::twcc::Arrivals;
use dataplane::{
    Codec, Coming, Engine, Event, Kind, Limits, Micros, Op, SinkConfig, SourceConfig,
    TransportStats, MS,
};

use crate::path::Path;
use crate::support::Terminal;

const VIDEO_IN: u32 = 1_000;
const AUDIO_IN: u32 = 1_100;
const VOICE_SOURCE: u32 = 100;
/// The first viewer's first picture.
pub const SINK: u32 = 10;
pub const VIDEO_OUT: u32 = 2_000;
pub const AUDIO_OUT: u32 = 1_996;
const EMPTY_OUT: u32 = 1_998;
/// Numbers from one sender's picture to the next, in and out.
const APART: u32 = 10;
/// Datagrams of reports are about so long.
const REPORT: usize = 80;
const FRAME_US: Micros = 40 * MS;
const VOICE_US: Micros = 20 * MS;
/// Octets of a frame at 24 kbit/s.
pub const VOICE: usize = 60;
const RED: u8 = 63;
const PACKET: usize = 1_100;
/// A key frame is so many times as large as another, unless told otherwise.
const KEY: usize = 3;
const FEEDBACK_US: Micros = 50 * MS;

/// How a viewer tells what it receives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    Arrivals,
    Nothing,
}

/// A packet that reached a viewer.
#[derive(Clone, Copy)]
pub struct Got {
    pub at: Micros,
    pub octets: usize,
    /// In the queue of its path.
    pub waited: Micros,
    /// Layer of a picture; `None` for sound.
    pub layer: Option<u8>,
    /// Frames of sound in it that had not come yet.
    pub voices: usize,
    /// Which sender's.
    pub source: usize,
    /// Number of the picture, modulo 2^8.
    pub frame: u8,
    pub picture: Option<Picture>,
}

/// What a packet of a picture says.
#[derive(Clone, Copy, Debug)]
pub struct Picture {
    pub index: u64,
    pub timestamp: u32,
    pub number: u16,
    pub key: bool,
    pub starts: bool,
    pub ends: bool,
}

/// When it arrives, a tie breaker, how long it waited, octets.
type Datagram = (Micros, u64, Micros, Vec<u8>);

pub struct Viewer {
    pub terminal: Terminal,
    pub path: Path,
    /// The way of its reports.
    pub up: Path,
    telling: Telling,
    under_way: BinaryHeap<Reverse<Datagram>>,
    back: BinaryHeap<Reverse<(Micros, u64, Vec<u8>)>>,
    arrivals: Arrivals,
    number: u64,
    pub got: Vec<Got>,
    /// Timestamps of all sound that came.
    heard: HashSet<u32>,
    pub sent_octets: u64,
}

impl Picture {
    fn read(header: &Header, index: u64, payload: &[u8]) -> Picture {
        Picture {
            index,
            timestamp: header.timestamp,
            number: u16::from_be_bytes([payload[2] & 0x7F, payload[3]]),
            key: payload[6] & 1 == 0,
            starts: payload[0] & 0x10 != 0,
            ends: header.marker,
        }
    }
}

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
        self.viewers.push(Viewer {
            terminal,
            path,
            up: Path::new(1_000_000_000, u64::from(number)),
            telling,
            under_way: BinaryHeap::new(),
            back: BinaryHeap::new(),
            arrivals: Arrivals::default(),
            number: 0,
            got: Vec::new(),
            heard: HashSet::new(),
            sent_octets: 0,
        });
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

impl Viewer {
    fn send(&mut self, data: &[u8], now: Micros) {
        self.sent_octets += data.len() as u64;
        self.number += 1;
        if let Some((due, waited)) = self.path.carry(data.len(), now) {
            let datagram = (due, self.number, waited, data.to_vec());
            self.under_way.push(Reverse(datagram));
        }
    }

    fn receive(&mut self, now: Micros) {
        let ids = Ids::new(&[(Extension::Mid, 3), (Extension::Twcc, 5)]);
        while self
            .under_way
            .peek()
            .is_some_and(|Reverse(next)| next.0 <= now)
        {
            let Some(Reverse((at, _, waited, data))) = self.under_way.pop() else {
                return;
            };
            if classify(&data) != Class::Rtp {
                continue;
            }
            let header = Header::parse(&data).expect("RTP");
            let seq = Values::read(&data, &header, &ids).twcc;
            // Half a minute ahead of ours: the receiver's clock is its own.
            self.arrivals
                .record(seq.expect("numbered"), at + 30_000_000);
            let mut voices = 0;
            let (source, picture) = match header.ssrc {
                AUDIO_OUT => {
                    voices = self.listen(&data);
                    (0, None)
                }
                ssrc => {
                    let (source, repair) = ((ssrc - VIDEO_OUT) / APART, (ssrc - VIDEO_OUT) % APART);
                    if repair == 1 {
                        continue;
                    }
                    assert_eq!(repair, 0, "nothing comes in an empty slot");
                    let (header, index, payload) = self.terminal.open(&data);
                    (
                        source as usize,
                        Some((Picture::read(&header, index, &payload), payload)),
                    )
                }
            };
            let octets = data.len();
            self.got.push(Got {
                at,
                octets,
                waited,
                voices,
                layer: picture
                    .as_ref()
                    .map(|(_, payload)| payload[7] % APART as u8),
                source,
                frame: picture.as_ref().map_or(0, |(_, payload)| payload[4]),
                picture: picture.map(|(picture, _)| picture),
            });
        }
    }

    /// How many new frames of sound a packet has.
    fn listen(&mut self, data: &[u8]) -> usize {
        let (header, _, payload) = self.terminal.open(data);
        let offsets: Vec<u32> = match header.payload_type {
            RED => {
                let blocks = red::parse(&payload).expect("RED");
                let offset = |block: &red::Block<'_>| u32::from(block.offset);
                blocks.as_slice().iter().map(offset).collect()
            }
            _ => vec![0],
        };
        let time = |offset: u32| header.timestamp.wrapping_sub(offset);
        let new = offsets
            .into_iter()
            .filter(|at| self.heard.insert(time(*at)));
        new.count()
    }

    fn tell(&mut self, now: Micros) {
        loop {
            let mut out = Vec::new();
            put_receiver_report(&mut out, 1, &[]);
            if !self.arrivals.feedback(&mut out, 1, VIDEO_OUT) {
                return;
            }
            self.say(out, now);
        }
    }

    fn say(&mut self, packet: Vec<u8>, now: Micros) {
        self.number += 1;
        let data = self.terminal.rtcp(packet);
        if let Some((due, _)) = self.up.carry(REPORT, now) {
            self.back.push(Reverse((due, self.number, data)));
        }
    }

    /// Frames of sound that came in the last `seconds`.
    pub fn voices(&self, now: Micros, seconds: u64) -> usize {
        self.recent(now, seconds).map(|got| got.voices).sum()
    }

    /// Packets of sound that came in the last `seconds`.
    pub fn sounds(&self, now: Micros, seconds: u64) -> usize {
        let sound = |got: &&Got| got.layer.is_none();
        self.recent(now, seconds).filter(sound).count()
    }

    pub fn recent(&self, now: Micros, seconds: u64) -> impl Iterator<Item = &Got> + '_ {
        let from = now.saturating_sub(seconds * 1_000 * MS);
        self.got.iter().filter(move |got| got.at > from)
    }

    /// The layer of the newest picture of the last second.
    pub fn layer(&self, now: Micros) -> Option<u8> {
        self.recent(now, 1).filter_map(|got| got.layer).last()
    }

    /// Waits in the path's queue of the last `seconds`, ascending.
    pub fn waits(&self, now: Micros, seconds: u64) -> Vec<Micros> {
        let mut waits: Vec<Micros> = self.recent(now, seconds).map(|got| got.waited).collect();
        waits.sort_unstable();
        waits
    }
}

/// The value below which `percent` of ascending values are.
pub fn percentile(values: &[Micros], percent: usize) -> Micros {
    values[(values.len() - 1) * percent / 100]
}
