//! An epoll(7) whose descriptors are named by what they are for.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{Timespec, epoll};

/// The meaning of a descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The signalfd.
    Signals,
    /// The timerfd.
    Timer,
    /// The socket that clients connect to.
    Listener,
    /// The connection of a client.
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
    /// A connection or a command of a probe or a hook.
    Check {
        /// Pod uid.
        uid: String,
    },
    /// The result pipe of the worker that brings Services up to date.
    Traffic,
    /// The pidfd of a container that a former supervisor started, which is not our child.
    AdoptedProcess {
        /// Pod uid.
        uid: String,
        /// The container's name; `None` for the infra container.
        container: Option<String>,
    },
}

/// The epoll of the process. A token is valid until its descriptor is removed, and is never used again.
#[derive(Debug)]
pub struct EventLoop {
    epoll: std::os::fd::OwnedFd,
    sources: HashMap<u64, Source>,
    next: u64,
}

impl EventLoop {
    /// Creates an event loop without descriptors.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, sources: HashMap::new(), next: 0 })
    }

    /// Starts to watch a descriptor for input. Returns its token.
    pub fn add(&mut self, fd: BorrowedFd<'_>, source: Source) -> io::Result<u64> {
        let token = self.next;
        self.next += 1;
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?;
        self.sources.insert(token, source);
        Ok(token)
    }

    /// Starts or stops to watch a descriptor for room to write.
    pub fn want_write(&self, fd: BorrowedFd<'_>, token: u64, want: bool) -> io::Result<()> {
        let mut flags = epoll::EventFlags::IN;
        if want {
            flags |= epoll::EventFlags::OUT;
        }
        Ok(epoll::modify(&self.epoll, fd, epoll::EventData::new_u64(token), flags)?)
    }

    /// Stops watching a descriptor that is about to be closed.
    pub fn remove(&mut self, fd: BorrowedFd<'_>, token: u64) {
        let _ = epoll::delete(&self.epoll, fd);
        self.sources.remove(&token);
    }

    /// Waits for an event, at most for `limit`, and returns the descriptors that are ready.
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
