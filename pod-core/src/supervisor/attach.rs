//! Clients that are attached to containers (`kube attach`): they see the output as it comes, and may write to stdin.
//!
//! A client writes to the FIFO of a container's stdin itself, so that a container that does not read holds up only
//! this client. Output comes through the supervisor, because it is the one that reads it.

use std::os::fd::AsFd;

use super::Supervisor;
use super::ipc::connection;
use super::ipc::protocol::Reply;
use crate::log::Stream;
use crate::sandbox::{Failure, Step, console};

/// The most bytes that wait for a client. One that is slower than that is detached, because a container must not wait
/// for those who look at it, and the supervisor has little memory.
const MAX_WAITING: usize = 4 << 20;

/// A client that is attached to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attachment {
    /// The client's connection.
    pub connection: u64,
    /// Whether the client writes to stdin.
    pub stdin: bool,
}

impl Supervisor {
    /// Attaches a client to a container.
    pub(super) fn attach(
        &mut self,
        token: u64,
        uid: &str,
        name: &str,
        wants_stdin: bool,
    ) -> Result<(), Failure> {
        let missing = |what: String| Failure::new(Step::Lookup, what);
        let pod = self.pods.get_mut(uid).ok_or_else(|| missing("the pod is gone".to_owned()))?;
        let has_stdin = pod.container(name).is_some_and(|container| container.stdin == Some(true));
        let run = pod.runs.get_mut(name).filter(|run| run.process.is_some());
        let run = run.ok_or_else(|| missing(format!("container {name} is not running")))?;
        let client = self.connections.get(&token).ok_or_else(|| missing("the client is gone".to_owned()))?;
        let opens = wants_stdin && has_stdin && !run.stdin_closed;
        let stdin = if opens { console::write_stdin(&run.bundle) } else { Ok(None) };
        let stdin = stdin.map_err(Failure::when(Step::Files, "open stdin"))?;
        let descriptors: Vec<_> = stdin.iter().map(AsFd::as_fd).collect();
        let reply = Reply::Attached { stdin: stdin.is_some() };
        // This line is the first on the connection, so the socket has room for it.
        connection::send_with_descriptors(client.fd(), &reply, &descriptors)
            .map_err(Failure::at(Step::Reply))?;
        run.attached.push(Attachment { connection: token, stdin: stdin.is_some() });
        Ok(())
    }

    /// Sends output of a container to the clients that are attached to it.
    pub(super) fn show_attached(&mut self, uid: &str, name: &str, stream: Stream, bytes: &[u8]) {
        let Some(run) = self.pods.get(uid).and_then(|pod| pod.runs.get(name)) else { return };
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let reply = Reply::Output { stream, bytes: text };
        for Attachment { connection, .. } in run.attached.clone() {
            let waits = self.connections.get(&connection).map_or(0, connection::Connection::outgoing_bytes);
            if waits > MAX_WAITING {
                let message = "the output comes faster than it is read here; `kube logs -f` has all of it";
                self.reply(connection, &Reply::Failed { message: message.to_owned() });
                self.detach(connection);
            } else {
                self.reply(connection, &reply);
            }
        }
    }

    /// Gives the terminal of a container a size.
    pub(super) fn resize(&self, uid: &str, name: &str, size: (u16, u16)) {
        let run = self.pods.get(uid).and_then(|pod| pod.runs.get(name));
        if let Some(terminal) = run.and_then(|run| run.terminal)
            && let Err(error) = console::resize(terminal, size)
        {
            tracing::debug!(pod = %uid, container = name, %error, "cannot resize the terminal");
        }
    }

    /// Ends the attachments of a client.
    pub(super) fn detach(&mut self, token: u64) {
        self.close_stdin(token);
        for run in self.pods.values_mut().flat_map(|pod| pod.runs.values_mut()) {
            run.attached.retain(|one| one.connection != token);
        }
    }

    /// Ends what a client writes to stdin. If it is the first to do so, that closes the stdin of a container with
    /// `stdinOnce: true` for good. On a terminal, whose input never ends, it types an end of file.
    pub(super) fn close_stdin(&mut self, token: u64) {
        for pod in self.pods.values_mut() {
            let once = |name: &str| {
                let spec = pod.plan.pod.spec.as_ref();
                let all =
                    spec.into_iter().flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers));
                all.into_iter().any(|of| of.name == name && of.stdin_once == Some(true))
            };
            for (name, run) in &mut pod.runs {
                let mut wrote = false;
                for one in run.attached.iter_mut().filter(|one| one.connection == token) {
                    wrote |= std::mem::take(&mut one.stdin);
                }
                if wrote && once(name) {
                    run.stdin_closed = true;
                    match (run.stdin, run.terminal) {
                        (Some(holder), _) => holder.signal(libc::SIGKILL),
                        (None, Some(_)) => {
                            if let Err(error) = console::type_end_of_file(&run.bundle) {
                                tracing::warn!(container = name, %error, "cannot end the input of its terminal");
                            }
                        }
                        (None, None) => {}
                    }
                }
            }
        }
    }
}
