//! The output of a container: FIFOs that the container itself keeps open, so that they stay open when a supervisor dies
//! and the next supervisor continues to read.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;

use crate::log::Stream;

/// Returns the path of a stream's FIFO, which is in the bundle of one run of the container.
pub fn fifo_path(bundle: &Path, stream: Stream) -> PathBuf {
    bundle.join(stream.as_str())
}

/// Creates the FIFO of a stream if it does not exist, and opens its reading end for the supervisor. The descriptor is
/// non-blocking and also holds a writing end, so that it never reads an end of file.
pub fn open_reader(bundle: &Path, stream: Stream) -> std::io::Result<OwnedFd> {
    let path = fifo_path(bundle, stream);
    match mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(e.into()),
    }
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    // Holds a quarter of a second of output of a very busy container, so that the container does not wait while a
    // supervisor is replaced.
    let _ = rustix::pipe::fcntl_setpipe_size(&file, 256 * 1024);
    Ok(file.into())
}

/// Opens the writing end for a container. The FIFO is owned by the container's user, so that the container can open
/// `/dev/stdout`.
pub fn open_writer(bundle: &Path, stream: Stream, uid: u32, gid: u32) -> std::io::Result<OwnedFd> {
    let file = OpenOptions::new().read(true).write(true).open(fifo_path(bundle, stream))?;
    std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_that_is_written_without_a_reader_is_kept_for_the_next_reader() {
        ::tests::need_root!();
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
