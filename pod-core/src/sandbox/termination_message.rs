//! What a container says about its end: terminationMessagePath and terminationMessagePolicy.
//!
//! The container finds an empty file at that path. It is a file of the run, on disk beside its writable layer, bound into
//! the container, so that a container cannot put a link in its place. The supervisor reads it when the container has
//! ended.

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Container;

use crate::log;

/// The most bytes of a container's message (the kubelet's MaxContainerTerminationMessageLength).
const MAX_BYTES: u64 = 4096;
/// The most bytes, and the most lines, of a log that are taken for a message (MaxContainerTerminationMessageLogLength and
/// MaxContainerTerminationMessageLogLines).
const MAX_LOG_BYTES: usize = 2048;
const MAX_LOG_LINES: u64 = 80;

/// Returns the path of the file in a container.
pub fn destination(container: &Container) -> &str {
    let given = container.termination_message_path.as_deref().filter(|path| !path.is_empty());
    given.unwrap_or("/dev/termination-log")
}

/// Returns the file of a run on the host, in the run's folder.
fn file(scratch: &Path) -> PathBuf {
    scratch.join("termination-log")
}

/// Creates the empty file of a run in the run's folder, which is created if it is missing. Every user of the container
/// may write the file.
pub fn create(scratch: &Path) -> io::Result<PathBuf> {
    let path = file(scratch);
    base::file::create_private_dir_all(scratch)?;
    let file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o666).open(&path)?;
    // Whatever the umask is.
    file.set_permissions(fs::Permissions::from_mode(0o666))?;
    Ok(path)
}

/// Returns the message of a run that has ended with exit code `code`; `None` if it left none. `scratch` is the folder of
/// the run, `logs` that of the container's logs.
pub fn of_run(
    scratch: &Path,
    logs: &Path,
    container: &Container,
    attempt: u32,
    code: Option<i32>,
) -> Option<String> {
    let written = match read(&file(scratch)) {
        Ok(written) => written,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => {
            return Some(format!("Error on reading termination log {}: {e}", destination(container)));
        }
    };
    let policy = container.termination_message_policy.as_deref();
    let falls_back = policy == Some("FallbackToLogsOnError") && code != Some(0);
    message(&written, falls_back, || last_lines(logs, attempt))
}

/// Returns the last bytes of a file.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(MAX_BYTES)))?;
    let mut written = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut written)?;
    Ok(written)
}

/// Returns the message of a container that has written `written` into its file. If that is nothing and its policy asks
/// for it, the end of the log is the message.
fn message(written: &[u8], falls_back: bool, log: impl FnOnce() -> String) -> Option<String> {
    let text = if written.is_empty() && falls_back {
        log()
    } else {
        let text = String::from_utf8_lossy(written);
        end_of(&text, usize::try_from(MAX_BYTES).unwrap_or(usize::MAX)).to_owned()
    };
    (!text.is_empty()).then_some(text)
}

/// Returns the end of the log of a run.
fn last_lines(logs: &Path, attempt: u32) -> String {
    let source = log::Source { name: String::new(), dir: logs.to_owned(), run: log::Run::Attempt(attempt) };
    let options = log::Options { tail: Some(MAX_LOG_LINES), since: None };
    let mut text = String::new();
    let mut emit = |_: &log::Source, line: &log::Line<'_>| {
        text.push_str(&String::from_utf8_lossy(line.content));
        if line.ends {
            text.push('\n');
        }
        std::ops::ControlFlow::Continue(())
    };
    if let Err(e) = log::read(&[source], &options, &mut emit) {
        tracing::warn!("{e}");
    }
    end_of(&text, MAX_LOG_BYTES).to_owned()
}

/// Returns the end of a text: the most whole characters that fit into `bytes` bytes.
fn end_of(text: &str, bytes: usize) -> &str {
    text.get(text.ceil_char_boundary(text.len().saturating_sub(bytes))..).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_the_file_or_with_fallback_to_logs_on_error_the_end_of_the_log() {
        let log = || "last line\n".to_owned();
        assert_eq!(message(b"why\n", true, log).as_deref(), Some("why\n"));
        assert_eq!(message(b"", true, log).as_deref(), Some("last line\n"));
        assert_eq!(message(b"", false, log), None);
        assert_eq!(message(b"", true, String::new), None);
        assert_eq!(message(b"a\xffb", false, log).as_deref(), Some("a\u{fffd}b"));
    }

    #[test]
    fn a_message_has_at_most_4096_bytes_the_last_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        fs::write(&path, format!("{}{}", "a".repeat(10_000), "z".repeat(4000))).unwrap();
        let written = read(&path).unwrap();
        assert_eq!(written.len(), 4096);
        assert!(written.ends_with(b"z") && written.starts_with(b"a"));
        // Bytes that are no text become longer, and whole characters are kept.
        let text = message(&[0xff; 4096], false, String::new).unwrap();
        assert_eq!(text.len(), 4095);
        assert_eq!(end_of("aäb", 2), "b");
    }
}
