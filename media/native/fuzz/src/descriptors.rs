//! What switching reads of a picture's payload.

use dataplane::av1::{self, Aggregation, Unit};
use dataplane::cache::{Cache, Packet};
use dataplane::dependency::{self, Tracker};
use dataplane::descriptor::Descriptor;
use dataplane::ext::Kept;
use dataplane::keyframe;
use dataplane::place::Place;
use dataplane::telling::{Dependency, Listener};
use dataplane::vp8::Vp8;
use dataplane::vp9::{self, Vp9};
use dataplane::Codec;

/// The first four octets say by how much numbers are shifted; the picture itself stays.
pub fn vp8(data: &[u8]) {
    shifted(data, |payload| {
        let found = Vp8::parse(payload)?;
        found.place();
        Some((found.descriptor, found.keyframe_start))
    });
}

/// The same of VP9, and the heights in its frame headers.
pub fn vp9(data: &[u8]) {
    vp9::height(data);
    shifted(data, |payload| {
        let found = Vp9::parse(payload)?;
        found.place();
        Some((found.descriptor, found.keyframe_start()))
    });
}

fn shifted(data: &[u8], parse: impl Fn(&[u8]) -> Option<(Descriptor, bool)>) {
    let Some((shift, payload)) = data.split_first_chunk::<4>() else {
        return;
    };
    let Some((found, key)) = parse(payload) else {
        return;
    };
    let len = usize::from(found.len);
    assert!(len <= payload.len());
    let (picture, tl0) = (u16::from_be_bytes([shift[0], shift[1]]), shift[2]);
    let mut out = vec![shift[3]];
    found.rewrite(payload, picture, tl0, &mut out);
    assert_eq!(out.remove(0), shift[3]);
    let (again, key_again) = parse(&out).expect("what we write we read");
    let moved = |p: u16| p.wrapping_add(picture) & 0x7FFF;
    assert_eq!(again.picture, found.picture.map(moved));
    assert_eq!(again.tl0, found.tl0.map(|t| t.wrapping_add(tl0)));
    assert_eq!(key_again, key);
    assert_eq!(out[usize::from(again.len)..], payload[len..]);
}

/// Payloads, each after its length, added to one temporal unit: it never outgrows what came.
pub fn av1(data: &[u8]) {
    let mut unit = Unit::default();
    let (mut rest, mut taken) = (data, 0);
    while let Some((&length, after)) = rest.split_first() {
        let (payload, after) = after.split_at(after.len().min(usize::from(length)));
        Aggregation::parse(payload);
        av1::height(payload);
        if unit.add(payload).is_none() {
            return;
        }
        taken += payload.len();
        rest = after;
    }
    if let Some(frame) = unit.finish() {
        // Every element gets a length of at most eight octets, and the unit its delimiter.
        assert!(frame.len() <= 9 * taken + 2, "{} of {taken}", frame.len());
    }
}

/// Descriptors, each after its length, in order: what is read later depends on what came before.
pub fn dependency(data: &[u8]) {
    let mut tracker = Tracker::default();
    let mut rest = data;
    for index in 0u64.. {
        let Some((&length, after)) = rest.split_first() else {
            break;
        };
        let (descriptor, after) = after.split_at(after.len().min(usize::from(length)));
        let number = dependency::frame_number(descriptor);
        assert_eq!(number.is_some(), descriptor.len() >= 3);
        dependency::brings_structure(descriptor);
        let placed = tracker.place(descriptor, (index, index as u32 / 4));
        let (place, layout) = placed.unzip();
        if let Some(place) = place {
            assert!(number.is_some());
            place.turn(place.offered, place.needed);
        }
        let dependency = Dependency::new(descriptor, layout);
        for bit in 0..16 {
            let who = Listener {
                delta: 7,
                mask: 1 << bit,
                told_less: bit % 2 == 0,
            };
            let told = dependency.tell(who);
            let renumbered = told.and_then(|told| dependency::frame_number(told.octets()));
            assert_eq!(renumbered, number.map(|number| number.wrapping_add(7)));
        }
        tracker.heights();
        rest = after;
    }
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
        let begins = keyframe::h264_starts(payload, false);
        let with_parameters = keyframe::h264_starts(payload, true);
        assert!(begins || !with_parameters);
        assert_eq!(with_parameters, keyframe::h264_has_sps(payload));
        keyframe::h264_height(payload);
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
        place: Place::default(),
        descriptor: None,
        dependency: None,
        payload: Vec::new(),
    }
}
