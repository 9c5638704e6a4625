//! The RTP header (RFC 3550 section 5.1), read from a datagram and written to one.

/// The fixed part of an RTP header.
pub const FIXED: usize = 12;

/// Why a datagram is not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Offsets are into the datagram; the payload ends where padding begins once decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub marker: bool,
    pub payload_type: u8,
    pub seq: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub padded: bool,
    /// The header extension's profile value, if there is one.
    pub profile: Option<u16>,
    pub ext_start: usize,
    pub ext_end: usize,
    /// Header length: where the (encrypted) payload starts.
    pub len: usize,
}

fn be16(data: &[u8], at: usize) -> Option<u16> {
    data.get(at..at + 2)
        .and_then(|b| b.try_into().ok())
        .map(u16::from_be_bytes)
}

fn be32(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..at + 4)
        .and_then(|b| b.try_into().ok())
        .map(u32::from_be_bytes)
}

impl Header {
    /// Read the header of a protected or plain packet.
    ///
    /// # Errors
    /// `Malformed` when the version is not 2 or CSRCs or extension run past the end.
    pub fn parse(data: &[u8]) -> Result<Header, Malformed> {
        Self::read(data).ok_or(Malformed)
    }

    fn read(data: &[u8]) -> Option<Header> {
        let first = *data.first()?;
        let second = *data.get(1)?;
        if first >> 6 != 2 {
            return None;
        }
        let csrc_end = FIXED + 4 * usize::from(first & 0x0F);
        let mut header = Header {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7F,
            seq: be16(data, 2)?,
            timestamp: be32(data, 4)?,
            ssrc: be32(data, 8)?,
            padded: first & 0x20 != 0,
            profile: None,
            ext_start: csrc_end,
            ext_end: csrc_end,
            len: csrc_end,
        };
        if first & 0x10 != 0 {
            header.profile = Some(be16(data, csrc_end)?);
            let words = usize::from(be16(data, csrc_end + 2)?);
            header.ext_start = csrc_end + 4;
            header.ext_end = header.ext_start + 4 * words;
            header.len = header.ext_end;
        }
        (header.len <= data.len()).then_some(header)
    }

    /// The payload of a decrypted packet without its padding.
    ///
    /// # Errors
    /// `Malformed` when the padding count is zero or longer than what follows the header.
    pub fn payload<'a>(&self, data: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let body = data.get(self.len..).ok_or(Malformed)?;
        if !self.padded {
            return Ok(body);
        }
        let padding = usize::from(*body.last().ok_or(Malformed)?);
        if padding == 0 {
            return Err(Malformed);
        }
        let end = body.len().checked_sub(padding).ok_or(Malformed)?;
        body.get(..end).ok_or(Malformed)
    }

    /// The header extension's octets, without its profile and length.
    pub fn extension<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        data.get(self.ext_start..self.ext_end).unwrap_or(&[])
    }
}

/// What a header we write says; the extension block, if any, follows it.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    pub extended: bool,
    pub marker: bool,
    pub payload_type: u8,
    pub seq: u16,
    pub timestamp: u32,
    pub ssrc: u32,
}

impl Fixed {
    /// Append the twelve fixed octets: no padding, no CSRC.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut head = [0u8; FIXED];
        head[0] = 0x80 | if self.extended { 0x10 } else { 0 };
        head[1] = (self.payload_type & 0x7F) | if self.marker { 0x80 } else { 0 };
        head[2..4].copy_from_slice(&self.seq.to_be_bytes());
        head[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        head[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&head);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_padding_only_packet_has_an_empty_payload() {
        let mut data = vec![0xA0, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        data.extend_from_slice(&[0, 0, 0, 4]);
        let header = Header::parse(&data).expect("parses");
        assert_eq!(header.payload(&data), Ok(&[][..]));
    }

    #[test]
    fn padding_longer_than_the_body_is_malformed() {
        let data = [0xA0, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9];
        let header = Header::parse(&data).expect("parses");
        assert_eq!(header.payload(&data), Err(Malformed));
    }

    proptest! {
        #[test]
        fn random_octets_never_panic(data in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(header) = Header::parse(&data) {
                prop_assert!(header.len <= data.len());
                let _ = header.payload(&data);
                header.extension(&data);
            }
        }

        #[test]
        fn what_is_written_is_read_back(marker: bool, payload_type in 0u8..128, seq: u16, timestamp: u32, ssrc: u32) {
            let mut data = Vec::new();
            Fixed { extended: false, marker, payload_type, seq, timestamp, ssrc }.write(&mut data);
            let header = Header::parse(&data).expect("parses");
            prop_assert_eq!((header.marker, header.payload_type, header.seq), (marker, payload_type, seq));
            prop_assert_eq!((header.timestamp, header.ssrc), (timestamp, ssrc));
        }
    }
}
