//! What anybody pays who encrypts each packet and sends it by itself.

use std::net::SocketAddr;
use std::time::Duration;

use dataplane::srtp::Protection;

use crate::bench::node::{KeyPair, LOOPBACK, PROFILE};
use crate::bench::stream::Stream;
use crate::bench::BenchError;
use crate::clock::{thread_cpu_ns, Clock};
use crate::socket::wait;

const SSRC: u32 = u32::MAX;

#[derive(Default)]
pub struct Floor {
    packets: u64,
    cpu_ns: u64,
}

impl Floor {
    pub fn packets(&self) -> u64 {
        self.packets
    }

    pub fn us_per_packet(&self) -> f64 {
        self.cpu_ns as f64 / 1000.0 / self.packets as f64
    }

    /// Go on for `length`: `burst` packets to all of `targets`, as often as the stream has them.
    pub fn run(
        &mut self,
        targets: &[SocketAddr],
        stream: Stream,
        burst: u64,
        length: Duration,
    ) -> Result<(), BenchError> {
        let socket = std::net::UdpSocket::bind((LOOPBACK, 0))?;
        let keys = Protection::new(PROFILE, &KeyPair::of(u32::MAX, 0).tx)
            .map_err(|_| BenchError::Stuck("a key that fits"))?;
        let (mut plain, mut packet) = (Vec::new(), Vec::new());
        let clock = Clock::start();
        let pause_us = (1e6 * burst as f64 / stream.packets_per_s()) as u64;
        let mut number = 0u64;
        while clock.now() < length.as_micros() as u64 {
            let before = thread_cpu_ns();
            for _ in 0..burst {
                let header = stream.write(&mut plain, SSRC, number, 0);
                for target in targets {
                    packet.clear();
                    packet.extend_from_slice(&plain);
                    keys.seal_rtp(&mut packet, 0, header, SSRC, number)
                        .map_err(|_| BenchError::Stuck("encryption"))?;
                    socket.send_to(&packet, target)?;
                    self.packets += 1;
                }
                number += 1;
            }
            self.cpu_ns += thread_cpu_ns() - before;
            wait(&mut [], Some(pause_us));
        }
        Ok(())
    }
}
