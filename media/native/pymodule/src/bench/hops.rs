//! What each node adds to a packet's way through a chain of nodes.

use std::time::Duration;

use crate::bench::node::{ufrag, KeyPair, Node};
use crate::bench::peer::Peer;
use crate::bench::tally::Tally;
use crate::bench::{BenchError, Figures};
use crate::clock::Clock;
use crate::socket::{sharpen_timers, wait, Inbox};

const PAYLOAD: usize = 1_100;
const IN: u32 = 1;
const OUT: u32 = 2;
const SSRC: u32 = 77;

/// Join a node's sink to the next node's source over a link.
fn link(from: &Node, to: &Node) {
    let keys = KeyPair::of(to.number, IN);
    to.transport(IN, ufrag(from.number, OUT), None, &keys);
    let back = keys.flipped();
    from.transport(OUT, ufrag(to.number, IN), Some(to.address), &back);
    to.source(1, IN, SSRC);
}

pub fn run(nodes: usize, seconds: f64, rate_per_s: u64, seed: u64) -> Result<Figures, BenchError> {
    let chain = (0..nodes as u32)
        .map(|number| Node::start(number, seed.wrapping_add(u64::from(number))))
        .collect::<Result<Vec<_>, _>>()?;
    let (Some(first), Some(last)) = (chain.first(), chain.last()) else {
        return Err(BenchError::Stuck("a node"));
    };
    let mut sender = Peer::connect(first, IN)?;
    first.source(1, IN, sender.ssrc());
    for pair in chain.windows(2) {
        if let [from, to] = pair {
            link(from, to);
        }
    }
    let receiver = Peer::connect(last, OUT)?;
    for node in &chain {
        node.sink(1, OUT, SSRC, 1);
        node.until("the links", |s| {
            s.transports.iter().all(|(_, t)| t.paths_now > 0)
        })?;
    }
    let clock = Clock::start();
    let mut tally = Tally::default();
    flow(
        &mut sender,
        &receiver,
        seconds,
        rate_per_s,
        &clock,
        &mut tally,
    )?;
    let total = tally.received;
    let mut figures = Figures::from([
        ("nodes", nodes as f64),
        ("sent", sender.sent as f64),
        ("loss", 1.0 - total as f64 / sender.sent as f64),
        ("p50_ms_per_hop", tally.percentile_ms(0.5) / nodes as f64),
        ("p99_ms_per_hop", tally.percentile_ms(0.99) / nodes as f64),
    ]);
    tally.into_figures(&mut figures);
    Ok(figures)
}

/// Send evenly and take what comes out at the far end.
fn flow(
    sender: &mut Peer,
    receiver: &Peer,
    seconds: f64,
    rate_per_s: u64,
    clock: &Clock,
    tally: &mut Tally,
) -> Result<(), BenchError> {
    let done = std::sync::atomic::AtomicBool::new(false);
    let pause_us = 1e6 / rate_per_s as f64;
    let length = Duration::from_secs_f64(seconds);
    let counted = std::thread::scope(|scope| {
        let far = scope.spawn(|| drain(receiver, &done, clock));
        sharpen_timers();
        let start = clock.now();
        let turns = (length.as_micros() as f64 / pause_us).ceil() as u64;
        let mut outcome = Ok(());
        for turn in 0..turns {
            let due = start + (turn as f64 * pause_us) as u64;
            let now = clock.now();
            if due > now {
                wait(&mut [], Some(due - now));
            }
            outcome = sender.send(PAYLOAD, clock);
            if outcome.is_err() {
                break;
            }
        }
        wait(&mut [], Some(200_000));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let counted = far.join().map_err(|_| BenchError::Stuck("the receiver"))?;
        outcome.map(|()| counted)
    })?;
    tally.merge(counted);
    Ok(())
}

fn drain(receiver: &Peer, done: &std::sync::atomic::AtomicBool, clock: &Clock) -> Tally {
    let mut inbox = Inbox::new();
    let mut tally = Tally::default();
    let mut fds = [libc::pollfd {
        fd: receiver.fd(),
        events: libc::POLLIN,
        revents: 0,
    }];
    while !done.load(std::sync::atomic::Ordering::Relaxed) {
        wait(&mut fds, Some(20_000));
        receiver.drain(&mut inbox, &mut tally, true, clock);
    }
    tally
}
