//! The last packets of one layer, decrypted once and shared by everyone who receives it.

use std::sync::Arc;

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

/// A ring indexed by the low part of the packet index.  Packets may be shared with the caches of
/// other workers; the buffer of one that is not is used again.
pub struct Cache {
    slots: Vec<Option<Arc<Packet>>>,
    capacity: usize,
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

    fn slot(&mut self, index: u64) -> &mut Option<Arc<Packet>> {
        let at = self.slot_of(index);
        if self.slots.len() <= at {
            self.slots.resize(at + 1, None);
        }
        &mut self.slots[at]
    }

    /// Store a packet with this payload, taking over its slot's old buffer.
    pub fn put(&mut self, head: Packet, payload: &[u8]) {
        let slot = self.slot(head.index);
        let Some(old) = slot.as_mut().and_then(Arc::get_mut) else {
            let payload = payload.to_vec();
            *slot = Some(Arc::new(Packet { payload, ..head }));
            return;
        };
        let mut buffer = std::mem::take(&mut old.payload);
        buffer.clear();
        buffer.extend_from_slice(payload);
        *old = Packet {
            payload: buffer,
            ..head
        };
    }

    /// Keep a packet that another cache keeps too.
    pub fn share(&mut self, packet: Arc<Packet>) {
        let slot = self.slot(packet.index);
        *slot = Some(packet);
    }

    /// The packet with this index, if it is still here.
    pub fn get(&self, index: u64) -> Option<&Packet> {
        self.shared(index).map(Arc::as_ref)
    }

    /// The same, to be kept elsewhere too.
    pub fn shared(&self, index: u64) -> Option<&Arc<Packet>> {
        let slot = self.slots.get(self.slot_of(index))?;
        slot.as_ref().filter(|p| p.index == index)
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

    fn head(index: u64) -> Packet {
        Packet {
            index,
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

    #[test]
    fn a_shared_packet_outlives_its_place_in_the_other_cache() {
        let (mut ours, mut theirs) = (Cache::new(16), Cache::new(16));
        ours.put(head(3), &[3]);
        theirs.share(ours.shared(3).expect("stored").clone());
        ours.put(head(19), &[19]);
        assert!(ours.get(3).is_none());
        assert_eq!(theirs.get(3).map(|p| p.payload.clone()), Some(vec![3]));
    }

    #[test]
    fn an_overwritten_or_old_packet_is_not_found() {
        let mut cache = Cache::new(16);
        for index in 0..17 {
            cache.put(head(index), &[index as u8]);
        }
        assert!(cache.get(0).is_none());
        assert_eq!(cache.get(16).map(|p| p.payload.clone()), Some(vec![16]));
        assert!(cache.useful(16, USEFUL_US + 1).is_none());
    }
}
