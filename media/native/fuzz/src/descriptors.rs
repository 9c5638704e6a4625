//! What switching reads of a picture's payload.

use dataplane::cache::{Cache, Packet};
use dataplane::ext::Kept;
use dataplane::keyframe;
use dataplane::vp8::Descriptor;
use dataplane::Codec;

/// The first four octets say by how much numbers are shifted; the picture itself stays.
pub fn vp8(data: &[u8]) {
    let Some((shift, payload)) = data.split_first_chunk::<4>() else {
        return;
    };
    let Some(found) = Descriptor::parse(payload) else {
        return;
    };
    let len = usize::from(found.len);
    assert!(len <= payload.len());
    let (picture, tl0) = (u16::from_be_bytes([shift[0], shift[1]]), shift[2]);
    let mut out = vec![shift[3]];
    found.rewrite(payload, picture, tl0, &mut out);
    assert_eq!(out.remove(0), shift[3]);
    let again = Descriptor::parse(&out).expect("what we write we read");
    let shifted = |p: u16| p.wrapping_add(picture) & 0x7FFF;
    assert_eq!(again.picture, found.picture.map(shifted));
    assert_eq!(again.tl0, found.tl0.map(|t| t.wrapping_add(tl0)));
    assert_eq!(again.keyframe_start, found.keyframe_start);
    assert_eq!(out[usize::from(again.len)..], payload[len..]);
}

/// Payloads, each after its length, as the packets of one frame.
pub fn h264(data: &[u8]) {
    let mut cache = Cache::new(64);
    let mut rest = data;
    let mut total = 0;
    for index in 0u64.. {
        let Some((&length, after)) = rest.split_first() else {
            break;
        };
        let (payload, after) = after.split_at(after.len().min(usize::from(length)));
        let begins = keyframe::starts(Codec::H264, payload, None, false);
        let with_parameters = keyframe::starts(Codec::H264, payload, None, true);
        assert!(begins || !with_parameters);
        assert_eq!(with_parameters, keyframe::h264_has_sps(payload));
        keyframe::height(Codec::H264, payload, None);
        cache.put(packet(index, after.is_empty()), payload);
        total += payload.len();
        rest = after;
    }
    if let Some((_, frame)) = keyframe::assemble(&cache, 0) {
        assert!(frame.len() <= 4 * total + 8 * data.len());
        assert!(frame.is_empty() || total > 0);
    }
}

fn packet(index: u64, marker: bool) -> Packet {
    Packet {
        index,
        timestamp: 9,
        arrived: 0,
        marker,
        codec: Codec::H264,
        keyframe_start: false,
        kept: Kept::default(),
        vp8: None,
        payload: Vec::new(),
    }
}
