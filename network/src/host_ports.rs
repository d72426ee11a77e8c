//! Ports of the host on which a process of an instance listens itself.

use std::net::IpAddr;

use crate::host::Host;
use crate::{Error, Networks, Port, port};

/// A port of the host on which a process wants to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPort {
    /// The address; `0.0.0.0` and `::` mean every address of the family.
    pub ip: IpAddr,
    /// The number of a TCP port.
    pub port: u16,
}

/// A port that others have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenPort {
    /// The port.
    pub port: HostPort,
    /// Who has it, or why it cannot be had.
    pub by: String,
}

impl Networks {
    /// Calls `listen` with the ports of `wanted` that neither a pod, a Service nor a process has. Meanwhile no other
    /// process can publish a port, so the sockets that `listen` opens are seen by everybody who looks for a port later:
    /// no further claim is needed. Returns its result, and the ports that others have.
    ///
    /// # Errors
    /// If claims or sockets cannot be read.
    pub fn listen_on_free<T>(
        &self,
        wanted: &[HostPort],
        listen: impl FnOnce(&[HostPort]) -> T,
    ) -> Result<(T, Vec<TakenPort>), Error> {
        let host = Host::lock()?;
        let claims = host.port_claims()?;
        let (mut free, mut taken) = (Vec::new(), Vec::new());
        for port in wanted {
            // A socket may listen on ::1, although no packet can be redirected from there.
            if port.ip.is_ipv6() && port.ip.is_loopback() {
                free.push(*port);
                continue;
            }
            let as_published = Port {
                host_ip: Some(port.ip).filter(|ip| !ip.is_unspecified()),
                host_port: port.port,
                container_port: port.port,
                protocol: "tcp".to_owned(),
            };
            match port::check(&self.instance(), "", &[as_published], &claims) {
                Ok(()) => free.push(*port),
                Err(Error::PortTaken { by, .. }) => taken.push(TakenPort { port: *port, by }),
                Err(e @ (Error::NotAnAddressOfTheHost { .. } | Error::PortZero)) => {
                    taken.push(TakenPort { port: *port, by: e.to_string() });
                }
                Err(e) => return Err(e),
            }
        }
        let result = listen(&free);
        drop(host);
        Ok((result, taken))
    }
}
