//! What forwarding costs the engine's thread, beside "encrypt and one sendto per packet" timed in
//! the same run with the same sizes, keys and receivers.
//!
//! On loopback the sender's thread also does what the receiver's kernel does elsewhere.  Above all
//! it cuts each train of datagrams for receivers that did not ask for trains, which a network card
//! or the next host would do.  So there are two figures: with plain receivers (`ratio`), and with
//! receivers that take trains whole (`ratio_trains`), where only the sender's own work is left.
//!
//! And there is what nothing but encryption and sending in trains as long as the engine's costs
//! plain receivers (`bare_us_per_packet`): no relay is cheaper on this kernel, however it is built.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::bench::bare::Bare;
use crate::bench::ears::Ears;
use crate::bench::floor::Floor;
use crate::bench::node::Node;
use crate::bench::peer::Peer;
use crate::bench::stage::{Load, Stage};
use crate::bench::tally::Tally;
use crate::bench::{pairs, steady, BenchError, Figures};
use crate::clock::Clock;
use crate::inbox::join_trains;
use crate::socket::{sharpen_timers, wait};

/// How long, and at how many times its rate, the load flows before it counts: until every source's
/// cache has been filled once, as it is after three seconds of any meeting.
const SETTLE: Duration = Duration::from_millis(600);
const SETTLING: f64 = 5.0;
/// Packets a second, all receivers together, up to which a load runs in real time: about half of
/// what one worker can do.  A larger one runs slower, frames as large as ever.
const MODEST: f64 = 100_000.0;
/// Packets of the longest train that is sent bare: they fit an IP packet whatever their size.
const LONGEST: f64 = 40.0;
/// Saturation: how often the rate is raised, by how much at most, and how long each lasts.
const STEPS: usize = 12;
const STEEPEST: f64 = 8.0;
const STEP: Duration = Duration::from_millis(300);
const FULL_SHARE: f64 = 0.97;
const LOST: f64 = 0.01;

/// What one stretch of load has cost.
#[derive(Clone, Copy)]
struct Stretch {
    offered: u64,
    forwarded: u64,
    /// At the receivers.
    heard: u64,
    sends: u64,
    cpu_us: f64,
    /// Forwarded, and its cost, by the time the last packet was sent.
    in_time: u64,
    cpu_us_in_time: f64,
    elapsed_us: f64,
    workers: usize,
}

impl Stretch {
    fn us_per_packet(&self) -> f64 {
        self.cpu_us / self.forwarded as f64
    }

    /// Of a core for each worker.
    fn share(&self) -> f64 {
        self.cpu_us_in_time / self.elapsed_us / self.workers as f64
    }

    fn per_s(&self) -> f64 {
        self.in_time as f64 * 1e6 / self.elapsed_us
    }

    fn packets_per_send(&self) -> f64 {
        self.forwarded as f64 / self.sends as f64
    }

    /// What the engine took in and did not forward, or never took in.
    fn unforwarded(&self) -> f64 {
        1.0 - self.forwarded as f64 / self.offered as f64
    }

    fn unheard(&self) -> f64 {
        1.0 - self.heard as f64 / self.offered as f64
    }
}

struct Bench<'a> {
    load: Load,
    node: Node,
    senders: Vec<Peer>,
    fanout: u64,
    ears: &'a Ears,
    targets: Vec<SocketAddr>,
    sockets: Vec<RawFd>,
    turn: usize,
}

pub fn run(load: Load, seconds: f64, seed: u64) -> Result<Figures, BenchError> {
    let stage = Stage::build(&load, seed)?;
    let ears = Ears::default();
    let addresses = stage.receivers.iter().map(|peer| peer.socket.local_addr());
    let mut bench = Bench {
        load,
        targets: addresses.collect::<Result<_, _>>()?,
        sockets: stage.receivers.iter().map(Peer::fd).collect(),
        node: stage.node,
        senders: stage.senders,
        fanout: stage.fanout,
        ears: &ears,
        turn: 0,
    };
    std::thread::scope(|scope| {
        let listening = scope.spawn(|| ears.listen(stage.receivers));
        let outcome = bench.measure(Duration::from_secs_f64(seconds));
        ears.stop();
        let seen = listening.join();
        let seen = seen.map_err(|_| BenchError::Stuck("the receivers"))?;
        let mut latency = Tally::default();
        for (sent, came) in seen.into_iter().flatten() {
            latency.add(came.saturating_sub(sent));
        }
        let mut figures = outcome?;
        figures.extend(pairs([
            ("p50_ms", latency.percentile_ms(0.5)),
            ("p99_ms", latency.percentile_ms(0.99)),
        ]));
        Ok(figures)
    })
}

impl Bench<'_> {
    fn measure(&mut self, length: Duration) -> Result<Figures, BenchError> {
        let mut floor = Floor::default();
        self.floor(&mut floor, length / 2)?;
        self.flow(SETTLING, SETTLE)?;
        self.ears.sample(true);
        let plain = self.flow(1.0, length)?;
        self.ears.sample(false);
        let bare = self.bare(plain.packets_per_send(), length / 2)?;
        self.floor(&mut floor, length / 2)?;
        let joined = self.sockets.iter().all(|fd| join_trains(*fd, true));
        let trains = self.flow(1.0, length / 2)?;
        for fd in &self.sockets {
            join_trains(*fd, false);
        }
        let peak = self.saturate(&plain)?;
        let floor_us = floor.us_per_packet();
        let trains_us = if joined {
            trains.us_per_packet()
        } else {
            f64::NAN
        };
        Ok(pairs([
            ("us_per_packet", plain.us_per_packet()),
            ("floor_us_per_packet", floor_us),
            ("ratio", plain.us_per_packet() / floor_us),
            ("bare_us_per_packet", bare.us_per_packet()),
            ("bare_ratio", bare.us_per_packet() / floor_us),
            ("us_per_packet_trains", trains_us),
            ("ratio_trains", trains_us / floor_us),
            ("packets_per_send", plain.packets_per_send()),
            ("packets_per_s", plain.per_s()),
            ("worker_share", plain.share()),
            ("loss", plain.unheard()),
            ("packets_per_s_per_core", 1e6 / peak.us_per_packet()),
            ("saturated_packets_per_s", peak.per_s()),
            ("saturated_worker_share", peak.share()),
            ("saturated_loss", peak.unforwarded()),
        ]))
    }

    fn floor(&self, floor: &mut Floor, length: Duration) -> Result<(), BenchError> {
        let heard = self.ears.heard();
        floor.run(&self.targets, self.load.stream, self.load.burst(), length)?;
        // What is still on its way is not to be taken for the engine's.
        steady(u64::MAX, || Ok(self.ears.heard() - heard)).map(|_| ())
    }

    /// What trains of about so many packets cost at the least.
    fn bare(&self, per_send: f64, length: Duration) -> Result<Bare, BenchError> {
        let train = per_send.round().clamp(1.0, LONGEST) as u64;
        let mut bare = Bare::new(self.load.stream, train)?;
        let receivers = self.targets.len() as f64;
        let per_s = self.load.sent_per_s() * self.fanout as f64 / receivers;
        let heard = self.ears.heard();
        bare.run(&self.targets, per_s, length)?;
        steady(u64::MAX, || Ok(self.ears.heard() - heard))?;
        Ok(bare)
    }

    /// Raise the rate until the worker is busy all the time, packets are lost, or more does not
    /// get more through.  Returns the stretch in which most was forwarded.
    fn saturate(&mut self, base: &Stretch) -> Result<Stretch, BenchError> {
        let mut best = *base;
        let mut speed = 1.0;
        for _ in 0..STEPS {
            speed *= (1.2 / best.share()).clamp(1.2, STEEPEST);
            let next = self.flow(speed, STEP)?;
            let gained = next.per_s() > best.per_s() * 1.02;
            if next.per_s() > best.per_s() {
                best = next;
            }
            if next.share() > FULL_SHARE || next.unforwarded() > LOST || !gained {
                break;
            }
        }
        Ok(best)
    }

    /// Let the load flow for a while; `speed` multiplies its own rate.
    fn flow(&mut self, speed: f64, length: Duration) -> Result<Stretch, BenchError> {
        let (before, cost_before, _) = self.node.stats()?;
        let heard = self.ears.heard();
        let sent: u64 = self.senders.iter().map(|sender| sender.sent).sum();
        let clock = Clock::start();
        self.pace(speed, length)?;
        let (in_time, cost_in_time, _) = self.node.stats()?;
        let elapsed_us = clock.now() as f64;
        let sent = self.senders.iter().map(|s| s.sent).sum::<u64>() - sent;
        let offered = sent * self.fanout;
        let forwarded = steady(offered, || {
            let now = self.node.stats()?.0.engine.packets_forwarded;
            Ok(now - before.engine.packets_forwarded)
        })?;
        let cost = self.node.stats()?.1;
        Ok(Stretch {
            offered,
            forwarded,
            heard: steady(forwarded, || Ok(self.ears.heard() - heard))?,
            sends: cost.send.sends - cost_before.send.sends,
            cpu_us: (cost.worker_cpu_ns - cost_before.worker_cpu_ns) as f64 / 1000.0,
            in_time: in_time.engine.packets_forwarded - before.engine.packets_forwarded,
            cpu_us_in_time: (cost_in_time.worker_cpu_ns - cost_before.worker_cpu_ns) as f64
                / 1000.0,
            elapsed_us,
            workers: self.load.workers,
        })
    }

    /// Send in the shape's rhythm.  A machine that cannot keep up sends less in the time there is.
    fn pace(&mut self, speed: f64, length: Duration) -> Result<(), BenchError> {
        sharpen_timers();
        let rate = self.load.sent_per_s();
        let modest = (MODEST / (rate * self.fanout as f64)).min(1.0);
        let pause_us = 1e6 * self.load.burst() as f64 / (rate * modest * speed);
        let clock = Clock::start();
        let end = length.as_micros() as u64;
        for turn in 0u64.. {
            let due = (turn as f64 * pause_us) as u64;
            let now = clock.now();
            if due >= end || now >= 2 * end {
                break;
            }
            if due > now {
                wait(&mut [], Some(due - now));
            }
            self.turn = (self.turn + 1) % self.senders.len();
            for _ in 0..self.load.burst() {
                self.senders[self.turn].send()?;
            }
        }
        Ok(())
    }
}
