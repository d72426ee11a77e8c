//! The Ingress proxy beside Debian's nginx as a proxy: requests per second and memory, in the clear and with TLS.
//!
//! Both forward to the same nginx, which serves a page of 1 KiB, and keep connections to it. wrk asks on 64 connections.
//! nginx runs as Debian configures it, with one worker per CPU.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ingress::certificate::make;
use ingress::{Backend, Certificate, Host, KeyPair, Listener, Path as Route, PathKind, Routes};
use tests::{host_port, limit};

use crate::Bench;
use crate::report::{Row, Target, Unit};

const CONNECTIONS: &str = "64";
const HOST: &str = "bench.example";

/// A process that is killed when this value is dropped, with its children.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// Returns the proportional memory of the process and its children, in megabytes (proc(5), smaps_rollup).
    fn memory(&self) -> f64 {
        let own = self.0.id().to_string();
        let is_ours =
            |process: &tests::Process| process.pid.to_string() == own || process.status("PPid") == own;
        let of = |process: &tests::Process| {
            let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
            line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0)
        };
        tests::processes().iter().filter(|process| is_ours(process)).map(of).sum::<f64>() / 1024.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], host_port().number))
}

/// Starts nginx with these directives of its `http` block.
fn nginx(dir: &Path, name: &str, workers: &str, http: &str) -> Running {
    let dir = dir.join(name);
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join("nginx.conf");
    let own = dir.display();
    let config = format!(
        "daemon off; worker_processes {workers}; pid {own}/pid; error_log {own}/error;\n\
         events {{ worker_connections 768; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; server_tokens off;\n\
         client_body_temp_path {own}/a; proxy_temp_path {own}/b; fastcgi_temp_path {own}/c; uwsgi_temp_path {own}/d; \
         scgi_temp_path {own}/e;\n{http}\n}}\n"
    );
    fs::write(&path, config).unwrap();
    Running::start(Command::new("nginx").arg("-c").arg(path).stderr(Stdio::null()))
}

/// Starts the nginx that both proxies forward to.
fn origin(dir: &Path, address: SocketAddr) -> Running {
    let www = dir.join("www");
    fs::create_dir_all(&www).unwrap();
    fs::write(www.join("index.html"), "x".repeat(1024)).unwrap();
    let http = format!("server {{ listen {address}; root {}; open_file_cache max=10; }}", www.display());
    nginx(dir, "origin", "1", &http)
}

/// Starts nginx as a proxy.
fn nginx_proxy(
    dir: &Path,
    origin: SocketAddr,
    plain: SocketAddr,
    tls: SocketAddr,
    pair: &KeyPair,
) -> Running {
    let (certificate, key) = (dir.join("crt.pem"), dir.join("key.pem"));
    fs::write(&certificate, &pair.certificate).unwrap();
    fs::write(&key, &pair.key).unwrap();
    let http = format!(
        "upstream origin {{ server {origin}; keepalive 64; keepalive_requests 100000000; }}\n\
         server {{ listen {plain}; listen {tls} ssl; ssl_certificate {}; ssl_certificate_key {}; server_name {HOST};\n\
         location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
         proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr; \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; }} }}",
        certificate.display(),
        key.display()
    );
    nginx(dir, "proxy", "auto", &http)
}

/// Starts the proxy of `kube`.
fn kube_proxy(
    bench: &Bench,
    dir: &Path,
    origin: SocketAddr,
    plain: SocketAddr,
    tls: SocketAddr,
    pair: &KeyPair,
) -> Running {
    let route =
        ingress::Route { backend: "origin".into(), source: "default/bench".into(), ..Default::default() };
    let routes = Routes {
        generation: 1,
        listeners: vec![Listener { address: plain, tls: false }, Listener { address: tls, tls: true }],
        // wrk asks for an address, which has no name in the handshake.
        default_certificate: Some(Certificate {
            hosts: Vec::new(),
            certificate: pair.certificate.clone(),
            key: pair.key.clone(),
        }),
        backends: [("origin".to_owned(), Backend { endpoints: vec![origin] })].into(),
        hosts: vec![Host {
            host: HOST.to_owned(),
            tls: true,
            paths: vec![Route { path: "/".into(), kind: PathKind::Prefix, route }],
            default: None,
        }],
        ..Routes::default()
    };
    let path = dir.join("routes.json");
    fs::write(&path, serde_json::to_vec(&routes).unwrap()).unwrap();
    let mut command = Command::new(bench.options.kube.canonicalize().unwrap());
    Running::start(command.env_clear().args(["ingress-proxy", "--config"]).arg(path))
}

fn await_listener(address: SocketAddr) {
    let deadline = std::time::Instant::now() + limit(10);
    while std::net::TcpStream::connect(address).is_err() {
        assert!(std::time::Instant::now() < deadline, "nothing listens on {address}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Returns how many requests were answered per second.
fn requests(url: &str, seconds: u64) -> f64 {
    let output = Command::new("wrk")
        .args([
            "-t",
            "1",
            "-c",
            CONNECTIONS,
            "-d",
            &format!("{seconds}s"),
            "-H",
            &format!("Host: {HOST}"),
            url,
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

/// Measures both proxies in turn.
pub fn all(bench: &Bench) -> Vec<Row> {
    let found = |program: &str| {
        Path::new("/usr/sbin").join(program).exists() || Path::new("/usr/bin").join(program).exists()
    };
    if !found("nginx") || !found("wrk") {
        eprintln!("bench: nginx or wrk is missing: tests/packages.sh bench");
        return Vec::new();
    }
    let scratch = tempfile::tempdir_in("/dev/shm").unwrap();
    let dir: PathBuf = scratch.path().to_owned();
    // The workers of nginx are another user.
    fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let pair = make(&[HOST.to_owned()], (2020, 1, 1), (2099, 1, 1)).unwrap();
    let at = address();
    let _origin = origin(&dir, at);
    await_listener(at);
    let seconds = if bench.options.quick { 2 } else { 5 };
    let (mut plain, mut tls, mut idle, mut after) =
        <([Vec<f64>; 2], [Vec<f64>; 2], [Vec<f64>; 2], [Vec<f64>; 2])>::default();
    for _ in 0..bench.options.few() {
        for index in 0..2 {
            let (clear, secure) = (address(), address());
            let proxy = match index {
                0 => kube_proxy(bench, &dir, at, clear, secure, &pair),
                _ => nginx_proxy(&dir, at, clear, secure, &pair),
            };
            await_listener(clear);
            await_listener(secure);
            std::thread::sleep(Duration::from_secs(1));
            idle[index].push(proxy.memory());
            requests(&format!("http://{clear}/"), 1);
            plain[index].push(requests(&format!("http://{clear}/"), seconds));
            tls[index].push(requests(&format!("https://{secure}/"), seconds));
            std::thread::sleep(Duration::from_secs(2));
            after[index].push(proxy.memory());
        }
    }
    let beside = "(compared: nginx 1.22 as a proxy)";
    let rate = Target::AtLeastTimes(0.7);
    vec![
        Row::new(&format!("Ingress: requests a second {beside}"), Unit::Count, rate, plain),
        Row::new(&format!("Ingress: requests a second with TLS {beside}"), Unit::Count, rate, tls),
        Row::new(&format!("Ingress: memory of the proxy {beside}"), Unit::Megabytes, Target::None, idle),
        Row::new(
            &format!("Ingress: its memory after that load {beside}"),
            Unit::Megabytes,
            Target::None,
            after,
        ),
    ]
}
