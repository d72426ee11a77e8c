//! The process of the name server: how it is started, told of changes and ended. At each change its files are written
//! again, from the endpoints that are set up and the names of Services.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use base::file::{Durability, FileLock, LockKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::Serialize;

use super::config::{ENDPOINTS, Endpoints, SERVICES, Services};
use super::control::{self, Reply};
use super::server::{self, Server};
use super::{DNS_PORT, NAME_SERVER};
use crate::active::ActiveEndpoint;
use crate::names::Names;
use crate::record;
use crate::{Error, Networks};

/// The ports on which the name server listens if the host's own has port 53 of every address. The network's rules then
/// redirect port 53.
const OTHER_DNS_PORTS: std::ops::Range<u16> = 5300..5350;

/// How long to wait for an address that was just added.
const USABLE_WITHIN: Duration = Duration::from_secs(2);

/// The file with the pid of the name server.
const PID: &str = "pid";

/// The lock that a name server holds as long as it lives, so that there is only one.
const LOCK: &str = "lock";

/// What a name server writes to its starter once it listens.
const READY: &[u8] = b"ready";

/// What it writes if another one runs.
const BUSY: &[u8] = b"busy";

/// How often a name server is started if another one, whose starter was killed, gets ahead of it.
const ATTEMPTS: usize = 3;

/// The name server of earlier builds: the first argument of its process, and the name of its folder.
const FORMER: &str = "aardvark-dns";

impl Networks {
    /// Returns the folder of the name server: the files that it reads, its pid, and its control socket.
    fn dns_dir(&self) -> PathBuf {
        self.run_dir.join(NAME_SERVER)
    }

    /// Updates the name server to all endpoints that are set up: writes its file, and starts, tells or ends it. Once
    /// this returns, it knows them. The caller holds the instance's lock.
    pub(crate) fn update_dns(&self, up: &[ActiveEndpoint]) -> Result<(), Error> {
        let dir = self.dns_dir();
        let wanted = Endpoints::of(up);
        let is_needed = !wanted.networks.is_empty();
        replace(&dir.join(ENDPOINTS), is_needed.then_some(&wanted))?;
        base::fail_point!(Worker, "names-written");
        match self.running_dns() {
            Some(process) if !is_needed => {
                let _ = pidfd_send_signal(&process, Signal::TERM);
                wait_for_end(&process);
            }
            Some(_) => {
                let told = self.tell_dns()?;
                base::fail_point!(Worker, "name-server-told");
                if !told {
                    self.start_dns(&dir)?;
                }
            }
            None if is_needed => self.start_dns(&dir)?,
            None => {}
        }
        if !is_needed {
            forget(&dir)?;
        }
        Ok(())
    }

    /// Makes the name server know exactly these names beside those of endpoints. A name of a Service has precedence over
    /// the same name of an endpoint. PTR answers follow from the addresses. The names are kept until the next call, also
    /// while no name server runs.
    pub fn set_names(&self, names: &Names) -> Result<(), Error> {
        let path = self.dns_dir().join(SERVICES);
        if names.is_empty() && !path.exists() {
            return Ok(());
        }
        let wanted = match names.is_empty() {
            false => Some(Services { ranges: self.service_ranges()?, names: names.clone() }),
            true => None,
        };
        {
            // Two writers would use the same temporary file.
            let _names = FileLock::acquire(&self.run_dir.join("names.lock"), LockKind::Exclusive)?;
            replace(&path, wanted.as_ref())?;
        }
        // A name server that is just starting reads the file later.
        self.tell_dns().map(|_| ())
    }

    /// Makes the name server read its files. Returns false if there is none.
    pub(crate) fn tell_dns(&self) -> Result<bool, Error> {
        match control::reload(&self.dns_dir()) {
            Ok(Reply::Done) => Ok(true),
            Ok(Reply::Problem(problem)) => Err(Error::Dns(problem)),
            Ok(Reply::Gone) => Ok(false),
            Err(e) => {
                tracing::warn!(error = %e, "the name server of the pods does not reply");
                Ok(true)
            }
        }
    }

    /// Starts the name server again if it was killed while endpoints are set up. Returns whether it was started. Fast if
    /// nothing has to be done.
    pub fn repair_dns(&self) -> Result<bool, Error> {
        if self.running_dns().is_some() || self.active_endpoints()?.is_empty() {
            return Ok(false);
        }
        let _instance = self.lock()?;
        let up = self.active_endpoints()?;
        let lost = self.running_dns().is_none() && !up.is_empty();
        self.update_dns(&up)?;
        Ok(lost)
    }

    /// Returns the name server of this instance if it runs, and never another process that got its pid.
    fn running_dns(&self) -> Option<OwnedFd> {
        let dir = self.dns_dir();
        let pid = fs::read_to_string(dir.join(PID)).ok()?.trim().parse().ok()?;
        open_if_serving(pid, NAME_SERVER, &dir)
    }

    /// Ends name servers of this instance that the pid file does not name, because they would keep the port: one whose
    /// starter was killed before another replaced the file, or that of an earlier build.
    fn end_unknown_servers(&self) {
        let former = self.run_dir.join(FORMER);
        let kinds = [(NAME_SERVER, self.dns_dir()), (FORMER, former.clone())];
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            for (argument, dir) in &kinds {
                if let Some(process) = open_if_serving(pid, argument, dir) {
                    let _ = pidfd_send_signal(&process, Signal::KILL);
                    wait_for_end(&process);
                }
            }
        }
        let _ = fs::remove_dir_all(former);
    }

    fn dns_port_path(&self) -> PathBuf {
        self.run_dir.join("dns-port.json")
    }

    /// Returns the port on which this instance's name server listens.
    pub(crate) fn dns_port(&self) -> u16 {
        record::or_none(record::read(&self.dns_port_path())).unwrap_or(DNS_PORT)
    }

    /// Chooses the port on which the name server will listen, before any endpoint is set up.
    pub(crate) fn choose_dns_port(&self) -> Result<u16, Error> {
        if self.running_dns().is_some() {
            return Ok(self.dns_port());
        }
        let port = [DNS_PORT].into_iter().chain(OTHER_DNS_PORTS).find(|port| is_free_on_new_addresses(*port));
        let port = port.unwrap_or(DNS_PORT);
        if port != DNS_PORT {
            tracing::info!(
                port,
                "a name server of this host has port 53 of every address: ours uses another"
            );
        }
        record::write(&self.dns_port_path(), &port, Durability::Process)?;
        Ok(port)
    }

    fn start_dns(&self, dir: &Path) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            self.end_unknown_servers();
            let output = self.start_once(dir)?;
            if output.stdout == READY {
                base::fail_point!(Worker, "name-server-started");
                return Ok(());
            }
            if output.stdout != BUSY {
                let said = String::from_utf8_lossy(&output.stderr);
                let said = said.trim();
                return Err(Error::Dns(if said.is_empty() {
                    "it ended at once".to_owned()
                } else {
                    said.to_owned()
                }));
            }
        }
        Err(Error::Dns("another one runs".to_owned()))
    }

    /// Starts a name server, and returns what it has written once it listens or has ended.
    fn start_once(&self, dir: &Path) -> Result<Output, Error> {
        // It outlives this process and needs nothing else of its environment. It resets what else it inherits itself.
        let passed_on =
            [base::fail_point::FAIL_POINT, base::fail_point::TRACE, "PATH", "KUBE_PLAY_CGROUP_DRIVER"];
        let passed_on = passed_on.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut command = Command::new(&self.exe);
        command
            .env_clear()
            .envs(passed_on)
            .arg(NAME_SERVER)
            .arg("--config")
            .arg(dir)
            .args(["--port", &self.dns_port().to_string()])
            .current_dir("/")
            .stdin(Stdio::null());
        // SAFETY: only async-signal-safe calls between fork and exec: setsid, fork, _exit.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                // The name server is not a child of this process, which would have to wait for its end.
                match libc::fork() {
                    0 => Ok(()),
                    pid if pid > 0 => libc::_exit(0),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        // Both pipes end when the name server listens, because it closes them, and when it fails.
        command.output().map_err(|e| Error::Dns(format!("cannot run {}: {e}", self.exe.display())))
    }
}

/// Removes the files of a name server that has ended.
fn forget(dir: &Path) -> Result<(), Error> {
    [PID, control::SOCKET, LOCK].iter().try_for_each(|file| record::remove(&dir.join(file)))
}

/// Makes a file have this content; `None` is no file. A file that has it already is not written.
fn replace<T: Serialize>(path: &Path, wanted: Option<&T>) -> Result<(), Error> {
    let Some(wanted) = wanted else { return record::remove(path) };
    let bytes =
        serde_json::to_vec(wanted).map_err(|source| Error::Damaged { path: path.to_owned(), source })?;
    if fs::read(path).is_ok_and(|before| before == bytes) {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        base::file::create_private_dir_all(dir).map_err(Error::io("create", dir))?;
    }
    record::write_bytes(path, &bytes, Durability::Process)
}

/// Returns whether no process listens on a port of all present and future addresses. A name server that does (such as
/// dnsmasq or named) has the bridge's address too, as soon as the bridge exists.
fn is_free_on_new_addresses(port: u16) -> bool {
    // An unused address of the loopback, different for each process that tries at the same time.
    let [.., a, b] = std::process::id().to_be_bytes();
    let address = (std::net::Ipv4Addr::new(127, 113, a, b), port);
    let in_use = |e: std::io::Error| e.kind() == ErrorKind::AddrInUse;
    let udp = UdpSocket::bind(address).is_err_and(in_use);
    let tcp = std::net::TcpListener::bind(address).is_err_and(in_use);
    !udp && !tcp
}

/// Returns a pidfd of process `pid` if it is a name server that reads `dir`.
fn open_if_serving(pid: i32, argument: &str, dir: &Path) -> Option<OwnedFd> {
    // Nearly all processes are others, for which no descriptor is needed.
    if !serves(pid, argument, dir) {
        return None;
    }
    let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // Read again after the pidfd was opened: the pidfd is that of this process or of one that has ended.
    (serves(pid, argument, dir) && !is_zombie(pid)).then_some(process)
}

fn serves(pid: i32, argument: &str, dir: &Path) -> bool {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut arguments = arguments.split(|byte| *byte == 0).skip(1);
    arguments.next() == Some(argument.as_bytes())
        && arguments.any(|argument| argument == dir.as_os_str().as_encoded_bytes())
}

fn is_zombie(pid: i32) -> bool {
    // proc_pid_stat(5): the state follows the name, which is in parentheses and may contain any byte.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

/// Waits for the end of a name server that was asked to end. A name server that hangs is killed, because it would keep
/// its sockets on addresses that are about to be removed.
fn wait_for_end(process: &OwnedFd) {
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    if let Ok(0) = poll(&mut fds, Some(&Timespec { tv_sec: 2, tv_nsec: 0 })) {
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
}

/// Waits until a process can listen on an address that was just added to a bridge. The kernel treats an IPv6 address as
/// tentative until one of its own threads has examined it, even if duplicate detection is off.
pub(crate) fn wait_for_address(ip: IpAddr) {
    let since = Instant::now();
    while since.elapsed() < USABLE_WITHIN {
        match UdpSocket::bind((ip, 0)) {
            Err(e) if e.kind() == ErrorKind::AddrNotAvailable => std::thread::sleep(Duration::from_millis(1)),
            // Any other error is reported better by the name server.
            _ => return,
        }
    }
}

/// The main function of the name server, run as `kube name-server --config DIR --port PORT`; `args` are the arguments
/// after `kube name-server`. Serves until the process is killed.
pub fn name_server_main(args: Vec<String>) -> i32 {
    let mut config = None;
    let mut port = DNS_PORT;
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--config" => config = args.next(),
            "--port" => port = args.next().and_then(|p| p.parse().ok()).unwrap_or(port),
            _ => {}
        }
    }
    let Some(config) = config else {
        eprintln!("name-server: --config DIR is missing");
        return 2;
    };
    // Inherited descriptors other than stdio would stay open for as long as the server lives.
    // SAFETY: nothing of this process uses a descriptor above 2 yet.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    base::fail_point!(Worker, "name-server-begins");
    match serve(Path::new(&config), port) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("{e}");
            1
        }
    }
}

/// Serves until the process is killed. Returns if another name server runs, or if there is nobody to serve: then the
/// starter was killed and everything was taken down meanwhile.
fn serve(dir: &Path, port: u16) -> Result<(), server::Error> {
    let path = dir.join(LOCK);
    let Some(_lock) = FileLock::try_acquire(&path, LockKind::Exclusive).map_err(Error::from)? else {
        std::io::stdout().write_all(BUSY)?;
        return Ok(std::io::stdout().flush()?);
    };
    let mut server = Server::start(dir, port)?;
    if !server.has_networks() {
        return Ok(forget(dir)?);
    }
    base::fail_point!(Worker, "name-server-listens");
    record::write_bytes(&dir.join(PID), std::process::id().to_string().as_bytes(), Durability::Process)?;
    std::io::stdout().write_all(READY)?;
    std::io::stdout().flush()?;
    let null = fs::File::options().read(true).write(true).open("/dev/null")?;
    for fd in [rustix::stdio::dup2_stdout, rustix::stdio::dup2_stderr] {
        fd(&null).map_err(std::io::Error::from)?;
    }
    Err(server.run())
}
