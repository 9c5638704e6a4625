//! Something that arrives: one audio stream, or one picture in one or several layers.

use crate::cache::Cache;
use crate::counters::SourceStats;
use crate::dependency::Tracker;
use crate::guard::Bucket;
use crate::keyframe;
use crate::layers::Meter;
use crate::levels::Level;
use crate::mirrors::Feed;
use crate::nack::Losses;
use crate::types::{Codec, Kind, Micros, SourceConfig, MS, SECOND};

/// A layer without packets for this long is not active.
const ACTIVE_US: Micros = SECOND;

/// A layer that has come for this long is worth going up to.
const STEADY_US: Micros = SECOND;

/// A key frame this young has just begun: whoever waits for one starts with it.
pub const BEGUN_US: Micros = 300 * MS;

/// A key frame this young, with everything since, starts a viewer that has seen nothing newer.
pub const FRESH_US: Micros = 2 * SECOND;

/// A key frame may be asked for this often.  An encoder that answers every request sends nothing
/// but key frames, and requests of all viewers of all hops meet here.
pub const KEYFRAME_ASK_US: Micros = SECOND;

/// Packets an audio source needs to remember.
const AUDIO_CACHE: usize = 128;

/// Where the newest key frame of a layer starts.
#[derive(Clone, Copy, Debug)]
pub struct KeyframeStart {
    pub index: u64,
    pub timestamp: u32,
    pub arrived: Micros,
}

/// A whole key frame.
#[derive(Clone, Copy, Debug)]
pub struct Single {
    pub start: KeyframeStart,
    /// Index of its last packet.
    pub last: u64,
    /// Of its payloads.
    pub octets: u64,
}

/// One layer: one SSRC and its repair SSRC.
pub struct Layer {
    pub ssrc: Option<u32>,
    /// Added to the SRTP index, so that a layer's indices go on when its SSRC changes.
    pub offset: u64,
    pub highest: Option<u64>,
    pub cache: Cache,
    pub losses: Losses,
    pub keyframe: Option<KeyframeStart>,
    /// A key frame whose last packet has not come.
    pub assembling: Option<KeyframeStart>,
    pub whole: Option<(Codec, Vec<u8>)>,
    /// The newest whole one of this SSRC.
    pub single: Option<Single>,
    pub sps_in_band: bool,
    pub last_packet: Option<Micros>,
    /// Since when it has been active.
    pub since: Micros,
    pub meter: Meter,
    /// Lines of each spatial layer, from its last key frame; 0: unknown.
    pub heights: [u16; 4],
    /// Targets it is known to have (`place`).
    pub offered: u16,
    /// What its dependency descriptors said.
    pub frames: Tracker,
    pub asked: Option<Micros>,
    pub ask_pending: bool,
    /// (sender's NTP time in microseconds, RTP timestamp) of the last sender report.
    pub report: Option<(u64, u32)>,
}

impl Layer {
    pub fn new(capacity: usize) -> Self {
        Layer {
            ssrc: None,
            offset: 0,
            highest: None,
            cache: Cache::new(capacity),
            losses: Losses::default(),
            keyframe: None,
            assembling: None,
            whole: None,
            single: None,
            sps_in_band: false,
            last_packet: None,
            since: 0,
            meter: Meter::default(),
            heights: [0; 4],
            offered: 0,
            frames: Tracker::default(),
            asked: None,
            ask_pending: false,
            report: None,
        }
    }

    /// Take a new SSRC.  Indices jump past everything cached under the old one.
    pub fn adopt(&mut self, ssrc: u32) {
        self.offset = self
            .highest
            .map_or(0, |highest| highest + self.cache.reach() + 0x1_0000);
        self.ssrc = Some(ssrc);
        self.begin_anew();
    }

    /// Forget what was said of packets before those that now come.
    pub fn begin_anew(&mut self) {
        self.highest = None;
        self.losses.clear();
        self.keyframe = None;
        self.assembling = None;
        self.single = None;
        self.report = None;
        self.heights = [0; 4];
        self.offered = 0;
        self.frames = Tracker::default();
    }

    /// See whether a packet with this timestamp made the newest key frame whole.
    pub fn find_single(&mut self, timestamp: u32) {
        let Some(start) = self.keyframe.filter(|k| k.timestamp == timestamp) else {
            return;
        };
        let span = keyframe::span(&self.cache, start.index);
        let whole = span.map(|(last, octets)| Single {
            start,
            last,
            octets,
        });
        self.single = whole.or(self.single);
    }

    /// The index from which a viewer can be fed: that of the newest key frame, if it is not too
    /// old.  `sent` is when what the viewer was sent last had arrived.
    ///
    /// A viewer that was sent nothing since then starts from a frame up to 2 s old, everything
    /// after it being here.  One that was would have its time pushed ahead by the frame's age: it
    /// starts from a frame just begun, whose gaps may still be filled.
    pub fn start(&self, sent: Option<Micros>, now: Micros) -> Option<u64> {
        let keyframe = self.keyframe?;
        let age = now.saturating_sub(keyframe.arrived);
        let behind = sent.is_none_or(|at| at < keyframe.arrived);
        let highest = self.highest?;
        let whole = || (keyframe.index..=highest).all(|index| self.cache.get(index).is_some());
        let may = age <= BEGUN_US || age <= FRESH_US && behind && whole();
        may.then_some(keyframe.index)
    }

    pub fn active(&self, now: Micros) -> bool {
        self.last_packet
            .is_some_and(|at| now.saturating_sub(at) < ACTIVE_US)
    }

    /// Note that a packet of `octets` came, which `targets` need.
    pub fn came(&mut self, targets: u16, octets: usize, now: Micros) {
        if !self.active(now) {
            self.since = now;
        }
        self.last_packet = Some(now);
        self.meter.count(targets, octets, now);
    }

    pub fn steady(&self, now: Micros) -> bool {
        self.active(now) && now.saturating_sub(self.since) >= STEADY_US
    }

    /// A key frame with these heights starts.  Whether it is newer than the one known.
    pub fn follow_keyframe(&mut self, start: KeyframeStart, heights: [u16; 4]) -> bool {
        let newer = self
            .keyframe
            .is_none_or(|k| start.index > k.index && start.timestamp != k.timestamp);
        if newer {
            self.heights = heights;
            self.keyframe = Some(start);
            self.ask_pending = false;
        }
        newer
    }

    /// Whether a key frame may be asked for now; if not, the wish is kept.
    pub fn may_ask(&mut self, now: Micros) -> bool {
        let may = self
            .asked
            .is_none_or(|at| now.saturating_sub(at) >= KEYFRAME_ASK_US);
        self.ask_pending = !may;
        if may {
            self.asked = Some(now);
        }
        may
    }
}

/// Where a source's packets arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// Slab key of its transport.
    Here(usize),
    /// On another worker; this is its mirror.
    Elsewhere(u8),
}

pub struct Source {
    pub id: u32,
    pub home: Home,
    /// Mirrors on other workers.
    pub feeds: Vec<Feed>,
    /// Of a mirror: the name under which it is fed, the sender's clock as its home knows it, and
    /// when it was last seen to feed anybody.
    pub token: u64,
    pub clock_offset: Option<i64>,
    pub used: Micros,
    pub config: SourceConfig,
    pub layers: Vec<Layer>,
    /// Slab keys of the sinks it feeds or is to feed.
    pub sinks: Vec<usize>,
    pub codec: Option<Codec>,
    /// The highest active layer.
    pub best: usize,
    pub level: Level,
    pub intake: Bucket,
    /// Frames of sound that came along with a later one, since the last report.
    pub mended: u64,
    pub stats: SourceStats,
}

impl Source {
    pub fn new(id: u32, home: Home, config: SourceConfig, cache_packets: usize) -> Self {
        let capacity = match config.kind {
            Kind::Audio => cache_packets.min(AUDIO_CACHE),
            Kind::Video => cache_packets,
        };
        let count = match config.rids.len() {
            0 => config.ssrcs.len().max(1),
            rids => rids,
        };
        Source {
            id,
            home,
            feeds: Vec::new(),
            token: 0,
            clock_offset: None,
            used: 0,
            layers: (0..count).map(|_| Layer::new(capacity)).collect(),
            sinks: Vec::new(),
            codec: None,
            best: 0,
            level: Level::default(),
            intake: Bucket::default(),
            mended: 0,
            stats: SourceStats::default(),
            config,
        }
    }

    /// Slab key of its transport, if that is on this worker.
    pub fn transport(&self) -> Option<usize> {
        match self.home {
            Home::Here(key) => Some(key),
            Home::Elsewhere(_) => None,
        }
    }

    /// The codec of a payload type, and whether that type is its repair type on another SSRC.
    pub fn codec_of(&self, payload_type: u8) -> Option<(Codec, bool)> {
        self.config.codecs.iter().find_map(|&(pt, codec, repair)| {
            if pt == payload_type {
                Some((codec, false))
            } else if repair == Some(payload_type) {
                Some((codec, self.config.kind == Kind::Video))
            } else {
                None
            }
        })
    }

    /// The payload type of the frames in a RED packet of this payload type (RFC 2198).
    pub fn frames_in(&self, payload_type: u8) -> Option<u8> {
        let mut codecs = self.config.codecs.iter();
        let red = codecs.find(|(_, _, repair)| *repair == Some(payload_type));
        red.filter(|_| self.config.kind == Kind::Audio)
            .map(|&(pt, _, _)| pt)
    }

    /// Every SSRC its description names.
    pub fn declared(&self) -> impl Iterator<Item = u32> + '_ {
        let pairs = self.config.ssrcs.iter();
        pairs.flat_map(|&(media, rtx)| std::iter::once(media).chain(rtx))
    }

    pub fn rid_layer(&self, rid: &[u8]) -> Option<usize> {
        self.config.rids.iter().position(|r| r.as_bytes() == rid)
    }

    /// Choose the highest active layer.  Keeps the old choice while none is active.
    pub fn choose(&mut self, now: Micros) -> usize {
        if let Some(highest) = self.layers.iter().rposition(|layer| layer.active(now)) {
            self.best = highest;
        }
        self.best
    }
}
