//! What workers say to each other: packets of a source, wishes for key frames, and datagrams that
//! arrived at the wrong one.  `mirrors` has what becomes of sources, `handing` of datagrams.
//!
//! What waits to cross is bounded.  Packets and datagrams beyond a limit are dropped and counted;
//! control never is: it waits as a note of what is to be told about, once however often that
//! changes, and what is told is how it stands when the note's turn comes.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashSet;

use crate::cache::Packet;
use crate::engine::Engine;
use crate::table::Held;
use crate::types::{Micros, Path};

/// A mirror: the worker it is on, and a number that no other mirror, there or elsewhere, ever has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirror {
    pub worker: u8,
    pub token: u64,
}

/// One message between workers.
#[derive(Debug)]
pub enum Crossing {
    /// Begin, or cease, to feed a mirror of a source that lives where this goes.
    Feed {
        source: u32,
        mirror: Mirror,
    },
    Unfeed {
        source: u32,
        mirror: Mirror,
    },
    /// A packet for the mirror with this token.  While `more` follow of those that came before it
    /// was fed, nobody starts from them.  `fresh`: the layer has had a new SSRC since the packet
    /// before, so that whom it fed waits for its next start.
    Packet {
        token: u64,
        layer: usize,
        packet: Arc<Packet>,
        more: bool,
        fresh: bool,
    },
    /// The layer's sender ended it.
    Ended {
        token: u64,
        layer: usize,
    },
    /// For sender reports: the layer's last, and our clock minus its sender's, microseconds.
    Clock {
        token: u64,
        layer: usize,
        report: Option<(u64, u32)>,
        offset: Option<i64>,
    },
    /// A key frame is wished for.
    Ask {
        source: u32,
        layer: usize,
    },
    /// A datagram that arrived at the wrong worker.
    Datagram {
        data: Vec<u8>,
        path: Path,
    },
    /// How a worker holds a verified path, if it still does.
    Path {
        path: Path,
        worker: u8,
        held: Held,
    },
}

/// Something that another worker is to be told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Note {
    Path(Path),
    Ask {
        source: u32,
        layer: usize,
    },
    /// Of a mirror here.
    Feed {
        source: u32,
        token: u64,
    },
    Unfeed {
        source: u32,
        token: u64,
    },
    /// Of a mirror there.
    Clock {
        source: u32,
        token: u64,
        layer: usize,
    },
    Ended {
        source: u32,
        token: u64,
        layer: usize,
    },
}

/// What is dropped first while too much waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    Pictures = 1,
    Sound = 2,
    /// What a mirror begins with.
    First = 4,
}

enum Waiting {
    Whole(Crossing),
    Noted(Note),
}

/// What waits for one other worker, in order.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// The notes among it: each is there once.
    noted: HashSet<Note>,
}

/// What waits to cross, by worker.
#[derive(Default)]
pub(crate) struct Crossings {
    pub me: u8,
    queues: Vec<Queue>,
    next_token: u64,
    /// Paths that are ours, or ours no more, of which the driver is to be told.
    pub settled: VecDeque<Path>,
    /// A datagram another worker handed over is being taken: it goes no further.
    pub handed: bool,
}

impl Crossings {
    pub fn new(me: u8, workers: u8) -> Self {
        Crossings {
            me,
            queues: (0..workers).map(|_| Queue::default()).collect(),
            next_token: u64::from(me) << 48,
            settled: VecDeque::new(),
            handed: false,
        }
    }

    /// The other workers' numbers.
    pub fn others(&self) -> impl Iterator<Item = u8> {
        let me = self.me;
        (0..self.queues.len() as u8).filter(move |worker| *worker != me)
    }

    /// A number for a mirror here.
    pub fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    /// How many packets and datagrams wait for a worker.
    fn bulk(&self, worker: u8) -> usize {
        let queue = self.queues.get(usize::from(worker));
        queue.map_or(0, |queue| queue.waiting.len() - queue.noted.len())
    }

    /// Whether `count` more of this rank may wait.
    pub fn room(&self, worker: u8, rank: Rank, count: usize, limit: usize) -> bool {
        self.bulk(worker) + count <= limit * rank as usize
    }

    /// Let a packet or a datagram wait, for which there is room.
    pub fn push(&mut self, worker: u8, crossing: Crossing) {
        if let Some(queue) = self.queues.get_mut(usize::from(worker)) {
            queue.waiting.push_back(Waiting::Whole(crossing));
        }
    }

    /// Let a note wait, unless it does already.
    pub fn note(&mut self, worker: u8, note: Note) {
        if let Some(queue) = self.queues.get_mut(usize::from(worker)) {
            if queue.noted.insert(note) {
                queue.waiting.push_back(Waiting::Noted(note));
            }
        }
    }

    fn pop(&mut self, worker: u8) -> Option<Waiting> {
        let queue = self.queues.get_mut(usize::from(worker))?;
        let next = queue.waiting.pop_front()?;
        if let Waiting::Noted(note) = &next {
            queue.noted.remove(note);
        }
        Some(next)
    }
}

impl Engine {
    /// Be worker `me` of `workers` that share a port.
    pub fn among(mut self, me: u8, workers: u8) -> Self {
        self.crossings = Crossings::new(me, workers);
        self.guard = self.guard.shared(workers);
        self
    }

    /// How much waits for a worker.
    pub fn crossing(&self, worker: u8) -> usize {
        let queue = self.crossings.queues.get(usize::from(worker));
        queue.map_or(0, |queue| queue.waiting.len())
    }

    /// A path on which one of our transports was verified, or that none has any more (`false`):
    /// what comes on it had best arrive here, or need not.
    pub fn poll_settled(&mut self) -> Option<(Path, bool)> {
        let path = self.crossings.settled.pop_front()?;
        Some((path, self.tables.held(path) != Held::Gone))
    }

    /// The next message for a worker.  What is not asked for waits.
    pub fn poll_crossing(&mut self, worker: u8) -> Option<Crossing> {
        loop {
            match self.crossings.pop(worker)? {
                Waiting::Whole(crossing) => return Some(crossing),
                Waiting::Noted(note) => {
                    if let Some(crossing) = self.told(note) {
                        return Some(crossing);
                    }
                }
            }
        }
    }

    /// What a note stands for now; nothing, if it has become pointless.
    fn told(&self, note: Note) -> Option<Crossing> {
        let worker = self.crossings.me;
        let mirror = |token| Mirror { worker, token };
        match note {
            Note::Path(path) => Some(Crossing::Path {
                path,
                worker,
                held: self.tables.held(path),
            }),
            Note::Ask { source, layer } => Some(Crossing::Ask { source, layer }),
            Note::Feed { source, token } => {
                let mirror = mirror(token);
                let here = self.tables.mirrors.contains_key(&token);
                here.then_some(Crossing::Feed { source, mirror })
            }
            Note::Unfeed { source, token } => {
                let mirror = mirror(token);
                Some(Crossing::Unfeed { source, mirror })
            }
            Note::Clock {
                source,
                token,
                layer,
            } => self.clock(source, token, layer),
            Note::Ended {
                source,
                token,
                layer,
            } => {
                let held = self.fed(source, token)?.layers.get(layer)?;
                let ended = held.last_packet.is_none();
                ended.then_some(Crossing::Ended { token, layer })
            }
        }
    }

    /// Take a message from another worker.
    pub fn cross(&mut self, crossing: Crossing, now: Micros) {
        match crossing {
            Crossing::Feed { source, mirror } => self.begin_feed(source, mirror),
            Crossing::Unfeed { source, mirror } => self.end_feed(source, mirror),
            Crossing::Packet {
                token,
                layer,
                packet,
                more,
                fresh,
            } => self.take_mirrored(token, layer, packet, more, fresh, now),
            Crossing::Ended { token, layer } => {
                if let Some(source) = self.mirror(token) {
                    self.end_layer(source, layer);
                }
            }
            Crossing::Clock {
                token,
                layer,
                report,
                offset,
            } => self.set_clock(token, layer, report, offset),
            Crossing::Ask { source, layer } => {
                if let Some(&key) = self.tables.source_keys.get(&source) {
                    self.ask_keyframe(key, layer, now);
                }
            }
            Crossing::Datagram { mut data, path } => {
                self.crossings.handed = true;
                self.take(&mut data, path, now);
                self.crossings.handed = false;
            }
            Crossing::Path { path, worker, held } => self.path_told(path, worker, held),
        }
        self.bound_control();
        self.announce();
    }
}
