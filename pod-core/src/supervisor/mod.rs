//! The supervisor: a detached process per workload that runs the workload's pods.
//!
//! It has one thread and one epoll. What the kernel reports (a child has ended, a pipe has data, a deadline is over, a
//! client asks) becomes a [`lifecycle::Event`](crate::lifecycle::Event). The actions that the state machine returns
//! become signals or workers ([`sandbox::worker`](crate::sandbox)). This module takes no decisions itself.

mod actions;
mod adopt;
mod attach;
mod checks;
mod children;
mod control;
mod debug;
mod endpoints;
mod event_loop;
mod exec;
mod hand_over;
mod held;
mod hooks;
pub mod ipc;
mod measuring;
mod parked;
mod pod;
mod probes;
mod requests;
mod resize;
mod spawn;
mod usage;

use adopt::adopted_state;
use control::append_events;
pub use spawn::{SUPERVISE, Spawned, detach_ingress_proxy, detach_name_server, spawn};

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use base::file::{FileLock, LockKind};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use self::endpoints::Publishing;
use self::event_loop::{EventLoop, Source};
use self::hand_over::{Handed, Successor};
use self::ipc::connection::{self, Connection};
use self::parked::ParkedRecord;
use self::pod::Pod;
use crate::controller::Status;
use crate::inherited;
use crate::lifecycle::Event;
use crate::record::{WorkloadRecord, now};
use crate::store::{self, Layout, WorkloadId};
use crate::version::Version;
use crate::workload;

/// The errors of a supervisor.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of the store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The supervisor's process could not be started.
    #[error("cannot start a supervisor: {0}")]
    Spawn(#[source] std::io::Error),
    /// The supervisor ended before its socket listened.
    #[error("the supervisor ended before it was ready{}{said}; see {}", if said.is_empty() { "" } else { ": " }, log.display())]
    NotStarted {
        /// The supervisor's log.
        log: PathBuf,
        /// The error that the supervisor reported last.
        said: String,
    },
    /// The kernel refused something that a supervisor needs.
    #[error("{what}: {source}")]
    Kernel {
        /// The action that was tried.
        what: &'static str,
        /// The kernel's error.
        #[source]
        source: std::io::Error,
    },
    /// The record that an idle supervisor kept as text cannot be read back.
    #[error("cannot read the kept record: {0}")]
    Parked(#[from] serde_json::Error),
    /// The socket failed, or received a malformed message.
    #[error("talking to the supervisor of {id}: {source}")]
    Socket {
        /// The workload.
        id: WorkloadId,
        /// The error of the socket.
        #[source]
        source: std::io::Error,
    },
    /// The supervisor is stopped (SIGSTOP) and does not continue.
    #[error(
        "the supervisor of {id} (pid {pid}) is stopped: `kill -CONT {pid}` continues it, `kube down --force {}` \
         removes {id} without it",
        id.arguments()
    )]
    Stopped {
        /// The workload.
        id: WorkloadId,
        /// The supervisor's process.
        pid: i32,
    },
    /// The supervisor does not answer.
    #[error(
        "the supervisor of {id} (pid {pid}) does not answer: see what it waits for (/proc/{pid}/stack), or remove {id} \
         without it: `kube down --force {}`",
        id.arguments()
    )]
    Silent {
        /// The workload.
        id: WorkloadId,
        /// The supervisor's process.
        pid: i32,
    },
    /// The supervisor belongs to a newer `kube`.
    #[error("the supervisor of {id} speaks {newer}")]
    Newer {
        /// The workload.
        id: WorkloadId,
        /// The format that the supervisor speaks.
        newer: crate::version::Newer,
    },
    /// An error of the OCI runtime.
    #[error(transparent)]
    Runtime(#[from] crate::runtime::Error),
    /// The workload was removed in the meantime.
    #[error("{0} was removed meanwhile")]
    Gone(WorkloadId),
    /// The supervisor refused the request, with this message.
    #[error("{0}")]
    Refused(String),
}

impl From<base::file::Error> for Error {
    fn from(error: base::file::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Error {
    fn kernel<E: Into<std::io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |e| Self::Kernel { what, source: e.into() }
    }
}

/// The state of a supervisor's process.
struct Supervisor {
    layout: Layout,
    exe: PathBuf,
    id: WorkloadId,
    record: WorkloadRecord,
    pods: BTreeMap<String, Pod>,
    /// The pods of which nothing runs and that are still recorded, because the disk is full or read-only.
    gone: Vec<String>,
    connections: HashMap<u64, Connection>,
    watchers: Vec<u64>,
    /// The commands of `exec`: their pids, with the connection of the client that asked.
    execs: HashMap<i32, u64>,
    /// The processes of debug containers: their pids, with the uid of the pod and the name of the container.
    debugs: HashMap<i32, (String, String)>,
    /// Children that ended before their worker reported them: pid and exit code.
    unclaimed: HashMap<i32, i32>,
    /// An event that the controller of the workload has not seen yet.
    pending: Option<workload::Event>,
    /// Set if a decision of the controller could not be recorded, for example because the disk is full: the time of the
    /// next attempt, in milliseconds since boot.
    control_again: Option<u64>,
    /// How Services follow the pods.
    publishing: Publishing,
    /// True if the status of the workload may differ from the one that watchers have received.
    status_changed: bool,
    /// Whether anything but output and probes has happened since memory was released.
    has_worked: bool,
    reported_status: Option<Status>,
    events: EventLoop,
    signals: SignalFd,
    timer: OwnedFd,
    /// When the timer expires, in milliseconds since boot. `None` if it has expired or is not set.
    armed: Option<u64>,
    listener: UnixListener,
    /// Set by SIGTERM: the supervisor stops everything in order, keeps the record and ends.
    leaving: bool,
    /// Set by a newer `kube`: the program that is to continue in this process.
    successor: Option<Successor>,
    lock: FileLock,
}

/// The main function of `kube supervise ROOT RUNROOT WORKLOAD`; `args` are the arguments after `supervise`.
pub fn main(args: &[std::ffi::OsString]) -> i32 {
    let ready = std::env::var(spawn::READY_FD).ok().and_then(|v| v.parse::<i32>().ok());
    let handed = match Handed::read() {
        Ok(handed) => handed,
        Err(e) => {
            tracing::error!("cannot go on where the former program was: {e}");
            return 1;
        }
    };
    let lacks = match &handed {
        Some(handed) => {
            // What this host does not allow was reported when the process started.
            inherited::reset_but_mask(&handed.descriptors());
            Vec::new()
        }
        None => inherited::reset(ready.as_slice()),
    };
    for lack in lacks {
        tracing::warn!("{lack}");
    }
    if let Err(e) = crate::runtime::sealed_exe::reexec_sealed() {
        tracing::warn!("cannot protect the kube binary from containers: {e}");
    }
    // A program that runs from a descriptor would have the descriptor's number as its name.
    let _ = nix::sys::prctl::set_name(c"kube");
    // SAFETY: the starter created this descriptor for us and passed its number; nothing else in this process owns it.
    let mut ready = ready.map(|fd| unsafe { std::fs::File::from_raw_fd(fd) });
    let result = match args {
        [root, runroot, dir] => {
            let layout = Layout { root: root.into(), runroot: runroot.into() };
            dir.to_str()
                .and_then(WorkloadId::from_key)
                .ok_or_else(|| Error::Refused(format!("not a workload: {}", dir.display())))
                .and_then(|id| match handed {
                    Some(handed) => resume(layout, id, handed).map(Some),
                    None => start(layout, id, &mut ready),
                })
                .and_then(|supervisor| supervisor.map_or(Ok(()), |mut supervisor| supervisor.serve()))
        }
        _ => Err(Error::Refused("supervise is started by kube itself".to_owned())),
    };
    match result {
        Ok(()) => 0,
        Err(e) => {
            if let Some(mut ready) = ready {
                let _ = write!(ready, "{e}");
            }
            tracing::error!("{e}");
            1
        }
    }
}

/// Creates the supervisor of a recorded workload, which adopts what runs of its pods. Returns `None` if the workload
/// has a supervisor already or is no longer recorded.
// The frame of a function that is inlined into its caller stays on the stack for the life of the supervisor.
#[inline(never)]
fn start(
    layout: Layout,
    id: WorkloadId,
    ready: &mut Option<std::fs::File>,
) -> Result<Option<Box<Supervisor>>, Error> {
    let Some(lock) = FileLock::try_acquire(&layout.supervisor_lock(&id), LockKind::Exclusive)? else {
        report_start(ready, spawn::BUSY)?;
        return Ok(None);
    };
    let Some(record) = WorkloadRecord::load(&layout, &id)? else {
        // The workload was removed after this supervisor was started; the folder that the starter created is removed
        // too.
        base::file::remove_dir_if_exists(&layout.workload_run(&id))?;
        report_start(ready, spawn::GONE)?;
        return Ok(None);
    };
    base::fail_point::register_supervisor();
    base::fail_point!(Supervisor, "supervisor-locked");
    // The directory may have been created, or made accessible to others, since the starting command checked it.
    layout.close_to_others()?;
    if let Err(e) = crate::runtime::cgroup::leave_callers("supervisor", &id.to_string()) {
        tracing::warn!("{e}: this pod ends with the process that started it");
    }
    base::file::remove_file_if_exists(&layout.supervisor_left(&id))?;
    let listener = listen(&layout.supervisor_socket(&id)).or_else(|_| {
        // The run tree is full. The space that is reserved for a note of removal is released, because the socket is
        // needed more.
        crate::record::removal::release_reserve(&layout, &id);
        listen(&layout.supervisor_socket(&id))
    })?;
    base::fail_point!(Supervisor, "socket-bound");
    if let Err(error) = crate::record::removal::reserve(&layout, &id) {
        tracing::warn!(%error, "no space is reserved for the removal of {id}");
    }
    let mut supervisor = Box::new(Supervisor::new(layout, id, record, lock, listener)?);
    report_start(ready, spawn::READY)?;
    base::fail_point!(Supervisor, "supervisor-ready");
    // Reads the host's features once, because every worker needs them.
    let _ = crate::runtime::host::Host::get();
    supervisor.raise_record();
    supervisor.adopt();
    base::fail_point!(Supervisor, "pods-adopted");
    Ok(Some(supervisor))
}

/// Creates the supervisor that continues where the former program of this process stopped.
#[inline(never)]
fn resume(layout: Layout, id: WorkloadId, handed: Handed) -> Result<Box<Supervisor>, Error> {
    base::fail_point::register_supervisor();
    // Reads the host's features once, because every worker needs them.
    let _ = crate::runtime::host::Host::get();
    handed.take(layout, id).map(Box::new)
}

/// Reports to the starter of this supervisor how the start went.
fn report_start(ready: &mut Option<std::fs::File>, word: &str) -> Result<(), Error> {
    if let Some(mut file) = ready.take() {
        file.write_all(word.as_bytes()).map_err(Error::Spawn)?;
    }
    Ok(())
}

/// Binds the socket. Paths of sockets are limited to 108 bytes (unix(7)); a longer path is reached through its folder's
/// descriptor.
fn listen(path: &Path) -> Result<UnixListener, Error> {
    base::file::remove_file_if_exists(path)?;
    let listener = connection::with_short_path(path, |path| UnixListener::bind(path))
        .map_err(Error::kernel("bind the socket"))?;
    listener.set_nonblocking(true).map_err(Error::kernel("bind the socket"))?;
    Ok(listener)
}

impl Supervisor {
    /// Creates a supervisor without pods. From here on it is notified when its child processes end.
    fn new(
        layout: Layout,
        id: WorkloadId,
        record: WorkloadRecord,
        lock: FileLock,
        listener: UnixListener,
    ) -> Result<Self, Error> {
        nix::sys::prctl::set_child_subreaper(true).map_err(Error::kernel("become a subreaper"))?;
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE] {
            mask.add(signal);
        }
        mask.thread_block().map_err(Error::kernel("block signals"))?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(Error::kernel("read signals"))?;
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
            .map_err(Error::kernel("make a timer"))?;
        let mut events = EventLoop::new().map_err(Error::kernel("make an epoll"))?;
        events.add(signals.as_fd(), Source::Signals).map_err(Error::kernel("wait for signals"))?;
        events.add(timer.as_fd(), Source::Timer).map_err(Error::kernel("wait for the timer"))?;
        events.add(listener.as_fd(), Source::Listener).map_err(Error::kernel("wait for clients"))?;
        let exe = crate::runtime::sealed_exe::program()?;
        Ok(Self {
            layout,
            exe,
            id,
            record,
            pods: BTreeMap::new(),
            gone: Vec::new(),
            connections: HashMap::new(),
            watchers: Vec::new(),
            execs: HashMap::new(),
            debugs: HashMap::new(),
            unclaimed: HashMap::new(),
            pending: None,
            control_again: None,
            publishing: Publishing::default(),
            status_changed: false,
            has_worked: true,
            reported_status: None,
            events,
            signals,
            timer,
            armed: None,
            listener,
            leaving: false,
            successor: None,
            lock,
        })
    }

    /// Writes the record in the format of this program, so that an older `kube` refuses the workload.
    fn raise_record(&mut self) {
        if !self.record.version.is_older() {
            return;
        }
        match self.record.save(&self.layout) {
            Ok(()) => self.record.version = Version::current(),
            Err(error) => tracing::error!(%error, "the record of {} keeps its old format", self.id),
        }
    }

    fn serve(&mut self) -> Result<(), Error> {
        loop {
            self.settle();
            if self.is_done() {
                return self.exit();
            }
            self.arm_timer();
            for (token, source) in self.wait()? {
                self.handle(token, source);
            }
            if let Some(successor) = self.successor.take() {
                self.hand_over(&successor);
            }
        }
    }

    /// Handles one event.
    #[inline(never)]
    fn handle(&mut self, token: u64, source: Source) {
        // The rest counts if a pod's state changes. What happens each second, such as a probe, must not release what the
        // next one needs.
        self.has_worked |=
            !matches!(source, Source::Output { .. } | Source::Timer | Source::Signals | Source::Check { .. });
        match source {
            Source::Signals => self.on_signals(),
            Source::Timer => self.on_timer(),
            Source::Listener => self.on_client(),
            Source::Connection => self.on_request(token),
            Source::Worker { uid } => self.on_worker(&uid, token),
            Source::Output { uid, container } => self.on_output(&uid, &container),
            Source::Check { uid } => self.on_check(&uid, token),
            Source::Traffic => self.on_traffic(),
            Source::AdoptedProcess { uid, container } => {
                self.on_adopted_process(&uid, container.as_deref());
            }
        }
    }

    /// Waits for events. Memory is released once the supervisor is idle.
    fn wait(&mut self) -> Result<Vec<(u64, Source)>, Error> {
        let quiet = self.has_worked.then_some(base::memory::QUIET);
        let events = self.events.wait(quiet).map_err(Error::kernel("wait for events"))?;
        if !events.is_empty() || quiet.is_none() {
            return Ok(events);
        }
        self.has_worked = false;
        // Nothing has happened, so nothing is decided before the next event: that would need the released pages again.
        let parked = ParkedRecord::park(&mut self.record);
        base::memory::give_back();
        let events = self.events.wait(None).map_err(Error::kernel("wait for events"));
        if let Some(parked) = parked {
            parked.restore(&mut self.record)?;
        }
        events
    }

    /// Returns whether nothing is left to do: every pod has ended for good, or is recorded and should not run.
    fn is_done(&self) -> bool {
        self.connections.is_empty()
            && !self.is_publishing()
            && self.pods.values().all(|pod| pod.is_idle(self.leaving))
            && (self.leaving || self.record.deleting || self.control_again.is_none())
    }

    fn exit(&mut self) -> Result<(), Error> {
        let socket = self.layout.supervisor_socket(&self.id);
        if self.record.is_leftover() {
            base::fail_point!(Supervisor, "workload-empty");
            // The disk is read-only. The record and the note of its removal are kept, and the next command tries again.
            if self.gone.iter().any(|uid| self.layout.pod(uid).exists()) {
                tracing::error!(
                    "the record of {} is kept, because files of its pods cannot be removed",
                    self.id
                );
                base::file::remove_file_if_exists(&socket)?;
                return Ok(());
            }
            if let Err(error) = base::file::remove_dir_if_exists(&self.layout.workload(&self.id)) {
                tracing::error!(%error, "the record of {} cannot be removed", self.id);
                base::file::remove_file_if_exists(&socket)?;
                return Ok(());
            }
            base::fail_point!(Supervisor, "workload-removed");
            crate::record::removal::forget_note(&self.layout, &self.id)?;
            // The lock file is removed last; a process that waits for it then finds that the record is gone.
            base::file::remove_dir_if_exists(&self.layout.workload_run(&self.id))?;
            return Ok(());
        }
        base::file::remove_file_if_exists(&socket)?;
        if self.leaving {
            base::file::write_atomic(&self.layout.supervisor_left(&self.id), b"", 0o600)?;
        }
        Ok(())
    }

    fn arm_timer(&mut self) {
        let due = self.pods.values().filter_map(|pod| pod.state.next_deadline(&pod.spec)).min();
        // No event reports that a disk has space again.
        let again =
            self.pods.values().filter(|pod| pod.purge == pod::Purge::No).filter_map(|pod| pod.unwritten);
        let probes = self.pods.values().filter_map(|pod| pod.probing.schedule.next_deadline());
        let checks = self.pods.values().filter_map(|pod| pod.checks.next_deadline());
        let usage = self.pods.values().filter_map(|pod| pod.measuring.next);
        let due = due.into_iter().chain(again).chain(probes).chain(checks).chain(usage);
        let held = self.pods.values().filter_map(|pod| pod.held.next_deadline());
        let due = due.chain(held).chain(self.control_due()).min();
        if due == self.armed {
            return;
        }
        self.armed = due;
        let value = due.map_or(Timespec { tv_sec: 0, tv_nsec: 0 }, |due| {
            // A zero time would disarm the timer.
            let due = due.max(1);
            Timespec {
                tv_sec: i64::try_from(due / 1000).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(due % 1000).unwrap_or(0) * 1_000_000,
            }
        });
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec);
    }

    /// Returns when the controller has to decide again, in milliseconds since boot.
    fn control_due(&self) -> Option<u64> {
        let deadline = self.record.state.next_deadline.filter(|_| !self.leaving && !self.record.deleting);
        let deadline = deadline.map(|at| {
            let now = now();
            let wait = at.duration_since(now.wall).as_millis();
            // Rounded up, because the timer must not fire too early.
            now.boot.saturating_add(u64::try_from(wait + 1).unwrap_or(0))
        });
        deadline.into_iter().chain(self.control_again).min()
    }

    fn on_timer(&mut self) {
        let mut ticks = [0u8; 8];
        let _ = rustix::io::read(&self.timer, &mut ticks);
        self.armed = None;
        let now = now();
        let unwritten = self.pods.iter().filter(|(_, pod)| pod.unwritten.is_some_and(|at| at <= now.boot));
        for uid in unwritten.map(|(uid, _)| uid.clone()).collect::<Vec<_>>() {
            self.write_state(&uid);
        }
        let due: Vec<String> = self
            .pods
            .iter()
            .filter(|(_, pod)| pod.state.next_deadline(&pod.spec).is_some_and(|at| at <= now.boot))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in due {
            self.dispatch(&uid, &Event::Tick);
        }
        self.release_due(now.boot);
        self.run_checks(now);
        self.run_measurements(now);
        let deadline = self.record.state.next_deadline.is_some_and(|at| at <= now.wall);
        if deadline || self.control_again.is_some_and(|at| at <= now.boot) {
            self.control_again = None;
            self.pending.get_or_insert(workload::Event::PodsChanged);
        }
    }

    fn on_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match i32::try_from(info.ssi_signo).unwrap_or(0) {
                libc::SIGCHLD => self.reap(),
                libc::SIGTERM | libc::SIGINT => {
                    self.leaving = true;
                    let uids: Vec<String> = self.pods.keys().cloned().collect();
                    for uid in uids {
                        self.dispatch(&uid, &Event::Stop { grace_seconds: None });
                    }
                }
                _ => {}
            }
        }
    }
}
