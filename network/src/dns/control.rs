//! The socket by which the name server is told to read its files again. The reply says that it has done so, so that a
//! name is known once the call returns.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

/// The socket, in the folder of the name server's files.
pub(super) const SOCKET: &str = "control";

/// How long to wait for the reply of a name server that is busy or stopped.
const REPLY_WITHIN: Duration = Duration::from_secs(5);

/// The reply to a request that was done.
const DONE: &[u8] = b"done\n";

/// What a name server has replied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// It has read its files, and listens wherever it should.
    Done,
    /// It has read its files, but something does not work.
    Problem(String),
    /// No name server listens, or it has ended.
    Gone,
}

/// Makes the name server of a folder read its files again, and waits until it has.
pub(super) fn reload(dir: &Path) -> io::Result<Reply> {
    let mut stream = match with_short_path(&dir.join(SOCKET), |path| UnixStream::connect(path)) {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(Reply::Gone);
        }
        Err(e) => return Err(e),
    };
    stream.set_read_timeout(Some(REPLY_WITHIN))?;
    let mut reply = Vec::new();
    match stream.read_to_end(&mut reply) {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
        Err(e) => return Err(e),
    }
    Ok(match reply.as_slice() {
        [] => Reply::Gone,
        DONE => Reply::Done,
        problem => Reply::Problem(String::from_utf8_lossy(problem).trim().to_owned()),
    })
}

/// Binds the socket in the place of one that an earlier name server left.
pub(super) fn listen(dir: &Path) -> io::Result<UnixListener> {
    let path = dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() == ErrorKind::IsADirectory => std::fs::remove_dir(&path)?,
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = with_short_path(&path, |path| UnixListener::bind(path))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Replies to a request. The reply fits into the socket's buffer.
pub(super) fn reply(mut stream: UnixStream, problem: Option<&str>) {
    let _ = stream.write_all(problem.map_or(DONE, str::as_bytes));
}

/// Calls `act` with a path that fits into a socket's address (unix(7)): the path itself, or one through the folder's
/// descriptor.
fn with_short_path<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    const MOST: usize = 107;
    if path.as_os_str().len() <= MOST {
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
    fn a_reply_says_what_has_happened() {
        let dir = tempfile::tempdir().unwrap();
        // The path of a socket in it is too long for a socket's address.
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        assert_eq!(reload(&deep).unwrap(), Reply::Gone, "no socket");
        for (problem, expected) in [
            (None, Reply::Done),
            (Some("taken"), Reply::Problem("taken".to_owned())),
            (Some(""), Reply::Gone),
        ] {
            let listener = listen(&deep).unwrap();
            listener.set_nonblocking(false).unwrap();
            let server = std::thread::spawn(move || reply(listener.accept().unwrap().0, problem));
            assert_eq!(reload(&deep).unwrap(), expected);
            server.join().unwrap();
        }
        assert_eq!(reload(&deep).unwrap(), Reply::Gone, "nobody listens");
    }
}
