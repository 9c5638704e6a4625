//! What forwarding costs the engine's thread, beside "encrypt and one sendto per packet" timed in
//! the same run with the same sizes, keys and receivers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dataplane::srtp::Protection;

use crate::bench::node::{KeyPair, Node, PROFILE};
use crate::bench::peer::{plain_packet, Peer, FRAMES_PER_S, PACKETS_PER_FRAME};
use crate::bench::tally::Tally;
use crate::bench::{BenchError, Figures};
use crate::clock::{thread_cpu_ns, Clock};
use crate::socket::{sharpen_timers, wait, Inbox};

const TERMINALS: usize = 20;
const HEARD: usize = 9;
/// Latency is taken at every so many-th receiver.
const SAMPLED: usize = 10;
const SETTLE: Duration = Duration::from_millis(300);

#[derive(Clone, Copy)]
pub enum Shape {
    /// One source in frames of twelve packets to all.
    Broadcast { subscribers: usize },
    /// Twenty terminals, each receiving nine of the others, every source evenly paced.
    Meeting,
}

struct Stage {
    node: Node,
    senders: Vec<Peer>,
    receivers: Vec<Peer>,
    /// Receivers of each packet sent.
    fanout: u64,
}

fn broadcast(node: Node, subscribers: usize) -> Result<Stage, BenchError> {
    let sender = Peer::connect(&node, 1)?;
    node.source(1, 1, sender.ssrc());
    let mut receivers = Vec::new();
    for id in 2..2 + subscribers as u32 {
        receivers.push(Peer::connect(&node, id)?);
        node.sink(id, id, id, 1);
    }
    Ok(Stage {
        node,
        senders: vec![sender],
        receivers,
        fanout: subscribers as u64,
    })
}

fn meeting(node: Node) -> Result<Stage, BenchError> {
    let mut senders = Vec::new();
    let mut receivers = Vec::new();
    for at in 0..TERMINALS as u32 {
        let sender = Peer::connect(&node, 1 + at)?;
        node.source(1 + at, 1 + at, sender.ssrc());
        senders.push(sender);
    }
    for at in 0..TERMINALS as u32 {
        let id = 1 + TERMINALS as u32 + at;
        receivers.push(Peer::connect(&node, id)?);
        for other in 1..=HEARD as u32 {
            let source = 1 + (at + other) % TERMINALS as u32;
            let number = 1000 * id + other;
            node.sink(number, id, number, source);
        }
    }
    Ok(Stage {
        node,
        senders,
        receivers,
        fanout: HEARD as u64,
    })
}

pub fn run(
    shape: Shape,
    payload_bytes: usize,
    seconds: f64,
    seed: u64,
) -> Result<Figures, BenchError> {
    let node = Node::start(0, seed)?;
    let stage = match shape {
        Shape::Broadcast { subscribers } => broadcast(node, subscribers)?,
        Shape::Meeting => meeting(node)?,
    };
    let running = AtomicBool::new(true);
    let received = AtomicU64::new(0);
    let clock = Clock::start();
    let Stage {
        node,
        senders,
        receivers,
        fanout,
    } = stage;
    std::thread::scope(|scope| {
        let counting = scope.spawn(|| receive(&receivers, &running, &received, &clock));
        let outcome = measure(
            &node,
            senders,
            &receivers,
            fanout,
            shape,
            payload_bytes,
            seconds,
            &received,
            &clock,
        );
        running.store(false, Ordering::Relaxed);
        let tally = counting
            .join()
            .map_err(|_| BenchError::Stuck("the receivers"))?;
        let mut figures = outcome?;
        tally.into_figures(&mut figures);
        Ok(figures)
    })
}

#[allow(clippy::too_many_arguments)]
fn measure(
    node: &Node,
    mut senders: Vec<Peer>,
    receivers: &[Peer],
    fanout: u64,
    shape: Shape,
    payload_bytes: usize,
    seconds: f64,
    received: &AtomicU64,
    clock: &Clock,
) -> Result<Figures, BenchError> {
    let half = Duration::from_secs_f64(seconds / 2.0);
    let mut floor = floor(receivers, payload_bytes, half, shape)?;
    let floor_packets = floor.packets;
    settle(received, floor_packets);
    pace(&mut senders, shape, payload_bytes, SETTLE, clock)?;
    let warm = senders.iter().map(|s| s.sent).sum::<u64>() * fanout;
    node.until("the first frames", |s| s.engine.packets_forwarded >= warm)?;
    let (before, busy_before) = node.stats()?;
    let started = clock.now();
    pace(&mut senders, shape, payload_bytes, half * 2, clock)?;
    let sent = senders.iter().map(|s| s.sent).sum::<u64>() * fanout;
    node.until("the last frames", |s| s.engine.packets_forwarded >= sent)?;
    let elapsed_us = clock.now() - started;
    let (after, busy_after) = node.stats()?;
    settle(received, floor_packets + sent);
    let arrived =
        received.load(Ordering::Relaxed) - floor_packets.min(received.load(Ordering::Relaxed));
    floor.merge(&self::floor(receivers, payload_bytes, half, shape)?);

    let forwarded = after.engine.packets_forwarded - before.engine.packets_forwarded;
    let busy = busy_after.worker_cpu_ns - busy_before.worker_cpu_ns;
    let us_per_packet = busy as f64 / 1000.0 / forwarded as f64;
    let floor_us = floor.cpu_ns as f64 / 1000.0 / floor.packets as f64;
    let messages = busy_after.send.sends - busy_before.send.sends;
    Ok(Figures::from([
        ("us_per_packet", us_per_packet),
        ("floor_us_per_packet", floor_us),
        ("ratio", us_per_packet / floor_us),
        ("packets_per_s_per_core", 1e6 / us_per_packet),
        ("loss", 1.0 - arrived as f64 / sent as f64),
        ("packets_per_send", forwarded as f64 / messages as f64),
        ("worker_share", busy as f64 / 1000.0 / elapsed_us as f64),
        ("packets", forwarded as f64),
    ]))
}

/// Wait until everything has arrived, or nothing has for a while: what is missing then is lost.
fn settle(received: &AtomicU64, expected: u64) {
    let mut last = received.load(Ordering::Relaxed);
    for _ in 0..20 {
        if last >= expected {
            return;
        }
        wait(&mut [], Some(25_000));
        let now = received.load(Ordering::Relaxed);
        if now == last {
            return;
        }
        last = now;
    }
}

/// Send for a while in the shape's rhythm.
fn pace(
    senders: &mut [Peer],
    shape: Shape,
    payload_bytes: usize,
    length: Duration,
    clock: &Clock,
) -> Result<(), BenchError> {
    sharpen_timers();
    let (burst, pause_us) = match shape {
        Shape::Broadcast { .. } => (PACKETS_PER_FRAME, 1e6 / FRAMES_PER_S as f64),
        Shape::Meeting => {
            let rate = FRAMES_PER_S * PACKETS_PER_FRAME * senders.len() as u64;
            (1, 1e6 / rate as f64)
        }
    };
    let start = clock.now();
    let turns = (length.as_micros() as f64 / pause_us).ceil() as u64;
    for turn in 0..turns {
        let due = start + (turn as f64 * pause_us) as u64;
        let now = clock.now();
        if due > now {
            wait(&mut [], Some(due - now));
        }
        let at = (turn % senders.len() as u64) as usize;
        for _ in 0..burst {
            if let Some(sender) = senders.get_mut(at) {
                sender.send(payload_bytes, clock)?;
            }
        }
    }
    Ok(())
}

struct Floor {
    packets: u64,
    cpu_ns: u64,
}

impl Floor {
    fn merge(&mut self, other: &Floor) {
        self.packets += other.packets;
        self.cpu_ns += other.cpu_ns;
    }
}

/// Encrypt and send each packet by itself, in bursts of a frame's fan-out.
fn floor(
    receivers: &[Peer],
    payload_bytes: usize,
    length: Duration,
    shape: Shape,
) -> Result<Floor, BenchError> {
    let socket = std::net::UdpSocket::bind((crate::bench::node::LOOPBACK, 0))?;
    let keys = KeyPair::of(u32::MAX, 0);
    let keys =
        Protection::new(PROFILE, &keys.tx).map_err(|_| BenchError::Stuck("a key that fits"))?;
    let targets: Vec<_> = receivers
        .iter()
        .map(|peer| peer.socket.local_addr())
        .collect::<Result<_, _>>()?;
    let burst = match shape {
        Shape::Broadcast { .. } => PACKETS_PER_FRAME,
        Shape::Meeting => 1,
    };
    let mut plain = Vec::new();
    let mut packet = Vec::new();
    let mut floor = Floor {
        packets: 0,
        cpu_ns: 0,
    };
    let clock = Clock::start();
    let mut number = 0u64;
    let pause_us = 1_000_000 * burst / (FRAMES_PER_S * PACKETS_PER_FRAME);
    while clock.now() < length.as_micros() as u64 {
        let before = thread_cpu_ns();
        for _ in 0..burst {
            let header = plain_packet(&mut plain, 1, number, payload_bytes, 0);
            for target in &targets {
                packet.clear();
                packet.extend_from_slice(&plain);
                if keys.seal_rtp(&mut packet, 0, header, 1, number).is_err() {
                    return Err(BenchError::Stuck("encryption"));
                }
                socket.send_to(&packet, target)?;
                floor.packets += 1;
            }
            number += 1;
        }
        floor.cpu_ns += thread_cpu_ns() - before;
        wait(&mut [], Some(pause_us));
    }
    Ok(floor)
}

/// Take everything off the receivers' sockets until told to stop.
fn receive(receivers: &[Peer], running: &AtomicBool, received: &AtomicU64, clock: &Clock) -> Tally {
    let mut inbox = Inbox::new();
    let mut tally = Tally::default();
    let mut fds: Vec<libc::pollfd> = receivers
        .iter()
        .map(|peer| libc::pollfd {
            fd: peer.fd(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    while running.load(Ordering::Relaxed) {
        wait(&mut fds, Some(20_000));
        for (at, peer) in receivers.iter().enumerate() {
            if fds[at].revents != 0 {
                peer.drain(&mut inbox, &mut tally, at % SAMPLED == 0, clock);
            }
        }
        received.store(tally.received, Ordering::Relaxed);
    }
    tally
}
