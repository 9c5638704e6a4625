//! An H.264 sequence parameter set, as far as the picture's height (H.264 section 7.3.2.1.1).

use crate::bits::Bits;

/// Profiles whose parameter sets say the chroma format.
const HIGH: [u32; 10] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138];

/// Lines of the picture a NAL unit of type 7 describes, cropping taken off.
pub fn height(nal: &[u8]) -> Option<u16> {
    let plain = unescape(nal.get(1..)?);
    let mut bits = Bits::new(&plain);
    let profile = bits.take(8)?;
    bits.skip(16)?;
    bits.golomb()?;
    let chroma = if HIGH.contains(&profile) {
        read_chroma(&mut bits)?
    } else {
        1
    };
    bits.golomb()?;
    skip_order(&mut bits)?;
    bits.golomb()?;
    bits.skip(1)?;
    bits.golomb()?;
    let map_units = bits.golomb()?.checked_add(1)?;
    let fields = 2 - bits.take(1)?;
    bits.skip(if fields == 2 { 2 } else { 1 })?;
    let lines = map_units.checked_mul(16 * fields)?;
    let cropped = match bits.flag()? {
        false => 0,
        true => {
            bits.golomb()?;
            bits.golomb()?;
            let both = bits.golomb()?.checked_add(bits.golomb()?)?;
            let unit = fields * if chroma == 1 { 2 } else { 1 };
            both.checked_mul(unit)?
        }
    };
    u16::try_from(lines.checked_sub(cropped)?).ok()
}

/// Without emulation prevention octets (H.264 section 7.4.1).
fn unescape(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(body.len());
    let mut zeros = 0;
    for &octet in body {
        if zeros >= 2 && octet == 3 {
            zeros = 0;
            continue;
        }
        zeros = if octet == 0 { zeros + 1 } else { 0 };
        plain.push(octet);
    }
    plain
}

/// The chroma format; bit depths and scaling lists are passed over.
fn read_chroma(bits: &mut Bits<'_>) -> Option<u32> {
    let format = bits.golomb()?;
    if format == 3 {
        bits.skip(1)?;
    }
    bits.golomb()?;
    bits.golomb()?;
    bits.skip(1)?;
    if bits.flag()? {
        for list in 0..if format == 3 { 12 } else { 8 } {
            if bits.flag()? {
                skip_scaling(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(format)
}

fn skip_scaling(bits: &mut Bits<'_>, count: usize) -> Option<()> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..count {
        if next != 0 {
            next = last.wrapping_add(bits.signed_golomb()?) & 0xFF;
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// The picture order count's parameters.
fn skip_order(bits: &mut Bits<'_>) -> Option<()> {
    match bits.golomb()? {
        0 => bits.golomb().map(|_| ()),
        1 => {
            bits.skip(1)?;
            bits.signed_golomb()?;
            bits.signed_golomb()?;
            let cycle = bits.golomb()?;
            (0..cycle.min(256)).try_for_each(|_| bits.signed_golomb().map(|_| ()))
        }
        _ => Some(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn heights_of_parameter_sets_from_encoders() {
        // x264, constrained baseline, 640 x 360.
        let baseline = [
            0x67, 0x42, 0xC0, 0x1E, 0xD9, 0x00, 0xA0, 0x2F, 0xF9, 0x70, 0x11, 0x00, 0x00, 0x03,
            0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x3C, 0x0F, 0x16, 0x2E, 0x48,
        ];
        assert_eq!(height(&baseline), Some(360));
        // Sixteen lines a macroblock: 1080 needs cropping.
        let high = [
            0x67, 0x64, 0x00, 0x28, 0xAC, 0xD9, 0x40, 0x78, 0x02, 0x27, 0xE5, 0xC0, 0x44, 0x00,
            0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xC8, 0x3C, 0x60, 0xC6, 0x58,
        ];
        assert_eq!(height(&high), Some(1080));
    }

    proptest! {
        #[test]
        fn random_parameter_sets_never_panic(nal in proptest::collection::vec(any::<u8>(), 0..60)) {
            height(&nal);
        }
    }
}
