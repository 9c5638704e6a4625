//! The numbers a VP8 or VP9 payload descriptor gives its picture, and how they are rewritten.

/// Where a descriptor's numbers are, and what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Octets of descriptor before the codec's data.
    pub len: u8,
    /// Offset of the picture id octets, when there is one.
    pub picture_at: u8,
    /// Whether the picture id on the wire has 15 bits.
    pub long_picture: bool,
    /// Picture id, 0..=32767 (0..=127 when short).
    pub picture: Option<u16>,
    pub tl0: Option<u8>,
    pub tl0_at: u8,
}

impl Descriptor {
    /// Read the picture id at `at`: 7 or 15 bits in VP8 and VP9 alike.  Returns where it ends.
    pub fn read_picture(&mut self, payload: &[u8], at: usize) -> Option<usize> {
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

    /// Read TL0PICIDX at `at`.  Returns where it ends.
    pub fn read_tl0(&mut self, payload: &[u8], at: usize) -> Option<usize> {
        self.tl0_at = at as u8;
        self.tl0 = Some(*payload.get(at)?);
        Some(at + 1)
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

    proptest! {
        #[test]
        fn random_payloads_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..8), at in 0usize..9, p: u16, t: u8) {
            let mut found = Descriptor::default();
            let end = found.read_picture(&payload, at);
            if end.is_some_and(|end| found.read_tl0(&payload, end).is_some()) {
                let mut out = Vec::new();
                found.rewrite(&payload, p, t, &mut out);
                prop_assert!(out.len() >= payload.len());
            }
        }
    }
}
