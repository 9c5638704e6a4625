//! The dependency descriptor header extension (AV1 RTP payload specification, appendix A).
//!
//! A key frame brings templates; every packet names one.  They say which frame belongs to which
//! decode target, and from which frame on a target can be followed.

use std::sync::Arc;

use crate::bits::Bits;
use crate::place::{Place, ALL};
use crate::telling::{Layout, View};
use crate::templates::{indications, references, Structure, Template, NOT_PRESENT, SWITCH};

/// Frames whose place is remembered.
const FRAMES: usize = 64;
/// Octets of the mandatory fields: flags, template and frame number.
pub const MANDATORY: usize = 3;

/// The picture that brought the templates, as far as it has come.
#[derive(Clone, Copy, Debug, Default)]
struct First {
    timestamp: u32,
    /// Number of its newest frame, and the targets that need it, or that needed one before.
    number: u16,
    needed: u16,
    before: u16,
}

/// What is known of one stream's frames.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    structure: Option<Structure>,
    /// Index of the packet that brought it.
    since: u64,
    first: First,
    view: Arc<View>,
    /// Decode targets that the sender says there are.
    active: u32,
    /// (frame number, targets that need it), by the low bits of the number.
    frames: Vec<(u16, u16)>,
}

impl Tracker {
    /// Read a descriptor and say the place of its packet, whose index and timestamp are `at`, and
    /// how it is written for others; `None` when it is malformed or its templates are not known.
    pub fn place(&mut self, descriptor: &[u8], at: (u64, u32)) -> Option<(Place, Layout)> {
        let number = frame_number(descriptor)?;
        let head = *descriptor.first()?;
        let (first, last, id) = (head & 0x80 != 0, head & 0x40 != 0, head & 0x3F);
        let (mut bits, brings, explicit, custom) = Layout::flags(descriptor)?;
        if brings {
            self.learn(descriptor, &mut bits, at, number)?;
        }
        let structure = self.structure.as_ref()?;
        if explicit {
            self.active = bits.take(structure.targets as u32)?;
        }
        let begins = bits.position();
        let mut frame = structure.template(id)?.clone();
        if custom & 4 != 0 {
            frame.indications = indications(&mut bits, structure.targets)?;
        }
        if custom & 2 != 0 {
            frame.references = references(&mut bits)?;
        }
        let place = self.judge(&frame, number, first, last, brings)?;
        self.note(number, place.needed);
        let layout = Layout {
            view: self.view.clone(),
            brings,
            custom,
            frame: begins,
            active: self.active,
            after: self.follow(at.1, number, place.needed).filter(|_| first),
        };
        Some((place, layout))
    }

    /// Take new templates; `None` when they are malformed, or older than those there are.
    fn learn(
        &mut self,
        descriptor: &[u8],
        bits: &mut Bits<'_>,
        at: (u64, u32),
        number: u16,
    ) -> Option<()> {
        let from = bits.position();
        let brought = Structure::read(bits)?;
        if self.structure.is_some() && at.0 < self.since {
            return None;
        }
        let view = View {
            octets: descriptor.into(),
            templates: (from, bits.position()),
            targets: brought.targets as u32,
            shown: brought.shown(),
        };
        self.active = view.all();
        self.view = Arc::new(view);
        self.structure = Some(brought);
        self.since = at.0;
        self.first = First {
            timestamp: at.1,
            number,
            ..First::default()
        };
        self.frames.clear();
        Some(())
    }

    /// Follow the picture that brought the templates: the targets that needed a frame of it before
    /// this one; `None` in other pictures.
    fn follow(&mut self, timestamp: u32, number: u16, needed: u16) -> Option<u16> {
        if timestamp != self.first.timestamp {
            return None;
        }
        if number != self.first.number {
            self.first.before |= self.first.needed;
            self.first.number = number;
        }
        self.first.needed = needed;
        Some(self.first.before)
    }

    fn judge(
        &self,
        frame: &Template,
        number: u16,
        first: bool,
        last: bool,
        key: bool,
    ) -> Option<Place> {
        let structure = self.structure.as_ref()?;
        let back = |distance: &u16| self.needed(number.wrapping_sub(*distance));
        let reach = frame
            .references
            .iter()
            .map(back)
            .fold(ALL, |all, one| all & one);
        let row = 0xF << (4 * u16::from(frame.spatial.min(3)));
        Some(Place {
            needed: structure.set(frame, |i| i != NOT_PRESENT),
            switch: if key {
                ALL
            } else {
                structure.set(frame, |i| i == SWITCH)
            },
            reach: if key { ALL } else { reach },
            ends: if last { row } else { 0 },
            offered: structure.offered,
            starts: first && frame.spatial == 0,
            across: true,
            nested: structure.nested,
        })
    }

    /// The targets that needed a frame; none when it is not remembered.
    fn needed(&self, number: u16) -> u16 {
        let at = usize::from(number) % FRAMES;
        let known = self.frames.get(at).filter(|(known, _)| *known == number);
        known.map_or(0, |(_, needed)| *needed)
    }

    fn note(&mut self, number: u16, needed: u16) {
        self.frames.resize(FRAMES, (0, 0));
        if let Some(place) = self.frames.get_mut(usize::from(number) % FRAMES) {
            *place = (number, needed);
        }
    }

    /// Whether whoever is sent a spatial layer is sent all below it.
    pub fn nested(&self) -> bool {
        self.structure.as_ref().is_none_or(|s| s.nested)
    }

    /// Lines of each spatial layer, as the newest templates say; 0: unsaid.
    pub fn heights(&self) -> [u16; 4] {
        self.structure.as_ref().map_or([0; 4], |s| s.heights)
    }
}

/// The number of a descriptor's frame.
pub fn frame_number(descriptor: &[u8]) -> Option<u16> {
    let octets = descriptor.get(1..MANDATORY)?.try_into().ok()?;
    Some(u16::from_be_bytes(octets))
}

/// Whether the descriptor brings templates: its frame starts a coded video sequence.
pub fn brings_structure(descriptor: &[u8]) -> bool {
    descriptor
        .get(MANDATORY)
        .is_some_and(|flags| flags & 0x80 != 0)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::place::{target, TOP};
    use crate::telling::{Dependency, Listener};
    use proptest::prelude::*;

    /// Writes descriptors bit by bit.
    #[derive(Default)]
    pub struct Writer {
        bits: Vec<bool>,
    }

    impl Writer {
        pub fn put(&mut self, value: u32, count: u32) -> &mut Self {
            (0..count)
                .rev()
                .for_each(|bit| self.bits.push(value >> bit & 1 == 1));
            self
        }

        pub fn octets(&self) -> Vec<u8> {
            let octet = |bits: &[bool]| {
                let sum = bits.iter().fold(0u8, |sum, bit| sum << 1 | u8::from(*bit));
                sum << (8 - bits.len())
            };
            self.bits.chunks(8).map(octet).collect()
        }
    }

    /// The key frame of one spatial and three temporal layers (L1T3), 640 x 360.
    fn l1t3() -> Vec<u8> {
        let mut out = Writer::default();
        out.put(0b11, 2).put(0, 6).put(100, 16).put(0b10000, 5);
        out.put(0, 6).put(2, 5);
        // Templates: key T0, T0, T1, T2, T2.
        out.put(0, 2).put(1, 2).put(1, 2).put(0, 2).put(3, 2);
        for dtis in ["SSS", "SSS", "-DS", "--D", "--D"] {
            for letter in dtis.chars() {
                out.put("-DSR".find(letter).expect("known") as u32, 2);
            }
        }
        for references in [&[][..], &[4], &[2], &[1], &[1]] {
            for back in references {
                out.put(1, 1).put(back - 1, 4);
            }
            out.put(0, 1);
        }
        // One chain of two possible counts below four, protecting all; then resolutions.
        out.put(0b01, 2).put(0, 0);
        for fdiff in [0, 4, 2, 1, 3] {
            out.put(fdiff, 4);
        }
        out.put(1, 1).put(639, 16).put(359, 16);
        out.octets()
    }

    fn packet(template: u32, number: u32) -> Vec<u8> {
        let mut out = Writer::default();
        out.put(0b11, 2).put(template, 6).put(number, 16);
        out.octets()
    }

    fn placed(tracker: &mut Tracker, descriptor: &[u8]) -> Option<Place> {
        tracker.place(descriptor, (0, 0)).map(|(place, _)| place)
    }

    #[test]
    fn three_temporal_layers_are_told_apart() {
        let mut tracker = Tracker::default();
        let key = placed(&mut tracker, &l1t3()).expect("parses");
        assert_eq!((key.offered, key.nested, key.reach), (0b111, true, ALL));
        assert_eq!(tracker.heights()[0], 360);
        assert!(brings_structure(&l1t3()));
        let highest = placed(&mut tracker, &packet(3, 101)).expect("known");
        assert_eq!(highest.needed, target(0, 2) | TOP);
        let middle = placed(&mut tracker, &packet(2, 102)).expect("known");
        assert_eq!(middle.needed, target(0, 1) | target(0, 2) | TOP);
        assert_eq!(middle.turn(target(0, 0), TOP), Some(TOP));
        assert_eq!(frame_number(&packet(2, 102)), Some(102));
    }

    #[test]
    fn a_frame_whose_reference_was_not_sent_is_no_place_to_switch() {
        let mut tracker = Tracker::default();
        placed(&mut tracker, &l1t3()).expect("parses");
        placed(&mut tracker, &packet(3, 103)).expect("known");
        // Refers to the frame before it, which viewers of layer 0 were not sent.
        let frame = placed(&mut tracker, &packet(4, 104)).expect("known");
        assert_eq!(frame.reach & target(0, 0), 0);
        assert_eq!(frame.turn(target(0, 0), target(0, 2)), None);
    }

    #[test]
    fn an_unknown_template_has_no_place() {
        let mut tracker = Tracker::default();
        assert_eq!(placed(&mut tracker, &packet(0, 1)), None);
        placed(&mut tracker, &l1t3()).expect("parses");
        assert_eq!(placed(&mut tracker, &packet(5, 1)), None);
    }

    proptest! {
        #[test]
        fn random_descriptors_never_panic(all in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..5)) {
            let mut tracker = Tracker::default();
            for (at, mut data) in (0u64..).zip(all) {
                let placed = tracker.place(&data, (at, at as u32 / 2));
                let told = Dependency::new(&data, placed.map(|(_, layout)| layout));
                for mask in [1, target(1, 0), TOP] {
                    let who = Listener { mask, delta: 1, told_less: at % 2 == 0 };
                    prop_assert_eq!(told.tell(who).is_some(), data.len() >= MANDATORY);
                }
                if let Some(flags) = data.get_mut(3) {
                    *flags |= 0x80;
                }
                tracker.place(&data, (0, 0));
                frame_number(&data);
            }
        }

        #[test]
        fn a_damaged_structure_never_panics(at in 0usize..60, octet: u8, cut in 0usize..60) {
            let mut data = l1t3();
            if let Some(place) = data.get_mut(at) {
                *place = octet;
            }
            data.truncate(cut.max(3));
            let mut tracker = Tracker::default();
            tracker.place(&data, (0, 0));
            placed(&mut tracker, &packet(1, 104));
        }
    }
}
