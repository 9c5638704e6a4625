//! The whole engine against somebody who has its keys: a sender, and a viewer of what it sends.

use std::collections::HashMap;

use dataplane::demux::{classify, Class};
use dataplane::rtp::Header;
use dataplane::srtp::Protection;
use dataplane::stun::{integrity_key, Builder, BINDING_REQUEST};
use dataplane::{
    Codec, Engine, Kind, Limits, MasterKey, Micros, Op, Path, Profile, SinkConfig, SourceConfig,
    TransportConfig, MS,
};

const PROFILE: Profile = Profile::AeadAes128Gcm;
const PICTURES: u32 = 1_000;
const SOUND: u32 = 1_001;
/// A step is an instruction, a length and so many octets.
const MAX_STEPS: usize = 64;

struct World {
    engine: Engine,
    peer: Protection,
    path: Path,
    rtcp_index: u32,
    now: Micros,
    datagrams: u64,
    /// What went out under each SSRC and sequence number.
    sent: HashMap<(u32, u16), Vec<u8>>,
}

fn master(seed: u8) -> MasterKey {
    MasterKey {
        key: [seed; 16],
        salt: vec![seed; PROFILE.salt_len()],
    }
}

/// Whatever is said, nothing panics, what comes is counted, and no number is used for two contents:
/// two would break the encryption (RFC 7714 section 8.1).
pub fn engine(data: &[u8]) {
    let mut world = World::new();
    let mut rest = data;
    for _ in 0..MAX_STEPS {
        let Some((&[kind, length], after)) = rest.split_first_chunk::<2>() else {
            break;
        };
        let (octets, after) = after.split_at(after.len().min(usize::from(length)));
        world.step(kind, octets);
        rest = after;
    }
    world.wait(1_100);
    assert_eq!(world.engine.stats().engine.packets_in, world.datagrams);
}

impl World {
    fn new() -> World {
        let mut engine = Engine::new(Limits::default(), 1, 1_790_000_000_000_000);
        let transport = TransportConfig {
            local_ufrag: "us".to_owned(),
            local_pwd: "ours".to_owned(),
            remote_ufrag: "them".to_owned(),
            remote_pwd: "theirs".to_owned(),
            controlling: false,
            candidates: Vec::new(),
            extensions: Vec::new(),
        };
        engine.apply(Op::AddTransport(1, Box::new(transport)), 0);
        let keys = Op::SetKeys {
            transport: 1,
            profile: PROFILE,
            rx: master(1),
            tx: master(2),
        };
        engine.apply(keys, 0);
        let path = Path {
            socket: 0,
            peer: ([10, 0, 0, 1], 5_000).into(),
        };
        let mut check = Builder::new(BINDING_REQUEST, &[1; 12])
            .username("us", "them")
            .use_candidate()
            .finish(&integrity_key("ours"));
        engine.receive(&mut check, path, 0);
        let mut world = World {
            engine,
            peer: Protection::new(PROFILE, &master(1)).expect("the key fits"),
            path,
            rtcp_index: 0,
            now: MS,
            datagrams: 1,
            sent: HashMap::new(),
        };
        world.streams(Kind::Video, 1, PICTURES, (Codec::Vp8, 96, Some(97)));
        world.streams(Kind::Audio, 2, SOUND, (Codec::Opus, 111, Some(63)));
        world
    }

    /// A source and a sink it feeds, which is 1,000 SSRCs on.
    fn streams(&mut self, kind: Kind, id: u32, ssrc: u32, codec: (Codec, u8, Option<u8>)) {
        let video = kind == Kind::Video;
        let (name, payload_type, repair) = codec;
        let source = SourceConfig {
            transport: 1,
            kind,
            mid: None,
            ssrcs: vec![(ssrc, video.then_some(ssrc + 100))],
            rids: Vec::new(),
            codecs: vec![(payload_type, name, repair)],
        };
        let sink = SinkConfig {
            transport: 1,
            kind,
            mid: None,
            ssrc: ssrc + 1_000,
            rtx_ssrc: video.then_some(ssrc + 1_100),
            cname: "fuzz".to_owned(),
            codecs: vec![codec],
        };
        let route = Op::Route {
            sink: id,
            source: Some(id),
        };
        self.engine
            .apply(Op::AddSource(id, Box::new(source)), self.now);
        self.engine.apply(Op::AddSink(id, Box::new(sink)), self.now);
        self.engine.apply(route, self.now);
    }

    fn step(&mut self, kind: u8, octets: &[u8]) {
        match kind % 8 {
            0 => self.receive(octets.to_vec()),
            1 => self.rtcp(octets),
            2 => self.wait(u64::from(octets.first().copied().unwrap_or(1))),
            3 => self.rtp(PICTURES + 100, 97, octets),
            4 => self.rtp(SOUND, 63, octets),
            5 => self.rtp(SOUND, 111, octets),
            _ => self.rtp(PICTURES, 96, octets),
        }
        self.wait(1);
    }

    /// A protected packet: two octets of sequence number, one of time, then the payload.
    fn rtp(&mut self, ssrc: u32, payload_type: u8, octets: &[u8]) {
        let Some((&[high, low, time], payload)) = octets.split_first_chunk::<3>() else {
            return;
        };
        let mut packet = vec![0x80, payload_type, high, low, 0, 0, time, 0];
        packet.extend_from_slice(&ssrc.to_be_bytes());
        packet.extend_from_slice(payload);
        let index = u64::from(u16::from_be_bytes([high, low]));
        if self.peer.seal_rtp(&mut packet, 0, 12, ssrc, index).is_ok() {
            self.receive(packet);
        }
    }

    /// A protected report, its first two octets put right so that it is one.
    fn rtcp(&mut self, octets: &[u8]) {
        if octets.len() < 8 {
            return;
        }
        let mut packet = octets.to_vec();
        packet[0] = 0x80 | packet[0] & 0x3F;
        packet[1] = 200 + packet[1] % 8;
        if self.peer.seal_rtcp(&mut packet, self.rtcp_index).is_ok() {
            self.rtcp_index += 1;
            self.receive(packet);
        }
    }

    fn receive(&mut self, mut datagram: Vec<u8>) {
        self.datagrams += 1;
        self.engine.receive(&mut datagram, self.path, self.now);
        self.collect();
    }

    fn wait(&mut self, ms: u64) {
        self.now += ms * MS;
        self.engine.tick(self.now);
        while self.engine.poll_event().is_some() {}
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(batch) = self.engine.poll_transmit(self.now) {
            assert_eq!(batch.octets.chunks(batch.segment).count(), batch.count);
            for datagram in batch.octets.chunks(batch.segment) {
                self.sent(datagram);
            }
            self.engine.recycle(batch.octets);
        }
    }

    fn sent(&mut self, datagram: &[u8]) {
        if classify(datagram) != Class::Rtp {
            return;
        }
        let header = Header::parse(datagram).expect("what we send is RTP");
        let before = self.sent.entry((header.ssrc, header.seq));
        let first = before.or_insert_with(|| datagram.to_vec());
        assert_eq!(first, datagram, "one number, two contents");
    }
}
