//! Fuzzing of logs.

// A panic is how it reports.
#![allow(clippy::expect_used, clippy::missing_panics_doc)]

use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp;

use super::record::{self, MAX_CONTENT};
use super::{Options, Run, Source, Stream, read};

/// A line as `kube logs` gives it: time, stream, whether it ends, content.
type Told = (String, Stream, bool, Vec<u8>);

/// Any bytes as a log, torn or not: it is read to its end, and its tail is the end of it. Any bytes as the output
/// of a container: its records give back what it wrote, none longer than a record may be.
pub fn cri_log(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a folder");
    // What follows a NUL is in the newer file.
    let (old, new) = match data.iter().position(|byte| *byte == 0) {
        Some(at) => data.split_at(at),
        None => (&[][..], data),
    };
    std::fs::write(dir.path().join("0.log.1"), old).expect("a file");
    std::fs::write(dir.path().join("0.log"), new.strip_prefix(b"\0").unwrap_or(new)).expect("a file");
    let all = lines(dir.path(), None);
    for count in [0, 1, 2, 7] {
        let tail = lines(dir.path(), Some(count));
        // Whether an empty record ends a line or completes one depends on the record before it.
        let same = |told: &[Told]| -> Vec<Told> {
            let empty_ends = |(time, stream, ends, content): &Told| {
                (time.clone(), *stream, *ends || content.is_empty(), content.clone())
            };
            told.iter().map(empty_ends).collect()
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
            let line = record::parse(one).expect("what was written is a record");
            assert!(line.content.len() <= MAX_CONTENT && line.stream == Stream::Stderr);
            given.extend_from_slice(line.content);
            let completes = open && line.content.is_empty();
            given.extend((line.ends && !completes).then_some(b'\n'));
            open = !line.ends;
        }
        assert!(!last || !open, "a collector of logs waits for the rest of a line");
        assert_eq!(data.get(..taken).unwrap_or_default(), given, "records give back what was written");
    }
}

fn lines(dir: &Path, tail: Option<u64>) -> Vec<Told> {
    let source = Source { name: "main".to_owned(), dir: dir.to_owned(), run: Run::Latest };
    let mut lines = Vec::new();
    read(&[source], &Options { tail, since: None }, &mut |_, line| {
        lines.push((line.time.to_owned(), line.stream, line.ends, line.content.to_owned()));
        ControlFlow::Continue(())
    })
    .expect("it can be read");
    lines
}
