//! What a container may do, see and reach; and the same for a process that joins it.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};

use pod_core::plan::Seccomp;
use pod_core::runtime::host::Host;
use pod_core::runtime::seccomp;
use pod_core::runtime::spec::Mount;

use crate::pod::{Pod, field, pipe, shell, sleeper, wait};

/// The 14 capabilities of containerd's default set as a mask.
const DEFAULT_MASK: &str = "00000000a80425fb";

pub fn default_capabilities_and_seccomp_hold_for_exec_too() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let (pid, _output) = pod.spawn(&sleeper("web"));
    let init = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let (code, joined) = pod.exec_output("web", &["cat", "/proc/self/status"]);
    assert_eq!(code, 0, "{joined}");
    for status in [&init, &joined] {
        assert_eq!(field(status, "Seccomp"), "2");
        assert_eq!(field(status, "NoNewPrivs"), "0");
        for set in ["CapBnd", "CapEff", "CapPrm"] {
            assert_eq!(field(status, set), DEFAULT_MASK, "{set}");
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(field(status, set), "0000000000000000", "{set}");
        }
    }
    let (code, output) = pod.exec_output("web", &["unshare", "-m", "true"]);
    assert_ne!(code, 0, "a refused call is refused after exec too: {output}");
}

pub fn user_without_privileges_holds_for_exec_too() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let mut plan = sleeper("web");
    (plan.uid, plan.gid, plan.additional_gids) = (1000, 1001, vec![2000]);
    (plan.no_new_privileges, plan.cwd, plan.oom_score_adj) = (true, "/tmp".to_owned(), 900);
    let (pid, _output) = pod.spawn(&plan);
    let init = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let script = "cat /proc/self/status; pwd; umask; cat /proc/self/oom_score_adj; echo home=$HOME";
    let (code, joined) = pod.exec_output("web", &["sh", "-c", script]);
    assert_eq!(code, 0, "{joined}");
    for status in [&init, &joined] {
        assert_eq!(field(status, "Uid"), "1000\t1000\t1000\t1000");
        assert_eq!(field(status, "Gid"), "1001\t1001\t1001\t1001");
        assert_eq!(field(status, "Groups"), "1001 2000");
        assert_eq!(field(status, "NoNewPrivs"), "1");
        assert_eq!(field(status, "Seccomp"), "2");
        assert_eq!(field(status, "CapEff"), "0000000000000000");
        assert_eq!(field(status, "CapBnd"), DEFAULT_MASK);
    }
    assert!(joined.ends_with("/tmp\n0022\n900\nhome=/home/web\n"), "{joined}");
}

pub fn no_descriptor_leaks() {
    // Descriptors as a careless caller has them: without close-on-exec.
    let leaked = fs::File::open("/").unwrap();
    // SAFETY: clears a flag.
    unsafe { libc::fcntl(crate::pod::raw(&leaked), libc::F_SETFD, 0) };
    let mut pod = Pod::new(None);
    pod.start_infra();
    let plan = shell("web", "ls -l /proc/self/fd; echo done; sleep 1000");
    let (read, write) = pipe();
    pod.make(&plan, &[], write.as_fd(), None).unwrap();
    drop(write);
    pod.start(&pod.id("web")).unwrap();
    let mut text = String::new();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(read));
    while let Some(Ok(line)) = lines.next() {
        if line == "done" {
            break;
        }
        text.push_str(&line);
        text.push('\n');
    }
    let (_, joined) = pod.exec_output("web", &["ls", "-l", "/proc/self/fd"]);
    for listing in [text, joined] {
        let links = listing.lines().filter(|line| line.starts_with('l') && !line.starts_with("ls:"));
        let names: Vec<&str> =
            links.filter_map(|line| line.split(" -> ").next()?.split(' ').next_back()).collect();
        // 3 is the folder that ls reads.
        assert!(
            names.len() >= 3 && names.iter().all(|name| ["0", "1", "2", "3"].contains(name)),
            "{listing}"
        );
    }
}

pub fn created_container_holds_nothing_of_its_caller() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let (read, write) = pipe();
    let null = fs::File::open("/dev/null").unwrap();
    pod.make(&sleeper("web"), &[], null.as_fd(), None).unwrap();
    // The container waits to be started. Were our end still open in it, this would never end.
    drop(write);
    assert_eq!(crate::pod::read_all(read), "");
}

pub fn paths_are_masked_and_read_only() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let script = "cat /proc/timer_list 2>/dev/null | wc -c; cat /proc/interrupts | wc -c; ls /sys/firmware | wc -l; \
                  echo 1 2>/dev/null >/proc/sys/kernel/hostname || echo ro; \
                  mkdir /sys/fs/cgroup/x 2>/dev/null || echo ro; \
                  for dir in /sys/fs/cgroup/*; do mkdir $dir/x 2>/dev/null && echo made $dir; done; \
                  echo b 2>/dev/null >/proc/sysrq-trigger || echo ro";
    let (_, output) = pod.run(&shell("web", script));
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..4], ["0", "0", "0", "ro"], "{output}");
    assert!(!output.contains("made"), "{output}");
    assert_eq!(lines.last(), Some(&"ro"), "{output}");
}

pub fn devices_of_the_host_stay_out_of_reach() {
    let disk = fs::read_to_string("/proc/partitions").unwrap();
    let numbers = disk.lines().nth(2).expect("a disk").split_whitespace().collect::<Vec<_>>();
    let mut pod = Pod::new(None);
    pod.start_infra();
    let script = format!(
        "mknod /tmp/disk b {} {} && head -c 1 /tmp/disk >/dev/null && echo reached; \
         head -c 3 /dev/zero | wc -c; echo x >/dev/null && echo null; test -c /dev/tty && echo tty",
        numbers[0], numbers[1]
    );
    let (_, output) = pod.run(&shell("web", &script));
    assert!(!output.contains("reached"), "{output}");
    assert!(output.ends_with("3\nnull\ntty\n"), "{output}");
}

pub fn privileged_has_what_the_host_has() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let mut plan = shell("web", "cat /proc/self/status; ls /dev; mount -t tmpfs none /tmp && echo mounted");
    plan.privileged = true;
    let (_, output) = pod.run(&plan);
    assert_eq!(field(&output, "Seccomp"), "0");
    let own = fs::read_to_string("/proc/self/status").unwrap();
    assert_eq!(field(&output, "CapEff"), field(&own, "CapEff"));
    assert!(output.contains("mounted"), "{output}");
    assert!(output.contains("kmsg") || !fs::exists("/dev/kmsg").unwrap(), "{output}");
}

pub fn read_only_root() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let mut plan = shell(
        "web",
        "touch /x 2>/dev/null || echo ro; touch /dev/shm/x && echo shm; touch /data/x && echo vol",
    );
    plan.read_only_root = true;
    let data = pod.path().join("data");
    fs::create_dir(&data).unwrap();
    let mount = Mount { source: data, destination: "/data".to_owned(), ..Mount::default() };
    let (_, output) = pod.run_with(&plan, &[mount]);
    assert_eq!(output, "ro\nshm\nvol\n");
}

pub fn volumes_are_read_only_where_asked() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let data = pod.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "text").unwrap();
    let mount = |destination: &str, read_only| Mount {
        source: data.clone(),
        destination: destination.to_owned(),
        read_only,
        ..Mount::default()
    };
    let single = Mount {
        source: data.join("file"),
        destination: "/etc/app/conf".to_owned(),
        read_only: true,
        ..Mount::default()
    };
    let script = "cat /ro/file /etc/app/conf; touch /ro/x 2>/dev/null || echo ro; touch /rw/y && ls /ro";
    let (_, output) =
        pod.run_with(&shell("web", script), &[mount("/rw/", false), mount("/ro", true), single]);
    assert_eq!(output, "texttextro\nfile\ny\n");
}

pub fn image_that_links_dev_to_the_host_is_refused() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let victim = pod.path().join("victim");
    fs::create_dir(&victim).unwrap();
    let root = pod.rootfs("web");
    fs::remove_dir(root.join("dev")).unwrap();
    symlink(&victim, root.join("dev")).unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    let error = pod.make_in(&shell("web", "true"), &root, &[], null.as_fd(), None).unwrap_err();
    assert!(error.contains("/dev of the image is not a folder"), "{error}");
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0, "nothing was made on the host");
}

pub fn links_in_the_image_do_not_lead_mounts_to_the_host() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let victim = pod.path().join("victim");
    fs::create_dir(&victim).unwrap();
    let root = pod.rootfs("web");
    symlink(&victim, root.join("data")).unwrap();
    let source = pod.path().join("source");
    fs::create_dir(&source).unwrap();
    let mount = Mount { source, destination: "/data/deep".to_owned(), ..Mount::default() };
    let (read, write) = pipe();
    if let Ok(pid) = pod.make_in(&shell("web", "true"), &root, &[mount], write.as_fd(), None) {
        drop(write);
        pod.start(&pod.id("web")).unwrap();
        crate::pod::read_all(read);
        wait(pid);
    }
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0, "nothing was made on the host");
}

pub fn localhost_profile_holds_for_exec_too() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let profile = pod.path().join("profile.json");
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
                   "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}"#;
    fs::write(&profile, text).unwrap();
    let mut plan = shell("web", "mkdir /tmp/x; echo up; sleep 1000");
    plan.seccomp = Seccomp::Localhost(profile);
    pod.spawn(&plan);
    let (_, output) = pod.exec_output("web", &["mkdir", "/tmp/y"]);
    assert!(output.contains("No space left on device"), "{output}");
    let mut plan = shell("odd", "true");
    plan.seccomp = Seccomp::Localhost(pod.path().join("none.json"));
    let null = fs::File::open("/dev/null").unwrap();
    let error = pod.make(&plan, &[], null.as_fd(), None).unwrap_err();
    assert!(error.contains("none.json"), "{error}");
}

pub fn filter_refuses_new_namespaces_by_clone_but_not_fork() {
    let profile =
        seccomp::default_profile(&std::collections::BTreeSet::default(), &Host::get().arch).unwrap();
    let kept = tempfile::tempdir().unwrap();
    let filter = seccomp::Filter::of(&profile, kept.path()).unwrap();
    // SAFETY: one thread; the child only makes system calls and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: takes numbers.
        let ok = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } == 0 && filter.load().is_ok();
        // SAFETY: clone as fork does it, and with a namespace.
        let (new_user, plain) = unsafe {
            let new_user = libc::syscall(libc::SYS_clone, libc::CLONE_NEWUSER | libc::SIGCHLD, 0, 0, 0, 0);
            if new_user == 0 {
                libc::_exit(0);
            }
            let refused = new_user < 0 && *libc::__errno_location() == libc::EPERM;
            let plain = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
            if plain == 0 {
                libc::_exit(0);
            }
            (refused, plain > 0)
        };
        let code = i32::from(!ok) + 2 * i32::from(!new_user) + 4 * i32::from(!plain);
        // SAFETY: ends the child.
        unsafe { libc::_exit(code) };
    }
    assert_eq!(wait(child), 0, "1: not loaded, 2: CLONE_NEWUSER was let through, 4: fork was refused");
}

pub fn our_executable_cannot_be_written() {
    let own = std::env::current_exe().unwrap();
    let output = std::process::Command::new(&own).arg("--sealed-child").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("sealed true"), "{text}");
    assert!(text.contains("write Read-only file system") || text.contains("write Text file busy"), "{text}");
    assert!(text.contains(&format!("program {}", own.display())), "{text}");
    let mode = fs::metadata(&own).unwrap().permissions().mode();
    assert_ne!(mode & 0o111, 0);
}
