//! The other end of an engine's transport: a terminal that sends, or counts what it gets.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use dataplane::demux::{classify, Class};
use dataplane::rtp::Header;
use dataplane::seqmap::unwrap;
use dataplane::srtp::Protection;
use dataplane::stun::{integrity_key, Builder, BINDING_REQUEST};

use crate::bench::node::{ufrag, KeyPair, Node, LOOPBACK, PASSWORD, PROFILE};
use crate::bench::stream::{sent_at, Stream};
use crate::bench::BenchError;
use crate::clock::unix_us;
use crate::inbox::{stamp_arrivals, Inbox};
use crate::socket::{poll, wait};

const BUFFER: usize = 4 << 20;

/// When a packet left and came, Unix time in microseconds.
pub type Seen = (u64, u64);

pub struct Peer {
    pub socket: UdpSocket,
    engine: SocketAddr,
    out: Protection,
    back: Protection,
    ssrc: u32,
    stream: Stream,
    pub sent: u64,
    /// When the last packet left: no two say the same.
    left: u64,
    packet: Vec<u8>,
    /// Whether it looks into what it gets.
    pub looks: bool,
    /// Newest packet index by SSRC.
    newest: HashMap<u32, u64>,
}

const CHECK_EVERY: Duration = Duration::from_millis(100);
const CHECKS: u32 = 100;

impl Peer {
    /// Connect to a node as its transport `id`, one of a group.
    pub fn connect(node: &Node, id: u32, stream: Stream, group: &str) -> Result<Self, BenchError> {
        let keys = KeyPair::of(node.number, id);
        node.transport(id, format!("peer{id}"), None, &keys, group);
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
            stream,
            sent: 0,
            left: 0,
            packet: Vec::new(),
            looks: false,
            newest: HashMap::new(),
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

    /// Look into what comes, and have the kernel say when it did.
    pub fn look(&mut self) -> Result<(), BenchError> {
        self.looks = true;
        let stamped = stamp_arrivals(self.fd());
        stamped
            .then_some(())
            .ok_or(BenchError::Stuck("times of arrival"))
    }

    /// Send the next packet of its stream, stamped with the time.
    pub fn send(&mut self) -> Result<(), BenchError> {
        self.left = unix_us().max(self.left + 1);
        let header = self
            .stream
            .write(&mut self.packet, self.ssrc, self.sent, self.left);
        self.out
            .seal_rtp(&mut self.packet, 0, header, self.ssrc, self.sent)
            .map_err(|_| BenchError::Stuck("encryption"))?;
        self.sent += 1;
        loop {
            match self.socket.send_to(&self.packet, self.engine) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    wait(&mut [poll(self.fd(), libc::POLLOUT)], Some(1_000_000));
                }
                outcome => return outcome.map(|_| ()).map_err(BenchError::from),
            }
        }
    }

    /// Take what has come and return how many media packets it was.  One that looks adds to `seen`
    /// what authenticates, when there is one.
    pub fn drain(&mut self, inbox: &mut Inbox, mut seen: Option<&mut Vec<Seen>>) -> u64 {
        let mut count = 0;
        loop {
            let (came, more) = inbox.fill(self.fd()).unwrap_or((0, false));
            for received in inbox.datagrams(came) {
                if classify(received.data) != Class::Rtp {
                    continue;
                }
                count += 1;
                if !self.looks {
                    continue;
                }
                let at = received.at_us;
                let sent = self.open(received.data, seen.is_some());
                if let Some((seen, pair)) = seen.as_mut().zip(sent.zip(at)) {
                    seen.push(pair);
                }
            }
            if !more {
                return count;
            }
        }
    }

    /// Follow a stream's numbers and, if asked, say when the packet left.
    fn open(&mut self, data: &mut [u8], decrypt: bool) -> Option<u64> {
        let header = Header::parse(data).ok()?;
        let newest = self.newest.get(&header.ssrc);
        let index = newest.map_or(Some(u64::from(header.seq)), |n| unwrap(*n, header.seq))?;
        self.newest.insert(header.ssrc, index);
        if !decrypt {
            return None;
        }
        let opened = self.back.open_rtp(data, header.len, header.ssrc, index);
        sent_at(data.get(header.len..opened.ok()?)?)
    }
}
