//! Losses on every hop of a chain of nodes: what repair brings back, and at what price.

mod support;

use dataplane::{MS, SECOND};
use support::chain::{Chain, Hop, Shape, Weather};

fn weather(loss: f64) -> Weather {
    Weather {
        loss,
        delay_us: 5 * MS,
        jitter_us: 3 * MS,
    }
}

/// The share of packets that never came to the first viewer, of those published since its first
/// and more than a second before the end.
fn residual(chain: &Chain) -> f64 {
    let viewer = &chain.viewers[0];
    let first = *viewer.got.keys().next().expect("something came");
    viewer.missing(first, chain.publisher.published() - 130)
}

fn through_five_hops(shape: Shape, loss: f64, seed: u64) -> Chain {
    let mut chain = Chain::new(seed, 4, shape, weather(loss));
    chain.run(SECOND);
    chain.join(3);
    chain.run(21 * SECOND);
    chain
}

#[test]
fn pictures_lost_on_every_hop_are_repaired_hop_by_hop() {
    // Unrepaired, 23, 41 and 83 of a hundred would be missing.
    for (loss, allowed) in [(0.0, 0.0), (0.05, 0.002), (0.1, 0.005), (0.3, 0.1)] {
        let residual = residual(&through_five_hops(Shape::Pictures, loss, 11));
        println!("loss {loss} per hop: {residual:.5} after five hops");
        assert!(residual <= allowed, "{loss} per hop: {residual} never came");
    }
}

/// The share of sound that never came to a viewer behind four hops that lose, from the eighth
/// second on, when every hop has heard what the next one loses.
fn sound(shape: Shape, loss: f64, seed: u64) -> (f64, Chain) {
    let mut chain = Chain::new(seed, 4, shape, weather(loss));
    chain.clear(|hop| hop == Hop::Published);
    chain.join(3);
    chain.run(40 * SECOND);
    let until = chain.publisher.published() - 50;
    (chain.viewers[0].missing(400, until), chain)
}

#[test]
fn sound_lost_on_every_hop_comes_along_with_what_follows() {
    for (loss, gain) in [(0.1, 10.0), (0.2, 5.0)] {
        let (plain, _) = sound(Shape::PlainSound, loss, 12);
        let (repaired, chain) = sound(Shape::Sound, loss, 12);
        println!(
            "loss {loss} per hop: {plain:.4} without RED, {repaired:.4} with, after four hops"
        );
        assert!(repaired * gain < plain, "{loss}: {repaired} of {plain}");
        let (redundant, all) = chain.viewers[0].redundant;
        assert!(redundant * 2 > all);
    }
}

#[test]
fn sound_is_sent_once_where_nothing_is_lost() {
    let (missing, chain) = sound(Shape::Sound, 0.0, 13);
    assert_eq!((missing, chain.viewers[0].redundant.0), (0.0, 0));
}

#[test]
fn what_was_lost_before_a_hop_calls_for_nothing_on_it() {
    let mut chain = Chain::new(14, 2, Shape::Sound, weather(0.3));
    chain.clear(|hop| hop != Hop::Published);
    chain.join(1);
    chain.run(20 * SECOND);
    let missing = chain.viewers[0].missing(50, 900);
    assert!(missing > 0.2, "the first hop loses: {missing}");
    let (redundant, all) = chain.viewers[0].redundant;
    assert!(
        redundant * 50 < all,
        "{redundant} of {all}, though the others lose nothing"
    );
}
