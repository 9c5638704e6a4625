//! A few thousand inputs for each target, the same ones every time.

use fuzz::{corpus, mutated, run, TARGETS};
use rand::rngs::StdRng;
use rand::SeedableRng;

#[test]
fn every_target_survives_its_corpus_and_what_is_made_from_it() {
    for target in TARGETS {
        run(target, 1, 20_000 / target.cost, 512);
    }
}

#[test]
fn every_corpus_is_read_and_written_alike() {
    for target in TARGETS {
        let inputs = corpus::read(target.corpus).expect(target.name);
        assert!(inputs.len() >= 2, "{} has too few seeds", target.name);
        for input in inputs {
            assert_eq!(corpus::read(&corpus::hex(&input)), Some(vec![input]));
        }
    }
}

#[test]
fn a_seed_makes_the_same_inputs_again_and_no_two_alike() {
    let seeds = [vec![1, 2, 3], vec![4; 40]];
    let make = |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let inputs = (0..100).map(|_| mutated(&seeds, 64, &mut rng));
        inputs.collect::<Vec<_>>()
    };
    assert_eq!(make(3), make(3));
    assert_ne!(make(3), make(4));
    assert!(make(3).iter().all(|input| input.len() <= 64));
}
