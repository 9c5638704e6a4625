//! What waits to be written to one stream: bounded, and it says when pictures had better stop.

use dataplane::Micros;

/// Above this the transport sends no new pictures, below the half of it they go on.
const HIGH: usize = 64 * 1024;
/// Above this nothing is taken, sound neither.
const MOST: usize = 256 * 1024;

#[derive(Default)]
pub struct Lane {
    octets: Vec<u8>,
    at: usize,
    full: bool,
    /// When a worker last sent something here, and which.
    pub answered: Option<Micros>,
    pub home: usize,
}

impl Lane {
    pub fn waiting(&self) -> &[u8] {
        self.octets.get(self.at..).unwrap_or(&[])
    }

    pub fn is_empty(&self) -> bool {
        self.at >= self.octets.len()
    }

    /// Append what `write` appends; false when there is no room or it refuses.
    pub fn put(&mut self, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        self.waiting().len() < MOST && write(&mut self.octets)
    }

    /// The socket took `size` octets.
    pub fn sent(&mut self, size: usize) {
        self.at += size;
        if self.is_empty() || self.at > MOST {
            self.octets.drain(..self.at.min(self.octets.len()));
            self.at = 0;
        }
    }

    /// Whether it has just become full.
    pub fn fills(&mut self) -> bool {
        let fills = !self.full && self.waiting().len() > HIGH;
        self.full |= fills;
        fills
    }

    /// Whether it was full and has just emptied enough.
    pub fn drains(&mut self) -> bool {
        let drains = self.full && self.waiting().len() < HIGH / 2;
        self.full &= !drains;
        drains
    }
}
