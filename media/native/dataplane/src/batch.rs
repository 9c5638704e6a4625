//! Packets to one destination gathered into one send.
//!
//! A batch is what one `sendmsg` with `UDP_SEGMENT` can carry: equal sizes, the last may be
//! shorter, at most 64 segments and 65,507 octets.
//!
//! Encoders cut a frame into packets that differ by an octet, so it leaves as two batches.  Padding
//! them to one size (RFC 3550 section 5.1) makes it one; measured, that gained less than the
//! measurement's own spread, and nothing where the sizes lie on either side of a step.

use std::collections::VecDeque;

use crate::types::{Micros, Path};

pub const MAX_SEGMENTS: usize = 64;
/// IPv6 jumbo-free payload limit less a margin for the IP and UDP headers.
pub const MAX_OCTETS: usize = 65_000;

/// One or more datagrams for one destination.
#[derive(Debug)]
pub struct Batch {
    pub path: Path,
    /// Size of every datagram but the last.
    pub segment: usize,
    pub count: usize,
    pub octets: Vec<u8>,
}

/// The batch being filled.
#[derive(Debug, Default)]
pub struct Open {
    octets: Vec<u8>,
    segment: usize,
    count: usize,
    /// The last packet was shorter, so nothing may follow it.
    closed: bool,
}

impl Open {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Make room for payloads of so many octets, as far as one batch holds them.
    pub fn expect(&mut self, octets: usize) {
        self.octets.reserve(octets.min(MAX_OCTETS));
    }

    /// The buffer to append the next packet to, and where it starts.
    pub fn begin(&mut self) -> (&mut Vec<u8>, usize) {
        let start = self.octets.len();
        (&mut self.octets, start)
    }

    /// Accept the packet appended at `start`.  What cannot share a send with it goes to `ready`.
    pub fn commit(&mut self, start: usize, path: Path, ready: &mut Ready) {
        let size = self.octets.len() - start;
        let fits = self.count > 0
            && !self.closed
            && size <= self.segment
            && self.count < MAX_SEGMENTS
            && self.octets.len() <= MAX_OCTETS;
        if self.count > 0 && !fits {
            let mut fresh = ready.buffer();
            fresh.extend_from_slice(self.octets.get(start..).unwrap_or(&[]));
            self.octets.truncate(start);
            self.close(path, ready);
            self.octets = fresh;
        }
        if self.count == 0 {
            self.segment = size;
        }
        self.closed = size < self.segment;
        self.count += 1;
    }

    /// Hand over what has been gathered.
    pub fn close(&mut self, path: Path, ready: &mut Ready) {
        if self.count == 0 {
            return;
        }
        let octets = std::mem::replace(&mut self.octets, ready.buffer());
        ready.push(Batch {
            path,
            segment: self.segment,
            count: self.count,
            octets,
        });
        self.count = 0;
        self.closed = false;
    }
}

/// Batches waiting to be sent, and buffers waiting to be used again.
#[derive(Debug, Default)]
pub struct Ready {
    queue: VecDeque<Batch>,
    pool: Vec<Vec<u8>>,
    packets: usize,
}

const POOLED: usize = 1024;

impl Ready {
    pub fn push(&mut self, batch: Batch) {
        self.packets += batch.count;
        self.queue.push_back(batch);
    }

    pub fn pop(&mut self) -> Option<Batch> {
        let batch = self.queue.pop_front()?;
        self.packets -= batch.count;
        Some(batch)
    }

    /// Take back what was pushed last.
    pub fn unpush(&mut self) -> Option<Batch> {
        let batch = self.queue.pop_back()?;
        self.packets -= batch.count;
        Some(batch)
    }

    /// Datagrams waiting in all batches.
    pub fn packets(&self) -> usize {
        self.packets
    }

    /// An empty buffer.
    pub fn buffer(&mut self) -> Vec<u8> {
        self.pool.pop().unwrap_or_default()
    }

    /// Take a sent batch's buffer back.
    pub fn recycle(&mut self, mut octets: Vec<u8>) {
        if self.pool.len() < POOLED {
            octets.clear();
            self.pool.push(octets);
        }
    }

    /// Queue one datagram by itself.
    pub fn single(&mut self, path: Path, octets: Vec<u8>) {
        let segment = octets.len();
        self.push(Batch {
            path,
            segment,
            count: 1,
            octets,
        });
    }
}

/// Open batches in the order in which their time is over.
#[derive(Debug, Default)]
pub struct Gathering {
    order: VecDeque<(Micros, usize)>,
}

impl Gathering {
    pub fn opened(&mut self, due: Micros, transport: usize) {
        self.order.push_back((due, transport));
    }

    pub fn deadline(&self) -> Option<Micros> {
        self.order.front().map(|(due, _)| *due)
    }

    /// The next transport whose batch is due.
    pub fn pop_due(&mut self, now: Micros) -> Option<usize> {
        match self.order.front() {
            Some(&(due, transport)) if due <= now => {
                self.order.pop_front();
                Some(transport)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path() -> Path {
        Path {
            socket: 0,
            peer: ([127, 0, 0, 1], 1).into(),
        }
    }

    proptest! {
        #[test]
        fn cutting_batches_gives_back_every_packet_in_order(sizes in proptest::collection::vec(1usize..2000, 1..300)) {
            let mut ready = Ready::default();
            let mut open = Open::default();
            for (at, size) in sizes.iter().enumerate() {
                let (out, start) = open.begin();
                out.resize(start + size, at as u8);
                open.commit(start, path(), &mut ready);
            }
            open.close(path(), &mut ready);
            let mut found = Vec::new();
            while let Some(batch) = ready.pop() {
                prop_assert!(batch.count <= MAX_SEGMENTS && batch.octets.len() <= 65_507);
                let cut: Vec<&[u8]> = batch.octets.chunks(batch.segment).collect();
                prop_assert_eq!(cut.len(), batch.count);
                found.extend(cut.iter().map(|c| (c.len(), c[0])));
            }
            let expected: Vec<(usize, u8)> = sizes.iter().enumerate().map(|(at, s)| (*s, at as u8)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
