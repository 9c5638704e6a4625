//! The thread that owns the sockets and the data plane.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use dataplane::naps::Naps;
use dataplane::{Batch, Codec, Engine, Event, Limits, Micros, Op, Path, Stats, STREAM};

use crate::clock::{thread_cpu_ns, unix_us, Clock};
use crate::inbox::Inbox;
use crate::socket::{poll, sharpen_timers, wait, SendCounts, Udp};
use crate::streams::Streams;
use crate::wake::Wake;

/// Bursts taken from one socket before the others and the timers have their turn.
const TURNS: usize = 4;
/// Octets written before they are sent.
pub const PORTION: usize = 96 * 1024;

/// What Python asks of the worker.
pub enum Command {
    Apply(Op),
    /// A datagram that came over a stream.
    Datagram {
        data: Vec<u8>,
        path: Path,
    },
    Stats(Sender<(Stats, Driver)>),
    Keyframe(u32, Sender<Option<(Codec, Vec<u8>)>>),
    Stop,
}

/// The driver's own counters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Driver {
    pub worker_cpu_ns: u64,
    pub receives: u64,
    pub wakeups: u64,
    pub send: SendCounts,
}

/// What both threads touch.
pub struct Shared {
    pub commands: Mutex<VecDeque<Command>>,
    /// Whether commands may be waiting, so that the worker need not look.
    asked: AtomicBool,
    pub wake: Wake,
    pub events: Mutex<VecDeque<Event>>,
    pub told: Wake,
}

/// A lock whose holder panicked still guards plain queues: use them.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn new() -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Shared {
            commands: Mutex::new(VecDeque::new()),
            asked: AtomicBool::new(false),
            wake: Wake::new()?,
            events: Mutex::new(VecDeque::new()),
            told: Wake::new()?,
        }))
    }

    pub fn command(&self, command: Command) {
        lock(&self.commands).push_back(command);
        if !self.asked.swap(true, Ordering::SeqCst) {
            self.wake.set();
        }
    }
}

pub struct Worker {
    shared: Arc<Shared>,
    engine: Engine,
    sockets: Vec<Udp>,
    streams: Arc<Streams>,
    backlog: VecDeque<Batch>,
    inbox: Inbox,
    clock: Clock,
    driver: Driver,
    naps: Naps,
    /// Whether Python was told that a socket sends no trains.
    refused: bool,
    /// The wake, then the sockets; filled for each wait.
    fds: Vec<libc::pollfd>,
}

impl Worker {
    pub fn new(
        shared: Arc<Shared>,
        sockets: Vec<Udp>,
        streams: Arc<Streams>,
        limits: Limits,
        seed: u64,
    ) -> Self {
        Worker {
            shared,
            engine: Engine::new(limits, seed, unix_us()),
            sockets,
            streams,
            backlog: VecDeque::new(),
            inbox: Inbox::new(),
            clock: Clock::start(),
            driver: Driver::default(),
            naps: Naps::new(limits.gather_us),
            refused: false,
            fds: Vec::new(),
        }
    }

    /// Serve until told to stop.
    pub fn run(mut self) {
        sharpen_timers();
        loop {
            if !self.obey() {
                return;
            }
            let now = self.clock.now();
            let busy = self.receive(now);
            self.engine.tick(now);
            self.send(now);
            self.tell();
            if !busy {
                self.rest();
            }
        }
    }

    /// Carry out what Python asked.  False when that was to stop.
    fn obey(&mut self) -> bool {
        if !self.shared.asked.swap(false, Ordering::SeqCst) {
            return true;
        }
        let commands = std::mem::take(&mut *lock(&self.shared.commands));
        let now = self.clock.now();
        for command in commands {
            match command {
                Command::Apply(op) => self.engine.apply(op, now),
                Command::Datagram { mut data, path } => {
                    self.streams.taken();
                    self.engine.receive(&mut data, path, now);
                }
                Command::Stats(reply) => {
                    self.driver.worker_cpu_ns = thread_cpu_ns();
                    // The asker may have given up waiting.
                    let _ = reply.send((self.engine.stats(), self.driver));
                }
                Command::Keyframe(source, reply) => {
                    let _ = reply.send(self.engine.keyframe(source));
                }
                Command::Stop => return false,
            }
        }
        true
    }

    /// Take datagrams off all sockets.  True when more may be waiting.
    fn receive(&mut self, now: Micros) -> bool {
        let mut busy = false;
        let mut all = 0;
        for at in 0..self.sockets.len() {
            for turn in 0..TURNS {
                let (came, more) = self.inbox.fill(self.sockets[at].fd()).unwrap_or((0, false));
                self.driver.receives += 1;
                all += came;
                self.take(at, came, now);
                if !more {
                    break;
                }
                busy |= turn + 1 == TURNS;
            }
        }
        self.naps.came(all, now);
        busy
    }

    fn take(&mut self, at: usize, came: usize, now: Micros) {
        for received in self.inbox.datagrams(came) {
            if received.truncated {
                self.engine.oversize();
                continue;
            }
            let path = Path {
                socket: at as u8,
                peer: received.peer,
            };
            self.engine.receive(received.data, path, now);
        }
    }

    /// Send what is held back, then what is ready, in portions the processor's cache holds.  When
    /// a socket takes no more, the engine keeps the rest and decides what to drop.
    fn send(&mut self, now: Micros) {
        loop {
            let stuck = !self.send_backlog();
            self.engine.congested(stuck);
            if stuck {
                return;
            }
            let mut octets = 0;
            while octets < PORTION {
                let Some(batch) = self.engine.poll_transmit(now) else {
                    break;
                };
                octets += batch.octets.len();
                self.backlog.push_back(batch);
            }
            if octets == 0 {
                return;
            }
        }
    }

    /// False when a socket takes no more.
    fn send_backlog(&mut self) -> bool {
        while let Some(first) = self.backlog.front() {
            let socket = first.path.socket;
            if socket == STREAM {
                self.send_stream();
                continue;
            }
            let batches = self.backlog.make_contiguous();
            let run = batches
                .iter()
                .take_while(|b| b.path.socket == socket)
                .count();
            let Some(udp) = self.sockets.get_mut(usize::from(socket)) else {
                self.backlog.pop_front();
                continue;
            };
            let done = udp.send(&batches[..run], &mut self.driver.send);
            for batch in self.backlog.drain(..done) {
                self.engine.recycle(batch.octets);
            }
            if done < run {
                return false;
            }
        }
        true
    }

    /// Hand the first batch held back to its stream.
    fn send_stream(&mut self) {
        let Some(batch) = self.backlog.pop_front() else {
            return;
        };
        if self.streams.send(&batch) {
            let now = self.clock.now();
            self.engine.apply(Op::Stalled(batch.path), now);
        }
        self.engine.recycle(batch.octets);
    }

    /// Say once that a socket sends no trains.
    fn refusal(&mut self) -> Option<Event> {
        let refused = !self.refused && self.sockets.iter().any(|udp| !udp.gso);
        self.refused |= refused;
        refused.then_some(Event::NoTrains)
    }

    /// Hand events to Python.
    fn tell(&mut self) {
        let Some(first) = self.refusal().or_else(|| self.engine.poll_event()) else {
            return;
        };
        let mut events = lock(&self.shared.events);
        events.push_back(first);
        while let Some(event) = self.engine.poll_event() {
            events.push_back(event);
        }
        drop(events);
        self.shared.told.set();
    }

    /// Wait for a datagram, a command, room to send, or the next deadline.  Under load, let
    /// datagrams gather in the kernel for a while instead of waking for each.
    fn rest(&mut self) {
        let now: Micros = self.clock.now();
        let nap = self.naps.left(now);
        let timeout = match nap {
            Some(left) => Some(left),
            None => self.engine.deadline().map(|at| at.saturating_sub(now)),
        };
        if timeout == Some(0) {
            return;
        }
        let reading = if nap.is_some() { 0 } else { libc::POLLIN };
        let writing = if self.backlog.is_empty() {
            0
        } else {
            libc::POLLOUT
        };
        self.fds.clear();
        self.fds.push(poll(self.shared.wake.fd(), libc::POLLIN));
        if reading | writing != 0 {
            let sockets = self.sockets.iter();
            self.fds
                .extend(sockets.map(|udp| poll(udp.fd(), reading | writing)));
        }
        wait(&mut self.fds, timeout);
        if self.fds.first().is_some_and(|wake| wake.revents != 0) {
            self.shared.wake.clear();
        }
        self.driver.wakeups += 1;
    }
}
