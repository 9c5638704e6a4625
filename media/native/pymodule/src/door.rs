//! `media._native.Engine`.  Each call checks its arguments, queues an operation and returns.

use std::net::SocketAddr;

use dataplane::{
    Codec, Event, Limits, MasterKey, Op, SinkConfig, SourceConfig, TransportConfig, Want, MS,
};
use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::binding::bind_all;
use crate::parse;
use crate::registry::Wrong;
use crate::shown;
use crate::streams::{Room, Streams};
use crate::worker::{lock, Command};
use crate::workers::Workers;

create_exception!(
    media._native,
    EngineError,
    PyValueError,
    "An unknown or duplicate id, or a value out of range."
);

/// Workers that are started when there is to be one for each processor: no more than this.
const MANY: usize = 2;
const MAX_DATAGRAM: usize = 65_507;

fn wrong(sentence: Wrong) -> PyErr {
    EngineError::new_err(sentence)
}

/// One node's UDP port and the workers that serve it.
#[pyclass(frozen, module = "media._native")]
pub struct Engine {
    workers: Workers,
}

fn limit<T: TryFrom<i64>>(what: &str, value: i64, least: i64, most: i64) -> PyResult<T> {
    T::try_from(value)
        .ok()
        .filter(|_| (least..=most).contains(&value))
        .ok_or_else(|| wrong(format!("{what} = {value}: not in {least}..{most}")))
}

impl Engine {
    /// Check an operation and queue it.
    fn submit(&self, op: Op) -> PyResult<()> {
        self.workers.submit(op).map_err(wrong)
    }

    /// The same for one that drops: what is not there, or closed, is dropped already.
    fn drop_by(&self, op: Op) {
        let _ = self.workers.submit(op);
    }
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (hosts, port, *, gather_us=1000, cache_packets=1024, max_ssrcs=16, max_sinks=64, max_transports=10_000, silent_ms=3_000, packet_rate=20_000, source_rate=3_000, max_streams=1_024, streams_per_address=64, workers=1))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        hosts: Vec<String>,
        port: i64,
        gather_us: i64,
        cache_packets: i64,
        max_ssrcs: i64,
        max_sinks: i64,
        max_transports: i64,
        silent_ms: i64,
        packet_rate: i64,
        source_rate: i64,
        max_streams: i64,
        streams_per_address: i64,
        workers: i64,
    ) -> PyResult<Self> {
        let limits = Limits {
            gather_us: limit("gather_us", gather_us, 0, 10_000)?,
            cache_packets: limit("cache_packets", cache_packets, 128, 16_384)?,
            max_ssrcs: limit("max_ssrcs", max_ssrcs, 1, 1_024)?,
            max_sinks: limit("max_sinks", max_sinks, 1, 4_096)?,
            max_transports: limit("max_transports", max_transports, 1, 100_000)?,
            silent_us: limit::<u64>("silent_ms", silent_ms, 100, 600_000)? * MS,
            packet_rate: limit("packet_rate", packet_rate, 100, 10_000_000)?,
            source_rate: limit("source_rate", source_rate, 100, 10_000_000)?,
            ..Limits::default()
        };
        if hosts.is_empty() || hosts.len() > 16 {
            return Err(wrong(format!("hosts: {}, not 1..16", hosts.len())));
        }
        let room = Room {
            total: limit("max_streams", max_streams, 0, 100_000)?,
            per_address: limit("streams_per_address", streams_per_address, 1, 100_000)?,
        };
        let workers = match limit("workers", workers, 0, 64)? {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MANY)),
            asked => asked,
        };
        let sets = bind_all(&hosts, limit("port", port, 0, 65_535)?, workers)?;
        let workers = Workers::start(sets, Streams::new(room)?, limits, rand::random())?;
        Ok(Engine { workers })
    }

    #[getter]
    fn port(&self) -> u16 {
        self.workers.addresses.first().map_or(0, SocketAddr::port)
    }

    fn event_fd(&self) -> i32 {
        self.workers.common.told.wake.fd()
    }

    #[pyo3(signature = (limit=1024))]
    fn poll_events<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyList>> {
        let mut events = lock(&self.workers.common.told.events);
        self.workers.common.told.wake.clear();
        let taken: Vec<Event> = {
            let count = events.len().min(limit);
            events.drain(..count).collect()
        };
        if !events.is_empty() {
            self.workers.common.told.wake.set();
        }
        drop(events);
        let tuples: PyResult<Vec<_>> = taken.into_iter().map(|e| shown::event(py, e)).collect();
        PyList::new(py, tuples?)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.workers.stop());
    }

    #[pyo3(signature = (transport, *, local_ufrag, local_pwd, remote_ufrag, remote_pwd, controlling, candidates=Vec::new(), extensions=Vec::new(), group=String::new()), text_signature = "($self, transport, *, local_ufrag, local_pwd, remote_ufrag, remote_pwd, controlling, candidates=(), extensions=(), group='')")]
    #[allow(clippy::too_many_arguments)]
    fn add_transport(
        &self,
        transport: i64,
        local_ufrag: String,
        local_pwd: String,
        remote_ufrag: String,
        remote_pwd: String,
        controlling: bool,
        candidates: Vec<(String, i64)>,
        extensions: Vec<(String, i64)>,
        group: String,
    ) -> PyResult<()> {
        let id = parse::id("transport", transport).map_err(wrong)?;
        let own = parse::credentials(local_ufrag, local_pwd, remote_ufrag, remote_pwd);
        let own = own.map_err(wrong)?;
        let candidates = candidates
            .iter()
            .take(64)
            .map(|c| parse::candidate(c, &self.workers.addresses))
            .collect::<Result<Vec<_>, _>>()
            .map_err(wrong)?
            .concat();
        let extensions = extensions
            .iter()
            .map(parse::extension)
            .collect::<Result<Vec<_>, _>>()
            .map_err(wrong)?;
        let config = TransportConfig {
            local_ufrag: own.local_ufrag,
            local_pwd: own.local_pwd,
            remote_ufrag: own.remote_ufrag,
            remote_pwd: own.remote_pwd,
            controlling,
            candidates,
            extensions,
        };
        self.workers.add_transport(id, config, group).map_err(wrong)
    }

    #[pyo3(signature = (transport, profile, *, rx_key, rx_salt, tx_key, tx_salt))]
    fn set_keys(
        &self,
        transport: i64,
        profile: &str,
        rx_key: &[u8],
        rx_salt: &[u8],
        tx_key: &[u8],
        tx_salt: &[u8],
    ) -> PyResult<()> {
        let id = parse::id("transport", transport).map_err(wrong)?;
        let profile = parse::profile(profile).map_err(wrong)?;
        let master = |what: &str, key: &[u8], salt: &[u8]| -> Result<MasterKey, Wrong> {
            Ok(MasterKey {
                key: parse::key(&format!("{what}_key"), key)?,
                salt: parse::salt(&format!("{what}_salt"), salt, profile)?,
            })
        };
        let rx = master("rx", rx_key, rx_salt).map_err(wrong)?;
        let tx = master("tx", tx_key, tx_salt).map_err(wrong)?;
        let op = Op::SetKeys {
            transport: id,
            profile,
            rx,
            tx,
        };
        self.submit(op)
    }

    fn send_dtls(&self, transport: i64, datagram: &[u8]) -> PyResult<()> {
        let id = parse::id("transport", transport).map_err(wrong)?;
        if datagram.is_empty() || datagram.len() > MAX_DATAGRAM {
            let len = datagram.len();
            return Err(wrong(format!(
                "datagram: {len} octets, not 1..{MAX_DATAGRAM}"
            )));
        }
        let op = Op::SendDtls(id, datagram.to_vec());
        self.submit(op)
    }

    #[pyo3(signature = (transport, *, local_ufrag, local_pwd, remote_ufrag, remote_pwd))]
    fn restart_ice(
        &self,
        transport: i64,
        local_ufrag: String,
        local_pwd: String,
        remote_ufrag: String,
        remote_pwd: String,
    ) -> PyResult<()> {
        let id = parse::id("transport", transport).map_err(wrong)?;
        let new = parse::credentials(local_ufrag, local_pwd, remote_ufrag, remote_pwd);
        self.submit(Op::RestartIce(id, Box::new(new.map_err(wrong)?)))
    }

    fn adopt_stream(&self, fd: i32) -> PyResult<()> {
        self.workers.open().map_err(wrong)?;
        self.workers.common.streams.adopt(fd)?;
        Ok(())
    }

    fn dial_stream(&self, transport: i64, fd: i32) -> PyResult<()> {
        let id = parse::id("transport", transport).map_err(wrong)?;
        self.workers.known(id).map_err(wrong)?;
        let path = self.workers.common.streams.adopt(fd)?;
        self.submit(Op::Redirect(id, path))
    }

    fn drop_transport(&self, transport: i64) {
        if let Ok(id) = parse::id("transport", transport) {
            self.drop_by(Op::DropTransport(id));
        }
    }

    #[pyo3(signature = (source, transport, *, kind, mid, ssrcs, rids, codecs))]
    #[allow(clippy::too_many_arguments)]
    fn add_source(
        &self,
        source: i64,
        transport: i64,
        kind: &str,
        mid: Option<String>,
        ssrcs: Vec<(u32, Option<u32>)>,
        rids: Vec<String>,
        codecs: Vec<(i64, String, Option<i64>)>,
    ) -> PyResult<()> {
        let id = parse::id("source", source).map_err(wrong)?;
        let transport = parse::id("transport", transport).map_err(wrong)?;
        let kind = parse::kind(kind).map_err(wrong)?;
        parse::mid(mid.as_deref()).map_err(wrong)?;
        parse::layers(&rids, ssrcs.len()).map_err(wrong)?;
        let codecs = codecs
            .iter()
            .map(|(pt, word, rtx)| {
                let rtx = rtx.map(parse::payload_type).transpose()?;
                Ok((parse::payload_type(*pt)?, parse::codec(word)?, rtx))
            })
            .collect::<Result<Vec<_>, Wrong>>()
            .map_err(wrong)?;
        let config = SourceConfig {
            transport,
            kind,
            mid,
            ssrcs,
            rids,
            codecs,
        };
        self.submit(Op::AddSource(id, Box::new(config)))
    }

    fn drop_source(&self, source: i64) {
        if let Ok(id) = parse::id("source", source) {
            self.drop_by(Op::DropSource(id));
        }
    }

    #[pyo3(signature = (sink, transport, *, kind, mid, ssrc, rtx_ssrc, cname, codecs))]
    #[allow(clippy::too_many_arguments)]
    fn add_sink(
        &self,
        sink: i64,
        transport: i64,
        kind: &str,
        mid: Option<String>,
        ssrc: i64,
        rtx_ssrc: Option<i64>,
        cname: String,
        codecs: Vec<(String, i64, Option<i64>)>,
    ) -> PyResult<()> {
        let id = parse::id("sink", sink).map_err(wrong)?;
        let transport = parse::id("transport", transport).map_err(wrong)?;
        let kind = parse::kind(kind).map_err(wrong)?;
        parse::mid(mid.as_deref()).map_err(wrong)?;
        let ssrc = parse::id("ssrc", ssrc).map_err(wrong)?;
        let rtx_ssrc = rtx_ssrc
            .map(|s| parse::id("rtx_ssrc", s))
            .transpose()
            .map_err(wrong)?;
        if cname.is_empty() || cname.len() > 255 {
            return Err(wrong(format!("cname: {} octets, not 1..255", cname.len())));
        }
        let codecs = codecs
            .iter()
            .map(|(word, pt, rtx)| {
                let rtx = rtx.map(parse::payload_type).transpose()?;
                Ok((parse::codec(word)?, parse::payload_type(*pt)?, rtx))
            })
            .collect::<Result<Vec<_>, Wrong>>()
            .map_err(wrong)?;
        let config = SinkConfig {
            transport,
            kind,
            mid,
            ssrc,
            rtx_ssrc,
            cname,
            codecs,
        };
        self.submit(Op::AddSink(id, Box::new(config)))
    }

    fn drop_sink(&self, sink: i64) {
        if let Ok(id) = parse::id("sink", sink) {
            self.drop_by(Op::DropSink(id));
        }
    }

    #[pyo3(signature = (sink, source))]
    fn route(&self, sink: i64, source: Option<i64>) -> PyResult<()> {
        let sink = parse::id("sink", sink).map_err(wrong)?;
        let source = source
            .map(|s| parse::id("source", s))
            .transpose()
            .map_err(wrong)?;
        self.submit(Op::Route { sink, source })
    }

    #[pyo3(signature = (sink, height, priority, beside=None))]
    fn want(&self, sink: i64, height: i64, priority: i64, beside: Option<i64>) -> PyResult<()> {
        let sink = parse::id("sink", sink).map_err(wrong)?;
        let want = Want {
            height: limit("height", height, 0, 4_320)?,
            priority: limit("priority", priority, 0, 255)?,
            beside: beside
                .map(|s| parse::id("beside", s))
                .transpose()
                .map_err(wrong)?,
        };
        self.submit(Op::Want { sink, want })
    }

    fn strain(&self, level: i64) -> PyResult<()> {
        let level = limit("strain", level, 0, i64::from(dataplane::strain::MAX_STRAIN))?;
        self.submit(Op::Strain(level))
    }

    fn worker_cpu_ns(&self) -> Vec<u64> {
        self.workers.cpu_ns()
    }

    fn request_keyframe(&self, source: i64) -> PyResult<()> {
        let id = parse::id("source", source).map_err(wrong)?;
        self.submit(Op::RequestKeyframe(id))
    }

    fn keyframe<'py>(
        &self,
        py: Python<'py>,
        source: i64,
    ) -> PyResult<Option<(&'static str, Bound<'py, PyBytes>)>> {
        let id = parse::id("source", source).map_err(wrong)?;
        let workers = &self.workers;
        let home = workers.home(id).map_err(wrong)?;
        let answer = py.detach(|| workers.ask(home, |reply| Command::Keyframe(id, reply)));
        let found: Option<(Codec, Vec<u8>)> = answer.map_err(wrong)?;
        Ok(found.map(|(codec, frame)| (codec.name(), PyBytes::new(py, &frame))))
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let answer = py.detach(|| self.workers.stats());
        let (stats, driver, workers) = answer.map_err(wrong)?;
        shown::stats(py, &stats, &driver, &workers, &self.workers.common.streams)
    }
}
