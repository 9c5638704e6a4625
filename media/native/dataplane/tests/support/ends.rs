//! The two ends of a chain: who publishes, and who watches and counts.

use std::collections::BTreeMap;

use dataplane::demux::{classify, Class};
use dataplane::nack::Losses;
use dataplane::reception::Reception;
use dataplane::red;
use dataplane::rtcp::{nacked, parse, Item};
use dataplane::seqmap::unwrap;
use dataplane::{Kind, Micros};

use super::chain::{Shape, FIRST, KEY_PACKETS, OPUS, PUBLISHED, RED};
use super::{vp8, Terminal};

/// A stream in virtual time.
pub struct Publisher {
    pub(super) terminal: Terminal,
    pub(super) shape: Shape,
    pub(super) sent: BTreeMap<u64, Vec<u8>>,
    pub(super) next: u64,
    pub(super) frame: u64,
    pub(super) keyframe_due: bool,
    pub(super) withheld: Option<u64>,
    /// When each request for a key frame came.
    pub requests: Vec<Micros>,
}

/// What a viewer made of it.
pub struct Viewer {
    pub(super) terminal: Terminal,
    pub(super) ssrc: u32,
    pub(super) losses: Losses,
    pub(super) reception: Reception,
    pub(super) lowest: u64,
    pub highest: Option<u64>,
    pub joined: Micros,
    /// When the packet with each number, as the publisher counts them, could first be used.
    pub got: BTreeMap<u64, Micros>,
    /// Number of the last packet of the newest key frame.
    pub(super) key_ends: Option<u64>,
    /// When a key frame was whole for the first time.
    pub pictured: Option<Micros>,
    pub(super) asked_keyframe: Micros,
    /// By how much numbers and times of sound differ from the publisher's.
    pub(super) shift: Option<(u64, u32)>,
    /// Packets that came in RED, and all.
    pub redundant: (u64, u64),
}

impl Publisher {
    pub(super) fn frame(&mut self) -> Vec<Vec<u8>> {
        let frame = self.frame;
        self.frame += 1;
        if self.shape.kind() == Kind::Audio {
            return vec![self.packet(OPUS, 960 * frame as u32, &opus(self.next))];
        }
        let key = std::mem::take(&mut self.keyframe_due);
        let count = if key {
            KEY_PACKETS
        } else {
            self.shape.frames().1
        };
        (0..count)
            .map(|part| {
                let body = self.next.to_be_bytes();
                let mut payload = vp8(frame as u16, key, &body);
                payload[0] = if part == 0 { 0x90 } else { 0x80 };
                payload.push(u8::from(part + 1 == count));
                self.packet(96, 3_000 * frame as u32, &payload)
            })
            .collect()
    }

    fn packet(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let index = FIRST + self.next;
        let data = self
            .terminal
            .rtp_of(payload_type, PUBLISHED, index, timestamp, true, payload);
        self.sent.insert(index, data.clone());
        if self.sent.len() > 2_000 {
            self.sent.pop_first();
        }
        self.next += 1;
        data
    }

    /// Lose the next packet on its way; its number.
    pub fn withhold_next(&mut self) -> u64 {
        self.withheld = Some(self.next);
        self.next
    }

    /// How many packets were sent so far.
    pub fn published(&self) -> u64 {
        self.next
    }

    pub(super) fn hear(&mut self, data: &[u8], now: Micros) -> Vec<Vec<u8>> {
        let mut again = Vec::new();
        if classify(data) != Class::Rtcp {
            return again;
        }
        let plain = self.terminal.open_rtcp(data);
        let mut items = Vec::new();
        parse(&plain, &mut items).expect("the engine's RTCP is well formed");
        for item in items {
            match item {
                Item::Pli { .. } => {
                    self.requests.push(now);
                    self.keyframe_due = true;
                }
                Item::Nack { pairs, .. } => {
                    let newest = FIRST + self.next;
                    let indices = nacked(pairs).filter_map(|seq| unwrap(newest, seq));
                    again.extend(indices.filter_map(|index| self.sent.get(&index).cloned()));
                }
                _ => {}
            }
        }
        again
    }
}

impl Viewer {
    pub(super) fn hear(&mut self, kind: Kind, data: &[u8], now: Micros) {
        match classify(data) {
            Class::Rtp => {}
            Class::Rtcp => return self.note_report(data, now),
            _ => return,
        }
        let (header, index, payload) = self.terminal.open(data);
        if header.ssrc != self.ssrc {
            let seq = u16::from_be_bytes([payload[0], payload[1]]);
            let original = self.highest.and_then(|h| unwrap(h, seq));
            self.losses
                .found(original.expect("a repair follows something"), now);
            return self.take(&payload[2..], now);
        }
        let clock = if kind == Kind::Audio { 48_000 } else { 90_000 };
        self.reception.packet(index, header.timestamp, clock, now);
        match self.highest {
            Some(highest) if index < highest => {
                if index < self.lowest {
                    self.losses.gap(index + 1, self.lowest, now);
                    self.lowest = index;
                }
                self.losses.found(index, now);
            }
            Some(highest) => {
                if index > highest + 1 {
                    self.losses.gap(highest + 1, index, now);
                }
                self.highest = Some(index);
            }
            None => (self.lowest, self.highest) = (index, Some(index)),
        }
        self.redundant.1 += 1;
        match (kind, header.payload_type) {
            (Kind::Audio, RED) => {
                self.redundant.0 += 1;
                let blocks = red::parse(&payload).expect("the engine's RED is well formed");
                let blocks = blocks.as_slice();
                for (place, block) in blocks.iter().enumerate() {
                    let index = index - (blocks.len() - 1 - place) as u64;
                    let timestamp = header.timestamp.wrapping_sub(u32::from(block.offset));
                    self.sound(index, timestamp, block.data);
                    self.take(block.data, now);
                }
            }
            (Kind::Audio, _) => {
                self.sound(index, header.timestamp, &payload);
                self.take(&payload, now);
            }
            _ => self.take(&payload, now),
        }
    }

    /// Wherever it was lost and came along again, a frame keeps its number and its time.
    fn sound(&mut self, index: u64, timestamp: u32, payload: &[u8]) {
        let number = u64::from_be_bytes(payload[1..9].try_into().expect("eight octets"));
        let before = timestamp.wrapping_sub(960 * number as u32);
        let shift = (index.wrapping_sub(number), before);
        assert_eq!(*self.shift.get_or_insert(shift), shift, "frame {number}");
    }

    fn note_report(&mut self, data: &[u8], now: Micros) {
        let plain = self.terminal.open_rtcp(data);
        let mut items = Vec::new();
        parse(&plain, &mut items).expect("the engine's RTCP is well formed");
        for item in items {
            if let Item::SenderReport { ntp, .. } = item {
                self.reception.sender_report(ntp, now);
            }
        }
    }

    /// The publisher's number of a packet is in its payload.
    fn take(&mut self, payload: &[u8], now: Micros) {
        let at = if payload[0] & 0x80 != 0 { 7 } else { 1 };
        let octets = payload[at..at + 8].try_into().expect("eight octets");
        let number = u64::from_be_bytes(octets);
        self.got.entry(number).or_insert(now);
        if at == 7 && payload[6] == 0 && payload.last() == Some(&1) {
            self.key_ends = Some(number);
        }
        let whole =
            |end: u64| self.got.range(end + 1 - KEY_PACKETS..=end).count() as u64 == KEY_PACKETS;
        if self.pictured.is_none() && self.key_ends.is_some_and(whole) {
            self.pictured = Some(now);
        }
    }

    /// Of the publisher's packets `from..to`, the share that never came.
    pub fn missing(&self, from: u64, to: u64) -> f64 {
        let came = self.got.range(from..to).count() as f64;
        1.0 - came / (to - from) as f64
    }
}

/// An Opus frame as far as anybody here looks: a first octet, its number, and something to fill it.
fn opus(number: u64) -> Vec<u8> {
    let mut payload = vec![0x78];
    payload.extend_from_slice(&number.to_be_bytes());
    payload.resize(60, number as u8);
    payload
}
