//! Load on loopback, bounded and self-stopping, for `wuji bench relay` and `wuji bench hops`.

mod hops;
mod node;
mod peer;
mod relay;
mod tally;

use std::collections::HashMap;
use std::fmt;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// Why a bench could not be carried out.
#[derive(Debug)]
pub enum BenchError {
    Io(std::io::Error),
    /// Something that must happen within seconds did not.
    Stuck(&'static str),
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BenchError::Io(error) => write!(f, "{error}"),
            BenchError::Stuck(what) => write!(f, "waited in vain for {what}"),
        }
    }
}

impl From<std::io::Error> for BenchError {
    fn from(error: std::io::Error) -> Self {
        BenchError::Io(error)
    }
}

type Figures = HashMap<&'static str, f64>;

fn finish(outcome: Result<Figures, BenchError>) -> PyResult<Figures> {
    outcome.map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

fn within(what: &str, value: f64, least: f64, most: f64) -> PyResult<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "{what} = {value}: not in {least}..{most}"
    )))
}

/// See `media/_native.pyi`.
#[pyfunction]
#[pyo3(signature = (*, subscribers, shape, payload_bytes, seconds, seed))]
pub fn bench_relay(
    py: Python<'_>,
    subscribers: usize,
    shape: &str,
    payload_bytes: usize,
    seconds: f64,
    seed: u64,
) -> PyResult<Figures> {
    within("subscribers", subscribers as f64, 1.0, 1_000.0)?;
    within("payload_bytes", payload_bytes as f64, 32.0, 1_400.0)?;
    within("seconds", seconds, 0.1, 600.0)?;
    let shape = match shape {
        "broadcast" => relay::Shape::Broadcast { subscribers },
        "meeting" => relay::Shape::Meeting,
        _ => {
            return Err(PyValueError::new_err(format!(
                "shape {shape:?}: not broadcast or meeting"
            )))
        }
    };
    finish(py.detach(|| relay::run(shape, payload_bytes, seconds, seed)))
}

/// See `media/_native.pyi`.
#[pyfunction]
#[pyo3(signature = (*, nodes, seconds, rate_per_s, seed))]
pub fn bench_hops(
    py: Python<'_>,
    nodes: usize,
    seconds: f64,
    rate_per_s: u64,
    seed: u64,
) -> PyResult<Figures> {
    within("nodes", nodes as f64, 1.0, 16.0)?;
    within("seconds", seconds, 0.1, 600.0)?;
    within("rate_per_s", rate_per_s as f64, 1.0, 100_000.0)?;
    finish(py.detach(|| hops::run(nodes, seconds, rate_per_s, seed)))
}
