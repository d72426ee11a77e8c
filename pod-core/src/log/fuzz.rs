//! The fuzz target of logs.

// The target reports an error by a panic.
#![allow(clippy::expect_used, clippy::missing_panics_doc)]

use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp;

use super::record::{self, MAX_CONTENT};
use super::{Options, Run, Source, Stream, read};

/// A line as `kube logs` returns it: time, stream, whether it ends with a newline, content.
type ReadLine = (String, Stream, bool, Vec<u8>);

/// Takes any bytes as a log, torn or not: it is read to its end, and its tail equals the end of the whole. Takes any
/// bytes as the output of a container: its records return what was written, and no record is longer than allowed.
pub fn cri_log(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a folder");
    // Bytes after a NUL are in the newer file.
    let (old, new) = match data.iter().position(|byte| *byte == 0) {
        Some(at) => data.split_at(at),
        None => (&[][..], data),
    };
    std::fs::write(dir.path().join("0.log.1"), old).expect("a file");
    std::fs::write(dir.path().join("0.log"), new.strip_prefix(b"\0").unwrap_or(new)).expect("a file");
    let all = lines(dir.path(), None);
    for count in [0, 1, 2, 7] {
        let tail = lines(dir.path(), Some(count));
        // Whether an empty record ends a line or completes one depends on the record before it, so such records are
        // compared alike.
        let same = |lines: &[ReadLine]| -> Vec<ReadLine> {
            let empty_ends = |(time, stream, ends, content): &ReadLine| {
                (time.clone(), *stream, *ends || content.is_empty(), content.clone())
            };
            lines.iter().map(empty_ends).collect()
        };
        assert!(same(&all).ends_with(&same(&tail)), "the last {count} lines are not the end of the log");
        let whole = tail.iter().filter(|(_, _, ends, _)| *ends).count() as u64;
        assert!(whole <= count, "{whole} lines instead of {count}");
    }
    let stamp = record::stamp(Timestamp::UNIX_EPOCH);
    for last in [false, true] {
        let mut records = Vec::new();
        let taken = record::push_all(&mut records, &stamp, Stream::Stderr, data, last);
        let left = data.get(taken..).unwrap_or_default();
        assert!(left.len() <= MAX_CONTENT && (!last || left.is_empty()), "{} bytes wait", left.len());
        let (mut given, mut open) = (Vec::new(), false);
        for one in records.split(|byte| *byte == b'\n').filter(|one| !one.is_empty()) {
            let line = record::parse(one).expect("written bytes are a record");
            assert!(line.content.len() <= MAX_CONTENT && line.stream == Stream::Stderr);
            given.extend_from_slice(line.content);
            let completes = open && line.content.is_empty();
            given.extend((line.ends && !completes).then_some(b'\n'));
            open = !line.ends;
        }
        assert!(!last || !open, "a collector of logs waits for the rest of a line");
        assert_eq!(data.get(..taken).unwrap_or_default(), given, "records return what was written");
    }
}

fn lines(dir: &Path, tail: Option<u64>) -> Vec<ReadLine> {
    let source = Source { name: "main".to_owned(), dir: dir.to_owned(), run: Run::Latest };
    let mut lines = Vec::new();
    read(&[source], &Options { tail, since: None }, &mut |_, line| {
        lines.push((line.time.to_owned(), line.stream, line.ends, line.content.to_owned()));
        ControlFlow::Continue(())
    })
    .expect("it can be read");
    lines
}
