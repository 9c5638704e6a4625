//! Sixteen-bit counters unwrapped to indices that never wrap.

/// The packet index nearest `reference` whose low 16 bits are `seq`.
///
/// `reference` is the index of a recent packet, below 2^47.  The answer is within 2^15 of it and
/// may be older; `None` when that would be before the first index.
///
/// Source: RFC 3711 section 3.3.1.
pub fn unwrap(reference: u64, seq: u16) -> Option<u64> {
    let delta = seq.wrapping_sub(reference as u16) as i16;
    reference.checked_add_signed(i64::from(delta))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_older_than_the_first_index() {
        assert_eq!(unwrap(3, 65_535), None);
        assert_eq!(unwrap(65_536, 65_535), Some(65_535));
    }

    proptest! {
        #[test]
        fn an_index_near_the_reference_is_found_again(reference in 40_000u64..1 << 46, delta in -32_767i64..=32_767) {
            let index = (reference as i64 + delta) as u64;
            prop_assert_eq!(unwrap(reference, index as u16), Some(index));
        }
    }
}
