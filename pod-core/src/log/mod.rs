//! Logs of containers in CRI format (one record per line: `TIME STREAM TAG CONTENT`), rotated by size.
//!
//! [`Writer`] writes a container's output from its FIFOs into the log; [`read`] and [`follow`] read the log. The log of
//! a run is `<dir>/<attempt>.log`; rotated files are `<attempt>.log.1` (the newer) and `<attempt>.log.2`.

mod cursor;
pub mod events;
mod file;
mod follower;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod inotify;
mod journal;
mod reader;
mod record;
mod repeats;
mod spool;
mod writer;

pub use follower::Follower;
pub use reader::{Options, Run, Source, follow, read};
pub use record::{Line, Stream};
pub use repeats::{Occurrence, Repeats};
pub use writer::{Lost, Writer};

/// The maximum size of logs. The defaults are 10 MB per file and three files per run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A file that would grow beyond this size, in bytes, is rotated first. A file holds at least one record.
    pub file_bytes: u64,
    /// The number of files kept per run, including the one that is written to; at least 1.
    pub files: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 10_000_000, files: 3 }
    }
}

/// Returns the file name of a run's log: that of the file being written (0), or of a rotated one (1 is the newest).
fn file_name(attempt: u32, rotation: u32) -> String {
    if rotation == 0 { format!("{attempt}.log") } else { format!("{attempt}.log.{rotation}") }
}

/// Parses a name of [`file_name`].
fn parse_file_name(name: &str) -> Option<(u32, u32)> {
    let (attempt, rest) = name.split_once(".log")?;
    let rotation = match rest.strip_prefix('.') {
        None if rest.is_empty() => 0,
        None => return None,
        Some(number) => number.parse().ok()?,
    };
    Some((attempt.parse().ok()?, rotation))
}
