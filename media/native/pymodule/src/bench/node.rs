//! An engine with its worker thread, driven without Python.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use dataplane::{
    Kind, Limits, MasterKey, Micros, Op, Path, Profile, SinkConfig, SourceConfig, Stats,
    TransportConfig,
};

use crate::bench::stream::codec;
use crate::bench::BenchError;
use crate::socket::Udp;
use crate::streams::{Room, Streams};
use crate::worker::Driver;
use crate::workers::{Part, Workers};

pub const PROFILE: Profile = Profile::AeadAes128Gcm;
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PATIENCE: Duration = Duration::from_secs(10);

/// Keys of one transport: what its engine receives with, and sends with.
#[derive(Clone)]
pub struct KeyPair {
    pub rx: MasterKey,
    pub tx: MasterKey,
}

impl KeyPair {
    /// Distinct for every (engine, transport) of a run.
    pub fn of(engine: u32, transport: u32) -> Self {
        let half = |tag: u8| {
            let mut key = [tag; 16];
            key[..4].copy_from_slice(&engine.to_be_bytes());
            key[4..8].copy_from_slice(&transport.to_be_bytes());
            MasterKey {
                key,
                salt: vec![tag; PROFILE.salt_len()],
            }
        };
        KeyPair {
            rx: half(1),
            tx: half(2),
        }
    }

    /// The other end's view.
    pub fn flipped(&self) -> Self {
        KeyPair {
            rx: self.tx.clone(),
            tx: self.rx.clone(),
        }
    }
}

pub fn ufrag(engine: u32, transport: u32) -> String {
    format!("node{engine}t{transport}")
}

pub const PASSWORD: &str = "a-password-for-loopback";

pub struct Node {
    pub number: u32,
    workers: Workers,
    pub address: SocketAddr,
}

impl Node {
    /// An engine of `workers` workers on a port of its own.
    pub fn start(number: u32, workers: usize, seed: u64) -> Result<Self, BenchError> {
        let sockets = Udp::bind_for(LOOPBACK, 0, workers)?;
        let sets = sockets.into_iter().map(|socket| vec![socket]).collect();
        let limits = Limits {
            max_sinks: 4096,
            // Its peers only listen.
            silent_us: Micros::MAX,
            packet_rate: 10_000_000,
            source_rate: 10_000_000,
            ..Limits::default()
        };
        let streams = Streams::new(Room {
            total: 0,
            per_address: 0,
        })?;
        let workers = Workers::start(sets, streams, limits, seed)?;
        let address = workers.addresses.first().copied();
        Ok(Node {
            number,
            address: address.ok_or(BenchError::Stuck("an address"))?,
            workers,
        })
    }

    /// Carry out an operation.  Ids are the bench's own: none is wrong.
    pub fn apply(&self, op: Op) {
        if let Err(sentence) = self.workers.submit(op) {
            debug_assert!(false, "{sentence}");
        }
    }

    /// Add a transport with keys; `towards` makes it the controlling end of a link.
    /// Those of one `group` live together, as a meeting's do.
    pub fn transport(
        &self,
        id: u32,
        remote: String,
        towards: Option<SocketAddr>,
        keys: &KeyPair,
        group: &str,
    ) {
        let candidates = towards.map(|peer| Path { socket: 0, peer });
        let config = TransportConfig {
            local_ufrag: ufrag(self.number, id),
            local_pwd: PASSWORD.to_owned(),
            remote_ufrag: remote,
            remote_pwd: PASSWORD.to_owned(),
            controlling: towards.is_some(),
            candidates: candidates.into_iter().collect(),
            extensions: Vec::new(),
        };
        let added = self.workers.add_transport(id, config, group.to_owned());
        debug_assert!(added.is_ok(), "{added:?}");
        self.apply(Op::SetKeys {
            transport: id,
            profile: PROFILE,
            rx: keys.rx.clone(),
            tx: keys.tx.clone(),
        });
    }

    pub fn source(&self, id: u32, transport: u32, kind: Kind, ssrc: u32) {
        let (payload_type, codec) = codec(kind);
        let config = SourceConfig {
            transport,
            kind,
            mid: None,
            ssrcs: vec![(ssrc, None)],
            rids: Vec::new(),
            codecs: vec![(payload_type, codec, None)],
        };
        self.apply(Op::AddSource(id, Box::new(config)));
    }

    /// A sink whose SSRC is its id, fed from `source`.
    pub fn sink(&self, id: u32, transport: u32, kind: Kind, source: u32) {
        let (payload_type, codec) = codec(kind);
        let config = SinkConfig {
            transport,
            kind,
            mid: None,
            ssrc: id,
            rtx_ssrc: None,
            cname: "bench".to_owned(),
            codecs: vec![(codec, payload_type, None)],
        };
        self.apply(Op::AddSink(id, Box::new(config)));
        self.apply(Op::Route {
            sink: id,
            source: Some(source),
        });
    }

    /// Everybody's counters together, and each worker's.
    pub fn stats(&self) -> Result<(Stats, Driver, Vec<Part>), BenchError> {
        let stuck = |_| BenchError::Stuck("the engine's counters");
        self.workers.stats().map_err(stuck)
    }

    /// Wait until the counters satisfy `enough`.
    pub fn until(
        &self,
        what: &'static str,
        enough: impl Fn(&Stats) -> bool,
    ) -> Result<(), BenchError> {
        let start = Instant::now();
        while !enough(&self.stats()?.0) {
            if start.elapsed() > PATIENCE {
                return Err(BenchError::Stuck(what));
            }
            crate::socket::wait(&mut [], Some(1_000));
        }
        Ok(())
    }
}
