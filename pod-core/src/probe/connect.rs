//! Opens connections in the network of a pod.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::OnceLock;

use nix::sched::{CloneFlags, setns};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

/// Begins to connect; the connection may still be on its way. `namespace` is the network namespace to connect from.
///
/// # Errors
/// Why not, as the kernel says.
pub fn begin(namespace: Option<&Path>, address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket: OwnedFd = within(namespace, || {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        Ok(socket_with(family, SocketType::STREAM, flags, None)?)
    })?;
    // The socket belongs to the namespace that it was made in, whatever namespace this process is in.
    match connect(&socket, &address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}

/// The network namespace of this process, which is opened once: a probe may run each second. A worker that is forked from
/// here is in the same namespace.
static OWN: OnceLock<File> = OnceLock::new();

/// Runs `make` in a network namespace. The process must have one thread.
pub fn within<T>(namespace: Option<&Path>, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let Some(namespace) = namespace else { return make() };
    let own = match OWN.get() {
        Some(own) => own,
        None => {
            let opened = File::open("/proc/self/ns/net")?;
            OWN.get_or_init(|| opened)
        }
    };
    setns(File::open(namespace)?, CloneFlags::CLONE_NEWNET)?;
    let made = make();
    if let Err(error) = setns(own, CloneFlags::CLONE_NEWNET) {
        // Everything that this process does from here on would be done in the network of a pod. The next command starts
        // another supervisor, as after a crash.
        tracing::error!(%error, "cannot return from the network of a pod");
        std::process::exit(1);
    }
    made
}

/// Describes an error of a connection as Go does.
pub fn describe(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_ascii_lowercase(),
        None => error.to_string(),
    }
}

/// Describes why a connection could not be made, as Go does.
pub fn dial_error(address: SocketAddr, error: &io::Error) -> String {
    format!("dial tcp {address}: connect: {}", describe(error))
}
