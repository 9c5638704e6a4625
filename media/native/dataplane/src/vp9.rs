//! The VP9 payload descriptor (RFC 9628 section 4.2) and the head of a key frame.

use crate::bits::Bits;
use crate::descriptor::Descriptor;
use crate::place::{at_least, target, Place, ALL};

/// Reference differences a picture may name.
const MAX_REFERENCES: usize = 3;
const SYNC_CODE: u32 = 0x49_83_42;

/// What switching needs to know of one VP9 payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vp9 {
    pub descriptor: Descriptor,
    /// Spatial and temporal layer, when the sender says them.
    pub layer: Option<(u8, u8)>,
    /// Higher temporal layers may be begun with after this picture.
    pub switching_up: bool,
    /// First and last packet of a layer's frame.
    pub first: bool,
    pub last: bool,
    /// Predicted from nothing before this picture.
    pub fresh: bool,
    /// Lines of each spatial layer, when the packet says them; 0: unsaid.
    pub heights: [u16; 4],
}

impl Vp9 {
    /// Read the descriptor; `None` when it runs past the payload's end.
    pub fn parse(payload: &[u8]) -> Option<Vp9> {
        let flags = *payload.first()?;
        let set = |bit: u8| flags & bit != 0;
        let (inter, flexible) = (set(0x40), set(0x10));
        let mut found = Vp9 {
            first: set(0x08),
            last: set(0x04),
            fresh: !inter,
            ..Vp9::default()
        };
        let mut at = 1;
        if set(0x80) {
            at = found.descriptor.read_picture(payload, at)?;
        }
        if set(0x20) {
            let layer = *payload.get(at)?;
            found.layer = Some((layer >> 1 & 7, layer >> 5));
            found.switching_up = layer & 0x10 != 0;
            at += 1;
            if !flexible {
                at = found.descriptor.read_tl0(payload, at)?;
            }
        }
        if flexible && inter {
            at = skip_references(payload, at)?;
        }
        if set(0x02) {
            at = found.read_structure(payload, at)?;
        }
        found.descriptor.len = u8::try_from(at).ok()?;
        Some(found)
    }

    /// Whether this is the first packet of a key frame.
    pub fn keyframe_start(&self) -> bool {
        self.first && self.fresh && self.layer.is_none_or(|(spatial, _)| spatial == 0)
    }

    /// The scalability structure (RFC 9628 section 4.2.1).  Returns where it ends.
    fn read_structure(&mut self, payload: &[u8], mut at: usize) -> Option<usize> {
        let head = *payload.get(at)?;
        at += 1;
        if head & 0x10 != 0 {
            for spatial in 0..=usize::from(head >> 5) {
                let size: [u8; 4] = payload.get(at..at + 4)?.try_into().ok()?;
                if let Some(height) = self.heights.get_mut(spatial) {
                    *height = u16::from_be_bytes([size[2], size[3]]);
                }
                at += 4;
            }
        }
        if head & 0x08 != 0 {
            let pictures = *payload.get(at)?;
            at += 1;
            for _ in 0..pictures {
                let references = *payload.get(at)? >> 2 & 3;
                at += 1 + usize::from(references);
            }
        }
        (at <= payload.len()).then_some(at)
    }

    /// Without a dependency descriptor, lower spatial layers all count as needed by higher ones,
    /// and a spatial layer is begun with at a key frame.
    pub fn place(&self) -> Place {
        let (spatial, temporal) = self.layer.unwrap_or_default();
        let key = self.fresh && spatial == 0;
        let whole = Place {
            starts: self.first && spatial == 0,
            across: key,
            ..Place::default()
        };
        if self.layer.is_none() {
            return whole;
        }
        Place {
            needed: at_least(spatial, temporal),
            offered: target(spatial, temporal),
            switch: match self.switching_up {
                _ if key => ALL,
                true => at_least(0, temporal),
                false => 0,
            },
            reach: if key {
                ALL
            } else {
                at_least(spatial, temporal)
            },
            ends: match self.last {
                true => 0xF << (4 * u16::from(spatial.min(3))),
                false => 0,
            },
            ..whole
        }
    }
}

/// P_DIFF octets, each saying whether another follows.
fn skip_references(payload: &[u8], at: usize) -> Option<usize> {
    for count in 0..MAX_REFERENCES {
        if payload.get(at + count)? & 1 == 0 {
            return Some(at + count + 1);
        }
    }
    None
}

/// Append the index of a superframe (VP9 bitstream specification, annex B) to the frames of several
/// spatial layers, which end where `ends` says.  `None` when there are none or more than eight.
pub fn put_superframe_index(frames: &mut Vec<u8>, ends: &[usize]) -> Option<()> {
    if ends.len() == 1 {
        return Some(());
    }
    let count = u8::try_from(ends.len().checked_sub(1)?)
        .ok()
        .filter(|c| *c < 8)?;
    let marker = 0xC0 | 3 << 3 | count;
    frames.push(marker);
    let mut start = 0;
    for end in ends {
        let size = u32::try_from(end.checked_sub(start)?).ok()?;
        frames.extend_from_slice(&size.to_le_bytes());
        start = *end;
    }
    frames.push(marker);
    Some(())
}

/// Lines of the picture, from a key frame's uncompressed header in profile 0.
///
/// Source: VP9 bitstream specification section 6.2.
pub fn height(frame: &[u8]) -> Option<u16> {
    let mut bits = Bits::new(frame);
    let (marker, profile) = (bits.take(2)?, bits.take(2)?);
    let (again, inter) = (bits.flag()?, bits.flag()?);
    bits.skip(2)?;
    if marker != 2 || profile != 0 || again || inter || bits.take(24)? != SYNC_CODE {
        return None;
    }
    const SRGB: u32 = 7;
    if bits.take(3)? == SRGB {
        return None;
    }
    bits.skip(1 + 16)?;
    u16::try_from(bits.take(16)? + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Picture 0x102, spatial 1, temporal 2, switching up, TL0PICIDX 9, last of its frame.
    const INTER: [u8; 7] = [0xE4, 0x81, 0x02, 0x52, 9, 0xAA, 0xBB];

    #[test]
    fn layers_and_numbers_are_read() {
        let found = Vp9::parse(&INTER).expect("parses");
        assert_eq!(found.layer, Some((1, 2)));
        assert_eq!(
            (
                found.descriptor.picture,
                found.descriptor.tl0,
                found.descriptor.len
            ),
            (Some(0x102), Some(9), 5)
        );
        let place = found.place();
        assert_eq!((place.needed, place.ends), (at_least(1, 2), 0xF0));
        assert!(!found.keyframe_start() && !place.starts && !place.across);
    }

    #[test]
    fn a_structure_says_the_heights() {
        let payload = [
            0xAA, 0x05, 0x00, 0x01, 0x38, 1, 64, 0, 180, 2, 128, 1, 104, 1, 0x04, 0x01, 0xFF,
        ];
        let found = Vp9::parse(&payload).expect("parses");
        assert!(found.keyframe_start());
        assert_eq!(found.heights, [180, 360, 0, 0]);
        assert_eq!(found.descriptor.len, 16);
    }

    #[test]
    fn a_key_frame_says_its_height() {
        let frame = [0x82, 0x49, 0x83, 0x42, 0x40, 0x27, 0xF0, 0x16, 0x70];
        assert_eq!(height(&frame), Some(360));
        assert_eq!(height(&[0x86; 9]), None);
    }

    proptest! {
        #[test]
        fn random_payloads_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some(found) = Vp9::parse(&payload) {
                found.place();
                prop_assert!(usize::from(found.descriptor.len) <= payload.len());
            }
            height(&payload);
        }
    }
}
