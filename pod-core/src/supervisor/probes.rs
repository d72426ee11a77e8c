//! Probes under way: connections in the loop of the supervisor, and commands in containers.
//!
//! Which probe is due, and what a result means, is decided by [`ProbeSchedule`]. A connection is made and waited for
//! here, because a worker for each would cost far more than the probe itself. A command is started by a worker, as that
//! of `exec` is, and runs in a cgroup of its own, so that everything that it started can be killed when its time is over.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::pipe::{PipeFlags, pipe_with};

use super::Supervisor;
use super::event_loop::Source;
use crate::lifecycle::{Now, ProbeKind, ProbeResult, ProbeRun, ProbeSchedule};
use crate::log::Repeats;
use crate::probe::{self, Attempt, Check, Network, Step};
use crate::runtime::{self, Exec, Stdio, cgroup};
use crate::sandbox::worker::{self, Outcome, Worker};
use crate::sandbox::{self, Failure, Step as WorkerStep, container, process};

/// How much of what a command writes is kept for messages (the kubelet's maxReadLength).
const MAX_OUTPUT: usize = 10 * 1024;

/// The probes of a pod.
#[derive(Default)]
pub struct Probing {
    /// When they run.
    pub schedule: ProbeSchedule,
    /// Those that run now.
    active: Vec<Active>,
    /// The events about them.
    pub repeats: Repeats,
}

/// A probe that runs.
struct Active {
    run: ProbeRun,
    /// When its time is over, in milliseconds since boot.
    deadline: u64,
    /// Its result if it takes longer than that.
    timed_out: ProbeResult,
    work: Work,
}

enum Work {
    Connection {
        token: u64,
        attempt: Attempt,
    },
    /// Does what the loop cannot do without waiting.
    Worker {
        token: u64,
        worker: Worker<ProbeResult>,
    },
    Command(Command),
}

/// A command in a container.
struct Command {
    /// The container's cgroup, and the group below it that the command runs in.
    container: String,
    group: String,
    /// Whether the runtime puts commands into groups.
    has_group: bool,
    worker_pid: i32,
    /// The worker that starts it, until it has reported.
    worker: Option<(u64, Worker<Result<i32, Failure>>)>,
    /// Its process, once it is known.
    pid: Option<i32>,
    output: OwnedFd,
    /// `None` once its end was read.
    output_token: Option<u64>,
    said: Vec<u8>,
}

impl Probing {
    /// Returns when something is due: a probe, or the end of the time of one that runs.
    pub fn next_deadline(&self) -> Option<u64> {
        self.schedule
            .next_deadline()
            .into_iter()
            .chain(self.active.iter().map(|active| active.deadline))
            .min()
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
            Work::Connection { .. } => false,
            Work::Worker { worker, .. } => worker.pid.as_raw() == pid,
            Work::Command(command) => command.worker_pid == pid,
        })
    }

    /// Returns whether a process is a command of a probe.
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
            Self::Worker { .. } | Self::Command(_) => None,
        }
    }

    fn has_token(&self, token: u64) -> bool {
        match self {
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

    fn result(&self, code: i32) -> ProbeResult {
        if code == 0 {
            return ProbeResult::Success;
        }
        ProbeResult::Failure(String::from_utf8_lossy(&self.said).trim_end().to_owned())
    }
}

/// The name of the cgroup of a probe's commands, below that of the container.
fn group_name(kind: ProbeKind) -> String {
    format!("probe-{}", kind.as_str().to_ascii_lowercase())
}

impl Supervisor {
    /// Makes the probes of a pod follow its state: those that do not apply any more are cancelled.
    pub(super) fn follow_probes(&mut self, uid: &str) {
        let now = super::now();
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.probing.schedule.follow(&pod.spec, &pod.state, now);
        let (schedule, spec) = (&mut pod.probing.schedule, &pod.spec);
        let active = std::mem::take(&mut pod.probing.active);
        let (keep, cancel): (Vec<_>, Vec<_>) =
            active.into_iter().partition(|active| schedule.is_running(spec, &active.run));
        pod.probing.active = keep;
        for active in cancel {
            self.close_probe(&active, true);
        }
    }

    /// Kills what commands of probes of a former supervisor have left in running containers.
    pub(super) fn kill_old_probes(&self, uid: &str) {
        let Some(pod) = self.pods.get(uid) else { return };
        let Some(sandbox) = &pod.sandbox else { return };
        for (name, attempt, _) in pod.state.running() {
            let of = |kind: &ProbeKind| {
                let spec = pod.spec.containers.iter().find(|container| container.name == name);
                spec.is_some_and(|spec| spec.probes.get(*kind).is_some())
            };
            let path = cgroup::container_path(&sandbox.sandbox.cgroup, &container::id(uid, name, attempt));
            for kind in ProbeKind::ALL.into_iter().filter(of) {
                cgroup::kill_all(&cgroup::below(&path, &group_name(kind)));
            }
        }
    }

    /// Cancels all probes: they run again at their next time.
    pub(super) fn cancel_probes(&mut self) {
        let mut cancelled = Vec::new();
        for pod in self.pods.values_mut() {
            for active in std::mem::take(&mut pod.probing.active) {
                pod.probing.schedule.abort(&pod.spec, &active.run);
                cancelled.push(active);
            }
        }
        for active in &cancelled {
            self.close_probe(active, true);
        }
    }

    /// Starts the probes that are due, and ends those whose time is over.
    pub(super) fn run_probes(&mut self, now: Now) {
        let is_due = |at: Option<u64>| at.is_some_and(|at| at <= now.boot);
        let due = self.pods.iter().filter(|(_, pod)| is_due(pod.probing.next_deadline()));
        for uid in due.map(|(uid, _)| uid.clone()).collect::<Vec<_>>() {
            while let Some(active) = self.take_active(&uid, |active| active.deadline <= now.boot) {
                self.close_probe(&active, true);
                self.on_probed(&uid, &active.run, &active.timed_out);
            }
            let Some(pod) = self.pods.get_mut(&uid) else { continue };
            for run in pod.probing.schedule.take_due(&pod.spec, now) {
                self.start_probe(&uid, run, now);
            }
        }
    }

    fn start_probe(&mut self, uid: &str, run: ProbeRun, now: Now) {
        let Some(pod) = self.pods.get(uid) else { return };
        let containers =
            pod.plan.pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
        let Some(container) = containers.iter().find(|container| container.name == run.container) else {
            return;
        };
        let Some(probe) = run.kind.of(container) else { return };
        let spec = pod.spec.containers.iter().find(|container| container.name == run.container);
        let timeout = spec.and_then(|spec| spec.probes.get(run.kind)).map_or(1000, |probe| probe.timeout);
        let network = Network {
            namespace: pod.sandbox.as_ref().and_then(|sandbox| sandbox.sandbox.netns.clone()),
            ips: pod.state.ips.clone(),
        };
        let deadline = now.boot.saturating_add(timeout);
        let begun =
            Check::of_probe(probe, container, &network).map_err(ProbeResult::Unknown).and_then(|check| {
                let timed_out = check.timed_out(timeout / 1000);
                Ok((self.begin(uid, &run, check)?, timed_out))
            });
        match begun {
            Ok((work, timed_out)) => {
                let token = work.connection();
                if let Some(pod) = self.pods.get_mut(uid) {
                    pod.probing.active.push(Active { run, deadline, timed_out, work });
                }
                // A connection to the same host mostly stands at once.
                if let Some(token) = token {
                    self.on_probe(uid, token);
                }
            }
            Err(result) => self.on_probed(uid, &run, &result),
        }
    }

    fn begin(&mut self, uid: &str, run: &ProbeRun, check: Check) -> Result<Work, ProbeResult> {
        let attempt = match check {
            Check::Exec(args) => {
                let command = self.start_command(uid, run, args);
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
            check @ Check::Grpc(..) => return self.start_worker(uid, &check),
        };
        let source = Source::Probe { uid: uid.to_owned() };
        let added = self.events.add(attempt.fd(), source);
        let token = added.map_err(|e| ProbeResult::Unknown(format!("cannot wait for a connection: {e}")))?;
        Ok(Work::Connection { token, attempt })
    }

    fn start_worker(&mut self, uid: &str, check: &Check) -> Result<Work, ProbeResult> {
        let failed = |error: std::io::Error| ProbeResult::Unknown(format!("cannot fork: {error}"));
        let worker = worker::spawn(|| probe::run_in_worker(check)).map_err(failed)?;
        let added = self.events.add(worker.fd(), Source::Probe { uid: uid.to_owned() });
        let token = added.map_err(|e| ProbeResult::Unknown(format!("cannot wait for a worker: {e}")))?;
        Ok(Work::Worker { token, worker })
    }

    fn start_command(&mut self, uid: &str, run: &ProbeRun, args: Vec<String>) -> Result<Command, Failure> {
        let missing = |what: String| Failure::new(WorkerStep::Lookup, what);
        let pod = self.pods.get(uid).ok_or_else(|| missing("the pod is gone".to_owned()))?;
        let name = &run.container;
        let bundle = pod.runs.get(name).filter(|own| own.process.is_some() && own.attempt == run.attempt);
        let bundle = bundle.map(|own| own.bundle.clone());
        let bundle = bundle.ok_or_else(|| missing(format!("container {name} is not running")))?;
        let parent = pod.sandbox.as_ref().map(|sandbox| sandbox.sandbox.cgroup.clone()).unwrap_or_default();
        let id = container::id(uid, name, run.attempt);
        let container = cgroup::container_path(&parent, &id);
        let group = group_name(run.kind);
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
        let source = Source::Probe { uid: uid.to_owned() };
        let worker_pid = worker.pid.as_raw();
        let cannot_wait = Failure::when(WorkerStep::Files, "cannot wait for a command");
        let token = self.events.add(worker.fd(), source.clone()).map_err(cannot_wait)?;
        let output_token = self.events.add(output.as_fd(), source).ok();
        let group = cgroup::below(&container, &group);
        let worker = Some((token, worker));
        let (pid, said) = (None, Vec::new());
        Ok(Command { container, group, has_group, worker_pid, worker, pid, output, output_token, said })
    }

    /// Handles a descriptor of a probe that is readable or writable.
    pub(super) fn on_probe(&mut self, uid: &str, token: u64) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let Some(active) = pod.probing.active.iter_mut().find(|active| active.work.has_token(token)) else {
            return;
        };
        match &mut active.work {
            Work::Connection { attempt, .. } => match attempt.advance() {
                Step::Waiting { write } => {
                    let _ = self.events.want_write(attempt.fd(), token, write);
                }
                Step::Done(result) => self.end_probe(uid, token, &result),
                Step::Follow(request) => {
                    let run = active.run.clone();
                    match self.begin(uid, &run, Check::Http(request)) {
                        Ok(work) => self.replace_work(uid, token, work),
                        Err(result) => self.end_probe(uid, token, &result),
                    }
                }
            },
            Work::Worker { worker, .. } => match worker.poll() {
                Outcome::Pending => {}
                Outcome::Done(result) => self.end_probe(uid, token, &result),
                Outcome::Died => {
                    let killed = ProbeResult::Unknown("the worker process was killed".to_owned());
                    self.end_probe(uid, token, &killed);
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
                let run = active.run.clone();
                command.worker = None;
                match started {
                    Ok(pid) => {
                        command.pid = Some(pid);
                        if let Some(code) = self.unclaimed.remove(&pid) {
                            self.on_command_ended(uid, pid, code);
                        }
                    }
                    Err(failure) => {
                        if let Some(active) = self.take_active(uid, |active| active.run == run) {
                            self.close_probe(&active, true);
                            self.on_probed(uid, &run, &ProbeResult::Unknown(failure.message));
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
        let result = command.result(code);
        self.close_probe(&active, false);
        self.on_probed(uid, &active.run, &result);
    }

    fn replace_work(&mut self, uid: &str, token: u64, work: Work) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let Some(active) = pod.probing.active.iter_mut().find(|active| active.work.has_token(token)) else {
            return;
        };
        let former = std::mem::replace(&mut active.work, work);
        let next = active.work.connection();
        if let Work::Connection { attempt, .. } = &former {
            self.events.remove(attempt.fd(), token);
        }
        if let Some(next) = next {
            self.on_probe(uid, next);
        }
    }

    fn end_probe(&mut self, uid: &str, token: u64, result: &ProbeResult) {
        if let Some(active) = self.take_active(uid, |active| active.work.has_token(token)) {
            self.close_probe(&active, false);
            self.on_probed(uid, &active.run, result);
        }
    }

    fn take_active(&mut self, uid: &str, is_it: impl Fn(&Active) -> bool) -> Option<Active> {
        let active = &mut self.pods.get_mut(uid)?.probing.active;
        active.iter().position(is_it).map(|index| active.swap_remove(index))
    }

    /// Stops waiting for a probe; `kill` ends its command as well.
    fn close_probe(&mut self, active: &Active, kill: bool) {
        match &active.work {
            Work::Connection { token, attempt } => self.events.remove(attempt.fd(), *token),
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

    /// Applies the result of a probe.
    fn on_probed(&mut self, uid: &str, run: &ProbeRun, result: &ProbeResult) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        tracing::debug!(pod = pod.plan.name(), ?run, ?result, "probe");
        let (told, event) = pod.probing.schedule.finish(&pod.spec, &pod.state, run, result);
        if let Some(action) = told {
            self.act(uid, action, super::now().wall);
        }
        if let Some(event) = event {
            self.dispatch(uid, &event);
        }
    }
}
