//! The VP8 payload descriptor (RFC 7741 section 4.2).

use crate::descriptor::Descriptor;
use crate::place::{at_least, target, Place, ALL};

/// What switching needs to know of one VP8 payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vp8 {
    pub descriptor: Descriptor,
    /// Temporal layer, when the sender makes them, and whether the frame depends on layer 0 only.
    pub temporal: Option<(u8, bool)>,
    /// First packet of a key frame.
    pub keyframe_start: bool,
    /// First packet of a frame's first partition.
    pub frame_start: bool,
}

impl Vp8 {
    /// Read the descriptor; `None` when it runs past the payload's end.
    pub fn parse(payload: &[u8]) -> Option<Vp8> {
        let first = *payload.first()?;
        let mut found = Vp8::default();
        let mut at = 1usize;
        if first & 0x80 != 0 {
            let flags = *payload.get(at)?;
            at += 1;
            if flags & 0x80 != 0 {
                at = found.descriptor.read_picture(payload, at)?;
            }
            if flags & 0x40 != 0 {
                at = found.descriptor.read_tl0(payload, at)?;
            }
            if flags & 0x30 != 0 {
                let layers = *payload.get(at)?;
                found.temporal = (flags & 0x20 != 0).then_some((layers >> 6, layers & 0x20 != 0));
                at += 1;
            }
        }
        found.descriptor.len = at as u8;
        found.frame_start = first & 0x10 != 0 && first & 0x07 == 0;
        // RFC 7741 section 4.3: the inverse key frame flag is the lowest bit of the frame header.
        found.keyframe_start = found.frame_start && payload.get(at).is_some_and(|o| o & 1 == 0);
        Some(found)
    }

    /// A viewer goes up by one temporal layer where the Y bit says that a frame depends on layer 0
    /// only: what follows may depend on everything below it that came before.
    pub fn place(&self) -> Place {
        let whole = Place {
            starts: self.frame_start,
            ..Place::default()
        };
        match self.temporal {
            None => whole,
            Some((layer, sync)) => Place {
                needed: at_least(0, layer),
                offered: target(0, layer),
                reach: at_least(0, layer.saturating_sub(1)),
                switch: match sync && layer > 0 {
                    _ if self.keyframe_start => ALL,
                    true => target(0, layer),
                    false => 0,
                },
                ..whole
            },
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
        let found = Vp8::parse(&payload).expect("parses");
        assert_eq!(
            (
                found.descriptor.picture,
                found.descriptor.tl0,
                found.descriptor.len
            ),
            (Some(0x102), Some(7), 6)
        );
        assert!(found.keyframe_start);
        let mut out = Vec::new();
        found.descriptor.rewrite(&payload, 0x7FFF, 255, &mut out);
        let shifted = Vp8::parse(&out).expect("parses");
        assert_eq!(
            (shifted.descriptor.picture, shifted.descriptor.tl0),
            (Some(0x101), Some(6))
        );
        assert_eq!(out[6..], payload[6..]);
    }

    #[test]
    fn a_seven_bit_picture_id_is_widened() {
        let payload = [0x90, 0xC0, 0x05, 0x09, 0x10];
        let mut out = Vec::new();
        let found = Vp8::parse(&payload).expect("parses");
        found.descriptor.rewrite(&payload, 0x4000, 1, &mut out);
        let shifted = Vp8::parse(&out).expect("parses");
        assert_eq!(
            (shifted.descriptor.picture, shifted.descriptor.tl0),
            (Some(0x4005), Some(10))
        );
        assert_eq!(out.last(), Some(&0x10));
        assert_eq!(out.len(), payload.len() + 1);
    }

    #[test]
    fn temporal_layers_are_read() {
        let payload = [0x90, 0xE0, 0x81, 0x02, 0x07, 0x60, 0x11];
        let found = Vp8::parse(&payload).expect("parses");
        assert_eq!(found.temporal, Some((1, true)));
        let place = found.place();
        assert_eq!(place.needed & target(0, 0), 0);
        assert_ne!(place.needed & target(0, 2), 0);
        assert_eq!(place.switch, target(0, 1));
    }

    proptest! {
        #[test]
        fn random_payloads_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..20), p: u16, t: u8) {
            if let Some(found) = Vp8::parse(&payload) {
                let mut out = Vec::new();
                found.descriptor.rewrite(&payload, p, t, &mut out);
                prop_assert!(out.len() >= payload.len());
            }
        }
    }
}
