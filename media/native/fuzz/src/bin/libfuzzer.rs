//! The targets for libFuzzer, which needs a nightly compiler for its coverage.
//!
//! `RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
//! -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
//! WUJI_FUZZ=rtcp cargo +nightly run --release -p fuzz --features libfuzzer --bin libfuzzer CORPUS`;
//! `cargo run -p fuzz -- unpack CORPUS` makes the corpus directories.
#![no_main]

use std::sync::OnceLock;

use fuzz::Target;
use libfuzzer_sys::fuzz_target;

fn target() -> &'static Target {
    static TARGET: OnceLock<&'static Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("WUJI_FUZZ").unwrap_or_default();
        fuzz::target(&name).expect("WUJI_FUZZ names a target")
    })
}

fuzz_target!(|data: &[u8]| (target().run)(data));
