//! Load on loopback, bounded and self-stopping, for `wuji bench relay` and `wuji bench hops`.

mod bare;
mod ears;
mod floor;
mod hops;
mod ledger;
mod node;
mod peer;
mod relay;
mod stage;
mod stream;
mod tally;

use std::fmt;

use dataplane::Kind;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::bench::stage::{Load, Shape};
use crate::bench::stream::Stream;
use crate::socket::wait;

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

/// What has neither come nor been counted as lost for so long after the last never will.
const LOOK_US: u64 = 10_000;
const LOOKS: u32 = 200;

/// Names and values, in the order in which they are shown.
type Figures = Vec<(String, f64)>;

fn pairs<const N: usize>(figures: [(&str, f64); N]) -> Figures {
    figures
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Wait until a count is `enough` or no longer grows, and return it.
fn steady(
    enough: u64,
    mut count: impl FnMut() -> Result<u64, BenchError>,
) -> Result<u64, BenchError> {
    let mut last = count()?;
    let mut still = 0;
    while last < enough && still < LOOKS {
        wait(&mut [], Some(LOOK_US));
        let now = count()?;
        still = if now == last { still + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

fn finish(py: Python<'_>, outcome: Result<Figures, BenchError>) -> PyResult<Bound<'_, PyDict>> {
    let figures = outcome.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    let shown = PyDict::new(py);
    for (name, value) in figures {
        shown.set_item(name, value)?;
    }
    Ok(shown)
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
#[pyo3(signature = (*, subscribers, shape, kind, payload_bytes, seconds, seed, uneven=false, workers=1, packets_per_s=None))]
#[allow(clippy::too_many_arguments)]
pub fn bench_relay<'py>(
    py: Python<'py>,
    subscribers: u32,
    shape: &str,
    kind: &str,
    payload_bytes: usize,
    seconds: f64,
    seed: u64,
    uneven: bool,
    workers: usize,
    packets_per_s: Option<f64>,
) -> PyResult<Bound<'py, PyDict>> {
    let (shape, fewest) = match shape {
        "broadcast" => (Shape::Broadcast, 1.0),
        "meeting" => (Shape::Meeting, 2.0),
        _ => return Err(neither("shape", shape, "broadcast or meeting")),
    };
    let kind = match kind {
        "video" => Kind::Video,
        "audio" => Kind::Audio,
        _ => return Err(neither("kind", kind, "video or audio")),
    };
    within("subscribers", f64::from(subscribers), fewest, 2_000.0)?;
    within("payload_bytes", payload_bytes as f64, 32.0, 1_400.0)?;
    within("seconds", seconds, 0.1, 600.0)?;
    within("workers", workers as f64, 1.0, 64.0)?;
    within("packets_per_s", packets_per_s.unwrap_or(1e3), 1e3, 1e7)?;
    let stream = Stream {
        kind,
        payload_bytes,
        uneven,
    };
    let load = Load {
        shape,
        subscribers,
        stream,
        workers,
        packets_per_s,
    };
    finish(py, py.detach(|| relay::run(load, seconds, seed)))
}

fn neither(what: &str, value: &str, known: &str) -> PyErr {
    PyValueError::new_err(format!("{what} {value:?}: not {known}"))
}

/// See `media/_native.pyi`.
#[pyfunction]
#[pyo3(signature = (*, nodes, seconds, rate_per_s, seed))]
pub fn bench_hops(
    py: Python<'_>,
    nodes: usize,
    seconds: f64,
    rate_per_s: Option<u64>,
    seed: u64,
) -> PyResult<Bound<'_, PyDict>> {
    within("nodes", nodes as f64, 1.0, 16.0)?;
    within("seconds", seconds, 0.1, 600.0)?;
    within("rate_per_s", rate_per_s.unwrap_or(1) as f64, 1.0, 100_000.0)?;
    finish(
        py,
        py.detach(|| hops::run(nodes, seconds, rate_per_s, seed)),
    )
}
