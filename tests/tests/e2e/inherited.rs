//! A container does not depend on the shell, service or job that played it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use tests::{IDLE, Kube, limit, pod, pod_with};

/// Prints every inherited attribute that a process can read.
const PRINT_ATTRIBUTES: &str = "cat /proc/self/status; echo ==limits; cat /proc/self/limits; echo ==stat; cat /proc/self/stat; \
                    echo ==others; umask; cat /proc/self/oom_score_adj /proc/self/coredump_filter /proc/self/cgroup; \
                    cat /proc/self/personality /proc/self/timerslack_ns 2>/dev/null; ls /proc/self/fd; pwd; env | sort";

/// Returns the output of [`PRINT_ATTRIBUTES`] without what differs between processes.
fn attributes(text: &str, uid: &str) -> Vec<String> {
    let mut section = "==status";
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("==") {
            section = line;
            continue;
        }
        match section {
            "==status" => {
                let name = line.split(':').next().unwrap();
                let own = ["Pid", "PPid", "Tgid", "Ngid", "NStgid", "NSpid", "NSpgid", "NSsid", "SigQ"];
                let counted = ["Vm", "Rss", "voluntary", "nonvoluntary"];
                if !own.contains(&name) && !counted.iter().any(|prefix| name.starts_with(prefix)) {
                    lines.push(line.to_owned());
                }
            }
            // proc_pid_stat(5), counted from the state: terminal, priority, niceness, threads, end signal, real-time
            // priority and scheduling policy.
            "==stat" => {
                let fields: Vec<_> = line.rsplit(") ").next().unwrap().split(' ').collect();
                lines.push(format!("{:?}", [4, 15, 16, 17, 35, 37, 38].map(|n| fields[n])));
            }
            _ => lines.push(line.replace(uid, "UID")),
        }
    }
    lines
}

/// Changes every attribute that a command inherits from its caller, as far as this host allows it.
fn hostile(command: &mut Command, lock: &Path, cgroups: &[PathBuf]) {
    command
        .env("LD_PRELOAD", "")
        .env("LISTEN_FDS", "3")
        .env("SECRET", "of the caller")
        .env("PATH", "bin:/usr/bin:/bin");
    command.env("NOTIFY_SOCKET", "/nowhere").env("IFS", "x").env("TERM", "dumb").env("LANG", "C.UTF-8");
    let lock = std::ffi::CString::new(lock.to_str().unwrap()).unwrap();
    let procs: Vec<_> = cgroups
        .iter()
        .map(|dir| std::ffi::CString::new(dir.join("cgroup.procs").to_str().unwrap()).unwrap())
        .collect();
    let write = |path: &std::ffi::CStr, text: &[u8]| {
        // SAFETY: the path ends with NUL, and the text has the length that is passed.
        unsafe {
            let fd = libc::open(path.as_ptr(), libc::O_WRONLY);
            let written = libc::write(fd, text.as_ptr().cast(), text.len());
            libc::close(fd);
            if written < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
        }
    };
    // SAFETY: between fork and exec there are only system calls, which neither allocate nor lock.
    unsafe {
        command.pre_exec(move || {
            for path in &procs {
                write(path, b"0")?;
            }
            // By the system call, because the C library refuses two of the signals.
            let ignored = [libc::SIG_IGN, 0, 0, 0];
            for signal in 1..=64 {
                libc::syscall(libc::SYS_rt_sigaction, signal, ignored.as_ptr(), std::ptr::null::<usize>(), 8);
            }
            let mut set = std::mem::zeroed();
            libc::sigfillset(&raw mut set);
            libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            // dup2 gives a descriptor that exec does not close.
            let fd = libc::open(lock.as_ptr(), libc::O_RDONLY);
            if fd < 0 || libc::flock(fd, libc::LOCK_EX) < 0 || libc::dup2(fd, 77) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            let mut cpus: libc::cpu_set_t = std::mem::zeroed();
            libc::sched_getaffinity(0, size_of_val(&cpus), &raw mut cpus);
            let last = (0..1024).rev().find(|cpu| libc::CPU_ISSET(*cpu, &cpus)).unwrap_or(0);
            libc::CPU_ZERO(&mut cpus);
            libc::CPU_SET(last, &mut cpus);
            libc::sched_setaffinity(0, size_of_val(&cpus), &raw const cpus);
            let priority = libc::sched_param { sched_priority: 0 };
            libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const priority);
            libc::setpriority(libc::PRIO_PROCESS, 0, 10);
            // The idle class of I/O priorities.
            libc::syscall(libc::SYS_ioprio_set, 1, 0, 3 << 13);
            for (resource, most) in [
                (libc::RLIMIT_NOFILE, 128),
                (libc::RLIMIT_NPROC, 4000),
                (libc::RLIMIT_FSIZE, 8 << 20),
                (libc::RLIMIT_STACK, 2 << 20),
                (libc::RLIMIT_CORE, 4096),
                (libc::RLIMIT_MEMLOCK, 65_536),
                (libc::RLIMIT_AS, 16 << 30),
                (libc::RLIMIT_CPU, 5000),
                (libc::RLIMIT_MSGQUEUE, 1000),
                (libc::RLIMIT_SIGPENDING, 500),
            ] {
                let mut limit: libc::rlimit = std::mem::zeroed();
                libc::getrlimit(resource, &raw mut limit);
                limit.rlim_cur = most;
                // A lowered hard limit can only be raised again with CAP_SYS_RESOURCE.
                if libc::prctl(libc::PR_CAPBSET_READ, 24, 0, 0, 0) == 1 {
                    limit.rlim_max = most;
                }
                libc::setrlimit(resource, &raw const limit);
            }
            libc::umask(0o777);
            libc::prctl(libc::PR_SET_TIMERSLACK, 7_000_000, 0, 0, 0);
            libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
            libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong);
            write(c"/proc/self/oom_score_adj", b"700")?;
            write(c"/proc/self/coredump_filter", b"0x7f")
        });
    }
}

/// The control groups of a caller: one in each hierarchy in which containers get none, or in which memory is counted.
struct CallersCgroups(Vec<PathBuf>);

impl CallersCgroups {
    fn make(name: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mut dirs = Vec::new();
        for line in mounts.lines() {
            let fields: Vec<_> = line.split(' ').collect();
            let counts = |name: &str| fields[3].split(',').any(|option| option == name);
            if fields[2] == "cgroup2" || fields[2] == "cgroup" && (counts("memory") || counts("name=systemd"))
            {
                let dir = Path::new(fields[1]).join(name);
                fs::create_dir(&dir).unwrap();
                dirs.push(dir);
            }
        }
        assert!(!dirs.is_empty(), "{mounts}");
        Self(dirs)
    }

    /// Checks that no process is left in the control groups, because a service manager would end it.
    #[track_caller]
    fn are_empty(&self) {
        for dir in &self.0 {
            let left = fs::read_to_string(dir.join("cgroup.procs")).unwrap();
            assert_eq!(left, "", "left in {}", dir.display());
        }
    }
}

impl Drop for CallersCgroups {
    fn drop(&mut self) {
        for dir in &self.0 {
            let _ = fs::remove_dir(dir);
        }
    }
}

#[test]
fn a_container_is_the_same_whoever_played_it() {
    let script = format!("{PRINT_ATTRIBUTES}; echo ==told; {IDLE}");
    for flags in [&[][..], &["--runtime", "runc"]] {
        let mut seen: BTreeMap<&str, (Vec<String>, Vec<String>)> = BTreeMap::new();
        for shell in ["plain", "hostile"] {
            let kube = Kube::new();
            let file = kube.manifest(&pod_with("web", &script, "    env: [{name: OWN, value: x}]", ""));
            let lock = PathBuf::from(kube.file("lock", ""));
            let cgroups =
                CallersCgroups::make(&format!("caller-{}", kube.dir().file_name().unwrap().display()));
            let run = |args: &[&str]| {
                let mut command = kube.command(args);
                if shell == "hostile" {
                    hostile(&mut command, &lock, &cgroups.0);
                }
                kube.run_command(&mut command, None)
            };
            run(&[&["play", &file], flags].concat()).expect(0);
            let uid = kube.pod("web")["metadata"]["uid"].as_str().unwrap().to_owned();
            let mut logs = kube.start(&["logs", "-f", "web"]);
            logs.line(|l| l == "==told");
            let main = attributes(&kube.ok(&["logs", "web"]).stdout, &uid);
            let exec =
                attributes(&run(&["exec", "web", "--", "sh", "-c", PRINT_ATTRIBUTES]).expect(0).stdout, &uid);
            assert!(main.iter().any(|line| line == "OWN=x") && exec.iter().any(|line| line == "OWN=x"));
            assert!(!exec.iter().any(|line| line.contains("SECRET")), "{exec:#?}");
            seen.insert(shell, (main, exec));

            // No process holds the caller's lock, and none would end with the caller's control group.
            let file = fs::File::open(&lock).unwrap();
            rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
                .unwrap_or_else(|e| panic!("the caller's lock is still held ({shell}): {e}"));
            cgroups.are_empty();
            // If the container had inherited that SIGTERM is ignored, it would have to be killed.
            kube.ok(&["down", "pod/web"]);
        }
        let (plain, hostile) = (&seen["plain"], &seen["hostile"]);
        assert_eq!(plain.0, hostile.0, "the container, {flags:?}");
        assert_eq!(plain.1, hostile.1, "exec, {flags:?}");
        if !flags.is_empty() {
            // runc is another program, and ignores a signal.
            continue;
        }
        for line in ["SigIgn:\t0000000000000000", "SigBlk:\t0000000000000000", "Umask:\t0022"] {
            assert!(hostile.0.iter().any(|l| l == line), "{line}: {:#?}", hostile.0);
        }
    }
}

#[test]
fn a_container_of_a_hostile_caller_is_told_to_end_and_ends() {
    let kube = Kube::new();
    let cgroups = CallersCgroups::make(&format!("caller-{}", kube.dir().file_name().unwrap().display()));
    let lock = PathBuf::from(kube.file("lock", ""));
    let file = kube.manifest(&pod(
        "web",
        "trap 'echo told; exit 0' TERM; while :; do sleep 3600 & wait $!; done",
        "",
    ));
    let mut command = kube.command(&["play", &file]);
    hostile(&mut command, &lock, &cgroups.0);
    kube.run_command(&mut command, None).expect(0);
    cgroups.are_empty();
    // The supervisor reacts to signals too, and stops its pods in order.
    let supervisor = kube.supervisors().remove(0);
    supervisor.kill(Signal::SIGTERM);
    assert!(supervisor.ends_within(limit(20)));
    let ended = kube.container("web", "main");
    assert_eq!(ended["state"]["terminated"]["exitCode"], 0, "{ended:#}");
}

#[test]
fn a_pod_whose_supervisor_was_ended_is_started_by_the_next_play_of_its_file() {
    let kube = Kube::new();
    let file = kube.manifest(&pod("web", IDLE, ""));
    let job = kube.manifest(&pod("once", IDLE, "  restartPolicy: Never\n"));
    kube.ok(&["play", &file, &job]);
    for supervisor in kube.supervisors() {
        supervisor.kill(Signal::SIGTERM);
        assert!(supervisor.ends_within(limit(20)));
    }
    assert_eq!(kube.ok(&["play", &file, "--dry-run"]).stdout, "pod/web started (dry run)\n");
    assert_eq!(kube.ok(&["play", &file]).stdout, "pod/web started\n");
    assert!(kube.container("web", "main")["state"]["running"].is_object());
    assert_eq!(kube.ok(&["play", &file]).stdout, "pod/web unchanged\n");
    // As in a cluster, a pod that has ended does not run again.
    assert_eq!(kube.ok(&["play", &job]).stdout, "pod/once unchanged (Completed)\n");
}

#[test]
fn after_a_reboot_a_pod_is_started_by_a_play_of_its_file() {
    let kube = Kube::new();
    let file = kube.manifest(&pod("web", IDLE, ""));
    kube.ok(&["play", &file]);
    kube.wipe_kernel();
    fs::remove_dir_all(kube.runroot()).unwrap();
    assert_eq!(kube.ok(&["play", &file]).stdout, "pod/web started\n");
    assert!(kube.container("web", "main")["state"]["running"].is_object());
}
