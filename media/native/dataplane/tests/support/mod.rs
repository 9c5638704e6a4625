//! A terminal in virtual time: keys, checks, VP8 out, packets and reports in.
#![allow(dead_code)]

pub mod chain;
pub mod ends;
pub mod pair;

use std::collections::BTreeMap;

use dataplane::demux::{classify, Class};
use dataplane::ext::{Extension, Ids, Writer};
use dataplane::rtp::{Fixed, Header};
use dataplane::srtp::Protection;
use dataplane::stun::{integrity_key, Builder, BINDING_REQUEST};
use dataplane::{
    Codec, Engine, Kind, Limits, MasterKey, Micros, Op, Path, Profile, SinkConfig, SourceConfig,
    TransportConfig,
};

/// Limits for stories in which the peers say little and are to be sent something all the same.
pub fn patient() -> Limits {
    Limits {
        silent_us: Micros::MAX,
        ..Limits::default()
    }
}

/// A picture without simulcast or repairs: from a terminal's SSRC (payload type 96) to a viewer's,
/// there with the payload type beside the codec.
pub fn one_picture(
    engine: &mut Engine,
    from: (&Terminal, u32),
    to: (&Terminal, u32),
    codec: (Codec, u8),
) {
    let source = SourceConfig {
        transport: from.0.id,
        kind: Kind::Video,
        mid: None,
        ssrcs: vec![(from.1, None)],
        rids: Vec::new(),
        codecs: vec![(96, codec.0, None)],
    };
    engine.apply(Op::AddSource(1, Box::new(source)), 0);
    let sink = SinkConfig {
        transport: to.0.id,
        kind: Kind::Video,
        mid: None,
        ssrc: to.1,
        rtx_ssrc: None,
        cname: "slot".to_owned(),
        codecs: vec![(codec.0, codec.1, None)],
    };
    engine.apply(Op::AddSink(1, Box::new(sink)), 0);
    let (sink, source) = (1, Some(1));
    engine.apply(Op::Route { sink, source }, 0);
}

/// What an engine sends in a story with one viewer.
pub enum Sent {
    /// RTP to the viewer.
    Media(Vec<u8>),
    /// RTCP to anybody else.
    Report(Vec<u8>),
}

/// Everything that waits to be sent, in order.
pub fn sent(engine: &mut Engine, viewer: Path, now: Micros) -> Vec<Sent> {
    let mut found = Vec::new();
    while let Some(batch) = engine.poll_transmit(now) {
        let to_viewer = batch.path == viewer;
        for data in batch.octets.chunks(batch.segment) {
            match (classify(data), to_viewer) {
                (Class::Rtp, true) => found.push(Sent::Media(data.to_vec())),
                (Class::Rtcp, false) => found.push(Sent::Report(data.to_vec())),
                _ => {}
            }
        }
        engine.recycle(batch.octets);
    }
    found
}

pub const PROFILE: Profile = Profile::AeadAes128Gcm;

fn master(seed: u8) -> MasterKey {
    MasterKey {
        key: [seed; 16],
        salt: vec![seed; PROFILE.salt_len()],
    }
}

pub struct Terminal {
    pub id: u32,
    pub path: Path,
    out: Protection,
    back: Protection,
    rtcp_index: u32,
    /// Highest index of each SSRC received.
    highest: BTreeMap<u32, u64>,
}

impl Terminal {
    /// Add a transport to the engine, verify its path and give it keys.
    pub fn connect(engine: &mut Engine, id: u16, now: Micros) -> Terminal {
        let extensions = [(Extension::Mid, 3), (Extension::Twcc, 5)];
        Terminal::connect_with(engine, id, &extensions, now)
    }

    /// The same, with header extensions of its own.
    pub fn connect_with(
        engine: &mut Engine,
        id: u16,
        extensions: &[(Extension, u8)],
        now: Micros,
    ) -> Terminal {
        let config = TransportConfig {
            local_ufrag: format!("us{id}"),
            local_pwd: "ours".to_owned(),
            remote_ufrag: "them".to_owned(),
            remote_pwd: "theirs".to_owned(),
            controlling: false,
            candidates: Vec::new(),
            extensions: extensions.to_vec(),
        };
        let number = u32::from(id);
        engine.apply(Op::AddTransport(number, Box::new(config)), now);
        let (rx, tx) = (id as u8, (id as u8).wrapping_add(100));
        let keys = Op::SetKeys {
            transport: number,
            profile: PROFILE,
            rx: master(rx),
            tx: master(tx),
        };
        engine.apply(keys, now);
        let [high, low] = id.to_be_bytes();
        let path = Path {
            socket: 0,
            peer: ([10, 0, high, low], 5000).into(),
        };
        let protection = |seed| Protection::new(PROFILE, &master(seed)).expect("key fits");
        let terminal = Terminal {
            id: number,
            path,
            out: protection(rx),
            back: protection(tx),
            rtcp_index: 0,
            highest: BTreeMap::new(),
        };
        engine.receive(&mut terminal.check(), path, now);
        terminal
    }

    /// An ICE check that nominates.
    pub fn check(&self) -> Vec<u8> {
        Builder::new(BINDING_REQUEST, &[self.id as u8; 12])
            .username(&format!("us{}", self.id), "them")
            .use_candidate()
            .finish(&integrity_key("ours"))
    }

    pub fn source(&self, engine: &mut Engine, id: u32, ssrc: u32, now: Micros) {
        let config = SourceConfig {
            transport: self.id,
            kind: Kind::Video,
            mid: None,
            ssrcs: vec![(ssrc, None)],
            rids: Vec::new(),
            codecs: vec![(96, Codec::Vp8, None)],
        };
        engine.apply(Op::AddSource(id, Box::new(config)), now);
    }

    /// A source with a layer for each of `ssrcs`.
    pub fn simulcast(&self, engine: &mut Engine, id: u32, ssrcs: &[u32], now: Micros) {
        let config = SourceConfig {
            transport: self.id,
            kind: Kind::Video,
            mid: None,
            ssrcs: ssrcs.iter().map(|ssrc| (*ssrc, None)).collect(),
            rids: Vec::new(),
            codecs: vec![(96, Codec::Vp8, None)],
        };
        engine.apply(Op::AddSource(id, Box::new(config)), now);
    }

    pub fn sink(&self, engine: &mut Engine, id: u32, ssrc: u32, source: u32, now: Micros) {
        let config = SinkConfig {
            transport: self.id,
            kind: Kind::Video,
            mid: Some("0".to_owned()),
            ssrc,
            rtx_ssrc: Some(ssrc + 1),
            cname: "slot".to_owned(),
            codecs: vec![(Codec::Vp8, 96, Some(97))],
        };
        engine.apply(Op::AddSink(id, Box::new(config)), now);
        let source = Some(source);
        engine.apply(Op::Route { sink: id, source }, now);
    }

    /// A protected RTP packet; `index` also numbers it.
    pub fn rtp(&self, ssrc: u32, index: u64, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        self.marked(ssrc, index, timestamp, true, payload)
    }

    /// The same, with a marker bit or without.
    pub fn marked(
        &self,
        ssrc: u32,
        index: u64,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> Vec<u8> {
        self.rtp_of(96, ssrc, index, timestamp, marker, payload)
    }

    /// The same with another payload type.
    pub fn rtp_of(
        &self,
        payload_type: u8,
        ssrc: u32,
        index: u64,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> Vec<u8> {
        let mut packet = Vec::new();
        let fixed = Fixed {
            extended: false,
            marker,
            payload_type,
            seq: index as u16,
            timestamp,
            ssrc,
        };
        fixed.write(&mut packet);
        packet.extend_from_slice(payload);
        self.out
            .seal_rtp(&mut packet, 0, 12, ssrc, index)
            .expect("seals");
        packet
    }

    /// A protected packet with a dependency descriptor, under the id that `ids` has for it.
    pub fn described(
        &self,
        fixed: Fixed,
        index: u64,
        ids: &Ids,
        descriptor: &[u8],
        payload: &[u8],
    ) -> Vec<u8> {
        let mut packet = Vec::new();
        fixed.write(&mut packet);
        let mut writer = Writer::new(&mut packet, ids, descriptor.len());
        writer.put(Extension::DependencyDescriptor, descriptor);
        assert!(writer.finish());
        let header = packet.len();
        packet.extend_from_slice(payload);
        self.out
            .seal_rtp(&mut packet, 0, header, fixed.ssrc, index)
            .expect("seals");
        packet
    }

    pub fn rtcp(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        self.out
            .seal_rtcp(&mut packet, self.rtcp_index)
            .expect("seals");
        self.rtcp_index += 1;
        packet
    }

    /// Decrypt an RTP packet from the engine: header, index and payload.
    pub fn open(&mut self, data: &[u8]) -> (Header, u64, Vec<u8>) {
        let header = Header::parse(data).expect("RTP");
        let known = self.highest.get(&header.ssrc).copied();
        let index = match known {
            Some(highest) => dataplane::seqmap::unwrap(highest, header.seq).expect("near"),
            None => u64::from(header.seq),
        };
        let mut plain = data.to_vec();
        let len = self
            .back
            .open_rtp(&mut plain, header.len, header.ssrc, index)
            .expect("the engine's packets authenticate");
        let highest = self.highest.entry(header.ssrc).or_insert(index);
        *highest = (*highest).max(index);
        (header, index, plain[header.len..len].to_vec())
    }

    pub fn open_rtcp(&self, data: &[u8]) -> Vec<u8> {
        let mut plain = data.to_vec();
        let (len, _, _) = self.back.open_rtcp(&mut plain).expect("authenticates");
        plain.truncate(len);
        plain
    }
}

/// A one-packet VP8 frame with a 15-bit picture id.
pub fn vp8(picture: u16, key: bool, body: &[u8]) -> Vec<u8> {
    let [high, low] = (picture | 0x8000).to_be_bytes();
    let mut payload = vec![0x90, 0xE0, high, low, picture as u8, 0, u8::from(!key)];
    payload.extend_from_slice(body);
    payload
}
