//! Attacks that other runtimes have fallen for, by their names.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use pod_core::runtime::console::ConsoleSocket;
use pod_core::runtime::spec::Mount;

use crate::pod::{Pod, pipe, read_all, shell, wait};

/// A folder of the host, open and inherited by whatever does not close it; 50 is its number.
fn leaked_folder(dir: &Path) -> fs::File {
    fs::write(dir.join("marker"), "host\n").unwrap();
    let folder = fs::File::open(dir).unwrap();
    // SAFETY: makes a number that nothing here uses lead to the folder too.
    assert_eq!(unsafe { libc::dup2(folder.as_raw_fd(), 50) }, 50);
    folder
}

const LOOK: &str = "cat marker ../marker 2>/dev/null; echo looked";

/// A working folder that is a descriptor of the runtime leads to the host.
pub fn cve_2024_21626_working_dir_through_a_leaked_descriptor() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let folder = leaked_folder(pod.path());
    let numbers = [3, 4, 5, 50];
    for (case, number) in numbers.iter().enumerate() {
        for (how, cwd) in ["/proc/self/fd", "/proc/1/fd", "/proc/thread-self/fd", "/link"].iter().enumerate()
        {
            let mut plan = shell(&format!("c{case}-{how}"), LOOK);
            plan.cwd = format!("{cwd}/{number}");
            let root = pod.rootfs(&plan.name);
            symlink("/proc/self/fd", root.join("link")).unwrap();
            let (read, write) = pipe();
            let made = pod.make_in(&plan, &root, &[], write.as_fd(), None);
            drop(write);
            if let Ok(pid) = made
                && pod.start(&pod.id(&plan.name)).is_ok()
            {
                assert!(!read_all(read).contains("host"), "{} leads to the host", plan.cwd);
                wait(pid);
            }
        }
    }
    drop(folder);
}

/// The same for a process that joins: here the container itself plants the link, after its start.
pub fn cve_2024_21626_exec_through_a_working_dir_that_was_swapped() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let folder = leaked_folder(pod.path());
    let mut plan = shell("web", "cd /; rmdir /work; ln -s /tmp/fd /work; echo up; sleep 1000");
    "/work".clone_into(&mut plan.cwd);
    let root = pod.rootfs("web");
    fs::create_dir(root.join("work")).unwrap();
    let (read, write) = pipe();
    pod.make_in(&plan, &root, &[], write.as_fd(), None).unwrap();
    drop(write);
    pod.start(&pod.id("web")).unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(read), &mut line).unwrap();
    assert_eq!(line, "up\n");
    for number in [3, 4, 5, 50] {
        let link = root.join("tmp/fd");
        let _ = fs::remove_file(&link);
        symlink(format!("/proc/self/fd/{number}"), &link).unwrap();
        let (read, write) = pipe();
        let joined = pod.exec("web", &["sh", "-c", LOOK], &[], write.as_fd(), None);
        drop(write);
        if let Ok(pid) = joined {
            assert!(!read_all(read).contains("host"), "descriptor {number} leads to the host");
            wait(pid);
        }
    }
    drop(folder);
}

/// Paths are hidden by /dev/null: one that is a link would be mounted, readable, in their place.
pub fn cve_2025_31133_dev_null_that_is_a_link() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let script = "stat -c %F /dev/null; cat /proc/keys /proc/interrupts | wc -c; \
                  echo x 2>/dev/null >/proc/sys/kernel/core_pattern || echo ro; \
                  echo x 2>/dev/null >/proc/interrupts; cat /proc/interrupts | wc -c";
    let before = fs::read("/proc/sys/kernel/core_pattern").unwrap();
    let plan = shell("web", script);
    let root = pod.rootfs("web");
    for name in ["null", "zero", "full", "ptmx"] {
        symlink("/proc/sys/kernel/core_pattern", root.join("dev").join(name)).unwrap();
    }
    let (read, write) = pipe();
    let pid = pod.make_in(&plan, &root, &[], write.as_fd(), None).unwrap();
    drop(write);
    pod.start(&pod.id("web")).unwrap();
    assert_eq!(read_all(read), "character special file\n0\nro\n0\n");
    wait(pid);
    assert_eq!(fs::read("/proc/sys/kernel/core_pattern").unwrap(), before);
    // A volume in its place is no device either.
    let file = pod.path().join("file");
    fs::write(&file, "").unwrap();
    let mount = Mount { source: file, destination: "/dev/null".to_owned(), ..Mount::default() };
    let (_read, write) = pipe();
    let error = pod.make(&shell("odd", "true"), &[mount], write.as_fd(), None).unwrap_err();
    assert!(error.contains("cannot be mounted at /dev/null"), "{error}");
}

/// The terminal is mounted at /dev/console: where that or /dev/pts is a link, it would hide something else.
pub fn cve_2025_52565_dev_console_and_dev_pts_that_are_links() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let mut plan =
        shell("web", "tty; stat -c %F /dev/console; echo x 2>/dev/null >/proc/sysrq-trigger || echo ro");
    plan.tty = true;
    let root = pod.rootfs("web");
    symlink("/proc/sysrq-trigger", root.join("dev/console")).unwrap();
    symlink("/proc/self", root.join("dev/pts")).unwrap();
    let socket = ConsoleSocket::bind(&pod.path().join("tty.sock")).unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    let pid = pod.make_in(&plan, &root, &[], null.as_fd(), Some(socket.path())).unwrap();
    let mut master = fs::File::from(socket.receive(Duration::from_secs(10)).unwrap());
    pod.start(&pod.id("web")).unwrap();
    let text = super::life::read_until(&mut master, "ro");
    assert!(text.contains("/dev/pts/0") && text.contains("character special file"), "{text}");
    wait(pid);
    // A volume at /dev/pts that holds what looks like the multiplexer.
    let pts = pod.path().join("pts");
    fs::create_dir(&pts).unwrap();
    let victim = pod.path().join("victim");
    fs::write(&victim, "whole").unwrap();
    symlink(&victim, pts.join("ptmx")).unwrap();
    let mut plan = shell("odd", "true");
    plan.tty = true;
    let socket = ConsoleSocket::bind(&pod.path().join("odd.sock")).unwrap();
    let mount = Mount { source: pts, destination: "/dev/pts".to_owned(), ..Mount::default() };
    assert!(pod.make(&plan, &[mount], null.as_fd(), Some(socket.path())).is_err());
    assert_eq!(fs::read(&victim).unwrap(), b"whole");
}

/// What a runtime writes to /proc (labels, kernel parameters) goes elsewhere where /proc is not the kernel's.
pub fn cve_2025_52881_a_false_proc() {
    let mut pod = Pod::new(None);
    pod.start_infra();
    let null = fs::File::open("/dev/null").unwrap();
    let fake = pod.path().join("fake");
    for dir in ["self/attr", "sys/kernel", "sys/net"] {
        fs::create_dir_all(fake.join(dir)).unwrap();
    }
    let cases = [
        ("volume", None, "/proc"),
        ("below", None, "/proc/self"),
        ("deep", None, "/proc/sys/kernel"),
        ("linked", Some("/proc"), "/data"),
        ("linked-deep", Some("../proc/sys"), "/data/kernel"),
    ];
    for (name, link, destination) in cases {
        let root = pod.rootfs(name);
        if let Some(target) = link {
            symlink(target, root.join("data")).unwrap();
        }
        let mount = Mount { source: fake.clone(), destination: destination.to_owned(), ..Mount::default() };
        let error = pod.make_in(&shell(name, "true"), &root, &[mount], null.as_fd(), None).unwrap_err();
        assert!(error.contains("a volume cannot be mounted at"), "{name}: {error}");
    }
    for name in ["proc", "sys"] {
        let root = pod.rootfs(&format!("no-{name}"));
        fs::remove_dir(root.join(name)).unwrap();
        symlink("/tmp", root.join(name)).unwrap();
        let plan = shell(&format!("no-{name}"), "true");
        let error = pod.make_in(&plan, &root, &[], null.as_fd(), None).unwrap_err();
        assert!(error.contains(&format!("/{name} of the image is not a folder")), "{error}");
    }
}
