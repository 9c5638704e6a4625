//! Peers that reach us over TCP (ICE-TCP, RFC 6544): streams into datagrams and back, on one thread.
//!
//! To the data plane a stream is a path whose socket is `STREAM`.  A worker hands batches for such
//! paths to `Streams::send`, which never waits; what comes in goes as a datagram to the worker that
//! has sent something there last, or, before that, to any: it hands over what is not its own.
//! Only what the engine answers lives: it answers nothing unauthenticated, so a stream to which it
//! has sent nothing for a while is closed.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use dataplane::framing::{frame, Deframer};
use dataplane::{Batch, Micros, Op, Path, SECOND, STREAM};
use socket2::SockRef;

use crate::clock::Clock;
use crate::lane::Lane;
use crate::socket::{poll, wait};
use crate::wake::Wake;
use crate::worker::{lock, Command, Shared};

/// A stream the engine has not answered by then is a stranger's.
const STRANGER_US: Micros = 10 * SECOND;
/// A stream the engine has sent nothing to for so long belongs to no transport any more.
const FORGOTTEN_US: Micros = 30 * SECOND;
/// A frame that began must be whole by then.
const HALF_FRAME_US: Micros = 10 * SECOND;
/// A stream that takes nothing for so long is closed.
const STUCK_US: Micros = 10 * SECOND;
const LOOK_EVERY_US: Micros = SECOND / 4;
/// Octets taken from one stream before the others have their turn.
const READ: usize = 16 * 1024;
/// Datagrams the workers have not taken yet; while there are more, streams are not read.
const MAX_UNTAKEN: usize = 1024;
const PAUSE_US: Micros = 2_000;
/// Octets the kernel holds unsent: more would be delay that nothing of ours could undo.
const UNSENT: libc::c_int = 32 * 1024;

/// How many streams there may be.
#[derive(Clone, Copy)]
pub struct Room {
    pub total: usize,
    pub per_address: usize,
}

/// What both threads touch.
pub struct Streams {
    room: Room,
    wake: Wake,
    stop: AtomicBool,
    arriving: Mutex<Vec<(TcpStream, SocketAddr)>>,
    lanes: Mutex<HashMap<SocketAddr, Arc<Mutex<Lane>>>>,
    clock: Clock,
    untaken: AtomicUsize,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    now: AtomicU64,
    opened: AtomicU64,
    refused: AtomicU64,
    strangers: AtomicU64,
    broken: AtomicU64,
    stuck: AtomicU64,
    full: AtomicU64,
}

impl Streams {
    pub fn new(room: Room) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Streams {
            room,
            wake: Wake::new()?,
            stop: AtomicBool::new(false),
            arriving: Mutex::default(),
            lanes: Mutex::default(),
            clock: Clock::start(),
            untaken: AtomicUsize::new(0),
            counts: Counts::default(),
        }))
    }

    /// Take a duplicate of a connected TCP socket; the path it is to transports.
    pub fn adopt(&self, fd: RawFd) -> io::Result<Path> {
        // SAFETY: fcntl takes no pointers here; a descriptor that is not open is an error.
        let own = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
        if own < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `own` was just made, is open, and nobody else owns it.
        let stream = TcpStream::from(unsafe { OwnedFd::from_raw_fd(own) });
        let peer = stream.peer_addr()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        limit_unsent(&stream);
        lock(&self.arriving).push((stream, peer));
        self.wake.set();
        Ok(path_of(peer))
    }

    /// Put a worker's batch on its stream's way out.  True when the stream is full from now on.
    pub fn send(&self, batch: &Batch, worker: usize) -> bool {
        let Some(lane) = lock(&self.lanes).get(&batch.path.peer).cloned() else {
            return false;
        };
        let mut lane = lock(&lane);
        let idle = lane.is_empty();
        for datagram in batch.octets.chunks(batch.segment.max(1)) {
            let taken = lane.put(|out| frame(datagram, out));
            self.counts.full.fetch_add(u64::from(!taken), Relaxed);
        }
        lane.answered = Some(self.clock.now());
        lane.home = worker;
        let full = lane.fills();
        drop(lane);
        if idle {
            self.wake.set();
        }
        full
    }

    /// A worker has taken a datagram.
    pub fn taken(&self) {
        self.untaken.fetch_sub(1, Relaxed);
    }

    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
        self.wake.set();
    }

    pub fn pairs(&self) -> [(&'static str, u64); 7] {
        let counts = &self.counts;
        [
            ("streams_now", counts.now.load(Relaxed)),
            ("streams_opened", counts.opened.load(Relaxed)),
            ("streams_refused", counts.refused.load(Relaxed)),
            ("streams_strange", counts.strangers.load(Relaxed)),
            ("streams_broken", counts.broken.load(Relaxed)),
            ("streams_stuck", counts.stuck.load(Relaxed)),
            ("drop_stream_full", counts.full.load(Relaxed)),
        ]
    }
}

/// Let the kernel say "full" early, so that what waits, waits where it can be dropped.
fn limit_unsent(stream: &TcpStream) {
    // A system without it only buffers more.
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT as u32);
}

/// Why a stream is closed.
enum End {
    /// By its peer, or by the network.
    Theirs,
    Stranger,
    Broken,
    Stuck,
    Displaced,
}

struct Stream {
    socket: TcpStream,
    peer: SocketAddr,
    lane: Arc<Mutex<Lane>>,
    deframer: Deframer,
    opened: Micros,
    /// Since when a frame is not whole.
    half: Option<Micros>,
    /// Since when what waits to be written has not moved.
    stuck: Option<Micros>,
}

/// The thread.
pub struct Pump {
    streams: Arc<Streams>,
    workers: Vec<Arc<Shared>>,
    open: Vec<Stream>,
    buffer: Vec<u8>,
}

impl Pump {
    pub fn new(streams: Arc<Streams>, workers: Vec<Arc<Shared>>) -> Self {
        Pump {
            streams,
            workers,
            open: Vec::new(),
            buffer: vec![0; READ],
        }
    }

    /// Serve until told to stop.
    pub fn run(mut self) {
        while !self.streams.stop.load(Relaxed) {
            self.welcome();
            let ready = self.rest();
            let now = self.streams.clock.now();
            let ends: Vec<Option<End>> = (self.open.iter_mut())
                .zip(ready)
                .map(|(stream, events)| {
                    let came = match events & (libc::POLLIN | libc::POLLHUP | libc::POLLERR) {
                        0 => Ok(()),
                        _ => stream.read(&mut self.buffer, &self.streams, &self.workers, now),
                    };
                    let went = came.and_then(|()| stream.write(&self.workers, now));
                    went.and_then(|()| stream.in_time(now)).err()
                })
                .collect();
            for (at, end) in ends.into_iter().enumerate().rev() {
                if let Some(end) = end {
                    self.close(at, &end);
                }
            }
        }
    }

    /// Take in new streams; a stranger makes room.
    fn welcome(&mut self) {
        let arriving = std::mem::take(&mut *lock(&self.streams.arriving));
        for (socket, peer) in arriving {
            let same: Vec<usize> = (0..self.open.len())
                .filter(|&at| self.open[at].peer.ip() == peer.ip())
                .collect();
            let room = self.streams.room;
            let crowded = if same.len() >= room.per_address {
                same
            } else if self.open.len() >= room.total {
                (0..self.open.len()).collect()
            } else {
                Vec::new()
            };
            let known = self.open.iter().any(|stream| stream.peer == peer);
            let stranger = crowded.iter().find(|&&at| self.open[at].strange());
            match stranger.copied() {
                Some(at) => self.close(at, &End::Displaced),
                None if known || !crowded.is_empty() => {
                    self.streams.counts.refused.fetch_add(1, Relaxed);
                    continue;
                }
                None => {}
            }
            self.admit(socket, peer);
        }
    }

    fn admit(&mut self, socket: TcpStream, peer: SocketAddr) {
        let lane = Arc::new(Mutex::new(Lane::default()));
        lock(&self.streams.lanes).insert(peer, lane.clone());
        self.open.push(Stream {
            socket,
            peer,
            lane,
            deframer: Deframer::default(),
            opened: self.streams.clock.now(),
            half: None,
            stuck: None,
        });
        self.streams.counts.opened.fetch_add(1, Relaxed);
        self.streams.counts.now.fetch_add(1, Relaxed);
    }

    fn close(&mut self, at: usize, end: &End) {
        let stream = self.open.remove(at);
        lock(&self.streams.lanes).remove(&stream.peer);
        let path = stream.path();
        tell(&self.workers, || Op::PathGone(path));
        let counts = &self.streams.counts;
        counts.now.fetch_sub(1, Relaxed);
        let kind = match end {
            End::Theirs => return,
            End::Stranger | End::Displaced => &counts.strangers,
            End::Broken => &counts.broken,
            End::Stuck => &counts.stuck,
        };
        kind.fetch_add(1, Relaxed);
    }

    /// Wait until something can be done; what each stream is ready for.
    fn rest(&mut self) -> Vec<i16> {
        let full = self.streams.untaken.load(Relaxed) >= MAX_UNTAKEN;
        let reading = if full { 0 } else { libc::POLLIN };
        let mut fds = vec![poll(self.streams.wake.fd(), libc::POLLIN)];
        fds.extend(self.open.iter().map(|stream| {
            let writing = match lock(&stream.lane).is_empty() {
                true => 0,
                false => libc::POLLOUT,
            };
            poll(stream.socket.as_raw_fd(), reading | writing)
        }));
        let timeout = match (self.open.is_empty(), full) {
            (true, _) => None,
            (_, true) => Some(PAUSE_US),
            _ => Some(LOOK_EVERY_US),
        };
        wait(&mut fds, timeout);
        self.streams.wake.clear();
        let ready = |fd: &libc::pollfd| if full { 0 } else { fd.revents };
        fds.iter().skip(1).map(ready).collect()
    }
}

impl Stream {
    fn path(&self) -> Path {
        path_of(self.peer)
    }

    fn strange(&self) -> bool {
        lock(&self.lane).answered.is_none()
    }

    fn read(
        &mut self,
        buffer: &mut [u8],
        streams: &Streams,
        workers: &[Arc<Shared>],
        now: Micros,
    ) -> Result<(), End> {
        let size = match self.socket.read(buffer) {
            Ok(0) => return Err(End::Theirs),
            Ok(size) => size,
            Err(error) if retried(&error) => return Ok(()),
            Err(_) => return Err(End::Theirs),
        };
        let whole = self.deframer.partial();
        self.deframer.push(buffer.get(..size).unwrap_or(&[]));
        let mut came = 0;
        let home = lock(&self.lane).home;
        while let Some(data) = self.deframer.take().map_err(|_| End::Broken)? {
            came += 1;
            if let Some(worker) = workers.get(home) {
                streams.untaken.fetch_add(1, Relaxed);
                let path = self.path();
                worker.command(Command::Datagram { data, path });
            }
        }
        self.half = match self.deframer.partial() {
            false => None,
            true if came == 0 && whole => self.half,
            true => Some(now),
        };
        Ok(())
    }

    /// Write what waits, as far as the socket takes it.
    fn write(&mut self, workers: &[Arc<Shared>], now: Micros) -> Result<(), End> {
        let mut lane = lock(&self.lane);
        while !lane.is_empty() {
            match self.socket.write(lane.waiting()) {
                Ok(0) => return Err(End::Theirs),
                Ok(size) => {
                    lane.sent(size);
                    self.stuck = None;
                }
                Err(error) if retried(&error) => break,
                Err(_) => return Err(End::Theirs),
            }
        }
        if lane.is_empty() {
            self.stuck = None;
        } else {
            self.stuck.get_or_insert(now);
        }
        if lane.drains() {
            drop(lane);
            let path = self.path();
            tell(workers, || Op::Flowing(path));
        }
        Ok(())
    }

    fn in_time(&self, now: Micros) -> Result<(), End> {
        let older =
            |since: Option<Micros>, limit| since.is_some_and(|at| now - at.min(now) > limit);
        let answered = lock(&self.lane).answered;
        match answered {
            None if older(Some(self.opened), STRANGER_US) => Err(End::Stranger),
            Some(_) if older(answered, FORGOTTEN_US) => Err(End::Stranger),
            _ if older(self.half, HALF_FRAME_US) => Err(End::Broken),
            _ if older(self.stuck, STUCK_US) => Err(End::Stuck),
            _ => Ok(()),
        }
    }
}

fn path_of(peer: SocketAddr) -> Path {
    Path {
        socket: STREAM,
        peer,
    }
}

/// Tell every worker: the one that has the path knows what to do.
fn tell(workers: &[Arc<Shared>], op: impl Fn() -> Op) {
    for worker in workers {
        worker.command(Command::Apply(op()));
    }
}

fn retried(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
