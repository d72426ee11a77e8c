//! The names of endpoints. They are served by aardvark-dns, which runs from our own executable, in one process per
//! instance. At each change all of its files are written again, from the endpoints that are set up.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base::file::Durability;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::active::ActiveEndpoint;
use crate::record;
use crate::{Error, Networks};

/// The first argument that makes our executable the name server.
pub const AARDVARK_DNS: &str = "aardvark-dns";

/// The domain that only aardvark-dns answers for: names below it are never sent to the host's name servers. The domain
/// is removed before a name is looked up, so `web.cluster.local` is `web`.
pub const CLUSTER_DOMAIN: &str = "cluster.local";

/// The port that resolvers ask (RFC 1035, section 4.2), and on which aardvark-dns listens on a bridge if it can.
pub(crate) const DNS_PORT: u16 = 53;

/// The ports on which aardvark-dns listens if the host's own name server has port 53 of every address. The network's
/// rules then redirect port 53.
const OTHER_DNS_PORTS: std::ops::Range<u16> = 5300..5350;

/// How long to wait for an address that was just added.
const USABLE_WITHIN: Duration = Duration::from_secs(2);

/// How long to wait for a name that was just registered.
const REGISTERED_WITHIN: Duration = Duration::from_millis(500);

impl Networks {
    /// Returns the folder of aardvark-dns' configuration: one file per network, and its pid.
    fn dns_dir(&self) -> PathBuf {
        self.run_dir.join(AARDVARK_DNS)
    }

    /// Updates aardvark-dns to all endpoints that are set up: writes its files, and starts, notifies or ends it. The
    /// caller holds the instance's lock.
    pub(crate) fn update_dns(&self, up: &[ActiveEndpoint]) -> Result<(), Error> {
        let dir = self.dns_dir();
        let wanted = files(up);
        let running = self.running_dns();
        let changed = write_files(&dir, &self.run_dir.join(".aardvark-dns.tmp"), &wanted)?;
        base::fail_point!(Worker, "names-written");
        match (running, wanted.is_empty()) {
            (None, true) => {
                let _ = fs::remove_file(dir.join("aardvark.pid"));
                Ok(())
            }
            (None, false) => self.start_dns(&dir),
            (Some(_), false) if !changed => Ok(()),
            // Without files aardvark-dns ends by itself.
            (Some(process), empty) => {
                let _ = pidfd_send_signal(&process, Signal::HUP);
                base::fail_point!(Worker, "name-server-told");
                if empty {
                    wait_for_end(&process);
                }
                Ok(())
            }
        }
    }

    /// Starts aardvark-dns again if it was killed while endpoints are set up. Returns whether it was started. Fast if
    /// nothing has to be done.
    pub fn repair_dns(&self) -> Result<bool, Error> {
        if self.running_dns().is_some() || self.active_endpoints()?.is_empty() {
            return Ok(false);
        }
        let _instance = self.lock()?;
        let up = self.active_endpoints()?;
        let lost = self.running_dns().is_none() && !files(&up).is_empty();
        self.update_dns(&up)?;
        Ok(lost)
    }

    /// Makes the name server read again which name servers the host uses.
    pub(crate) fn reread_resolvers(&self) {
        if let Some(process) = self.running_dns() {
            let _ = pidfd_send_signal(&process, Signal::HUP);
        }
    }

    /// Returns the aardvark-dns of this instance if it runs, and never another process that got its pid.
    fn running_dns(&self) -> Option<OwnedFd> {
        let dir = self.dns_dir();
        let pid = fs::read_to_string(dir.join("aardvark.pid")).ok()?.trim().parse().ok()?;
        open_if_serving(pid, &dir)
    }

    /// Ends name servers of this instance that the pid file does not name. The starter of such a one was killed, and
    /// another name server then replaced the file. They would keep the port.
    fn end_unknown_servers(&self) {
        let dir = self.dns_dir();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            if let Some(process) = open_if_serving(pid, &dir) {
                let _ = pidfd_send_signal(&process, Signal::KILL);
                wait_for_end(&process);
            }
        }
    }

    fn dns_port_path(&self) -> PathBuf {
        self.run_dir.join("dns-port.json")
    }

    /// Returns the port on which this instance's aardvark-dns listens.
    pub(crate) fn dns_port(&self) -> u16 {
        record::or_none(record::read(&self.dns_port_path())).unwrap_or(DNS_PORT)
    }

    /// Chooses the port on which aardvark-dns will listen, before any endpoint is set up.
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
        self.end_unknown_servers();
        // aardvark-dns outlives this process and needs nothing else of its environment. It resets what else it inherits
        // itself.
        let passed_on =
            [base::fail_point::FAIL_POINT, base::fail_point::TRACE, "PATH", "KUBE_PLAY_CGROUP_DRIVER"];
        let passed_on = passed_on.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let output = Command::new(&self.exe)
            .env_clear()
            .envs(passed_on)
            .arg(AARDVARK_DNS)
            .arg("--config")
            .arg(dir)
            .args(["--port", &self.dns_port().to_string(), "run"])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()
            .map_err(|e| Error::Dns(format!("cannot run {}: {e}", self.exe.display())))?;
        if output.status.success() {
            base::fail_point!(Worker, "name-server-started");
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        Err(Error::Dns(if said.is_empty() { output.status.to_string() } else { said.to_owned() }))
    }
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

/// Returns the files that aardvark-dns reads: for each network the gateways, then one line per endpoint (`id v4 v6
/// names`). A file name that ends in `%int` is an internal network, whose endpoints get no outside names.
fn files(up: &[ActiveEndpoint]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for endpoint in up.iter().map(|up| &up.lease).filter(|lease| !lease.names.is_empty()) {
        for interface in &endpoint.interfaces {
            let network = &interface.network;
            let name = if network.internal { format!("{}%int", network.name) } else { network.name.clone() };
            let file: &mut String = files.entry(name).or_insert_with(|| {
                let gateways: Vec<IpAddr> = network.subnets.iter().map(|s| s.gateway).collect();
                join(&gateways) + "\n"
            });
            let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = interface.ips.iter().partition(|ip| ip.is_ipv4());
            let names = endpoint.names.join(",");
            let _ = writeln!(file, "{} {} {} {names}", endpoint.id, join(&v4), join(&v6));
        }
    }
    files
}

fn join(ips: &[IpAddr]) -> String {
    ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Makes the files in `dir` equal to the wanted ones, replacing each file atomically. Returns whether any file changed.
/// The temporary file is in another folder, because aardvark-dns takes every file in its own for a network.
fn write_files(dir: &Path, temp: &Path, wanted: &BTreeMap<String, String>) -> Result<bool, Error> {
    base::file::create_private_dir_all(dir).map_err(Error::io("create", dir))?;
    let mut changed = false;
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let entry = entry.map_err(Error::io("list", dir))?;
        let name = entry.file_name();
        if name != OsStr::new("aardvark.pid") && !wanted.contains_key(&*name.to_string_lossy()) {
            record::remove(&entry.path())?;
            changed = true;
        }
    }
    for (name, text) in wanted {
        let path = dir.join(name);
        match fs::read_to_string(&path) {
            Ok(before) if before == *text => continue,
            Err(e) if e.kind() == ErrorKind::IsADirectory => record::remove(&path)?,
            // The file is damaged, or has other contents.
            Ok(_) | Err(_) => {}
        }
        record::write_bytes(temp, text.as_bytes(), Durability::Process)?;
        fs::rename(temp, &path).map_err(Error::io("write", &path))?;
        changed = true;
    }
    Ok(changed)
}

/// Returns a pidfd of process `pid` if it is an aardvark-dns that reads `dir`.
fn open_if_serving(pid: i32, dir: &Path) -> Option<OwnedFd> {
    let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // Read after the pidfd was opened: the pidfd is that of this process or of one that has ended.
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut arguments = arguments.split(|byte| *byte == 0).skip(1);
    let serves = arguments.next() == Some(AARDVARK_DNS.as_bytes())
        && arguments.any(|argument| argument == dir.as_os_str().as_encoded_bytes());
    (serves && !is_zombie(pid)).then_some(process)
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

/// Returns whether a name fits into DNS (RFC 1035, section 2.3.4): parts of at most 63 bytes, 253 bytes in all. Names
/// of Kubernetes may be longer than that once a namespace and a domain follow.
pub fn is_host_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len()))
}

/// Waits until aardvark-dns at `server` knows `name`. The signal that makes it read its files has no reply to wait for.
pub(crate) fn wait_for_name(server: SocketAddr, name: &str) {
    let since = Instant::now();
    while since.elapsed() < REGISTERED_WITHIN {
        if knows(server, name).unwrap_or(false) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    tracing::warn!(%server, name, "the name server does not answer for a name that was just registered");
}

/// Asks for an address (RFC 1035, section 4.1) below our own domain, so that the question is not forwarded.
fn knows(server: SocketAddr, name: &str) -> std::io::Result<bool> {
    let any: IpAddr = if server.is_ipv4() { crate::route::ANY[0] } else { crate::route::ANY[1] };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    // The id, recursion desired, one question.
    let mut query = vec![0x6b, 0x75, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').chain(CLUSTER_DOMAIN.split('.')) {
        query.push(u8::try_from(label.len()).unwrap_or_default());
        query.extend(label.as_bytes());
    }
    // The root label; type A or AAAA; class IN.
    query.extend([0, 0, if server.is_ipv4() { 1 } else { 28 }, 0, 1]);
    socket.send(&query)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    // Bytes 6 and 7 contain the number of answers.
    Ok(length >= 12 && answer.get(6..8).is_some_and(|count| count != [0, 0]))
}

/// The main function of aardvark-dns, run as `kube aardvark-dns --config DIR --port PORT run`; `args` are the arguments
/// after `kube aardvark-dns`. Returns once the server runs in the background, or in that background process when it
/// ends.
pub fn aardvark_dns_main(args: Vec<String>) -> i32 {
    let mut config = None;
    let mut port = DNS_PORT;
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--config" | "-c" => config = args.next(),
            "--port" | "-p" => port = args.next().and_then(|p| p.parse().ok()).unwrap_or(port),
            _ => {}
        }
    }
    let Some(config) = config else {
        eprintln!("aardvark-dns: --config DIR is missing");
        return 2;
    };
    // Inherited descriptors other than stdio would stay open for as long as the server lives.
    // SAFETY: nothing of this process uses a descriptor above 2 yet.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    base::fail_point!(Worker, "name-server-begins");
    let domain = format!(".{CLUSTER_DOMAIN}");
    match aardvark_dns::commands::run::Run::new().exec(config, port, domain) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("{e}");
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_host_name;

    #[test]
    fn names_that_do_not_fit_into_dns_are_no_host_names() {
        let part = "a".repeat(63);
        let four = [part.as_str(); 3].join(".") + "." + &part[..61];
        for good in ["a", "web.default.svc", &part, &four] {
            assert!(is_host_name(good), "{good}");
        }
        for bad in ["", ".a", "a..b", "a.", &format!("{part}a"), &format!("{four}a")] {
            assert!(!is_host_name(bad), "{bad}");
        }
    }
}
