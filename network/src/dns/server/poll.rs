//! The epoll(7) of the name server, and the deadlines of what it waits for.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;

/// How many events are taken at once.
const EVENTS: usize = 64;

/// What a descriptor is waited for. Its end is always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    Input,
    Output,
    Nothing,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Input => EventFlags::IN,
            Self::Output => EventFlags::OUT,
            Self::Nothing => EventFlags::empty(),
        }
    }
}

/// A descriptor that is ready.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub key: u64,
    /// Whether the other end has closed it, or it has failed.
    pub is_over: bool,
}

/// What is waited for. A key is never used twice, so an event of a descriptor that was closed belongs to nothing.
#[derive(Debug)]
pub(super) struct Poll {
    epoll: OwnedFd,
    next: u64,
    deadlines: BTreeSet<(Instant, u64)>,
}

impl Poll {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, next: 0, deadlines: BTreeSet::new() })
    }

    /// Returns a new key.
    pub(super) fn key(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Starts to wait for a descriptor. Closing it ends this.
    pub(super) fn watch(&self, fd: BorrowedFd<'_>, key: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(key), interest.flags())?)
    }

    /// Changes what a descriptor is waited for.
    pub(super) fn change(&self, fd: BorrowedFd<'_>, key: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(key), interest.flags())?)
    }

    pub(super) fn set_deadline(&mut self, at: Instant, key: u64) {
        self.deadlines.insert((at, key));
    }

    pub(super) fn clear_deadline(&mut self, at: Instant, key: u64) {
        self.deadlines.remove(&(at, key));
    }

    /// Takes a key whose deadline is over.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<u64> {
        let first = *self.deadlines.first()?;
        (first.0 <= now).then(|| {
            self.deadlines.remove(&first);
            first.1
        })
    }

    /// Waits until a descriptor is ready, a deadline is over, or nothing has happened for `quiet`. Without these two it
    /// takes as long as it takes.
    pub(super) fn wait(&self, ready: &mut Vec<Ready>, quiet: Option<Duration>) -> io::Result<()> {
        let mut buffer: Vec<Event> = Vec::with_capacity(EVENTS);
        let first = self.deadlines.first().map(|(at, _)| at.saturating_duration_since(Instant::now()));
        let limit = first.into_iter().chain(quiet).min().and_then(|left| Timespec::try_from(left).ok());
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut buffer), limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        ready.extend(buffer.iter().map(|event| Ready {
            key: event.data.u64(),
            is_over: { event.flags }.intersects(EventFlags::HUP | EventFlags::ERR),
        }));
        Ok(())
    }
}
