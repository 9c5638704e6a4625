//! What nothing but encryption and sending costs when packets leave in trains.
//!
//! Copy, encrypt, send: no look-ups, numbers or timers, nothing received.  What a relay costs beyond
//! this is its own; what this costs is the processor's and the kernel's.

use std::net::SocketAddr;
use std::time::Duration;

use dataplane::srtp::Protection;
use dataplane::{Batch, Path};

use crate::bench::node::{KeyPair, LOOPBACK, PROFILE};
use crate::bench::stream::Stream;
use crate::bench::BenchError;
use crate::clock::{thread_cpu_ns, Clock};
use crate::socket::{wait, SendCounts, Udp};
use crate::worker::PORTION;

const SSRC: u32 = u32::MAX;

pub struct Bare {
    udp: Udp,
    keys: Protection,
    stream: Stream,
    /// Packets of a train.
    train: u64,
    /// The train as it is before encryption, and the length of a packet's header.
    plain: Vec<Vec<u8>>,
    header: usize,
    /// Written and not yet sent.
    batches: Vec<Batch>,
    pool: Vec<Vec<u8>>,
    number: u64,
    packets: u64,
    cpu_ns: u64,
}

impl Bare {
    pub fn new(stream: Stream, train: u64) -> Result<Self, BenchError> {
        let keys = Protection::new(PROFILE, &KeyPair::of(u32::MAX, 1).tx);
        Ok(Bare {
            udp: Udp::bind(LOOPBACK, 0, false)?,
            keys: keys.map_err(|_| BenchError::Stuck("a key that fits"))?,
            // Only the last packet of a train may be of another size.
            stream: Stream {
                uneven: false,
                ..stream
            },
            train,
            plain: vec![Vec::new(); train as usize],
            header: 0,
            batches: Vec::new(),
            pool: Vec::new(),
            number: 0,
            packets: 0,
            cpu_ns: 0,
        })
    }

    pub fn packets(&self) -> u64 {
        self.packets
    }

    pub fn us_per_packet(&self) -> f64 {
        self.cpu_ns as f64 / 1000.0 / self.packets as f64
    }

    /// Go on for `length`: a train to each of `targets`, as often as each gets `per_s` packets.
    pub fn run(
        &mut self,
        targets: &[SocketAddr],
        per_s: f64,
        length: Duration,
    ) -> Result<(), BenchError> {
        let clock = Clock::start();
        let pause_us = (1e6 * self.train as f64 / per_s) as u64;
        while clock.now() < length.as_micros() as u64 {
            let before = thread_cpu_ns();
            self.round(targets)?;
            self.cpu_ns += thread_cpu_ns() - before;
            wait(&mut [], Some(pause_us));
        }
        Ok(())
    }

    /// One train to everybody, sent in portions as large as a worker's.
    fn round(&mut self, targets: &[SocketAddr]) -> Result<(), BenchError> {
        for (number, packet) in (self.number..).zip(&mut self.plain) {
            self.header = self.stream.write(packet, SSRC, number, 0);
        }
        let mut octets = 0;
        for target in targets {
            octets += self.write(*target)?;
            if octets >= PORTION {
                self.send();
                octets = 0;
            }
        }
        self.send();
        self.number += self.train;
        self.packets += self.train * targets.len() as u64;
        Ok(())
    }

    fn write(&mut self, peer: SocketAddr) -> Result<usize, BenchError> {
        let mut octets = self.pool.pop().unwrap_or_default();
        octets.clear();
        for (number, packet) in (self.number..).zip(&self.plain) {
            let start = octets.len();
            octets.extend_from_slice(packet);
            self.keys
                .seal_rtp(&mut octets, start, self.header, SSRC, number)
                .map_err(|_| BenchError::Stuck("encryption"))?;
        }
        let size = octets.len();
        self.batches.push(Batch {
            path: Path { socket: 0, peer },
            segment: size / self.train as usize,
            count: self.train as usize,
            octets,
        });
        Ok(size)
    }

    fn send(&mut self) {
        // Nothing here ever fills the socket's buffer: on loopback what is sent has arrived.
        self.udp.send(&self.batches, &mut SendCounts::default());
        let sent = self.batches.drain(..).map(|batch| batch.octets);
        self.pool.extend(sent);
    }
}
