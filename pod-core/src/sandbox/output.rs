//! Output of a container: FIFOs that the container itself keeps open, so that no supervisor's death closes
//! them and the next one reads on.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;

use crate::log::Stream;

/// Where the FIFO of a stream lies, in the bundle of one run of the container.
pub fn fifo_path(bundle: &Path, stream: Stream) -> PathBuf {
    bundle.join(stream.as_str())
}

/// Makes the FIFO of a stream when it is missing and opens its reading end for the supervisor: non-blocking,
/// and with a writing end, so that it never reads an end of file.
pub fn open_reader(bundle: &Path, stream: Stream) -> std::io::Result<OwnedFd> {
    let path = fifo_path(bundle, stream);
    match mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(e.into()),
    }
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    // A quarter of a second of a very chatty container: it must not wait while a supervisor is replaced.
    let _ = rustix::pipe::fcntl_setpipe_size(&file, 256 * 1024);
    Ok(file.into())
}

/// Opens the writing end for a container, owned by its user so that `/dev/stdout` can be opened again.
pub fn open_writer(bundle: &Path, stream: Stream, uid: u32, gid: u32) -> std::io::Result<OwnedFd> {
    let file = OpenOptions::new().read(true).write(true).open(fifo_path(bundle, stream))?;
    std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_while_nobody_read_is_there_for_the_next_reader() {
        let dir = tempfile::tempdir().unwrap();
        let first = open_reader(dir.path(), Stream::Stdout).unwrap();
        let container = open_writer(dir.path(), Stream::Stdout, 0, 0).unwrap();
        drop(first);
        rustix::io::write(&container, b"still here").unwrap();
        let next = open_reader(dir.path(), Stream::Stdout).unwrap();
        let mut text = [0u8; 32];
        let n = rustix::io::read(&next, &mut text).unwrap();
        assert_eq!(&text[..n], b"still here");
    }

    #[test]
    fn a_reader_never_sees_an_end_and_never_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let reader = open_reader(dir.path(), Stream::Stderr).unwrap();
        assert_eq!(rustix::io::read(&reader, &mut [0u8; 8]), Err(Errno::AGAIN));
    }
}
