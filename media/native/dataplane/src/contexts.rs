//! The SRTP contexts of one transport, one per SSRC, and how many a peer may make us keep.
//!
//! SSRCs that sources declare are as many as we agreed to and do not count.  Of all others at most
//! a given number are kept; when they are that many, the one idle longest makes room, so that a
//! peer that changes SSRCs is not refused for ever.  An SSRC that made room is remembered by the
//! highest index it had: when it comes back its roll-over counter goes on, and nothing it sent
//! before is taken again.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::seqmap::unwrap;
use crate::srtp::ReplayWindow;
use crate::types::{Micros, SECOND};

/// An undeclared SSRC without an authenticated packet for this long may make room for another.
pub const IDLE_US: Micros = 10 * SECOND;
/// SSRCs remembered after they made room.
const RETIRED: usize = 256;

struct Context<T> {
    window: ReplayWindow,
    heard: Micros,
    declared: bool,
    held: T,
}

struct Retired<T> {
    ssrc: u32,
    highest: u64,
    held: T,
}

/// Why a packet is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too many SSRCs.
    Full,
    /// It came before, or is too old to tell.
    Seen,
}

/// The index nearest the highest so far for a sequence number; `None` before the first.
fn following(highest: Option<u64>, seq: u16) -> Option<u64> {
    match highest {
        Some(highest) => unwrap(highest, seq),
        None => Some(u64::from(seq)),
    }
}

/// Contexts by SSRC, each holding a `T` beside its replay window.
pub struct Contexts<T> {
    known: HashMap<u32, Context<T>>,
    /// How many sources declare an SSRC.
    declared: HashMap<u32, u32>,
    undeclared: usize,
    /// Before this time no undeclared context has been idle for long enough.
    idle_from: Micros,
    retired: VecDeque<Retired<T>>,
}

impl<T> Default for Contexts<T> {
    fn default() -> Self {
        Contexts {
            known: HashMap::new(),
            declared: HashMap::new(),
            undeclared: 0,
            idle_from: 0,
            retired: VecDeque::new(),
        }
    }
}

impl<T: Default> Contexts<T> {
    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub fn get(&self, ssrc: u32) -> Option<&T> {
        self.known.get(&ssrc).map(|context| &context.held)
    }

    pub fn get_mut(&mut self, ssrc: u32) -> Option<&mut T> {
        self.known.get_mut(&ssrc).map(|context| &mut context.held)
    }

    pub fn ssrcs(&self) -> impl Iterator<Item = u32> + '_ {
        self.known.keys().copied()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        let known = self.known.iter_mut();
        known.map(|(ssrc, context)| (*ssrc, &mut context.held))
    }

    /// What every SSRC holds, those that made room included.
    pub fn all_held(&mut self) -> impl Iterator<Item = &mut T> {
        let retired = self.retired.iter_mut().map(|r| &mut r.held);
        self.known.values_mut().map(|c| &mut c.held).chain(retired)
    }

    /// The index nearest the SSRC's highest for a sequence number; `None` before its first.
    pub fn index(&self, ssrc: u32, seq: u16) -> Option<u64> {
        let known = self.known.get(&ssrc);
        let highest = match known {
            Some(context) => context.window.highest(),
            None => self.retired(ssrc).map(|r| r.highest),
        };
        following(highest, seq)
    }

    /// Whether a packet with this index has not been accepted yet.
    pub fn fresh(&self, ssrc: u32, index: u64) -> bool {
        match self.known.get(&ssrc) {
            Some(context) => context.window.fresh(index),
            None => self.retired(ssrc).is_none_or(|r| index > r.highest),
        }
    }

    /// Whether the SSRC has a context or may have one, `max` being the cap for undeclared ones.
    pub fn room(&mut self, ssrc: u32, max: usize, now: Micros) -> bool {
        self.known.contains_key(&ssrc)
            || self.declared.contains_key(&ssrc)
            || self.undeclared < max
            || self.idlest(now).is_some()
    }

    /// The index that a sequence number may be accepted with, `max` being the cap for undeclared
    /// SSRCs.
    pub fn place(&mut self, ssrc: u32, seq: u16, max: usize, now: Micros) -> Result<u64, Refused> {
        // All but an SSRC's first packet take one look-up.
        if let Some(context) = self.known.get(&ssrc) {
            let index = following(context.window.highest(), seq);
            let fresh = index.filter(|index| context.window.fresh(*index));
            return fresh.ok_or(Refused::Seen);
        }
        if !self.room(ssrc, max, now) {
            return Err(Refused::Full);
        }
        let index = self.index(ssrc, seq);
        let fresh = index.filter(|index| self.fresh(ssrc, *index));
        fresh.ok_or(Refused::Seen)
    }

    /// Record an index that authenticated, after `place`, or `room` and `fresh`, said yes.
    pub fn accept(&mut self, ssrc: u32, index: u64, max: usize, now: Micros) {
        if let Some(context) = self.known.get_mut(&ssrc) {
            context.window.accept(index);
            context.heard = now;
            return;
        }
        self.open(ssrc, max, now);
        if let Some(context) = self.known.get_mut(&ssrc) {
            context.window.accept(index);
        }
    }

    fn open(&mut self, ssrc: u32, max: usize, now: Micros) {
        let declared = self.declared.contains_key(&ssrc);
        if !declared && self.undeclared >= max {
            if let Some(idle) = self.idlest(now) {
                self.retire(idle);
            }
        }
        let at = self.retired.iter().position(|r| r.ssrc == ssrc);
        let before = at.and_then(|at| self.retired.remove(at));
        let (window, held) = match before {
            Some(before) => (ReplayWindow::after(before.highest), before.held),
            None => Default::default(),
        };
        self.undeclared += usize::from(!declared);
        let context = Context {
            window,
            heard: now,
            declared,
            held,
        };
        self.known.insert(ssrc, context);
    }

    /// A source says these SSRCs will come.
    pub fn declare(&mut self, ssrcs: impl Iterator<Item = u32>) {
        for ssrc in ssrcs {
            *self.declared.entry(ssrc).or_default() += 1;
            if let Some(context) = self.known.get_mut(&ssrc) {
                self.undeclared -= usize::from(!context.declared);
                context.declared = true;
            }
        }
    }

    /// A source is gone: SSRCs no other source declares make room at once.
    pub fn revoke(&mut self, ssrcs: impl Iterator<Item = u32>) {
        for ssrc in ssrcs {
            let Some(count) = self.declared.get_mut(&ssrc) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                self.declared.remove(&ssrc);
                self.retire(ssrc);
            }
        }
    }

    fn retired(&self, ssrc: u32) -> Option<&Retired<T>> {
        self.retired.iter().find(|r| r.ssrc == ssrc)
    }

    /// The undeclared SSRC idle longest, if that is long enough.
    fn idlest(&mut self, now: Micros) -> Option<u32> {
        if now < self.idle_from {
            return None;
        }
        let undeclared = self.known.iter().filter(|(_, context)| !context.declared);
        let (&ssrc, context) = undeclared.min_by_key(|(_, context)| context.heard)?;
        // Contexts are only ever heard later, so this holds until somebody else is the idlest.
        self.idle_from = context.heard + IDLE_US;
        (now >= self.idle_from).then_some(ssrc)
    }

    fn retire(&mut self, ssrc: u32) {
        let Some(context) = self.known.remove(&ssrc) else {
            return;
        };
        self.undeclared -= usize::from(!context.declared);
        let Some(highest) = context.window.highest() else {
            return;
        };
        if self.retired.len() >= RETIRED {
            self.retired.pop_front();
        }
        self.retired.push_back(Retired {
            ssrc,
            highest,
            held: context.held,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 16;

    fn hear(contexts: &mut Contexts<u8>, ssrc: u32, seq: u16, now: Micros) -> bool {
        let index = contexts.place(ssrc, seq, MAX, now);
        if let Ok(index) = index {
            contexts.accept(ssrc, index, MAX, now);
        }
        index.is_ok()
    }

    fn full(now: Micros) -> Contexts<u8> {
        let mut contexts = Contexts::default();
        assert!((0..MAX as u32).all(|ssrc| hear(&mut contexts, ssrc, 1, now)));
        contexts
    }

    #[test]
    fn the_seventeenth_undeclared_ssrc_waits_until_one_has_been_idle() {
        let mut contexts = full(0);
        assert!(!hear(&mut contexts, 99, 1, IDLE_US - 1));
        assert!((1..16).all(|ssrc| hear(&mut contexts, ssrc, 2, IDLE_US - 1)));
        assert!(hear(&mut contexts, 99, 1, IDLE_US));
        assert_eq!((contexts.len(), contexts.get(0)), (MAX, None));
        assert!(
            !hear(&mut contexts, 98, 1, IDLE_US),
            "the others still talk"
        );
    }

    #[test]
    fn declared_ssrcs_do_not_count_and_make_room_with_their_source() {
        let mut contexts = full(0);
        contexts.declare(100..180);
        assert!((100..180).all(|ssrc| hear(&mut contexts, ssrc, 1, 0)));
        assert!(!hear(&mut contexts, 99, 1, 0));
        assert_eq!(contexts.len(), MAX + 80);
        contexts.revoke(100..180);
        assert_eq!(contexts.len(), MAX);
        assert!(!hear(&mut contexts, 100, 2, 0), "it counts like any other");
    }

    #[test]
    fn an_ssrc_declared_by_two_sources_stays_until_both_are_gone() {
        let mut contexts: Contexts<u8> = Contexts::default();
        contexts.declare([7, 7].into_iter());
        assert!(hear(&mut contexts, 7, 1, 0));
        contexts.revoke([7].into_iter());
        assert_eq!(contexts.len(), 1);
        contexts.revoke([7].into_iter());
        assert!(contexts.is_empty());
    }

    #[test]
    fn who_made_room_comes_back_with_its_counter_and_without_its_past() {
        let mut contexts = full(0);
        let turns = [30_000, 60_000, 10];
        assert!(turns.iter().all(|seq| hear(&mut contexts, 3, *seq, 1)));
        assert_eq!(contexts.index(3, 10), Some(65_546));
        *contexts.get_mut(3).expect("known") = 5;
        assert!((20..36).all(|ssrc| hear(&mut contexts, ssrc, 1, 2 * IDLE_US)));
        assert_eq!(contexts.get(3), None);
        assert!(
            !hear(&mut contexts, 3, 60_000, 4 * IDLE_US),
            "taken already"
        );
        assert!(hear(&mut contexts, 3, 11, 4 * IDLE_US));
        assert_eq!(
            (contexts.index(3, 12), contexts.get(3)),
            (Some(65_548), Some(&5))
        );
    }

    proptest! {
        /// Whatever happens in whatever order, the count is right and within the cap.
        #[test]
        fn undeclared_ssrcs_never_exceed_the_cap(steps in proptest::collection::vec((0u8..8, 0u32..60, 0u64..IDLE_US), 1..400)) {
            let mut contexts: Contexts<u8> = Contexts::default();
            let mut now = 0;
            for (at, (kind, ssrc, pause)) in steps.into_iter().enumerate() {
                match kind {
                    0 => contexts.declare([ssrc].into_iter()),
                    1 => contexts.revoke([ssrc].into_iter()),
                    2 => now += pause,
                    _ => { hear(&mut contexts, ssrc, at as u16, now); }
                }
                let undeclared = contexts.known.values().filter(|c| !c.declared).count();
                prop_assert_eq!(undeclared, contexts.undeclared);
                prop_assert!(undeclared <= MAX);
                prop_assert!(contexts.known.iter().all(|(s, c)| c.declared == contexts.declared.contains_key(s)));
            }
        }
    }
}
