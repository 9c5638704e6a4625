//! An engine that has too much to do: pictures go down step by step, sound goes on.

mod support;

use dataplane::demux::{classify, Class};
use dataplane::{Codec, Engine, Kind, Micros, Op, SinkConfig, SourceConfig, Want, MS};
use support::{vp8, Terminal};

const LAYERS: [u32; 3] = [1000, 1010, 1020];
const AUDIO_IN: u32 = 1100;
const SPEAKER_OUT: u32 = 2000;
const OTHER_OUT: u32 = 2010;
const AUDIO_OUT: u32 = 2020;
/// An encoder that makes a key frame this often; the engine may ask for none in between.
const KEY_EVERY: u64 = 15;
const FRAME_US: Micros = 33 * MS;

struct World {
    engine: Engine,
    sender: Terminal,
    viewer: Terminal,
    now: Micros,
    frame: u64,
    /// Layers of the pictures that came since the last look, by slot, and the sounds.
    speaker: Vec<u8>,
    other: Vec<u8>,
    sounds: usize,
}

impl World {
    fn new() -> World {
        let mut engine = Engine::new(support::patient(), 7, 1_790_000_000_000_000);
        let sender = Terminal::connect(&mut engine, 1, 0);
        let viewer = Terminal::connect(&mut engine, 2, 0);
        add_sources(&mut engine);
        let mut world = World {
            engine,
            sender,
            viewer,
            now: 0,
            frame: 0,
            speaker: Vec::new(),
            other: Vec::new(),
            sounds: 0,
        };
        world.viewer.sink(&mut world.engine, 1, SPEAKER_OUT, 1, 0);
        world.viewer.sink(&mut world.engine, 2, OTHER_OUT, 1, 0);
        add_audio_sink(&mut world.engine);
        let want = Want {
            height: 0,
            priority: 10,
            beside: None,
        };
        world.engine.apply(Op::Want { sink: 1, want }, 0);
        world
    }

    fn strain(&mut self, level: u8) {
        self.engine.apply(Op::Strain(level), self.now);
    }

    /// Let seconds pass, then look at the last of them only.
    fn live(&mut self, seconds: u64) {
        let until = self.now + seconds * 1_000 * MS;
        while self.now < until {
            if self.now + 1_000 * MS < until {
                self.speaker.clear();
                self.other.clear();
                self.sounds = 0;
            }
            self.step();
        }
    }

    fn step(&mut self) {
        let key = self.frame % KEY_EVERY == 0;
        for (layer, ssrc) in LAYERS.into_iter().enumerate() {
            let body = vec![layer as u8; 200 << layer];
            let payload = vp8(self.frame as u16 & 0x7FFF, key, &body);
            self.arrive(ssrc, 3_000 * self.frame as u32, &payload);
        }
        self.arrive(AUDIO_IN, 1_584 * self.frame as u32, &[1, 2, 3]);
        self.frame += 1;
        self.now += FRAME_US;
        self.engine.tick(self.now);
        while let Some(batch) = self.engine.poll_transmit(self.now) {
            let to_viewer = batch.path == self.viewer.path;
            for data in batch.octets.chunks(batch.segment).filter(|_| to_viewer) {
                self.look(data);
            }
            self.engine.recycle(batch.octets);
        }
    }

    fn arrive(&mut self, ssrc: u32, timestamp: u32, payload: &[u8]) {
        let mut data = self.sender.rtp(ssrc, 100 + self.frame, timestamp, payload);
        self.engine.receive(&mut data, self.sender.path, self.now);
    }

    fn look(&mut self, data: &[u8]) {
        if classify(data) != Class::Rtp {
            return;
        }
        let (header, _, payload) = self.viewer.open(data);
        let layer = *payload.last().expect("a payload");
        match header.ssrc {
            SPEAKER_OUT => self.speaker.push(layer),
            OTHER_OUT => self.other.push(layer),
            AUDIO_OUT => self.sounds += 1,
            _ => {}
        }
    }

    fn seen(&self) -> (Option<u8>, Option<u8>) {
        let only = |layers: &[u8]| {
            let first = layers.first().copied();
            assert!(layers.iter().all(|l| Some(*l) == first), "{layers:?}");
            first
        };
        (only(&self.speaker), only(&self.other))
    }
}

fn add_sources(engine: &mut Engine) {
    let picture = SourceConfig {
        transport: 1,
        kind: Kind::Video,
        mid: None,
        ssrcs: LAYERS.iter().map(|ssrc| (*ssrc, None)).collect(),
        rids: Vec::new(),
        codecs: vec![(96, Codec::Vp8, None)],
    };
    let sound = SourceConfig {
        kind: Kind::Audio,
        ssrcs: vec![(AUDIO_IN, None)],
        codecs: vec![(96, Codec::Opus, None)],
        ..picture.clone()
    };
    engine.apply(Op::AddSource(1, Box::new(picture)), 0);
    engine.apply(Op::AddSource(2, Box::new(sound)), 0);
}

fn add_audio_sink(engine: &mut Engine) {
    let sink = SinkConfig {
        transport: 2,
        kind: Kind::Audio,
        mid: Some("1".to_owned()),
        ssrc: AUDIO_OUT,
        rtx_ssrc: None,
        cname: "slot".to_owned(),
        codecs: vec![(Codec::Opus, 111, None)],
    };
    engine.apply(Op::AddSink(3, Box::new(sink)), 0);
    let (sink, source) = (3, Some(2));
    engine.apply(Op::Route { sink, source }, 0);
}

fn counters(world: &World, sink: u32) -> (u64, u64) {
    let stats = world.engine.stats();
    let (_, stats) = stats.sinks.iter().find(|(id, _)| *id == sink).expect("it");
    (stats.lowered_now, stats.paused_now)
}

#[test]
fn pictures_go_down_step_by_step_and_sound_goes_on() {
    let mut world = World::new();
    let mut came = Vec::new();
    let mut sounds = Vec::new();
    for strain in [0, 1, 2, 3] {
        world.strain(strain);
        world.live(6);
        came.push(world.seen());
        sounds.push(world.sounds);
    }
    let steps = [(Some(2), Some(2)), (Some(1), Some(1)), (Some(0), Some(0))];
    assert_eq!(came[..3], steps);
    assert_eq!(came[3], (Some(0), None));
    assert!(
        sounds.iter().all(|s| *s == sounds[0] && *s > 25),
        "{sounds:?}"
    );
    assert_eq!((counters(&world, 1), counters(&world, 2)), ((1, 0), (0, 1)));
}

#[test]
fn everything_comes_back_when_the_strain_is_over() {
    let mut world = World::new();
    world.strain(3);
    world.live(4);
    assert_eq!(world.seen(), (Some(0), None));
    world.strain(0);
    world.live(8);
    assert_eq!(world.seen(), (Some(2), Some(2)));
    assert_eq!((counters(&world, 1), counters(&world, 2)), ((0, 0), (0, 0)));
}

#[test]
fn a_slot_paused_by_strain_does_not_go_on_with_what_it_showed_before() {
    let mut world = World::new();
    world.live(4);
    world.strain(3);
    let (sink, source) = (2, Some(1));
    world
        .engine
        .apply(Op::Route { sink, source: None }, world.now);
    world.engine.apply(Op::Route { sink, source }, world.now);
    world.live(4);
    assert_eq!(world.seen(), (Some(0), None));
    world.engine.apply(Op::DropSink(2), world.now);
    world.strain(0);
    world.live(4);
    assert_eq!(world.seen(), (Some(2), None));
}
