//! A separate instance per test, endpoints in it, and clients and servers inside namespaces.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use network::{Addresses, Attachment, Endpoint, Network, Networks, Port};

/// The longest wait for an answer of another process.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An instance in a separate folder. When it is dropped, its endpoints and namespaces are removed.
pub(crate) struct Instance {
    pub(crate) dir: tempfile::TempDir,
    prefix: String,
}

impl Instance {
    pub(crate) fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        Self {
            dir: tempfile::Builder::new().prefix("kube-network-").tempdir_in("/tmp").unwrap(),
            prefix: format!("t{}-{n}", std::process::id()),
        }
    }

    pub(crate) fn dirs(&self) -> (PathBuf, PathBuf) {
        (self.dir.path().join("root"), self.dir.path().join("run"))
    }

    pub(crate) fn networks(&self) -> Networks {
        let (root, run) = self.dirs();
        Networks::new(&root, &run, &example())
    }

    pub(crate) fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    pub(crate) fn netns(&self, name: &str) -> PathBuf {
        self.dir.path().join("netns").join(name)
    }

    /// Creates a namespace and returns an endpoint in it.
    pub(crate) fn endpoint(&self, name: &str) -> Endpoint {
        let netns = self.netns(name);
        network::make_netns(&netns).unwrap();
        Endpoint {
            id: self.id(name),
            names: vec![name.to_owned()],
            attachments: Vec::new(),
            ports: Vec::new(),
            netns,
        }
    }

    pub(crate) fn command(&self, verb: &str, argument: &str) -> Command {
        let (root, run) = self.dirs();
        let mut command = Command::new(example());
        command.arg(verb).arg(root).arg(run).arg(argument);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Sets up an endpoint in a separate process, as a supervisor does.
    pub(crate) fn try_setup(&self, endpoint: &Endpoint) -> Result<Addresses, String> {
        let output = self.command("setup", &serde_json::to_string(endpoint).unwrap()).output().unwrap();
        answer(&output).map(|text| serde_json::from_str(&text).unwrap())
    }

    pub(crate) fn setup(&self, endpoint: &Endpoint) -> Addresses {
        self.try_setup(endpoint).unwrap()
    }

    /// Sets up an endpoint as if the namespace bound at `host` were that of the host.
    pub(crate) fn try_setup_on(&self, host: &Path, endpoint: &Endpoint) -> Result<Addresses, String> {
        inside(host, || self.try_setup(endpoint))
    }

    pub(crate) fn teardown(&self, name: &str) {
        let output = self.command("teardown", &self.id(name)).output().unwrap();
        answer(&output).unwrap();
    }

    pub(crate) fn network(&self, name: &str) -> Network {
        self.networks().list().unwrap().into_iter().find(|n| n.name == name).unwrap()
    }

    /// Returns everything on this host that carries a name of this instance.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        let bridges: Vec<String> =
            self.networks().list().unwrap_or_default().into_iter().map(|n| n.bridge).collect();
        let links = run("ip", &["-o", "link"]);
        let tables = run("nft", &["list", "tables"]);
        for bridge in &bridges {
            found.extend(links.lines().filter(|l| l.contains(bridge.as_str())).map(str::to_owned));
            found.extend(tables.lines().filter(|l| l.contains(bridge.as_str())).map(str::to_owned));
        }
        for folder in ["root/leases", "run/up", "run/name-server"] {
            for entry in fs::read_dir(self.dir.path().join(folder)).into_iter().flatten().flatten() {
                found.push(entry.path().display().to_string());
            }
        }
        for entry in fs::read_dir("/run/kube-play-shared/endpoints").into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains(&self.prefix) {
                found.push(entry.path().display().to_string());
            }
        }
        found.extend(self.dns_servers().into_iter().map(|pid| format!("name-server {pid}")));
        found
    }

    /// Returns the pids of the name servers of this instance.
    pub(crate) fn dns_servers(&self) -> Vec<i32> {
        let dir = self.dir.path().display().to_string();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|p| p.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| {
                let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let arguments = String::from_utf8_lossy(&arguments).into_owned();
                arguments.contains("\0name-server\0") && arguments.contains(&dir)
            })
            .collect()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        for id in self.networks().leases().unwrap_or_default() {
            let _ = self.command("teardown", &id).output();
        }
        for entry in fs::read_dir(self.dir.path().join("netns")).into_iter().flatten().flatten() {
            let _ = network::remove_netns(&entry.path());
        }
    }
}

/// Returns the path of the example program that is built together with this test.
pub(crate) fn example() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.parent().unwrap().parent().unwrap().join("examples/endpoint")
}

pub(crate) fn answer(output: &Output) -> Result<String, String> {
    if output.status.success() {
        Ok(String::from_utf8(output.stdout.clone()).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn inside<T: Send>(netns: &Path, f: impl FnOnce() -> T + Send) -> T {
    network::with_netns(netns, f).unwrap()
}

pub(crate) fn port(host_ip: Option<&str>, host_port: u16, container_port: u16, protocol: &str) -> Port {
    let host_ip = host_ip.map(|ip| ip.parse().unwrap());
    Port { host_ip, host_port, container_port, protocol: protocol.to_owned() }
}

pub(crate) fn on(network: &str) -> Attachment {
    Attachment { network: network.to_owned(), ips: Vec::new(), mac: None }
}

/// Returns a port of the host that is free and that no other test will use.
pub(crate) fn free_port() -> u16 {
    // The kernel assigns ports of the ephemeral range; each test process uses other ports below that range.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let candidate = u16::try_from(10_000 + (std::process::id() * 7 + n) % 20_000).unwrap();
        if TcpListener::bind(("0.0.0.0", candidate)).is_ok()
            && UdpSocket::bind(("0.0.0.0", candidate)).is_ok()
        {
            return candidate;
        }
    }
}

/// Starts a web server of one page in a namespace, which runs until the test ends.
pub(crate) fn serve(netns: &Path, port: u16, page: &'static str) {
    for ip in ["0.0.0.0", "::"] {
        let listener = inside(netns, || {
            // Each address family has a separate socket.
            let address: SocketAddr = SocketAddr::new(ip.parse().unwrap(), port);
            listen(address)
        });
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let mut request = [0; 1024];
                let _ = connection.read(&mut request);
                let _ = write!(connection, "HTTP/1.0 200 OK\r\n\r\n{page}");
            }
        });
    }
}

pub(crate) fn listen(address: SocketAddr) -> TcpListener {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
        sockopt,
    };
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    if address.is_ipv6() {
        setsockopt(&socket.as_fd(), sockopt::Ipv6V6Only, &true).unwrap();
    }
    bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &SockaddrStorage::from(address)).unwrap();
    listen(&socket, Backlog::new(8).unwrap()).unwrap();
    socket.into()
}

pub(crate) fn get(address: impl Into<SocketAddr>) -> std::io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&address.into(), Duration::from_secs(5))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer.rsplit("\r\n").next().unwrap_or_default().to_owned())
}

/// Returns the addresses of a name, as a name server answers (RFC 1035).
pub(crate) fn resolve(server: IpAddr, name: &str, family: u8) -> Vec<IpAddr> {
    let kind = if family == 4 { 1 } else { 28 };
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect((server, 53)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, kind, 0, 1]);
    socket.send(&query).unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap();
    let count = usize::from(u16::from_be_bytes([answer[6], answer[7]]));
    // Each answer starts with a name, written out or as a pointer, and ends with its address: a length, then 4 or 16
    // bytes.
    let mut rest = &answer[query.len()..length];
    let mut found = Vec::new();
    for _ in 0..count {
        while rest[0] != 0 && rest[0] & 0xc0 == 0 {
            rest = &rest[1 + usize::from(rest[0])..];
        }
        rest = if rest[0] == 0 { &rest[1..] } else { &rest[2..] };
        let size = usize::from(u16::from_be_bytes([rest[8], rest[9]]));
        let data = &rest[10..10 + size];
        match size {
            4 => found.push(IpAddr::from(<[u8; 4]>::try_from(data).unwrap())),
            16 => found.push(IpAddr::from(<[u8; 16]>::try_from(data).unwrap())),
            _ => {}
        }
        rest = &rest[10 + size..];
    }
    found
}

/// Waits until something is true that another process causes.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(2));
    }
}
