//! What each node adds to a packet's way through a chain of nodes.
//!
//! At every node somebody listens, and the kernel says when each packet came to him.  A hop's
//! latency is how much later the same packet came at one node's listener than at the listener of
//! the node before; for the first node, than it was sent.

use std::collections::HashMap;
use std::time::Duration;

use dataplane::Kind;

use crate::bench::ears::Ears;
use crate::bench::node::{ufrag, KeyPair, Node};
use crate::bench::peer::{Peer, Seen};
use crate::bench::stream::Stream;
use crate::bench::tally::Tally;
use crate::bench::{pairs, steady, BenchError, Figures};
use crate::clock::Clock;
use crate::socket::{sharpen_timers, wait};

const STREAM: Stream = Stream {
    kind: Kind::Video,
    payload_bytes: 1_100,
    uneven: false,
};
/// Transports of a node: from the node before, to the next, to the listener.
const IN: u32 = 1;
const OUT: u32 = 2;
const TAP: u32 = 3;
/// Finding what the chain carries: the first rate, by how much it grows, how often, for how long.
const FIRST_PER_S: f64 = 2_000.0;
const GROWTH: f64 = 1.4;
const STEPS: usize = 12;
const STEP: Duration = Duration::from_millis(300);
const LOST: f64 = 0.01;
/// Part of the packets still on their way when the last has been sent, up to which the chain keeps
/// pace.
const BEHIND: f64 = 0.03;
const FULL_SHARE: f64 = 0.9;

struct Chain<'a> {
    nodes: Vec<Node>,
    sender: Peer,
    ears: &'a Ears,
}

/// What a stretch of load came to.
struct Stretch {
    sent: u64,
    loss: f64,
    /// Not yet at the listeners when the last was sent.
    behind: f64,
    per_s: f64,
    /// The busiest worker's part of a core.
    share: f64,
}

pub fn run(
    nodes: usize,
    seconds: f64,
    rate_per_s: Option<u64>,
    seed: u64,
) -> Result<Figures, BenchError> {
    let ears = Ears::default();
    let (mut chain, taps) = Chain::build(nodes, seed, &ears)?;
    std::thread::scope(|scope| {
        let listening = scope.spawn(|| ears.listen(taps));
        let outcome = chain.measure(Duration::from_secs_f64(seconds), rate_per_s);
        ears.stop();
        let seen = listening.join();
        let seen = seen.map_err(|_| BenchError::Stuck("the listeners"))?;
        let mut figures = outcome?;
        figures.extend(latencies(&seen));
        Ok(figures)
    })
}

impl<'a> Chain<'a> {
    /// Nodes joined by links, and a listener at each.
    fn build(count: usize, seed: u64, ears: &'a Ears) -> Result<(Self, Vec<Peer>), BenchError> {
        let nodes = (0..count as u32)
            .map(|number| Node::start(number, 1, seed.wrapping_add(u64::from(number))))
            .collect::<Result<Vec<_>, _>>()?;
        let first = nodes.first().ok_or(BenchError::Stuck("a node"))?;
        let sender = Peer::connect(first, IN, STREAM, "")?;
        first.source(1, IN, STREAM.kind, sender.ssrc());
        // A listener comes before the link: a packet is at the node's before the next node has it.
        let mut taps = Vec::new();
        for node in &nodes {
            if node.number > 0 {
                expect(node);
            }
            let mut tap = Peer::connect(node, TAP, STREAM, "")?;
            tap.look()?;
            node.sink(TAP, TAP, STREAM.kind, 1);
            taps.push(tap);
        }
        for pair in nodes.windows(2) {
            if let [from, to] = pair {
                link(from, to);
            }
        }
        for node in &nodes {
            node.until("the links", |s| {
                s.transports.iter().all(|(_, t)| t.paths_now > 0)
            })?;
        }
        Ok((
            Chain {
                nodes,
                sender,
                ears,
            },
            taps,
        ))
    }

    fn measure(&mut self, length: Duration, rate: Option<u64>) -> Result<Figures, BenchError> {
        let rate = match rate {
            Some(rate) => rate as f64,
            None => self.capacity()? / 2.0,
        };
        self.ears.sample(true);
        let found = self.flow(rate, length)?;
        self.ears.sample(false);
        Ok(pairs([
            ("nodes", self.nodes.len() as f64),
            ("rate_per_s", rate),
            ("busiest_worker_share", found.share),
            ("sent", found.sent as f64),
            ("loss", found.loss),
        ]))
    }

    /// Packets per second that the chain carries, on this machine as busy as it is, without losing
    /// them or falling behind.
    fn capacity(&mut self) -> Result<f64, BenchError> {
        let mut rate = FIRST_PER_S;
        let mut carried = 0.0;
        for _ in 0..STEPS {
            let found = self.flow(rate, STEP)?;
            let lost = found.loss > LOST;
            if lost && carried == 0.0 {
                rate /= 2.0;
                continue;
            }
            let behind = found.behind > BEHIND && carried > 0.0;
            if lost || behind || found.per_s <= carried {
                break;
            }
            carried = found.per_s;
            if found.share > FULL_SHARE {
                break;
            }
            rate *= GROWTH;
        }
        let found = (carried > 0.0).then_some(carried);
        found.ok_or(BenchError::Stuck("a rate that the chain carries"))
    }

    /// Send evenly for a while and see what came to the listeners.
    fn flow(&mut self, rate_per_s: f64, length: Duration) -> Result<Stretch, BenchError> {
        let (heard, sent) = (self.ears.heard(), self.sender.sent);
        let before = self.busy()?;
        let clock = Clock::start();
        let end = length.as_micros() as u64;
        let pause_us = 1e6 / rate_per_s;
        sharpen_timers();
        for turn in 0u64.. {
            let due = (turn as f64 * pause_us) as u64;
            let now = clock.now();
            if due >= end || now >= 2 * end {
                break;
            }
            if due > now {
                wait(&mut [], Some(due - now));
            }
            self.sender.send()?;
        }
        let elapsed_us = clock.now() as f64;
        let sent = self.sender.sent - sent;
        let all = sent * self.nodes.len() as u64;
        let in_time = self.ears.heard() - heard;
        let heard = steady(all, || Ok(self.ears.heard() - heard))?;
        let busiest = self.busy()?.iter().zip(&before).map(|(a, b)| a - b).max();
        Ok(Stretch {
            sent,
            loss: 1.0 - heard as f64 / all as f64,
            behind: 1.0 - in_time as f64 / all as f64,
            per_s: sent as f64 * 1e6 / elapsed_us,
            share: busiest.unwrap_or(0) as f64 / 1000.0 / elapsed_us,
        })
    }

    /// Processor time of each node's worker, nanoseconds.
    fn busy(&self) -> Result<Vec<u64>, BenchError> {
        let each = self.nodes.iter().map(Node::stats);
        each.map(|stats| Ok(stats?.1.worker_cpu_ns)).collect()
    }
}

/// Have a node's source where the link from the node before will come.
fn expect(node: &Node) {
    let keys = KeyPair::of(node.number, IN);
    node.transport(IN, ufrag(node.number - 1, OUT), None, &keys, "");
    node.source(1, IN, STREAM.kind, OUT);
}

/// Join a node's sink to the next node's source over a link.
fn link(from: &Node, to: &Node) {
    let back = KeyPair::of(to.number, IN).flipped();
    from.transport(OUT, ufrag(to.number, IN), Some(to.address), &back, "");
    from.sink(OUT, OUT, STREAM.kind, 1);
}

/// Of each hop by itself and of the whole chain.
fn latencies(seen: &[Vec<Seen>]) -> Figures {
    let mut figures = Figures::new();
    let mut all = Tally::default();
    let mut chain = Tally::default();
    let mut worst = 0.0f64;
    // When each packet was at the node before, by when it was sent; at first that is the same.
    let mut before: HashMap<u64, u64> = HashMap::new();
    for (at, taken) in seen.iter().enumerate() {
        let mut hop = Tally::default();
        for (sent, came) in taken {
            let from = if at == 0 {
                Some(sent)
            } else {
                before.get(sent)
            };
            if let Some(from) = from {
                hop.add(came.saturating_sub(*from));
            }
            if at + 1 == seen.len() {
                chain.add(came.saturating_sub(*sent));
            }
        }
        worst = worst.max(hop.percentile_ms(0.99));
        figures.push((format!("hop{}_p50_ms", at + 1), hop.percentile_ms(0.5)));
        figures.push((format!("hop{}_p99_ms", at + 1), hop.percentile_ms(0.99)));
        all.merge(&hop);
        before = taken.iter().copied().collect();
    }
    figures.extend(pairs([
        ("p50_ms_per_hop", all.percentile_ms(0.5)),
        ("p99_ms_per_hop", all.percentile_ms(0.99)),
        ("p99_ms_worst_hop", worst),
        ("p50_ms", chain.percentile_ms(0.5)),
        ("p99_ms", chain.percentile_ms(0.99)),
    ]));
    figures
}
