//! Python's words turned into the engine's types, each with its range.

use std::net::{IpAddr, SocketAddr};

use dataplane::ext::Extension;
use dataplane::{Codec, Credentials, Kind, Path, Profile};

use crate::registry::Wrong;

const MAX_TOKEN: usize = 256;
const MAX_MID: usize = 32;
const MAX_LAYERS: usize = 8;

pub fn kind(word: &str) -> Result<Kind, Wrong> {
    match word {
        "audio" => Ok(Kind::Audio),
        "video" => Ok(Kind::Video),
        _ => Err(format!("kind {word:?}: not audio or video")),
    }
}

pub fn codec(word: &str) -> Result<Codec, Wrong> {
    match word {
        "opus" => Ok(Codec::Opus),
        "vp8" => Ok(Codec::Vp8),
        "h264" => Ok(Codec::H264),
        "vp9" => Ok(Codec::Vp9),
        "av1" => Ok(Codec::Av1),
        _ => Err(format!("codec {word:?}: not opus, vp8, h264, vp9 or av1")),
    }
}

pub fn profile(word: &str) -> Result<Profile, Wrong> {
    match word {
        "AEAD_AES_128_GCM" => Ok(Profile::AeadAes128Gcm),
        "AES128_CM_HMAC_SHA1_80" => Ok(Profile::Aes128CmHmacSha1_80),
        _ => Err(format!("profile {word:?}: unknown")),
    }
}

pub fn extension((word, id): &(String, i64)) -> Result<(Extension, u8), Wrong> {
    let extension = match word.as_str() {
        "mid" => Extension::Mid,
        "rid" => Extension::Rid,
        "repaired_rid" => Extension::RepairedRid,
        "audio_level" => Extension::AudioLevel,
        "abs_send_time" => Extension::AbsSendTime,
        "twcc" => Extension::Twcc,
        "video_orientation" => Extension::VideoOrientation,
        "playout_delay" => Extension::PlayoutDelay,
        "dependency_descriptor" => Extension::DependencyDescriptor,
        _ => return Err(format!("extension {word:?}: unknown")),
    };
    match id {
        1..=14 | 16..=255 => Ok((extension, *id as u8)),
        _ => Err(format!("extension {word}: id {id} not in 1..14 or 16..255")),
    }
}

pub fn id(what: &str, value: i64) -> Result<u32, Wrong> {
    u32::try_from(value).map_err(|_| format!("{what} {value}: not in 0..4294967295"))
}

pub fn payload_type(value: i64) -> Result<u8, Wrong> {
    match value {
        0..=127 => Ok(value as u8),
        _ => Err(format!("payload type {value}: not in 0..127")),
    }
}

/// An ICE user fragment or password.
pub fn token(what: &str, text: &str) -> Result<(), Wrong> {
    let good = !text.is_empty()
        && text.len() <= MAX_TOKEN
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if good {
        Ok(())
    } else {
        Err(format!(
            "{what}: not 1..256 printable characters without colon"
        ))
    }
}

pub fn credentials(
    local_ufrag: String,
    local_pwd: String,
    remote_ufrag: String,
    remote_pwd: String,
) -> Result<Credentials, Wrong> {
    token("local_ufrag", &local_ufrag)?;
    token("local_pwd", &local_pwd)?;
    token("remote_ufrag", &remote_ufrag)?;
    token("remote_pwd", &remote_pwd)?;
    Ok(Credentials {
        local_ufrag,
        local_pwd,
        remote_ufrag,
        remote_pwd,
    })
}

pub fn mid(text: Option<&str>) -> Result<(), Wrong> {
    match text {
        Some(text) if text.is_empty() || text.len() > MAX_MID => {
            Err(format!("mid: {} octets, not 1..{MAX_MID}", text.len()))
        }
        _ => Ok(()),
    }
}

pub fn layers(rids: &[String], ssrcs: usize) -> Result<(), Wrong> {
    let bad = rids.iter().any(|r| r.is_empty() || r.len() > 16);
    if bad || rids.len() > MAX_LAYERS || ssrcs > MAX_LAYERS {
        return Err(format!(
            "more than {MAX_LAYERS} layers, or a rid not of 1..16 octets"
        ));
    }
    Ok(())
}

pub fn key(what: &str, key: &[u8]) -> Result<[u8; 16], Wrong> {
    key.try_into()
        .map_err(|_| format!("{what}: {} octets, not 16", key.len()))
}

pub fn salt(what: &str, salt: &[u8], profile: Profile) -> Result<Vec<u8>, Wrong> {
    if salt.len() == profile.salt_len() {
        Ok(salt.to_vec())
    } else {
        let wanted = profile.salt_len();
        Err(format!("{what}: {} octets, not {wanted}", salt.len()))
    }
}

pub fn ip(text: &str) -> Result<IpAddr, Wrong> {
    text.parse()
        .map_err(|_| format!("{text:?}: not an IPv4 or IPv6 address"))
}

/// The paths on which a candidate may be reached: from every socket of its family.
pub fn candidate((host, port): &(String, i64), sockets: &[SocketAddr]) -> Result<Vec<Path>, Wrong> {
    let port = u16::try_from(*port)
        .ok()
        .filter(|p| *p != 0)
        .ok_or_else(|| format!("candidate port {port}: not in 1..65535"))?;
    let peer = SocketAddr::new(ip(host)?, port);
    let reaches = |from: &SocketAddr| {
        from.is_ipv4() == peer.is_ipv4()
            && (from.ip().is_unspecified() || from.ip().is_loopback() == peer.ip().is_loopback())
    };
    let paths = sockets
        .iter()
        .enumerate()
        .filter(|(_, from)| reaches(from))
        .map(|(at, _)| Path {
            socket: at as u8,
            peer,
        });
    Ok(paths.collect())
}
