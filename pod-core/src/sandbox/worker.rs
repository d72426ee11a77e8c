//! Short-lived processes that are forked from the single-threaded supervisor. Each one does one task, writes one JSON
//! result to a pipe and ends.

use std::fs::File;
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{ForkResult, Pid, fork};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The step at which a worker failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Looking up the pod, container or client of a request, which the supervisor does not know.
    Lookup,
    /// Forking the worker.
    Fork,
    /// Files and folders of `kube`.
    Files,
    /// The network namespace and the network.
    Network,
    /// The pod's control group.
    Cgroup,
    /// The spec of a container.
    Spec,
    /// A call of an OCI runtime.
    Runtime,
    /// The terminal of a container or command.
    Terminal,
    /// The answer to a client.
    Reply,
    /// No particular step: the worker was killed before it had a result.
    Killed,
}

/// Why a worker failed, in the form that is sent through the worker's pipe.
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

    /// Returns a function for `map_err` that turns errors into failures of `step`.
    pub fn at<E: ToString>(step: Step) -> impl Fn(E) -> Self {
        move |error| Self::new(step, error)
    }

    /// Does the same as [`Failure::at`], with a description of what was attempted before the error.
    pub fn when<E: std::fmt::Display>(step: Step, attempt: impl std::fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self::new(step, format!("{attempt}: {error}"))
    }
}

/// A running worker whose result is a `T`.
#[derive(Debug)]
pub struct Worker<T> {
    /// The worker's process id.
    pub pid: Pid,
    pipe: File,
    received: Vec<u8>,
    result: PhantomData<T>,
}

/// The state of a worker according to its pipe.
#[derive(Debug)]
pub enum Outcome<T> {
    /// The worker has not ended.
    Pending,
    /// The worker has ended with this result.
    Done(T),
    /// The worker ended without a result: it was killed, or memory ran out.
    Died,
}

/// Forks a worker that runs `job`. The worker is killed when its supervisor dies, so that it does not act at the same
/// time as the next supervisor. What it had created is found by its name.
pub fn spawn<T: Serialize>(job: impl FnOnce() -> T) -> std::io::Result<Worker<T>> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    let parent = nix::unistd::getpid();
    // SAFETY: the supervisor has one thread, so the child may allocate and take locks. No crate offers a safer fork for
    // this.
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
    // Rust ignores SIGPIPE, and an ignored signal stays ignored over an exec. `yes | head` in a container would then
    // not end quietly.
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
    /// Recreates a worker that this process forked as another program.
    pub fn restored(pid: Pid, pipe: OwnedFd, received: Vec<u8>) -> Self {
        Self { pid, pipe: File::from(pipe), received, result: PhantomData }
    }

    /// Returns the pipe of the worker's result, and the part of the result that has been read.
    pub fn progress(&self) -> (RawFd, &[u8]) {
        (self.pipe.as_raw_fd(), &self.received)
    }
}

impl<T: DeserializeOwned> Worker<T> {
    /// Returns the pipe, to poll it.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Reads what is in the pipe. To be called when the pipe is readable.
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

    /// Waits until the worker has ended, and returns its result; `None` if it died. For a worker that runs slow steps
    /// in parallel in workers of its own.
    pub fn wait(mut self) -> Option<T> {
        rustix::io::ioctl_fionbio(&self.pipe, false).ok()?;
        let read = self.pipe.read_to_end(&mut self.received);
        let _ = nix::sys::wait::waitpid(self.pid, None);
        read.ok()?;
        serde_json::from_slice(&self.received).ok()
    }
}

/// Moves this process to a mount namespace of its own: its mounts do not appear on the host, and mounts that the host
/// makes later appear here.
pub fn unshare_mounts() -> std::io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    Ok(mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)?)
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
    fn a_worker_returns_its_result_of_any_length() {
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
    fn a_step_in_parallel_is_waited_for() {
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
