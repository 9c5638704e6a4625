//! A thread that owns sockets and a data plane, one of several that share a port.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use dataplane::naps::Naps;
use dataplane::steering::Steering;
use dataplane::{Batch, Codec, Crossing, Engine, Event, Limits, Micros, Op, Path, Stats, STREAM};

use crate::clock::{thread_cpu_ns, Clock};
use crate::inbox::Inbox;
use crate::socket::{poll, sharpen_timers, wait, SendCounts, Udp};
use crate::streams::Streams;
use crate::wake::Wake;

/// Bursts taken from one socket before the others and the timers have their turn.
const TURNS: usize = 4;
/// Octets written before they are sent.
pub const PORTION: usize = 96 * 1024;
/// Messages of other workers that may wait for one, which takes all of them before anything else;
/// what is over waits with its sender.
const MAX_CROSSINGS: usize = 512;
/// Messages of other workers after which what they brought is sent: a source's cache, from which it
/// is, holds four times as many by default.
const PIECE: usize = 256;
/// Senders that come within this time are steered together.
const STEER_US: Micros = 20_000;
/// How soon to look again whether a worker has room.
const CROWDED_US: Micros = 1_000;

/// What Python asks of a worker, or other workers say to it.
pub enum Command {
    Apply(Op),
    /// A datagram that came over a stream.
    Datagram {
        data: Vec<u8>,
        path: Path,
    },
    Cross(Vec<Crossing>),
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
    /// Datagrams the kernel threw away before we took them.
    pub drop_receive_queue: u64,
    /// Times the kernel was told whose a datagram is.
    pub steerings: u64,
    /// Times it would not hear of it: it spreads senders by itself, and what they send crosses.
    pub steerings_refused: u64,
    pub send: SendCounts,
}

impl Driver {
    pub fn add(&mut self, other: &Self) {
        self.worker_cpu_ns += other.worker_cpu_ns;
        self.receives += other.receives;
        self.wakeups += other.wakeups;
        self.drop_receive_queue += other.drop_receive_queue;
        self.steerings += other.steerings;
        self.steerings_refused += other.steerings_refused;
        self.send.add(&other.send);
    }
}

/// What the workers tell Python.
pub struct Told {
    pub events: Mutex<VecDeque<Event>>,
    pub wake: Wake,
    /// Whether that a socket sends no trains is among it.
    refused: AtomicBool,
}

impl Told {
    pub fn new() -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Told {
            events: Mutex::new(VecDeque::new()),
            wake: Wake::new()?,
            refused: AtomicBool::new(false),
        }))
    }
}

/// A worker's side that others touch.
pub struct Shared {
    pub commands: Mutex<VecDeque<Command>>,
    /// Whether commands may be waiting, so that the worker need not look.
    asked: AtomicBool,
    /// Messages of other workers among the commands.
    crossings: AtomicUsize,
    /// Whether the worker will look within a moment, unasked.
    napping: AtomicBool,
    pub wake: Wake,
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
            crossings: AtomicUsize::new(0),
            napping: AtomicBool::new(false),
            wake: Wake::new()?,
        }))
    }

    pub fn command(&self, command: Command) {
        lock(&self.commands).push_back(command);
        if !self.asked.swap(true, Ordering::SeqCst) {
            self.wake.set();
        }
    }

    /// How many messages may come now.
    fn room(&self) -> usize {
        MAX_CROSSINGS.saturating_sub(self.crossings.load(Ordering::Relaxed))
    }

    /// Hand over messages of another worker.  A nap is not cut short for them: who naps has set
    /// `napping` back before it looks whether anything was asked, and here it is asked first.
    fn deliver(&self, parcel: Vec<Crossing>) {
        self.crossings.fetch_add(parcel.len(), Ordering::Relaxed);
        lock(&self.commands).push_back(Command::Cross(parcel));
        let first = !self.asked.swap(true, Ordering::SeqCst);
        if first && !self.napping.load(Ordering::SeqCst) {
            self.wake.set();
        }
    }
}

/// What workers of one port begin with.
#[derive(Clone, Copy)]
pub struct Start {
    pub seed: u64,
    pub clock: Clock,
    /// Unix time in microseconds when the clock was zero.
    pub wall_us: u64,
}

/// What the workers of one port have in common.
pub struct Common {
    /// Every worker's, by number.
    pub all: Vec<Arc<Shared>>,
    pub told: Arc<Told>,
    pub streams: Arc<Streams>,
    pub steering: Mutex<Steering>,
}

pub struct Worker {
    me: usize,
    common: Arc<Common>,
    shared: Arc<Shared>,
    engine: Engine,
    sockets: Vec<Udp>,
    backlog: VecDeque<Batch>,
    inbox: Inbox,
    clock: Clock,
    driver: Driver,
    naps: Naps,
    /// Messages of other workers taken since datagrams were last looked for.
    crossed: usize,
    /// When to tell the kernel of senders who came or went.
    steer_at: Option<Micros>,
    stopping: bool,
    /// Who waits for the counters.
    askers: Vec<Sender<(Stats, Driver)>>,
    /// The wake, then the sockets; filled for each wait.
    fds: Vec<libc::pollfd>,
}

impl Worker {
    /// Worker `me` of all; they share the clock of `start`.
    pub fn new(
        me: usize,
        common: Arc<Common>,
        sockets: Vec<Udp>,
        limits: Limits,
        start: Start,
    ) -> Self {
        let engine = Engine::new(limits, start.seed.wrapping_add(me as u64), start.wall_us)
            .among(me as u8, common.all.len() as u8);
        let workers = common.all.len();
        Worker {
            me,
            shared: common.all[me].clone(),
            common,
            engine,
            sockets,
            backlog: VecDeque::new(),
            inbox: Inbox::new(),
            clock: start.clock,
            driver: Driver::default(),
            naps: Naps::new(limits.gather_us, workers),
            crossed: 0,
            steer_at: None,
            stopping: false,
            askers: Vec::new(),
            fds: Vec::new(),
        }
    }

    /// Serve until told to stop.
    pub fn run(mut self) {
        sharpen_timers();
        while !self.stopping {
            self.obey();
            let now = self.clock.now();
            let busy = self.receive(now);
            self.engine.tick(now);
            let crowded = self.pass_on();
            self.answer();
            // Before whoever came is answered, so that who comes later is steered later.
            self.steer(now);
            self.send(now);
            self.tell();
            if !busy && !self.stopping {
                self.rest(crowded);
            }
        }
    }

    /// Carry out what was asked.
    fn obey(&mut self) {
        // Looked at for each burst: reading is cheaper than taking.
        let asked = &self.shared.asked;
        if !asked.load(Ordering::SeqCst) || !asked.swap(false, Ordering::SeqCst) {
            return;
        }
        let commands = std::mem::take(&mut *lock(&self.shared.commands));
        let now = self.clock.now();
        for command in commands {
            match command {
                Command::Apply(op) => self.engine.apply(op, now),
                Command::Datagram { mut data, path } => {
                    self.common.streams.taken();
                    self.engine.receive(&mut data, path, now);
                }
                Command::Cross(parcel) => {
                    let came = parcel.len();
                    self.shared.crossings.fetch_sub(came, Ordering::Relaxed);
                    for crossing in parcel {
                        self.engine.cross(crossing, now);
                        self.crossed += 1;
                        if self.crossed % PIECE == 0 {
                            self.send(now);
                        }
                    }
                }
                Command::Stats(reply) => self.askers.push(reply),
                Command::Keyframe(source, reply) => {
                    let _ = reply.send(self.engine.keyframe(source));
                }
                Command::Stop => self.stopping = true,
            }
        }
    }

    /// Show the counters to who asked, who then knows that what was commanded before is done, and
    /// that the others have been told.
    fn answer(&mut self) {
        for asker in std::mem::take(&mut self.askers) {
            self.driver.worker_cpu_ns = thread_cpu_ns();
            self.driver.drop_receive_queue = self.sockets.iter_mut().map(Udp::dropped).sum();
            // The asker may have given up waiting.
            let _ = asker.send((self.engine.stats(), self.driver));
        }
    }

    /// Hand the others what is for them.  True when one has no room for all of it.
    fn pass_on(&mut self) -> bool {
        let mut crowded = false;
        let all = self.common.all.iter().enumerate();
        for (at, other) in all.filter(|(at, _)| *at != self.me) {
            let room = other.room();
            let mut parcel = Vec::with_capacity(self.engine.crossing(at as u8).min(room));
            while parcel.len() < room {
                let Some(crossing) = self.engine.poll_crossing(at as u8) else {
                    break;
                };
                parcel.push(crossing);
            }
            crowded |= self.engine.crossing(at as u8) > 0;
            if !parcel.is_empty() {
                other.deliver(parcel);
            }
        }
        crowded
    }

    /// Have what our transports' peers send arrive here.
    fn steer(&mut self, now: Micros) {
        while let Some((path, ours)) = self.engine.poll_settled() {
            let mut steering = lock(&self.common.steering);
            match ours {
                true => steering.came(path, self.me as u8),
                false => steering.went(path, self.me as u8),
            }
            self.steer_at.get_or_insert(now + STEER_US);
        }
        if self.steer_at.is_none_or(|at| now < at) {
            return;
        }
        self.steer_at = None;
        let mut steering = lock(&self.common.steering);
        if steering.changed() {
            for udp in &self.sockets {
                let steered = udp.steer(&steering.program(udp.address.is_ipv4()));
                self.driver.steerings += u64::from(steered);
                self.driver.steerings_refused += u64::from(!steered);
            }
        }
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
                // What was said before these were sent is to be known when they are looked at.
                self.obey();
                self.take(at, came, now);
                if !more {
                    break;
                }
                busy |= turn + 1 == TURNS;
            }
        }
        all += std::mem::take(&mut self.crossed);
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
        if self.common.streams.send(&batch, self.me) {
            let now = self.clock.now();
            self.engine.apply(Op::Stalled(batch.path), now);
        }
        self.engine.recycle(batch.octets);
    }

    /// Say once that a socket sends no trains.
    fn refusal(&mut self) -> Option<Event> {
        let told = &self.common.told.refused;
        let refused = self.sockets.iter().any(|udp| !udp.gso) && !told.load(Ordering::Relaxed);
        let first = refused && !told.swap(true, Ordering::Relaxed);
        first.then_some(Event::NoTrains)
    }

    /// Hand events to Python.
    fn tell(&mut self) {
        let Some(first) = self.refusal().or_else(|| self.engine.poll_event()) else {
            return;
        };
        let mut events = lock(&self.common.told.events);
        events.push_back(first);
        while let Some(event) = self.engine.poll_event() {
            events.push_back(event);
        }
        drop(events);
        self.common.told.wake.set();
    }

    /// Wait for a datagram, a command, room to send, or the next deadline.  Under load, let
    /// datagrams gather in the kernel for a while instead of waking for each.
    fn rest(&mut self, crowded: bool) {
        let now: Micros = self.clock.now();
        let nap = self.naps.left(now);
        let timeout = match nap {
            Some(left) => Some(left),
            None => self.engine.deadline().map(|at| at.saturating_sub(now)),
        };
        let steer = self.steer_at.map(|at| at.saturating_sub(now));
        let crowded = crowded.then_some(CROWDED_US);
        let timeout = [timeout, steer, crowded].into_iter().flatten().min();
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
        self.shared.napping.store(nap.is_some(), Ordering::SeqCst);
        wait(&mut self.fds, timeout);
        self.shared.napping.store(false, Ordering::SeqCst);
        if self.fds.first().is_some_and(|wake| wake.revents != 0) {
            self.shared.wake.clear();
        }
        self.driver.wakeups += 1;
    }
}
