//! A transport's paths: which are its own, which one is used, and when the peer is given up.
//!
//! What is sent follows the peer: to the path it nominates, else to the one on which its authentic
//! packets now arrive (its address changed on the way, RFC 8445 does not foresee that a lite agent
//! is told).  Nothing but checks is sent to a peer without its consent (RFC 7675): one that we check
//! consents by its answers; one that checks us, by anything authentic.  Browsers check a good path
//! every 2.5 s and report on sound alone every 5 s, so their consent outlasts a few of those lost.

use crate::engine::Engine;
use crate::stun::integrity_key;
use crate::transport::Former;
use crate::types::{Credentials, Event, Micros, Path, MS};

/// Authentic media on another path than the one in use, which has been quiet for so long, moves
/// what we send there.
const MEDIA_MOVES_US: Micros = 200 * MS;

/// How many times `silent_us` the consent of a peer lasts that checks us.
const CONSENT: Micros = 4;

impl Engine {
    /// Make a path one of the transport's.  False when it belongs to another that is alive.
    pub(crate) fn verified(&mut self, key: usize, path: Path, now: Micros) -> bool {
        match self.tables.paths.get(&path) {
            Some(&owner) if owner == key => return true,
            Some(&owner) => {
                let silent_us = self.limits.silent_us;
                let heard = self.tables.transports.get(owner).and_then(|t| t.last_heard);
                if heard.is_some_and(|at| now.saturating_sub(at) < silent_us) {
                    self.counters.drop_path_taken += 1;
                    return false;
                }
            }
            // Another worker's, whose transport is alive: it says when that has ceased.
            None if self.tables.elsewhere.get(&path).is_some_and(|o| !o.silent) => {
                self.counters.drop_path_taken += 1;
                return false;
            }
            None => {}
        }
        self.tables.verify(key, path, now);
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return false;
        };
        if transport.in_use.is_none() {
            transport.in_use = Some(path);
        }
        let transport = transport.id;
        let peer = path.peer;
        self.tell(Event::Path { transport, peer });
        true
    }

    pub(crate) fn nominate(&mut self, key: usize, path: Path) {
        let known = self.tables.transports.get(key);
        if known.is_some_and(|t| !t.nominated || t.in_use != Some(path)) {
            self.use_path(key, path);
        }
    }

    fn use_path(&mut self, key: usize, path: Path) {
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        transport.nominated = true;
        let before = transport.in_use.replace(path);
        transport.stats.moves += u64::from(before.is_some_and(|before| before != path));
        let transport = transport.id;
        let peer = path.peer;
        self.tell(Event::Nominated { transport, peer });
    }

    // ---- something authentic came ------------------------------------------------------------

    /// A check.  The one who sends checks must have them answered before it counts as alive.
    pub(crate) fn heard_check(&mut self, key: usize, path: Path, size: usize, now: Micros) {
        let quiet_us = self.limits.silent_us;
        self.heard(key, path, size, quiet_us, now);
    }

    pub(crate) fn heard_answer(&mut self, key: usize, path: Path, size: usize, now: Micros) {
        if let Some(transport) = self.tables.transports.get_mut(key) {
            transport.answered = Some(now);
        }
        self.heard_check(key, path, size, now);
    }

    pub(crate) fn heard_media(&mut self, key: usize, path: Path, size: usize, now: Micros) {
        self.heard(key, path, size, MEDIA_MOVES_US, now);
    }

    /// Note it, and move to `path` when the one in use has been quiet for `quiet_us`.
    fn heard(&mut self, key: usize, path: Path, size: usize, quiet_us: Micros, now: Micros) {
        let silent_us = self.limits.silent_us;
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        transport.stats.packets_in += 1;
        transport.stats.bytes_in += size as u64;
        transport.last_heard = Some(now);
        if let Some(verified) = transport.verified(path) {
            verified.heard = now;
        }
        let in_use = transport.in_use.filter(|used| *used != path);
        let used_at = in_use.and_then(|used| transport.heard_on(used));
        let moves = used_at.is_some_and(|at| now.saturating_sub(at) > quiet_us);
        let back = transport.silent && !transport.unanswered(silent_us, now);
        let id = transport.id;
        if back {
            transport.silent = false;
            transport.withheld = false;
            self.tables.hushed(key);
            self.tell(Event::Alive { transport: id });
        }
        if moves {
            self.use_path(key, path);
        }
    }

    // ---- time passes -------------------------------------------------------------------------

    /// Send what checks are due and notice silence: nothing authentic came, or, if we are the one
    /// who checks, nothing was answered.
    pub(crate) fn tick_ice(&mut self, key: usize, now: Micros) {
        let silent_us = self.limits.silent_us;
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        let heard = transport.last_heard;
        let unheard = |limit: Micros| heard.is_some_and(|at| now.saturating_sub(at) > limit);
        let unanswered = transport.unanswered(silent_us, now);
        let fell_silent = !transport.silent && (unheard(silent_us) || unanswered);
        transport.withheld = unanswered || unheard(silent_us.saturating_mul(CONSENT));
        if fell_silent {
            transport.silent = true;
            transport.stats.silences += 1;
        }
        let due = transport.config.controlling && now >= transport.next_check;
        let id = transport.id;
        if fell_silent {
            self.tables.hushed(key);
            self.tell(Event::Silent { transport: id });
        }
        if due {
            self.send_checks(key, now);
        }
    }

    // ---- what the driver says ----------------------------------------------------------------

    /// New credentials.  Media goes on where it went until the peer is heard with the new ones;
    /// the old ones are good until then, should our answer be lost.
    pub(crate) fn restart_ice(&mut self, id: u32, new: Credentials, now: Micros) -> Option<()> {
        if self.tables.ufrags.contains_key(&new.local_ufrag) {
            return None;
        }
        let (key, _) = self.tables.transport(id)?;
        self.tables.forget_former(key);
        self.tables.ufrags.insert(new.local_ufrag.clone(), key);
        let transport = self.tables.transports.get_mut(key)?;
        for check in transport.checks.drain(..) {
            self.tables.transactions.remove(&check.transaction);
        }
        let config = &mut transport.config;
        let ufrag = std::mem::replace(&mut config.local_ufrag, new.local_ufrag);
        config.local_pwd = new.local_pwd;
        config.remote_ufrag = new.remote_ufrag;
        config.remote_pwd = new.remote_pwd;
        let local_key = integrity_key(&config.local_pwd);
        transport.remote_key = integrity_key(&config.remote_pwd);
        let key_before = std::mem::replace(&mut transport.local_key, local_key);
        transport.former = Some(Former {
            ufrag,
            key: key_before,
        });
        transport.nominated = false;
        transport.next_check = 0;
        transport.stats.restarts += 1;
        self.tick_ice(key, now);
        Some(())
    }

    /// Check `path` in place of all others.  Media goes where it went until that is answered.
    pub(crate) fn redirect(&mut self, id: u32, path: Path, now: Micros) -> Option<()> {
        let (key, _) = self.tables.transport(id)?;
        let transport = self.tables.transports.get_mut(key)?;
        for check in transport.checks.drain(..) {
            self.tables.transactions.remove(&check.transaction);
        }
        transport.config.candidates = vec![path];
        transport.nominated = false;
        transport.next_check = 0;
        self.tick_ice(key, now);
        Some(())
    }

    /// A stream takes no more pictures, or takes them again.
    pub(crate) fn stalled(&mut self, path: Path, full: bool) -> Option<()> {
        // It may have ended meanwhile.
        let key = self.tables.paths.get(&path).copied();
        if let Some(transport) = key.and_then(|key| self.tables.transports.get_mut(key)) {
            if full {
                transport.stalled = Some(path);
            } else if transport.stalled == Some(path) {
                transport.stalled = None;
            }
        }
        Some(())
    }

    /// A stream has ended: whoever comes from that address next is a stranger.
    pub(crate) fn path_gone(&mut self, path: Path) -> Option<()> {
        if let Some(&key) = self.tables.paths.get(&path) {
            self.tables.unverify(key, path);
            self.tables.moved.push(path);
        }
        Some(())
    }
}
