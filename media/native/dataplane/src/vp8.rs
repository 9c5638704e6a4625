//! The VP8 payload descriptor (RFC 7741 section 4.2).

/// What switching needs to know of one VP8 payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Octets of descriptor before the VP8 data.
    pub len: u8,
    /// Offset of the picture id octets, when there is one.
    pub picture_at: u8,
    /// Whether the picture id on the wire has 15 bits.
    pub long_picture: bool,
    /// Picture id, 0..=32767 (0..=127 when short).
    pub picture: Option<u16>,
    pub tl0: Option<u8>,
    pub tl0_at: u8,
    /// First packet of a key frame.
    pub keyframe_start: bool,
    /// First packet of a frame's first partition.
    pub frame_start: bool,
}

impl Descriptor {
    /// Read the descriptor; `None` when it runs past the payload's end.
    pub fn parse(payload: &[u8]) -> Option<Descriptor> {
        let first = *payload.first()?;
        let mut found = Descriptor::default();
        let mut at = 1usize;
        if first & 0x80 != 0 {
            let flags = *payload.get(at)?;
            at += 1;
            if flags & 0x80 != 0 {
                at = found.read_picture(payload, at)?;
            }
            if flags & 0x40 != 0 {
                found.tl0_at = at as u8;
                found.tl0 = Some(*payload.get(at)?);
                at += 1;
            }
            if flags & 0x30 != 0 {
                payload.get(at)?;
                at += 1;
            }
        }
        found.len = at as u8;
        found.frame_start = first & 0x10 != 0 && first & 0x07 == 0;
        // RFC 7741 section 4.3: the inverse key frame flag is the lowest bit of the frame header.
        found.keyframe_start = found.frame_start && payload.get(at).is_some_and(|o| o & 1 == 0);
        Some(found)
    }

    fn read_picture(&mut self, payload: &[u8], at: usize) -> Option<usize> {
        let high = *payload.get(at)?;
        self.picture_at = at as u8;
        self.long_picture = high & 0x80 != 0;
        if !self.long_picture {
            self.picture = Some(u16::from(high));
            return Some(at + 1);
        }
        let low = *payload.get(at + 1)?;
        self.picture = Some(u16::from_be_bytes([high & 0x7F, low]));
        Some(at + 2)
    }

    /// Append `payload` with its picture id (always 15 bits) and TL0PICIDX shifted.
    pub fn rewrite(&self, payload: &[u8], picture_delta: u16, tl0_delta: u8, out: &mut Vec<u8>) {
        let start = out.len();
        let shifted = self
            .picture
            .map(|p| p.wrapping_add(picture_delta) | 0x8000)
            .map(u16::to_be_bytes);
        let picture_at = usize::from(self.picture_at);
        match shifted {
            Some(id) if !self.long_picture => {
                out.extend_from_slice(payload.get(..picture_at).unwrap_or(&[]));
                out.extend_from_slice(&id);
                out.extend_from_slice(payload.get(picture_at + 1..).unwrap_or(&[]));
            }
            Some(id) => {
                out.extend_from_slice(payload);
                if let Some(place) = out.get_mut(start + picture_at..start + picture_at + 2) {
                    place.copy_from_slice(&id);
                }
            }
            None => out.extend_from_slice(payload),
        }
        if let Some(tl0) = self.tl0 {
            let widened = usize::from(self.picture.is_some() && !self.long_picture);
            if let Some(place) = out.get_mut(start + usize::from(self.tl0_at) + widened) {
                *place = tl0.wrapping_add(tl0_delta);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chromium_descriptor_is_read_and_shifted() {
        let payload = [0x90, 0xE0, 0x81, 0x02, 0x07, 0x00, 0x10, 0xAA];
        let found = Descriptor::parse(&payload).expect("parses");
        assert_eq!(
            (found.picture, found.tl0, found.len),
            (Some(0x102), Some(7), 6)
        );
        assert!(found.keyframe_start);
        let mut out = Vec::new();
        found.rewrite(&payload, 0x7FFF, 255, &mut out);
        let shifted = Descriptor::parse(&out).expect("parses");
        assert_eq!((shifted.picture, shifted.tl0), (Some(0x101), Some(6)));
        assert_eq!(out[6..], payload[6..]);
    }

    #[test]
    fn a_seven_bit_picture_id_is_widened() {
        let payload = [0x90, 0xC0, 0x05, 0x09, 0x10];
        let mut out = Vec::new();
        let found = Descriptor::parse(&payload).expect("parses");
        found.rewrite(&payload, 0x4000, 1, &mut out);
        let shifted = Descriptor::parse(&out).expect("parses");
        assert_eq!((shifted.picture, shifted.tl0), (Some(0x4005), Some(10)));
        assert_eq!(out.last(), Some(&0x10));
        assert_eq!(out.len(), payload.len() + 1);
    }

    proptest! {
        #[test]
        fn random_payloads_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..20), p: u16, t: u8) {
            if let Some(found) = Descriptor::parse(&payload) {
                let mut out = Vec::new();
                found.rewrite(&payload, p, t, &mut out);
                prop_assert!(out.len() >= payload.len());
            }
        }
    }
}
