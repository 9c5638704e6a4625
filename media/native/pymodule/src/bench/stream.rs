//! What the benches send: plain packets whose payload says when they left.

use dataplane::rtp::Fixed;
use dataplane::{Codec, Kind};

const VIDEO: (u8, Codec) = (96, Codec::Vp8);
const AUDIO: (u8, Codec) = (111, Codec::Opus);
/// Octets before the time in a payload: a VP8 descriptor, or as many of sound.
const DESCRIPTOR: usize = 6;
const STAMP: usize = 8;
/// The stamp's first octet, zero for centuries, is where VP8 keeps its inverse key frame flag.
const TIME: u64 = u64::MAX >> 8;
const KEYFRAME_EVERY_S: u64 = 10;

/// Payload type and codec of each kind.
pub fn codec(kind: Kind) -> (u8, Codec) {
    match kind {
        Kind::Video => VIDEO,
        Kind::Audio => AUDIO,
    }
}

/// One source's packets.
#[derive(Clone, Copy)]
pub struct Stream {
    pub kind: Kind,
    pub payload_bytes: usize,
    /// The later half of a frame's packets are one octet longer, as libwebrtc cuts frames.
    pub uneven: bool,
}

impl Stream {
    /// Packets that leave together: a frame.
    pub fn burst(self) -> u64 {
        match self.kind {
            Kind::Video => 12,
            Kind::Audio => 1,
        }
    }

    pub fn frames_per_s(self) -> u64 {
        match self.kind {
            Kind::Video => 30,
            Kind::Audio => 50,
        }
    }

    pub fn packets_per_s(self) -> f64 {
        (self.burst() * self.frames_per_s()) as f64
    }

    /// Write plain packet `number`, which leaves at `unix_us`, in place of what `out` holds.
    /// Returns the header's length.
    pub fn write(self, out: &mut Vec<u8>, ssrc: u32, number: u64, unix_us: u64) -> usize {
        let (frame, place) = (number / self.burst(), number % self.burst());
        let (payload_type, codec) = codec(self.kind);
        out.clear();
        let fixed = Fixed {
            extended: false,
            marker: self.kind == Kind::Video && place + 1 == self.burst(),
            payload_type,
            seq: number as u16,
            timestamp: (frame * codec.clock() / self.frames_per_s()) as u32,
            ssrc,
        };
        fixed.write(out);
        let header = out.len();
        out.extend_from_slice(&self.descriptor(frame, place));
        let mut stamp = (unix_us & TIME).to_be_bytes();
        let keyframe = frame % (KEYFRAME_EVERY_S * self.frames_per_s()) == 0;
        stamp[0] = u8::from(self.kind == Kind::Video && !keyframe);
        out.extend_from_slice(&stamp);
        let longer = self.uneven && place >= self.burst() / 2;
        out.resize(
            header + self.payload_bytes + usize::from(longer),
            number as u8,
        );
        header
    }

    /// RFC 7741 section 4.2: picture id of 15 bits, TL0PICIDX, TID; or the beginning of some sound.
    fn descriptor(self, frame: u64, place: u64) -> [u8; DESCRIPTOR] {
        if self.kind == Kind::Audio {
            return [0xF8; DESCRIPTOR];
        }
        let [high, low] = (frame as u16 & 0x7FFF | 0x8000).to_be_bytes();
        let start = if place == 0 { 0x90 } else { 0x80 };
        [start, 0xE0, high, low, frame as u8, 0]
    }
}

/// When a packet with this payload left, Unix time in microseconds.
pub fn sent_at(payload: &[u8]) -> Option<u64> {
    let stamp = payload.get(DESCRIPTOR..DESCRIPTOR + STAMP)?;
    Some(u64::from_be_bytes(stamp.try_into().ok()?) & TIME)
}
