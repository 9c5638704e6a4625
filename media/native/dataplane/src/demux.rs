//! What a datagram is, by its first octets.

/// Classes of RFC 7983, with RTP and RTCP told apart as in RFC 5761.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    /// A first octet that belongs to no protocol we speak.
    Unknown,
    /// Too short to be what its first octet says.
    Short,
}

const STUN_HEADER: usize = 20;
const DTLS_HEADER: usize = 13;
const RTP_HEADER: usize = 12;
const RTCP_HEADER: usize = 8;

/// Classify a datagram of any length, zero included.
///
/// Source: RFC 7983 section 7, RFC 5761 section 4.
pub fn classify(data: &[u8]) -> Class {
    let Some(&first) = data.first() else {
        return Class::Short;
    };
    let (class, least) = match first {
        0..=3 => (Class::Stun, STUN_HEADER),
        20..=63 => (Class::Dtls, DTLS_HEADER),
        128..=191 => match data.get(1) {
            Some(192..=223) => (Class::Rtcp, RTCP_HEADER),
            _ => (Class::Rtp, RTP_HEADER),
        },
        _ => return Class::Unknown,
    };
    if data.len() < least {
        Class::Short
    } else {
        class
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_octet_and_every_short_length_has_a_class() {
        for first in 0..=255u8 {
            for len in 0..=24usize {
                let data = vec![first; len];
                let class = classify(&data);
                if len == 0 {
                    assert_eq!(class, Class::Short);
                }
                if class == Class::Stun {
                    assert!(first < 4 && len >= STUN_HEADER);
                }
            }
        }
    }

    #[test]
    fn rtcp_is_told_from_rtp_by_the_second_octet() {
        assert_eq!(classify(&[0x80; 12]), Class::Rtp);
        let mut report = [0u8; 12];
        report[0] = 0x80;
        report[1] = 200;
        assert_eq!(classify(&report), Class::Rtcp);
        report[1] = 96 | 0x80;
        assert_eq!(classify(&report), Class::Rtp);
    }
}
