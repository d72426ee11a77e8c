//! The process of the proxy: started detached, followed by its report, ended by removing its routes.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ::ingress::{INGRESS_PROXY, LOCK_FILE, READY_VARIABLE, Routes, STATUS_FILE, Status};
use base::file::{
    FileLock, LockKind, create_private_dir_all, read_json, remove_file_if_exists, write_json_volatile,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::runtime::cgroup;
use crate::store::{self, Layout, damage};

/// How long a proxy may take to start.
const STARTED_WITHIN: Duration = Duration::from_secs(10);
/// How long a proxy may take to serve other routes.
const CHANGED_WITHIN: Duration = Duration::from_secs(2);
/// How much longer a proxy may take to end than the requests that it finishes.
const END_GRACE: Duration = Duration::from_secs(2);

/// The variables that the proxy keeps of its starter's environment.
const PASSED_ON: [&str; 4] =
    [base::fail_point::FAIL_POINT, base::fail_point::TRACE, cgroup::DRIVER_VARIABLE, "PATH"];

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of the store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The process cannot be started.
    #[error("cannot start the Ingress proxy: {0}")]
    Spawn(#[source] std::io::Error),
    /// The process ended or hung before it served.
    #[error("the Ingress proxy did not start: see {}", log.display())]
    NotStarted {
        /// Its log.
        log: PathBuf,
    },
    /// The process does not follow its routes.
    #[error(
        "the Ingress proxy (pid {pid}) does not serve the new routes: `kill -9 {pid}`, and the next command starts another one"
    )]
    Stuck {
        /// The process.
        pid: u32,
    },
}

impl From<base::file::Error> for Error {
    fn from(error: base::file::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The files of the proxy.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    pub fn new(layout: &Layout) -> Self {
        Self { dir: layout.ingress_run() }
    }

    /// Returns whether there may be a proxy, or the rest of one.
    pub fn exist(&self) -> bool {
        self.dir.exists()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn routes_path(&self) -> PathBuf {
        self.path("routes.json")
    }

    /// Reads the routes that were written last.
    pub fn routes(&self) -> Option<Routes> {
        damage::or_none(read_json(&self.routes_path()))
    }

    /// Writes routes, which a running proxy follows at once.
    pub fn write_routes(&self, routes: &Routes) -> Result<(), Error> {
        create_private_dir_all(&self.dir).map_err(store::Error::io("create", &self.dir))?;
        let path = self.routes_path();
        // A folder in place of a file is damage, which a file replaces.
        if path.is_dir() {
            base::file::remove_dir_if_exists(&path)?;
        }
        write_json_volatile(&path, routes)?;
        base::fail_point!(Worker, "ingress-routes-written");
        Ok(())
    }

    /// Reads what the proxy has reported last.
    pub fn status(&self) -> Option<Status> {
        damage::or_none(read_json(&self.path(STATUS_FILE)))
    }

    /// Returns the proxy with its last report, if it runs, and never another process that got its pid.
    pub fn running(&self) -> Option<(OwnedFd, Status)> {
        let status = self.status()?;
        let process = open_if_serving(i32::try_from(status.pid).ok()?, &self.routes_path())?;
        Some((process, status))
    }

    /// Makes a proxy serve the routes of a generation, which are written: one that runs, or a new one. Returns its report.
    pub fn serve(&self, exe: &Path, generation: u64) -> Result<Status, Error> {
        if let Some((process, _)) = self.running() {
            match self.await_generation(&process, generation) {
                Some(status) => return Ok(status),
                None if !has_ended(&process) => {
                    let pid = self.status().map_or(0, |status| status.pid);
                    return Err(Error::Stuck { pid });
                }
                None => {}
            }
        }
        self.start(exe)?;
        let not_started = || Error::NotStarted { log: self.path("log") };
        let (process, _) = self.running().ok_or_else(not_started)?;
        self.await_generation(&process, generation).ok_or_else(not_started)
    }

    /// Waits until the proxy has reported a generation. The file is read again and again, because a notification of its
    /// change would cost more.
    fn await_generation(&self, process: &OwnedFd, generation: u64) -> Option<Status> {
        let since = Instant::now();
        loop {
            if let Some(status) = self.status().filter(|status| status.generation == generation) {
                return Some(status);
            }
            if since.elapsed() > CHANGED_WITHIN || has_ended(process) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Starts a proxy. Returns once it serves, or has ended.
    fn start(&self, exe: &Path) -> Result<(), Error> {
        self.end_unknown();
        remove_file_if_exists(&self.path(STATUS_FILE))?;
        let log_path = self.path("log");
        let log = File::options().create(true).append(true).open(&log_path);
        let log = log.map_err(store::Error::io("open", &log_path))?;
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| Error::Spawn(e.into()))?;
        let ready = write.as_fd().as_raw_fd();
        let passed_on = PASSED_ON.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut command = Command::new(exe);
        command
            .env_clear()
            .envs(passed_on)
            .env(READY_VARIABLE, ready.to_string())
            .arg(INGRESS_PROXY)
            .arg("--config")
            .arg(self.routes_path())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone().map_err(Error::Spawn)?))
            .stderr(Stdio::from(log));
        // SAFETY: only async-signal-safe calls between fork and exec: setsid, fcntl, fork, _exit.
        unsafe {
            command.pre_exec(move || {
                if libc::setsid() < 0 || libc::fcntl(ready, libc::F_SETFD, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                // After the second fork init is the proxy's parent, so that the proxy outlives its starter and does not
                // become a zombie of it.
                match libc::fork() {
                    0 => Ok(()),
                    pid if pid > 0 => libc::_exit(0),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let mut child = command.spawn().map_err(Error::Spawn)?;
        drop(write);
        let _ = child.wait();
        base::fail_point!(Worker, "ingress-proxy-started");
        if wait(&read, STARTED_WITHIN) {
            let mut word = [0; 8];
            let _ = File::from(read).read(&mut word);
        }
        Ok(())
    }

    /// Kills proxies of this instance that hold the lock and have not reported: the starter of such a one was killed.
    fn end_unknown(&self) {
        let lock = FileLock::try_acquire(&self.path(LOCK_FILE), LockKind::Exclusive);
        if damage::or_none(lock.map_err(store::Error::from)).is_some() {
            return;
        }
        for process in self.all() {
            kill(&process);
        }
    }

    /// Returns all proxies of this instance, those that finish their last requests too.
    fn all(&self) -> Vec<OwnedFd> {
        let path = self.routes_path();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid| open_if_serving(pid, &path)).collect()
    }

    /// Ends the proxy: it closes its ports, and its process ends once its requests are served.
    pub fn end(&self) -> Result<(), Error> {
        let running = self.running();
        let drain = self.routes().unwrap_or_default().options.drain_seconds;
        remove_file_if_exists(&self.routes_path())?;
        base::fail_point!(Worker, "ingress-routes-removed");
        match running {
            Some((process, _)) => {
                if !wait(&process, Duration::from_secs(drain) + END_GRACE) {
                    kill(&process);
                }
            }
            None => self.end_unknown(),
        }
        base::fail_point!(Worker, "ingress-proxy-ended");
        base::file::remove_dir_if_exists(&self.dir)?;
        Ok(())
    }
}

/// Returns a pidfd of process `pid` if it is a proxy that serves `routes`.
fn open_if_serving(pid: i32, routes: &Path) -> Option<OwnedFd> {
    let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // Read after the pidfd was opened: the pidfd is that of this process or of one that has ended.
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut arguments = arguments.split(|byte| *byte == 0).skip(1);
    let serves = arguments.next() == Some(INGRESS_PROXY.as_bytes())
        && arguments.any(|argument| argument == routes.as_os_str().as_encoded_bytes());
    (serves && !has_ended(&process)).then_some(process)
}

fn has_ended(process: &OwnedFd) -> bool {
    wait(process, Duration::ZERO)
}

/// Waits until a descriptor is readable; a pidfd is when its process has ended. Returns false after `limit`.
fn wait(fd: &OwnedFd, limit: Duration) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let limit = Timespec { tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
    !matches!(poll(&mut fds, Some(&limit)), Ok(0))
}

fn kill(process: &OwnedFd) {
    let _ = pidfd_send_signal(process, Signal::KILL);
    wait(process, END_GRACE);
}
