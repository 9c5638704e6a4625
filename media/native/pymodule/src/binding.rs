//! One port on every host, for every worker.

use pyo3::exceptions::PyOSError;
use pyo3::PyErr;

use crate::parse;
use crate::socket::Udp;

/// Tries to find one port free on every host.
const PORT_TRIES: usize = 16;

/// Bind every host on one port, once for each worker.  Returns each worker's sockets.
pub fn bind_all(hosts: &[String], port: u16, workers: usize) -> Result<Vec<Vec<Udp>>, PyErr> {
    let mut last = PyOSError::new_err("no hosts to bind");
    for _ in 0..PORT_TRIES {
        match try_bind(hosts, port, workers) {
            Ok(sockets) => return Ok(sockets),
            Err(error) if port == 0 && hosts.len() > 1 => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn try_bind(hosts: &[String], mut port: u16, workers: usize) -> Result<Vec<Vec<Udp>>, PyErr> {
    let mut sets: Vec<Vec<Udp>> = (0..workers).map(|_| Vec::new()).collect();
    for host in hosts {
        let ip = parse::ip(host).map_err(PyOSError::new_err)?;
        let shared = Udp::bind_for(ip, port, workers).map_err(PyErr::from)?;
        port = shared.first().map_or(port, |udp| udp.address.port());
        for (set, udp) in sets.iter_mut().zip(shared) {
            set.push(udp);
        }
    }
    Ok(sets)
}
