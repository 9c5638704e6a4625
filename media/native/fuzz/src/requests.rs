//! STUN.

use dataplane::stun::{integrity_key, mapped_address, Builder, Message, BINDING_REQUEST, MAGIC};

const FINGERPRINT_XOR: u32 = 0x5354_554E;

/// As it is, as attributes of an otherwise right message, and as what we ourselves write.
pub fn stun(data: &[u8]) {
    read(data);
    read(&fingerprinted(data));
    ours(data);
}

fn read(data: &[u8]) {
    if let Ok(message) = Message::parse(data) {
        assert!(data.len() >= 20 && data.len() % 4 == 0);
        assert!(!message.authentic(&integrity_key("nobody's password")));
        mapped_address(&message);
        if let (Some((receiver, sender)), Some(name)) = (message.ufrags(), message.username) {
            assert_eq!(receiver.len() + 1 + sender.len(), name.len());
        }
    }
}

/// `attributes` between a header and a fingerprint that fit them (RFC 8489 section 14.7).
fn fingerprinted(attributes: &[u8]) -> Vec<u8> {
    let attributes = &attributes[..attributes.len().min(1_000) / 4 * 4];
    let length = attributes.len() as u16 + 8;
    let mut message = BINDING_REQUEST.to_be_bytes().to_vec();
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(&MAGIC.to_be_bytes());
    message.extend_from_slice(&[7; 12]);
    message.extend_from_slice(attributes);
    let check = crc32fast::hash(&message) ^ FINGERPRINT_XOR;
    message.extend_from_slice(&[0x80, 0x28, 0, 4]);
    message.extend_from_slice(&check.to_be_bytes());
    message
}

/// What we sign is authentic until one octet of it changes.
fn ours(data: &[u8]) {
    let Some((transaction, rest)) = data.split_first_chunk::<12>() else {
        return;
    };
    let key = integrity_key("a password");
    let name: String = rest
        .iter()
        .map(|octet| char::from(b'a' + octet % 26))
        .collect();
    let name = &name[..name.len().min(256)];
    let mut message = Builder::new(BINDING_REQUEST, transaction)
        .username(name, "them")
        .priority(u32::from(transaction[0]))
        .finish(&key);
    let parsed = Message::parse(&message).expect("what we write we read");
    assert!(parsed.authentic(&key));
    assert_eq!(parsed.ufrags(), Some((name, "them")));
    let at = usize::from(transaction[1]) % message.len();
    message[at] ^= 1 << (transaction[2] % 8);
    assert!(Message::parse(&message).is_err(), "the fingerprint tells");
}
