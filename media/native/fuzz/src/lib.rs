//! One target for each parser of what the network says, and a seeded runner for stable Rust.
//!
//! A target takes any octets.  It must not panic, and checks more than that: what is parsed stays
//! within the input, and what is written again is read alike.
#![forbid(unsafe_code)]

pub mod corpus;
mod descriptors;
mod engine;
mod mutate;
mod packets;
mod reports;
mod requests;

use std::panic::{catch_unwind, resume_unwind};

use rand::rngs::StdRng;
use rand::SeedableRng;

pub use mutate::mutated;

/// One parser under test.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Seeds as text, see [`corpus::read`].
    pub corpus: &'static str,
    /// How many inputs one input of the plainest parser costs, roughly.
    pub cost: usize,
}

macro_rules! targets {
    ($($name:ident $run:path, $cost:literal;)*) => {
        /// Every target, by name.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            run: $run,
            corpus: include_str!(concat!("../corpus/", stringify!($name), ".hex")),
            cost: $cost,
        }),*];
    };
}

targets! {
    demux packets::demux, 1;
    rtp packets::rtp, 2;
    red packets::red, 1;
    framing packets::framing, 2;
    rtcp reports::rtcp, 2;
    twcc reports::twcc, 4;
    arrived reports::arrived, 2;
    stun requests::stun, 8;
    vp8 descriptors::vp8, 1;
    vp9 descriptors::vp9, 1;
    av1 descriptors::av1, 1;
    dependency descriptors::dependency, 2;
    h264 descriptors::h264, 2;
    engine engine::engine, 64;
}

/// The target with this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Run the corpus and then `count` inputs made from it, of at most `longest` octets.
///
/// # Panics
/// When the target does; the input is printed before.
pub fn run(target: &'static Target, seed: u64, count: usize, longest: usize) {
    let corpus = corpus::read(target.corpus).expect("the corpus is well formed");
    corpus.iter().for_each(|input| attempt(target, input));
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..count {
        attempt(target, &mutated(&corpus, longest, &mut rng));
    }
}

fn attempt(target: &'static Target, input: &[u8]) {
    if let Err(reason) = catch_unwind(|| (target.run)(input)) {
        eprintln!("{}: {}", target.name, corpus::hex(input));
        resume_unwind(reason);
    }
}
