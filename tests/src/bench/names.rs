//! How many names per second a name server answers, and what that costs: that of `kube`, and Debian's aardvark-dns if it
//! is installed. Both know the same names and are asked in the same way, over the loopback.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Bench;
use crate::report::{Row, Target, Unit};

/// Where Debian has the name server of podman.
const AARDVARK: &str = "/usr/lib/podman/aardvark-dns";

/// How many endpoints have names.
const ENDPOINTS: usize = 100;

/// How many questions are on their way at the same time.
const AT_ONCE: usize = 32;

const GATEWAY: &str = "127.77.0.1";
/// The client is an endpoint itself, because aardvark-dns answers nobody else.
const CLIENT: &str = "127.77.1.0";
const PORT: u16 = 5377;

/// A name server that runs until it is dropped.
struct Server {
    pid: i32,
    /// The process, if it is a child of this one.
    child: Option<Child>,
    _dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.pid);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
        while Path::new("/proc").join(self.pid.to_string()).exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn address(n: usize) -> String {
    format!("127.77.1.{n}")
}

/// Starts the name server of a build of `kube`.
fn kube(program: &Path) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let endpoint = |n| {
        serde_json::json!({
            "names": [format!("p{n}"), format!("p{n}.default.svc.cluster.local")],
            "ips": [[0, [address(n)]]],
        })
    };
    let endpoints: Vec<_> = (0..ENDPOINTS).map(endpoint).collect();
    let subnet = serde_json::json!({"subnet": "127.77.0.0/16", "gateway": GATEWAY});
    let network = serde_json::json!({"name": "bench", "internal": false, "subnets": [subnet]});
    let text = serde_json::json!({"networks": [network], "endpoints": endpoints}).to_string();
    std::fs::write(dir.path().join("endpoints.json"), text).unwrap();
    let child = Command::new(program)
        .args(["name-server", "--config", dir.path().to_str().unwrap(), "--port", &PORT.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    // The output ends once it listens.
    let said = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    assert_eq!(said, "ready");
    Server { pid: i32::try_from(child.id()).unwrap(), child: Some(child), _dir: dir }
}

/// Starts aardvark-dns, which ends up in the background.
fn aardvark() -> Server {
    let dir = tempfile::tempdir().unwrap();
    let mut text = format!("{GATEWAY}\n");
    for n in 0..ENDPOINTS {
        text += &format!("{n:064} {}  p{n},p{n}.default.svc\n", address(n));
    }
    std::fs::write(dir.path().join("bench"), text).unwrap();
    let config = dir.path().to_str().unwrap();
    let args =
        ["--config", config, "--port", &PORT.to_string(), "--filter-search-domain", ".cluster.local", "run"];
    let mut child = Command::new(AARDVARK).args(args).stdin(Stdio::null()).spawn().unwrap();
    let _ = child.wait();
    let path: PathBuf = dir.path().join("aardvark.pid");
    let pid = std::fs::read_to_string(path).unwrap().trim().parse().unwrap();
    Server { pid, child: None, _dir: dir }
}

/// Returns the question for an address of endpoint `n` (RFC 1035, section 4.1).
fn question(n: usize) -> Vec<u8> {
    let mut text = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [&format!("p{n}"), "default", "svc", "cluster", "local"] {
        text.push(u8::try_from(label.len()).unwrap());
        text.extend(label.as_bytes());
    }
    text.extend([0, 0, 1, 0, 1]);
    text
}

/// Returns the CPU time that a process has used, in nanoseconds.
fn cpu_time(pid: i32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let of = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0)
    };
    tasks.map(of).sum()
}

/// Asks a name server for a while. Returns how many answers it gives per second, and in a second of its own CPU time.
fn rates(server: &Server, seconds: f64) -> (f64, f64) {
    let socket = UdpSocket::bind((CLIENT, 0)).unwrap();
    socket.connect((GATEWAY, PORT)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let questions: Vec<Vec<u8>> = (0..ENDPOINTS).map(question).collect();
    let mut buffer = [0; 512];
    let begun = Instant::now();
    let used = cpu_time(server.pid);
    for n in 0..AT_ONCE {
        socket.send(&questions[n % ENDPOINTS]).unwrap();
    }
    let mut answers = 0;
    while begun.elapsed().as_secs_f64() < seconds {
        let length = socket.recv(&mut buffer).unwrap();
        assert!(length > 12 && buffer[7] == 1, "an answer without an address: {:?}", &buffer[..length]);
        answers += 1;
        socket.send(&questions[answers % ENDPOINTS]).unwrap();
    }
    let answers = answers as f64;
    (answers / begun.elapsed().as_secs_f64(), answers / ((cpu_time(server.pid) - used) / 1e9))
}

/// Measures names per second.
pub fn all(bench: &Bench) -> Vec<Row> {
    let seconds = if bench.options.quick { 1.0 } else { 5.0 };
    let (mut wall, mut cpu) = (<[Vec<f64>; 2]>::default(), <[Vec<f64>; 2]>::default());
    let has_other = bench.options.before.is_none() && Path::new(AARDVARK).exists();
    for _ in 0..bench.options.few() {
        for index in 0..=usize::from(has_other) {
            let server = if index == 0 { kube(&bench.options.kube) } else { aardvark() };
            let (of_wall, of_cpu) = rates(&server, seconds);
            wall[index].push(of_wall);
            cpu[index].push(of_cpu);
        }
    }
    vec![
        Row::new("names answered per second (aardvark-dns)", Unit::Count, Target::AtLeast(10_000.0), wall),
        Row::new("names per second of the server's CPU time (aardvark-dns)", Unit::Count, Target::None, cpu),
    ]
}
