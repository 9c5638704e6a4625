//! A packet's place among the layers of a stream: who needs it, and where viewers may change over.
//!
//! A *target* is a spatial and a temporal layer up to which a viewer is sent a stream: one bit of
//! sixteen, four temporal layers for each of four spatial ones.

/// Every target.
pub const ALL: u16 = u16::MAX;

/// The target of those who are to have everything, whatever layers there are.
pub const TOP: u16 = 1 << 15;

/// The bit of a target; layers above 3 count as 3.
pub fn target(spatial: u8, temporal: u8) -> u16 {
    1 << (4 * u16::from(spatial.min(3)) + u16::from(temporal.min(3)))
}

/// All targets at least as high in both.
pub fn at_least(spatial: u8, temporal: u8) -> u16 {
    let row = 0xFu16 << temporal.min(3) & 0xF;
    (row * 0x1111) & (ALL << (4 * u16::from(spatial.min(3))))
}

/// (spatial, temporal) of the highest target in a set.
pub fn highest(targets: u16) -> (u8, u8) {
    let bit = targets.checked_ilog2().unwrap_or(0) as u8;
    (bit / 4, bit % 4)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Targets that need the packet.
    pub needed: u16,
    /// Targets that can be followed from this frame on, if it can be decoded.
    pub switch: u16,
    /// Targets whose viewers can decode this frame.
    pub reach: u16,
    /// Targets whose picture ends with this packet.
    pub ends: u16,
    /// Targets that the stream is known to have.
    pub offered: u16,
    /// First packet of a picture.
    pub starts: bool,
    /// `switch` holds for viewers of other spatial layers too.
    pub across: bool,
    /// Whoever is sent a spatial layer is sent all below it.
    pub nested: bool,
}

impl Default for Place {
    /// A packet of a stream without layers, not the first of its picture.
    fn default() -> Self {
        Place {
            needed: ALL,
            switch: ALL,
            reach: ALL,
            ends: 0,
            offered: 1,
            starts: false,
            across: true,
            nested: true,
        }
    }
}

impl Place {
    /// (spatial, temporal) of a target.
    pub fn level(&self, target: u16) -> (u8, u8) {
        highest(if target == TOP { self.offered } else { target })
    }

    /// Whether a viewer of target `from` is sent all that one of target `aim` needs.
    pub fn contains(&self, from: u16, aim: u16) -> bool {
        let ((s0, t0), (s1, t1)) = (self.level(from), self.level(aim));
        t1 <= t0 && (s1 == s0 || self.nested && s1 < s0)
    }

    /// With which target a viewer of `from` that is to have `aim` goes on from this picture: `aim`
    /// itself, or a temporal layer on the way to it.
    pub fn turn(&self, from: u16, aim: u16) -> Option<u16> {
        if self.contains(from, aim) {
            return Some(aim);
        }
        if self.reach & from == 0 {
            return None;
        }
        let ((s0, t0), (s1, t1)) = (self.level(from), self.level(aim));
        if self.switch & target(s1, t1) != 0 && (s1 == s0 || self.across) {
            return Some(aim);
        }
        let on_the_way = (t0 + 1..=t1).rev().map(|t| target(s0, t));
        on_the_way.into_iter().find(|bit| self.switch & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sets_of_targets_are_built() {
        assert_eq!(at_least(0, 0), ALL);
        assert_eq!(at_least(3, 3), TOP);
        assert_eq!(at_least(1, 2), 0xCCC0);
        assert_eq!(highest(at_least(1, 2) & !at_least(2, 0)), (1, 3));
    }

    #[test]
    fn a_temporal_layer_is_left_at_once_and_entered_where_it_may_be() {
        let place = Place {
            needed: at_least(0, 1),
            switch: target(0, 1),
            offered: 0b111,
            ..Place::default()
        };
        assert_eq!(place.turn(TOP, target(0, 0)), Some(target(0, 0)));
        assert_eq!(place.turn(target(0, 0), TOP), Some(target(0, 1)));
        assert_eq!(place.turn(target(0, 1), TOP), None);
    }

    #[test]
    fn where_lower_layers_are_not_sent_a_viewer_waits_for_a_switch() {
        let inter = Place {
            switch: 0,
            offered: 0x111,
            nested: false,
            ..Place::default()
        };
        assert_eq!(inter.turn(target(2, 0), target(0, 0)), None);
        let key = Place {
            switch: ALL,
            ..inter
        };
        assert_eq!(key.turn(target(2, 0), target(0, 0)), Some(target(0, 0)));
    }

    proptest! {
        #[test]
        fn a_turn_never_passes_its_aim(needed: u16, switch: u16, offered in 1u16.., from in 0u8..16, aim in 0u8..16, nested: bool, across: bool) {
            let place = Place { needed, switch, offered, nested, across, ..Place::default() };
            let (from, aim) = (1u16 << from, 1u16 << aim);
            if let Some(next) = place.turn(from, aim) {
                let ((_, t), (_, most)) = (place.level(next), place.level(aim));
                prop_assert!(next == aim || t <= most);
            }
        }
    }
}
