//! The workers of one port: started, asked and stopped together.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{channel, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataplane::steering::Steering;
use dataplane::{Counters, Limits, Op, Stats, TransportConfig};

use crate::clock::{cpu_ns_of, unix_us, Clock};
use crate::registry::{Order, Registry, Wrong};
use crate::socket::Udp;
use crate::streams::{Pump, Streams};
use crate::worker::{lock, Command, Common, Driver, Shared, Start, Told, Worker};

/// How long whoever asks waits for a worker.
pub const PATIENCE: Duration = Duration::from_secs(5);

pub struct Workers {
    pub common: Arc<Common>,
    registry: Mutex<Registry>,
    /// The workers', in order, then the streams'.
    threads: Mutex<Vec<JoinHandle<()>>>,
    pub addresses: Vec<SocketAddr>,
}

/// One worker's counters.
pub struct Part {
    pub driver: Driver,
    pub engine: Counters,
}

fn silent<E>(_: E) -> Wrong {
    "the engine's worker does not answer".to_owned()
}

impl Workers {
    /// One worker for each set of sockets; they share a port and a clock.
    pub fn start(
        sets: Vec<Vec<Udp>>,
        streams: Arc<Streams>,
        limits: Limits,
        seed: u64,
    ) -> io::Result<Self> {
        let first = sets.first().into_iter().flatten();
        let addresses = first.map(|udp| udp.address).collect();
        let count = sets.len();
        let all = sets.iter().map(|_| Shared::new());
        let common = Arc::new(Common {
            all: all.collect::<io::Result<Vec<_>>>()?,
            told: Told::new()?,
            streams,
            steering: Mutex::new(Steering::new(count as u8, seed)),
        });
        let start = Start {
            seed,
            clock: Clock::start(),
            wall_us: unix_us(),
        };
        let workers = Workers {
            registry: Mutex::new(Registry::new(count, limits)),
            threads: Mutex::default(),
            common,
            addresses,
        };
        for (at, sockets) in sets.into_iter().enumerate() {
            let worker = Worker::new(at, workers.common.clone(), sockets, limits, start);
            workers.spawn(format!("packets-{at}"), move || worker.run())?;
        }
        let common = &workers.common;
        let pump = Pump::new(common.streams.clone(), common.all.clone());
        workers.spawn("streams".to_owned(), move || pump.run())?;
        Ok(workers)
    }

    fn spawn(&self, name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = std::thread::Builder::new().name(name).spawn(run)?;
        lock(&self.threads).push(thread);
        Ok(())
    }

    pub fn open(&self) -> Result<(), Wrong> {
        if lock(&self.threads).is_empty() {
            return Err("the engine is closed".to_owned());
        }
        Ok(())
    }

    /// Check an operation and queue it where it belongs, in the order of the calls.
    pub fn submit(&self, op: Op) -> Result<(), Wrong> {
        let mut registry = lock(&self.registry);
        self.open()?;
        let orders = registry.admit(op)?;
        self.pass_on(orders);
        Ok(())
    }

    /// Add a transport beside the others of its group; "" is none.
    pub fn add_transport(
        &self,
        id: u32,
        config: TransportConfig,
        group: String,
    ) -> Result<(), Wrong> {
        let mut registry = lock(&self.registry);
        self.open()?;
        let orders = registry.add_transport(id, Box::new(config), group)?;
        self.pass_on(orders);
        Ok(())
    }

    fn pass_on(&self, orders: Vec<Order>) {
        for (worker, op) in orders {
            self.command(usize::from(worker), Command::Apply(op));
        }
    }

    /// Whether there is such a transport and the engine is open.
    pub fn known(&self, transport: u32) -> Result<(), Wrong> {
        self.open()?;
        lock(&self.registry).has(transport)
    }

    /// The worker on which a source lives.
    pub fn home(&self, source: u32) -> Result<usize, Wrong> {
        lock(&self.registry).home(source).map(usize::from)
    }

    pub fn command(&self, worker: usize, command: Command) {
        if let Some(shared) = self.common.all.get(worker) {
            shared.command(command);
        }
    }

    /// Ask one worker and wait for its answer.
    pub fn ask<T>(
        &self,
        worker: usize,
        make: impl FnOnce(std::sync::mpsc::Sender<T>) -> Command,
    ) -> Result<T, Wrong> {
        self.open()?;
        let (sender, receiver) = channel();
        self.command(worker, make(sender));
        receiver.recv_timeout(PATIENCE).map_err(silent)
    }

    /// Every worker's counters, as if they were one; each worker's own follow.
    pub fn stats(&self) -> Result<(Stats, Driver, Vec<Part>), Wrong> {
        self.open()?;
        let ask = |worker| {
            let (sender, receiver) = channel();
            self.command(worker, Command::Stats(sender));
            receiver
        };
        let answers: Vec<Receiver<(Stats, Driver)>> = (0..self.common.all.len()).map(ask).collect();
        let until = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        let mut parts = Vec::new();
        let mut total = Driver::default();
        for answer in answers {
            let left = until.saturating_duration_since(Instant::now());
            let (stats, driver) = answer.recv_timeout(left).map_err(silent)?;
            total.add(&driver);
            let engine = stats.engine.clone();
            parts.push(Part { driver, engine });
            all.push(stats);
        }
        Ok((Stats::merged(all), total, parts))
    }

    /// Processor time of each worker, nanoseconds.
    pub fn cpu_ns(&self) -> Vec<u64> {
        let threads = lock(&self.threads);
        let packets = threads.iter().take(self.common.all.len());
        packets.map(cpu_ns_of).collect()
    }

    pub fn stop(&self) {
        let threads = std::mem::take(&mut *lock(&self.threads));
        if threads.is_empty() {
            return;
        }
        for shared in &self.common.all {
            shared.command(Command::Stop);
        }
        self.common.streams.stop();
        for thread in threads {
            // One that panicked has printed its trace; there is nothing to add.
            let _ = thread.join();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}
