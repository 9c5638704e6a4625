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
use crate::bench::ledger::{Ledger, Page};
use crate::bench::node::Node;
use crate::bench::peer::Peer;
use crate::bench::stage::{Load, Stage};
use crate::bench::tally::Tally;
use crate::bench::{pairs, steady, BenchError, Figures};
use crate::clock::{thread_cpu_ns, Clock};
use crate::inbox::join_trains;
use crate::socket::{kernel_drops, sharpen_timers, wait};
use crate::workers::Part;

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

/// What one worker did in a stretch, as long as the load flowed.
#[derive(Clone, Copy)]
struct Share {
    forwarded: u64,
    crossed: u64,
    wakeups: u64,
    cpu_us: f64,
}

/// What one stretch of load has cost.
#[derive(Clone)]
struct Stretch {
    ledger: Ledger,
    sends: u64,
    cpu_us: f64,
    /// By the time the last packet was sent.
    workers: Vec<Share>,
    elapsed_us: f64,
    /// Of the threads that send and receive.
    sender_us: f64,
    receiver_us: f64,
}

impl Stretch {
    fn us_per_packet(&self) -> f64 {
        self.cpu_us / self.ledger.forwarded as f64
    }

    /// Of a core, for the busiest worker.
    fn share(&self) -> f64 {
        let busy = self.workers.iter().map(|worker| worker.cpu_us);
        busy.fold(0.0, f64::max) / self.elapsed_us
    }

    fn per_s(&self) -> f64 {
        let in_time = self.workers.iter().map(|worker| worker.forwarded);
        in_time.sum::<u64>() as f64 * 1e6 / self.elapsed_us
    }

    fn packets_per_send(&self) -> f64 {
        self.ledger.forwarded as f64 / self.sends as f64
    }

    /// What each worker did.
    fn each(&self, prefix: &str) -> Figures {
        let seconds = self.elapsed_us / 1e6;
        let each = self.workers.iter().enumerate().flat_map(|(at, worker)| {
            let figures = [
                ("packets_per_s", worker.forwarded as f64 / seconds),
                ("share", worker.cpu_us / self.elapsed_us),
                ("us_per_packet", worker.cpu_us / worker.forwarded as f64),
                ("crossed_per_s", worker.crossed as f64 / seconds),
                ("wakeups_per_s", worker.wakeups as f64 / seconds),
            ];
            figures.map(|(name, value)| (format!("{prefix}worker_{at}_{name}"), value))
        });
        each.collect()
    }
}

struct Bench<'a> {
    load: Load,
    node: Node,
    senders: Vec<Peer>,
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
        let mut figures = pairs([
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
            ("sender_share", plain.sender_us / plain.elapsed_us),
            ("receiver_share", plain.receiver_us / plain.elapsed_us),
            ("loss", plain.ledger.unheard()),
            ("packets_per_s_per_core", 1e6 / peak.us_per_packet()),
            ("saturated_packets_per_s", peak.per_s()),
            ("saturated_worker_share", peak.share()),
            ("saturated_loss", peak.ledger.unforwarded()),
        ]);
        for (prefix, stretch) in [("", &plain), ("saturated_", &peak)] {
            figures.extend(stretch.ledger.figures(prefix));
            figures.extend(stretch.each(prefix));
        }
        Ok(figures)
    }

    fn floor(&self, floor: &mut Floor, length: Duration) -> Result<(), BenchError> {
        let (arrived, sent) = (self.arrived(), floor.packets());
        floor.run(&self.targets, self.load.stream, self.load.burst(), length)?;
        // What is still on its way is not to be taken for the engine's.
        let sent = floor.packets() - sent;
        steady(sent, || Ok(self.arrived() - arrived)).map(|_| ())
    }

    /// What trains of about so many packets cost at the least.
    fn bare(&self, per_send: f64, length: Duration) -> Result<Bare, BenchError> {
        let train = per_send.round().clamp(1.0, LONGEST) as u64;
        let mut bare = Bare::new(self.load.stream, train)?;
        let receivers = self.targets.len() as f64;
        let per_s = self.load.sent_per_s() * self.load.fanout() as f64 / receivers;
        let arrived = self.arrived();
        bare.run(&self.targets, per_s, length)?;
        steady(bare.packets(), || Ok(self.arrived() - arrived))?;
        Ok(bare)
    }

    /// Raise the rate until the worker is busy all the time, packets are lost, or more does not
    /// get more through.  Returns the stretch in which most was forwarded.
    fn saturate(&mut self, base: &Stretch) -> Result<Stretch, BenchError> {
        let mut best = base.clone();
        let mut speed = 1.0;
        for _ in 0..STEPS {
            speed *= (1.2 / best.share()).clamp(1.2, STEEPEST);
            let next = self.flow(speed, STEP)?;
            let gained = next.per_s() > best.per_s() * 1.02;
            let full = next.share() > FULL_SHARE || next.ledger.unforwarded() > LOST;
            if next.per_s() > best.per_s() {
                best = next;
            }
            if full || !gained {
                break;
            }
        }
        Ok(best)
    }

    /// All counters, and each worker's.
    fn page(&self) -> Result<(Page, Vec<Part>), BenchError> {
        let (stats, driver, parts) = self.node.stats()?;
        Ok((Page::of(&stats, driver, self.dropped()), parts))
    }

    /// What the receivers' sockets had no room for.
    fn dropped(&self) -> u64 {
        let dropped = self.sockets.iter().map(|fd| u64::from(kernel_drops(*fd)));
        dropped.sum()
    }

    /// What came to the receivers, taken or not.
    fn arrived(&self) -> u64 {
        self.ears.heard() + self.dropped()
    }

    /// Let the load flow for a while; `speed` multiplies its own rate.
    fn flow(&mut self, speed: f64, length: Duration) -> Result<Stretch, BenchError> {
        let (before, parts_before) = self.page()?;
        let (heard, arrived) = (self.ears.heard(), self.arrived());
        let sent: u64 = self.senders.iter().map(|sender| sender.sent).sum();
        let (sender_ns, receiver_ns) = (thread_cpu_ns(), self.ears.cpu_ns());
        let clock = Clock::start();
        self.pace(speed, length)?;
        let (_, parts) = self.page()?;
        let elapsed_us = clock.now() as f64;
        let sender_us = (thread_cpu_ns() - sender_ns) as f64 / 1000.0;
        let receiver_us = (self.ears.cpu_ns() - receiver_ns) as f64 / 1000.0;
        let sent = self.senders.iter().map(|s| s.sent).sum::<u64>() - sent;
        steady(sent * self.load.fanout(), || {
            let (now, _) = self.page()?;
            Ok(Ledger::between(&before, &now, &self.load, sent, 0).known())
        })?;
        let (after, _) = self.page()?;
        let forwarded = after.engine.packets_forwarded - before.engine.packets_forwarded;
        steady(forwarded, || Ok(self.arrived() - arrived))?;
        let (after, heard) = (self.page()?.0, self.ears.heard() - heard);
        let (cost, cost_before) = (&after.driver, &before.driver);
        Ok(Stretch {
            sends: cost.send.sends - cost_before.send.sends,
            cpu_us: (cost.worker_cpu_ns - cost_before.worker_cpu_ns) as f64 / 1000.0,
            workers: shares(&parts_before, &parts),
            ledger: Ledger::between(&before, &after, &self.load, sent, heard),
            elapsed_us,
            sender_us,
            receiver_us,
        })
    }

    /// Send in the shape's rhythm.  A machine that cannot keep up sends less in the time there is.
    fn pace(&mut self, speed: f64, length: Duration) -> Result<(), BenchError> {
        sharpen_timers();
        let rate = self.load.sent_per_s();
        let received = rate * self.load.fanout() as f64;
        let modest = match self.load.packets_per_s {
            Some(asked) => asked / received,
            None => (MODEST / received).min(1.0),
        };
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

/// What each worker did between two looks.
fn shares(before: &[Part], after: &[Part]) -> Vec<Share> {
    let both = before.iter().zip(after);
    let share = |(before, after): (&Part, &Part)| Share {
        forwarded: after.engine.packets_forwarded - before.engine.packets_forwarded,
        crossed: after.engine.crossed_packets + after.engine.crossed_datagrams
            - before.engine.crossed_packets
            - before.engine.crossed_datagrams,
        wakeups: after.driver.wakeups - before.driver.wakeups,
        cpu_us: (after.driver.worker_cpu_ns - before.driver.worker_cpu_ns) as f64 / 1000.0,
    };
    both.map(share).collect()
}
