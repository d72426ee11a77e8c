//! The supervisor's end of the connection of one client.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::Serialize;

/// The maximum length of a request, which is one line: a workload's record fits with much room to spare.
const MAX_REQUEST: usize = 64 * 1024 * 1024;

/// A client, with its unfinished input and output.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    received: Vec<u8>,
    outgoing: VecDeque<u8>,
    /// Descriptors that were received and that no request has used yet.
    pub descriptors: Vec<OwnedFd>,
    /// The format that the client speaks, once the client has sent it.
    pub format: Option<u32>,
}

impl Connection {
    /// Accepts a client.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            received: Vec::new(),
            outgoing: VecDeque::new(),
            descriptors: Vec::new(),
            format: None,
        })
    }

    /// Recreates the connection of a client that this process accepted as another program.
    pub fn restored(
        stream: UnixStream,
        received: Vec<u8>,
        outgoing: Vec<u8>,
        descriptors: Vec<OwnedFd>,
        format: Option<u32>,
    ) -> Self {
        Self { stream, received, outgoing: outgoing.into(), descriptors, format }
    }

    /// Returns the received bytes that are not a complete line yet, and the bytes that are not sent yet.
    pub fn buffers(&self) -> (Vec<u8>, Vec<u8>) {
        (self.received.clone(), self.outgoing.iter().copied().collect())
    }

    /// Returns the client's socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Reads what is available. Returns the complete lines, and whether the client is still connected.
    pub fn read(&mut self) -> (Vec<Vec<u8>>, bool) {
        let mut open = true;
        loop {
            match receive(self.stream.as_fd(), &mut self.received, &mut self.descriptors) {
                Ok(0) => {
                    open = false;
                    break;
                }
                Ok(_) if self.received.len() > MAX_REQUEST => {
                    open = false;
                    break;
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    open = false;
                    break;
                }
            }
        }
        let mut lines = Vec::new();
        while let Some(end) = self.received.iter().position(|b| *b == b'\n') {
            let rest = self.received.split_off(end + 1);
            let mut line = std::mem::replace(&mut self.received, rest);
            line.pop();
            lines.push(line);
        }
        (lines, open)
    }

    /// Queues a reply and writes as much as the socket accepts.
    pub fn send<T: Serialize>(&mut self, reply: &T) -> io::Result<()> {
        let bytes = serde_json::to_vec(reply)?;
        self.outgoing.extend(bytes);
        self.outgoing.push_back(b'\n');
        self.flush()
    }

    /// Writes as much of the queue as the socket accepts.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            let (front, _) = self.outgoing.as_slices();
            match (&self.stream).write(front) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.outgoing.drain(..n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Returns how many bytes wait for room in the socket.
    pub fn outgoing_bytes(&self) -> usize {
        self.outgoing.len()
    }

    /// Returns whether a reply waits for room in the socket.
    pub fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }
}

/// Reads bytes and the descriptors that come with them (unix(7), SCM_RIGHTS). The descriptors are close-on-exec.
pub fn receive(
    socket: BorrowedFd<'_>,
    bytes: &mut Vec<u8>,
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut chunk = [0u8; 8192];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 4]);
    let n = {
        let mut io = [IoSliceMut::new(&mut chunk)];
        let message =
            recvmsg::<()>(socket.as_raw_fd(), &mut io, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = control {
                for fd in fds {
                    // SAFETY: the kernel just created this descriptor for us; nothing else owns it.
                    descriptors.push(unsafe { OwnedFd::from_raw_fd(fd) });
                }
            }
        }
        message.bytes
    };
    bytes.extend(chunk.iter().take(n));
    Ok(n)
}

/// Writes one line together with descriptors.
pub fn send_with_descriptors<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    send_bytes(socket, &line(message)?, descriptors)
}

/// Returns a message as a line.
pub fn line<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(message)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Writes lines together with descriptors.
pub fn send_bytes(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let raw: Vec<_> = descriptors.iter().map(|fd| fd.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let sent =
        sendmsg::<()>(socket.as_raw_fd(), &[io::IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    let mut rest = bytes.get(sent..).unwrap_or_default();
    while !rest.is_empty() {
        let n =
            rustix::io::retry_on_intr(|| rustix::net::send(socket, rest, rustix::net::SendFlags::NOSIGNAL))?;
        rest = rest.get(n..).unwrap_or_default();
    }
    Ok(())
}

/// Calls `act` with a path that fits into a socket address: the path itself, or one through `/proc/self/fd`.
pub fn with_short_path<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    /// The size of `sun_path` (unix(7)) without the terminating zero.
    const MAX: usize = 107;
    if path.as_os_str().len() <= MAX {
        return act(path);
    }
    let dir = std::fs::File::open(path.parent().unwrap_or(Path::new("/")))?;
    let name = path.file_name().unwrap_or_default();
    act(&Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_come_along_with_the_line_they_were_sent_with() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (read, write) = rustix::pipe::pipe().unwrap();
        send_with_descriptors(ours.as_fd(), &"run", &[write.as_fd()]).unwrap();
        drop(write);
        let mut connection = Connection::new(theirs).unwrap();
        let (lines, open) = connection.read();
        assert_eq!((lines, open), (vec![b"\"run\"".to_vec()], true));
        let theirs = connection.descriptors.pop().unwrap();
        rustix::io::write(&theirs, b"x").unwrap();
        let mut byte = [0u8];
        assert_eq!(rustix::io::read(&read, &mut byte).unwrap(), 1);
    }

    #[test]
    fn a_line_may_come_in_pieces_and_several_at_once() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(theirs).unwrap();
        (&ours).write_all(b"one").unwrap();
        assert_eq!(connection.read(), (vec![], true));
        (&ours).write_all(b"\ntwo\nthr").unwrap();
        assert_eq!(connection.read(), (vec![b"one".to_vec(), b"two".to_vec()], true));
        drop(ours);
        assert_eq!(connection.read(), (vec![], false));
    }

    #[test]
    fn replies_wait_for_a_reader_that_is_slow() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(theirs).unwrap();
        let long = "x".repeat(1 << 20);
        connection.send(&long).unwrap();
        assert!(connection.has_outgoing());
        let mut reader = &ours;
        let mut got = 0;
        let mut chunk = vec![0u8; 1 << 16];
        while got < long.len() + 3 {
            got += std::io::Read::read(&mut reader, &mut chunk).unwrap();
            connection.flush().unwrap();
        }
        assert!(!connection.has_outgoing());
    }

    #[test]
    fn a_long_path_is_bound_and_connected_to() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("sock");
        let listener = with_short_path(&path, |path| std::os::unix::net::UnixListener::bind(path)).unwrap();
        with_short_path(&path, |path| UnixStream::connect(path)).unwrap();
        assert!(listener.accept().is_ok());
    }
}
