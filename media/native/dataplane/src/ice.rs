//! Connectivity checks: answered, sent, and DTLS that comes on the paths they verified.
//!
//! A transport that is not controlling is ICE-lite (RFC 8445 section 2.5): it only answers.
//! Nothing unauthenticated is answered, not even with an error.

use crate::demux::Class;
use crate::engine::Engine;
use crate::stun::{
    Builder, Message, StunError, BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, ROLE_CONFLICT,
    UNKNOWN_ATTRIBUTE,
};
use crate::transport::Check;
use crate::types::{Event, Micros, Path, MS, SECOND};

const CHECK_EVERY_US: Micros = 500 * MS;
const KEEPALIVE_EVERY_US: Micros = SECOND;
/// Until a keepalive is answered: often, so that lost ones are not taken for a dead peer.
const REPEAT_EVERY_US: Micros = 200 * MS;
const MAX_CHECKS: usize = 32;
/// Type preference 126 (host), component 1.
const PRIORITY: u32 = 126 << 24 | 65_535 << 8 | 255;

impl Engine {
    pub(crate) fn on_stun(&mut self, data: &[u8], path: Path, now: Micros) {
        match self.tables.paths.get(&path).copied() {
            Some(key) if !self.within_rate(key, Class::Stun, now) => return,
            None if !self.within_rate_elsewhere(path, Class::Stun, now) => return,
            None if !self.knows(path) && !self.guard.admits(path.peer.ip(), now) => {
                self.counters.drop_flood += 1;
                return;
            }
            _ => {}
        }
        let message = match Message::parse(data) {
            Ok(message) => message,
            Err(error) => {
                *match error {
                    StunError::Cookie => &mut self.counters.drop_stun_cookie,
                    StunError::Fingerprint => &mut self.counters.drop_stun_fingerprint,
                    _ => &mut self.counters.drop_stun_malformed,
                } += 1;
                return;
            }
        };
        let elsewhere = self.belongs(&message);
        if self.hand_over(elsewhere, data, path) {
            return;
        }
        match message.class_method {
            BINDING_REQUEST => self.on_check(&message, data.len(), path, now),
            BINDING_SUCCESS | BINDING_ERROR => self.on_answer(&message, data.len(), path, now),
            _ => self.counters.drop_stun_malformed += 1,
        }
    }

    fn on_check(&mut self, message: &Message<'_>, size: usize, path: Path, now: Micros) {
        let Some(key) = self.addressed(message) else {
            self.counters.drop_stun_ufrag += 1;
            return;
        };
        let Some(transport) = self.tables.transports.get(key) else {
            return;
        };
        let former = transport.former_key(message).cloned();
        let local_key = former.as_ref().unwrap_or(&transport.local_key);
        if !message.authentic(local_key) {
            self.counters.drop_stun_integrity += 1;
            return;
        }
        let answer = Builder::new(BINDING_ERROR, &message.transaction);
        let conflict = match transport.config.controlling {
            true => message.controlling.is_some(),
            false => message.controlled.is_some(),
        };
        let refused = if let Some(kind) = message.unknown_required {
            Some(answer.error(UNKNOWN_ATTRIBUTE, "Unknown").unknown(kind))
        } else if conflict {
            Some(answer.error(ROLE_CONFLICT, "Role"))
        } else {
            None
        };
        if let Some(refused) = refused {
            let octets = refused.finish(local_key);
            self.counters.drop_stun_role += 1;
            self.answer(key, octets, path);
            return;
        }
        let octets = Builder::new(BINDING_SUCCESS, &message.transaction)
            .xor_mapped(path.peer)
            .finish(local_key);
        if !self.verified(key, path, now) {
            return;
        }
        if former.is_none() {
            self.tables.forget_former(key);
        }
        self.answer(key, octets, path);
        self.heard_check(key, path, size, now);
        let controlling = self
            .tables
            .transports
            .get(key)
            .is_some_and(|t| t.config.controlling);
        if message.use_candidate && !controlling {
            self.nominate(key, path);
        }
    }

    /// The transport a check is for, by USERNAME.
    fn addressed(&self, message: &Message<'_>) -> Option<usize> {
        let (ours, theirs) = message.ufrags()?;
        let key = *self.tables.ufrags.get(ours)?;
        let transport = self.tables.transports.get(key)?;
        let expected = &transport.config.remote_ufrag;
        let former = transport.former.as_ref().is_some_and(|f| f.ufrag == ours);
        (former || expected.is_empty() || expected == theirs).then_some(key)
    }

    fn answer(&mut self, key: usize, octets: Vec<u8>, path: Path) {
        self.counters.stun_answered += 1;
        self.count_out(key, octets.len());
        self.ready.single(path, octets);
    }

    pub(crate) fn count_out(&mut self, key: usize, size: usize) {
        self.counters.packets_out += 1;
        self.counters.bytes_out += size as u64;
        if let Some(transport) = self.tables.transports.get_mut(key) {
            transport.stats.packets_out += 1;
            transport.stats.bytes_out += size as u64;
        }
    }

    fn on_answer(&mut self, message: &Message<'_>, size: usize, path: Path, now: Micros) {
        let Some(&key) = self.tables.transactions.get(&message.transaction) else {
            self.counters.drop_stun_response += 1;
            return;
        };
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        let known = transport
            .checks
            .iter()
            .position(|c| c.transaction == message.transaction && c.path == path);
        let Some(at) = known.filter(|_| message.authentic(&transport.remote_key)) else {
            self.counters.drop_stun_response += 1;
            return;
        };
        let check = transport.checks.swap_remove(at);
        self.tables.transactions.remove(&check.transaction);
        if message.class_method == BINDING_ERROR {
            self.counters.drop_stun_role += 1;
            return;
        }
        transport.measured(now.saturating_sub(check.sent));
        transport.next_check = now + KEEPALIVE_EVERY_US;
        if !self.verified(key, path, now) {
            return;
        }
        let settled = self.tables.transports.get(key).is_some_and(|t| {
            t.nominated
                && t.way()
                    .is_some_and(|p| p != path && t.heard_on(p).is_some())
        });
        self.heard_answer(key, path, size, now);
        if !settled {
            self.nominate(key, path);
        }
    }

    pub(crate) fn send_checks(&mut self, key: usize, now: Micros) {
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        let settled = transport.way().filter(|_| transport.nominated);
        let (targets, pause) = match settled {
            Some(path) => (vec![path], REPEAT_EVERY_US),
            None => (transport.config.candidates.clone(), CHECK_EVERY_US),
        };
        transport.next_check = now + pause;
        for path in targets {
            self.send_check(key, path, now);
        }
    }

    fn send_check(&mut self, key: usize, path: Path, now: Micros) {
        let mut transaction = [0u8; 12];
        let (high, low) = (self.random_u64(), self.random_u32());
        transaction[..8].copy_from_slice(&high.to_be_bytes());
        transaction[8..].copy_from_slice(&low.to_be_bytes());
        // So that an answer that arrives at another worker finds its way.
        transaction[11] = self.crossings.me;
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        if transport.checks.len() >= MAX_CHECKS {
            let old = transport.checks.remove(0);
            self.tables.transactions.remove(&old.transaction);
        }
        let sent = now;
        transport.checks.push(Check {
            transaction,
            path,
            sent,
        });
        self.tables.transactions.insert(transaction, key);
        let config = &transport.config;
        let octets = Builder::new(BINDING_REQUEST, &transaction)
            .username(&config.remote_ufrag, &config.local_ufrag)
            .priority(PRIORITY)
            .controlling(transport.tie_breaker)
            .use_candidate()
            .finish(&transport.remote_key);
        self.count_out(key, octets.len());
        self.ready.single(path, octets);
    }

    pub(crate) fn on_dtls(&mut self, data: &[u8], path: Path, now: Micros) {
        let Some(&key) = self.tables.paths.get(&path) else {
            let handed = self.hand_over_by_path(data, path, Class::Dtls, now);
            self.counters.drop_unverified_dtls += u64::from(!handed);
            return;
        };
        if !self.within_rate(key, Class::Dtls, now) {
            return;
        }
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        transport.stats.packets_in += 1;
        transport.stats.bytes_in += data.len() as u64;
        let transport = transport.id;
        self.counters.dtls_in += 1;
        let datagram = data.to_vec();
        self.tell(Event::Dtls {
            transport,
            datagram,
        });
    }

    pub(crate) fn send_dtls(&mut self, id: u32, datagram: &[u8]) -> Option<()> {
        let (key, transport) = self.tables.transport(id)?;
        let Some(path) = transport.in_use else {
            self.counters.drop_dtls_no_path += 1;
            return Some(());
        };
        self.counters.dtls_out += 1;
        self.count_out(key, datagram.len());
        self.ready.single(path, datagram.to_vec());
        Some(())
    }
}
