//! Bytes between our standard streams and those of a command that runs elsewhere.

use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::output::Closed;

/// Bytes moved at once: a pipe's whole buffer.
const CHUNK: usize = 64 * 1024;

/// After the command has ended, how long output of what it left behind is waited for.
const LINGER: Duration = Duration::from_millis(100);

/// Which of our streams something is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// stdout.
    Out,
    /// stderr.
    Err,
}

/// What is carried to and fro.
#[derive(Debug, Default)]
pub struct Relay {
    /// Our stdin goes here; `None`: it is not read, or has ended.
    pub input: Option<OwnedFd>,
    /// What is read here is written to our streams.
    pub outputs: Vec<(OwnedFd, Stream)>,
    /// Read, and not taken yet by `input`.
    pending: Vec<u8>,
}

/// What happened while carrying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// One of the descriptors that the caller watches is readable.
    By(usize),
    /// Bytes were moved.
    Moved,
    /// The deadline has come.
    Deadline,
}

impl Relay {
    /// A relay; `input` must not block.
    pub fn new(input: Option<OwnedFd>, outputs: Vec<(OwnedFd, Stream)>) -> Self {
        Self { input, outputs, pending: Vec::new() }
    }

    /// Waits for something to carry, carries it, and returns. What `watch` has comes first.
    ///
    /// # Errors
    /// [`Closed`] when nobody reads our stdout; what the kernel says.
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

    /// Moves our stdin on.
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
            // The command reads no more, which is its right.
            Err(Errno::PIPE | Errno::IO) => {
                self.pending.clear();
                self.input = None;
            }
            Err(error) => return Err(error).context("write to the command's stdin"),
        }
        Ok(())
    }

    /// Carries what the command has left in its pipes, once it has ended. Something that it left running may
    /// hold them open for ever: that is not waited for.
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

/// Moves one chunk; true when there will be no more.
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

/// A pipe for one stream of a command: its end and ours, ours not blocking where it is written to.
///
/// # Errors
/// Too many open files.
pub fn pipe_from_command() -> anyhow::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("make a pipe")?;
    Ok((write, read))
}

/// As [`pipe_from_command`], the other way round.
///
/// # Errors
/// Too many open files.
pub fn pipe_to_command() -> anyhow::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("make a pipe")?;
    rustix::io::ioctl_fionbio(&write, true).context("make a pipe")?;
    Ok((read, write))
}

/// Makes reads and writes return instead of waiting.
///
/// # Errors
/// The kernel refuses.
pub fn do_not_block(fd: impl AsFd) -> anyhow::Result<()> {
    rustix::io::ioctl_fionbio(fd, true).context("set up a terminal")
}
