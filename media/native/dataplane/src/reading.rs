//! What a payload and its dependency descriptor say of a packet, whatever the codec.

use crate::av1;
use crate::cache::Packet;
use crate::descriptor::Descriptor;
use crate::keyframe;
use crate::place::Place;
use crate::source::Layer;
use crate::telling::Dependency;
use crate::types::Codec;
use crate::vp8::Vp8;
use crate::vp9::{self, Vp9};

/// What is read of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    pub descriptor: Option<Descriptor>,
    pub place: Place,
    /// First packet of a key frame.
    pub keyframe_start: bool,
    /// Lines of each spatial layer where a key frame starts; 0: unsaid.
    pub heights: [u16; 4],
}

impl Reading {
    /// Read a payload as its codec's descriptor has it.  Once a stream has shown parameter sets in
    /// band (`sps_in_band`), only a packet with one starts an H.264 key frame.
    pub fn of(codec: Codec, payload: &[u8], sps_in_band: bool) -> Reading {
        match codec {
            Codec::Opus => Reading::default(),
            Codec::Vp8 => {
                Vp8::parse(payload).map_or_else(Reading::default, |vp8| vp8_reading(&vp8, payload))
            }
            Codec::Vp9 => {
                Vp9::parse(payload).map_or_else(Reading::default, |vp9| vp9_reading(&vp9, payload))
            }
            Codec::H264 => Reading {
                keyframe_start: keyframe::h264_starts(payload, sps_in_band),
                heights: [keyframe::h264_height(payload).unwrap_or(0), 0, 0, 0],
                ..Reading::default()
            },
            Codec::Av1 => {
                let starts =
                    av1::Aggregation::parse(payload).is_some_and(|head| head.sequence_start);
                let height = starts.then(|| av1::height(payload)).flatten();
                Reading {
                    keyframe_start: starts,
                    heights: [height.unwrap_or(0), 0, 0, 0],
                    ..Reading::default()
                }
            }
        }
    }
}

fn vp8_reading(vp8: &Vp8, payload: &[u8]) -> Reading {
    let frame = payload.get(usize::from(vp8.descriptor.len)..);
    let height = frame.filter(|_| vp8.keyframe_start).and_then(vp8_height);
    Reading {
        descriptor: Some(vp8.descriptor),
        place: vp8.place(),
        keyframe_start: vp8.keyframe_start,
        heights: [height.unwrap_or(0), 0, 0, 0],
    }
}

/// RFC 6386 section 9.1: a tag of three octets, a start code of three, then width and height, 14 bits each.
fn vp8_height(frame: &[u8]) -> Option<u16> {
    let code = frame.get(3..6)?;
    let height = u16::from_le_bytes(frame.get(8..10)?.try_into().ok()?);
    (code == [0x9D, 0x01, 0x2A]).then_some(height & 0x3FFF)
}

fn vp9_reading(vp9: &Vp9, payload: &[u8]) -> Reading {
    let mut heights = vp9.heights;
    if vp9.keyframe_start() && heights == [0; 4] {
        let frame = payload.get(usize::from(vp9.descriptor.len)..);
        heights[0] = frame.and_then(vp9::height).unwrap_or(0);
    }
    Reading {
        descriptor: Some(vp9.descriptor),
        place: vp9.place(),
        keyframe_start: vp9.keyframe_start(),
        heights,
    }
}

impl Layer {
    /// Read a packet of this layer, with what its dependency descriptor says if there is one, and
    /// that as it is written for others.
    pub fn read(
        &mut self,
        codec: Codec,
        payload: &[u8],
        dependency: Option<&[u8]>,
        at: (u64, u32),
    ) -> (Reading, Option<Dependency>) {
        let (index, timestamp) = at;
        let mut reading = Reading::of(codec, payload, self.sps_in_band);
        let before = index.checked_sub(1).and_then(|index| self.cache.get(index));
        let follows = before.is_some_and(|before: &Packet| before.timestamp == timestamp);
        if matches!(codec, Codec::H264 | Codec::Av1) {
            reading.place.starts = !follows;
        }
        let mut told = None;
        if let Some((place, layout)) = dependency.and_then(|octets| self.frames.place(octets, at)) {
            reading.place = place;
            told = Some(layout);
            let heights = self.frames.heights();
            if reading.keyframe_start && heights[0] != 0 {
                reading.heights = heights;
            }
        }
        reading.place.starts &= !follows;
        self.offered |= reading.place.offered;
        reading.place.offered = self.offered;
        (
            reading,
            dependency.map(|octets| Dependency::new(octets, told)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_vp8_key_frame_says_its_height() {
        let payload = [0x10, 0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0x68, 0x01];
        let found = Reading::of(Codec::Vp8, &payload, false);
        assert_eq!((found.keyframe_start, found.heights[0]), (true, 360));
    }

    proptest! {
        #[test]
        fn random_payloads_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..64), dependency in proptest::collection::vec(any::<u8>(), 0..40)) {
            for codec in [Codec::Opus, Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1] {
                Reading::of(codec, &payload, false);
                Layer::new(16).read(codec, &payload, Some(&dependency), (0, 0));
            }
        }
    }
}
