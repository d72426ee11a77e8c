//! Short-lived processes forked from the single-threaded supervisor: each does one thing, writes one JSON
//! result to a pipe and ends.

use std::fs::File;
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{ForkResult, Pid, fork};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The step at which a worker failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The supervisor knows nothing of what it was asked for: a pod, a container, a client.
    Lookup,
    /// Forking the worker.
    Fork,
    /// Files and folders of ours.
    Files,
    /// The network namespace and the network.
    Network,
    /// The pod's control group.
    Cgroup,
    /// The spec of a container.
    Spec,
    /// What an OCI runtime does.
    Runtime,
    /// A terminal.
    Terminal,
    /// The answer to a client.
    Reply,
    /// The worker was killed before it had a result.
    Killed,
}

/// Why a worker failed, as it crosses the worker's pipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The step that failed.
    pub step: Step,
    /// What failed and why, in one line.
    pub message: String,
    /// What a user can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// Creates the failure of `step` from an error or a message.
    pub fn new(step: Step, message: impl ToString) -> Self {
        let hint = match step {
            Step::Fork => Some("the limit of processes may be reached: see pids.max and `ulimit -u`"),
            Step::Killed => Some("the kernel may have run out of memory: see `dmesg`"),
            _ => None,
        };
        Self { step, message: message.to_string(), hint: hint.map(str::to_owned) }
    }

    /// Returns a function that makes errors failures of `step`, for `map_err`.
    pub fn at<E: ToString>(step: Step) -> impl Fn(E) -> Self {
        move |error| Self::new(step, error)
    }

    /// As [`Failure::at`], with what was attempted before the error.
    pub fn when<E: std::fmt::Display>(step: Step, attempt: impl std::fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self::new(step, format!("{attempt}: {error}"))
    }
}

/// A running worker whose result is a `T`.
#[derive(Debug)]
pub struct Worker<T> {
    /// Its process id.
    pub pid: Pid,
    pipe: File,
    received: Vec<u8>,
    result: PhantomData<T>,
}

/// What a worker's pipe says.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It is still at work.
    Pending,
    /// It is done.
    Done(T),
    /// It ended without a result: killed, or out of memory.
    Died,
}

/// Forks a worker that runs `job`. It is killed when its supervisor dies, so that nothing of a dead
/// supervisor acts beside its successor; what it half made is found by its name.
pub fn spawn<T: Serialize>(job: impl FnOnce() -> T) -> std::io::Result<Worker<T>> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    let parent = nix::unistd::getpid();
    // SAFETY: the supervisor has one thread, so the child may allocate and take locks. No crate forks more
    // safely than that.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            drop(write);
            rustix::io::ioctl_fionbio(&read, true)?;
            Ok(Worker { pid: child, pipe: File::from(read), received: Vec::new(), result: PhantomData })
        }
        ForkResult::Child => {
            drop(read);
            let code = run_child(parent, File::from(write), job);
            // SAFETY: _exit ends this process without running the parent's exit handlers.
            unsafe { libc::_exit(code) }
        }
    }
}

fn run_child<T: Serialize>(parent: Pid, mut pipe: File, job: impl FnOnce() -> T) -> i32 {
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    if nix::unistd::getppid() != parent {
        return 1;
    }
    // The supervisor blocks the signals that it reads from its signalfd; containers must not inherit that.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    // Rust ignores SIGPIPE, and what is ignored stays so over an exec: `yes | head` would not end quietly.
    // SAFETY: the default action is no handler; nothing of ours relies on SIGPIPE being ignored in here.
    let _ = unsafe { nix::sys::signal::signal(Signal::SIGPIPE, nix::sys::signal::SigHandler::SigDfl) };
    crate::runtime::worker::prepare_worker();
    let result = job();
    match serde_json::to_vec(&result) {
        Ok(bytes) if pipe.write_all(&bytes).is_ok() => 0,
        _ => 1,
    }
}

impl<T> Worker<T> {
    /// A worker that this process forked when it was another program.
    pub fn restored(pid: Pid, pipe: OwnedFd, received: Vec<u8>) -> Self {
        Self { pid, pipe: File::from(pipe), received, result: PhantomData }
    }

    /// The pipe of its result, and what of that has been read.
    pub fn progress(&self) -> (RawFd, &[u8]) {
        (self.pipe.as_raw_fd(), &self.received)
    }
}

impl<T: DeserializeOwned> Worker<T> {
    /// The pipe, to wait for.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Reads what the pipe has; call when it is readable.
    pub fn poll(&mut self) -> Outcome<T> {
        let mut chunk = [0u8; 4096];
        loop {
            match self.pipe.read(&mut chunk) {
                Ok(0) => {
                    return match serde_json::from_slice(&self.received) {
                        Ok(value) => Outcome::Done(value),
                        Err(_) => Outcome::Died,
                    };
                }
                Ok(n) => self.received.extend(chunk.iter().take(n)),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Outcome::Pending,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return Outcome::Died,
            }
        }
    }

    /// Waits for its end, for a worker that has workers of its own: slow steps side by side. `None`: it died.
    pub fn wait(mut self) -> Option<T> {
        rustix::io::ioctl_fionbio(&self.pipe, false).ok()?;
        let read = self.pipe.read_to_end(&mut self.received);
        let _ = nix::sys::wait::waitpid(self.pid, None);
        read.ok()?;
        serde_json::from_slice(&self.received).ok()
    }
}

/// Opens `/dev/null` for reading and writing, close-on-exec.
pub fn dev_null() -> std::io::Result<OwnedFd> {
    Ok(File::options().read(true).write(true).open("/dev/null")?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish<T: DeserializeOwned + Serialize>(mut worker: Worker<T>) -> Option<T> {
        loop {
            match worker.poll() {
                Outcome::Done(value) => return Some(value),
                Outcome::Died => return None,
                Outcome::Pending => {
                    let mut fds = [rustix::event::PollFd::from_borrowed_fd(
                        worker.pipe.as_fd(),
                        rustix::event::PollFlags::IN,
                    )];
                    rustix::event::poll(&mut fds, None).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_worker_gives_its_result_however_long() {
        let worker = spawn(|| vec![7u32; 100_000]).unwrap();
        assert_eq!(finish(worker).unwrap().len(), 100_000);
    }

    #[test]
    fn a_failure_crosses_the_pipe_with_step_message_and_hint() {
        let failure = Failure::new(Step::Killed, "killed");
        let told = failure.clone();
        let worker = spawn(move || Err::<(), _>(told)).unwrap();
        assert_eq!(finish(worker).unwrap(), Err(failure));
    }

    #[test]
    fn a_killed_worker_is_noticed() {
        let worker = spawn(|| {
            let _ = nix::sys::signal::raise(Signal::SIGKILL);
            1
        })
        .unwrap();
        assert_eq!(finish(worker), None);
    }

    #[test]
    fn a_step_beside_another_is_waited_for() {
        let worker = spawn(|| "done".to_owned()).unwrap();
        assert_eq!(worker.wait().as_deref(), Some("done"));
    }

    #[test]
    fn a_worker_starts_programs_with_the_default_sigpipe() {
        let worker = spawn(|| {
            // SAFETY: asks for the disposition by setting it to what it should be.
            let before =
                unsafe { nix::sys::signal::signal(Signal::SIGPIPE, nix::sys::signal::SigHandler::SigDfl) };
            matches!(before, Ok(nix::sys::signal::SigHandler::SigDfl))
        })
        .unwrap();
        assert_eq!(finish(worker), Some(true));
    }
}
