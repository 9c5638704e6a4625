//! `cargo run --release -p fuzz -- all 60 [seed]`: every target, or the one named, for so many
//! seconds.  `cargo run -p fuzz -- unpack DIRECTORY`: the corpora as files, for other fuzzers.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fuzz::{corpus, run, Target, TARGETS};

const LONGEST: usize = 2_048;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["unpack", directory] => unpack(Path::new(directory)).is_ok(),
        [name, seconds] => spend(name, seconds, "1").is_some(),
        [name, seconds, seed] => spend(name, seconds, seed).is_some(),
        _ => false,
    };
    if done {
        return ExitCode::SUCCESS;
    }
    eprintln!("usage: fuzz TARGET|all SECONDS [SEED], or fuzz unpack DIRECTORY");
    ExitCode::FAILURE
}

fn spend(name: &str, seconds: &str, seed: &str) -> Option<()> {
    let (seconds, seed) = (seconds.parse().ok()?, seed.parse::<u64>().ok()?);
    let chosen = |target: &&Target| name == "all" || target.name == name;
    let chosen: Vec<&'static Target> = TARGETS.iter().filter(chosen).collect();
    if chosen.is_empty() {
        return None;
    }
    for target in chosen {
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut rounds = 0;
        while Instant::now() < until {
            run(target, seed + rounds, 10_000 / target.cost, LONGEST);
            rounds += 1;
        }
        println!(
            "{}: {rounds} rounds of {}",
            target.name,
            10_000 / target.cost
        );
    }
    Some(())
}

fn unpack(directory: &Path) -> std::io::Result<()> {
    for target in TARGETS {
        let folder = directory.join(target.name);
        std::fs::create_dir_all(&folder)?;
        let inputs = corpus::read(target.corpus).unwrap_or_default();
        for (at, input) in inputs.iter().enumerate() {
            std::fs::write(folder.join(at.to_string()), input)?;
        }
    }
    Ok(())
}
