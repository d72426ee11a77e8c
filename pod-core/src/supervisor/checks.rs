//! Checks under way, of probes and hooks: connections in the loop of the supervisor, and commands in containers.
//!
//! What is due, and what a result means, is decided by the state machine; [`probes`](super::probes) and
//! [`hooks`](super::hooks) ask it. A connection is made and waited for here, because a worker for each would cost far more
//! than the check itself. A command is started by a worker, as that of `exec` is, and runs in a cgroup of its own, so that
//! everything that it started can be killed when its time is over.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::pipe::{PipeFlags, pipe_with};

use super::Supervisor;
use super::event_loop::Source;
use crate::lifecycle::{HookKind, HookRun, Now, ProbeKind, ProbeResult, ProbeRun};
use crate::probe::{self, Attempt, Check, Step};
use crate::runtime::{self, Exec, Stdio, cgroup};
use crate::sandbox::worker::{self, Outcome, Worker};
use crate::sandbox::{self, Failure, Step as WorkerStep, container, process};

/// How much of what a command writes is kept for messages (the kubelet's maxReadLength).
const MAX_OUTPUT: usize = 10 * 1024;

/// The checks of a pod that run now.
#[derive(Default)]
pub struct Checks {
    active: Vec<Active>,
}

/// What a check is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A probe.
    Probe(ProbeRun),
    /// A hook.
    Hook(HookRun),
}

/// How long a check may take.
pub(super) struct Limit {
    /// When its time is over, in milliseconds since boot.
    pub at: u64,
    /// Its result if it takes longer than that.
    pub result: ProbeResult,
}

/// A check that runs.
struct Active {
    purpose: Purpose,
    limit: Option<Limit>,
    work: Work,
}

/// What is done for a check.
pub(super) enum Work {
    /// Nothing: its time passes.
    Sleep,
    /// A connection.
    Connection {
        /// The token of its descriptor.
        token: u64,
        /// How far it is.
        attempt: Attempt,
        /// Whether it waits until it can write.
        writes: bool,
    },
    /// Does what the loop cannot do without waiting.
    Worker {
        /// The token of its pipe.
        token: u64,
        /// The process.
        worker: Worker<ProbeResult>,
    },
    /// A command.
    Command(Command),
}

/// A command in a container.
pub(super) struct Command {
    /// The container's cgroup, and the group below it that the command runs in.
    container: String,
    group: String,
    /// Whether the runtime puts commands into groups.
    has_group: bool,
    worker_pid: i32,
    /// The worker that starts it, until it has reported.
    worker: Option<(u64, Worker<Result<i32, Failure>>)>,
    args: Vec<String>,
    /// Its process, once it is known.
    pid: Option<i32>,
    output: OwnedFd,
    /// `None` once its end was read.
    output_token: Option<u64>,
    said: Vec<u8>,
}

impl Purpose {
    /// Returns the container and which run of it.
    fn target(&self) -> (&str, u32) {
        match self {
            Self::Probe(run) => (&run.container, run.attempt),
            Self::Hook(run) => (&run.container, run.attempt),
        }
    }

    fn group(&self) -> String {
        match self {
            Self::Probe(run) => probe_group(run.kind),
            Self::Hook(run) => hook_group(run.kind),
        }
    }
}

/// Returns the name of the cgroup of a probe's commands, below that of the container.
pub(super) fn probe_group(kind: ProbeKind) -> String {
    format!("probe-{}", kind.as_str().to_ascii_lowercase())
}

/// Returns the name of the cgroup of a hook's command, below that of the container.
pub(super) fn hook_group(kind: HookKind) -> String {
    format!("hook-{}", kind.as_str().to_ascii_lowercase())
}

impl Checks {
    /// Returns when the time of a check is over, in milliseconds since boot.
    pub fn next_deadline(&self) -> Option<u64> {
        self.active.iter().filter_map(|active| active.limit.as_ref()).map(|limit| limit.at).min()
    }

    /// Returns the checks that are not `wanted` any more.
    fn take_unwanted(&mut self, wanted: impl FnMut(&Purpose) -> bool) -> Vec<Active> {
        let mut wanted = wanted;
        let all = std::mem::take(&mut self.active);
        let (keep, unwanted) = all.into_iter().partition(|active| wanted(&active.purpose));
        self.active = keep;
        unwanted
    }

    /// Returns whether a worker may have created a process that is not known yet.
    pub fn awaits_child(&self) -> bool {
        self.active
            .iter()
            .any(|active| matches!(&active.work, Work::Command(command) if command.pid.is_none()))
    }

    /// Returns whether a process is the worker of a command.
    pub fn has_worker(&self, pid: i32) -> bool {
        self.active.iter().any(|active| match &active.work {
            Work::Sleep | Work::Connection { .. } => false,
            Work::Worker { worker, .. } => worker.pid.as_raw() == pid,
            Work::Command(command) => command.worker_pid == pid,
        })
    }

    /// Returns whether a process is a command of a check.
    pub fn has_command(&self, pid: i32) -> bool {
        self.active
            .iter()
            .any(|active| matches!(&active.work, Work::Command(command) if command.pid == Some(pid)))
    }
}

impl Work {
    fn connection(&self) -> Option<u64> {
        match self {
            Self::Connection { token, .. } => Some(*token),
            Self::Sleep | Self::Worker { .. } | Self::Command(_) => None,
        }
    }

    fn has_token(&self, token: u64) -> bool {
        match self {
            Self::Sleep => false,
            Self::Connection { token: own, .. } | Self::Worker { token: own, .. } => *own == token,
            Self::Command(command) => {
                command.output_token == Some(token)
                    || command.worker.as_ref().is_some_and(|(own, _)| *own == token)
            }
        }
    }
}

impl Command {
    /// Reads what it has written; true at its end.
    fn read(&mut self) -> bool {
        let mut chunk = [0; 4096];
        loop {
            match rustix::io::read(&self.output, &mut chunk) {
                Ok(0) => return true,
                Ok(length) => {
                    let room = MAX_OUTPUT.saturating_sub(self.said.len());
                    self.said.extend(chunk.iter().take(length.min(room)));
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Kills it, and everything that it started.
    fn kill(&self) {
        if let Some((_, worker)) = &self.worker {
            let _ = kill(worker.pid, Signal::SIGKILL);
        }
        cgroup::kill_all(&self.group);
        if let Some(pid) = self.pid {
            if !self.has_group {
                process::kill_descendants(pid, &cgroup::processes(&self.container));
            }
            // It is our child and has not been waited for, so that its pid is still its own.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    fn result(&self, purpose: &Purpose, code: i32) -> ProbeResult {
        if code == 0 {
            return ProbeResult::Success;
        }
        let said = String::from_utf8_lossy(&self.said);
        ProbeResult::Failure(match purpose {
            Purpose::Probe(_) => said.trim_end().to_owned(),
            // The kubelet's words.
            Purpose::Hook(_) => {
                format!("command '{}' exited with {code}: , message: {said:?}", self.args.join(" "))
            }
        })
    }
}

impl Supervisor {
    /// Makes the checks of a pod follow its state: those that do not apply any more are cancelled.
    pub(super) fn follow_checks(&mut self, uid: &str) {
        let now = super::now();
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.probing.schedule.follow(&pod.spec, &pod.state, now);
        let (schedule, spec, state) = (&mut pod.probing.schedule, &pod.spec, &pod.state);
        let cancelled = pod.checks.take_unwanted(|purpose| match purpose {
            Purpose::Probe(run) => schedule.is_running(spec, run),
            Purpose::Hook(run) => state.may_run(run),
        });
        for active in cancelled {
            self.close_check(&active, true);
        }
    }

    /// Cancels all probes: they run again at their next time.
    pub(super) fn cancel_probes(&mut self) {
        let mut cancelled = Vec::new();
        for pod in self.pods.values_mut() {
            for active in pod.checks.take_unwanted(|purpose| matches!(purpose, Purpose::Hook(_))) {
                if let Purpose::Probe(run) = &active.purpose {
                    pod.probing.schedule.abort(&pod.spec, run);
                }
                cancelled.push(active);
            }
        }
        for active in &cancelled {
            self.close_check(active, true);
        }
    }

    /// Starts the probes that are due, and ends the checks whose time is over.
    pub(super) fn run_checks(&mut self, now: Now) {
        let is_over = |active: &Active| active.limit.as_ref().is_some_and(|limit| limit.at <= now.boot);
        let due = self.pods.iter().filter(|(_, pod)| {
            let next = pod.probing.schedule.next_deadline().into_iter().chain(pod.checks.next_deadline());
            next.min().is_some_and(|at| at <= now.boot)
        });
        for uid in due.map(|(uid, _)| uid.clone()).collect::<Vec<_>>() {
            while let Some(active) = self.take_active(&uid, is_over) {
                self.close_check(&active, true);
                if let Some(limit) = &active.limit {
                    self.on_checked(&uid, &active.purpose, &limit.result);
                }
            }
            self.run_probes(&uid, now);
        }
    }

    /// Starts a check. Its result may be known at once.
    pub(super) fn start_check(&mut self, uid: &str, purpose: Purpose, check: Check, limit: Option<Limit>) {
        match self.begin(uid, &purpose, check) {
            Ok(work) => {
                let token = work.connection();
                self.add_check(uid, purpose, work, limit);
                // A connection to the same host mostly stands at once.
                if let Some(token) = token {
                    self.on_check(uid, token);
                }
            }
            Err(result) => self.on_checked(uid, &purpose, &result),
        }
    }

    pub(super) fn add_check(&mut self, uid: &str, purpose: Purpose, work: Work, limit: Option<Limit>) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.checks.active.push(Active { purpose, limit, work });
        }
    }

    fn on_checked(&mut self, uid: &str, purpose: &Purpose, result: &ProbeResult) {
        match purpose {
            Purpose::Probe(run) => self.on_probed(uid, run, result),
            Purpose::Hook(run) => self.on_hook_ended(uid, run, result),
        }
    }

    fn begin(&mut self, uid: &str, purpose: &Purpose, check: Check) -> Result<Work, ProbeResult> {
        let attempt = match check {
            Check::Exec(args) => {
                let command = self.start_command(uid, purpose, args);
                return command.map(Work::Command).map_err(|e| ProbeResult::Unknown(e.message));
            }
            Check::Http(request) => match request.plain_address() {
                Some(address) => Attempt::request(request, address)?,
                None => return self.start_worker(uid, &Check::Http(request)),
            },
            Check::Tcp(target) => match target.address() {
                Some(address) => Attempt::connect(&target, address)?,
                None => return self.start_worker(uid, &Check::Tcp(target)),
            },
            check @ Check::Grpc { .. } => return self.start_worker(uid, &check),
        };
        let source = Source::Check { uid: uid.to_owned() };
        let added = self.events.add(attempt.fd(), source);
        let token = added.map_err(|e| ProbeResult::Unknown(format!("cannot wait for a connection: {e}")))?;
        Ok(Work::Connection { token, attempt, writes: false })
    }

    fn start_worker(&mut self, uid: &str, check: &Check) -> Result<Work, ProbeResult> {
        let failed = |error: std::io::Error| ProbeResult::Unknown(format!("cannot fork: {error}"));
        let worker = worker::spawn(|| probe::run_in_worker(check)).map_err(failed)?;
        let added = self.events.add(worker.fd(), Source::Check { uid: uid.to_owned() });
        let token = added.map_err(|e| ProbeResult::Unknown(format!("cannot wait for a worker: {e}")))?;
        Ok(Work::Worker { token, worker })
    }

    fn start_command(&mut self, uid: &str, purpose: &Purpose, args: Vec<String>) -> Result<Command, Failure> {
        let missing = |what: String| Failure::new(WorkerStep::Lookup, what);
        let pod = self.pods.get(uid).ok_or_else(|| missing("the pod is gone".to_owned()))?;
        let (name, attempt) = purpose.target();
        let bundle = pod.runs.get(name).filter(|own| own.process.is_some() && own.attempt == attempt);
        let bundle = bundle.map(|own| own.bundle.clone());
        let bundle = bundle.ok_or_else(|| missing(format!("container {name} is not running")))?;
        let parent = pod.sandbox.as_ref().map(|sandbox| sandbox.sandbox.cgroup.clone()).unwrap_or_default();
        let id = container::id(uid, name, attempt);
        let container = cgroup::container_path(&parent, &id);
        let group = purpose.group();
        let (output, write) = pipe_with(PipeFlags::CLOEXEC).map_err(Failure::at(WorkerStep::Files))?;
        rustix::io::ioctl_fionbio(&output, true).map_err(Failure::at(WorkerStep::Files))?;
        let job = || -> Result<i32, Failure> {
            let null = worker::dev_null().map_err(Failure::at(WorkerStep::Files))?;
            let oci = runtime::open(pod.plan.runtime.as_deref(), &sandbox::runtime_state(&self.layout))
                .map_err(Failure::at(WorkerStep::Runtime))?;
            let exec = Exec {
                id: &id,
                bundle: &bundle,
                args: &args,
                env: &[],
                tty: false,
                size: None,
                stdio: Stdio { stdin: null.as_fd(), stdout: write.as_fd(), stderr: write.as_fd() },
                console_socket: None,
                group: Some(&group),
            };
            oci.exec(&exec).map_err(|e| Failure::new(WorkerStep::Runtime, e.of_container()))
        };
        let worker = worker::spawn(job).map_err(Failure::when(WorkerStep::Fork, "cannot fork"))?;
        let has_group = pod.plan.runtime.is_none();
        let source = Source::Check { uid: uid.to_owned() };
        let worker_pid = worker.pid.as_raw();
        let cannot_wait = Failure::when(WorkerStep::Files, "cannot wait for a command");
        let token = self.events.add(worker.fd(), source.clone()).map_err(cannot_wait)?;
        let output_token = self.events.add(output.as_fd(), source).ok();
        let group = cgroup::below(&container, &group);
        let worker = Some((token, worker));
        let (pid, said) = (None, Vec::new());
        Ok(Command { container, group, has_group, worker_pid, worker, args, pid, output, output_token, said })
    }

    /// Handles a descriptor of a check that is readable or writable.
    pub(super) fn on_check(&mut self, uid: &str, token: u64) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let Some(active) = pod.checks.active.iter_mut().find(|active| active.work.has_token(token)) else {
            return;
        };
        match &mut active.work {
            Work::Connection { attempt, writes, .. } => match attempt.advance() {
                Step::Waiting { write } => {
                    if *writes != write {
                        let _ = self.events.want_write(attempt.fd(), token, write);
                        *writes = write;
                    }
                }
                Step::Done(result) => self.end_check(uid, token, &result),
                Step::Follow(request) => {
                    let purpose = active.purpose.clone();
                    match self.begin(uid, &purpose, Check::Http(request)) {
                        Ok(work) => self.replace_work(uid, token, work),
                        Err(result) => self.end_check(uid, token, &result),
                    }
                }
            },
            Work::Sleep => {}
            Work::Worker { worker, .. } => match worker.poll() {
                Outcome::Pending => {}
                Outcome::Done(result) => self.end_check(uid, token, &result),
                Outcome::Died => {
                    let killed = ProbeResult::Unknown("the worker process was killed".to_owned());
                    self.end_check(uid, token, &killed);
                }
            },
            Work::Command(command) if command.output_token == Some(token) => {
                if command.read() {
                    self.events.remove(command.output.as_fd(), token);
                    command.output_token = None;
                }
            }
            Work::Command(command) => {
                let Some((_, worker)) = &mut command.worker else { return };
                let outcome = worker.poll();
                if let Outcome::Pending = outcome {
                    return;
                }
                self.events.remove(worker.fd(), token);
                let killed = || Failure::new(WorkerStep::Killed, "the worker process was killed");
                let started = match outcome {
                    Outcome::Done(result) => result,
                    _ => Err(killed()),
                };
                let purpose = active.purpose.clone();
                command.worker = None;
                match started {
                    Ok(pid) => {
                        command.pid = Some(pid);
                        if let Some(code) = self.unclaimed.remove(&pid) {
                            self.on_command_ended(uid, pid, code);
                        }
                    }
                    Err(failure) => {
                        if let Some(active) = self.take_active(uid, |active| active.purpose == purpose) {
                            self.close_check(&active, true);
                            self.on_checked(uid, &purpose, &ProbeResult::Unknown(failure.message));
                        }
                    }
                }
            }
        }
    }

    /// Handles the end of a command.
    pub(super) fn on_command_ended(&mut self, uid: &str, pid: i32, code: i32) {
        let is_it =
            |active: &Active| matches!(&active.work, Work::Command(command) if command.pid == Some(pid));
        let Some(mut active) = self.take_active(uid, is_it) else { return };
        let Work::Command(command) = &mut active.work else { return };
        command.read();
        command.pid = None;
        let result = command.result(&active.purpose, code);
        self.close_check(&active, false);
        self.on_checked(uid, &active.purpose, &result);
    }

    fn replace_work(&mut self, uid: &str, token: u64, work: Work) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let Some(active) = pod.checks.active.iter_mut().find(|active| active.work.has_token(token)) else {
            return;
        };
        let former = std::mem::replace(&mut active.work, work);
        let next = active.work.connection();
        if let Work::Connection { attempt, .. } = &former {
            self.events.remove(attempt.fd(), token);
        }
        if let Some(next) = next {
            self.on_check(uid, next);
        }
    }

    fn end_check(&mut self, uid: &str, token: u64, result: &ProbeResult) {
        if let Some(active) = self.take_active(uid, |active| active.work.has_token(token)) {
            self.close_check(&active, false);
            self.on_checked(uid, &active.purpose, result);
        }
    }

    fn take_active(&mut self, uid: &str, is_it: impl Fn(&Active) -> bool) -> Option<Active> {
        let active = &mut self.pods.get_mut(uid)?.checks.active;
        active.iter().position(is_it).map(|index| active.swap_remove(index))
    }

    /// Stops waiting for a check; `kill` ends its command as well.
    fn close_check(&mut self, active: &Active, kill: bool) {
        match &active.work {
            Work::Sleep => {}
            Work::Connection { token, attempt, .. } => self.events.remove(attempt.fd(), *token),
            Work::Worker { token, worker } => {
                if kill {
                    let _ = nix::sys::signal::kill(worker.pid, Signal::SIGKILL);
                }
                self.events.remove(worker.fd(), *token);
            }
            Work::Command(command) => {
                if kill {
                    command.kill();
                }
                if let Some((token, worker)) = &command.worker {
                    self.events.remove(worker.fd(), *token);
                }
                if let Some(token) = command.output_token {
                    self.events.remove(command.output.as_fd(), token);
                }
            }
        }
    }
}
