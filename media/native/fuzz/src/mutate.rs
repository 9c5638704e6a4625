//! Inputs made from other inputs.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::Rng;

/// Octets at which lengths, flags and signs change their meaning.
const EDGES: [u8; 10] = [0, 1, 2, 15, 16, 0x7F, 0x80, 0xBE, 0xFE, 0xFF];

/// An input of `corpus` after one to eight changes, at most `longest` octets.
pub fn mutated(corpus: &[Vec<u8>], longest: usize, rng: &mut StdRng) -> Vec<u8> {
    let mut input = corpus.choose(rng).cloned().unwrap_or_default();
    for _ in 0..rng.random_range(1..=8) {
        change(&mut input, corpus, rng);
    }
    input.truncate(longest);
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut StdRng) {
    let at = rng.random_range(0..=input.len());
    let end = rng.random_range(at..=input.len());
    match rng.random_range(0..9) {
        0 => input.truncate(at),
        1 => drop(input.drain(at..end)),
        2 => input.insert(at, rng.random()),
        3 => {
            let again = input.get(at..end).unwrap_or(&[]).to_vec();
            input.splice(at..at, again);
        }
        4 => splice(input, at, corpus, rng),
        5 => input.extend((0..rng.random_range(1..64)).map(|_| rng.random::<u8>())),
        kind => {
            let Some(octet) = input.get_mut(at) else {
                return;
            };
            *octet = match kind {
                6 => *octet ^ 1 << rng.random_range(0..8),
                7 => EDGES.choose(rng).copied().unwrap_or(0),
                _ => rng.random(),
            };
        }
    }
}

/// Go on from `at` with the rest of another input.
fn splice(input: &mut Vec<u8>, at: usize, corpus: &[Vec<u8>], rng: &mut StdRng) {
    let Some(other) = corpus.choose(rng) else {
        return;
    };
    let from = rng.random_range(0..=other.len());
    input.truncate(at);
    input.extend_from_slice(other.get(from..).unwrap_or(&[]));
}
