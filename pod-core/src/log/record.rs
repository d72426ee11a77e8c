//! Records: converts bytes of a container to lines of a log, and back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The maximum content of one record. A longer line becomes several records, all but the last tagged `P`, as with
/// containerd and CRI-O.
pub(super) const MAX_CONTENT: usize = 16 * 1024;

/// A stream of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stream {
    /// stdout, and everything that a terminal shows.
    Stdout,
    /// stderr.
    Stderr,
}

impl Stream {
    /// Both streams.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// Returns `stdout` or `stderr`, the name that records use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A line or a part of one, as a record describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// When the line was read: RFC 3339 with nanoseconds, in UTC.
    pub time: &'a str,
    /// The stream that the line was written to.
    pub stream: Stream,
    /// The text that the container wrote, without the newline.
    pub content: &'a [u8],
    /// True if a newline followed. If not, the line continues in a later record of the same stream, or the container
    /// ended without a newline.
    pub ends: bool,
    /// True if the record does not continue the record before it.
    pub begins: bool,
}

impl Line<'_> {
    /// Returns whether the record only completes a line that the container did not end: an empty record after a partial
    /// one. The last record of a long line that did end is never empty.
    pub(super) fn closes(&self) -> bool {
        !self.begins && self.content.is_empty()
    }

    /// Returns [`Line::time`], parsed.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.time.parse().ok()
    }
}

/// Formats a time with a fixed width, so that the order of the texts is the order of the times:
/// `2026-11-23T18:00:00.000000000Z`.
pub(super) fn stamp(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

/// Appends the record of one piece of content to `out`.
fn push(out: &mut Vec<u8>, stamp: &str, stream: Stream, tag: &str, content: &[u8]) {
    out.reserve(stamp.len() + content.len() + 12);
    for part in [stamp, " ", stream.as_str(), " ", tag, " "] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(content);
    out.push(b'\n');
}

/// Appends the record of a whole line to `out`.
pub(super) fn push_line(out: &mut Vec<u8>, stamp: &str, stream: Stream, content: &[u8]) {
    push(out, stamp, stream, "F", content);
}

/// Appends to `out` the records that `data` completes, and returns how many bytes of `data` were used. The rest, at
/// most [`MAX_CONTENT`] bytes, waits for the end of its line. At the end of the stream (`last`) nothing waits: a line
/// that the container did not end becomes a partial record, followed by an empty full record that completes it. Without
/// that record, collectors of logs would hold the line back, because they join partial records until a full one comes.
/// [`Line::closes`] distinguishes such a line from one that ended with a newline.
pub(super) fn push_all(out: &mut Vec<u8>, stamp: &str, stream: Stream, data: &[u8], last: bool) -> usize {
    let mut rest = data;
    loop {
        let newline = memchr::memchr(b'\n', rest);
        let (mut line, after) = rest.split_at(newline.unwrap_or(rest.len()));
        while let Some((part, more)) = line.split_at_checked(MAX_CONTENT).filter(|(_, more)| !more.is_empty())
        {
            push(out, stamp, stream, "P", part);
            line = more;
        }
        match after.split_first() {
            Some((_, after)) => {
                push(out, stamp, stream, "F", line);
                rest = after;
            }
            None if last && !line.is_empty() => {
                push(out, stamp, stream, "P", line);
                push(out, stamp, stream, "F", b"");
                return data.len();
            }
            None => return data.len() - line.len(),
        }
    }
}

/// Parses a record (without its newline); returns `None` for text that is not a record. Whether the record begins a
/// line depends on the record before it, so the caller sets [`Line::begins`].
pub(super) fn parse(record: &[u8]) -> Option<Line<'_>> {
    let mut parts = record.splitn(4, |b| *b == b' ');
    let (time, stream, tags) = (parts.next()?, parts.next()?, parts.next()?);
    // The record of an empty line may have lost its last space.
    let content = parts.next().unwrap_or_default();
    let stream = match stream {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let ends = match tags.split(|b| *b == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    let time =
        std::str::from_utf8(time).ok().filter(|t| t.len() >= 20 && t.as_bytes().get(10) == Some(&b'T'))?;
    Some(Line { time, stream, content, ends, begins: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: &str = "2026-11-23T18:00:00.000000000Z";

    fn records(data: &[u8], last: bool) -> (Vec<u8>, usize) {
        let mut out = Vec::new();
        let used = push_all(&mut out, STAMP, Stream::Stdout, data, last);
        (out, used)
    }

    #[test]
    fn a_line_is_one_record_in_cri_format() {
        let (out, used) = records(b"hello\n\nhalf", false);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, format!("{STAMP} stdout F hello\n{STAMP} stdout F \n"));
        assert_eq!(used, 7);
    }

    #[test]
    fn a_line_without_a_newline_at_the_end_is_completed() {
        let (out, used) = records(b"half", true);
        let whole = format!("{STAMP} stdout P half\n{STAMP} stdout F \n");
        assert_eq!((String::from_utf8(out).unwrap(), used), (whole, 4));
        assert_eq!(records(b"", true), (Vec::new(), 0));
    }

    #[test]
    fn lines_above_16_kib_are_split() {
        for (len, tags) in [
            (MAX_CONTENT, "F"),
            (MAX_CONTENT + 1, "PF"),
            (MAX_CONTENT * 2, "PF"),
            (MAX_CONTENT * 2 + 1, "PPF"),
        ] {
            let mut data = vec![b'x'; len];
            data.push(b'\n');
            let (out, used) = records(&data, false);
            let lines: Vec<_> =
                out.split_inclusive(|b| *b == b'\n').map(|r| parse(&r[..r.len() - 1]).unwrap()).collect();
            let seen: String = lines.iter().map(|l| if l.ends { 'F' } else { 'P' }).collect();
            assert_eq!((seen.as_str(), used), (tags, len + 1));
            assert_eq!(lines.iter().map(|l| l.content.len()).sum::<usize>(), len);
        }
    }

    #[test]
    fn garbage_is_not_a_record() {
        let stdout = format!("{STAMP} stdout F ");
        assert!(parse(stdout.as_bytes()).is_some());
        for bad in [
            "",
            "x",
            "\0\0\0\0",
            "a stdout F x",
            &format!("{STAMP} stdin F x"),
            &format!("{STAMP} stdout X x"),
            STAMP,
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
        let tagged = format!("{STAMP} stderr P:x rest of it");
        let line = parse(tagged.as_bytes()).unwrap();
        assert_eq!((line.stream, line.ends, line.content), (Stream::Stderr, false, b"rest of it".as_slice()));
    }

    #[test]
    fn stamps_have_a_fixed_width() {
        assert_eq!(stamp(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(
            stamp("2026-11-23T18:00:00.123456789Z".parse().unwrap()),
            "2026-11-23T18:00:00.123456789Z"
        );
    }
}
