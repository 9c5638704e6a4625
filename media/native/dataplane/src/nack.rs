//! Losses of one layer and when to ask for them again.

use std::collections::BTreeMap;

use crate::types::{Micros, MS, SECOND};

const REORDER_US: Micros = 15 * MS;
const MAX_TRIES: u8 = 10;
const MAX_AGE_US: Micros = SECOND;
const MAX_MISSING: usize = 512;
/// Most sequence numbers asked for in one round.
const MAX_ASKED: usize = 128;

struct Missing {
    noticed: Micros,
    asked: Option<Micros>,
    tries: u8,
}

/// Missing packets in order of index; bounded, oldest forgotten first.
#[derive(Default)]
pub struct Losses {
    missing: BTreeMap<u64, Missing>,
}

impl Losses {
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// Packets `from..to` were jumped over.
    pub fn gap(&mut self, from: u64, to: u64, now: Micros) {
        let from = from.max(to.saturating_sub(MAX_MISSING as u64));
        for index in from..to {
            self.missing.insert(
                index,
                Missing {
                    noticed: now,
                    asked: None,
                    tries: 0,
                },
            );
        }
        while self.missing.len() > MAX_MISSING {
            self.missing.pop_first();
        }
    }

    /// A late packet came, by itself or by retransmission.  `None` if it was not missed; else the
    /// time since it was asked for, if that was once: then it is known what it answers.
    pub fn found(&mut self, index: u64, now: Micros) -> Option<Option<Micros>> {
        let miss = self.missing.remove(&index)?;
        let once = miss.asked.filter(|_| miss.tries == 1);
        Some(once.map(|asked| now.saturating_sub(asked)))
    }

    /// Everything before `index` is no longer wanted (a key frame starts there).
    pub fn forget_before(&mut self, index: u64) {
        self.missing = self.missing.split_off(&index);
    }

    pub fn clear(&mut self) {
        self.missing.clear();
    }

    /// Sequence numbers to ask for now: the first time after a spell of reordering, then every
    /// 1.5 round trips, later ever more seldom, so that ten times last for a second: whom we ask
    /// may itself have to ask, hop by hop up to the source.
    pub fn due(&mut self, now: Micros, rtt: Micros) -> Vec<u16> {
        self.missing
            .retain(|_, m| m.tries < MAX_TRIES && now.saturating_sub(m.noticed) < MAX_AGE_US);
        let pause = (rtt + rtt / 2).max(20 * MS);
        let mut asked = Vec::new();
        for (index, miss) in &mut self.missing {
            let due = match miss.asked {
                None => now.saturating_sub(miss.noticed) >= REORDER_US,
                Some(last) => {
                    let age = last.saturating_sub(miss.noticed);
                    now.saturating_sub(last) >= pause.max(age / 2)
                }
            };
            if due && asked.len() < MAX_ASKED {
                miss.asked = Some(now);
                miss.tries += 1;
                asked.push(*index as u16);
            }
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_asked_for_after_reordering_and_then_per_round_trip() {
        let mut losses = Losses::default();
        losses.gap(10, 12, 0);
        assert!(losses.due(5 * MS, 40 * MS).is_empty());
        assert_eq!(losses.due(20 * MS, 40 * MS), vec![10, 11]);
        assert_eq!(losses.found(10, 55 * MS), Some(Some(35 * MS)));
        assert_eq!(losses.found(10, 55 * MS), None);
        assert!(losses.due(50 * MS, 40 * MS).is_empty());
        assert_eq!(losses.due(85 * MS, 40 * MS), vec![11]);
    }

    #[test]
    fn a_loss_is_asked_for_ten_times_within_a_second_and_then_given_up() {
        let mut losses = Losses::default();
        losses.gap(1, 2, 0);
        let tries: Vec<Micros> = (0..200)
            .map(|n| n * 5 * MS)
            .filter(|now| !losses.due(*now, MS).is_empty())
            .collect();
        assert!((9..=10).contains(&tries.len()), "{tries:?}");
        assert!(tries[4] <= 150 * MS && tries.last() >= Some(&(600 * MS)));
        losses.gap(5, 6, 0);
        assert!(losses.due(SECOND, MS).is_empty());
        assert!(losses.is_empty());
    }

    #[test]
    fn a_jump_of_thousands_keeps_the_newest_five_hundred() {
        let mut losses = Losses::default();
        losses.gap(0, 30_000, 0);
        assert_eq!(losses.missing.len(), MAX_MISSING);
        assert_eq!(
            losses.missing.keys().next(),
            Some(&(30_000 - MAX_MISSING as u64))
        );
    }
}
