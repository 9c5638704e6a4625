//! The ways a picture can be forwarded, what each costs, and which of them a viewer gets.
//!
//! Pure: the engine's side, which points sinks at layers, is in `follow`.

use crate::sink::{Allowed, Want};
use crate::source::Source;
use crate::types::{Kind, Micros, MS};

/// Targets of one layer: spatial layers 0..=3 with temporal layers 0..=3 each.
pub const TARGETS: usize = 16;

/// One bin of a meter; a rate is over the last five.
const BIN_US: Micros = 200 * MS;
const BINS: usize = 5;

/// One way to forward a source: a simulcast layer, and up to which spatial and temporal layer of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub layer: u8,
    pub spatial: u8,
    pub temporal: u8,
    /// Payload bits per second over about the last second.
    pub bps: u64,
    /// Lines of the picture; 0: unknown.
    pub height: u16,
}

impl Step {
    /// Steps are ordered by layer, then spatial, then temporal layer.
    fn place(&self) -> (u8, u8, u8) {
        (self.layer, self.spatial, self.temporal)
    }

    fn picture(&self) -> (u8, u8) {
        (self.layer, self.spatial)
    }
}

/// Octets of one layer, for each target of it, over about a second.
#[derive(Clone, Default)]
pub struct Meter {
    bins: [[u32; TARGETS]; BINS],
    /// Number of the newest bin since the clock's zero, and of the first.
    newest: u64,
    first: Option<u64>,
}

impl Meter {
    /// Count a packet that every target in the bit set `targets` needs.
    pub fn count(&mut self, targets: u16, octets: usize, now: Micros) {
        let bin = now / BIN_US;
        if self.first.is_none() || bin > self.newest {
            self.advance(bin);
        }
        let Some(counts) = self.bins.get_mut((bin % BINS as u64) as usize) else {
            return;
        };
        let mut left = targets;
        while left != 0 {
            let target = left.trailing_zeros() as usize;
            counts[target] = counts[target].saturating_add(octets as u32);
            left &= left - 1;
        }
    }

    fn advance(&mut self, bin: u64) {
        let first = *self.first.get_or_insert(bin);
        let stale = bin.saturating_sub(self.newest.max(first)).min(BINS as u64);
        if stale == BINS as u64 {
            self.first = Some(bin);
        }
        for back in 0..stale {
            self.bins[((bin - back) % BINS as u64) as usize] = [0; TARGETS];
        }
        self.newest = bin;
    }

    /// Bits per second of a target (0..=15); 0 when nothing came for a second.
    pub fn bps(&self, target: usize, now: Micros) -> u64 {
        let bin = now / BIN_US;
        let (Some(first), true) = (self.first, bin < self.newest + BINS as u64) else {
            return 0;
        };
        let oldest = (bin + 1).saturating_sub(BINS as u64).max(first);
        let octets: u64 = (oldest..=self.newest)
            .filter_map(|bin| self.bins[(bin % BINS as u64) as usize].get(target))
            .map(|octets| u64::from(*octets))
            .sum();
        let elapsed = now.saturating_sub(oldest * BIN_US).max(BIN_US);
        octets * 8 * 1_000_000 / elapsed
    }
}

impl Source {
    /// What there is to choose from: active layers only, ascending in cost and in place.  Empty
    /// for sound and while nothing flows.  A step that costs no less than a better one is left out.
    pub fn steps(&self, now: Micros) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        if self.config.kind == Kind::Audio {
            return steps;
        }
        for (at, layer) in self.layers.iter().enumerate() {
            if !layer.active(now) {
                continue;
            }
            let step = Step {
                layer: at as u8,
                spatial: 0,
                temporal: 0,
                bps: layer.meter.bps(0, now),
                height: layer.height,
            };
            while steps.last().is_some_and(|lower| lower.bps >= step.bps) {
                steps.pop();
            }
            steps.push(step);
        }
        steps
    }
}

/// The step a viewer gets: of those `allowed`, the best of the smallest picture that is as high as
/// it wants, else the best.  The least there is when nothing fits; `None` when there is nothing.
pub fn pick(steps: &[Step], want: Want, allowed: Allowed) -> Option<Step> {
    let may = |step: &&Step| match allowed {
        Allowed::UpTo(most) => step.place() <= most.place(),
        Allowed::Free | Allowed::Paused => true,
    };
    let tall = |step: &&Step| want.height > 0 && step.height >= want.height;
    let picture = steps.iter().filter(may).find(tall).map(Step::picture);
    let fits = |step: &&Step| may(step) && picture.is_none_or(|p| step.picture() == p);
    let best = steps.iter().rfind(fits);
    best.or(steps.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step(layer: u8, temporal: u8, height: u16) -> Step {
        Step {
            layer,
            spatial: 0,
            temporal,
            bps: 0,
            height,
        }
    }

    fn want(height: u16) -> Want {
        Want {
            height,
            ..Want::default()
        }
    }

    #[test]
    fn the_smallest_picture_as_high_as_wanted_is_picked_at_its_full_rate() {
        let steps = [
            step(0, 0, 180),
            step(0, 2, 180),
            step(1, 0, 360),
            step(1, 2, 360),
            step(2, 0, 720),
        ];
        let picked = |height| pick(&steps, want(height), Allowed::Free);
        assert_eq!(picked(180), Some(steps[1]));
        assert_eq!(picked(181), Some(steps[3]));
        assert_eq!(picked(0), Some(steps[4]));
        assert_eq!(picked(1080), Some(steps[4]));
    }

    #[test]
    fn nothing_above_what_is_allowed_is_picked() {
        let steps = [step(0, 0, 180), step(0, 2, 180), step(1, 0, 360)];
        let picked = |most| pick(&steps, want(360), Allowed::UpTo(most));
        assert_eq!(picked(step(0, 1, 0)), Some(steps[0]));
        assert_eq!(picked(step(1, 0, 0)), Some(steps[2]));
        assert_eq!(pick(&[], want(0), Allowed::Free), None);
    }

    #[test]
    fn unknown_heights_are_ordered_by_layer() {
        let steps = [step(0, 0, 0), step(1, 0, 0)];
        assert_eq!(pick(&steps, want(90), Allowed::Free), Some(steps[1]));
    }

    #[test]
    fn a_meter_forgets_after_a_second() {
        let mut meter = Meter::default();
        for at in 0..100 {
            meter.count(0b11, 1250, at * 10 * MS);
        }
        assert_eq!(meter.bps(0, 1000 * MS - 1) / 10_000, 100);
        assert_eq!((meter.bps(2, 990 * MS), meter.bps(1, 5_000 * MS)), (0, 0));
        meter.count(1, 1250, 9_000 * MS);
        assert_eq!(meter.bps(0, 9_000 * MS), 50_000);
    }

    proptest! {
        #[test]
        fn a_steady_rate_is_measured(octets in 100usize..1500, gap_ms in 1u64..100, start in 0u64..1 << 40) {
            let mut meter = Meter::default();
            let mut now = start;
            for _ in 0..(3000 / gap_ms) {
                now += gap_ms * MS;
                meter.count(1, octets, now);
            }
            let truth = octets as u64 * 8 * 1000 / gap_ms;
            let found = meter.bps(0, now);
            prop_assert!(found * 4 >= truth * 3 && found * 4 <= truth * 5, "{found} for {truth}");
        }

        #[test]
        fn time_in_any_order_never_panics(times in proptest::collection::vec(any::<u64>(), 1..30)) {
            let mut meter = Meter::default();
            for at in times {
                meter.count(u16::MAX, 1200, at);
                meter.bps(15, at);
            }
        }
    }
}
