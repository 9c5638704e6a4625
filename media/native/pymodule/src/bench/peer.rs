//! The other end of an engine's transport: a terminal that sends VP8, or counts what it gets.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use dataplane::demux::{classify, Class};
use dataplane::rtp::{Fixed, Header};
use dataplane::srtp::Protection;
use dataplane::stun::{integrity_key, Builder, BINDING_REQUEST};

use crate::bench::node::{ufrag, KeyPair, Node, LOOPBACK, PASSWORD, PAYLOAD_TYPE, PROFILE};
use crate::bench::tally::Tally;
use crate::bench::BenchError;
use crate::clock::Clock;
use crate::socket::{wait, Inbox};

pub const PACKETS_PER_FRAME: u64 = 12;
pub const FRAMES_PER_S: u64 = 30;
const DESCRIPTOR: usize = 6;
const STAMP: usize = 8;
const BUFFER: usize = 4 << 20;

pub struct Peer {
    pub socket: UdpSocket,
    engine: SocketAddr,
    out: Protection,
    back: Protection,
    ssrc: u32,
    pub sent: u64,
    packet: Vec<u8>,
}

const CHECK_EVERY: Duration = Duration::from_millis(100);
const CHECKS: u32 = 100;

impl Peer {
    /// Connect to a node as its transport `id`.
    pub fn connect(node: &Node, id: u32) -> Result<Self, BenchError> {
        let keys = KeyPair::of(node.number, id);
        node.transport(id, format!("peer{id}"), None, &keys);
        let socket = UdpSocket::bind((LOOPBACK, 0))?;
        let plain = socket2::SockRef::from(&socket);
        plain.set_recv_buffer_size(BUFFER)?;
        let protection =
            |key| Protection::new(PROFILE, key).map_err(|_| BenchError::Stuck("a key that fits"));
        let peer = Peer {
            socket,
            engine: node.address,
            out: protection(&keys.rx)?,
            back: protection(&keys.tx)?,
            ssrc: id + 1_000_000,
            sent: 0,
            packet: Vec::new(),
        };
        peer.check(node, id)?;
        Ok(peer)
    }

    fn check(&self, node: &Node, id: u32) -> Result<(), BenchError> {
        let local = ufrag(node.number, id);
        let request = Builder::new(BINDING_REQUEST, &[7; 12])
            .username(&local, &format!("peer{id}"))
            .priority(1)
            .controlling(1)
            .use_candidate()
            .finish(&integrity_key(PASSWORD));
        // As every ICE agent does, ask again: the first check may come before the node knows the transport.
        self.socket.set_read_timeout(Some(CHECK_EVERY))?;
        let mut answer = [0u8; 2048];
        let mut asked = 0;
        loop {
            if asked == CHECKS {
                return Err(BenchError::Stuck("the ICE checks"));
            }
            self.socket.send_to(&request, self.engine)?;
            asked += 1;
            match self.socket.recv_from(&mut answer) {
                Ok((len, _)) if classify(&answer[..len]) == Class::Stun => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.socket.set_nonblocking(true)?;
        Ok(())
    }

    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Send the next packet of a stream of frames, stamped with the time.
    pub fn send(&mut self, payload_bytes: usize, clock: &Clock) -> Result<(), BenchError> {
        let fixed = plain_packet(
            &mut self.packet,
            self.ssrc,
            self.sent,
            payload_bytes,
            clock.now(),
        );
        let sealed = self
            .out
            .seal_rtp(&mut self.packet, 0, fixed, self.ssrc, self.sent);
        if sealed.is_err() {
            return Err(BenchError::Stuck("encryption"));
        }
        self.sent += 1;
        loop {
            match self.socket.send_to(&self.packet, self.engine) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut room = [libc::pollfd {
                        fd: self.fd(),
                        events: libc::POLLOUT,
                        revents: 0,
                    }];
                    wait(&mut room, Some(1_000_000));
                }
                outcome => return outcome.map(|_| ()).map_err(BenchError::from),
            }
        }
    }

    /// Count what has come; with `open`, decrypt it and take latencies.
    pub fn drain(&self, inbox: &mut Inbox, tally: &mut Tally, open: bool, clock: &Clock) {
        loop {
            let (came, more) = inbox.fill(self.fd()).unwrap_or((0, false));
            let now = clock.now();
            for received in inbox.datagrams(came) {
                if classify(received.data) != Class::Rtp {
                    continue;
                }
                tally.received += 1;
                if !open {
                    continue;
                }
                if let Some(stamp) = self.stamp(received.data) {
                    tally.latency(now.saturating_sub(stamp));
                }
            }
            if !more {
                return;
            }
        }
    }

    /// The sending time inside a packet.  The roll-over counter is found by trying: a run of ten
    /// minutes stays below the sixteenth.
    fn stamp(&self, data: &mut [u8]) -> Option<u64> {
        let header = Header::parse(data).ok()?;
        let mut copy = data.to_vec();
        let lap = self.sent >> 16;
        for lap in (0..=lap + 1).rev().chain(lap + 2..64) {
            copy.copy_from_slice(data);
            let index = lap << 16 | u64::from(header.seq);
            if self
                .back
                .open_rtp(&mut copy, header.len, header.ssrc, index)
                .is_ok()
            {
                let at = header.len + DESCRIPTOR;
                let stamp = u64::from_be_bytes(copy.get(at..at + STAMP)?.try_into().ok()?);
                // The first octet is the key frame flag, see `plain_packet`.
                return Some(stamp & (u64::MAX >> 8));
            }
        }
        None
    }
}

/// A plain VP8 packet of the bench's stream: frames of twelve, the first of the stream a key
/// frame and one every ten seconds.  Returns the header's length.
pub fn plain_packet(
    out: &mut Vec<u8>,
    ssrc: u32,
    number: u64,
    payload_bytes: usize,
    now: u64,
) -> usize {
    let frame = number / PACKETS_PER_FRAME;
    let place = number % PACKETS_PER_FRAME;
    out.clear();
    let fixed = Fixed {
        extended: false,
        marker: place + 1 == PACKETS_PER_FRAME,
        payload_type: PAYLOAD_TYPE,
        seq: number as u16,
        timestamp: (frame * 90_000 / FRAMES_PER_S) as u32,
        ssrc,
    };
    fixed.write(out);
    let header = out.len();
    let picture = (frame as u16 & 0x7FFF | 0x8000).to_be_bytes();
    let start = if place == 0 { 0x90 } else { 0x80 };
    out.extend_from_slice(&[start, 0xE0, picture[0], picture[1], frame as u8, 0]);
    // The stamp's first octet, zero for centuries, is where VP8 keeps its inverse key frame flag.
    let mut stamp = now.to_be_bytes();
    let keyframe = frame % (10 * FRAMES_PER_S) == 0;
    stamp[0] = u8::from(!keyframe);
    out.extend_from_slice(&stamp);
    out.resize(header + payload_bytes, number as u8);
    header
}
