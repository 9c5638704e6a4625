//! A dependency descriptor as one viewer is to read it (AV1 RTP payload specification, appendix A).
//!
//! A viewer that is sent less than there is must not wait for the rest: section A.4 has it told
//! which decode targets it can decode.  It is told so in every packet, since any can be lost.  One
//! that is not sent the packet that brought the templates gets them with the first it is sent.

use std::sync::Arc;

use crate::bits::{Bits, Pen};
use crate::dependency::{frame_number, MANDATORY};

/// Bits of the mandatory fields, and of the flags behind them.
const MANDATORY_BITS: u32 = 8 * MANDATORY as u32;
const FLAGS: u32 = 5;

/// What the templates mean for viewers, and the descriptor that brought them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct View {
    pub octets: Box<[u8]>,
    /// The bits of it that the templates take: from, and up to.
    pub templates: (u32, u32),
    /// Decode targets, 1..=32.
    pub targets: u32,
    /// For each target of ours (`place`) the decode targets its viewers can decode, bit 0 the first.
    pub shown: [u32; 16],
}

impl View {
    /// Every decode target.
    pub fn all(&self) -> u32 {
        u32::MAX >> (32 - self.targets.clamp(1, 32))
    }

    fn shown(&self, mask: u16) -> u32 {
        let bit = mask.trailing_zeros() as usize;
        self.shown.get(bit).copied().unwrap_or(0)
    }
}

/// Where the parts of a descriptor are, and what held when it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    pub view: Arc<View>,
    /// Whether it brought them.
    pub brings: bool,
    /// Its three flags for what the frame says instead of its template.
    pub custom: u32,
    /// Bit behind the flags and all that they announce but the frame's own: that begins here.
    pub frame: u32,
    /// Decode targets that there are, as the sender says.
    pub active: u32,
    /// In the picture that brought the templates, on the first packet of a frame: the targets whose
    /// viewers were sent an earlier frame of it.
    pub after: Option<u16>,
}

/// A descriptor as it came; without a layout it is passed on so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    octets: Box<[u8]>,
    layout: Option<Layout>,
}

/// What one viewer is told besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    /// Added to the frame number.
    pub delta: u16,
    /// The target it is sent (`place`).
    pub mask: u16,
    /// It was told of fewer targets since the last key frame.
    pub told_less: bool,
}

impl Dependency {
    pub fn new(octets: &[u8], layout: Option<Layout>) -> Self {
        Dependency {
            octets: octets.into(),
            layout,
        }
    }

    /// As it came.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The number of its frame; `None` when it is too short to have one.
    pub fn frame(&self) -> Option<u16> {
        frame_number(&self.octets)
    }

    /// Write it for `who`: 3..=255 octets.  `None` when there is no writing it.
    pub fn tell(&self, who: Listener) -> Option<Pen> {
        let number = self.frame()?.wrapping_add(who.delta);
        let told = self
            .layout
            .as_ref()
            .and_then(|l| self.retell(l, number, who));
        told.or_else(|| {
            let mut pen = self.start(number)?;
            let rest = self.octets.get(MANDATORY..)?;
            rest.iter().for_each(|octet| pen.put(u32::from(*octet), 8));
            pen.whole()
        })
    }

    /// The mandatory fields with another number.
    fn start(&self, number: u16) -> Option<Pen> {
        let mut pen = Pen::default();
        pen.put(u32::from(*self.octets.first()?), 8);
        pen.put(u32::from(number), 16);
        Some(pen)
    }

    /// With the targets this viewer can decode, and with templates if it has none; `None` when it
    /// can stay as it is.
    fn retell(&self, layout: &Layout, number: u16, who: Listener) -> Option<Pen> {
        let view = &layout.view;
        let lacks = !layout.brings && layout.after.is_some_and(|sent| sent & who.mask == 0);
        let shown = layout.active & view.shown(who.mask);
        let says = shown != view.all() || who.told_less;
        if shown == 0 || !says && !lacks {
            return None;
        }
        let mut pen = self.start(number)?;
        pen.put(u32::from(layout.brings || lacks), 1);
        pen.put(u32::from(says), 1);
        pen.put(layout.custom, 3);
        if layout.brings || lacks {
            let (from, to) = view.templates;
            pen.copy(&view.octets, from, to)?;
        }
        if says {
            pen.put(shown, view.targets);
        }
        let end = 8 * self.octets.len() as u32;
        pen.copy(&self.octets, layout.frame.min(end), end)?;
        pen.whole()
    }
}

impl Layout {
    /// Read the flags of an extended descriptor: (structure, bitmask, the three custom ones).
    pub fn flags(octets: &[u8]) -> Option<(Bits<'_>, bool, bool, u32)> {
        let mut bits = Bits::new(octets);
        bits.skip(MANDATORY_BITS)?;
        if octets.len() <= MANDATORY {
            return Some((bits, false, false, 0));
        }
        let flags = bits.take(FLAGS)?;
        Some((bits, flags & 16 != 0, flags & 8 != 0, flags & 7))
    }
}
