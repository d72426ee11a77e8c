//! Runs `kube`: to its end within a time limit, or in parallel with the test, which reads its output line by line.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The result of a command that has ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// Exit code, 128+n for signal n.
    pub code: i32,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
}

impl Output {
    /// Fails the test unless the exit code is `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code of {self}");
        self
    }

    /// Returns the lines of stdout.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    /// Returns stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {self}"))
    }

    /// Fails the test unless stdout contains `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "stdout lacks {text:?}: {self}");
        self
    }

    /// Fails the test unless stderr contains `text`.
    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "stderr lacks {text:?}: {self}");
        self
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, code, stdout, stderr } = self;
        write!(f, "`{command}` ended with {code}\n--- stdout\n{stdout}--- stderr\n{stderr}---")
    }
}

/// Runs a command to its end, with `input` on its stdin. If it takes longer than `limit`, kills it and fails the
/// test.
#[track_caller]
pub fn run(command: &mut Command, input: Option<&[u8]>, limit: Duration) -> Output {
    let line = describe(command);
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{line}: {e}"));
    let (send, receive) = channel();
    let pipes: [(usize, Box<dyn Read + Send>); 2] =
        [(0, Box::new(child.stdout.take().unwrap())), (1, Box::new(child.stderr.take().unwrap()))];
    for (which, mut pipe) in pipes {
        let send = send.clone();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes);
            let _ = send.send((which, String::from_utf8_lossy(&bytes).into_owned()));
        });
    }
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        let _ = stdin.write_all(input);
    }
    let deadline = Instant::now() + limit;
    let mut texts = [String::new(), String::new()];
    for _ in 0..2 {
        match receive.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok((which, text)) => texts[which] = text,
            Err(_) => {
                let ended = child.try_wait().unwrap();
                let _ = child.kill();
                let _ = child.wait();
                for (which, text) in receive.try_iter() {
                    texts[which] = text;
                }
                let what = match ended {
                    Some(_) => "ended, but something still holds its output open",
                    None => "did not end",
                };
                panic!("{line} {what} after {limit:?}\n--- stdout\n{}--- stderr\n{}", texts[0], texts[1]);
            }
        }
    }
    let code = code(child.wait().unwrap());
    let [stdout, stderr] = texts;
    Output { command: line, code, stdout, stderr }
}

fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// A command that runs in parallel with the test. It is killed when this value is dropped.
pub struct Running {
    child: Child,
    line: String,
    lines: Receiver<String>,
    seen: Vec<String>,
    /// Its stdin, until it is taken.
    pub stdin: Option<std::process::ChildStdin>,
}

impl Running {
    /// Starts a command, whose stdout and stderr are read as lines.
    pub fn start(command: &mut Command) -> Self {
        let line = describe(command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{line}: {e}"));
        let (send, lines) = channel();
        let pipes: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for pipe in pipes {
            let send = send.clone();
            thread::spawn(move || {
                for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                    if send.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let stdin = child.stdin.take();
        Self { child, line, lines, seen: Vec::new(), stdin }
    }

    /// Returns the process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Waits for a line for which `fits` is true, and returns it.
    #[track_caller]
    pub fn line(&mut self, fits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + crate::limit(60);
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if fits(&line) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("`{}` did not say it in time; it said {:#?}", self.line, self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("`{}` ended without saying it; it said {:#?}", self.line, self.seen)
                }
            }
        }
    }

    /// Waits until each of `fits` was true for a line. The lines may come in any order.
    #[track_caller]
    pub fn each_line(&mut self, fits: &[&dyn Fn(&str) -> bool]) {
        let mut left = fits.to_vec();
        while !left.is_empty() {
            let line = self.line(|line| left.iter().any(|fits| fits(line)));
            left.retain(|fits| !fits(&line));
        }
    }

    /// Returns whether a line for which `fits` is true comes within a moment. For output whose beginning cannot be
    /// awaited.
    ///
    /// Fails the test if the command has ended.
    #[track_caller]
    pub fn has_line(&mut self, fits: impl Fn(&str) -> bool) -> bool {
        loop {
            match self.lines.recv_timeout(Duration::from_millis(300)) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if fits(&line) {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("`{}` ended without saying it; it said {:#?}", self.line, self.seen)
                }
            }
        }
    }

    /// Waits until the command has ended, and returns its exit code and every line of its output.
    #[track_caller]
    pub fn end(mut self) -> (i32, Vec<String>) {
        drop(self.stdin.take());
        let deadline = Instant::now() + crate::limit(60);
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("`{}` did not end; it said {:#?}", self.line, self.seen)
                }
            }
        }
        (code(self.child.wait().unwrap()), std::mem::take(&mut self.seen))
    }

    /// Waits until a process of `kube` has written its pid to `mark` and halted itself (`KUBE_FAIL_POINT`), and
    /// returns that process. Returns `None` if this command ends first.
    #[track_caller]
    pub fn until_halted(&self, mark: &std::path::Path) -> Option<crate::Process> {
        let deadline = Instant::now() + crate::limit(60);
        let this = crate::Process { pid: self.pid(), command: String::new(), cgroup: String::new() };
        loop {
            // This is checked before the mark is read, because a command that has ended has written its mark already.
            let ended = this.ends_within(Duration::from_millis(1));
            let pid = std::fs::read_to_string(mark).unwrap_or_default();
            if let Some(halted) =
                pid.strip_suffix('\n').and_then(|pid| crate::Process::of(pid.parse().unwrap()))
                && halted.status("State").starts_with('T')
            {
                return Some(halted);
            }
            if ended && pid.is_empty() {
                return None;
            }
            assert!(Instant::now() < deadline, "`{}` neither ended nor halted", self.line);
        }
    }

    /// Sends a signal to the command.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
