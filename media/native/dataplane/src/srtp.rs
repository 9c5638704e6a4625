//! SRTP and SRTCP: keys once per transport and direction, an index per stream.
//!
//! AES-128-GCM (RFC 7714) and AES-CM with HMAC-SHA1-80 (RFC 3711).  Key derivation rate 0, no MKI.

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, UnboundKey, AES_128_GCM};
use aws_lc_rs::cipher::{EncryptingKey, EncryptionContext, UnboundCipherKey, AES_128};
use aws_lc_rs::hmac;

use crate::types::{MasterKey, Profile};

const GCM_TAG: usize = 16;
const SHA1_TAG: usize = 10;
const RTCP_HEADER: usize = 8;
const INDEX_WORD: usize = 4;
const ENCRYPTED: u32 = 0x8000_0000;

/// A packet that is too short, not encrypted, or not made with our key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected;

/// Key material of a wrong length, or refused by the cryptographic library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey;

/// Labels of RFC 3711 section 4.3.2; SRTCP's are three higher.
mod label {
    pub const ENCRYPTION: u8 = 0;
    pub const AUTHENTICATION: u8 = 1;
    pub const SALT: u8 = 2;
    pub const RTCP: u8 = 3;
}

enum Cipher {
    Gcm {
        key: Box<LessSafeKey>,
        salt: GcmSalt,
    },
    Cm {
        key: Box<EncryptingKey>,
        salt: [u8; 14],
        auth: Box<hmac::Key>,
    },
}

/// The first eight octets of a salt and the last four.
struct GcmSalt {
    high: u64,
    low: u32,
}

/// One direction of one transport.
pub struct Protection {
    rtp: Cipher,
    rtcp: Cipher,
    profile: Profile,
}

fn aes_ctr(key: &[u8]) -> Result<EncryptingKey, BadKey> {
    let key = UnboundCipherKey::new(&AES_128, key).map_err(|_| BadKey)?;
    EncryptingKey::ctr(key).map_err(|_| BadKey)
}

fn ctr_apply(key: &EncryptingKey, iv: [u8; 16], data: &mut [u8]) -> Result<(), Rejected> {
    key.less_safe_encrypt(data, EncryptionContext::Iv128((&iv).into()))
        .map(|_| ())
        .map_err(|_| Rejected)
}

/// The key derivation of RFC 3711 section 4.3; a 12-octet salt is padded (RFC 7714 section 11).
fn derive(master: &MasterKey, label: u8, out: &mut [u8]) -> Result<(), BadKey> {
    let mut iv = [0u8; 16];
    iv.get_mut(..master.salt.len())
        .ok_or(BadKey)?
        .copy_from_slice(&master.salt);
    iv[7] ^= label;
    out.fill(0);
    ctr_apply(&aes_ctr(&master.key)?, iv, out).map_err(|_| BadKey)
}

impl Cipher {
    fn new(profile: Profile, master: &MasterKey, base: u8) -> Result<Self, BadKey> {
        let mut key = [0u8; 16];
        derive(master, base + label::ENCRYPTION, &mut key)?;
        match profile {
            Profile::AeadAes128Gcm => {
                let mut salt = [0u8; 12];
                derive(master, base + label::SALT, &mut salt)?;
                let [a, b, c, d, e, f, g, h, i, j, k, l] = salt;
                let salt = GcmSalt {
                    high: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
                    low: u32::from_be_bytes([i, j, k, l]),
                };
                let key = UnboundKey::new(&AES_128_GCM, &key).map_err(|_| BadKey)?;
                Ok(Cipher::Gcm {
                    key: Box::new(LessSafeKey::new(key)),
                    salt,
                })
            }
            Profile::Aes128CmHmacSha1_80 => {
                let mut salt = [0u8; 14];
                derive(master, base + label::SALT, &mut salt)?;
                let mut auth = [0u8; 20];
                derive(master, base + label::AUTHENTICATION, &mut auth)?;
                Ok(Cipher::Cm {
                    key: Box::new(aes_ctr(&key)?),
                    salt,
                    auth: Box::new(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth)),
                })
            }
        }
    }
}

/// RFC 7714 section 8.1: two zero octets, SSRC, 48-bit index, xor salt.
///
/// Eight octets and four, as the cipher reads them: octet by octet, each read waits until the
/// payload just copied has reached the cache, which costs more than the encryption.
fn gcm_nonce(salt: &GcmSalt, ssrc: u32, index: u64) -> Nonce {
    let high = salt.high ^ (u64::from(ssrc) << 16 | index >> 32);
    let low = salt.low ^ index as u32;
    let mut iv = [0u8; 12];
    iv[..8].copy_from_slice(&high.to_be_bytes());
    iv[8..].copy_from_slice(&low.to_be_bytes());
    Nonce::assume_unique_for_key(iv)
}

/// RFC 3711 section 4.1.1.
fn cm_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut iv = [0u8; 16];
    iv[..14].copy_from_slice(salt);
    for (at, octet) in ssrc.to_be_bytes().iter().enumerate() {
        iv[4 + at] ^= octet;
    }
    for (at, octet) in index.to_be_bytes()[2..].iter().enumerate() {
        iv[8 + at] ^= octet;
    }
    iv
}

fn sha1_tag(auth: &hmac::Key, data: &[u8], roc: Option<u32>) -> [u8; SHA1_TAG] {
    let mut mac = hmac::Context::with_key(auth);
    mac.update(data);
    if let Some(roc) = roc {
        mac.update(&roc.to_be_bytes());
    }
    let full = mac.sign();
    let mut tag = [0u8; SHA1_TAG];
    tag.copy_from_slice(&full.as_ref()[..SHA1_TAG]);
    tag
}

fn same(ours: &[u8], theirs: &[u8]) -> bool {
    ours.len() == theirs.len()
        && ours
            .iter()
            .zip(theirs)
            .fold(0u8, |acc, (a, b)| acc | (a ^ b))
            == 0
}

impl Protection {
    /// Derive session keys from a master key.
    ///
    /// # Errors
    /// `BadKey` when the salt does not fit the profile.
    pub fn new(profile: Profile, master: &MasterKey) -> Result<Self, BadKey> {
        if master.salt.len() != profile.salt_len() {
            return Err(BadKey);
        }
        Ok(Protection {
            rtp: Cipher::new(profile, master, 0)?,
            rtcp: Cipher::new(profile, master, label::RTCP)?,
            profile,
        })
    }

    /// Octets a protected RTP packet is longer than a plain one.
    pub const fn rtp_overhead(&self) -> usize {
        match self.profile {
            Profile::AeadAes128Gcm => GCM_TAG,
            Profile::Aes128CmHmacSha1_80 => SHA1_TAG,
        }
    }

    /// Protect the packet that starts at `start` in `out` and ends where `out` ends.
    ///
    /// `index` is the 48-bit packet index, never used twice with this key and SSRC except to
    /// repeat a packet octet for octet.
    pub fn seal_rtp(
        &self,
        out: &mut Vec<u8>,
        start: usize,
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), Rejected> {
        let packet = out.get_mut(start..).ok_or(Rejected)?;
        if packet.len() < header_len {
            return Err(Rejected);
        }
        let (header, body) = packet.split_at_mut(header_len);
        match &self.rtp {
            Cipher::Gcm { key, salt } => {
                let nonce = gcm_nonce(salt, ssrc, index);
                let tag = key
                    .seal_in_place_separate_tag(nonce, Aad::from(&*header), body)
                    .map_err(|_| Rejected)?;
                out.extend_from_slice(tag.as_ref());
            }
            Cipher::Cm { key, salt, auth } => {
                ctr_apply(key, cm_iv(salt, ssrc, index), body)?;
                let tag = sha1_tag(auth, packet, Some((index >> 16) as u32));
                out.extend_from_slice(&tag);
            }
        }
        Ok(())
    }

    /// Authenticate and decrypt in place.  Returns the length without the tag.
    ///
    /// # Errors
    /// `Rejected` when the tag is not ours; `data` may then be garbled.
    pub fn open_rtp(
        &self,
        data: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, Rejected> {
        let plain = data
            .len()
            .checked_sub(self.rtp_overhead())
            .ok_or(Rejected)?;
        if plain < header_len {
            return Err(Rejected);
        }
        match &self.rtp {
            Cipher::Gcm { key, salt } => {
                let (header, body) = data.split_at_mut(header_len);
                let nonce = gcm_nonce(salt, ssrc, index);
                key.open_in_place(nonce, Aad::from(&*header), body)
                    .map_err(|_| Rejected)?;
            }
            Cipher::Cm { key, salt, auth } => {
                let (packet, tag) = data.split_at_mut(plain);
                if !same(&sha1_tag(auth, packet, Some((index >> 16) as u32)), tag) {
                    return Err(Rejected);
                }
                ctr_apply(key, cm_iv(salt, ssrc, index), &mut packet[header_len..])?;
            }
        }
        Ok(plain)
    }

    /// Protect a whole compound RTCP packet; `index` is below 2^31 and used once.
    pub fn seal_rtcp(&self, out: &mut Vec<u8>, index: u32) -> Result<(), Rejected> {
        let ssrc = rtcp_ssrc(out).ok_or(Rejected)?;
        let word = (index | ENCRYPTED).to_be_bytes();
        let (header, body) = out.split_at_mut(RTCP_HEADER);
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let nonce = gcm_nonce(salt, ssrc, u64::from(index));
                let tag = key
                    .seal_in_place_separate_tag(nonce, Aad::from(rtcp_aad(header, &word)), body)
                    .map_err(|_| Rejected)?;
                out.extend_from_slice(tag.as_ref());
                out.extend_from_slice(&word);
            }
            Cipher::Cm { key, salt, auth } => {
                ctr_apply(key, cm_iv(salt, ssrc, u64::from(index)), body)?;
                out.extend_from_slice(&word);
                let tag = sha1_tag(auth, out, None);
                out.extend_from_slice(&tag);
            }
        }
        Ok(())
    }

    /// Authenticate and decrypt in place.  Returns (length of the plain packet, SSRC, index).
    ///
    /// # Errors
    /// `Rejected` when the packet is short, not encrypted, or its tag is not ours.
    pub fn open_rtcp(&self, data: &mut [u8]) -> Result<(usize, u32, u32), Rejected> {
        let ssrc = rtcp_ssrc(data).ok_or(Rejected)?;
        let overhead = self.rtp_overhead() + INDEX_WORD;
        let plain = data.len().checked_sub(overhead).ok_or(Rejected)?;
        if plain < RTCP_HEADER {
            return Err(Rejected);
        }
        let word_at = match self.profile {
            Profile::AeadAes128Gcm => data.len() - INDEX_WORD,
            Profile::Aes128CmHmacSha1_80 => plain,
        };
        let word: [u8; INDEX_WORD] = data[word_at..word_at + INDEX_WORD]
            .try_into()
            .map_err(|_| Rejected)?;
        let flagged = u32::from_be_bytes(word);
        if flagged & ENCRYPTED == 0 {
            return Err(Rejected);
        }
        let index = flagged & !ENCRYPTED;
        self.open_rtcp_body(data, plain, &word, ssrc, index)?;
        Ok((plain, ssrc, index))
    }

    fn open_rtcp_body(
        &self,
        data: &mut [u8],
        plain: usize,
        word: &[u8; INDEX_WORD],
        ssrc: u32,
        index: u32,
    ) -> Result<(), Rejected> {
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let sealed_end = data.len() - INDEX_WORD;
                let (header, body) = data[..sealed_end].split_at_mut(RTCP_HEADER);
                let nonce = gcm_nonce(salt, ssrc, u64::from(index));
                key.open_in_place(nonce, Aad::from(rtcp_aad(header, word)), body)
                    .map_err(|_| Rejected)?;
            }
            Cipher::Cm { key, salt, auth } => {
                let (signed, tag) = data.split_at_mut(plain + INDEX_WORD);
                if !same(&sha1_tag(auth, signed, None), tag) {
                    return Err(Rejected);
                }
                let iv = cm_iv(salt, ssrc, u64::from(index));
                ctr_apply(key, iv, &mut signed[RTCP_HEADER..plain])?;
            }
        }
        Ok(())
    }
}

fn rtcp_ssrc(data: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(
        data.get(4..RTCP_HEADER)?.try_into().ok()?,
    ))
}

fn rtcp_aad(header: &[u8], word: &[u8; INDEX_WORD]) -> [u8; RTCP_HEADER + INDEX_WORD] {
    let mut aad = [0u8; RTCP_HEADER + INDEX_WORD];
    aad[..RTCP_HEADER].copy_from_slice(&header[..RTCP_HEADER]);
    aad[RTCP_HEADER..].copy_from_slice(word);
    aad
}

const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;

/// Indices already seen, over the last 1024.
///
/// Source: RFC 3711 section 3.3.2.
#[derive(Clone, Debug, Default)]
pub struct ReplayWindow {
    highest: Option<u64>,
    bits: [u64; WORDS],
}

impl ReplayWindow {
    /// A window in which everything up to `highest` has been seen.
    pub fn after(highest: u64) -> Self {
        ReplayWindow {
            highest: Some(highest),
            bits: [u64::MAX; WORDS],
        }
    }

    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Whether `index` may still be accepted.
    pub fn fresh(&self, index: u64) -> bool {
        match self.highest {
            None => true,
            Some(highest) if index > highest => true,
            Some(highest) => highest - index < WINDOW && !self.seen(index),
        }
    }

    fn seen(&self, index: u64) -> bool {
        self.bits[(index % WINDOW / 64) as usize] & (1 << (index % 64)) != 0
    }

    /// Record an index that authenticated.
    pub fn accept(&mut self, index: u64) {
        let from = match self.highest {
            Some(highest) if index <= highest => None,
            Some(highest) => Some(highest + 1),
            None => Some(index),
        };
        if let Some(from) = from {
            self.forget(from, index);
            self.highest = Some(index);
        }
        self.bits[(index % WINDOW / 64) as usize] |= 1 << (index % 64);
    }

    fn forget(&mut self, from: u64, to: u64) {
        if to - from >= WINDOW {
            self.bits = [0; WORDS];
            return;
        }
        for index in from..=to {
            self.bits[(index % WINDOW / 64) as usize] &= !(1 << (index % 64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const PROFILES: [Profile; 2] = [Profile::AeadAes128Gcm, Profile::Aes128CmHmacSha1_80];

    fn protection(profile: Profile, seed: u8) -> Protection {
        let master = MasterKey {
            key: [seed; 16],
            salt: vec![seed ^ 0x55; profile.salt_len()],
        };
        Protection::new(profile, &master).expect("key fits")
    }

    /// RFC 3711 appendix B.3.
    #[test]
    fn session_keys_match_the_vectors_of_rfc_3711() {
        let master = MasterKey {
            key: [
                0xE1, 0xF9, 0x7A, 0x0D, 0x3E, 0x01, 0x8B, 0xE0, 0xD6, 0x4F, 0xA3, 0x2C, 0x06, 0xDE,
                0x41, 0x39,
            ],
            salt: vec![
                0x0E, 0xC6, 0x75, 0xAD, 0x49, 0x8A, 0xFE, 0xEB, 0xB6, 0x96, 0x0B, 0x3A, 0xAB, 0xE6,
            ],
        };
        let mut key = [0u8; 16];
        derive(&master, label::ENCRYPTION, &mut key).expect("derives");
        assert_eq!(key[..4], [0xC6, 0x1E, 0x7A, 0x93]);
        let mut salt = [0u8; 14];
        derive(&master, label::SALT, &mut salt).expect("derives");
        assert_eq!(salt[..4], [0x30, 0xCB, 0xBC, 0x08]);
        let mut auth = [0u8; 20];
        derive(&master, label::AUTHENTICATION, &mut auth).expect("derives");
        assert_eq!(auth[..4], [0xCE, 0xBE, 0x32, 0x1F]);
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_once_and_no_changed_octet_opens(gcm: bool, index in 0u64..1 << 48,
                payload in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..300, bit in 0u8..8) {
            let profile = PROFILES[usize::from(gcm)];
            let keys = protection(profile, 1);
            let mut packet = vec![0x80; 12];
            packet.extend_from_slice(&payload);
            keys.seal_rtp(&mut packet, 0, 12, 7, index).expect("seals");
            let mut changed = packet.clone();
            let at = at % changed.len();
            changed[at] ^= 1 << bit;
            prop_assert_eq!(keys.open_rtp(&mut changed, 12, 7, index), Err(Rejected));
            prop_assert_eq!(protection(profile, 2).open_rtp(&mut packet.clone(), 12, 7, index), Err(Rejected));
            let plain = keys.open_rtp(&mut packet, 12, 7, index).expect("opens");
            prop_assert_eq!(&packet[12..plain], &payload[..]);
        }

        #[test]
        fn rtcp_opens_with_its_index_and_random_octets_do_not(gcm: bool, index in 0u32..1 << 31,
                body in proptest::collection::vec(any::<u8>(), 0..100), junk in proptest::collection::vec(any::<u8>(), 0..100)) {
            let keys = protection(PROFILES[usize::from(gcm)], 1);
            let mut packet = vec![0x80, 201, 0, 1, 0, 0, 0, 9];
            packet.extend_from_slice(&body);
            let before = packet.clone();
            keys.seal_rtcp(&mut packet, index).expect("seals");
            let (plain, ssrc, found) = keys.open_rtcp(&mut packet).expect("opens");
            prop_assert_eq!((&packet[..plain], ssrc, found), (&before[..], 9, index));
            prop_assert_eq!(keys.open_rtcp(&mut junk.clone()), Err(Rejected));
        }

        #[test]
        fn the_replay_window_agrees_with_a_set(steps in proptest::collection::vec(0u64..3000, 1..300)) {
            let mut window = ReplayWindow::default();
            let mut seen = HashSet::new();
            for index in steps {
                let highest = window.highest().unwrap_or(0);
                let fresh = !seen.contains(&index) && index + WINDOW > highest;
                prop_assert_eq!(window.fresh(index), fresh);
                if fresh {
                    window.accept(index);
                    seen.insert(index);
                }
            }
        }
    }
}
