//! Events and counters as Python sees them: tuples and dictionaries.

use std::net::SocketAddr;

use dataplane::{Codec, Event, SinkStats, SourceStats, Stats, TransportStats};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::streams::Streams;
use crate::worker::Driver;
use crate::workers::Part;

/// Every counter, by what it belongs to; see `media/_native.pyi`.
pub fn stats<'py>(
    py: Python<'py>,
    stats: &Stats,
    driver: &Driver,
    workers: &[Part],
    streams: &Streams,
) -> PyResult<Bound<'py, PyDict>> {
    let engine = counters(py, &stats.engine.pairs())?;
    for (name, value) in [
        ("workers_now", workers.len() as u64),
        ("worker_cpu_ns", driver.worker_cpu_ns),
        ("receives", driver.receives),
        ("wakeups", driver.wakeups),
        ("steerings", driver.steerings),
        ("steerings_refused", driver.steerings_refused),
        ("drop_receive_queue", driver.drop_receive_queue),
        ("send_calls", driver.send.calls),
        ("sends", driver.send.sends),
        ("gso_sends", driver.send.gso_sends),
        ("gso_refused", driver.send.gso_refused),
        ("send_errors", driver.send.send_errors),
    ] {
        engine.set_item(name, value)?;
    }
    for (name, value) in streams.pairs() {
        engine.set_item(name, value)?;
    }
    let transports = PyDict::new(py);
    let names = self::names(py, &TransportStats::default().pairs());
    for (id, stats) in &stats.transports {
        transports.set_item(id, named(py, &names, &stats.pairs())?)?;
    }
    let sources = PyDict::new(py);
    let names = self::names(py, &SourceStats::default().pairs());
    for (id, stats, codec) in &stats.sources {
        let found = named(py, &names, &stats.pairs())?;
        found.set_item("codec", codec.map(Codec::name))?;
        sources.set_item(id, found)?;
    }
    let sinks = PyDict::new(py);
    let names = self::names(py, &SinkStats::default().pairs());
    for (id, stats) in &stats.sinks {
        sinks.set_item(id, named(py, &names, &stats.pairs())?)?;
    }
    let parts = PyDict::new(py);
    for (at, part) in workers.iter().enumerate() {
        parts.set_item(at, self::part(py, part)?)?;
    }
    let all = PyDict::new(py);
    all.set_item("engine", engine)?;
    all.set_item("workers", parts)?;
    all.set_item("transports", transports)?;
    all.set_item("sources", sources)?;
    all.set_item("sinks", sinks)?;
    Ok(all)
}

/// How much one worker does.
fn part<'py>(py: Python<'py>, part: &Part) -> PyResult<Bound<'py, PyDict>> {
    let (driver, engine) = (&part.driver, &part.engine);
    let pairs = [
        ("cpu_ns", driver.worker_cpu_ns),
        ("receives", driver.receives),
        ("wakeups", driver.wakeups),
        ("sends", driver.send.sends),
        ("drop_receive_queue", driver.drop_receive_queue),
        ("packets_in", engine.packets_in),
        ("packets_forwarded", engine.packets_forwarded),
        ("crossed_packets", engine.crossed_packets),
        ("crossed_datagrams", engine.crossed_datagrams),
        ("transports_now", engine.transports_now),
        ("sinks_now", engine.sinks_now),
    ];
    counters(py, &pairs)
}

fn counters<'py>(py: Python<'py>, pairs: &[(&str, u64)]) -> PyResult<Bound<'py, PyDict>> {
    named(py, &names(py, pairs), pairs)
}

/// The names as strings of Python, made once for thousands of dictionaries.
fn names<'py>(py: Python<'py>, pairs: &[(&str, u64)]) -> Vec<Bound<'py, PyString>> {
    let names = pairs.iter().map(|(name, _)| PyString::new(py, name));
    names.collect()
}

fn named<'py>(
    py: Python<'py>,
    names: &[Bound<'py, PyString>],
    pairs: &[(&str, u64)],
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, (_, value)) in names.iter().zip(pairs) {
        dict.set_item(name, value)?;
    }
    Ok(dict)
}

/// What `poll_events` gives for one event.
pub fn event(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyTuple>> {
    let address = |what: &str, transport: u32, peer: SocketAddr| {
        let ip = peer.ip().to_string();
        (what, transport, ip, peer.port()).into_pyobject(py)
    };
    match event {
        Event::Path { transport, peer } => address("path", transport, peer),
        Event::Nominated { transport, peer } => address("nominated", transport, peer),
        Event::Dtls {
            transport,
            datagram,
        } => ("dtls", transport, PyBytes::new(py, &datagram)).into_pyobject(py),
        Event::Silent { transport } => ("silent", transport).into_pyobject(py),
        Event::Alive { transport } => ("alive", transport).into_pyobject(py),
        Event::Started { source, codec } => ("started", source, codec.name()).into_pyobject(py),
        Event::Levels(levels) => {
            let levels = PyTuple::new(py, levels)?;
            ("levels", levels).into_pyobject(py)
        }
        Event::NoTrains => ("no_gso",).into_pyobject(py),
        Event::Video { sink, coming } => ("video", sink, coming.name()).into_pyobject(py),
    }
}
