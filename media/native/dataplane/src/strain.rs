//! The engine as a whole does less than it could: every picture some steps lower, or only those that
//! matter most.

use crate::engine::Engine;
use crate::layers::{pick, Step};
use crate::sink::{Allowed, Want};
use crate::types::Micros;

/// The greatest strain.
pub const MAX_STRAIN: u8 = 3;
/// At the greatest strain only pictures of at most this priority go on.
pub const KEPT_PRIORITY: u8 = 10;

/// What is left of what a viewer may have: as many steps lower as there is strain.  The lowest step
/// stays, until the greatest strain takes everything away but what matters most.
pub fn strained(steps: &[Step], want: Want, allowed: Allowed, strain: u8) -> Allowed {
    if strain >= MAX_STRAIN && want.priority > KEPT_PRIORITY {
        return Allowed::Paused;
    }
    if strain == 0 || !allowed.flows() {
        return allowed;
    }
    let picked = pick(steps, want, allowed).and_then(|p| steps.iter().position(|step| *step == p));
    let lower = picked.and_then(|at| steps.get(at.saturating_sub(usize::from(strain))));
    lower.map_or(allowed, |step| Allowed::UpTo(*step))
}

impl Engine {
    /// Change the strain, 0..=3; every sink follows at once.
    pub(crate) fn set_strain(&mut self, strain: u8, now: Micros) -> Option<()> {
        self.strain = strain.min(MAX_STRAIN);
        self.tick_sources(now);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(layer: u8, temporal: u8) -> Step {
        Step {
            layer,
            spatial: 0,
            temporal,
            bps: 0,
            height: 0,
        }
    }

    const SPEAKER: Want = Want {
        height: 0,
        priority: KEPT_PRIORITY,
        beside: None,
    };

    #[test]
    fn each_strain_takes_one_step_and_the_last_stays() {
        let steps = [step(0, 0), step(0, 1), step(1, 0)];
        let left = |strain| strained(&steps, SPEAKER, Allowed::Free, strain);
        assert_eq!(left(0), Allowed::Free);
        assert_eq!(left(1), Allowed::UpTo(steps[1]));
        assert_eq!(left(2), Allowed::UpTo(steps[0]));
        assert_eq!(left(3), Allowed::UpTo(steps[0]));
    }

    #[test]
    fn strain_comes_on_top_of_what_the_path_carries() {
        let steps = [step(0, 0), step(1, 0), step(2, 0)];
        let left = |allowed| strained(&steps, SPEAKER, allowed, 1);
        assert_eq!(left(Allowed::UpTo(steps[1])), Allowed::UpTo(steps[0]));
        assert_eq!(left(Allowed::Paused), Allowed::Paused);
        assert_eq!(strained(&[], SPEAKER, Allowed::Free, 1), Allowed::Free);
    }

    #[test]
    fn the_greatest_strain_keeps_only_what_matters_most() {
        let steps = [step(0, 0)];
        let rest = Want::default();
        let left = |want, strain| strained(&steps, want, Allowed::Free, strain);
        assert_eq!(left(rest, 2), Allowed::UpTo(steps[0]));
        assert_eq!(left(rest, 3), Allowed::Paused);
        assert_eq!(left(SPEAKER, 3), Allowed::UpTo(steps[0]));
    }
}
