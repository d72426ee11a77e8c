//! Which of several name servers is asked when, and when none is asked any more. Pure.

/// How many times an answer is waited for.
const WAITS: usize = 3;

/// What is next for a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The server with this index is asked.
    Ask(usize),
    /// The answers of servers that were asked before are waited for.
    Wait,
    /// No server will answer.
    GiveUp,
}

/// The turns of one question. A server that is silent is asked again when its turn comes, because a packet may be lost;
/// one that has refused is not. The answers of all servers that were asked count until the end.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    servers: Vec<Server>,
    waits: usize,
}

#[derive(Debug, Clone, Default)]
struct Server {
    times_asked: usize,
    has_failed: bool,
}

impl Turns {
    pub(crate) fn new(servers: usize) -> Self {
        Self { servers: vec![Server::default(); servers], waits: 0 }
    }

    /// Returns the server to begin with.
    pub(crate) fn begin(&mut self) -> Next {
        self.ask()
    }

    /// A server has refused, or has answered with an error: another is asked at once, if there is one that was not.
    pub(crate) fn failed(&mut self, server: usize) -> Next {
        if let Some(server) = self.servers.get_mut(server) {
            server.has_failed = true;
        }
        let left = || self.servers.iter().filter(|server| !server.has_failed);
        if left().next().is_some() && left().all(|server| server.times_asked > 0) {
            return Next::Wait;
        }
        self.ask()
    }

    /// No answer has come in time.
    pub(crate) fn timed_out(&mut self) -> Next {
        self.waits += 1;
        if self.waits >= WAITS { Next::GiveUp } else { self.ask() }
    }

    fn ask(&mut self) -> Next {
        let left = self.servers.iter_mut().enumerate().filter(|(_, server)| !server.has_failed);
        match left.min_by_key(|(index, server)| (server.times_asked, *index)) {
            Some((index, server)) => {
                server.times_asked += 1;
                Next::Ask(index)
            }
            None => Next::GiveUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Next::{Ask, GiveUp, Wait};
    use super::*;

    #[test]
    fn without_a_server_nothing_is_asked() {
        assert_eq!(Turns::new(0).begin(), GiveUp);
    }

    #[test]
    fn silent_servers_are_asked_in_turn_three_times_in_all() {
        for (servers, expected) in
            [(1, [Ask(0), Ask(0), Ask(0)]), (2, [Ask(0), Ask(1), Ask(0)]), (5, [Ask(0), Ask(1), Ask(2)])]
        {
            let mut turns = Turns::new(servers);
            assert_eq!([turns.begin(), turns.timed_out(), turns.timed_out()], expected);
            assert_eq!(turns.timed_out(), GiveUp);
        }
    }

    #[test]
    fn the_next_is_asked_at_once_when_one_refuses() {
        let mut turns = Turns::new(3);
        assert_eq!([turns.begin(), turns.failed(0), turns.failed(1)], [Ask(0), Ask(1), Ask(2)]);
        assert_eq!(turns.failed(2), GiveUp);
    }

    #[test]
    fn a_silent_server_may_still_answer_after_another_has_refused() {
        let mut turns = Turns::new(2);
        assert_eq!([turns.begin(), turns.timed_out(), turns.failed(1)], [Ask(0), Ask(1), Wait]);
        assert_eq!([turns.timed_out(), turns.timed_out()], [Ask(0), GiveUp]);
    }

    #[test]
    fn a_server_that_has_refused_is_not_asked_again() {
        let mut turns = Turns::new(2);
        assert_eq!([turns.begin(), turns.failed(0), turns.timed_out()], [Ask(0), Ask(1), Ask(1)]);
    }
}
