//! RTP header extensions in one-octet and two-octet form (RFC 8285).
//!
//! Ids are negotiated per transport, so a packet's extensions are read into `Values` with the
//! sender's ids and written with the receiver's.

use crate::rtp::Header;

/// The extensions we know.  The order is the index into `Ids`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    Mid,
    Rid,
    RepairedRid,
    AudioLevel,
    AbsSendTime,
    Twcc,
    VideoOrientation,
    PlayoutDelay,
    DependencyDescriptor,
}

const KNOWN: usize = 9;
const ONE_OCTET: u16 = 0xBEDE;
const TWO_OCTET: u16 = 0x1000;

/// The ids of one transport: extension to id and back.  Id 0 means "not negotiated".
#[derive(Clone, Debug)]
pub struct Ids {
    by_extension: [u8; KNOWN],
    by_id: [Option<Extension>; 256],
    two_octet: bool,
}

impl Ids {
    /// Ids 1..=255; 15 is reserved in one-octet form and ids above 14 need the two-octet form.
    pub fn new(pairs: &[(Extension, u8)]) -> Self {
        let mut ids = Ids {
            by_extension: [0; KNOWN],
            by_id: [None; 256],
            two_octet: false,
        };
        for &(extension, id) in pairs.iter().filter(|(_, id)| *id != 0) {
            ids.by_extension[extension as usize] = id;
            ids.by_id[usize::from(id)] = Some(extension);
            ids.two_octet |= id > 14;
        }
        ids
    }

    pub fn id(&self, extension: Extension) -> Option<u8> {
        match self.by_extension[extension as usize] {
            0 => None,
            id => Some(id),
        }
    }

    fn extension(&self, id: u8) -> Option<Extension> {
        self.by_id[usize::from(id)]
    }
}

/// What a packet's extensions said; text borrows from the packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values<'a> {
    pub mid: Option<&'a [u8]>,
    pub rid: Option<&'a [u8]>,
    pub repaired_rid: Option<&'a [u8]>,
    pub twcc: Option<u16>,
    pub dependency: Option<&'a [u8]>,
    pub kept: Kept,
}

/// The values that travel on with a packet, as they were on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// RFC 6464: V bit and level.
    pub audio_level: Option<u8>,
    pub video_orientation: Option<u8>,
    pub playout_delay: Option<[u8; 3]>,
}

impl<'a> Values<'a> {
    /// Read the extensions of `data` under `ids`; unknown and malformed elements are passed over.
    pub fn read(data: &'a [u8], header: &Header, ids: &Ids) -> Values<'a> {
        let mut values = Values::default();
        let block = header.extension(data);
        match header.profile {
            Some(ONE_OCTET) => values.read_one_octet(block, ids),
            Some(profile) if profile & 0xFFF0 == TWO_OCTET => values.read_two_octet(block, ids),
            _ => {}
        }
        values
    }

    fn read_one_octet(&mut self, mut block: &'a [u8], ids: &Ids) {
        while let Some((&head, rest)) = block.split_first() {
            let id = head >> 4;
            if head == 0 {
                block = rest;
                continue;
            }
            let len = usize::from(head & 0x0F) + 1;
            if id == 15 || rest.len() < len {
                return;
            }
            let (value, rest) = rest.split_at(len);
            self.set(ids.extension(id), value);
            block = rest;
        }
    }

    fn read_two_octet(&mut self, mut block: &'a [u8], ids: &Ids) {
        while let Some((&id, rest)) = block.split_first() {
            if id == 0 {
                block = rest;
                continue;
            }
            let Some((&len, rest)) = rest.split_first() else {
                return;
            };
            if rest.len() < usize::from(len) {
                return;
            }
            let (value, rest) = rest.split_at(usize::from(len));
            self.set(ids.extension(id), value);
            block = rest;
        }
    }

    fn set(&mut self, extension: Option<Extension>, value: &'a [u8]) {
        match extension {
            Some(Extension::Mid) => self.mid = Some(value),
            Some(Extension::Rid) => self.rid = Some(value),
            Some(Extension::RepairedRid) => self.repaired_rid = Some(value),
            Some(Extension::AudioLevel) => self.kept.audio_level = value.first().copied(),
            Some(Extension::Twcc) => {
                self.twcc = value
                    .get(..2)
                    .and_then(|v| v.try_into().ok())
                    .map(u16::from_be_bytes);
            }
            Some(Extension::VideoOrientation) => {
                self.kept.video_orientation = value.first().copied();
            }
            Some(Extension::PlayoutDelay) => {
                self.kept.playout_delay = value.get(..3).and_then(|v| v.try_into().ok());
            }
            Some(Extension::DependencyDescriptor) => self.dependency = Some(value),
            Some(Extension::AbsSendTime) | None => {}
        }
    }
}

/// Writes an extension block at the end of a packet under construction.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    ids: &'a Ids,
    start: usize,
    two_octet: bool,
}

impl<'a> Writer<'a> {
    /// Begin a block.  `longest` is the longest value to come, in octets.
    pub fn new(out: &'a mut Vec<u8>, ids: &'a Ids, longest: usize) -> Self {
        let two_octet = ids.two_octet || longest > 16;
        let start = out.len();
        let profile = if two_octet { TWO_OCTET } else { ONE_OCTET };
        out.extend_from_slice(&profile.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        Writer {
            out,
            ids,
            start,
            two_octet,
        }
    }

    /// Append a value of 1..=255 octets if the receiver negotiated its extension.
    pub fn put(&mut self, extension: Extension, value: &[u8]) {
        let Some(id) = self.ids.id(extension) else {
            return;
        };
        if self.two_octet {
            self.out.extend_from_slice(&[id, value.len() as u8]);
        } else {
            self.out
                .push(id << 4 | (value.len().saturating_sub(1) as u8 & 0x0F));
        }
        self.out.extend_from_slice(value);
    }

    /// Close the block.  Returns whether it holds anything; an empty one is taken back.
    pub fn finish(self) -> bool {
        let body = self.out.len() - self.start - 4;
        if body == 0 {
            self.out.truncate(self.start);
            return false;
        }
        let padded = body.next_multiple_of(4);
        self.out.resize(self.start + 4 + padded, 0);
        let words = ((padded / 4) as u16).to_be_bytes();
        self.out[self.start + 2..self.start + 4].copy_from_slice(&words);
        true
    }
}

/// 24 bits of 6.18 fixed point seconds.
pub(crate) fn abs_send_time(unix_us: u64) -> [u8; 3] {
    let fixed = u128::from(unix_us) * (1 << 18) / 1_000_000;
    let octets = (fixed as u32).to_be_bytes();
    [octets[1], octets[2], octets[3]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::Fixed;
    use proptest::prelude::*;

    fn packet(ids: &Ids, mid: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        let fixed = Fixed {
            extended: true,
            marker: false,
            payload_type: 96,
            seq: 1,
            timestamp: 2,
            ssrc: 3,
        };
        fixed.write(&mut data);
        let mut writer = Writer::new(&mut data, ids, mid.len());
        writer.put(Extension::Mid, mid);
        writer.put(Extension::Twcc, &[1, 2]);
        writer.put(Extension::AudioLevel, &[0x85]);
        assert!(writer.finish());
        data
    }

    proptest! {
        #[test]
        fn written_extensions_are_read_back(id in 1u8..15, wide in 16u8..=255, long: bool, mid in "[a-z0-9]{1,32}") {
            let ids = Ids::new(&[
                (Extension::Mid, if long { wide } else { id }),
                (Extension::Twcc, if id == 14 { 13 } else { 14 }),
            ]);
            prop_assume!(long || ids.id(Extension::Mid) != ids.id(Extension::Twcc));
            let data = packet(&ids, mid.as_bytes());
            let header = Header::parse(&data).expect("parses");
            let values = Values::read(&data, &header, &ids);
            prop_assert_eq!(values.mid, Some(mid.as_bytes()));
            prop_assert_eq!(values.twcc, Some(0x0102));
            prop_assert_eq!(values.kept.audio_level, None);
        }

        #[test]
        fn random_blocks_never_panic(profile in prop_oneof![Just(ONE_OCTET), Just(TWO_OCTET), any::<u16>()],
                                     block in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut data = vec![0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
            data.extend_from_slice(&profile.to_be_bytes());
            data.extend_from_slice(&((block.len() / 4) as u16).to_be_bytes());
            data.extend_from_slice(&block[..block.len() / 4 * 4]);
            let header = Header::parse(&data).expect("parses");
            let ids = Ids::new(&[(Extension::Mid, 1), (Extension::Rid, 2), (Extension::PlayoutDelay, 3)]);
            Values::read(&data, &header, &ids);
        }
    }
}
