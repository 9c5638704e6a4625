//! AV1 in RTP (AV1 RTP payload specification section 4): key frames found, and put together.

use crate::bits::Bits;

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;
const EXTENDED: u8 = 0x04;
const SIZED: u8 = 0x02;
/// OBU elements looked at in one packet.
const MAX_ELEMENTS: usize = 64;

/// The aggregation header: an octet of flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregation {
    /// The first element goes on from the packet before.
    pub continues: bool,
    /// The last element goes on in the next packet.
    pub unfinished: bool,
    /// Elements, when they are few: then the last has no length.
    pub count: u8,
    /// First packet of a coded video sequence: a key frame starts.
    pub sequence_start: bool,
}

impl Aggregation {
    /// `None` for an empty payload.
    pub fn parse(payload: &[u8]) -> Option<Aggregation> {
        let head = *payload.first()?;
        Some(Aggregation {
            continues: head & 0x80 != 0,
            unfinished: head & 0x40 != 0,
            count: head >> 4 & 3,
            sequence_start: head & 0x08 != 0 && head & 0x80 == 0,
        })
    }
}

/// (value, octets) of a leb128 number of at most 4 octets (28 bits).
fn leb128(data: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for at in 0..4 {
        let octet = *data.get(at)?;
        value |= usize::from(octet & 0x7F) << (7 * at);
        if octet & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

fn put_leb128(mut value: usize, out: &mut Vec<u8>) {
    while value > 0x7F {
        out.push(value as u8 & 0x7F | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The elements of a payload in order; ends where one runs past the end.
fn elements(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let count = Aggregation::parse(payload).map_or(0, |head| usize::from(head.count));
    let mut rest = payload.get(1..).unwrap_or(&[]);
    (1..=MAX_ELEMENTS).map_while(move |number| {
        if rest.is_empty() {
            return None;
        }
        let (len, start) = match count {
            0 => leb128(rest)?,
            last if last == number => (rest.len(), 0),
            few if number < few => leb128(rest)?,
            _ => return None,
        };
        let element = rest.get(start..start.checked_add(len)?)?;
        rest = rest.get(start + len..)?;
        Some(element)
    })
}

/// Lines of the picture, from the sequence header that a key frame starts with.
pub fn height(payload: &[u8]) -> Option<u16> {
    let header = elements(payload).find(|e| kind(e) == Some(SEQUENCE_HEADER))?;
    sequence_height(body(header)?)
}

fn kind(obu: &[u8]) -> Option<u8> {
    obu.first().map(|head| head >> 3 & 0xF)
}

/// What follows an OBU's header and, if it has one, its size.
fn body(obu: &[u8]) -> Option<&[u8]> {
    let head = *obu.first()?;
    let at = 1 + usize::from(head & EXTENDED != 0);
    if head & SIZED == 0 {
        return obu.get(at..);
    }
    let (len, octets) = leb128(obu.get(at..)?)?;
    obu.get(at + octets..)?.get(..len)
}

/// AV1 bitstream specification section 5.5.1, where no timing is given.
fn sequence_height(header: &[u8]) -> Option<u16> {
    let mut bits = Bits::new(header);
    bits.skip(3 + 1)?;
    if bits.flag()? {
        bits.skip(5)?;
    } else {
        if bits.flag()? {
            return None;
        }
        let delays = bits.flag()?;
        for _ in 0..=bits.take(5)? {
            bits.skip(12)?;
            if bits.take(5)? > 7 {
                bits.skip(1)?;
            }
            if delays && bits.flag()? {
                bits.skip(4)?;
            }
        }
    }
    let (wide, high) = (bits.take(4)? + 1, bits.take(4)? + 1);
    bits.skip(wide)?;
    u16::try_from(bits.take(high)? + 1).ok()
}

/// A temporal unit put together from packets in order.
#[derive(Default)]
pub struct Unit {
    octets: Vec<u8>,
    open: Vec<u8>,
}

impl Unit {
    /// Add a packet's elements; `None` when they do not fit what came before.
    pub fn add(&mut self, payload: &[u8]) -> Option<()> {
        let head = Aggregation::parse(payload)?;
        if head.continues == self.open.is_empty() {
            return None;
        }
        let mut elements = elements(payload).peekable();
        while let Some(element) = elements.next() {
            self.open.extend_from_slice(element);
            if elements.peek().is_some() || !head.unfinished {
                let whole = std::mem::take(&mut self.open);
                self.close(&whole)?;
            }
        }
        Some(())
    }

    /// Append an OBU with its size, without what a stored unit has no use for.
    fn close(&mut self, obu: &[u8]) -> Option<()> {
        let kind = kind(obu)?;
        if matches!(kind, TEMPORAL_DELIMITER | TILE_LIST | PADDING) {
            return Some(());
        }
        let head = *obu.first()?;
        let body = body(obu)?;
        self.octets.push(head | SIZED);
        if head & EXTENDED != 0 {
            self.octets.push(*obu.get(1)?);
        }
        put_leb128(body.len(), &mut self.octets);
        self.octets.extend_from_slice(body);
        Some(())
    }

    pub fn len(&self) -> usize {
        self.octets.len() + self.open.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The unit, behind a temporal delimiter; `None` while an OBU is open.
    pub fn finish(self) -> Option<Vec<u8>> {
        if !self.open.is_empty() || self.octets.is_empty() {
            return None;
        }
        let mut unit = vec![TEMPORAL_DELIMITER << 3 | SIZED, 0];
        unit.extend(self.octets);
        Some(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Profile 0, one operating point, 640 x 360 in ten and nine bits.
    const SEQUENCE: [u8; 7] = [0x00, 0x00, 0x00, 0x24, 0xC4, 0xFF, 0x67];

    #[test]
    fn a_unit_is_put_together_across_packets() {
        let mut unit = Unit::default();
        // Two elements: a sequence header of 3 octets, then a frame that goes on.
        unit.add(&[0x68, 3, 0x08, 0xAA, 0xBB, 0x30, 1, 2])
            .expect("fits");
        unit.add(&[0x90, 3, 4]).expect("goes on");
        let whole = unit.finish().expect("whole");
        assert_eq!(whole, [0x12, 0, 0x0A, 2, 0xAA, 0xBB, 0x32, 4, 1, 2, 3, 4]);
    }

    #[test]
    fn a_lost_packet_leaves_no_unit() {
        let mut unit = Unit::default();
        assert_eq!(unit.add(&[0x90, 3, 4]), None);
        unit.add(&[0x58, 0x30, 1]).expect("starts");
        assert!(unit.finish().is_none());
    }

    #[test]
    fn a_sequence_header_says_the_height() {
        assert_eq!(sequence_height(&SEQUENCE), Some(360));
        let mut payload = vec![0x18, 0x08];
        payload.extend_from_slice(&SEQUENCE);
        assert!(Aggregation::parse(&payload).is_some_and(|head| head.sequence_start));
        assert_eq!(height(&payload), Some(360));
    }

    proptest! {
        #[test]
        fn random_payloads_never_panic(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..4)) {
            let mut unit = Unit::default();
            for payload in payloads {
                height(&payload);
                let _ = unit.add(&payload);
            }
            let _ = unit.finish();
        }
    }
}
