//! A connection of a probe that its owner waits for beside other things: it never blocks.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use super::address::Target;
use super::connect;
use super::http::{Answer, Request, Verdict};
use crate::lifecycle::ProbeResult;

/// A connection, and what is done over it.
#[derive(Debug)]
pub struct Attempt {
    stream: TcpStream,
    address: SocketAddr,
    is_connected: bool,
    /// `None`: it is enough that it connects.
    exchange: Option<Exchange>,
}

#[derive(Debug)]
struct Exchange {
    request: Box<Request>,
    unsent: Vec<u8>,
    answer: Answer,
}

/// How far an attempt is.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// It waits until its descriptor is readable, or writable if `write` is true.
    Waiting {
        /// Whether it has something to write.
        write: bool,
    },
    /// It has a result.
    Done(ProbeResult),
    /// It is over, and this request is to be made in its place.
    Follow(Box<Request>),
}

impl Attempt {
    /// Begins to connect to an address.
    ///
    /// # Errors
    /// The result, if it is known at once.
    pub fn connect(target: &Target, address: SocketAddr) -> Result<Self, ProbeResult> {
        let stream = connect::begin(target.namespace.as_deref(), address)
            .map_err(|error| ProbeResult::Failure(connect::dial_error(address, &error)))?;
        Ok(Self { stream, address, is_connected: false, exchange: None })
    }

    /// Begins a request over HTTP in the clear.
    ///
    /// # Errors
    /// The result, if it is known at once.
    pub fn request(request: Box<Request>, address: SocketAddr) -> Result<Self, ProbeResult> {
        let unsent = request.bytes().map_err(|reason| request.failure(reason))?;
        let stream = connect::begin(request.target.namespace.as_deref(), address)
            .map_err(|error| request.failure(connect::dial_error(address, &error)))?;
        let exchange = Some(Exchange { request, unsent, answer: Answer::default() });
        Ok(Self { stream, address, is_connected: false, exchange })
    }

    /// Returns the descriptor to wait for.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Goes on as far as that is possible without waiting.
    pub fn advance(&mut self) -> Step {
        let Some(exchange) = &mut self.exchange else { return self.check_connected() };
        // The first write says whether the connection stands; on the same host it mostly does at once. The answer is not
        // there yet then, so it is waited for before it is read.
        let is_sending = !exchange.unsent.is_empty();
        while !exchange.unsent.is_empty() {
            match self.stream.write(&exchange.unsent) {
                Ok(written) => {
                    self.is_connected = true;
                    exchange.unsent.drain(..written.min(exchange.unsent.len()));
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::NotConnected => return Step::Waiting { write: true },
                    _ if self.is_connected => {
                        let reason = format!("write tcp: write: {}", connect::describe(&error));
                        return Step::Done(exchange.request.failure(reason));
                    }
                    _ => {
                        let reason = connect::dial_error(self.address, &error);
                        return Step::Done(exchange.request.failure(reason));
                    }
                },
            }
        }
        if is_sending {
            return Step::Waiting { write: false };
        }
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => {
                    if exchange.answer.receive(chunk.get(..length).unwrap_or_default()) {
                        break;
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => return Step::Waiting { write: false },
                    _ => {
                        let reason = format!("read tcp: read: {}", connect::describe(&error));
                        return Step::Done(exchange.request.failure(reason));
                    }
                },
            }
        }
        match exchange.answer.verdict(&exchange.request) {
            Verdict::Result(result) => Step::Done(result),
            Verdict::Follow(request) => Step::Follow(request),
        }
    }

    fn check_connected(&self) -> Step {
        match self.stream.take_error() {
            Ok(None) if self.stream.peer_addr().is_ok() => Step::Done(ProbeResult::Success),
            Ok(None) => Step::Waiting { write: true },
            Ok(Some(error)) | Err(error) => {
                Step::Done(ProbeResult::Failure(connect::dial_error(self.address, &error)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;
    use crate::probe::http::Scheme;

    fn target(port: u16) -> Target {
        Target { namespace: None, host: "127.0.0.1".to_owned(), port }
    }

    /// Waits for the result of an attempt.
    fn finish(attempt: Result<Attempt, ProbeResult>) -> Step {
        let mut attempt = match attempt {
            Ok(attempt) => attempt,
            Err(result) => return Step::Done(result),
        };
        loop {
            match attempt.advance() {
                Step::Waiting { write } => {
                    let flags = if write { PollFlags::OUT } else { PollFlags::IN };
                    poll(&mut [PollFd::from_borrowed_fd(attempt.fd(), flags)], None).unwrap();
                }
                step => return step,
            }
        }
    }

    fn get(port: u16) -> Step {
        let request = Box::new(Request::new(Scheme::Http, target(port), "/healthz", Vec::new()));
        finish(Attempt::request(request, target(port).address().unwrap()))
    }

    /// Serves one connection and returns its port: reads up to the end of a request, then sends `answer` in two parts.
    fn serve(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            let (first, rest) = answer.split_at(answer.len() / 2);
            stream.write_all(first.as_bytes()).unwrap();
            let _ = stream.write_all(rest.as_bytes());
        });
        port
    }

    /// Returns a port that nothing listens on.
    fn closed() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn a_request_passes_by_its_status() {
        assert_eq!(get(serve("HTTP/1.1 200 OK\r\n\r\nhello")), Step::Done(ProbeResult::Success));
        let failure = ProbeResult::Failure("HTTP probe failed with statuscode: 503".to_owned());
        assert_eq!(get(serve("HTTP/1.1 503 No\r\n\r\n")), Step::Done(failure));
        assert!(matches!(get(serve("HTTP/1.1 302 Go\r\nLocation: /x\r\n\r\n")), Step::Follow(_)));
    }

    #[test]
    fn a_port_without_a_listener_fails_in_the_kubelets_words() {
        let port = closed();
        let dial = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
        let get_failed = format!("Get \"http://127.0.0.1:{port}/healthz\": {dial}");
        assert_eq!(get(port), Step::Done(ProbeResult::Failure(get_failed)));
        let tcp = finish(Attempt::connect(&target(port), target(port).address().unwrap()));
        assert_eq!(tcp, Step::Done(ProbeResult::Failure(dial)));
    }

    #[test]
    fn a_connection_that_stands_is_enough_for_a_tcp_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let tcp = finish(Attempt::connect(&target(port), target(port).address().unwrap()));
        assert_eq!(tcp, Step::Done(ProbeResult::Success));
    }
}
