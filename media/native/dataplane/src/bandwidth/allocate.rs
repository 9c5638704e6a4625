//! Who may have how much of a path: sound first, then every picture a little, then more by turns.
//!
//! Pure.  A *choice* is an index into a picture's steps, which ascend in cost; `None` is a pause.

/// Below this there are no pictures, ...
pub const LEAST_BPS: u64 = 100_000;
/// ... and from this on there are again.
pub const AGAIN_BPS: u64 = 130_000;
/// Margin asked for in percent before a picture gets more than it has.
const MARGIN: u64 = 108;

/// One picture that wants a part.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Lower is served first; of equals, the earlier in the list.
    pub priority: u8,
    /// Bits per second of each step, ascending.
    pub steps: Vec<u64>,
    /// What it has now: nothing, or up to this step.
    pub now: Option<usize>,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares {
    /// For each claim.
    pub choices: Vec<Option<usize>>,
    /// Estimate at which somebody would get more; 0 when all have all they want.
    pub wished_bps: u64,
    /// Bits per second that are left.
    pub left_bps: u64,
}

/// Share out `estimate` bits per second, of which sound takes `audio`.  With `calm` false nobody
/// gets more than now.
pub fn allocate(estimate: u64, audio: u64, claims: &[Claim], calm: bool) -> Shares {
    let mut shares = Shares {
        choices: vec![None; claims.len()],
        wished_bps: 0,
        left_bps: estimate.saturating_sub(audio),
    };
    if claims.is_empty() {
        return shares;
    }
    let paused = claims.iter().all(|claim| claim.now.is_none());
    let least = if paused { AGAIN_BPS } else { LEAST_BPS };
    let mut order: Vec<usize> = (0..claims.len()).collect();
    order.sort_by_key(|&at| claims.get(at).map(|claim| claim.priority));
    let mut table = Table {
        left: estimate.saturating_sub(audio),
        short: None,
        calm,
    };
    if estimate < least {
        table.left = 0;
    }
    let rounds = claims.iter().map(|claim| claim.steps.len()).max();
    for round in 0..rounds.unwrap_or(0) {
        for &at in &order {
            let (Some(claim), Some(choice)) = (claims.get(at), shares.choices.get_mut(at)) else {
                continue;
            };
            // Only who got the step before may have the next.
            if *choice == round.checked_sub(1) && table.raise(claim, round) {
                *choice = Some(round);
            }
        }
    }
    let wished = table.short.map(|short| (estimate + short).max(least));
    shares.wished_bps = wished.unwrap_or(0);
    let pairs = shares.choices.iter().zip(claims);
    let given = pairs.filter_map(|(choice, claim)| claim.steps.get((*choice)?));
    shares.left_bps = shares.left_bps.saturating_sub(given.sum());
    shares
}

struct Table {
    /// Bits per second not given away.
    left: u64,
    /// Least that was missing for a step somebody asked for.
    short: Option<u64>,
    calm: bool,
}

impl Table {
    /// Give a claim step `round` in the place of the one before, if there is enough.
    fn raise(&mut self, claim: &Claim, round: usize) -> bool {
        let Some(&cost) = claim.steps.get(round) else {
            return false;
        };
        let before = round.checked_sub(1).and_then(|at| claim.steps.get(at));
        let extra = cost.saturating_sub(before.copied().unwrap_or(0));
        let more = claim.now.is_none_or(|now| round > now);
        let needed = match more {
            true => extra.saturating_mul(MARGIN) / 100,
            false => extra,
        };
        let may = self.left >= needed && (self.calm || !more);
        if may {
            self.left -= extra;
        } else if self.left < needed {
            let missing = needed - self.left;
            self.short = Some(self.short.map_or(missing, |short| short.min(missing)));
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim(priority: u8, now: Option<usize>) -> Claim {
        Claim {
            priority,
            steps: vec![150_000, 500_000, 1_500_000],
            now,
        }
    }

    fn choices(estimate: u64, claims: &[Claim]) -> Vec<Option<usize>> {
        allocate(estimate, 30_000, claims, true).choices
    }

    #[test]
    fn everybody_gets_the_least_before_anybody_gets_more() {
        let claims = [claim(100, None), claim(10, None), claim(20, None)];
        assert_eq!(choices(400_000, &claims), [None, Some(0), Some(0)]);
        assert_eq!(choices(520_000, &claims), [Some(0), Some(0), Some(0)]);
        assert_eq!(choices(950_000, &claims), [Some(0), Some(1), Some(0)]);
        assert_eq!(choices(10_000_000, &claims), [Some(2), Some(2), Some(2)]);
    }

    #[test]
    fn pictures_stop_below_a_hundred_kilobits_and_come_again_above() {
        let thin = |now| Claim {
            priority: 10,
            steps: vec![40_000],
            now,
        };
        assert_eq!(choices(99_000, &[thin(Some(0))]), [None]);
        assert_eq!(choices(101_000, &[thin(Some(0))]), [Some(0)]);
        assert_eq!(choices(120_000, &[thin(None)]), [None]);
        assert_eq!(choices(131_000, &[thin(None)]), [Some(0)]);
    }

    #[test]
    fn a_step_that_just_fits_is_kept_but_not_taken() {
        let estimate = 530_000 + 20_000;
        assert_eq!(choices(estimate, &[claim(10, Some(1))]), [Some(1)]);
        assert_eq!(choices(estimate, &[claim(10, Some(0))]), [Some(0)]);
        let uneasy = allocate(9_000_000, 0, &[claim(10, Some(0))], false);
        assert_eq!(uneasy.choices, [Some(0)]);
    }

    #[test]
    fn what_is_left_is_told_also_where_there_are_no_pictures() {
        let left = |estimate, claims: &[Claim]| allocate(estimate, 30_000, claims, true).left_bps;
        assert_eq!(left(64_000, &[]), 34_000);
        assert_eq!(left(64_000, &[claim(10, None)]), 34_000);
        assert_eq!(left(200_000, &[claim(10, None)]), 20_000);
        assert_eq!(left(20_000, &[claim(10, None)]), 0);
    }

    #[test]
    fn what_would_help_is_told() {
        let shares = allocate(300_000, 30_000, &[claim(10, Some(0))], true);
        assert_eq!(shares.choices, [Some(0)]);
        assert_eq!(shares.wished_bps, 30_000 + 150_000 + 350_000 * MARGIN / 100);
        let shares = allocate(9_000_000, 30_000, &[claim(10, Some(0))], true);
        assert_eq!(shares.wished_bps, 0);
        let shares = allocate(60_000, 30_000, &[claim(10, None)], true);
        assert!(shares.wished_bps >= AGAIN_BPS);
    }

    proptest! {
        #[test]
        fn no_more_is_given_than_there_is(
            estimate in 0u64..20_000_000,
            claims in proptest::collection::vec((any::<u8>(), proptest::collection::vec(1u64..2_000_000, 0..6), proptest::option::of(0usize..6)), 0..20),
        ) {
            let claims: Vec<Claim> = claims.into_iter().map(|(priority, mut steps, now)| {
                steps.sort_unstable();
                Claim { priority, steps, now }
            }).collect();
            let shares = allocate(estimate, 20_000, &claims, true);
            let given: u64 = shares.choices.iter().zip(&claims)
                .filter_map(|(choice, claim)| claim.steps.get((*choice)?)).sum();
            prop_assert!(given <= estimate.saturating_sub(20_000) || given == 0);
            // A more urgent picture without anything leaves nothing as cheap to a less urgent one.
            for (a, high) in claims.iter().enumerate() {
                for (b, low) in claims.iter().enumerate() {
                    let both = !high.steps.is_empty() && !low.steps.is_empty();
                    if both && high.priority < low.priority && shares.choices[a].is_none() && high.now.is_some() == low.now.is_some() {
                        prop_assert!(shares.choices[b].is_none() || low.steps[0] < high.steps[0]);
                    }
                }
            }
        }
    }
}
