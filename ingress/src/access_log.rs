//! The access log: one line per request, written when its response has been sent.
//!
//! A line has these fields, separated by single spaces, `-` where there is nothing: time (RFC 3339), address of the
//! client, method, host, path with query, version, status, bytes of the response's body, seconds, endpoint, route. What
//! is not printable ASCII in a field is escaped, so a client cannot make up fields or lines.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hyper::Version;
use jiff::Timestamp;

/// The size at which a log is renamed to `NAME.1` and begun anew, in bytes. Clients decide how much is written, and the
/// file may be in memory.
const MAX_SIZE: u64 = 16 << 20;

/// The most bytes of a field, so that one request cannot fill the log.
const MAX_FIELD: usize = 2048;

/// An open access log.
#[derive(Debug)]
pub(crate) struct AccessLog {
    path: PathBuf,
    file: Mutex<Option<(File, u64)>>,
}

impl AccessLog {
    /// Opens the log at `path`, which is continued if it exists.
    pub(crate) fn open(path: &Path) -> std::io::Result<Arc<Self>> {
        let log = Self { path: path.to_owned(), file: Mutex::new(None) };
        log.reopen()?;
        Ok(Arc::new(log))
    }

    /// Returns the path of the log.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file at the path again, after it was renamed by another program.
    pub(crate) fn reopen(&self) -> std::io::Result<()> {
        let file = File::options().create(true).append(true).open(&self.path)?;
        let size = file.metadata()?.len();
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some((file, size));
        Ok(())
    }

    fn write(&self, line: &str) {
        let mut guard = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((file, size)) = guard.as_mut() else { return };
        // A line that cannot be written, on a full disk, is lost: requests go on.
        if file.write_all(line.as_bytes()).is_ok() {
            *size += line.len() as u64;
        }
        if *size < MAX_SIZE {
            return;
        }
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        let _ = std::fs::rename(&self.path, old);
        *guard = File::options().create(true).append(true).open(&self.path).ok().map(|file| (file, 0));
    }
}

/// What is written about one request.
#[derive(Debug)]
pub(crate) struct Entry {
    log: Arc<AccessLog>,
    begun: Instant,
    request: Request,
    /// The status of the response.
    pub(crate) status: u16,
    /// The bytes of its body that were sent.
    pub(crate) bytes: u64,
    /// The endpoint that answered.
    pub(crate) endpoint: Option<SocketAddr>,
    /// What the route was made of.
    pub(crate) route: String,
}

/// The fields of a request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) client: IpAddr,
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) version: Version,
}

impl Entry {
    pub(crate) fn new(log: Arc<AccessLog>, request: Request) -> Self {
        let begun = Instant::now();
        Self { log, begun, request, status: 0, bytes: 0, endpoint: None, route: String::new() }
    }

    fn line(&self, now: Timestamp) -> String {
        let Self { request, status, bytes, .. } = self;
        let mut line = format!("{now:.3} {}", request.client.to_canonical());
        let version = match request.version {
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        };
        for text in [&request.method, &request.host, &request.path] {
            line.push(' ');
            push_escaped(&mut line, text);
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        let _ = write!(line, " {version} {status} {bytes} {seconds:.3} ");
        match self.endpoint {
            Some(endpoint) => drop(write!(line, "{endpoint} ")),
            None => line.push_str("- "),
        }
        push_escaped(&mut line, &self.route);
        line.push('\n');
        line
    }
}

impl Drop for Entry {
    /// Writes the line. The body of the response is dropped once it was sent, or once the client has gone.
    fn drop(&mut self) {
        self.log.write(&self.line(Timestamp::now()));
    }
}

fn push_escaped(line: &mut String, text: &str) {
    if text.is_empty() {
        line.push('-');
    }
    for c in text.chars().take(MAX_FIELD) {
        match c {
            '\\' => line.push_str("\\\\"),
            '!'..='~' => line.push(c),
            _ => drop(write!(line, "\\u{{{:x}}}", u32::from(c))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Entry {
        let log = Arc::new(AccessLog { path: PathBuf::new(), file: Mutex::new(None) });
        Entry::new(
            log,
            Request {
                client: "10.0.0.9".parse().unwrap(),
                method: "GET".into(),
                host: "web.example".into(),
                path: path.into(),
                version: Version::HTTP_11,
            },
        )
    }

    #[test]
    fn a_line_has_its_documented_fields() {
        let mut entry = entry("/a?b=c");
        (entry.status, entry.bytes) = (200, 12);
        entry.endpoint = Some("10.1.0.2:8080".parse().unwrap());
        entry.route = "default/web".into();
        let line = entry.line("2026-11-27T10:00:00.5Z".parse().unwrap());
        assert_eq!(
            line,
            "2026-11-27T10:00:00.500Z 10.0.0.9 GET web.example /a?b=c HTTP/1.1 200 12 0.000 10.1.0.2:8080 default/web\n"
        );
    }

    #[test]
    fn a_client_cannot_make_up_fields_or_lines() {
        let line = entry("/a b\nc\u{7f}\u{e9}\\").line(Timestamp::UNIX_EPOCH);
        assert_eq!(line.lines().count(), 1);
        assert_eq!(line.split(' ').count(), 11, "{line}");
        assert!(line.contains(r" /a\u{20}b\u{a}c\u{7f}\u{e9}\\ "), "{line}");
    }

    #[test]
    fn a_log_is_continued_and_begun_anew_when_it_is_large() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        std::fs::write(&path, "before\n").unwrap();
        let log = AccessLog::open(&path).unwrap();
        log.write("one\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\none\n");
        let large = "x".repeat(usize::try_from(MAX_SIZE).unwrap());
        log.write(&large);
        log.write("two\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
        assert!(dir.path().join("access.log.1").metadata().unwrap().len() > MAX_SIZE);
    }
}
