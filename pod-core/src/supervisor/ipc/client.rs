//! The client's end of a supervisor's socket. Commands call it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use base::file::{FileLock, LockKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::connection::{line, receive, send_bytes, with_short_path};
use super::protocol::{Hello, Reply, Request};
use crate::controller::{self, Controller, Outcome, WorkloadChange};
use crate::inherited;
use crate::lifecycle::{PodSpec, PodState};
use crate::record::{PodRecord, WorkloadRecord};
use crate::runtime::sealed_exe;
use crate::sandbox::process;
use crate::store::{Layout, WorkloadId};
use crate::supervisor::{Error, Spawned, adopted_state, append_events, spawn};
use crate::version::{self, Newer};

/// A connection to the supervisor of one workload.
#[derive(Debug)]
pub struct Client {
    layout: Layout,
    id: WorkloadId,
    stream: UnixStream,
    received: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    closed: bool,
    /// False until the supervisor has said that it speaks our format.
    greeted: bool,
    /// True if this supervisor replaced one of another format. It is not replaced a second time.
    replaced: bool,
    /// Requests that were sent before the supervisor's greeting. A supervisor of another format has ignored them.
    unanswered: Vec<UnansweredRequest>,
    /// The process at the other end. `stopped` is the time since which it has been seen stopped.
    pid: i32,
    stopped: Option<Instant>,
}

/// A request with its descriptors, kept for the case that it has to be sent again.
#[derive(Debug)]
struct UnansweredRequest {
    line: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// How long a supervisor may be stopped (SIGSTOP, a debugger) before commands give up.
const MOST_STOPPED: Duration = Duration::from_secs(3);
/// How long a supervisor may take to answer. It has one thread, which also writes to the disk.
const MOST_SILENT: Duration = Duration::from_mins(1);
/// How often a client checks whether a supervisor is stopped, because the kernel notifies only the supervisor's parent.
const LOOK: Duration = Duration::from_millis(200);

impl Client {
    /// Connects to a running supervisor; returns `None` if none runs.
    pub fn connect(layout: &Layout, id: &WorkloadId) -> Result<Option<Self>, Error> {
        match with_short_path(&layout.supervisor_socket(id), |path| UnixStream::connect(path)) {
            Ok(stream) => {
                let broken = |source: io::Error| Error::Socket { id: id.clone(), source };
                let peer = rustix::net::sockopt::socket_peercred(&stream).map_err(|e| broken(e.into()))?;
                stream.set_write_timeout(Some(MOST_SILENT)).map_err(broken)?;
                let mut client = Self {
                    layout: layout.clone(),
                    id: id.clone(),
                    stream,
                    received: Vec::new(),
                    descriptors: Vec::new(),
                    closed: false,
                    greeted: false,
                    replaced: false,
                    unanswered: Vec::new(),
                    pid: peer.pid.as_raw_nonzero().get(),
                    stopped: None,
                };
                while client.is_stopped()? {
                    std::thread::sleep(LOOK);
                }
                Ok(Some(client))
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(source) => Err(Error::Socket { id: id.clone(), source }),
        }
    }

    /// Connects to the supervisor of a recorded workload, and starts a supervisor if none runs.
    pub fn connect_or_spawn(layout: &Layout, exe: &Path, id: &WorkloadId) -> Result<Self, Error> {
        let mut retries = RetryBudget::new();
        loop {
            if let Some(client) = Self::connect(layout, id)? {
                return Ok(client);
            }
            let spawned = spawn(exe, layout, id)?;
            retries.spend(id, spawned)?;
        }
    }

    fn broken(&self) -> impl Fn(io::Error) -> Error + use<> {
        let id = self.id.clone();
        move |source| Error::Socket { id: id.clone(), source }
    }

    /// Sends a request with its descriptors.
    pub fn send(&mut self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<(), Error> {
        let request = line(request).map_err(self.broken())?;
        if self.greeted {
            return send_bytes(self.stream.as_fd(), &request, descriptors).map_err(self.broken());
        }
        // The first request is sent together with the greeting, so that no round trip is added.
        let mut bytes =
            if self.unanswered.is_empty() { line(&Hello::new()).map_err(self.broken())? } else { Vec::new() };
        bytes.extend_from_slice(&request);
        let kept = descriptors.iter().map(|fd| fd.try_clone_to_owned()).collect::<io::Result<_>>();
        self.unanswered.push(UnansweredRequest { line: request, descriptors: kept.map_err(self.broken())? });
        send_bytes(self.stream.as_fd(), &bytes, descriptors).map_err(self.broken())
    }

    /// Handles the supervisor's first line: continues if the supervisor speaks our format, replaces it if it is older.
    ///
    /// # Errors
    /// The supervisor is newer, or cannot be replaced.
    fn greet(&mut self, first: &[u8]) -> Result<(), Error> {
        let ours = version::format();
        match serde_json::from_slice::<Hello>(first) {
            Ok(Hello { hello, .. }) if hello == ours => {
                self.greeted = true;
                self.unanswered = Vec::new();
                Ok(())
            }
            Ok(Hello { hello, kube }) if hello > ours => {
                Err(Error::Newer { id: self.id.clone(), newer: Newer { format: hello, kube } })
            }
            _ if self.replaced => {
                let message = format!("the supervisor of {} is of an older kube again", self.id);
                Err(Error::Refused(message))
            }
            Ok(_) => self.hand_over(),
            // The supervisor is kube 0.1.0, which sends no Hello and cannot hand over.
            Err(_) => self.replace(),
        }
    }

    /// Makes the supervisor of an older `kube` continue as this program, then sends the requests again.
    fn hand_over(&mut self) -> Result<(), Error> {
        tracing::info!("the supervisor of {} (pid {}) continues as this kube", self.id, self.pid);
        let program = sealed_exe::program()?;
        let executable = sealed_exe::descriptor(&program).map_err(self.broken())?;
        let environment = inherited::environment(|name| std::env::var_os(name)).into_iter();
        let environment = environment
            .filter_map(|(name, value)| Some((name.to_owned(), value.into_string().ok()?)))
            .collect();
        let request = line(&Request::HandOver { program, environment }).map_err(self.broken())?;
        if send_bytes(self.stream.as_fd(), &request, &[executable.as_fd()]).is_err() {
            return self.ask_next();
        }
        base::fail_point!(HandOver, "hand-over-asked");
        let asked = Instant::now();
        loop {
            match self.next_line(Some(LOOK))? {
                Some(answer) => match serde_json::from_slice::<Hello>(&answer) {
                    Ok(Hello { hello, .. }) if hello == version::format() => return self.ask_again(),
                    Ok(Hello { hello, kube }) => {
                        return Err(Error::Newer {
                            id: self.id.clone(),
                            newer: Newer { format: hello, kube },
                        });
                    }
                    Err(_) => return self.replace(),
                },
                // The supervisor was killed.
                None if self.closed => return self.ask_next(),
                None if !self.is_stopped()? && asked.elapsed() > MOST_SILENT => {
                    return Err(Error::Silent { id: self.id.clone(), pid: self.pid });
                }
                None => {}
            }
        }
    }

    /// Replaces an older supervisor: kills it and lets the next supervisor adopt its pods, as after a crash. Then sends
    /// the requests again.
    fn replace(&mut self) -> Result<(), Error> {
        tracing::warn!(
            "the supervisor of {} (pid {}) is of an older kube: it is replaced",
            self.id,
            self.pid
        );
        kill(&self.id, self.pid)?;
        base::fail_point!(HandOver, "older-supervisor-killed");
        self.ask_next()
    }

    /// Sends the requests again to the next supervisor, which is started if none runs.
    fn ask_next(&mut self) -> Result<(), Error> {
        let exe = sealed_exe::program()?;
        let unanswered = std::mem::take(&mut self.unanswered);
        *self = Self::connect_or_spawn(&self.layout, &exe, &self.id)?;
        (self.unanswered, self.replaced) = (unanswered, true);
        let hello = line(&Hello::new()).map_err(self.broken())?;
        send_bytes(self.stream.as_fd(), &hello, &[]).map_err(self.broken())?;
        self.send_unanswered()
    }

    /// Sends again the requests that the supervisor ignored, because it now speaks our format.
    fn ask_again(&mut self) -> Result<(), Error> {
        self.greeted = true;
        self.send_unanswered()?;
        self.unanswered = Vec::new();
        Ok(())
    }

    fn send_unanswered(&self) -> Result<(), Error> {
        for UnansweredRequest { line, descriptors } in &self.unanswered {
            let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
            send_bytes(self.stream.as_fd(), line, &descriptors).map_err(self.broken())?;
        }
        Ok(())
    }

    /// Returns the next reply; `None` if the supervisor has closed the connection, or no reply came within `timeout`.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Option<Reply>, Error> {
        loop {
            let Some(line) = self.next_line(timeout)? else { return Ok(None) };
            if self.greeted {
                return serde_json::from_slice(&line).map(Some).map_err(|e| self.broken()(e.into()));
            }
            self.greet(&line)?;
        }
    }

    /// Returns the next line, as [`Client::next`] does.
    fn next_line(&mut self, timeout: Option<Duration>) -> Result<Option<Vec<u8>>, Error> {
        let deadline = timeout.map(|t| Instant::now() + t);
        loop {
            if let Some(end) = self.received.iter().position(|b| *b == b'\n') {
                let rest = self.received.split_off(end + 1);
                let line = std::mem::replace(&mut self.received, rest);
                return Ok(Some(line));
            }
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            self.stream.set_read_timeout(left).map_err(self.broken())?;
            match receive(self.stream.as_fd(), &mut self.received, &mut self.descriptors) {
                Ok(0) => {
                    self.closed = true;
                    return Ok(None);
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {
                    self.closed = true;
                    return Ok(None);
                }
                Err(e) => return Err(self.broken()(e)),
            }
        }
    }

    /// Returns a descriptor that came with a reply.
    pub fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop()
    }

    /// Returns the workload of the supervisor.
    pub fn id(&self) -> &WorkloadId {
        &self.id
    }

    /// Returns whether the supervisor has closed the connection and everything that it sent has been read.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Returns whether the supervisor is stopped.
    ///
    /// # Errors
    /// The supervisor has been stopped for so long that the caller should give up.
    pub fn is_stopped(&mut self) -> Result<bool, Error> {
        if !process::is_stopped(self.pid) {
            self.stopped = None;
            return Ok(false);
        }
        if self.stopped.get_or_insert_with(Instant::now).elapsed() < MOST_STOPPED {
            return Ok(true);
        }
        Err(Error::Stopped { id: self.id.clone(), pid: self.pid })
    }

    /// Returns the socket, to poll it for replies together with other descriptors.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Sends a request to change the workload.
    fn ask(&mut self, change: &WorkloadChange) -> Result<(), Error> {
        self.send(&Request::Change { change: change.clone() }, &[])
    }

    /// Waits for the answer to [`Client::ask`].
    fn answer(&mut self) -> Result<(), Error> {
        let asked = Instant::now();
        loop {
            match self.next(Some(LOOK))? {
                Some(Reply::Done) => return Ok(()),
                Some(Reply::Failed { message }) => return Err(Error::Refused(message)),
                Some(_) => {}
                None if self.closed => return Err(self.broken()(io::ErrorKind::UnexpectedEof.into())),
                None if !self.is_stopped()? && asked.elapsed() > MOST_SILENT => {
                    return Err(Error::Silent { id: self.id.clone(), pid: self.pid });
                }
                None => {}
            }
        }
    }
}

/// Makes the supervisor of a workload write its files again, because one of them is damaged. Returns false if there is
/// no supervisor, or it could not write them.
pub fn rewrite(layout: &Layout, id: &WorkloadId) -> bool {
    let Ok(Some(mut client)) = Client::connect(layout, id) else { return false };
    client.send(&Request::Save, &[]).and_then(|()| client.answer()).is_ok()
}

/// Kills the supervisor of a workload whose record cannot be read, if there is one.
///
/// # Errors
/// The supervisor does not end.
pub fn kill_supervisor(layout: &Layout, id: &WorkloadId) -> Result<(), Error> {
    match Client::connect(layout, id) {
        Ok(Some(client)) => kill_silent(id, client.pid),
        Err(Error::Stopped { pid, .. }) => kill_silent(id, pid),
        Ok(None) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Does [`apply`] for several workloads: all running supervisors are asked before the first answer is waited for. A
/// workload that fails does not stop the others: its error is returned together with the clients of the rest. With
/// `force`, a supervisor that does not answer is killed, and a new one carries out the request.
pub fn apply_all(
    layout: &Layout,
    exe: &Path,
    changes: &[(WorkloadId, WorkloadChange)],
    force: bool,
) -> (Vec<Client>, Vec<(WorkloadId, Error)>) {
    let mut asked = Vec::new();
    for (id, change) in changes {
        let client = Client::connect(layout, id)
            .map(|client| client.and_then(|mut client| client.ask(change).ok().map(|()| client)));
        asked.push((id, change, client));
    }
    let (mut clients, mut failed) = (Vec::new(), Vec::new());
    for (id, change, client) in asked {
        let applied = match client {
            Ok(Some(mut client)) => match client.answer() {
                Ok(()) => {
                    base::fail_point!(Command, "supervisors-asked");
                    Ok(Some(client))
                }
                // The supervisor ended during the request.
                Err(Error::Socket { .. }) => apply(layout, exe, id, change),
                Err(e) => Err(e),
            },
            Ok(None) => apply(layout, exe, id, change),
            Err(e) => Err(e),
        };
        let applied = match applied {
            Err(Error::Stopped { pid, .. } | Error::Silent { pid, .. }) if force => {
                kill_silent(id, pid).and_then(|()| apply(layout, exe, id, change))
            }
            applied => applied,
        };
        match applied {
            Ok(client) => clients.extend(client),
            Err(e) => failed.push((id.clone(), e)),
        }
    }
    (clients, failed)
}

/// Kills a supervisor that does not answer.
fn kill_silent(id: &WorkloadId, pid: i32) -> Result<(), Error> {
    tracing::warn!("the supervisor of {id} (pid {pid}) does not answer and is killed");
    kill(id, pid)
}

/// Kills a supervisor and waits for its end. Its pods keep running, for the next supervisor to adopt.
fn kill(id: &WorkloadId, pid: i32) -> Result<(), Error> {
    let Some(process) = process::Process::of(pid).filter(|_| is_supervisor(id, pid)) else { return Ok(()) };
    let Some(pidfd) = process.open() else { return Ok(()) };
    process.signal(libc::SIGKILL);
    let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
    let ended = rustix::io::retry_on_intr(|| {
        poll(&mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)], Some(&limit))
    });
    match ended {
        Ok(0) => Err(Error::Silent { id: id.clone(), pid }),
        Ok(_) => Ok(()),
        Err(e) => Err(Error::Socket { id: id.clone(), source: e.into() }),
    }
}

/// Returns whether a process is the supervisor of a workload, according to the process's arguments.
fn is_supervisor(id: &WorkloadId, pid: i32) -> bool {
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut arguments = arguments.split(|byte| *byte == 0).skip(1);
    arguments.next() == Some(crate::supervisor::SUPERVISE.as_bytes())
        && arguments.nth(2) == Some(id.dir_name().as_bytes())
}

/// Changes a workload through its supervisor, which is started if none runs and there is something to do. Returns the
/// connection; `None` if the change is complete already and no supervisor runs. Removes a record of which nothing is
/// left.
pub fn apply(
    layout: &Layout,
    exe: &Path,
    id: &WorkloadId,
    change: &WorkloadChange,
) -> Result<Option<Client>, Error> {
    let mut retries = RetryBudget::new();
    loop {
        if let Some(mut client) = Client::connect(layout, id)? {
            match client.ask(change).and_then(|()| client.answer()) {
                Ok(()) => {
                    base::fail_point!(Command, "supervisor-asked");
                    return Ok(Some(client));
                }
                // The supervisor ended during the request; a change that it has not recorded is recorded below.
                Err(Error::Socket { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        // No other process writes the record while this process has the lock.
        let lock = FileLock::try_acquire(&layout.supervisor_lock(id), LockKind::Exclusive)?;
        let Some(lock) = lock else {
            retries.spend(id, Spawned::Busy)?;
            continue;
        };
        let before = WorkloadRecord::load(layout, id)?;
        let Some(outcome) = decide(layout, before.as_ref(), id, change) else { return Ok(None) };
        let record = &outcome.record;
        if record.is_leftover() {
            base::file::remove_dir_if_exists(&layout.workload(id))?;
            crate::record::removal::forget_note(layout, id)?;
            // The lock file is removed last; a process that waits for it then finds that the record is gone.
            base::file::remove_dir_if_exists(&layout.workload_run(id))?;
            return Ok(None);
        }
        if before.as_ref().is_none_or(|before| record.differs_durably(before)) {
            record.save_or_note(layout, before.as_ref())?;
            // The volatile state is older than the record that was just saved.
            record.forget_volatile(layout)?;
        }
        base::fail_point!(Command, "workload-recorded");
        append_events(layout, record, &outcome.emitted);
        drop(lock);
        if record.pods.iter().all(|pod| pod.is_at_rest()) {
            return Ok(None);
        }
        loop {
            let spawned = spawn(exe, layout, id)?;
            base::fail_point!(Command, "supervisor-spawned");
            let client = Client::connect(layout, id)?;
            // A supervisor that listened and has ended carried out everything; if the workload is gone, there is
            // nothing to do.
            if client.is_some() || spawned != Spawned::Busy {
                return Ok(client);
            }
            retries.spend(id, spawned)?;
        }
    }
}

/// Returns the result of a change for a workload without a running supervisor, from what is on disk about its pods.
fn decide(
    layout: &Layout,
    before: Option<&WorkloadRecord>,
    id: &WorkloadId,
    change: &WorkloadChange,
) -> Option<Outcome> {
    let pods = before.iter().flat_map(|record| &record.pods);
    let states: BTreeMap<&str, PodState> =
        pods.map(|pod| (pod.plan.uid.as_str(), adopted_state(layout, pod))).collect();
    let status_of = |pod: &PodRecord| {
        controller::pod_status(pod, &PodSpec::from_pod(&pod.plan.pod), states.get(pod.plan.uid.as_str()))
    };
    let now = jiff::Timestamp::now();
    let mut identity = controller::random_identity;
    Controller { status_of: &status_of, identity: &mut identity, now }.change(before, id, change)
}

/// Limits how long and how often a command retries while another process holds the workload, or while its
/// supervisors start and leave.
struct RetryBudget {
    until: Instant,
    closed: u32,
}

impl RetryBudget {
    /// No process holds a workload for longer without listening.
    const LIMIT: Duration = Duration::from_secs(30);
    /// The pause between two attempts, because no event reports that another process has bound its socket or released a
    /// lock.
    const PAUSE: Duration = Duration::from_millis(3);
    /// How many supervisors in a row may close the connection because they are just ending.
    const MAX_CLOSED: u32 = 10;

    fn new() -> Self {
        Self { until: Instant::now() + Self::LIMIT, closed: 0 }
    }

    /// Uses up one attempt. Returns an error if the budget is exhausted or the workload is gone.
    fn spend(&mut self, id: &WorkloadId, spawned: Spawned) -> Result<(), Error> {
        let over = match spawned {
            Spawned::Listens => {
                self.closed += 1;
                self.closed > Self::MAX_CLOSED
            }
            Spawned::Gone => return Err(Error::Gone(id.clone())),
            Spawned::Busy => {
                std::thread::sleep(Self::PAUSE);
                Instant::now() > self.until
            }
        };
        if !over {
            return Ok(());
        }
        let source = io::Error::new(io::ErrorKind::ConnectionRefused, "every supervisor ended at once");
        Err(Error::Socket { id: id.clone(), source })
    }
}

#[cfg(test)]
mod tests;
