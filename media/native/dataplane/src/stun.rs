//! STUN binding messages as ICE uses them (RFC 8489, RFC 8445).
//!
//! Parsing borrows; nothing is believed until `Message::authentic` says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aws_lc_rs::hmac;

pub const MAGIC: u32 = 0x2112_A442;
pub const BINDING_REQUEST: u16 = 0x0001;
pub const BINDING_SUCCESS: u16 = 0x0101;
pub const BINDING_ERROR: u16 = 0x0111;

/// Role conflict, RFC 8445 section 7.3.1.1.
pub const ROLE_CONFLICT: u16 = 487;
/// A comprehension-required attribute we do not know, RFC 8489 section 6.3.1.
pub const UNKNOWN_ATTRIBUTE: u16 = 420;

const HEADER: usize = 20;
const FINGERPRINT_XOR: u32 = 0x5354_554E;
const MAX_ATTRIBUTES: usize = 32;

mod attr {
    pub const USERNAME: u16 = 0x0006;
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub const ERROR_CODE: u16 = 0x0009;
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub const PRIORITY: u16 = 0x0024;
    pub const USE_CANDIDATE: u16 = 0x0025;
    pub const FINGERPRINT: u16 = 0x8028;
    pub const ICE_CONTROLLED: u16 = 0x8029;
    pub const ICE_CONTROLLING: u16 = 0x802A;
}

/// Why a datagram is not a STUN message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StunError {
    /// Not a multiple of four, a wrong length field, or an attribute that runs past the end.
    Length,
    Cookie,
    TooManyAttributes,
    /// FINGERPRINT missing, not last, or wrong.  ICE requires it (RFC 8445 section 7.1.1).
    Fingerprint,
}

pub type TransactionId = [u8; 12];

/// A message whose structure and fingerprint are right.  Its sender is not yet known.
#[derive(Debug)]
pub struct Message<'a> {
    raw: &'a [u8],
    pub class_method: u16,
    pub transaction: TransactionId,
    pub username: Option<&'a [u8]>,
    pub error_code: Option<u16>,
    pub use_candidate: bool,
    pub controlling: Option<u64>,
    pub controlled: Option<u64>,
    /// The first comprehension-required attribute we do not know.
    pub unknown_required: Option<u16>,
    integrity: Option<(usize, &'a [u8])>,
}

/// Key for MESSAGE-INTEGRITY; made once per transport and direction.
pub fn integrity_key(password: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes())
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn u64_of(data: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(data.try_into().ok()?))
}

impl<'a> Message<'a> {
    /// Parse a datagram, checking length, cookie and fingerprint.
    ///
    /// # Errors
    /// `StunError` names the first thing that is wrong.
    pub fn parse(raw: &'a [u8]) -> Result<Self, StunError> {
        let class_method = u16_at(raw, 0).ok_or(StunError::Length)?;
        let length = u16_at(raw, 2).ok_or(StunError::Length)? as usize;
        if raw.len() % 4 != 0 || length.checked_add(HEADER) != Some(raw.len()) {
            return Err(StunError::Length);
        }
        if u32_at(raw, 4) != Some(MAGIC) {
            return Err(StunError::Cookie);
        }
        let transaction = raw
            .get(8..HEADER)
            .and_then(|id| id.try_into().ok())
            .ok_or(StunError::Length)?;
        let mut message = Message {
            raw,
            class_method,
            transaction,
            username: None,
            error_code: None,
            use_candidate: false,
            controlling: None,
            controlled: None,
            unknown_required: None,
            integrity: None,
        };
        message.read_attributes()?;
        Ok(message)
    }

    fn read_attributes(&mut self) -> Result<(), StunError> {
        let raw = self.raw;
        let mut at = HEADER;
        for _ in 0..MAX_ATTRIBUTES {
            let kind = u16_at(raw, at).ok_or(StunError::Fingerprint)?;
            let len = u16_at(raw, at + 2).ok_or(StunError::Length)? as usize;
            let value = raw.get(at + 4..at + 4 + len).ok_or(StunError::Length)?;
            let next = at + 4 + len.next_multiple_of(4);
            if kind == attr::FINGERPRINT {
                let good = next == raw.len() && u64_fingerprint(raw, at) == Some(value);
                return if good {
                    Ok(())
                } else {
                    Err(StunError::Fingerprint)
                };
            }
            // RFC 8489 section 14.5: what follows MESSAGE-INTEGRITY is not covered, so not read.
            if self.integrity.is_none() {
                self.read_attribute(kind, value, at);
            }
            at = next;
        }
        Err(StunError::TooManyAttributes)
    }

    fn read_attribute(&mut self, kind: u16, value: &'a [u8], at: usize) {
        match kind {
            attr::USERNAME => self.username = Some(value),
            attr::MESSAGE_INTEGRITY => self.integrity = Some((at, value)),
            attr::ERROR_CODE => {
                self.error_code = value
                    .get(2..4)
                    .map(|code| u16::from(code[0] & 7) * 100 + u16::from(code[1]));
            }
            attr::USE_CANDIDATE => self.use_candidate = true,
            attr::ICE_CONTROLLING => self.controlling = u64_of(value),
            attr::ICE_CONTROLLED => self.controlled = u64_of(value),
            attr::PRIORITY | attr::XOR_MAPPED_ADDRESS => {}
            other if other < 0x8000 => {
                self.unknown_required.get_or_insert(other);
            }
            _ => {}
        }
    }

    /// Whether MESSAGE-INTEGRITY is present and made with `key`.
    pub fn authentic(&self, key: &hmac::Key) -> bool {
        let Some((at, tag)) = self.integrity else {
            return false;
        };
        let (Some(header), Some(body)) = (self.raw.get(..4), self.raw.get(4..at)) else {
            return false;
        };
        // The length field covers everything up to and including MESSAGE-INTEGRITY.
        let Ok(length) = u16::try_from(at + 24 - HEADER) else {
            return false;
        };
        let mut mac = hmac::Context::with_key(key);
        mac.update(&header[..2]);
        mac.update(&length.to_be_bytes());
        mac.update(body);
        constant_time_equal(mac.sign().as_ref(), tag)
    }

    /// USERNAME split at its colon: (receiver's ufrag, sender's ufrag).
    pub fn ufrags(&self) -> Option<(&'a str, &'a str)> {
        std::str::from_utf8(self.username?).ok()?.split_once(':')
    }
}

fn constant_time_equal(ours: &[u8], theirs: &[u8]) -> bool {
    ours.len() == theirs.len()
        && ours
            .iter()
            .zip(theirs)
            .fold(0u8, |acc, (a, b)| acc | (a ^ b))
            == 0
}

fn u64_fingerprint(raw: &[u8], at: usize) -> Option<&[u8]> {
    let body = raw.get(..at)?;
    let crc = (crc32fast::hash(body) ^ FINGERPRINT_XOR).to_be_bytes();
    let value = raw.get(at + 4..at + 8)?;
    (value == crc).then_some(value)
}

/// A message being written.
pub struct Builder {
    buf: Vec<u8>,
}

impl Builder {
    pub fn new(class_method: u16, transaction: &TransactionId) -> Self {
        let mut buf = Vec::with_capacity(128);
        buf.extend_from_slice(&class_method.to_be_bytes());
        buf.extend_from_slice(&[0, 0]);
        buf.extend_from_slice(&MAGIC.to_be_bytes());
        buf.extend_from_slice(transaction);
        Builder { buf }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.buf.extend_from_slice(&kind.to_be_bytes());
        self.buf
            .extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.buf.extend_from_slice(value);
        self.buf.resize(self.buf.len().next_multiple_of(4), 0);
    }

    pub fn username(mut self, receiver: &str, sender: &str) -> Self {
        self.attribute(attr::USERNAME, format!("{receiver}:{sender}").as_bytes());
        self
    }

    pub fn priority(mut self, priority: u32) -> Self {
        self.attribute(attr::PRIORITY, &priority.to_be_bytes());
        self
    }

    pub fn controlling(mut self, tie_breaker: u64) -> Self {
        self.attribute(attr::ICE_CONTROLLING, &tie_breaker.to_be_bytes());
        self
    }

    pub fn use_candidate(mut self) -> Self {
        self.attribute(attr::USE_CANDIDATE, &[]);
        self
    }

    pub fn error(mut self, code: u16, reason: &str) -> Self {
        let mut value = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
        value.extend_from_slice(reason.as_bytes());
        self.attribute(attr::ERROR_CODE, &value);
        self
    }

    pub fn unknown(mut self, kind: u16) -> Self {
        self.attribute(attr::UNKNOWN_ATTRIBUTES, &kind.to_be_bytes());
        self
    }

    /// Source: RFC 8489 section 14.2.
    pub fn xor_mapped(mut self, peer: SocketAddr) -> Self {
        let mut value = vec![0, if peer.is_ipv4() { 1 } else { 2 }];
        value.extend_from_slice(&(peer.port() ^ (MAGIC >> 16) as u16).to_be_bytes());
        let mut mask = MAGIC.to_be_bytes().to_vec();
        mask.extend_from_slice(&self.buf[8..HEADER]);
        let octets = match peer.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        value.extend(octets.iter().zip(&mask).map(|(a, b)| a ^ b));
        self.attribute(attr::XOR_MAPPED_ADDRESS, &value);
        self
    }

    fn set_length(&mut self, length: usize) {
        self.buf[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    }

    /// Close with MESSAGE-INTEGRITY and FINGERPRINT.
    pub fn finish(mut self, key: &hmac::Key) -> Vec<u8> {
        self.set_length(self.buf.len() - HEADER + 24);
        let tag = hmac::sign(key, &self.buf);
        self.attribute(attr::MESSAGE_INTEGRITY, tag.as_ref());
        self.set_length(self.buf.len() - HEADER + 8);
        let crc = crc32fast::hash(&self.buf) ^ FINGERPRINT_XOR;
        self.attribute(attr::FINGERPRINT, &crc.to_be_bytes());
        self.buf
    }
}

/// The address a peer sees us at, out of a success response.
pub fn mapped_address(message: &Message<'_>) -> Option<SocketAddr> {
    let mut at = HEADER;
    loop {
        let kind = u16_at(message.raw, at)?;
        let len = u16_at(message.raw, at + 2)? as usize;
        if kind == attr::XOR_MAPPED_ADDRESS {
            let value = message.raw.get(at + 4..at + 4 + len)?;
            return unmask(value, message.raw.get(4..HEADER)?);
        }
        at += 4 + len.next_multiple_of(4);
    }
}

fn unmask(value: &[u8], mask: &[u8]) -> Option<SocketAddr> {
    let port = u16_at(value, 2)? ^ (MAGIC >> 16) as u16;
    let octets: Vec<u8> = value
        .get(4..)?
        .iter()
        .zip(mask)
        .map(|(a, b)| a ^ b)
        .collect();
    let ip = match octets.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(password: &str) -> Vec<u8> {
        Builder::new(BINDING_REQUEST, &[7; 12])
            .username("us", "them")
            .priority(1)
            .controlling(42)
            .use_candidate()
            .finish(&integrity_key(password))
    }

    /// RFC 5769 section 2.1: sample request with long-lived password.
    const RFC5769_REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74\
        002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5\
        b2d3f249c1b571a280280004e57a3bcf";

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
        digits
            .chunks(2)
            .map(|pair| (pair[0] * 16 + pair[1]) as u8)
            .collect()
    }

    #[test]
    fn the_sample_request_of_rfc_5769_is_authentic() {
        let raw = unhex(RFC5769_REQUEST);
        let message = Message::parse(&raw).expect("vector parses");
        assert!(message.authentic(&integrity_key("VOkJxbRl1RmTxUk/WvJxBt")));
        assert!(!message.authentic(&integrity_key("VOkJxbRl1RmTxUk/WvJxBu")));
        assert_eq!(message.ufrags(), Some(("evtj", "h6vY")));
    }

    #[test]
    fn a_mapped_address_survives_the_round_trip() {
        for text in ["192.0.2.1:32853", "[2001:db8::5678]:9"] {
            let peer: SocketAddr = text.parse().expect("address");
            let raw = Builder::new(BINDING_SUCCESS, &[3; 12])
                .xor_mapped(peer)
                .finish(&integrity_key("p"));
            let message = Message::parse(&raw).expect("parses");
            assert_eq!(mapped_address(&message), Some(peer));
        }
    }

    proptest! {
        #[test]
        fn random_octets_never_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(message) = Message::parse(&data) {
                message.authentic(&integrity_key("x"));
                mapped_address(&message);
            }
        }

        #[test]
        fn a_changed_request_is_never_authentic(at in 0usize..200, bit in 0u8..8) {
            let mut raw = request("secret");
            let at = at % raw.len();
            raw[at] ^= 1 << bit;
            let authentic = Message::parse(&raw).is_ok_and(|m| m.authentic(&integrity_key("secret")));
            prop_assert!(!authentic);
        }

        #[test]
        fn a_mutated_request_with_a_repaired_fingerprint_is_never_authentic(at in 4usize..200, value: u8) {
            let mut raw = request("secret");
            let body = raw.len() - 8;
            let at = 4 + at % (body - 4);
            prop_assume!(raw[at] != value);
            raw[at] = value;
            let crc = crc32fast::hash(&raw[..body]) ^ FINGERPRINT_XOR;
            raw[body + 4..].copy_from_slice(&crc.to_be_bytes());
            let authentic = Message::parse(&raw).is_ok_and(|m| m.authentic(&integrity_key("secret")));
            prop_assert!(!authentic);
        }
    }
}
