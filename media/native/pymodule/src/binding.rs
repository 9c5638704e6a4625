//! One port on every host.

use pyo3::exceptions::PyOSError;
use pyo3::PyErr;

use crate::parse;
use crate::socket::Udp;

/// Tries to find one port free on every host.
const PORT_TRIES: usize = 16;

/// Bind every host on one port.
pub fn bind_all(hosts: &[String], port: u16) -> Result<Vec<Udp>, PyErr> {
    let mut last = PyOSError::new_err("no hosts to bind");
    for _ in 0..PORT_TRIES {
        match try_bind(hosts, port) {
            Ok(sockets) => return Ok(sockets),
            Err(error) if port == 0 && hosts.len() > 1 => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn try_bind(hosts: &[String], mut port: u16) -> Result<Vec<Udp>, PyErr> {
    let mut sockets: Vec<Udp> = Vec::new();
    for host in hosts {
        let ip = parse::ip(host).map_err(PyOSError::new_err)?;
        let udp = Udp::bind(ip, port).map_err(PyErr::from)?;
        port = udp.address.port();
        sockets.push(udp);
    }
    Ok(sockets)
}
