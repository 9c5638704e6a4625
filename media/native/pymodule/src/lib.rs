//! The door between Python and the packet engine: `media._native`.
//!
//! Small ints, strings and bytes cross it; packets never do.  `media/_native.pyi` is the contract.
#![deny(clippy::undocumented_unsafe_blocks)]

mod bench;
mod binding;
mod clock;
mod door;
mod inbox;
mod lane;
mod names;
mod parse;
mod registry;
mod shown;
mod socket;
mod streams;
mod wake;
mod worker;
mod workers;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    names::add(module)?;
    module.add_class::<door::Engine>()?;
    module.add_function(wrap_pyfunction!(bench::bench_relay, module)?)?;
    module.add_function(wrap_pyfunction!(bench::bench_hops, module)?)?;
    module.add("EngineError", module.py().get_type::<door::EngineError>())?;
    Ok(())
}
