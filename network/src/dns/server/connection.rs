//! A client's TCP connection. Its queries are answered one after another.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::poll::Interest;

/// How long a client may take for a query, or to receive an answer (RFC 7766, section 6.2.3: a few seconds).
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a question to the host's name servers may take at most, with something to spare.
const FORWARDING: Duration = Duration::from_secs(10);

/// The longest query that is read. One with a question and an OPT record is a tenth of it.
const LONGEST: usize = 4096;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub stream: TcpStream,
    pub client: SocketAddr,
    pub gateway: IpAddr,
    /// The question to the host's name servers whose answer is waited for.
    pub waiting: Option<u64>,
    /// When the connection is closed if nothing happens.
    pub deadline: Instant,
    input: Vec<u8>,
    output: Vec<u8>,
    has_read: bool,
}

/// What is next for a connection.
#[derive(Debug)]
pub(super) enum Step {
    /// This query is to be answered.
    Query(Vec<u8>),
    /// Nothing, until the descriptor is ready.
    Wait(Interest),
    /// The connection is over.
    Close,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        client: SocketAddr,
        gateway: IpAddr,
        now: Instant,
    ) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // An answer is written at once and is not to wait for others.
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            client,
            gateway,
            waiting: None,
            deadline: now + PATIENCE,
            input: Vec::new(),
            output: Vec::new(),
            has_read: false,
        })
    }

    /// Begins a turn of the connection, in which it reads at most once, so that no client keeps the others waiting.
    pub(super) fn begin_turn(&mut self) {
        self.has_read = false;
    }

    /// Takes an answer, which follows its length (RFC 1035, section 4.2.2).
    pub(super) fn answer(&mut self, answer: &[u8], now: Instant) {
        let length = u16::try_from(answer.len()).unwrap_or_default();
        self.output.extend(length.to_be_bytes());
        self.output.extend(answer);
        self.waiting = None;
        self.deadline = now + PATIENCE;
    }

    /// Waits for the answer to a question.
    pub(super) fn wait_for(&mut self, question: u64, now: Instant) {
        self.waiting = Some(question);
        self.deadline = now + FORWARDING;
    }

    /// Writes and reads as much as is possible now.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        loop {
            while !self.output.is_empty() {
                match self.stream.write(&self.output) {
                    Ok(0) => return Step::Close,
                    Ok(n) => drop(self.output.drain(..n)),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Step::Wait(Interest::Output),
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return Step::Close,
                }
            }
            if self.waiting.is_some() {
                return Step::Wait(Interest::Nothing);
            }
            match take_message(&mut self.input) {
                Ok(Some(query)) => {
                    self.deadline = now + PATIENCE;
                    return Step::Query(query);
                }
                Ok(None) => {}
                Err(TooLong) => return Step::Close,
            }
            if self.has_read {
                return Step::Wait(Interest::Input);
            }
            self.has_read = true;
            let mut buffer = [0; LONGEST];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Step::Close,
                Ok(n) => self.input.extend(buffer.get(..n).unwrap_or_default()),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => return Step::Close,
            }
        }
    }
}

/// A message is longer than any query.
#[derive(Debug, PartialEq, Eq)]
struct TooLong;

/// Takes a whole message from the bytes that were received.
fn take_message(input: &mut Vec<u8>) -> Result<Option<Vec<u8>>, TooLong> {
    let Some(length) = input.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length))) else {
        return Ok(None);
    };
    if length > LONGEST {
        return Err(TooLong);
    }
    if input.len() < 2 + length {
        return Ok(None);
    }
    let rest = input.split_off(2 + length);
    let mut message = std::mem::replace(input, rest);
    message.drain(..2);
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_in_pieces_and_several_at_once() {
        let mut input = vec![0];
        assert_eq!(take_message(&mut input), Ok(None));
        input.extend([2, 7]);
        assert_eq!(take_message(&mut input), Ok(None));
        input.extend([8, 0, 1, 9, 0]);
        assert_eq!(take_message(&mut input), Ok(Some(vec![7, 8])));
        assert_eq!(take_message(&mut input), Ok(Some(vec![9])));
        assert_eq!((take_message(&mut input), input), (Ok(None), vec![0]));
        assert_eq!(take_message(&mut vec![0xff, 0xff]), Err(TooLong));
    }

    fn pair() -> (TcpStream, Connection) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, client) = listener.accept().unwrap();
        (theirs, Connection::new(ours, client, client.ip(), Instant::now()).unwrap())
    }

    /// Waits until a descriptor has input.
    fn until_readable(stream: &TcpStream) {
        let mut fds = [rustix::event::PollFd::new(stream, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, None).unwrap();
    }

    #[test]
    fn queries_are_taken_one_after_another() {
        let now = Instant::now();
        let (mut theirs, mut ours) = pair();
        theirs.write_all(&[0, 1, b'a', 0, 1, b'b']).unwrap();
        until_readable(&ours.stream);
        let Step::Query(query) = ours.step(now) else { panic!("no query") };
        assert_eq!(query, b"a");
        ours.wait_for(7, now);
        assert!(matches!(ours.step(now), Step::Wait(Interest::Nothing)));
        ours.answer(b"A", now);
        let Step::Query(query) = ours.step(now) else { panic!("no second query") };
        assert_eq!(query, b"b");
        let mut answer = [0; 3];
        theirs.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"\0\x01A");
        drop(theirs);
        until_readable(&ours.stream);
        ours.begin_turn();
        assert!(matches!(ours.step(now), Step::Close));
    }
}
