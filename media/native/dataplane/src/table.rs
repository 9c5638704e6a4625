//! Who is there: transports, sources and sinks, found by id, address, ufrag or transaction.

use hashbrown::HashMap;
use slab::Slab;

use crate::guard::Intake;
use crate::sink::Sink;
use crate::source::Source;
use crate::stun::TransactionId;
use crate::transport::{Transport, Verified, MAX_PATHS};
use crate::types::{Micros, Path};

/// What the other workers are to know of a path of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// By a transport whose peer is heard: nobody else may have it.
    Alive,
    /// By one whose peer is silent, so that another may take it.
    Silent,
    /// No longer.
    Gone,
}

/// The worker a path belongs to, whether another may take it, and what came on it here.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    pub worker: u8,
    pub silent: bool,
    pub intake: Intake,
}

#[derive(Default)]
pub struct Tables {
    pub transports: Slab<Transport>,
    pub sources: Slab<Source>,
    pub sinks: Slab<Sink>,
    pub transport_keys: HashMap<u32, usize>,
    pub source_keys: HashMap<u32, usize>,
    pub sink_keys: HashMap<u32, usize>,
    /// Verified paths only.
    pub paths: HashMap<Path, usize>,
    pub ufrags: HashMap<String, usize>,
    pub transactions: HashMap<TransactionId, usize>,
    /// Sources of other workers that are mirrored here, by token.
    pub mirrors: HashMap<u64, usize>,
    /// Which other worker a path or an ufrag belongs to.
    pub elsewhere: HashMap<Path, Owner>,
    pub ufrags_elsewhere: HashMap<String, u8>,
    /// What became of our paths since the others were told.
    pub moved: Vec<Path>,
}

impl Tables {
    pub fn transport(&mut self, id: u32) -> Option<(usize, &mut Transport)> {
        let key = *self.transport_keys.get(&id)?;
        Some((key, self.transports.get_mut(key)?))
    }

    /// Add a verified path; when there are too many, the oldest that is not in use makes room.
    pub fn verify(&mut self, key: usize, path: Path, now: Micros) {
        if let Some(&owner) = self.paths.get(&path) {
            if owner == key {
                return;
            }
            self.unverify(owner, path);
        }
        let Some(transport) = self.transports.get_mut(key) else {
            return;
        };
        if transport.paths.len() >= MAX_PATHS {
            let in_use = transport.in_use;
            let mut paths = transport.paths.iter();
            if let Some(at) = paths.position(|known| Some(known.path) != in_use) {
                let old = transport.paths.remove(at);
                self.paths.remove(&old.path);
                self.moved.push(old.path);
            }
        }
        transport.paths.push(Verified { path, heard: now });
        self.paths.insert(path, key);
        self.elsewhere.remove(&path);
        self.moved.push(path);
    }

    /// How we hold a path.
    pub fn held(&self, path: Path) -> Held {
        let owner = self.paths.get(&path);
        match owner.and_then(|key| self.transports.get(*key)) {
            Some(transport) if transport.silent => Held::Silent,
            Some(_) => Held::Alive,
            None => Held::Gone,
        }
    }

    /// A transport's peer is silent, or heard again: the others are to know.
    pub fn hushed(&mut self, key: usize) {
        if let Some(transport) = self.transports.get(key) {
            self.moved
                .extend(transport.paths.iter().map(|known| known.path));
        }
    }

    /// Another worker says that this path is its own.  Of two that took it at the same time, the
    /// one with the lower number, which is `first` when that is us, keeps it.
    pub fn release(&mut self, path: Path, to: Owner, first: bool) {
        if let Some(&owner) = self.paths.get(&path) {
            let alive = self.transports.get(owner).is_some_and(|t| !t.silent);
            if first && alive {
                return;
            }
            self.unverify(owner, path);
        }
        self.elsewhere.insert(path, to);
    }

    /// Take a path away; what was sent on it goes where the peer was heard last.
    pub fn unverify(&mut self, key: usize, path: Path) {
        self.paths.remove(&path);
        if let Some(transport) = self.transports.get_mut(key) {
            transport.paths.retain(|known| known.path != path);
            if transport.in_use == Some(path) {
                let rest = transport.paths.iter();
                transport.in_use = rest.max_by_key(|known| known.heard).map(|known| known.path);
                transport.nominated = false;
            }
        }
    }

    /// The peer uses the credentials of a restart: those before it are good no more.
    pub fn forget_former(&mut self, key: usize) {
        let former = self.transports.get_mut(key).and_then(|t| t.former.take());
        if let Some(former) = former {
            self.ufrags.remove(&former.ufrag);
        }
    }

    /// Forget a transport's addresses, ufrag and transactions and take it out.
    pub fn remove_transport(&mut self, id: u32) -> Option<Transport> {
        let key = self.transport_keys.remove(&id)?;
        let transport = self.transports.try_remove(key)?;
        for known in &transport.paths {
            self.paths.remove(&known.path);
            self.moved.push(known.path);
        }
        for check in &transport.checks {
            self.transactions.remove(&check.transaction);
        }
        self.ufrags.remove(&transport.config.local_ufrag);
        if let Some(former) = &transport.former {
            self.ufrags.remove(&former.ufrag);
        }
        Some(transport)
    }
}
