//! Create, start, signal, end, delete.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use pod_core::runtime::cgroup::Version;
use pod_core::runtime::console::{self, ConsoleSocket};

use crate::pod::{Pod, shell, signal, sleeper, wait};

pub fn exit_code_and_output() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let (code, output) = pod.run(&shell("web", "echo hello; echo error >&2; exit 3"));
    assert_eq!((code, output.as_str()), (3, "hello\nerror\n"));
}

pub fn infra_holds_namespaces() {
    let mut pod = Pod::new(None);
    let infra = pod.start_infra();
    let (_, output) = pod.run(&shell("web", "readlink /proc/self/ns/ipc; readlink /proc/self/ns/pid"));
    let mut lines = output.lines();
    let of_infra =
        |name: &str| fs::read_link(format!("/proc/{infra}/ns/{name}")).unwrap().display().to_string();
    assert_eq!(lines.next(), Some(of_infra("ipc").as_str()));
    assert_ne!(lines.next(), Some(of_infra("pid").as_str()), "its own pid namespace");
}

pub fn stop_signal_and_exit_code() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let (pid, _output) = pod.spawn(&sleeper("web"));
    signal(pid, Signal::SIGTERM);
    assert_eq!(wait(pid), 7);
    pod.delete(&pod.id("web")).unwrap();
    pod.delete(&pod.id("web")).expect("deleting again is fine");
}

pub fn start_error_tells_why() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let mut plan = shell("web", "");
    plan.args = vec!["nothing-here".to_owned()];
    let (_read, write) = crate::pod::pipe();
    let error = pod.make(&plan, &[], write.as_fd(), None).unwrap_err();
    assert!(error.contains("exec: \"nothing-here\": executable file not found in $PATH"), "{error}");
}

pub fn exec_error_tells_why() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    pod.spawn(&sleeper("web"));
    let null = fs::File::open("/dev/null").unwrap();
    let error = pod.exec("web", &["nothing-here"], &[], null.as_fd(), None).unwrap_err();
    assert!(error.contains("exec: \"nothing-here\": executable file not found in $PATH"), "{error}");
    let error = pod.exec("web", &["/etc/passwd"], &[], null.as_fd(), None).unwrap_err();
    assert!(error.contains("permission denied"), "{error}");
}

pub fn a_program_that_cannot_run_fails_to_start() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let root = pod.rootfs("web");
    fs::write(root.join("bin/odd"), "no program\n").unwrap();
    fs::set_permissions(root.join("bin/odd"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut plan = shell("web", "");
    plan.args = vec!["/bin/odd".to_owned()];
    let null = fs::File::open("/dev/null").unwrap();
    let pid = pod.make_in(&plan, &root, &[], null.as_fd(), None).unwrap();
    let error = pod.start(&pod.id("web")).unwrap_err();
    assert!(error.contains("exec format error"), "{error}");
    assert_eq!(wait(pid), 128);
}

pub fn exec_joins_cgroup_and_environment() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let mut plan = sleeper("web");
    plan.env.push(("COLOR".to_owned(), "red".to_owned()));
    plan.env.push(("SHAPE".to_owned(), "round".to_owned()));
    let (pid, _output) = pod.spawn(&plan);
    let (read, write) = crate::pod::pipe();
    let args = ["sh", "-c", "echo $COLOR $SHAPE; exec cat /proc/self/cgroup"];
    let joined = pod.exec("web", &args, &[("COLOR", "blue")], write.as_fd(), None).unwrap();
    drop(write);
    let output = crate::pod::read_all(read);
    assert_eq!(wait(joined), 0);
    let (first, cgroups) = output.split_once('\n').unwrap();
    assert_eq!(first, "blue round");
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    // On v2 a container's own cgroup is the root of its cgroup namespace.
    let is_v2 = pod.host.cgroups.version == Version::V2;
    assert_eq!(cgroups, if is_v2 { "0::/\n" } else { own.as_str() });
    assert!(own.contains(&format!("kube-play/pod{0}/{0}-web", pod.uid)) || own.contains("kubeplay"), "{own}");
}

pub fn exec_exit_codes_reach_the_caller() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    pod.spawn(&sleeper("web"));
    assert_eq!(pod.exec_output("web", &["sh", "-c", "exit 42"]).0, 42);
    assert_eq!(pod.exec_output("web", &["sh", "-c", "kill -9 $$"]).0, 137);
}

pub fn shared_pid_namespace_has_pause_reap_orphans() {
    let mut pod = Pod::with(None, |sandbox| sandbox.share_pid = true);
    let infra = pod.start_infra();
    // A shell that leaves a child behind, which ends later and is nobody's but PID 1's.
    let script = "cat /proc/1/cmdline; echo; (sh -c 'sleep 0.05' &) ; sleep 0.2; \
                  grep -h '^State:.*Z' /proc/[0-9]*/status | wc -l";
    let (_, output) = pod.run(&shell("web", script));
    assert_eq!(output, "/pause\0\n0\n");
    signal(infra, Signal::SIGTERM);
    assert_eq!(wait(infra), 0, "pause ends with 0 on TERM, as PID 1 too");
}

/// True once the pause program waits for its signals, which is all that it ever sleeps for. Nobody is told of it.
fn waits(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.starts_with(&format!("{pid} (pause) S "))
}

pub fn pause_ends_on_interrupt_without_a_pid_namespace() {
    let mut pod = Pod::with(None, |sandbox| sandbox.host_pid = true);
    let infra = pod.start_infra();
    // Until it waits for signals, the kernel does with them what it does by default.
    while !waits(infra) {
        std::thread::yield_now();
    }
    signal(infra, Signal::SIGINT);
    assert_eq!(wait(infra), 0);
}

pub fn containers_of_a_pod_share_memory_and_files() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let (_, first) =
        pod.run(&shell("one", "echo text >/dev/shm/note; cat /etc/hostname; stat -c %a /dev/shm"));
    assert_eq!(first, "web\n1777\n");
    let (_, second) = pod.run(&shell("two", "cat /dev/shm/note; cat /etc/hosts"));
    assert_eq!(second, "text\n127.0.0.1 localhost\n");
}

pub fn delete_kills_all_that_a_container_left() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let script = "for i in 1 2 3 4; do setsid sh -c 'while :; do sleep 1000; done' & done; echo up; wait";
    let (pid, _output) = pod.spawn(&shell("web", script));
    let path = pod_core::runtime::cgroup::container_path(&pod.sandbox.cgroup, &pod.id("web"));
    assert!(pod_core::runtime::cgroup::processes(&path).len() >= 5);
    pod.delete(&pod.id("web")).unwrap();
    assert_eq!(pod_core::runtime::cgroup::processes(&path).len(), 0);
    assert_eq!(wait(pid), 137);
}

pub fn memory_limit_ends_a_container() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let mut plan = shell("web", "head -c 200m /dev/zero | tail -n 1 | wc -c; exit 5");
    plan.args = ["/bin/sh", "-c", "exec tail -n 1 /dev/zero"].map(str::to_owned).to_vec();
    plan.resources.memory_limit = Some(24 << 20);
    if pod.host.cgroups.hierarchy("memory").is_none() {
        return tests::skip("this host has no memory controller");
    }
    let (_, output) = pod.run(&plan);
    let path = pod_core::runtime::cgroup::container_path(&pod.sandbox.cgroup, &pod.id("web"));
    assert!(pod_core::runtime::cgroup::oom_kills(&path).is_some_and(|kills| kills > 0), "{output}");
}

pub fn terminal_of_its_own() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let socket =
        ConsoleSocket::bind(&pod.path().join("a/deep/place").join("x".repeat(90)).join("tty.sock")).unwrap();
    let mut plan =
        shell("web", "tty; test -t 0 && test -t 1 && echo terminal; stty size; read line; stty size; exit 4");
    plan.tty = true;
    let null = fs::File::open("/dev/null").unwrap();
    let pid = pod.make(&plan, &[], null.as_fd(), Some(socket.path())).unwrap();
    let master = socket.receive(Duration::from_secs(10)).unwrap();
    console::set_size(&master, 24, 80).unwrap();
    pod.start(&pod.id("web")).unwrap();
    let mut master = fs::File::from(master);
    let text = read_until(&mut master, "24 80");
    assert!(text.contains("terminal"), "{text}");
    console::set_size(&master, 50, 132).unwrap();
    master.write_all(b"\n").unwrap();
    read_until(&mut master, "50 132");
    assert_eq!(wait(pid), 4);
}

pub fn exec_with_a_terminal() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    pod.spawn(&sleeper("web"));
    let socket = ConsoleSocket::bind(&pod.path().join("tty.sock")).unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    let args =
        ["sh", "-c", "test -t 0 && test -t 2 && tty; stty size; grep Seccomp: /proc/self/status; exit 9"];
    let pid = pod.exec("web", &args, &[], null.as_fd(), Some(socket.path())).unwrap();
    let mut master = fs::File::from(socket.receive(Duration::from_secs(10)).unwrap());
    let text = read_until(&mut master, "Seccomp:\t2");
    assert!(text.contains("/dev/pts/"), "{text}");
    assert_eq!(wait(pid), 9);
}

/// Reads a terminal until a text has come.
pub fn read_until(master: &mut fs::File, end: &str) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 1024]);
    while !text.contains(end) {
        assert!(readable(master), "nothing more came after {text:?}");
        let read = master.read(&mut buffer).unwrap_or_else(|error| panic!("{error} after {text:?}"));
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    text
}

/// Waits, not for ever, until a descriptor can be read.
fn readable(file: &fs::File) -> bool {
    let mut wait = libc::pollfd { fd: crate::pod::raw(file), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which is ours.
    unsafe { libc::poll(&raw mut wait, 1, 60_000) == 1 }
}
