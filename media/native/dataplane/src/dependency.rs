//! The dependency descriptor header extension (AV1 RTP payload specification, appendix A).
//!
//! A key frame brings templates; every packet names one.  They say which frame belongs to which
//! decode target, and from which frame on a target can be followed.

use crate::bits::Bits;
use crate::place::{highest, target, Place, ALL, TOP};

/// The URI it is negotiated under says the same.
const MAX_TEMPLATES: usize = 64;
const MAX_TARGETS: usize = 32;
const MAX_SPATIAL: u8 = 3;
const MAX_TEMPORAL: u8 = 7;
/// Frames a template or a frame may refer to.
const MAX_REFERENCES: usize = 8;
/// Frames whose place is remembered.
const FRAMES: usize = 64;
/// Octets of the mandatory fields: flags, template and frame number.
pub const MANDATORY: usize = 3;

const NOT_PRESENT: u32 = 0;
const SWITCH: u32 = 2;

/// One template, or what one frame says instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Template {
    spatial: u8,
    temporal: u8,
    /// An indication of two bits for each decode target.
    indications: Vec<u8>,
    /// Distances back to the frames it refers to.
    references: Vec<u16>,
}

/// What the templates of a coded video sequence say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Structure {
    offset: u8,
    targets: usize,
    templates: Vec<Template>,
    chains: u32,
    /// The bit of each decode target (`place`).
    bits: Vec<u16>,
    offered: u16,
    nested: bool,
    /// Lines of each spatial layer; 0: unsaid.
    heights: [u16; 4],
}

impl Structure {
    fn read(bits: &mut Bits<'_>) -> Option<Structure> {
        let offset = bits.take(6)? as u8;
        let targets = bits.take(5)? as usize + 1;
        let mut found = Structure {
            offset,
            targets: targets.min(MAX_TARGETS),
            ..Structure::default()
        };
        found.read_layers(bits)?;
        for template in &mut found.templates {
            template.indications = indications(bits, targets)?;
        }
        for template in &mut found.templates {
            while bits.flag()? {
                let distance = bits.take(4)? as u16 + 1;
                if template.references.len() >= MAX_REFERENCES {
                    return None;
                }
                template.references.push(distance);
            }
        }
        found.read_chains(bits)?;
        found.describe_targets();
        if bits.flag()? {
            let most = found.templates.iter().map(|t| t.spatial).max()?;
            for spatial in 0..=usize::from(most) {
                bits.skip(16)?;
                let height = u16::try_from(bits.take(16)? + 1).unwrap_or(u16::MAX);
                if let Some(place) = found.heights.get_mut(spatial) {
                    *place = height;
                }
            }
        }
        Some(found)
    }

    fn read_layers(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let (mut spatial, mut temporal) = (0, 0);
        loop {
            self.templates.push(Template {
                spatial,
                temporal,
                ..Template::default()
            });
            match bits.take(2)? {
                0 => {}
                1 => temporal += 1,
                2 => (spatial, temporal) = (spatial + 1, 0),
                _ => return Some(()),
            }
            let bounded = spatial <= MAX_SPATIAL && temporal <= MAX_TEMPORAL;
            if !bounded || self.templates.len() >= MAX_TEMPLATES {
                return None;
            }
        }
    }

    /// Which chain protects which target, and where each template's chains were last: passed over.
    fn read_chains(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.chains = bits.below(self.targets as u32 + 1)?;
        if self.chains == 0 {
            return Some(());
        }
        for _ in 0..self.targets {
            bits.below(self.chains)?;
        }
        bits.skip(4 * self.chains * self.templates.len() as u32)
    }

    /// A decode target is as high as the highest template that is present in it.
    fn describe_targets(&mut self) {
        for at in 0..self.targets {
            let present = |t: &&Template| t.indications.get(at).is_some_and(|i| *i != 0);
            let inside = || self.templates.iter().filter(present);
            let spatial = inside().map(|t| t.spatial).max().unwrap_or(0);
            let temporal = inside().map(|t| t.temporal).max().unwrap_or(0);
            self.bits.push(target(spatial, temporal));
            self.offered |= target(spatial, temporal);
        }
        self.nested = self.templates.iter().all(|t| self.is_nested(t));
    }

    /// Whether a template needed by a target is needed by every one above it.
    fn is_nested(&self, template: &Template) -> bool {
        let needed = self.set(template, |i| i != NOT_PRESENT);
        let lowest = needed
            .checked_ilog2()
            .map_or(0, |_| needed.trailing_zeros()) as u8;
        let mut above = self.bits.iter().filter(|bit| {
            let (spatial, temporal) = highest(**bit);
            spatial >= lowest / 4 && temporal >= lowest % 4
        });
        above.all(|bit| needed & bit != 0)
    }

    /// The targets whose indication fits, and the top one's bit for those who have everything.
    fn set(&self, template: &Template, fits: impl Fn(u32) -> bool) -> u16 {
        let each = template.indications.iter().zip(&self.bits);
        let set = each
            .filter(|(indication, _)| fits(u32::from(**indication)))
            .fold(0, |set, (_, bit)| set | bit);
        let top = 1 << self.offered.checked_ilog2().unwrap_or(0);
        set | if set & top != 0 { TOP } else { 0 }
    }
}

fn indications(bits: &mut Bits<'_>, targets: usize) -> Option<Vec<u8>> {
    (0..targets)
        .map(|_| bits.take(2).map(|i| i as u8))
        .collect()
}

/// What is known of one stream's frames.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    structure: Option<Structure>,
    /// Index of the packet that brought it.
    since: u64,
    /// (frame number, targets that need it), by the low bits of the number.
    frames: Vec<(u16, u16)>,
}

impl Tracker {
    /// Read a descriptor and say the place of its packet, whose index is `index`; `None` when it is
    /// malformed or its templates are not known.
    pub fn place(&mut self, descriptor: &[u8], index: u64) -> Option<Place> {
        let mut bits = Bits::new(descriptor);
        let (first, last) = (bits.flag()?, bits.flag()?);
        let id = bits.take(6)? as u8;
        let number = bits.take(16)? as u16;
        let extended = descriptor.len() > MANDATORY;
        let mut flags = [false; 5];
        if extended {
            for flag in &mut flags {
                *flag = bits.flag()?;
            }
        }
        let [brings, active, dtis, differences, _] = flags;
        if brings {
            let brought = Structure::read(&mut bits)?;
            if self.structure.is_some() && index < self.since {
                return None;
            }
            self.structure = Some(brought);
            self.since = index;
            self.frames.clear();
        }
        let structure = self.structure.as_ref()?;
        if active {
            bits.skip(structure.targets as u32)?;
        }
        let at = usize::from((id + 64 - structure.offset) % 64);
        let mut frame = structure.templates.get(at)?.clone();
        if dtis {
            frame.indications = indications(&mut bits, structure.targets)?;
        }
        if differences {
            frame.references = references(&mut bits)?;
        }
        let place = self.judge(&frame, number, first, last, brings)?;
        self.note(number, place.needed);
        Some(place)
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

/// Distances of 4, 8 or 12 bits, each behind its size.
fn references(bits: &mut Bits<'_>) -> Option<Vec<u16>> {
    let mut found = Vec::new();
    loop {
        let size = bits.take(2)?;
        if size == 0 {
            return Some(found);
        }
        found.push(bits.take(4 * size)? as u16 + 1);
        if found.len() > MAX_REFERENCES {
            return None;
        }
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

    #[test]
    fn three_temporal_layers_are_told_apart() {
        let mut tracker = Tracker::default();
        let key = tracker.place(&l1t3(), 0).expect("parses");
        assert_eq!((key.offered, key.nested, key.reach), (0b111, true, ALL));
        assert_eq!(tracker.heights()[0], 360);
        assert!(brings_structure(&l1t3()));
        let highest = tracker.place(&packet(3, 101), 0).expect("known");
        assert_eq!(highest.needed, target(0, 2) | TOP);
        let middle = tracker.place(&packet(2, 102), 0).expect("known");
        assert_eq!(middle.needed, target(0, 1) | target(0, 2) | TOP);
        assert_eq!(middle.turn(target(0, 0), TOP), Some(TOP));
        assert_eq!(frame_number(&packet(2, 102)), Some(102));
    }

    #[test]
    fn a_frame_whose_reference_was_not_sent_is_no_place_to_switch() {
        let mut tracker = Tracker::default();
        tracker.place(&l1t3(), 0).expect("parses");
        tracker.place(&packet(3, 103), 0).expect("known");
        // Refers to the frame before it, which viewers of layer 0 were not sent.
        let frame = tracker.place(&packet(4, 104), 0).expect("known");
        assert_eq!(frame.reach & target(0, 0), 0);
        assert_eq!(frame.turn(target(0, 0), target(0, 2)), None);
    }

    #[test]
    fn an_unknown_template_has_no_place() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.place(&packet(0, 1), 0), None);
        tracker.place(&l1t3(), 0).expect("parses");
        assert_eq!(tracker.place(&packet(5, 1), 0), None);
    }

    proptest! {
        #[test]
        fn random_descriptors_never_panic(all in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..5)) {
            let mut tracker = Tracker::default();
            for mut data in all {
                tracker.place(&data, 0);
                if let Some(flags) = data.get_mut(3) {
                    *flags |= 0x80;
                }
                tracker.place(&data, 0);
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
            tracker.place(&data, 0);
            tracker.place(&packet(1, 104), 0);
        }
    }
}
