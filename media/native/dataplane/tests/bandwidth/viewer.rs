//! A viewer behind a path: what reaches it, what it tells of that, and what it saw and heard.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use dataplane::demux::{classify, Class};
use dataplane::ext::{Extension, Ids, Values};
use dataplane::red;
use dataplane::rtcp::put_receiver_report;
use dataplane::rtp::Header;
use dataplane::twcc::Arrivals;
use dataplane::{Micros, MS};

use crate::path::Path;
use crate::support::Terminal;
use crate::world::{APART, AUDIO_OUT, VIDEO_OUT};

/// Datagrams of reports are about so long.
const REPORT: usize = 80;
const RED: u8 = 63;

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
    pub telling: Telling,
    under_way: BinaryHeap<Reverse<Datagram>>,
    pub back: BinaryHeap<Reverse<(Micros, u64, Vec<u8>)>>,
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

impl Viewer {
    /// Nothing has come yet; what it says goes up a path that is never in the way.
    pub fn new(terminal: Terminal, path: Path, up: Path, telling: Telling) -> Viewer {
        Viewer {
            terminal,
            path,
            up,
            telling,
            under_way: BinaryHeap::new(),
            back: BinaryHeap::new(),
            arrivals: Arrivals::default(),
            number: 0,
            got: Vec::new(),
            heard: HashSet::new(),
            sent_octets: 0,
        }
    }

    pub fn send(&mut self, data: &[u8], now: Micros) {
        self.sent_octets += data.len() as u64;
        self.number += 1;
        if let Some((due, waited)) = self.path.carry(data.len(), now) {
            let datagram = (due, self.number, waited, data.to_vec());
            self.under_way.push(Reverse(datagram));
        }
    }

    pub fn receive(&mut self, now: Micros) {
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

    pub fn tell(&mut self, now: Micros) {
        loop {
            let mut out = Vec::new();
            put_receiver_report(&mut out, 1, &[]);
            if !self.arrivals.feedback(&mut out, 1, VIDEO_OUT) {
                return;
            }
            self.say(out, now);
        }
    }

    pub fn say(&mut self, packet: Vec<u8>, now: Micros) {
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
