use std::fs::OpenOptions;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use proptest::prelude::*;
use rustix::pipe::{PipeFlags, pipe_with};
use tempfile::TempDir;

use crate::log::*;

/// Far more than any test needs, so that no file is removed by rotation.
const MANY: u32 = 100_000;

/// The two streams of a container, and the writer of its log.
struct Output {
    dir: TempDir,
    pipes: [(OwnedFd, OwnedFd); 2],
    writer: Option<Writer>,
    limits: Limits,
}

impl Output {
    fn new(file_bytes: u64) -> Self {
        let pipe = || pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let limits = Limits { file_bytes, files: MANY };
        let mut output = Self { dir: TempDir::new().unwrap(), pipes: [pipe(), pipe()], writer: None, limits };
        output.restart();
        output
    }

    fn logs(&self) -> PathBuf {
        self.dir.path().join("logs")
    }

    fn spool(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// Replaces the writer, as if it had been killed.
    fn restart(&mut self) {
        self.writer = None;
        self.writer = Some(Writer::open(&self.logs(), 0, self.limits, &self.spool()).unwrap());
    }

    /// Writes as the container. Bytes that its pipe cannot hold are pumped in between.
    fn write(&mut self, stream: Stream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match rustix::io::write(&self.pipes[stream as usize].1, bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(rustix::io::Errno::AGAIN) => self.pump(stream),
                Err(e) => panic!("{e}"),
            }
        }
    }

    fn pump(&mut self, stream: Stream) {
        let fifo = self.pipes[stream as usize].0.as_fd();
        while self.writer.as_mut().unwrap().pump(stream, fifo, now(), None) {}
    }

    fn finish(&mut self) {
        for stream in Stream::ALL {
            self.pump(stream);
        }
        self.writer.take().unwrap().finish(now()).unwrap();
    }

    fn lines(&self) -> Vec<(Stream, Vec<u8>, bool)> {
        lines(&self.logs(), Run::Attempt(0))
    }

    /// Returns what a stream contained according to the log.
    fn content(&self, of: Stream) -> Vec<u8> {
        let mut all = Vec::new();
        for (_, content, ends) in self.lines().into_iter().filter(|(stream, ..)| *stream == of) {
            all.extend(content);
            all.extend(ends.then_some(b'\n'));
        }
        all
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.logs()).unwrap().count()
    }
}

fn now() -> Timestamp {
    "2026-11-23T18:00:00.5Z".parse().unwrap()
}

fn lines(dir: &Path, run: Run) -> Vec<(Stream, Vec<u8>, bool)> {
    let source = Source { name: "a".to_owned(), dir: dir.to_owned(), run };
    let mut lines = Vec::new();
    read(&[source], &Options::default(), &mut |_, line| {
        lines.push((line.stream, line.content.to_vec(), line.ends));
        ControlFlow::Continue(())
    })
    .unwrap();
    lines
}

/// Generates the output of a container: lines of all sizes, the last one with or without a newline.
fn output() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..40),
        4 => Just(vec![b'\n']),
        1 => (16_380_usize..16_390).prop_map(|n| vec![b'x'; n]),
        1 => (30_000_usize..70_000).prop_map(|n| vec![b'y'; n]),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_chunking_rotation_and_death_gives_the_same_lines(
        out in output(),
        err in output(),
        cuts in prop::collection::vec((0_usize..20_000, any::<bool>(), 0_u8..8), 1..40),
        file_bytes in prop_oneof![Just(2_000_u64), Just(20_000), Just(1_000_000)],
    ) {
        let mut output = Output::new(file_bytes);
        let mut rest = [out.as_slice(), err.as_slice()];
        for (len, stdout, then) in cuts {
            let stream = if stdout { Stream::Stdout } else { Stream::Stderr };
            let (chunk, after) = rest[stream as usize].split_at(len.min(rest[stream as usize].len()));
            rest[stream as usize] = after;
            output.write(stream, chunk);
            match then {
                0 => output.restart(),
                1..4 => {}
                _ => output.pump(stream),
            }
        }
        for stream in Stream::ALL {
            output.write(stream, rest[stream as usize]);
        }
        output.finish();

        for (stream, whole) in [(Stream::Stdout, &out), (Stream::Stderr, &err)] {
            let mut records = Vec::new();
            record::push_all(&mut records, "2026-11-23T18:00:00.500000000Z", stream, whole, true);
            let mut expected: Vec<_> = records
                .split_inclusive(|b| *b == b'\n')
                .filter_map(|r| record::parse(&r[..r.len() - 1]))
                .map(|l| (stream, l.content.to_vec(), l.ends))
                .collect();
            // A line without a newline is complete on disk; its reader knows that no newline followed.
            if whole.last().is_some_and(|byte| *byte != b'\n') {
                let completes = expected.last_mut().unwrap();
                assert_eq!((completes.1.as_slice(), completes.2), (&[][..], true));
                completes.2 = false;
            }
            let seen: Vec<_> = output.lines().into_iter().filter(|(s, ..)| *s == stream).collect();
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(&output.content(stream), whole);
        }
    }

    #[test]
    fn a_writer_killed_within_a_write_leaves_no_gap_and_no_duplicate(
        batches in prop::collection::vec("([a-z]{0,30}\n){1,5}[a-z]{0,5}", 1..6),
        torn in 0_u64..400,
    ) {
        let mut output = Output::new(1_000_000);
        let mut before = 0;
        for batch in &batches {
            before = std::fs::metadata(output.logs().join("0.log")).unwrap().len();
            output.write(Stream::Stdout, batch.as_bytes());
            output.pump(Stream::Stdout);
        }
        // As if only the first bytes of the last batch had been written.
        let log = OpenOptions::new().write(true).open(output.logs().join("0.log")).unwrap();
        let size = log.metadata().unwrap().len();
        log.set_len(size.saturating_sub(torn).max(before)).unwrap();
        output.restart();
        output.finish();
        prop_assert_eq!(String::from_utf8(output.content(Stream::Stdout)).unwrap(), batches.concat());
    }
}

#[test]
fn no_line_of_stderr_comes_before_output_that_was_written_earlier() {
    const PAIRS: usize = 2000;
    let dir = TempDir::new().unwrap();
    let pipe = || pipe_with(PipeFlags::CLOEXEC).unwrap();
    let [(out, to_out), (err, to_err)] = [pipe(), pipe()];
    let container = std::thread::spawn(move || {
        for i in 0..PAIRS {
            rustix::io::write(&to_out, format!("{i}\n").as_bytes()).unwrap();
            rustix::io::write(&to_err, format!("{i}\n").as_bytes()).unwrap();
        }
    });
    let mut writer = Writer::open(dir.path(), 0, Limits::default(), &dir.path().join("run")).unwrap();
    let mut copies = <[Vec<u8>; 2]>::default();
    while !container.is_finished() {
        writer.pump_both([out.as_fd(), err.as_fd()], now(), Some(&mut copies));
    }
    container.join().unwrap();
    while writer.pump_both([out.as_fd(), err.as_fd()], now(), Some(&mut copies)) {}
    writer.finish(now()).unwrap();
    let lines = lines(dir.path(), Run::Attempt(0));
    assert_eq!(lines.len(), 2 * PAIRS);
    let mut written = 0;
    for (stream, content, _) in lines {
        let number: usize = String::from_utf8(content).unwrap().parse().unwrap();
        match stream {
            Stream::Stdout => written = number + 1,
            Stream::Stderr => assert!(number < written, "stderr {number} before stdout {number}"),
        }
    }
    let [out, err] = copies;
    assert_eq!(out, err);
}

#[test]
fn a_writer_killed_after_it_spooled_output_loses_nothing() {
    let mut output = Output::new(1_000_000);
    output.write(Stream::Stdout, b"one\n");
    output.pump(Stream::Stdout);
    // Only the step into the spool was done.
    let mut spool = OpenOptions::new().append(true).open(output.spool().join("0.stdout.spool")).unwrap();
    spool.write_all(b"two\nthr").unwrap();
    output.restart();
    output.write(Stream::Stdout, b"ee\n");
    output.finish();
    assert_eq!(output.content(Stream::Stdout), b"one\ntwo\nthree\n");
}

#[test]
fn a_writer_killed_while_it_empties_a_spool_continues_after_it() {
    let mut output = Output::new(1_000_000);
    output.write(Stream::Stdout, b"one\n");
    output.pump(Stream::Stdout);
    let spool = OpenOptions::new().write(true).open(output.spool().join("0.stdout.spool")).unwrap();
    spool.set_len(0).unwrap();
    output.restart();
    // The writer is killed again after it spooled output.
    let mut spool = OpenOptions::new().append(true).open(output.spool().join("0.stdout.spool")).unwrap();
    spool.write_all(b"two\nthree\n").unwrap();
    output.restart();
    output.finish();
    assert_eq!(output.content(Stream::Stdout), b"one\ntwo\nthree\n");
}

#[test]
fn spools_stay_small_and_are_removed_with_the_run() {
    let mut output = Output::new(100_000_000);
    let line = [b'x'; 99].into_iter().chain([b'\n']).collect::<Vec<_>>();
    for _ in 0..200 {
        output.write(Stream::Stdout, &line.repeat(50));
        output.write(Stream::Stdout, b"unfinished ");
        output.pump(Stream::Stdout);
    }
    let spool = std::fs::metadata(output.spool().join("0.stdout.spool")).unwrap();
    let used = std::os::unix::fs::MetadataExt::blocks(&spool) * 512;
    assert!(used < 512 * 1024, "{used} bytes of {} are in use", spool.len());
    output.finish();
    assert_eq!(std::fs::read_dir(output.spool()).unwrap().count(), 0);
}

#[test]
fn a_log_is_rotated_by_size_and_old_files_are_removed() {
    let mut output = Output::new(1_000);
    output.limits.files = 3;
    output.restart();
    for i in 0..100 {
        output.write(Stream::Stdout, format!("line {i:02}\n").as_bytes());
        output.pump(Stream::Stdout);
    }
    output.finish();
    let mut names: Vec<_> = std::fs::read_dir(output.logs())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["0.log", "0.log.1", "0.log.2"]);
    for name in names {
        assert!(std::fs::metadata(output.logs().join(name)).unwrap().len() <= 1_000);
    }
    let lines = output.lines();
    assert_eq!(lines.last().unwrap().1, b"line 99");
    assert!(lines.len() > 40 && lines.len() < 70, "{} lines are about two and a half files", lines.len());
}

#[test]
fn of_former_runs_the_last_one_keeps_its_log() {
    let dir = TempDir::new().unwrap();
    for attempt in 0..4 {
        Writer::open(dir.path(), attempt, Limits::default(), dir.path()).unwrap().finish(now()).unwrap();
    }
    assert_eq!(cursor::attempts(dir.path()).unwrap(), [2, 3]);
}

#[test]
fn a_full_disk_does_not_block_and_the_loss_is_reported() {
    ::tests::need_root!();
    // The thread has its own mount namespace, so no mount is left.
    std::thread::spawn(|| {
        use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
        use rustix::thread::{UnshareFlags, unshare_unsafe};
        let mut output = Output::new(1_000_000);
        // SAFETY: the thread was made for this and shares no assumption about its mounts with others.
        unsafe { unshare_unsafe(UnshareFlags::FS | UnshareFlags::NEWNS) }.unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        mount("tmpfs", output.logs(), "tmpfs", MountFlags::empty(), c"size=256k").unwrap();
        output.restart();
        let filler = output.logs().join("filler");
        std::fs::write(&filler, vec![0; 200 * 1024]).unwrap();
        let line = |i: usize| format!("{i:05} {}\n", "x".repeat(93));
        let mut written = 0;
        for _ in 0..40 {
            let burst: String = (written..written + 100).map(line).collect();
            written += 100;
            output.write(Stream::Stdout, burst.as_bytes());
            output.pump(Stream::Stdout);
        }
        std::fs::remove_file(filler).unwrap();
        output.write(Stream::Stdout, line(written).as_bytes());
        output.finish();
        let lines = output.lines();
        let marker = lines.iter().position(|(stream, ..)| *stream == Stream::Stderr).unwrap();
        let text = String::from_utf8(lines[marker].1.clone()).unwrap();
        assert_eq!(marker + 2, lines.len(), "the marker stands where the lines are missing");
        assert!(marker > 100, "what fits is written");
        let lost = text.strip_prefix("kube: ").and_then(|t| t.split_once(" lines")).unwrap().0;
        assert_eq!(lost.parse::<usize>().unwrap() + marker, written);
        assert!(text.ends_with("No space left on device (os error 28)"), "{text}");
        assert!(output.files() >= 1);
    })
    .join()
    .unwrap();
}

/// The variable that names the folder for the process that pumps.
const PUMP: &str = "KUBE_TEST_PUMP";

/// Moves everything that comes through the FIFO `out` in the folder `dir` into a log, until the process is killed.
fn pump_forever(dir: &Path) -> ! {
    let mut writer = Writer::open(&dir.join("logs"), 0, PUMP_LIMITS, &dir.join("run")).unwrap();
    let fifo = OpenOptions::new().read(true).write(true).open(dir.join("out")).unwrap();
    loop {
        let mut fds = [rustix::event::PollFd::new(&fifo, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, None).unwrap();
        writer.pump(Stream::Stdout, fifo.as_fd(), Timestamp::now(), None);
    }
}

/// Starts [`pump_forever`] as a separate process: the test below again, selected by the environment.
fn start_pump(dir: &Path) -> std::process::Child {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "log::writer::tests::killing_the_writer_at_any_moment_loses_tears_and_duplicates_nothing",
        ])
        .env(PUMP, dir)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

const PUMP_LIMITS: Limits = Limits { file_bytes: 300_000, files: MANY };

#[test]
fn killing_the_writer_at_any_moment_loses_tears_and_duplicates_nothing() {
    if let Some(dir) = std::env::var_os(PUMP) {
        pump_forever(Path::new(&dir));
    }
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("out");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    // The container holds its own output open.
    let mut out = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let container = scope.spawn(|| {
            let mut written = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let text = format!("{written} {}\n", "x".repeat(written % 97));
                // Some lines are written in two pieces.
                let (one, two) = text.split_at(if written % 3 == 0 { text.len() / 2 } else { 0 });
                out.write_all(one.as_bytes()).unwrap();
                out.write_all(two.as_bytes()).unwrap();
                written += 1;
            }
            written
        });
        for i in 0..25_u64 {
            let mut pump = start_pump(dir.path());
            // The exact moment does not matter.
            std::thread::sleep(std::time::Duration::from_micros(20_000 + i * i * 137 % 30_000));
            pump.kill().unwrap();
            pump.wait().unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        // The container may be waiting until its output is read.
        let mut pump = start_pump(dir.path());
        let written = container.join().unwrap();
        pump.kill().unwrap();
        pump.wait().unwrap();
        written
    });
    let mut writer = Writer::open(&dir.path().join("logs"), 0, PUMP_LIMITS, &dir.path().join("run")).unwrap();
    let fifo = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    while writer.pump(Stream::Stdout, fifo.as_fd(), now(), None) {}
    writer.finish(now()).unwrap();
    let lines = lines(&dir.path().join("logs"), Run::Latest);
    for (i, (_, content, ends)) in lines.iter().enumerate() {
        let expected = format!("{i} {}", "x".repeat(i % 97));
        assert_eq!((String::from_utf8_lossy(content).as_ref(), *ends), (expected.as_str(), true));
    }
    assert_eq!(lines.len(), written);
    assert!(written > 1_000, "only {written} lines");
}
