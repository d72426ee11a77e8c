//! Connections to ports of a pod, made from inside its network.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use nix::sched::{CloneFlags, setns};

use crate::sandbox::SandboxInfo;
use crate::store::Layout;

/// Why a port of a pod cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pod has no network yet, or none any more.
    #[error("the pod does not run")]
    NoSandbox,
    /// The network of the pod cannot be entered.
    #[error("enter the network of the pod")]
    Enter(#[source] io::Error),
    /// Nothing accepts connections on this port of the pod's loopback addresses.
    #[error("connect to port {port} of the pod")]
    Connect {
        /// The port.
        port: u16,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
}

/// Connects to a port of a pod, as the container runtimes of Kubernetes do: to 127.0.0.1 in its network, else to ::1.
/// The calling thread stays in its own network.
///
/// # Errors
/// The pod does not run, or nothing listens there.
pub fn to_pod(layout: &Layout, uid: &str, port: u16) -> Result<TcpStream, Error> {
    let info = SandboxInfo::load(layout, uid).ok_or(Error::NoSandbox)?;
    let connect = || -> Result<TcpStream, Error> {
        if let Some(namespace) = &info.sandbox.netns {
            let namespace = File::open(namespace).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Error::NoSandbox,
                _ => Error::Enter(error),
            })?;
            setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|errno| Error::Enter(errno.into()))?;
        }
        let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        // The error about IPv4 is the one that helps: most pods have no IPv6.
        TcpStream::connect(v4)
            .or_else(|source| TcpStream::connect(v6).map_err(|_| Error::Connect { port, source }))
    };
    // A thread of its own enters the namespace: it ends afterwards, so nothing has to return from there.
    std::thread::scope(|scope| {
        let thread = scope.spawn(connect);
        thread.join().unwrap_or_else(|_| Err(Error::NoSandbox))
    })
}
