//! Calls the state machine with events, and carries out the actions that it returns. No other file does either.

use std::os::fd::AsFd;

use super::Supervisor;
use super::event_loop::Source;
use super::ipc::protocol::Reply;
use super::pod::{Job, Purge, Run};
use crate::kind::{EventType, WaitingReason};
use crate::lifecycle::{self, Action, Event, Goal, HookRun, Sandbox};
use crate::log::{self, Occurrence, Stream, events};
use crate::record::has_no_process;
use crate::sandbox::worker::{self, Outcome};
use crate::sandbox::{self, Failure, Step, console, container, output, termination_message};
use crate::workload;

/// The most reads of the output of a container that has ended. Its pipe is empty long before, unless a process that
/// outlived the container keeps writing.
const LAST_READS: usize = 64;

/// Milliseconds until the next attempt to write a state that could not be written.
const WRITE_AGAIN: u64 = 1000;

/// How many killed workers are replaced while a pod is removed. After that many, a later command has to find what they
/// left.
const MOST_KILLED: u32 = 5;

/// Logs why a worker of the pod `uid` failed.
fn log_failure(uid: &str, failure: &Failure) {
    let hint = failure.hint.as_deref();
    tracing::warn!(pod = %uid, step = ?failure.step, hint, error = %failure, "a worker failed");
}

impl Supervisor {
    /// Passes an event to a pod's state machine and carries out the actions that it returns.
    pub(super) fn dispatch(&mut self, uid: &str, event: &Event) {
        let now = super::now();
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let before = pod.state.clone();
        let (state, actions) = lifecycle::step(&pod.spec, before.clone(), event, now);
        pod.state = state;
        tracing::debug!(pod = pod.plan.name(), ?event, ?actions, "step");
        if pod.state != before {
            self.has_worked = true;
            let state = pod.state.clone();
            if pod.observe() {
                self.pending.get_or_insert(workload::Event::PodsChanged);
            }
            // The state is written before the actions, because a successor must know which actions were requested.
            self.write_state(uid);
            // The state that survives a reboot. It is not written for a pod that is being removed, because nothing of
            // the pod survives and the disk is slow.
            let keeps = self.pods.get(uid).is_some_and(|pod| !pod.removing);
            if keeps
                && state.containers != before.containers
                && let Err(e) = base::file::write_json_volatile(&self.layout.pod_last_status(uid), &state)
            {
                tracing::error!("{e}");
            }
            self.follow_checks(uid);
            self.follow_usage(uid);
            self.follow_reach(uid);
            base::fail_point!(Supervisor, "state-written");
            self.send_to_watchers(&Reply::State { uid: uid.to_owned(), state: Box::new(state) });
        }
        for action in actions {
            if let Some(action) = self.hold(uid, action) {
                self.act(uid, action, now.wall);
            }
        }
    }

    /// Writes the state of a pod. A state that cannot be written is written later.
    pub(super) fn write_state(&mut self, uid: &str) {
        // The files of a pod that is being purged must not be created again.
        let Some(pod) = self.pods.get_mut(uid).filter(|pod| pod.purge == Purge::No) else { return };
        let written = base::file::write_json_volatile(&self.layout.pod_status(uid), &pod.state);
        pod.unwritten = written.is_err().then(|| super::now().boot + WRITE_AGAIN);
        if let Err(e) = written {
            tracing::error!("{e}");
        }
    }

    pub(super) fn act(&mut self, uid: &str, action: Action, wall: jiff::Timestamp) {
        match action {
            Action::CreateSandbox => self.create_sandbox(uid),
            Action::StartContainer { container, attempt } => self.start_container(uid, &container, attempt),
            Action::RunHook { container, attempt, hook } => {
                self.start_hook(uid, HookRun { container, attempt, kind: hook });
            }
            Action::StopContainer { container, signal } => {
                let run = self.pods.get_mut(uid).and_then(|p| p.runs.get_mut(&container));
                if let (Some(run), Some(signal)) = (run, crate::plan::stop_signal::number(&signal))
                    && let Some(process) = run.process
                {
                    run.killed |= signal == libc::SIGKILL;
                    process.signal(signal);
                    base::fail_point!(Supervisor, "stop-signalled");
                }
            }
            Action::KillContainer { container } => {
                let Some(pod) = self.pods.get_mut(uid) else { return };
                if let Some(run) = pod.runs.get_mut(&container) {
                    run.killed = true;
                    let cgroup = pod.sandbox.as_ref().map(|s| s.sandbox.cgroup.as_str());
                    container::kill(cgroup, &container::id(uid, &container, run.attempt), run.process);
                    base::fail_point!(Supervisor, "container-killed");
                }
            }
            Action::RemoveSandbox => {
                if let Some(pod) = self.pods.get_mut(uid) {
                    pod.remove_sandbox = true;
                }
            }
            Action::Emit { kind, reason, message, container } => {
                if let Some(pod) = self.pods.get_mut(uid) {
                    let occurrence = match reason.as_str() {
                        "Unhealthy" | "ProbeWarning" => {
                            let kind = message.split(' ').next().unwrap_or_default();
                            let about = (container.as_deref().unwrap_or_default(), kind);
                            let Some(occurrence) = pod.probing.repeats.note(about, &message, wall) else {
                                return;
                            };
                            occurrence
                        }
                        _ => Occurrence::once(wall),
                    };
                    let told = events::append(
                        &self.layout,
                        &pod.plan,
                        container.as_deref(),
                        kind,
                        &reason,
                        &message,
                        occurrence,
                    );
                    if let Err(e) = told {
                        tracing::error!("{e}");
                    }
                }
            }
        }
    }

    fn create_sandbox(&mut self, uid: &str) {
        let Some(pod) = self.pods.get(uid) else { return };
        let first = pod.state.first_to_start(&pod.spec);
        match worker::spawn(|| sandbox::create(&self.layout, &self.exe, &pod.plan, &first)) {
            Ok(worker) => self.add_worker(uid, Job::CreateSandbox(worker)),
            Err(e) => self.dispatch(uid, &Event::SandboxFailed { message: format!("cannot fork: {e}") }),
        }
    }

    pub(super) fn add_worker(&mut self, uid: &str, job: Job) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        match self.events.add(job.fd(), Source::Worker { uid: uid.to_owned() }) {
            Ok(token) => {
                pod.jobs.insert(token, job);
            }
            Err(e) => tracing::error!("cannot wait for a worker: {e}"),
        }
    }

    fn start_container(&mut self, uid: &str, name: &str, attempt: u32) {
        if let Err(failure) = self.try_start_container(uid, name, attempt) {
            log_failure(uid, &failure);
            self.close_run(uid, name);
            let event = Event::StartFailed {
                container: name.to_owned(),
                attempt,
                reason: WaitingReason::CreateContainerError,
                message: failure.message,
            };
            self.dispatch(uid, &event);
        }
    }

    fn try_start_container(&mut self, uid: &str, name: &str, attempt: u32) -> Result<(), Failure> {
        let run = self.open_run(uid, name, attempt)?;
        let Some(pod) = self.pods.get_mut(uid) else { return Ok(()) };
        pod.runs.insert(name.to_owned(), run);
        let sandbox =
            pod.sandbox.as_ref().ok_or_else(|| Failure::new(Step::Lookup, "the pod has no sandbox"))?;
        let worker = worker::spawn(|| container::start(&self.layout, &pod.plan, sandbox, name, attempt))
            .map_err(Failure::when(Step::Fork, "cannot fork"))?;
        self.add_worker(uid, Job::Start { container: name.to_owned(), attempt, worker });
        Ok(())
    }

    /// Creates the bundle folder, FIFOs and log of a run of a container.
    pub(super) fn open_run(&mut self, uid: &str, name: &str, attempt: u32) -> Result<Run, Failure> {
        let bundle = container::bundle(&self.layout, uid, name, attempt);
        base::file::create_private_dir_all(&bundle)
            .map_err(Failure::when(Step::Files, format!("create {}", bundle.display())))?;
        let logs = self.layout.container_logs(uid, name);
        let log = log::Writer::open(&logs, attempt, log::Limits::default(), &bundle)
            .map_err(Failure::at(Step::Files))?;
        let mut outputs = Vec::new();
        for stream in Stream::ALL {
            let fd =
                output::open_reader(&bundle, stream).map_err(Failure::when(Step::Files, "open output"))?;
            let source = Source::Output { uid: uid.to_owned(), container: name.to_owned() };
            let token =
                self.events.add(fd.as_fd(), source).map_err(Failure::when(Step::Files, "wait for output"))?;
            outputs.push((stream, token, fd));
        }
        base::fail_point!(Supervisor, "output-opened");
        Ok(Run { outputs, log: Some(log), ..Run::new(attempt, bundle) })
    }

    /// Reads the rest of a run's output and closes it.
    fn close_run(&mut self, uid: &str, name: &str) -> Option<Run> {
        self.drain(uid, name, LAST_READS);
        let mut run = self.pods.get_mut(uid)?.runs.remove(name)?;
        for (_, token, fd) in run.outputs.drain(..) {
            self.events.remove(fd.as_fd(), token);
        }
        if let Some((token, fd)) = run.pidfd.take() {
            self.events.remove(fd.as_fd(), token);
        }
        if let Some(log) = run.log.take()
            && let Err(e) = log.finish(jiff::Timestamp::now())
        {
            tracing::error!("{e}");
        }
        Some(run)
    }

    /// Handles readable output of a container.
    pub(super) fn on_output(&mut self, uid: &str, container: &str) {
        self.drain(uid, container, 1);
    }

    /// Copies output of a container into its log, with at most `reads` reads of each stream.
    fn drain(&mut self, uid: &str, container: &str, reads: usize) {
        let Some(run) = self.pods.get_mut(uid).and_then(|pod| pod.runs.get_mut(container)) else { return };
        let Some(log) = run.log.as_mut() else { return };
        let [(_, _, stdout), (_, _, stderr)] = &run.outputs[..] else { return };
        let mut copies = (!run.attached.is_empty()).then(<[Vec<u8>; 2]>::default);
        for _ in 0..reads {
            if !log.pump_both([stdout.as_fd(), stderr.as_fd()], jiff::Timestamp::now(), copies.as_mut()) {
                break;
            }
        }
        for (stream, bytes) in Stream::ALL.into_iter().zip(copies.into_iter().flatten()) {
            if !bytes.is_empty() {
                self.show_attached(uid, container, stream, &bytes);
            }
        }
    }

    /// Handles the end of a container's process; `None` means that its exit code is unknown.
    pub(super) fn on_container_ended(&mut self, uid: &str, name: &str, code: Option<i32>) {
        if let Some(terminal) = self.pods.get(uid).and_then(|p| p.runs.get(name)).and_then(|r| r.terminal) {
            console::await_last_output(terminal, || self.drain(uid, name, 1));
        }
        base::fail_point!(Supervisor, "container-ended");
        let Some(run) = self.close_run(uid, name) else { return };
        for attachment in &run.attached {
            self.reply(attachment.connection, &Reply::ContainerEnded { code });
        }
        let Some(pod) = self.pods.get(uid) else { return };
        let kills = pod
            .sandbox
            .as_ref()
            .map_or(0, |s| container::oom_kills(&s.sandbox.cgroup, &container::id(uid, name, run.attempt)));
        let oom_killed = container::ended_by_oom(kills, code, run.killed);
        let scratch = container::scratch(&self.layout, uid, name, run.attempt);
        let logs = self.layout.container_logs(uid, name);
        let message = pod
            .container(name)
            .and_then(|of| termination_message::of_run(&scratch, &logs, of, run.attempt, code));
        self.schedule_removal(uid, name, run.attempt);
        let (container, attempt) = (name.to_owned(), run.attempt);
        let event = Event::Exited { container, attempt, code, oom_killed, message };
        self.dispatch(uid, &event);
    }

    /// Schedules the removal of a run's resources, which begins after watchers know that the run has ended.
    pub(super) fn schedule_removal(&mut self, uid: &str, name: &str, attempt: u32) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.remains.push((name.to_owned(), attempt));
        }
    }

    /// Removes the resources of runs that have ended: cgroup, runtime state, writable layer, bundle.
    fn delete_remains(&mut self, uid: &str) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let remains = std::mem::take(&mut pod.remains);
        // The resources of a pod that is being removed go with its sandbox and its files.
        if pod.removing && pod.state.goal == Goal::End && pod.state.sandbox != Sandbox::Absent {
            return;
        }
        for (name, attempt) in remains {
            let Some(pod) = self.pods.get(uid) else { return };
            match worker::spawn(|| container::delete(&self.layout, &pod.plan, &name, attempt)) {
                Ok(worker) => self.add_worker(uid, Job::Delete(worker)),
                Err(e) => tracing::error!("cannot fork: {e}"),
            }
        }
    }

    /// Reads from a worker's pipe and handles the result once it is complete.
    pub(super) fn on_worker(&mut self, uid: &str, token: u64) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let Some(mut job) = pod.jobs.remove(&token) else { return };
        macro_rules! outcome {
            ($worker:expr) => {{
                let outcome = $worker.poll();
                if let Outcome::Pending = outcome {
                    pod.jobs.insert(token, job);
                    return;
                }
                self.events.remove($worker.fd(), token);
                match outcome {
                    Outcome::Done(value) => Some(value),
                    _ => None,
                }
            }};
        }
        const DIED: &str = "the worker process was killed";
        match &mut job {
            Job::CreateSandbox(worker) => {
                let result = outcome!(worker).unwrap_or_else(|| Err(Failure::new(Step::Killed, DIED)));
                self.on_sandbox(uid, result);
            }
            Job::RemoveSandbox(worker) => {
                // The next worker does what a killed worker left undone, because the removal stays requested.
                let problems = outcome!(worker);
                if problems.is_none() {
                    tracing::error!("removing the sandbox of {uid}: {DIED}");
                    pod.killed_workers += 1;
                    if pod.killed_workers < MOST_KILLED {
                        return;
                    }
                }
                for problem in problems.unwrap_or_default() {
                    tracing::error!("{problem}");
                }
                if let Some(pod) = self.pods.get_mut(uid) {
                    pod.sandbox = None;
                    pod.remove_sandbox = false;
                }
                base::fail_point!(Supervisor, "sandbox-removal-told");
                self.dispatch(uid, &Event::SandboxRemoved);
            }
            Job::Start { container, attempt, worker } => {
                let result = outcome!(worker);
                let (container, attempt) = (container.clone(), *attempt);
                self.on_started(uid, &container, attempt, result);
            }
            Job::Delete(worker) => {
                for problem in outcome!(worker).unwrap_or_default() {
                    tracing::error!("{problem}");
                }
            }
            Job::Exec { connection, container, worker } => {
                let result = outcome!(worker).unwrap_or_else(|| Err(Failure::new(Step::Killed, DIED)));
                let (connection, container) = (*connection, container.take());
                if let Some(container) = container {
                    let pid = result.as_ref().map(|pid| *pid).map_err(|failure| failure.message.as_str());
                    self.on_debug_started(uid, container, pid);
                }
                self.on_exec_started(connection, result);
            }
            Job::Measure(worker) => {
                let exceeded = outcome!(worker).flatten();
                self.on_measured(uid, exceeded);
            }
            Job::Purge(worker) => {
                let done = outcome!(worker);
                if done.is_none() {
                    tracing::error!("removing the files of {uid}: {DIED}");
                    pod.killed_workers += 1;
                }
                let again = done.is_none() && pod.killed_workers < MOST_KILLED;
                pod.purge = if again { Purge::No } else { Purge::Done };
                for problem in done.unwrap_or_default() {
                    tracing::error!("{problem}");
                }
            }
        }
    }

    fn on_sandbox(&mut self, uid: &str, result: Result<sandbox::SandboxInfo, Failure>) {
        match result {
            Ok(info) => {
                base::fail_point!(Supervisor, "sandbox-told");
                let ips = info.ips.clone();
                let ended = self.unclaimed.remove(&info.infra.pid).is_some();
                let wall = super::now().wall;
                for message in info.warnings.clone() {
                    let (kind, reason) = (EventType::Warning, "FirewallClosed".to_owned());
                    self.act(uid, Action::Emit { kind, reason, message, container: None }, wall);
                }
                if let Some(pod) = self.pods.get_mut(uid) {
                    pod.sandbox = Some(info);
                }
                self.dispatch(uid, &Event::SandboxReady { ips });
                if ended {
                    self.dispatch(uid, &Event::SandboxDied);
                }
            }
            Err(failure) => {
                log_failure(uid, &failure);
                self.dispatch(uid, &Event::SandboxFailed { message: failure.message });
            }
        }
    }

    fn on_started(
        &mut self,
        uid: &str,
        name: &str,
        attempt: u32,
        result: Option<Result<container::Started, crate::plan::ContainerError>>,
    ) {
        let result = result.unwrap_or_else(|| {
            Err(crate::plan::ContainerError {
                reason: WaitingReason::CreateContainerError,
                message: "the process that makes the container was killed".to_owned(),
            })
        });
        match result {
            Ok(started) => {
                base::fail_point!(Supervisor, "container-told");
                if let Some(run) = self.pods.get_mut(uid).and_then(|pod| pod.runs.get_mut(name)) {
                    run.process = Some(started.process);
                    run.terminal = started.terminal;
                    run.stdin = started.stdin;
                }
                let ended = self.unclaimed.remove(&started.process.pid);
                self.dispatch(uid, &started.event(name, attempt));
                if let Some(code) = ended {
                    self.on_container_ended(uid, name, Some(code));
                }
            }
            Err(e) => {
                base::fail_point!(Supervisor, "container-failed");
                self.close_run(uid, name);
                self.schedule_removal(uid, name, attempt);
                self.dispatch(
                    uid,
                    &Event::StartFailed {
                        container: name.to_owned(),
                        attempt,
                        reason: e.reason,
                        message: e.message,
                    },
                );
            }
        }
    }

    /// Does what follows from the state of all pods rather than from one event: starts pods that waited for the removal
    /// of others, removes sandboxes and files, and updates the record.
    #[inline(never)]
    pub(super) fn settle(&mut self) {
        while self.settle_once() || self.control() {}
        self.sync_traffic();
        self.report_status();
    }

    fn settle_once(&mut self) -> bool {
        let mut acted = false;
        let leaving = self.leaving;
        let uids: Vec<String> = self.pods.keys().cloned().collect();
        let mut gone = Vec::new();
        // Ends are reported before any worker is forked, because clients wait for them.
        for uid in &uids {
            self.report_end(uid);
        }
        for uid in uids {
            self.delete_remains(&uid);
            let Some(pod) = self.pods.get(&uid) else { continue };
            let idle = pod.jobs.is_empty() && pod.runs.is_empty();
            if pod.wanted && !leaving && pod.state.goal == Goal::Idle && self.may_start(&uid) {
                self.dispatch(&uid, &Event::Start);
                acted = true;
            } else if pod.remove_sandbox && idle {
                self.start_remove_sandbox(&uid);
            } else if pod.removing && pod.purge == Purge::No && idle && pod.state.is_gone() {
                self.start_purge(&uid);
            } else if pod.purge == Purge::Done {
                gone.push(uid);
            } else if pod.wanted
                && !leaving
                && !pod.recorded_end
                && pod.state.is_terminal()
                && pod.state.is_gone()
            {
                self.record_end(&uid);
            }
        }
        if !gone.is_empty() {
            self.forget(&gone);
            acted = true;
        }
        acted
    }

    /// Reports to watchers that no process of a pod that is being removed runs any more.
    fn report_end(&mut self, uid: &str) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        // The end is reported only once the state on disk says the same.
        let ended = pod.runs.is_empty() && pod.unwritten.is_none() && has_no_process(&pod.plan, &pod.state);
        if pod.removing && !pod.end_reported && ended {
            pod.end_reported = true;
            self.send_to_watchers(&Reply::Ended { uid: uid.to_owned() });
            base::fail_point!(Supervisor, "end-told");
        }
    }

    fn start_remove_sandbox(&mut self, uid: &str) {
        let Some(pod) = self.pods.get(uid) else { return };
        match worker::spawn(|| sandbox::remove(&self.layout, &self.exe, &pod.plan)) {
            Ok(worker) => self.add_worker(uid, Job::RemoveSandbox(worker)),
            Err(e) => tracing::error!("cannot fork: {e}"),
        }
    }

    fn start_purge(&mut self, uid: &str) {
        let Some(runtime) = self.pods.get(uid).map(|pod| pod.plan.runtime.as_deref()) else { return };
        match worker::spawn(|| sandbox::purge(&self.layout, &self.exe, uid, runtime)) {
            Ok(worker) => {
                if let Some(pod) = self.pods.get_mut(uid) {
                    pod.purge = Purge::Running;
                }
                self.add_worker(uid, Job::Purge(worker));
            }
            Err(e) => tracing::error!("cannot fork: {e}"),
        }
    }

    /// Records that a pod has ended for good, so that the end is known after a reboot.
    fn record_end(&mut self, uid: &str) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.recorded_end = true;
        let state = pod.state.clone();
        if let Some(recorded) = self.record.pods.iter_mut().find(|p| p.plan.uid == uid) {
            recorded.ended = Some(state);
        }
        if let Err(e) = self.record.save(&self.layout) {
            tracing::error!("{e}");
        }
        base::fail_point!(Supervisor, "end-recorded");
    }
}
