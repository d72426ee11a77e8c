//! Logs of containers, in CRI format (one record a line: `TIME STREAM TAG CONTENT`), rotated by size.
//!
//! [`Writer`] takes a container's output from its FIFOs; [`read`] and [`follow`] give it back. A run's log is
//! `<dir>/<attempt>.log`; what was rotated away is `<attempt>.log.1` (the newer) and `<attempt>.log.2`.

mod cursor;
pub mod events;
mod file;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod inotify;
mod journal;
mod reader;
mod record;
mod spool;
mod writer;

pub use reader::{Options, Run, Source, follow, read};
pub use record::{Line, Stream};
pub use writer::{Lost, Writer};

/// How large logs grow. The defaults are 10 MB and three files a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A file that would grow beyond this, in bytes, is rotated away first. One file holds at least one record.
    pub file_bytes: u64,
    /// Files kept of a run, the one being written included; at least 1.
    pub files: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 10_000_000, files: 3 }
    }
}

/// The file name of a run's log: the one being written (0) or one that was rotated away (1 is the newest).
fn file_name(attempt: u32, rotation: u32) -> String {
    if rotation == 0 { format!("{attempt}.log") } else { format!("{attempt}.log.{rotation}") }
}

/// The inverse of [`file_name`].
fn parse_file_name(name: &str) -> Option<(u32, u32)> {
    let (attempt, rest) = name.split_once(".log")?;
    let rotation = match rest.strip_prefix('.') {
        None if rest.is_empty() => 0,
        None => return None,
        Some(number) => number.parse().ok()?,
    };
    Some((attempt.parse().ok()?, rotation))
}
