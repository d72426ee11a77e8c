//! The questions to the host's name servers, from the first packet to the answer for the client.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;

use super::poll::Interest;
use super::{Handled, Server, Source};
use crate::dns::answer::{self, Forward};
use crate::dns::message::{self, Answer, Query};
use crate::dns::upstream::{Attempt, Next, Progress, Resolvers, Turns};

/// How long one server has for an answer before another is asked as well.
const EACH: Duration = Duration::from_secs(1);

/// How long all servers have together. A resolver waits for five seconds (RES_TIMEOUT in resolv.conf(5)).
const ALL: Duration = Duration::from_secs(3);

/// How many questions there are at most, and how many of one client.
const QUESTIONS: usize = 1024;
const QUESTIONS_PER_CLIENT: usize = 128;

/// Where an answer goes.
#[derive(Debug, Clone)]
pub(super) enum ReplyTo {
    /// A client that has sent a packet to this socket.
    Packet(Rc<UdpSocket>, SocketAddr),
    /// The connection with this key.
    Connection(u64),
}

/// All questions.
#[derive(Debug, Default)]
pub(super) struct Forwards {
    resolvers: Resolvers,
    questions: HashMap<u64, Question>,
    /// How many questions each client has.
    of_client: HashMap<IpAddr, usize>,
}

/// A question.
#[derive(Debug)]
struct Question {
    query: Query,
    forward: Forward,
    client: IpAddr,
    reply_to: ReplyTo,
    servers: Vec<SocketAddr>,
    turns: Turns,
    /// The sockets on which an answer may come, each with its key and the index of its server.
    attempts: Vec<(u64, usize, Attempt)>,
    /// The answer of a server that has failed, for the case that no other answers.
    failure: Option<Vec<u8>>,
    ends: Instant,
    deadline: Instant,
}

impl Question {
    /// Returns the answer for the client.
    fn answer(&self, from_server: Option<&[u8]>) -> Vec<u8> {
        let answer = from_server.or(self.failure.as_deref());
        let answer = answer.and_then(|answer| {
            if self.forward.aliases.is_empty() {
                message::relay(&self.query, answer)
            } else {
                Some(answer::complete(&self.forward, answer)?.encode(&self.query))
            }
        });
        answer.unwrap_or_else(|| Answer::error(ResponseCode::ServFail).encode(&self.query))
    }
}

impl Server {
    /// Asks the host's name servers on behalf of a client.
    pub(super) fn forward(
        &mut self,
        query: Query,
        forward: Forward,
        client: IpAddr,
        reply_to: ReplyTo,
    ) -> Handled {
        let now = Instant::now();
        let (port, listening) = (self.port, &self.listening);
        let is_ours = |server: &SocketAddr| server.port() == port && listening.contains_key(&server.ip());
        let servers = self.forwards.resolvers.servers(now, is_ours);
        let of_client = self.forwards.of_client.get(&client).copied().unwrap_or_default();
        if servers.is_empty()
            || self.forwards.questions.len() >= QUESTIONS
            || of_client >= QUESTIONS_PER_CLIENT
        {
            return Handled::Answer(Answer::error(ResponseCode::ServFail).encode(&query));
        }
        let mut turns = Turns::new(servers.len());
        let first = turns.begin();
        let key = self.poll.key();
        self.poll.set_deadline(now + EACH, key);
        self.forwards.of_client.insert(client, of_client + 1);
        self.forwards.questions.insert(
            key,
            Question {
                query,
                forward,
                client,
                reply_to,
                servers,
                turns,
                attempts: Vec::new(),
                failure: None,
                ends: now + ALL,
                deadline: now + EACH,
            },
        );
        match self.go_on(key, first, now) {
            Some((_, answer)) => Handled::Answer(answer),
            None => Handled::Forwarded(key),
        }
    }

    /// Does what is next for a question. Returns the answer if that is the end of it.
    fn go_on(&mut self, key: u64, mut next: Next, now: Instant) -> Option<(ReplyTo, Vec<u8>)> {
        loop {
            let index = match next {
                Next::Ask(index) => index,
                Next::Wait => {
                    self.wait(key, now);
                    return None;
                }
                Next::GiveUp => return self.finish(key, None),
            };
            match self.ask(key, index, now) {
                Some(()) => return None,
                None => next = self.forwards.questions.get_mut(&key)?.turns.failed(index),
            }
        }
    }

    /// Asks one server. `None` if that is not possible.
    fn ask(&mut self, key: u64, index: usize, now: Instant) -> Option<()> {
        let question = self.forwards.questions.get_mut(&key)?;
        let server = *question.servers.get(index)?;
        let (text, end) = message::ask_for(&question.query, &question.forward.name)?;
        let attempt = Attempt::begin(server, question.query.transport, text, end).ok()?;
        let attempt_key = self.poll.key();
        let interest = if attempt.has_unsent() { Interest::Output } else { Interest::Input };
        self.poll.watch(attempt.fd(), attempt_key, interest).ok()?;
        self.sources.insert(attempt_key, Source::Question(key));
        question.attempts.push((attempt_key, index, attempt));
        self.wait(key, now);
        Some(())
    }

    /// Gives the servers that were asked their time.
    fn wait(&mut self, key: u64, now: Instant) {
        if let Some(question) = self.forwards.questions.get_mut(&key) {
            self.poll.clear_deadline(question.deadline, key);
            question.deadline = (now + EACH).min(question.ends);
            self.poll.set_deadline(question.deadline, key);
        }
    }

    /// Reads what a socket of a question has brought.
    pub(super) fn read_answer(&mut self, key: u64, attempt_key: u64) {
        let Some(question) = self.forwards.questions.get_mut(&key) else { return };
        let Some(place) = question.attempts.iter().position(|(key, ..)| *key == attempt_key) else { return };
        let Some((_, index, attempt)) = question.attempts.get_mut(place) else { return };
        let index = *index;
        let had_unsent = attempt.has_unsent();
        let failure = match attempt.proceed() {
            Progress::Nothing => {
                if had_unsent && !attempt.has_unsent() {
                    let _ = self.poll.change(attempt.fd(), attempt_key, Interest::Input);
                }
                return;
            }
            Progress::Answer(answer) if message::is_failure(&answer) => Some(answer),
            Progress::Answer(answer) => {
                let done = self.finish(key, Some(&answer));
                return self.deliver_if(done);
            }
            Progress::Failed => None,
        };
        question.attempts.remove(place);
        self.sources.remove(&attempt_key);
        question.failure = failure.or(question.failure.take());
        let next = question.turns.failed(index);
        let done = self.go_on(key, next, Instant::now());
        self.deliver_if(done);
    }

    /// Goes on with a question that no server has answered in time.
    pub(super) fn ask_again(&mut self, key: u64, now: Instant) {
        let Some(question) = self.forwards.questions.get_mut(&key) else { return };
        let silent = question.attempts.last().and_then(|(_, index, _)| question.servers.get(*index));
        if let Some(server) = silent {
            self.forwards.resolvers.avoid(*server, now);
        }
        let next = if now >= question.ends { Next::GiveUp } else { question.turns.timed_out() };
        let done = self.go_on(key, next, now);
        self.deliver_if(done);
    }

    /// Forgets a question whose client is gone.
    pub(super) fn forget_question(&mut self, key: u64) {
        let _ = self.take(key);
    }

    /// Ends a question. Returns the answer for the client, and where it goes.
    fn finish(&mut self, key: u64, from_server: Option<&[u8]>) -> Option<(ReplyTo, Vec<u8>)> {
        let question = self.take(key)?;
        let answer = question.answer(from_server);
        Some((question.reply_to, answer))
    }

    fn take(&mut self, key: u64) -> Option<Question> {
        let question = self.forwards.questions.remove(&key)?;
        self.poll.clear_deadline(question.deadline, key);
        for (attempt, ..) in &question.attempts {
            self.sources.remove(attempt);
        }
        if let Some(count) = self.forwards.of_client.get_mut(&question.client) {
            *count -= 1;
            if *count == 0 {
                self.forwards.of_client.remove(&question.client);
            }
        }
        Some(question)
    }

    fn deliver_if(&mut self, done: Option<(ReplyTo, Vec<u8>)>) {
        if let Some((reply_to, answer)) = done {
            self.deliver(reply_to, &answer);
        }
    }
}
