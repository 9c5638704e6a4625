//! Who sends and who receives in the relay bench.

use crate::bench::node::Node;
use crate::bench::peer::Peer;
use crate::bench::stream::Stream;
use crate::bench::BenchError;

/// Terminals of one meeting.
const TERMINALS: u32 = 20;
/// Others whom each of them receives.
const HEARD: u32 = 9;
/// Latency is taken at every so many-th receiver.
const SAMPLED: usize = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One source, its packets in frames, to all.
    Broadcast,
    /// Meetings of twenty (the last takes the rest), everybody receiving nine of the others, every
    /// source's packets evenly paced.
    Meeting,
}

#[derive(Clone, Copy)]
pub struct Load {
    pub shape: Shape,
    pub subscribers: u32,
    pub stream: Stream,
    pub workers: usize,
    /// What is to reach all receivers together in a second, unless it is left to the shape.
    pub packets_per_s: Option<f64>,
}

impl Load {
    /// Packets a source sends at a time.
    pub fn burst(&self) -> u64 {
        match self.shape {
            Shape::Broadcast => self.stream.burst(),
            Shape::Meeting => 1,
        }
    }

    fn senders(&self) -> u32 {
        match self.shape {
            Shape::Broadcast => 1,
            Shape::Meeting => self.subscribers,
        }
    }

    /// Receivers of each packet sent.
    pub fn fanout(&self) -> u64 {
        match self.shape {
            Shape::Broadcast => u64::from(self.subscribers),
            Shape::Meeting => u64::from(HEARD.min(self.subscribers - 1)),
        }
    }

    /// Packets all sources together send in a second.
    pub fn sent_per_s(&self) -> f64 {
        self.stream.packets_per_s() * f64::from(self.senders())
    }
}

/// Terminals `first..first + count` meet.
struct Meeting {
    first: u32,
    count: u32,
}

impl Meeting {
    /// The meeting of a terminal among `all`.
    fn of(terminal: u32, all: u32) -> Meeting {
        // The last meeting takes those who would be too few to meet.
        let meetings = (all / TERMINALS).max(1);
        let at = (terminal / TERMINALS).min(meetings - 1);
        let first = at * TERMINALS;
        let count = if at + 1 == meetings {
            all - first
        } else {
            TERMINALS
        };
        Meeting { first, count }
    }

    /// Whom a terminal receives.
    fn heard(&self, terminal: u32) -> impl Iterator<Item = u32> + '_ {
        let others = 1..=HEARD.min(self.count - 1);
        others.map(move |other| self.first + (terminal - self.first + other) % self.count)
    }
}

pub struct Stage {
    pub node: Node,
    pub senders: Vec<Peer>,
    pub receivers: Vec<Peer>,
}

impl Stage {
    /// Connect everybody and route; sender `n` is transport and source `n + 1`.
    pub fn build(load: &Load, seed: u64) -> Result<Stage, BenchError> {
        let mut stage = Stage {
            node: Node::start(0, load.workers, seed)?,
            senders: Vec::new(),
            receivers: Vec::new(),
        };
        let (stream, senders) = (load.stream, load.senders());
        // Who meets is served together.
        let group = |at| match load.shape {
            Shape::Broadcast => "all".to_owned(),
            Shape::Meeting => Meeting::of(at, load.subscribers).first.to_string(),
        };
        for id in 1..=senders {
            let sender = Peer::connect(&stage.node, id, stream, &group(id - 1))?;
            stage.node.source(id, id, stream.kind, sender.ssrc());
            stage.senders.push(sender);
        }
        for at in 0..load.subscribers {
            let id = 1 + senders + at;
            let receiver = Peer::connect(&stage.node, id, stream, &group(at))?;
            stage.receivers.push(receiver);
            let heard: Vec<u32> = match load.shape {
                Shape::Broadcast => vec![0],
                Shape::Meeting => Meeting::of(at, load.subscribers).heard(at).collect(),
            };
            for (number, source) in (1 + at * HEARD..).zip(heard) {
                stage.node.sink(number, id, stream.kind, source + 1);
            }
        }
        for receiver in stage.receivers.iter_mut().step_by(SAMPLED) {
            receiver.look()?;
        }
        Ok(stage)
    }
}
