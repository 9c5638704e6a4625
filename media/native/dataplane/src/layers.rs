//! The ways a picture can be forwarded, what each costs, and which of them a viewer gets.
//!
//! Pure: the engine's side, which points sinks at layers, is in `follow`.

use crate::place::{target, TOP};
use crate::sink::{Allowed, Want};
use crate::source::{Layer, Source};
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
    pub(crate) fn place(&self) -> (u8, u8, u8) {
        (self.layer, self.spatial, self.temporal)
    }

    pub(crate) fn picture(&self) -> (u8, u8) {
        (self.layer, self.spatial)
    }
}

/// Whether there are pictures of more than one size.
pub fn several(steps: &[Step]) -> bool {
    steps.first().map(Step::picture) != steps.last().map(Step::picture)
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

impl Layer {
    /// The step of one of its targets, if it has it.
    fn step(&self, layer: u8, spatial: u8, temporal: u8, now: Micros) -> Option<Step> {
        let bit = target(spatial, temporal);
        (self.offered & bit != 0).then(|| Step {
            layer,
            spatial,
            temporal,
            bps: self.meter.bps(bit.trailing_zeros() as usize, now),
            height: self.heights.get(usize::from(spatial)).copied().unwrap_or(0),
        })
    }
}

impl Source {
    /// What there is to choose from: active layers only, ascending in cost and in place.  Empty
    /// for sound and while nothing flows.
    pub fn steps(&self, now: Micros) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        if self.config.kind == Kind::Audio {
            return steps;
        }
        let layers = self.layers.iter().enumerate();
        for (at, layer) in layers.filter(|(_, layer)| layer.active(now)) {
            for spatial in 0..4 {
                let step = |temporal| layer.step(at as u8, spatial, temporal, now);
                let picture = (0..4).filter_map(step).collect();
                append(&mut steps, picture, layer.steady(now));
            }
        }
        steps
    }

    /// The target that stands for a step: the highest of its layer stands for everything.
    pub(crate) fn mask(&self, step: &Step) -> u16 {
        let bit = target(step.spatial, step.temporal);
        let layer = self.layers.get(usize::from(step.layer));
        let above = layer.map_or(0, |layer| layer.offered & !(bit | (bit - 1)));
        if above == 0 {
            TOP
        } else {
            bit
        }
    }
}

/// Append the steps of the next larger picture.  A picture that costs as much as the larger one is
/// left out; so is a larger one at a lower rate that costs no more than a smaller one at its full.
///
/// What a picture that is not `settled` will cost is not known: it counts as more than the smaller
/// ones.
fn append(steps: &mut Vec<Step>, mut picture: Vec<Step>, settled: bool) {
    let floor = steps.last().map_or(0, |step| step.bps);
    for (more, step) in (1..).zip(picture.iter_mut().filter(|_| !settled)) {
        step.bps = step.bps.max(floor + more);
    }
    let Some(whole) = picture.last() else {
        return;
    };
    steps.retain(|step| step.bps < whole.bps);
    let least = steps.last().map_or(0, |step| step.bps + 1);
    let worth = picture.iter().enumerate().filter(|(at, step)| {
        let above = picture.get(at + 1..).unwrap_or_default();
        step.bps >= least && above.iter().all(|better| better.bps > step.bps)
    });
    steps.extend(worth.map(|(_, step)| *step));
}

/// The step a viewer gets: of those `allowed`, the best of the smallest picture that is as high as
/// it wants, else the best.  The least there is when nothing fits; `None` when there is nothing.
pub fn pick(steps: &[Step], want: Want, allowed: Allowed) -> Option<Step> {
    let may = |step: &&Step| match allowed {
        Allowed::UpTo(most) => step.place() <= most.place(),
        Allowed::Free | Allowed::Paused => true,
        Allowed::Thumbnails => false,
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
    fn steps_ascend_in_cost() {
        let rated = |layer, temporal, bps| Step {
            bps,
            ..step(layer, temporal, 0)
        };
        let mut steps = Vec::new();
        append(
            &mut steps,
            vec![rated(0, 0, 50), rated(0, 1, 50), rated(0, 2, 100)],
            true,
        );
        append(
            &mut steps,
            vec![rated(1, 0, 90), rated(1, 1, 200), rated(1, 2, 300)],
            true,
        );
        let costs: Vec<u64> = steps.iter().map(|step| step.bps).collect();
        assert_eq!(costs, [50, 100, 200, 300]);
        append(&mut steps, vec![rated(2, 0, 0)], false);
        assert_eq!(steps.len(), 5, "its cost is not known");
        append(&mut steps, vec![rated(3, 0, 0)], true);
        assert_eq!(steps.len(), 1, "the largest picture always can be picked");
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
