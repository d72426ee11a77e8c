//! Reserves ports of the host for tests that run in parallel.

use std::fs::OpenOptions;
use std::net::{TcpListener, UdpSocket};

use nix::fcntl::{Flock, FlockArg};

/// A port that no other test uses until this process ends. Dropping this value does not release the port, because an
/// instance that publishes it is often dropped, and so taken down, after this value.
pub struct HostPort {
    /// Its number.
    pub number: u16,
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.number.fmt(f)
    }
}

/// Returns a free port, from a range that the kernel does not use for clients.
pub fn host_port() -> HostPort {
    let dir = std::env::temp_dir().join("kube-e2e-ports");
    std::fs::create_dir_all(&dir).unwrap();
    let first = 20_000 + std::process::id() % 5_000;
    for number in (first..30_000).chain(20_000..first) {
        let number = u16::try_from(number).unwrap();
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(number.to_string()))
            .unwrap();
        let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { continue };
        if TcpListener::bind(("0.0.0.0", number)).is_ok() && UdpSocket::bind(("0.0.0.0", number)).is_ok() {
            std::mem::forget(lock);
            return HostPort { number };
        }
    }
    panic!("no port is free between 20000 and 30000");
}
