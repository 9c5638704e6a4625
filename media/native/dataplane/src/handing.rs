//! Whose a path is, when several workers share a port, and datagrams that arrive at the wrong one.

use crate::crossing::{Crossing, Note, Rank};
use crate::demux::Class;
use crate::engine::Engine;
use crate::stun::{Message, BINDING_REQUEST};
use crate::table::{Held, Owner};
use crate::types::{Micros, Path};

impl Engine {
    /// Another worker says how it holds a path.
    pub(crate) fn path_told(&mut self, path: Path, worker: u8, held: Held) {
        let tables = &mut self.tables;
        let known = tables.elsewhere.get(&path);
        let theirs = known.map(|owner| owner.worker) == Some(worker);
        let intake = known.map(|owner| owner.intake).unwrap_or_default();
        let owner = |silent| Owner {
            worker,
            silent,
            intake,
        };
        match held {
            Held::Alive => tables.release(path, owner(false), self.crossings.me < worker),
            // Nothing, if it has been taken meanwhile.
            Held::Silent if theirs => {
                tables.elsewhere.insert(path, owner(true));
            }
            Held::Gone if theirs => {
                tables.elsewhere.remove(&path);
            }
            Held::Silent | Held::Gone => {}
        }
    }

    /// Whether whoever sends from there has been vouched for, here or on another worker.
    pub(crate) fn knows(&self, path: Path) -> bool {
        let tables = &self.tables;
        let ours = self.crossings.handed || tables.paths.contains_key(&path);
        ours || tables.elsewhere.contains_key(&path)
    }

    /// The worker a STUN message belongs to that means nothing here.
    pub(crate) fn belongs(&self, message: &Message<'_>) -> Option<u8> {
        let tables = &self.tables;
        if message.class_method == BINDING_REQUEST {
            let (ours, _) = message.ufrags()?;
            return tables.ufrags_elsewhere.get(ours).copied();
        }
        let known = tables.transactions.contains_key(&message.transaction);
        (!known).then_some(message.transaction[11])
    }

    pub(crate) fn set_elsewhere(&mut self, ufrag: String, worker: Option<u8>) -> Option<()> {
        let ufrags = &mut self.tables.ufrags_elsewhere;
        match worker {
            Some(worker) => ufrags.insert(ufrag, worker),
            None => ufrags.remove(&ufrag),
        };
        Some(())
    }

    /// Pass a datagram of somebody else's transport on.  False when it is nobody's.
    pub(crate) fn hand_over(&mut self, worker: Option<u8>, data: &[u8], path: Path) -> bool {
        let crossings = &mut self.crossings;
        let other = |worker: &u8| crossings.others().any(|other| other == *worker);
        let Some(worker) = worker.filter(other).filter(|_| !crossings.handed) else {
            return false;
        };
        if !crossings.room(worker, Rank::Sound, 1, self.limits.max_crossing) {
            self.counters.drop_crossing_datagram += 1;
            return true;
        }
        let data = data.to_vec();
        crossings.push(worker, Crossing::Datagram { data, path });
        self.counters.crossed_datagrams += 1;
        true
    }

    /// The same, for one that is known by its path only.
    pub(crate) fn hand_over_by_path(
        &mut self,
        data: &[u8],
        path: Path,
        class: Class,
        now: Micros,
    ) -> bool {
        if !self.within_rate_elsewhere(path, class, now) {
            return true;
        }
        let worker = self.tables.elsewhere.get(&path).map(|owner| owner.worker);
        self.hand_over(worker, data, path)
    }

    /// Tell the others what became of our paths.
    pub(crate) fn announce(&mut self) {
        if self.tables.moved.is_empty() {
            return;
        }
        for path in std::mem::take(&mut self.tables.moved) {
            let mut alone = true;
            for other in self.crossings.others() {
                alone = false;
                self.crossings.note(other, Note::Path(path));
            }
            if !alone {
                self.crossings.settled.push_back(path);
            }
        }
    }
}
