//! Serves the requests of clients.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use serde::Serialize;

use super::event_loop::Source;
use super::hand_over::Successor;
use super::ipc::connection::Connection;
use super::ipc::protocol::{Hello, Reply, Request};
use super::pod::{Pod, Purge};
use super::{Supervisor, exec};
use crate::lifecycle::{Event, Goal, PodSpec, PodState};
use crate::record::Desired;
use crate::version;

impl Supervisor {
    pub(super) fn on_client(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let Ok(connection) = Connection::new(stream) else { continue };
            if let Ok(token) = self.events.add(connection.fd(), Source::Connection) {
                self.connections.insert(token, connection);
            }
        }
    }

    pub(super) fn on_request(&mut self, token: u64) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let flushed = connection.flush();
        let (lines, open) = connection.read();
        for line in lines {
            self.on_line(token, &line);
        }
        if !open || flushed.is_err() {
            self.hang_up(token);
        } else if let Some(connection) = self.connections.get(&token) {
            let _ = self.events.want_write(connection.fd(), token, connection.has_outgoing());
        }
    }

    fn on_line(&mut self, token: u64, line: &[u8]) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let Some(format) = connection.format else {
            match serde_json::from_slice::<Hello>(line) {
                Ok(Hello { hello, .. }) if version::format() > version::FIRST => {
                    connection.format = Some(hello);
                    self.send(token, &Hello::new());
                }
                // The client is kube 0.1.0, which sends no Hello; or a test makes this process behave as that version.
                _ => {
                    let (id, kube) = (&self.id, version::KUBE);
                    let message =
                        format!("the supervisor of {id} belongs to kube {kube}: use kube {kube} or newer");
                    self.reply(token, &Reply::Failed { message });
                }
            }
            return;
        };
        if format != version::format() {
            let descriptors = std::mem::take(&mut connection.descriptors);
            // A client that sent another request sees our version in our Hello, and sends the request again once both
            // versions fit.
            if format > version::format()
                && let Some(Request::HandOver { program, environment }) = Request::hand_over(line)
                && let Some(executable) = descriptors.into_iter().next_back()
            {
                self.successor = Some(Successor { token, program, executable, environment });
            }
            return;
        }
        match serde_json::from_slice::<Request>(line) {
            Ok(request) => self.serve_request(token, request),
            Err(e) => self.reply(token, &Reply::Failed { message: format!("not a request: {e}") }),
        }
    }

    fn serve_request(&mut self, token: u64, request: Request) {
        match request {
            Request::Change { change } => {
                let reply = match self.change(&change) {
                    Ok(()) => Reply::Done,
                    Err(e) => Reply::Failed { message: e.to_string() },
                };
                self.reply(token, &reply);
            }
            // Another command has asked for the hand-over before, and this process runs the requested program already.
            Request::HandOver { .. } => {
                if let Some(connection) = self.connections.get_mut(&token) {
                    connection.descriptors.clear();
                }
                self.send(token, &Hello::new());
            }
            Request::Save => {
                let uids: Vec<String> = self.pods.keys().cloned().collect();
                for uid in &uids {
                    self.write_state(uid);
                }
                let reply = match self.record.save(&self.layout) {
                    Ok(()) => Reply::Done,
                    Err(e) => Reply::Failed { message: e.to_string() },
                };
                self.reply(token, &reply);
            }
            Request::Watch => {
                self.watchers.push(token);
                let status = Box::new(self.status());
                self.reply(token, &Reply::Workload { status });
                // The status that was sent last is reset, because this watcher has not received it: without watchers no
                // status is sent.
                self.reported_status = None;
                let states: Vec<Reply> = self
                    .pods
                    .iter()
                    .map(|(uid, pod)| Reply::State { uid: uid.clone(), state: Box::new(pod.state.clone()) })
                    .collect();
                let ended = self.pods.iter().filter(|(_, pod)| pod.end_reported);
                let ended: Vec<Reply> = ended.map(|(uid, _)| Reply::Ended { uid: uid.clone() }).collect();
                let gone = self.gone.iter().map(|uid| Reply::Removed { uid: uid.clone() });
                let gone: Vec<Reply> = gone.collect();
                for reply in states.iter().chain(&ended).chain(&gone) {
                    self.reply(token, reply);
                }
                // A pod that was removed before the client watched is in none of these replies. This reply marks the
                // end of the list.
                self.reply(token, &Reply::Done);
            }
            Request::Exec { uid, container, args, tty, size } => {
                let descriptors: Vec<OwnedFd> = self
                    .connections
                    .get_mut(&token)
                    .map(|c| std::mem::take(&mut c.descriptors))
                    .unwrap_or_default();
                if let Err(failure) =
                    self.exec(token, &uid, &container, &args, exec::Terminal { tty, size }, &descriptors)
                {
                    self.reply(token, &Reply::Failed { message: failure.message });
                }
            }
            Request::Debug { uid, debug, size } => {
                let connection = self.connections.get_mut(&token);
                let descriptors: Vec<OwnedFd> =
                    connection.map(|c| std::mem::take(&mut c.descriptors)).unwrap_or_default();
                if let Err(failure) = self.debug(token, &uid, &debug, size, &descriptors) {
                    self.reply(token, &Reply::Failed { message: failure.message });
                }
            }
            Request::Attach { uid, container, stdin } => {
                if let Err(failure) = self.attach(token, &uid, &container, stdin) {
                    self.reply(token, &Reply::Failed { message: failure.message });
                }
            }
            Request::CloseStdin => self.close_stdin(token),
            Request::Resize { uid, container, size } => self.resize(&uid, &container, size),
        }
    }

    /// Sends a reply to a client. A client that has disconnected is forgotten.
    pub(super) fn reply(&mut self, token: u64, reply: &Reply) {
        self.send(token, reply);
    }

    pub(super) fn send<T: Serialize>(&mut self, token: u64, message: &T) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        if connection.send(message).is_err() {
            self.hang_up(token);
            return;
        }
        let _ = self.events.want_write(connection.fd(), token, connection.has_outgoing());
    }

    fn hang_up(&mut self, token: u64) {
        if let Some(connection) = self.connections.remove(&token) {
            self.events.remove(connection.fd().as_fd(), token);
        }
        self.watchers.retain(|watcher| *watcher != token);
        self.detach(token);
    }

    /// Sends a reply to every watcher.
    pub(super) fn send_to_watchers(&mut self, reply: &Reply) {
        for token in self.watchers.clone() {
            self.reply(token, reply);
        }
    }

    /// Brings the pods in line with the record.
    pub(super) fn follow_record(&mut self) {
        let mut stop = Vec::new();
        let changed = self.record.pods.iter().filter(|recorded| {
            let known = self.pods.get(&recorded.plan.uid);
            known.is_some_and(|pod| !Arc::ptr_eq(&pod.plan, &recorded.plan) && pod.plan != recorded.plan)
        });
        for plan in changed.map(|recorded| recorded.plan.clone()).collect::<Vec<_>>() {
            self.resize_pod(&plan.uid.clone(), plan);
        }
        for recorded in &self.record.pods {
            let uid = &recorded.plan.uid;
            let pod = self.pods.entry(uid.clone()).or_insert_with(|| {
                let spec = PodSpec::from_pod(&recorded.plan.pod);
                let state = match &recorded.ended {
                    Some(state) => state.clone(),
                    None => PodState::new(&spec, super::now()),
                };
                Pod::new(recorded, spec, state)
            });
            pod.recorded_end = recorded.ended.is_some();
            pod.wanted = recorded.desired == Desired::Running && !recorded.removing;
            pod.removing = recorded.removing;
            // A pod that was never started and is kept must not be stopped, because a stop would end it for good.
            let is_unstarted = pod.state.goal == Goal::Idle && !pod.removing;
            if !pod.wanted && !is_unstarted && pod.purge == Purge::No {
                stop.push((uid.clone(), recorded.grace_seconds));
            }
        }
        for (uid, grace_seconds) in stop {
            self.dispatch(&uid, &Event::Stop { grace_seconds });
        }
    }
}
