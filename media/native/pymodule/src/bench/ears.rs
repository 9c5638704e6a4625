//! The thread that receives what a bench's engines send.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::bench::peer::{Peer, Seen};
use crate::clock::thread_cpu_ns;
use crate::inbox::Inbox;
use crate::socket::{poll, wait};

const LOOK_EVERY_US: u64 = 20_000;

/// What the listening thread is told, and tells.
#[derive(Default)]
pub struct Ears {
    stopped: AtomicBool,
    sampling: AtomicBool,
    /// Media packets of all peers so far.
    heard: AtomicU64,
    /// Processor time of the listening thread, nanoseconds.
    cpu_ns: AtomicU64,
}

impl Ears {
    /// Keep times of what comes to peers that look, or no longer.
    pub fn sample(&self, on: bool) {
        self.sampling.store(on, Relaxed);
    }

    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    pub fn heard(&self) -> u64 {
        self.heard.load(Relaxed)
    }

    pub fn cpu_ns(&self) -> u64 {
        self.cpu_ns.load(Relaxed)
    }

    /// Take everything off the peers' sockets until told to stop.  Returns what each has seen.
    pub fn listen(&self, mut peers: Vec<Peer>) -> Vec<Vec<Seen>> {
        let mut inbox = Inbox::new();
        let mut seen = vec![Vec::new(); peers.len()];
        let mut fds: Vec<libc::pollfd> = peers
            .iter()
            .map(|peer| poll(peer.fd(), libc::POLLIN))
            .collect();
        while !self.stopped.load(Relaxed) {
            wait(&mut fds, Some(LOOK_EVERY_US));
            let sampling = self.sampling.load(Relaxed);
            let mut count = 0;
            for ((peer, seen), fd) in peers.iter_mut().zip(&mut seen).zip(&fds) {
                if fd.revents != 0 {
                    count += peer.drain(&mut inbox, sampling.then_some(seen));
                }
            }
            self.heard.fetch_add(count, Relaxed);
            self.cpu_ns.store(thread_cpu_ns(), Relaxed);
        }
        seen
    }
}
