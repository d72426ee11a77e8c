//! Copies bytes between our standard streams and those of a command that runs in a container.

use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::output::Closed;

/// The most bytes that are moved at once: the size of a pipe's buffer.
const CHUNK: usize = 64 * 1024;

/// How long to wait for output after the command has ended, because processes that it left running may still write.
const LINGER: Duration = Duration::from_millis(100);

/// The one of our streams that a command's output goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// stdout.
    Out,
    /// stderr.
    Err,
}

/// Copies bytes between our standard streams and a command's.
#[derive(Debug, Default)]
pub struct Relay {
    /// Receives our stdin; `None` if stdin is not read or has ended.
    pub input: Option<OwnedFd>,
    /// The command's outputs, with the stream of ours that each one goes to.
    pub outputs: Vec<(OwnedFd, Stream)>,
    /// Whether the keys Ctrl-P Ctrl-Q end the session instead of being passed on, as with docker and podman.
    pub detaches: bool,
    /// Whether these keys were typed.
    pub has_detached: bool,
    /// Whether the first of them was the last key that was typed.
    holds_key: bool,
    /// Bytes that were read from our stdin and that `input` has not accepted yet.
    pending: Vec<u8>,
}

/// Ctrl-P and Ctrl-Q.
const DETACH_KEYS: (u8, u8) = (0x10, 0x11);

/// Removes detach keys from what was typed. `holds` is whether the first key was typed last, and is not passed on yet.
/// Returns true if both were typed; what follows is dropped.
fn take_detach_keys(typed: &mut Vec<u8>, holds: &mut bool) -> bool {
    let mut passed = Vec::with_capacity(typed.len() + 1);
    let mut found = false;
    for key in std::mem::take(typed) {
        let held = std::mem::take(holds);
        if held && key == DETACH_KEYS.1 {
            found = true;
            break;
        }
        if held {
            passed.push(DETACH_KEYS.0);
        }
        *holds = key == DETACH_KEYS.0;
        if !*holds {
            passed.push(key);
        }
    }
    *typed = passed;
    found
}

/// Why [`Relay::turn`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The descriptor with this index in `watch` is readable.
    By(usize),
    /// Bytes were moved.
    Moved,
    /// The deadline has come.
    Deadline,
}

impl Relay {
    /// Creates a relay. `input` must be non-blocking.
    pub fn new(input: Option<OwnedFd>, outputs: Vec<(OwnedFd, Stream)>) -> Self {
        Self { input, outputs, ..Self::default() }
    }

    /// Waits until a descriptor is ready, moves the bytes of all that are ready, and returns. If descriptors of `watch`
    /// are ready as well, the first of them is returned.
    ///
    /// # Errors
    /// [`Closed`] if the reader of our stdout has closed it; else the kernel's error.
    pub fn turn(&mut self, watch: &[BorrowedFd<'_>], deadline: Option<Instant>) -> anyhow::Result<Woken> {
        let timeout = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            Some(left) => Some(Timespec::try_from(left).context("wait")?),
            None => None,
        };
        let stdin = std::io::stdin();
        let mut fds: Vec<PollFd<'_>> =
            watch.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let outputs_at = fds.len();
        fds.extend(self.outputs.iter().map(|(fd, _)| PollFd::new(fd, PollFlags::IN)));
        let input_at = fds.len();
        match &self.input {
            Some(_) if self.pending.is_empty() => fds.push(PollFd::new(&stdin, PollFlags::IN)),
            Some(input) => fds.push(PollFd::new(input, PollFlags::OUT)),
            None => {}
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => return Ok(Woken::Deadline),
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Woken::Moved),
            Err(error) => return Err(error).context("wait for the command"),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let is_ready = |at: usize| ready.get(at).copied().unwrap_or(false);
        let ended: Vec<bool> = self
            .outputs
            .iter()
            .enumerate()
            .map(|(at, (fd, stream))| if is_ready(outputs_at + at) { carry(fd, *stream) } else { Ok(false) })
            .collect::<anyhow::Result<_>>()?;
        let mut ended = ended.into_iter();
        self.outputs.retain(|_| !ended.next().unwrap_or(false));
        if is_ready(input_at) {
            self.feed()?;
        }
        Ok((0..outputs_at).find(|at| is_ready(*at)).map_or(Woken::Moved, Woken::By))
    }

    /// Moves bytes from our stdin to the command.
    fn feed(&mut self) -> anyhow::Result<()> {
        let Some(input) = &self.input else { return Ok(()) };
        if self.pending.is_empty() {
            let mut chunk = vec![0u8; CHUNK];
            match rustix::io::read(std::io::stdin(), &mut chunk) {
                Ok(0) | Err(Errno::IO) => {
                    self.input = None;
                    return Ok(());
                }
                Ok(read) => {
                    chunk.truncate(read);
                    if self.detaches && take_detach_keys(&mut chunk, &mut self.holds_key) {
                        self.has_detached = true;
                    }
                    self.pending = chunk;
                }
                Err(Errno::INTR | Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error).context("read stdin"),
            }
        }
        match rustix::io::write(input, &self.pending) {
            Ok(written) => {
                self.pending.drain(..written);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The command does not read its stdin any more, which is not an error.
            Err(Errno::PIPE | Errno::IO) => {
                self.pending.clear();
                self.input = None;
            }
            Err(error) => return Err(error).context("write to the command's stdin"),
        }
        Ok(())
    }

    /// Copies what is left in the command's pipes after the command has ended. Waits no longer than [`LINGER`] for
    /// more, because a process that the command left running may hold the pipes open for ever.
    ///
    /// # Errors
    /// As [`Relay::turn`].
    pub fn finish(&mut self) -> anyhow::Result<()> {
        self.input = None;
        while !self.outputs.is_empty() {
            if self.turn(&[], Some(Instant::now() + LINGER))? == Woken::Deadline {
                break;
            }
        }
        Ok(())
    }
}

/// Moves one chunk; returns true at the end of the stream.
fn carry(from: &OwnedFd, to: Stream) -> anyhow::Result<bool> {
    let mut chunk = vec![0u8; CHUNK];
    let read = match rustix::io::read(from, &mut chunk) {
        // EIO: the other side of the pty is closed.
        Ok(0) | Err(Errno::IO) => return Ok(true),
        Ok(read) => read,
        Err(Errno::INTR | Errno::AGAIN) => return Ok(false),
        Err(error) => return Err(error).context("read the command's output"),
    };
    let bytes = chunk.get(..read).unwrap_or_default();
    let written = match to {
        Stream::Out => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        }
        Stream::Err => std::io::stderr().lock().write_all(bytes),
    };
    match written {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(error) => Err(error).context("write the command's output"),
    }
}

/// Creates a pipe for one output of a command. Returns the command's end and our end.
///
/// # Errors
/// Too many open files.
pub fn pipe_from_command() -> anyhow::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("make a pipe")?;
    Ok((write, read))
}

/// Creates a pipe for a command's stdin. Returns the command's end and our end, which is non-blocking.
///
/// # Errors
/// Too many open files.
pub fn pipe_to_command() -> anyhow::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("make a pipe")?;
    rustix::io::ioctl_fionbio(&write, true).context("make a pipe")?;
    Ok((read, write))
}

/// Makes a descriptor non-blocking.
///
/// # Errors
/// The kernel refuses.
pub fn do_not_block(fd: impl AsFd) -> anyhow::Result<()> {
    rustix::io::ioctl_fionbio(fd, true).context("set up a terminal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_p_ctrl_q_detaches_and_every_other_key_is_passed_on() {
        let mut holds = false;
        let mut typed = |text: &[u8]| {
            let mut keys = text.to_vec();
            let found = take_detach_keys(&mut keys, &mut holds);
            (keys, found)
        };
        assert_eq!(typed(b"ls\n"), (b"ls\n".to_vec(), false));
        assert_eq!(typed(b"a\x10b"), (b"a\x10b".to_vec(), false));
        assert_eq!(typed(b"\x10"), (vec![], false));
        assert_eq!(typed(b"\x10"), (b"\x10".to_vec(), false), "the first key typed twice is passed on once");
        assert_eq!(typed(b"x"), (b"\x10x".to_vec(), false));
        assert_eq!(typed(b"\x11"), (b"\x11".to_vec(), false));
        assert_eq!(typed(b"y\x10"), (b"y".to_vec(), false));
        assert_eq!(typed(b"\x11z"), (vec![], true));
    }
}
