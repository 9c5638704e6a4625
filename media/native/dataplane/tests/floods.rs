//! Many who want something at once, and some who want too much (key frames, lost packets).

mod support;

use dataplane::rtcp::{put_nack, put_pli};
use dataplane::{Micros, MS, SECOND};
use support::chain::{Chain, Shape, Weather};

fn weather(loss: f64) -> Weather {
    Weather {
        loss,
        delay_us: 5 * MS,
        jitter_us: 3 * MS,
    }
}

/// A full intra request (RFC 5104 section 4.3.1).
fn put_fir(out: &mut Vec<u8>, media: u32, number: u8) {
    out.extend_from_slice(&[0x84, 206, 0, 4]);
    out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
    out.extend_from_slice(&media.to_be_bytes());
    out.extend_from_slice(&[number, 0, 0, 0]);
}

/// At most one request a second, give or take what the hop's delay varies by.
fn one_a_second(requests: &[Micros]) -> bool {
    let apart = requests.windows(2).map(|pair| pair[1] - pair[0]);
    apart.min().is_none_or(|least| least >= SECOND - 5 * MS)
}

#[test]
fn a_thousand_joins_over_five_nodes_ask_the_source_once_a_second() {
    let mut chain = Chain::new(21, 5, Shape::Slides, weather(0.01));
    chain.run(SECOND);
    for at in 0..1_000 {
        chain.join(at * 7 % 5);
        chain.run(SECOND + (at as Micros + 1) * 4 * MS);
    }
    chain.run(8 * SECOND);
    let requests = &chain.publisher.requests;
    assert!(one_a_second(requests), "{requests:?}");
    let blind = chain.viewers.iter().filter(|v| v.pictured.is_none());
    assert_eq!(blind.count(), 0, "every joiner sees a picture");
    let engines = chain.engines.iter();
    let cached: u64 = engines.map(|e| e.stats().engine.keyframe_joins).sum();
    assert!(cached > 500, "most start from a key frame that was there");
}

#[test]
fn a_thousand_requests_a_second_from_one_viewer_reach_the_source_as_one() {
    let mut chain = Chain::new(22, 2, Shape::Slides, weather(0.0));
    chain.join(1);
    chain.join(1);
    chain.run(SECOND);
    let before = chain.publisher.requests.len();
    for round in 0..3_000u32 {
        match round % 2 {
            0 => chain.say(0, |out, ssrc| put_pli(out, 1, ssrc)),
            _ => chain.say(0, |out, ssrc| put_fir(out, ssrc, round as u8)),
        }
        chain.step();
    }
    let during = chain.publisher.requests.len() - before;
    assert!((2..=4).contains(&during), "{during} in three seconds");
    assert!(one_a_second(&chain.publisher.requests));
    assert!(chain.engines[1].stats().engine.drop_pli_rate > 2_900);
    assert_eq!(
        chain.viewers[1].missing(20, chain.publisher.published() - 5),
        0.0
    );
}

#[test]
fn a_flood_of_nacks_is_answered_with_no_more_than_was_sent() {
    let mut chain = Chain::new(23, 1, Shape::Pictures, weather(0.0));
    chain.join(0);
    chain.join(0);
    chain.run(2 * SECOND);
    for _ in 0..5_000 {
        let newest = chain.viewers[0].highest.expect("something came") as u16;
        let wanted: Vec<u16> = (0..200)
            .rev()
            .map(|back| newest.wrapping_sub(back))
            .collect();
        chain.say(0, |out, ssrc| put_nack(out, 1, ssrc, &wanted));
        chain.step();
    }
    let stats = chain.engines[0].stats();
    let flooder = &stats.sinks[0].1;
    let allowed = flooder.packets + 128 * 1024 / 40;
    assert!(flooder.retransmitted <= allowed, "{flooder:?}");
    assert!(stats.engine.drop_nack_rate > 900_000, "{:?}", stats.engine);
    let until = chain.publisher.published() - 10;
    assert_eq!(
        chain.viewers[1].missing(30, until),
        0.0,
        "nobody else notices"
    );
}

#[test]
fn a_nack_that_overtakes_its_packet_is_served_once_when_it_comes() {
    let mut chain = Chain::new(24, 1, Shape::Pictures, weather(0.0));
    chain.weather.jitter_us = 0;
    chain.join(0);
    chain.run(SECOND);
    let lost = chain.publisher.withhold_next();
    let asked = |chain: &Chain| chain.engines[0].stats().sinks[0].1.nacks_received;
    while asked(&chain) == 0 && chain.now < 2 * SECOND {
        chain.step();
    }
    assert_eq!(
        asked(&chain),
        1,
        "the viewer asks for what the node has not"
    );
    assert_eq!(chain.viewers[0].missing(lost, lost + 1), 1.0);
    chain.run(chain.now + 300 * MS);
    assert_eq!(chain.viewers[0].missing(lost, lost + 1), 0.0);
    let sink = &chain.engines[0].stats().sinks[0].1;
    assert_eq!(sink.retransmitted, 0, "it went out as itself, not again");
}
