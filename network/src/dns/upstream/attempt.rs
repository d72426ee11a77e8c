//! One question to one name server: a socket of its own, so that neither its port nor its id can be guessed (RFC 5452),
//! and an answer counts only if it is to this question.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::dns::message::{HEADER, Transport};

/// The longest answer over UDP that is read: longer than any that was asked for.
const LONGEST_UDP: usize = 4096;

/// A question that was sent.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The question as it was sent, with its header.
    question: Vec<u8>,
    /// The length of header and question section.
    checked: usize,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Tcp { stream: TcpStream, unsent: Vec<u8>, received: Vec<u8> },
}

/// What a socket has brought.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Nothing yet.
    Nothing,
    /// The answer.
    Answer(Vec<u8>),
    /// There will be no answer.
    Failed,
}

impl Attempt {
    /// Asks a server. `question` is a whole message whose first two bytes are set here, and whose question section ends
    /// at `checked`.
    pub(crate) fn begin(
        server: SocketAddr,
        transport: Transport,
        mut question: Vec<u8>,
        checked: usize,
    ) -> io::Result<Self> {
        if let Some(id) = question.first_chunk_mut::<2>() {
            *id = random()?;
        }
        let socket = match transport {
            Transport::Udp => {
                let any: IpAddr = match server {
                    SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                };
                let socket = UdpSocket::bind((any, 0))?;
                socket.set_nonblocking(true)?;
                // Only packets of the server are received, and its refusal is.
                socket.connect(server)?;
                socket.send(&question)?;
                Socket::Udp(socket)
            }
            Transport::Tcp => {
                let length = u16::try_from(question.len()).unwrap_or_default().to_be_bytes();
                let unsent = [length.as_slice(), &question].concat();
                Socket::Tcp { stream: connect(server)?, unsent, received: Vec::new() }
            }
        };
        Ok(Self { question, checked, socket })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Udp(socket) => socket.as_fd(),
            Socket::Tcp { stream, .. } => stream.as_fd(),
        }
    }

    /// Returns whether the socket is waited for until it takes more.
    pub(crate) fn has_unsent(&self) -> bool {
        matches!(&self.socket, Socket::Tcp { unsent, .. } if !unsent.is_empty())
    }

    /// Sends and receives as much as the socket allows.
    pub(crate) fn proceed(&mut self) -> Progress {
        let received = match &mut self.socket {
            Socket::Udp(socket) => {
                let mut buffer = [0; LONGEST_UDP];
                loop {
                    match socket.recv(&mut buffer) {
                        Ok(length) => {
                            let answer = buffer.get(..length).unwrap_or_default();
                            // Whoever guesses badly does not keep the server's answer from being read.
                            if answers(&self.question, self.checked, answer) {
                                return Progress::Answer(answer.to_vec());
                            }
                        }
                        Err(e) if e.kind() == ErrorKind::Interrupted => {}
                        Err(e) if e.kind() == ErrorKind::WouldBlock => return Progress::Nothing,
                        Err(_) => return Progress::Failed,
                    }
                }
            }
            Socket::Tcp { stream, unsent, received } => exchange(stream, unsent, received),
        };
        match received {
            Ok(None) => Progress::Nothing,
            Ok(Some(answer)) if answers(&self.question, self.checked, &answer) => Progress::Answer(answer),
            Ok(Some(_)) | Err(_) => Progress::Failed,
        }
    }
}

/// Returns whether a message is an answer to a question: the same id and the same question section.
fn answers(question: &[u8], checked: usize, answer: &[u8]) -> bool {
    let is_answer = answer.get(2).is_some_and(|flags| flags & 0xf8 == 0x80);
    let (Some(asked), Some(answered)) = (question.get(HEADER..checked), answer.get(HEADER..checked)) else {
        return false;
    };
    let (Some((name, kind)), Some((other_name, other_kind))) =
        (asked.split_last_chunk::<4>(), answered.split_last_chunk::<4>())
    else {
        return false;
    };
    is_answer
        && answer.get(..2) == question.get(..2)
        && answer.get(4..6) == Some(&[0, 1])
        && kind == other_kind
        && name.eq_ignore_ascii_case(other_name)
}

/// Sends what is left of a question, and reads an answer, which follows its length (RFC 1035, section 4.2.2).
fn exchange(
    stream: &mut TcpStream,
    unsent: &mut Vec<u8>,
    received: &mut Vec<u8>,
) -> io::Result<Option<Vec<u8>>> {
    while !unsent.is_empty() {
        match stream.write(unsent) {
            Ok(n) => drop(unsent.drain(..n)),
            // It has not connected yet.
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return Ok(None),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let mut buffer = [0; 4096];
    loop {
        let expected = received.first_chunk().map(|length| 2 + usize::from(u16::from_be_bytes(*length)));
        if let Some(answer) = expected.and_then(|expected| received.get(2..expected)) {
            return Ok(Some(answer.to_vec()));
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => received.extend(buffer.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Begins to connect.
fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(e) => Err(e.into()),
    }
}

/// Returns bytes that nobody can guess.
fn random() -> io::Result<[u8; 2]> {
    let mut bytes = [0; 2];
    // SAFETY: the kernel writes at most as many bytes as the buffer has.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == 2 { Ok(bytes) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03wEb\0\0\x01\0\x01";

    fn with(place: usize, byte: u8) -> bool {
        let mut answer = QUESTION.to_vec();
        answer[2] = 0x81;
        answer[place] = byte;
        answers(QUESTION, QUESTION.len(), &answer)
    }

    #[test]
    fn only_an_answer_to_the_question_counts() {
        assert!(with(2, 0x80), "an answer");
        assert!(with(13, b'W'), "letters may change their case");
        assert!(!with(0, 0x13), "another id");
        assert!(!with(2, 0x01), "a question");
        assert!(!with(2, 0xa1), "another operation");
        assert!(!with(5, 0), "no question");
        assert!(!with(13, b'x'), "another name");
        assert!(!with(18, 0x21), "another type");
        assert!(!with(20, 3), "another class");
        assert!(!answers(QUESTION, QUESTION.len(), &QUESTION[..12]));
        assert!(!answers(QUESTION, QUESTION.len(), &[]));
    }

    #[test]
    fn ids_differ() {
        let ids: std::collections::BTreeSet<_> = (0..100).map(|_| random().unwrap()).collect();
        assert!(ids.len() > 90, "{}", ids.len());
    }
}
