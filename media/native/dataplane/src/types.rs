//! Words shared by every part: ids, kinds, codecs, operations and events.

use std::net::SocketAddr;

use crate::allowed::{Coming, Want};

/// Microseconds on a monotonic clock whose zero the driver chooses.
pub type Micros = u64;

/// One millisecond in [`Micros`].
pub const MS: Micros = 1_000;

/// One second in [`Micros`].
pub const SECOND: Micros = 1_000_000;

/// What a source or a sink carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Audio,
    Video,
}

/// Codecs the engine understands well enough to switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    Opus,
    Vp8,
    H264,
    Vp9,
    Av1,
}

impl Codec {
    pub const COUNT: usize = Codec::Av1 as usize + 1;

    /// RTP clock rate in Hz.
    pub const fn clock(self) -> u64 {
        match self {
            Codec::Opus => 48_000,
            Codec::Vp8 | Codec::H264 | Codec::Vp9 | Codec::Av1 => 90_000,
        }
    }

    /// The name Python uses.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Opus => "opus",
            Codec::Vp8 => "vp8",
            Codec::H264 => "h264",
            Codec::Vp9 => "vp9",
            Codec::Av1 => "av1",
        }
    }
}

/// SRTP protection profiles (RFC 3711, RFC 7714).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    AeadAes128Gcm,
    Aes128CmHmacSha1_80,
}

impl Profile {
    /// Octets of master salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Profile::AeadAes128Gcm => 12,
            Profile::Aes128CmHmacSha1_80 => 14,
        }
    }
}

/// The socket number of every path that is a TCP connection (ICE-TCP, RFC 6544).
pub const STREAM: u8 = 255;

/// A receiver's address as the engine sees it: which socket, and the peer beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Index of the local socket, or `STREAM`.
    pub socket: u8,
    pub peer: SocketAddr,
}

/// Sizes and times that bound what a peer can make us hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest a video packet waits for company on its way to one destination.
    pub gather_us: Micros,
    /// Packets remembered per layer; a power of two is not required.
    pub cache_packets: usize,
    /// SRTP and SRTCP contexts per transport, those of declared SSRCs not counted.
    pub max_ssrcs: usize,
    pub max_sinks: usize,
    pub max_transports: usize,
    /// So long may nothing authentic come, or no check of ours be answered, until nothing more is
    /// sent.
    pub silent_us: Micros,
    /// Packets one transport may bring in a second, on average over a quarter of one.
    pub packet_rate: u64,
    /// Of those, what one source may have forwarded, all its layers and repairs together.
    pub source_rate: u64,
    /// Packets that may wait while the driver cannot send: so many until pictures are dropped,
    /// twice as many until sound is, four times until control is.
    pub max_waiting: usize,
    /// The same for what waits to cross to one other worker.
    pub max_crossing: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            gather_us: MS,
            cache_packets: 1024,
            max_ssrcs: 16,
            max_sinks: 64,
            max_transports: 10_000,
            silent_us: 3 * SECOND,
            packet_rate: 20_000,
            source_rate: 3_000,
            max_waiting: 16_384,
            max_crossing: 1_024,
        }
    }
}

/// What `add_transport` says.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    pub local_ufrag: String,
    pub local_pwd: String,
    pub remote_ufrag: String,
    pub remote_pwd: String,
    pub controlling: bool,
    pub candidates: Vec<Path>,
    pub extensions: Vec<(crate::ext::Extension, u8)>,
}

/// The ICE user fragments and passwords of both sides.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub local_ufrag: String,
    pub local_pwd: String,
    pub remote_ufrag: String,
    pub remote_pwd: String,
}

/// One SRTP direction: master key (16 octets) and salt (12 or 14).
#[derive(Clone)]
pub struct MasterKey {
    pub key: [u8; 16],
    pub salt: Vec<u8>,
}

/// What `add_source` says; see `media/_native.pyi`.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    pub transport: u32,
    pub kind: Kind,
    pub mid: Option<String>,
    pub ssrcs: Vec<(u32, Option<u32>)>,
    pub rids: Vec<String>,
    /// Payload type, codec, and the payload type of its repair: RTX (RFC 4588) of pictures on an
    /// SSRC of its own, RED (RFC 2198) of sound on the same.
    pub codecs: Vec<(u8, Codec, Option<u8>)>,
}

/// What `add_sink` says; see `media/_native.pyi`.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    pub transport: u32,
    pub kind: Kind,
    pub mid: Option<String>,
    pub ssrc: u32,
    pub rtx_ssrc: Option<u32>,
    pub cname: String,
    /// Codec, payload type, and that of its repair as in [`SourceConfig`].
    pub codecs: Vec<(Codec, u8, Option<u8>)>,
}

/// (payload type, repair payload type) by codec.
pub type PayloadTypes = [Option<(u8, Option<u8>)>; Codec::COUNT];

impl SinkConfig {
    /// What `codecs` says, to be looked up for each packet; of a codec named twice the first.
    pub fn payload_types(&self) -> PayloadTypes {
        let mut found = PayloadTypes::default();
        for &(codec, payload_type, repair) in &self.codecs {
            found[codec as usize].get_or_insert((payload_type, repair));
        }
        found
    }
}

/// What the driver asks for, in order.
pub enum Op {
    AddTransport(u32, Box<TransportConfig>),
    SetKeys {
        transport: u32,
        profile: Profile,
        rx: MasterKey,
        tx: MasterKey,
    },
    SendDtls(u32, Vec<u8>),
    DropTransport(u32),
    /// New credentials for a transport that keeps all else (RFC 8445 section 9).
    RestartIce(u32, Box<Credentials>),
    /// Send checks on this path alone from now on, and what is sent there once one is answered.
    Redirect(u32, Path),
    /// A stream takes no more for now: send no new pictures on it.
    Stalled(Path),
    /// A stream that was stalled takes pictures again.
    Flowing(Path),
    /// A stream has ended.
    PathGone(Path),
    /// A transport with this ufrag lives on another worker, or no longer does.
    Elsewhere {
        ufrag: String,
        worker: Option<u8>,
    },
    /// Sinks here are to be fed from a source that lives on another worker.
    Mirror {
        source: u32,
        worker: u8,
        config: Box<SourceConfig>,
    },
    DropMirror(u32),
    AddSource(u32, Box<SourceConfig>),
    DropSource(u32),
    AddSink(u32, Box<SinkConfig>),
    DropSink(u32),
    Route {
        sink: u32,
        source: Option<u32>,
    },
    RequestKeyframe(u32),
    Want {
        sink: u32,
        want: Want,
    },
    /// How many steps lower all pictures are, 0..=3.
    Strain(u8),
}

/// What the driver is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Path {
        transport: u32,
        peer: SocketAddr,
    },
    Nominated {
        transport: u32,
        peer: SocketAddr,
    },
    Dtls {
        transport: u32,
        datagram: Vec<u8>,
    },
    Silent {
        transport: u32,
    },
    Alive {
        transport: u32,
    },
    Started {
        source: u32,
        codec: Codec,
    },
    Levels(Vec<(u32, i32)>),
    /// A sink's pictures come otherwise than before, for want of bandwidth or because there is some.
    Video {
        sink: u32,
        coming: Coming,
    },
    /// A socket of the driver sends every datagram by itself.  Said by the driver, once.
    NoTrains,
}
