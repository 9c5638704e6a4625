//! The last packets of one layer, decrypted once and shared by everyone who receives it.

use crate::descriptor::Descriptor;
use crate::ext::Kept;
use crate::place::Place;
use crate::telling::Dependency;
use crate::types::{Codec, Micros};

/// A decrypted packet as it is kept: no header, no padding.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Unwrapped sequence number at the source.
    pub index: u64,
    pub timestamp: u32,
    pub arrived: Micros,
    pub marker: bool,
    pub codec: Codec,
    /// First packet of a key frame.
    pub keyframe_start: bool,
    pub kept: Kept,
    pub place: Place,
    /// Picture numbers of VP8 and VP9.
    pub descriptor: Option<Descriptor>,
    pub dependency: Option<Dependency>,
    pub payload: Vec<u8>,
}

impl Packet {
    /// The frame number of its dependency descriptor.
    pub fn frame(&self) -> Option<u16> {
        self.dependency.as_ref().and_then(Dependency::frame)
    }
}

/// Longest a packet is worth sending again.
pub const USEFUL_US: Micros = 2_000_000;

/// A ring indexed by the low part of the packet index; slots keep their buffers.
pub struct Cache {
    slots: Vec<Packet>,
    capacity: usize,
}

fn empty_slot() -> Packet {
    Packet {
        index: u64::MAX,
        timestamp: 0,
        arrived: 0,
        marker: false,
        codec: Codec::Opus,
        keyframe_start: false,
        kept: Kept::default(),
        place: Place::default(),
        descriptor: None,
        dependency: None,
        payload: Vec::new(),
    }
}

impl Cache {
    /// A cache that will hold up to `capacity` packets (at least 16) and starts empty.
    pub fn new(capacity: usize) -> Self {
        Cache {
            slots: Vec::new(),
            capacity: capacity.max(16),
        }
    }

    /// How many packets back the ring reaches.
    pub fn reach(&self) -> u64 {
        self.capacity as u64
    }

    fn slot_of(&self, index: u64) -> usize {
        (index % self.capacity as u64) as usize
    }

    /// Store a packet, taking over its slot's old buffer.  Returns the stored packet.
    pub fn put(&mut self, head: Packet, payload: &[u8]) -> &Packet {
        let at = self.slot_of(head.index);
        while self.slots.len() <= at {
            self.slots.push(empty_slot());
        }
        let slot = &mut self.slots[at];
        let mut buffer = std::mem::take(&mut slot.payload);
        buffer.clear();
        buffer.extend_from_slice(payload);
        *slot = Packet {
            payload: buffer,
            ..head
        };
        slot
    }

    /// The packet with this index, if it is still here.
    pub fn get(&self, index: u64) -> Option<&Packet> {
        self.slots
            .get(self.slot_of(index))
            .filter(|p| p.index == index)
    }

    /// The same, if it is young enough to be worth sending.
    pub fn useful(&self, index: u64, now: Micros) -> Option<&Packet> {
        self.get(index)
            .filter(|p| now.saturating_sub(p.arrived) <= USEFUL_US)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overwritten_or_old_packet_is_not_found() {
        let mut cache = Cache::new(16);
        for index in 0..17 {
            let head = Packet {
                index,
                ..empty_slot()
            };
            cache.put(head, &[index as u8]);
        }
        assert!(cache.get(0).is_none());
        assert_eq!(cache.get(16).map(|p| p.payload.clone()), Some(vec![16]));
        assert!(cache.useful(16, USEFUL_US + 1).is_none());
    }
}
