//! The templates of a dependency descriptor (AV1 RTP payload specification, appendix A.8): which
//! decode targets there are, and which of a stream's frames each needs.

use crate::bits::Bits;
use crate::place::{highest, target, ALL, TOP};

const MAX_TEMPLATES: usize = 64;
const MAX_TARGETS: usize = 32;
const MAX_SPATIAL: u8 = 3;
const MAX_TEMPORAL: u8 = 7;
/// Frames a template or a frame may refer to.
const MAX_REFERENCES: usize = 8;

/// Decode target indications (table A.1).
pub(crate) const NOT_PRESENT: u32 = 0;
pub(crate) const SWITCH: u32 = 2;

/// One template, or what one frame says instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    pub spatial: u8,
    temporal: u8,
    /// An indication of two bits for each decode target.
    pub indications: Vec<u8>,
    /// Distances back to the frames it refers to.
    pub references: Vec<u16>,
}

/// What the templates of a coded video sequence say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Structure {
    offset: u8,
    pub targets: usize,
    templates: Vec<Template>,
    chains: u32,
    /// The bit of each decode target (`place`).
    bits: Vec<u16>,
    pub offered: u16,
    pub nested: bool,
    /// Lines of each spatial layer; 0: unsaid.
    pub heights: [u16; 4],
}

impl Structure {
    pub fn read(bits: &mut Bits<'_>) -> Option<Structure> {
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

    /// For each target of ours the decode targets whose every frame its viewers are sent.
    pub fn shown(&self) -> [u32; 16] {
        let mut viewers = vec![ALL; self.targets];
        for template in &self.templates {
            let needed = self.set(template, |i| i != NOT_PRESENT);
            let each = template.indications.iter().zip(&mut viewers);
            each.filter(|(indication, _)| u32::from(**indication) != NOT_PRESENT)
                .for_each(|(_, viewers)| *viewers &= needed);
        }
        let decodes = |bit: usize| {
            let each = viewers.iter().enumerate();
            each.filter(|(_, viewers)| **viewers >> bit & 1 == 1)
                .fold(0, |set, (at, _)| set | 1 << at)
        };
        std::array::from_fn(decodes)
    }

    /// The template of this number, 0..=63.
    pub fn template(&self, id: u8) -> Option<&Template> {
        self.templates
            .get(usize::from((id + 64 - self.offset) % 64))
    }

    /// The targets whose indication fits, and the top one's bit for those who have everything.
    pub fn set(&self, template: &Template, fits: impl Fn(u32) -> bool) -> u16 {
        let each = template.indications.iter().zip(&self.bits);
        let set = each
            .filter(|(indication, _)| fits(u32::from(**indication)))
            .fold(0, |set, (_, bit)| set | bit);
        let top = 1 << self.offered.checked_ilog2().unwrap_or(0);
        set | if set & top != 0 { TOP } else { 0 }
    }
}

pub(crate) fn indications(bits: &mut Bits<'_>, targets: usize) -> Option<Vec<u8>> {
    (0..targets)
        .map(|_| bits.take(2).map(|i| i as u8))
        .collect()
}

/// Distances of 4, 8 or 12 bits, each behind its size.
pub(crate) fn references(bits: &mut Bits<'_>) -> Option<Vec<u16>> {
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
