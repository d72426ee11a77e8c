//! epoll(7), with a name for everything that is waited for.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{Timespec, epoll};

/// What a descriptor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The signalfd.
    Signals,
    /// The timerfd.
    Timer,
    /// The socket that clients connect to.
    Listener,
    /// A client.
    Connection,
    /// The result pipe of a worker.
    Worker {
        /// Pod uid.
        uid: String,
    },
    /// Output of a container.
    Output {
        /// Pod uid.
        uid: String,
        /// Container name.
        container: String,
    },
    /// The pidfd of a container that is not our child (started by a former supervisor).
    AdoptedProcess {
        /// Pod uid.
        uid: String,
        /// Container name; the infra container has none.
        container: Option<String>,
    },
}

/// The epoll of the process. A token stays valid until it is removed, and is never used again.
#[derive(Debug)]
pub struct EventLoop {
    epoll: std::os::fd::OwnedFd,
    sources: HashMap<u64, Source>,
    next: u64,
}

impl EventLoop {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, sources: HashMap::new(), next: 0 })
    }

    /// Waits for a descriptor to be readable, from now on.
    pub fn add(&mut self, fd: BorrowedFd<'_>, source: Source) -> io::Result<u64> {
        let token = self.next;
        self.next += 1;
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?;
        self.sources.insert(token, source);
        Ok(token)
    }

    /// Also (or no longer) waits for room to write.
    pub fn want_write(&self, fd: BorrowedFd<'_>, token: u64, want: bool) -> io::Result<()> {
        let mut flags = epoll::EventFlags::IN;
        if want {
            flags |= epoll::EventFlags::OUT;
        }
        Ok(epoll::modify(&self.epoll, fd, epoll::EventData::new_u64(token), flags)?)
    }

    /// Waits no longer for a descriptor that is about to be closed.
    pub fn remove(&mut self, fd: BorrowedFd<'_>, token: u64) {
        let _ = epoll::delete(&self.epoll, fd);
        self.sources.remove(&token);
    }

    /// Waits until something happens; asleep for as long as nothing does, or until `limit` is over.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<Vec<(u64, Source)>> {
        let mut buffer: Vec<epoll::Event> = Vec::with_capacity(64);
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        loop {
            buffer.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut buffer), limit.as_ref()) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(buffer
            .iter()
            .filter_map(|event| {
                let token = event.data.u64();
                Some((token, self.sources.get(&token)?.clone()))
            })
            .collect())
    }
}
