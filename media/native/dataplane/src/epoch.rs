//! A stretch of consecutive numbers that a slot took from one feed.

use crate::telling::Listener;
use crate::types::Micros;

/// A stretch during which the sink was fed from one layer of one source with fixed offsets.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// Id and slab key of the source.
    pub source: u32,
    pub source_key: usize,
    pub layer: usize,
    pub first_in: u64,
    pub first_out: u64,
    pub timestamp_delta: u32,
    pub picture_delta: u16,
    pub tl0_delta: u8,
    /// Added to the frame number of a dependency descriptor.
    pub frame_delta: u16,
    /// The target that is sent (`place`).
    pub mask: u16,
    /// Its viewer was told of fewer targets since the last key frame (`telling`).
    pub told_less: bool,
    /// Its time is that of packets which come so much later: a picture sent slowly.
    pub late_us: Micros,
}

impl Epoch {
    /// Outgoing index of a packet of this spell; `None` when it is older than the spell.
    pub fn out(&self, index: u64) -> Option<u64> {
        Some(self.first_out + index.checked_sub(self.first_in)?)
    }

    /// What the viewer of this spell is told by a dependency descriptor.
    pub fn listener(&self) -> Listener {
        Listener {
            delta: self.frame_delta,
            mask: self.mask,
            told_less: self.told_less,
        }
    }

    pub fn incoming(&self, out: u64) -> Option<u64> {
        Some(self.first_in + out.checked_sub(self.first_out)?)
    }
}
