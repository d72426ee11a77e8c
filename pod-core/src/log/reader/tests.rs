use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::{SignedDuration, Timestamp};
use rustix::pipe::{PipeFlags, pipe_with};
use tempfile::TempDir;

use crate::log::*;

/// Returns a record with a time `seconds` after the epoch.
fn at(seconds: i64, stream: &str, tag: &str, content: &str) -> String {
    let time = record::stamp(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds));
    format!("{time} {stream} {tag} {content}\n")
}

fn put(dir: &Path, name: &str, records: &str) {
    std::fs::create_dir_all(dir).unwrap();
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join(name))
        .unwrap()
        .write_all(records.as_bytes())
        .unwrap();
}

fn source(dir: &Path, run: Run) -> Source {
    Source { name: dir.file_name().unwrap().to_str().unwrap().to_owned(), dir: dir.to_owned(), run }
}

/// Returns the lines as `kube logs` prints them.
fn text(sources: &[Source], options: &Options) -> String {
    let mut text = String::new();
    read(sources, options, &mut |source, line| {
        if line.begins && sources.len() > 1 {
            write!(text, "{}: ", source.name).unwrap();
        }
        text += &String::from_utf8_lossy(line.content);
        text += if line.ends { "\n" } else { "" };
        ControlFlow::Continue(())
    })
    .unwrap();
    text
}

fn tail(lines: u64) -> Options {
    Options { tail: Some(lines), since: None }
}

#[test]
fn rotated_files_are_read_oldest_first() {
    let dir = TempDir::new().unwrap();
    put(dir.path(), "0.log.2", &at(1, "stdout", "F", "one"));
    put(dir.path(), "0.log.1", &at(2, "stdout", "F", "two"));
    put(dir.path(), "0.log", &at(3, "stderr", "F", "three"));
    assert_eq!(text(&[source(dir.path(), Run::Latest)], &Options::default()), "one\ntwo\nthree\n");
}

#[test]
fn tail_counts_lines_across_files_and_parts() {
    let dir = TempDir::new().unwrap();
    put(
        dir.path(),
        "0.log.1",
        &(at(1, "stdout", "F", "one") + &at(2, "stdout", "F", "two") + &at(3, "stdout", "P", "th")),
    );
    put(dir.path(), "0.log", &(at(3, "stdout", "F", "ree") + &at(4, "stdout", "F", "four")));
    let log = [source(dir.path(), Run::Latest)];
    assert_eq!(text(&log, &tail(0)), "");
    assert_eq!(text(&log, &tail(1)), "four\n");
    assert_eq!(text(&log, &tail(2)), "three\nfour\n");
    assert_eq!(text(&log, &tail(3)), "two\nthree\nfour\n");
    assert_eq!(text(&log, &tail(4)), "one\ntwo\nthree\nfour\n");
    assert_eq!(text(&log, &tail(99)), "one\ntwo\nthree\nfour\n");
    put(dir.path(), "0.log", &at(5, "stdout", "P", "prompt> "));
    assert_eq!(text(&log, &tail(1)), "prompt> ");
    assert_eq!(text(&log, &tail(2)), "four\nprompt> ");
}

#[test]
fn tail_of_a_long_log_is_exact() {
    let dir = TempDir::new().unwrap();
    let mut records = String::new();
    for i in 0..5_000 {
        records += &at(i, "stdout", "F", &format!("{i} {}", "x".repeat(usize::try_from(i % 90).unwrap())));
    }
    put(dir.path(), "0.log", &records);
    for lines in [1, 2, 500, 801, 2_000, 4_999, 5_000] {
        let text = text(&[source(dir.path(), Run::Latest)], &tail(lines));
        assert_eq!(text.lines().count() as u64, lines);
        assert!(text.starts_with(&format!("{} ", 5_000 - lines)), "{lines}");
    }
}

#[test]
fn a_read_does_not_wait_for_what_is_written_meanwhile() {
    for (options, expected) in [
        (Options::default(), vec!["one", "two", "three"]),
        (tail(2), vec!["two", "three"]),
        (tail(9), vec!["one", "two", "three"]),
        (tail(0), vec![]),
    ] {
        let dir = TempDir::new().unwrap();
        put(dir.path(), "0.log.1", &at(1, "stdout", "F", "one"));
        put(dir.path(), "0.log", &(at(2, "stdout", "F", "two") + &at(3, "stdout", "F", "three")));
        let mut lines = Vec::new();
        read(&[source(dir.path(), Run::Latest)], &options, &mut |_, line| {
            // The container writes as fast as it is read, and is more than a block ahead.
            put(dir.path(), "0.log", &at(4, "stdout", "F", "late").repeat(3000));
            lines.push(String::from_utf8(line.content.to_vec()).unwrap());
            if lines.len() > 100 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        assert_eq!(lines, expected, "{options:?}");
    }
}

#[test]
fn since_leaves_out_what_is_older() {
    let dir = TempDir::new().unwrap();
    let records: String = (0..10).map(|i| at(i, "stdout", "F", &i.to_string())).collect();
    put(dir.path(), "0.log", &records);
    let since = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(7);
    let log = [source(dir.path(), Run::Latest)];
    assert_eq!(text(&log, &Options { tail: None, since: Some(since) }), "7\n8\n9\n");
    assert_eq!(text(&log, &Options { tail: Some(2), since: Some(since) }), "8\n9\n");
    assert_eq!(text(&log, &Options { tail: Some(5), since: Some(since) }), "7\n8\n9\n");
}

#[test]
fn the_chosen_run_is_read() {
    let dir = TempDir::new().unwrap();
    assert_eq!(text(&[source(dir.path(), Run::Latest)], &Options::default()), "");
    put(dir.path(), "9.log", &at(1, "stdout", "F", "nine"));
    assert_eq!(text(&[source(dir.path(), Run::Previous)], &Options::default()), "");
    put(dir.path(), "10.log", &at(2, "stdout", "F", "ten"));
    for (run, expected) in [
        (Run::Latest, "ten\n"),
        (Run::Previous, "nine\n"),
        (Run::Attempt(9), "nine\n"),
        (Run::Attempt(3), ""),
    ] {
        assert_eq!(text(&[source(dir.path(), run)], &Options::default()), expected);
    }
}

#[test]
fn garbage_and_torn_records_are_left_out() {
    let dir = TempDir::new().unwrap();
    let torn = at(2, "stdout", "F", "torn");
    put(dir.path(), "0.log.1", &(at(1, "stdout", "F", "one") + &torn[..torn.len() - 3]));
    put(
        dir.path(),
        "0.log",
        &("\0\0\0\0\n\nnonsense\n".to_owned() + &at(3, "stdout", "F", "two") + "2026-11-23T18"),
    );
    let log = [source(dir.path(), Run::Latest)];
    assert_eq!(text(&log, &Options::default()), "one\ntwo\n");
    assert_eq!(text(&log, &tail(1)), "two\n");
}

#[test]
fn an_endless_record_is_skipped_in_bounded_memory() {
    let dir = TempDir::new().unwrap();
    put(dir.path(), "0.log", &("x".repeat(5_000_000) + "\n" + &at(1, "stdout", "F", "after")));
    assert_eq!(text(&[source(dir.path(), Run::Latest)], &Options::default()), "after\n");
}

#[test]
fn several_containers_are_merged_by_time_and_lines_stay_whole() {
    let dir = TempDir::new().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    put(
        &a,
        "0.log",
        &(at(1, "stdout", "P", "on") + &at(4, "stdout", "F", "e") + &at(5, "stdout", "F", "three")),
    );
    put(&b, "3.log", &(at(2, "stdout", "F", "two") + &at(6, "stderr", "F", "four")));
    let log = [source(&a, Run::Latest), source(&b, Run::Latest)];
    assert_eq!(text(&log, &Options::default()), "a: one\nb: two\na: three\nb: four\n");
}

#[test]
fn follow_loses_nothing_across_rotation_and_restart() {
    const RUNS: u32 = 3;
    const LINES: u32 = 3_000;
    let dir = TempDir::new().unwrap();
    let (logs, run, state) =
        (dir.path().join("pods/u/logs/a"), dir.path().join("run"), dir.path().join("state"));
    std::fs::create_dir_all(&state).unwrap();
    let done = AtomicBool::new(false);
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for attempt in 0..RUNS {
                let limits = Limits { file_bytes: 8_000, files: 10_000 };
                let mut writer = Writer::open(&logs, attempt, limits, &run).unwrap();
                let (fifo, container) = pipe_with(PipeFlags::CLOEXEC).unwrap();
                for i in 0..LINES {
                    rustix::io::write(&container, format!("{attempt} {i}\n").as_bytes()).unwrap();
                    writer.pump(Stream::Stdout, fifo.as_fd(), Timestamp::now(), None);
                }
                writer.finish(Timestamp::now()).unwrap();
            }
            done.store(true, Ordering::SeqCst);
            std::fs::write(state.join("state.json"), "{}").unwrap();
        });
        let sources = [source(&logs, Run::Latest)];
        let mut ended = || done.load(Ordering::SeqCst);
        follow(&sources, &Options::default(), &[&state], &mut ended, &mut |_, line| {
            seen.push(String::from_utf8(line.content.to_vec()).unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    });
    // The log of the run before the previous one is removed while it may still be read.
    let last: Vec<_> = seen.iter().filter(|l| !l.starts_with("0 ")).cloned().collect();
    let expected: Vec<_> =
        (1..RUNS).flat_map(|attempt| (0..LINES).map(move |i| format!("{attempt} {i}"))).collect();
    assert_eq!(last, expected);
    assert_eq!(
        seen.iter().collect::<std::collections::HashSet<_>>().len(),
        seen.len(),
        "no line comes twice"
    );
}

#[test]
fn a_rotation_under_way_hides_no_file() {
    let of_file = |n: i64| at(n, "stdout", "F", &n.to_string());
    // Whichever file the rotation is about to move, its name or that of the newest file is free.
    for free in 0..4 {
        let dir = TempDir::new().unwrap();
        let names: Vec<_> = (0..5).filter(|n| *n != free).map(|n| file_name(0, n)).collect();
        for (n, name) in (0..).zip(names.iter().rev()) {
            put(dir.path(), name, &of_file(n));
        }
        let log = [source(dir.path(), Run::Latest)];
        assert_eq!(text(&log, &Options::default()), "0\n1\n2\n3\n", "{names:?}");
        // A follower that lags continues with the next file, not with the first below the gap.
        let mut cursor = cursor::Cursor::new(dir.path(), None, true).unwrap();
        for n in 0..4 {
            assert!(cursor.peek().unwrap());
            assert_eq!(cursor.line().unwrap().content, n.to_string().as_bytes(), "{names:?}");
            cursor.advance();
        }
    }
}

#[test]
fn follow_reads_half_a_record_when_it_is_whole() {
    let dir = TempDir::new().unwrap();
    let mut cursor = cursor::Cursor::new(dir.path(), None, true).unwrap();
    let record = at(1, "stdout", "F", "hello");
    let (half, rest) = record.split_at(20);
    put(dir.path(), "0.log", half);
    assert!(!cursor.peek().unwrap());
    // The writer removes the half record, then has space again.
    OpenOptions::new().write(true).open(dir.path().join("0.log")).unwrap().set_len(0).unwrap();
    assert!(!cursor.peek().unwrap());
    put(dir.path(), "0.log", half);
    assert!(!cursor.peek().unwrap());
    put(dir.path(), "0.log", rest);
    assert!(cursor.peek().unwrap());
    assert_eq!(cursor.line().unwrap().content, b"hello");
    cursor.advance();
    assert!(!cursor.peek().unwrap());
}

#[test]
fn follow_ends_when_the_reader_stops() {
    let dir = TempDir::new().unwrap();
    put(dir.path(), "0.log", &at(1, "stdout", "F", "one"));
    let sources = [source(dir.path(), Run::Latest)];
    let mut never = || false;
    follow(&sources, &Options::default(), &[], &mut never, &mut |_, _| ControlFlow::Break(())).unwrap();
}
