//! Bits read from the left, as video headers are written.

/// A cursor over octets; every read past the end is `None`.
#[derive(Clone, Copy)]
pub struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Bits { data, at: 0 }
    }

    /// The next `count` bits, 0..=32, most significant first.
    pub fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..count.min(32) {
            let octet = *self.data.get(self.at / 8)?;
            value = value << 1 | u32::from(octet >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    pub fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    pub fn skip(&mut self, count: u32) -> Option<()> {
        self.at += count as usize;
        (self.at <= self.data.len() * 8).then_some(())
    }

    /// How many bits were read.
    pub fn position(&self) -> u32 {
        self.at as u32
    }

    /// An unsigned Exp-Golomb number (H.264 section 9.1).
    pub fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.take(zeros)?)
    }

    /// A signed Exp-Golomb number (H.264 section 9.1.1).
    pub fn signed_golomb(&mut self) -> Option<i32> {
        let code = i64::from(self.golomb()?);
        let value = if code % 2 == 0 {
            -(code / 2)
        } else {
            code.div_euclid(2) + 1
        };
        i32::try_from(value).ok()
    }

    /// A value in 0..`values` (AV1 section 4.10.7, `ns(n)`).
    pub fn below(&mut self, values: u32) -> Option<u32> {
        let width = 32 - values.leading_zeros();
        let short = (1u32.checked_shl(width)?).checked_sub(values)?;
        let value = self.take(width.checked_sub(1)?)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1) + self.take(1)? - short)
    }
}

/// Longest value of a header extension, in octets.
const LONGEST: usize = 255;

/// Writes bits from the left, up to the longest value of a header extension.
#[derive(Clone, Debug)]
pub struct Pen {
    octets: [u8; LONGEST],
    /// Bits written, or more than there is room for.
    at: usize,
}

impl Default for Pen {
    fn default() -> Self {
        Pen {
            octets: [0; LONGEST],
            at: 0,
        }
    }
}

impl Pen {
    /// The low `count` bits of `value`, 0..=32, most significant first.
    pub fn put(&mut self, value: u32, count: u32) {
        for bit in (0..count.min(32)).rev() {
            let set = (value >> bit & 1) as u8;
            if let Some(octet) = self.octets.get_mut(self.at / 8) {
                *octet |= set << (7 - self.at % 8);
            }
            self.at += 1;
        }
    }

    /// Bits `from`..`to` of `octets`; `None` when they are not all there.
    pub fn copy(&mut self, octets: &[u8], from: u32, to: u32) -> Option<()> {
        let mut bits = Bits::new(octets);
        bits.skip(from)?;
        let mut left = to.checked_sub(from)?;
        while left > 0 {
            let count = left.min(32);
            let value = bits.take(count)?;
            self.put(value, count);
            left -= count;
        }
        Some(())
    }

    /// Itself, if all that was written had room.
    pub fn whole(self) -> Option<Pen> {
        (self.at <= 8 * LONGEST).then_some(self)
    }

    /// What was written, the last octet filled up with zeros.
    pub fn octets(&self) -> &[u8] {
        self.octets
            .get(..self.at.div_ceil(8))
            .unwrap_or(&self.octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exp_golomb_codes_are_read() {
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0000]);
        let read: Vec<_> = (0..4).map(|_| bits.golomb()).collect();
        assert_eq!(read, [Some(0), Some(1), Some(2), Some(3)]);
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0000]);
        let read: Vec<_> = (0..4).map(|_| bits.signed_golomb()).collect();
        assert_eq!(read, [Some(0), Some(1), Some(-1), Some(2)]);
    }

    #[test]
    fn a_value_below_five_takes_two_or_three_bits() {
        let mut bits = Bits::new(&[0b0001_1011, 0b0111_0000]);
        let read: Vec<_> = (0..5).map(|_| bits.below(5)).collect();
        assert_eq!(read, [Some(0), Some(1), Some(2), Some(3), Some(4)]);
    }

    proptest! {
        #[test]
        fn bits_copied_are_the_bits_that_were(data in proptest::collection::vec(any::<u8>(), 1..40), from in 0u32..100, ahead in 0u32..9) {
            let end = 8 * data.len() as u32;
            let from = from.min(end);
            let mut pen = Pen::default();
            pen.put(0x1FF, ahead);
            prop_assert!(pen.copy(&data, from, end).is_some());
            prop_assert!(pen.copy(&data, from, end + 1).is_none());
            let mut back = Bits::new(pen.octets());
            prop_assert_eq!(back.take(ahead), Some((1u32 << ahead) - 1));
            let mut there = Bits::new(&data);
            there.skip(from).expect("inside");
            for _ in from..end {
                prop_assert_eq!(back.flag(), there.flag());
            }
        }

        #[test]
        fn more_than_has_room_is_not_whole(count in 0u32..80) {
            let mut pen = Pen::default();
            (0..count).for_each(|_| pen.put(u32::MAX, 32));
            prop_assert!(pen.octets().len() <= LONGEST);
            prop_assert_eq!(pen.whole().is_some(), count <= 63);
        }

        #[test]
        fn random_octets_never_panic(data in proptest::collection::vec(any::<u8>(), 0..40), values in 0u32..70) {
            let mut bits = Bits::new(&data);
            while bits.golomb().is_some() && bits.below(values).is_some() && bits.signed_golomb().is_some() {}
            let _ = bits.skip(9);
        }
    }
}
