//! Where key frames start, and a whole one put together again.

use crate::av1;
use crate::cache::{Cache, Packet};
use crate::sps;
use crate::types::Codec;
use crate::vp9;

const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const START_CODE: [u8; 4] = [0, 0, 0, 1];
const MAX_PACKETS: u64 = 512;
const MAX_OCTETS: usize = 1 << 20;

/// The NAL unit types an H.264 payload begins (RFC 6184), as a bit set.
fn nal_types(payload: &[u8]) -> u32 {
    let Some(&head) = payload.first() else {
        return 0;
    };
    match head & 0x1F {
        STAP_A => aggregated(payload).fold(0, |set, nal| set | 1 << (nal[0] & 0x1F)),
        FU_A => match payload.get(1) {
            Some(fu) if fu & 0x80 != 0 => 1 << (fu & 0x1F),
            _ => 0,
        },
        kind => 1 << kind,
    }
}

/// The non-empty NAL units of a STAP-A.
fn aggregated(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = payload.get(1..).unwrap_or(&[]);
    std::iter::from_fn(move || loop {
        let len = usize::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?));
        let nal = rest.get(2..2 + len)?;
        rest = rest.get(2 + len..).unwrap_or(&[]);
        if !nal.is_empty() {
            return Some(nal);
        }
    })
}

/// Whether an H.264 payload holds a sequence parameter set.
pub fn h264_has_sps(payload: &[u8]) -> bool {
    nal_types(payload) & (1 << NAL_SPS) != 0
}

/// Whether a packet starts an H.264 key frame.  Once a stream has shown parameter sets in band
/// (`sps_in_band`), only a packet with one does.
pub fn h264_starts(payload: &[u8], sps_in_band: bool) -> bool {
    let wanted = if sps_in_band {
        1 << NAL_SPS
    } else {
        1 << NAL_SPS | 1 << NAL_IDR
    };
    nal_types(payload) & wanted != 0
}

/// Lines of the picture, from the parameter set in an H.264 payload.
pub fn h264_height(payload: &[u8]) -> Option<u16> {
    let is_sps = |nal: &&[u8]| nal.first().is_some_and(|head| head & 0x1F == NAL_SPS);
    match payload.first()? & 0x1F {
        STAP_A => aggregated(payload).find(is_sps).and_then(sps::height),
        NAL_SPS => sps::height(payload),
        _ => None,
    }
}

/// The frame that starts at packet `start`, if all its packets are here up to the marker.
pub fn assemble(cache: &Cache, start: u64) -> Option<(Codec, Vec<u8>)> {
    let first = cache.get(start)?;
    let (codec, timestamp) = (first.codec, first.timestamp);
    let mut frame = Frame::default();
    for index in start..start + MAX_PACKETS {
        let packet = cache.get(index)?;
        if packet.timestamp != timestamp || frame.len() > MAX_OCTETS {
            return None;
        }
        frame.add(packet)?;
        if packet.marker {
            return Some((codec, frame.finish(codec)?));
        }
    }
    None
}

/// The last packet of a frame that starts at `start` and is whole, and the octets of its payloads.
pub fn span(cache: &Cache, start: u64) -> Option<(u64, u64)> {
    let timestamp = cache.get(start)?.timestamp;
    let mut octets = 0;
    for index in start..start + MAX_PACKETS {
        let packet = cache.get(index).filter(|p| p.timestamp == timestamp)?;
        octets += packet.payload.len() as u64;
        if packet.marker {
            return Some((index, octets));
        }
    }
    None
}

/// A picture under assembly.
#[derive(Default)]
struct Frame {
    octets: Vec<u8>,
    /// Where each spatial layer of a VP9 picture ends.
    ends: Vec<usize>,
    unit: av1::Unit,
}

impl Frame {
    fn len(&self) -> usize {
        self.octets.len() + self.unit.len()
    }

    fn add(&mut self, packet: &Packet) -> Option<()> {
        let payload = &packet.payload;
        let skip = packet.descriptor.map_or(0, |d| usize::from(d.len));
        match packet.codec {
            Codec::Opus => return None,
            Codec::Vp8 => self.octets.extend_from_slice(payload.get(skip..)?),
            Codec::Vp9 => {
                self.octets.extend_from_slice(payload.get(skip..)?);
                if vp9::Vp9::parse(payload)?.last {
                    self.ends.push(self.octets.len());
                }
            }
            Codec::H264 => append_annex_b(&mut self.octets, payload),
            Codec::Av1 => self.unit.add(payload)?,
        }
        Some(())
    }

    fn finish(mut self, codec: Codec) -> Option<Vec<u8>> {
        match codec {
            Codec::Av1 => self.unit.finish(),
            Codec::Vp9 => {
                vp9::put_superframe_index(&mut self.octets, &self.ends)?;
                Some(self.octets)
            }
            _ => Some(self.octets),
        }
    }
}

fn append_annex_b(frame: &mut Vec<u8>, payload: &[u8]) {
    let Some(&head) = payload.first() else {
        return;
    };
    match head & 0x1F {
        STAP_A => {
            for nal in aggregated(payload) {
                frame.extend_from_slice(&START_CODE);
                frame.extend_from_slice(nal);
            }
        }
        FU_A => {
            let Some((&fu, rest)) = payload.get(1..).and_then(<[u8]>::split_first) else {
                return;
            };
            if fu & 0x80 != 0 {
                frame.extend_from_slice(&START_CODE);
                frame.push(head & 0xE0 | fu & 0x1F);
            }
            frame.extend_from_slice(rest);
        }
        _ => {
            frame.extend_from_slice(&START_CODE);
            frame.extend_from_slice(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ext::Kept;
    use crate::reading::Reading;
    use proptest::prelude::*;

    fn put(cache: &mut Cache, index: u64, codec: Codec, marker: bool, payload: &[u8]) {
        let reading = Reading::of(codec, payload, false);
        let head = Packet {
            index,
            timestamp: 9,
            arrived: 0,
            marker,
            codec,
            keyframe_start: false,
            kept: Kept::default(),
            place: reading.place,
            descriptor: reading.descriptor,
            dependency: None,
            payload: Vec::new(),
        };
        cache.put(head, payload);
    }

    #[test]
    fn h264_is_put_together_from_stap_a_fu_a_and_single_units() {
        let mut cache = Cache::new(16);
        let stap = [0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xCE];
        put(&mut cache, 1, Codec::H264, false, &stap);
        put(&mut cache, 2, Codec::H264, false, &[0x7C, 0x85, 0xAA]);
        put(&mut cache, 3, Codec::H264, false, &[0x7C, 0x45, 0xBB]);
        put(&mut cache, 4, Codec::H264, true, &[0x65, 0xCC]);
        let (_, frame) = assemble(&cache, 1).expect("whole");
        let expected: Vec<u8> = [
            &[0, 0, 0, 1, 0x67, 0x42][..],
            &[0, 0, 0, 1, 0x68, 0xCE],
            &[0, 0, 0, 1, 0x65, 0xAA, 0xBB],
            &[0, 0, 0, 1, 0x65, 0xCC],
        ]
        .concat();
        assert_eq!(frame, expected);
    }

    #[test]
    fn a_vp8_frame_with_a_hole_is_not_whole() {
        let mut cache = Cache::new(16);
        put(&mut cache, 1, Codec::Vp8, false, &[0x10, 0x00, 1]);
        put(&mut cache, 3, Codec::Vp8, true, &[0x00, 3]);
        assert!(assemble(&cache, 1).is_none());
        put(&mut cache, 2, Codec::Vp8, false, &[0x00, 2]);
        assert_eq!(assemble(&cache, 1), Some((Codec::Vp8, vec![0, 1, 2, 3])));
    }

    #[test]
    fn an_idr_starts_a_keyframe_only_while_no_sps_was_seen() {
        assert!(h264_starts(&[0x65, 1], false));
        assert!(!h264_starts(&[0x65, 1], true));
        assert!(h264_starts(&[0x67, 1], true));
        assert!(!h264_starts(&[0x41, 1], false));
    }

    proptest! {
        #[test]
        fn random_payloads_never_panic(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..8)) {
            let mut cache = Cache::new(16);
            let last = payloads.len() - 1;
            for (at, payload) in payloads.iter().enumerate() {
                h264_starts(payload, at % 2 == 0);
                h264_has_sps(payload);
                put(&mut cache, at as u64, Codec::H264, at == last, payload);
            }
            assemble(&cache, 0);
        }
    }
}
