//! Handles children that end: containers, infra containers, commands, workers, and orphans of all of them.

use std::os::fd::AsFd;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::Supervisor;
use super::ipc::protocol::Reply;
use crate::lifecycle::Event;
use crate::sandbox::process;

impl Supervisor {
    /// Reaps every child that has ended.
    pub(super) fn reap(&mut self) {
        loop {
            let (pid, code) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid.as_raw(), code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid.as_raw(), 128 + signal as i32),
                Ok(WaitStatus::StillAlive) => return,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(_) => return,
                Ok(_) => continue,
            };
            self.on_child(pid, code);
        }
    }

    fn on_child(&mut self, pid: i32, code: i32) {
        let was_debug = self.on_debug_ended(pid, code);
        if let Some(connection) = self.execs.remove(&pid) {
            self.reply(connection, &Reply::ExecExited { code });
            return;
        }
        if was_debug {
            return;
        }
        for (uid, pod) in &mut self.pods {
            if pod.checks.has_worker(pid) {
                return;
            }
            if pod.checks.has_command(pid) {
                let uid = uid.clone();
                self.on_command_ended(&uid, pid, code);
                return;
            }
            if pod.sandbox.as_ref().is_some_and(|s| s.infra.pid == pid) {
                let uid = uid.clone();
                self.on_infra_ended(&uid);
                return;
            }
            let run = pod.runs.iter().find(|(_, run)| run.process.is_some_and(|p| p.pid == pid));
            if let Some((container, _)) = run {
                let (uid, container) = (uid.clone(), container.clone());
                self.on_container_ended(&uid, &container, Some(code));
                return;
            }
        }
        // The child is either a worker itself, whose pipe reports the rest, or a process that its worker has not
        // reported yet.
        if self.pods.values().any(|pod| pod.awaits_child()) {
            self.unclaimed.insert(pid, code);
        } else {
            self.unclaimed.clear();
        }
    }

    /// Handles the end of a process that a former supervisor started.
    pub(super) fn on_adopted_process(&mut self, uid: &str, container: Option<&str>) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        match container {
            None => {
                if let Some((token, fd)) = pod.sandbox.as_mut().and_then(|s| s.pidfd.take()) {
                    self.events.remove(fd.as_fd(), token);
                }
                self.on_infra_ended(uid);
            }
            Some(name) => {
                let Some((token, fd)) = pod.runs.get_mut(name).and_then(|run| run.pidfd.take()) else {
                    return;
                };
                let code = process::exit_code_of_adopted(&fd);
                self.events.remove(fd.as_fd(), token);
                self.on_container_ended(uid, name, code);
            }
        }
    }

    fn on_infra_ended(&mut self, uid: &str) {
        let Some(pod) = self.pods.get(uid) else { return };
        // While the sandbox is being removed, the end of its infra container is expected.
        if !pod.remove_sandbox {
            self.dispatch(uid, &Event::SandboxDied);
        }
    }
}
