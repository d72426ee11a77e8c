//! Other OCI runtimes, by their command line. One that is not installed, or that refuses this kind of host
//! (crun before 1.9 and a hybrid cgroup with controllers on its v2 side), is left out.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::signal::Signal;
use pod_core::runtime::console::ConsoleSocket;
use pod_core::runtime::{cgroup, open};

use crate::pod::{Pod, field, pipe, shell, signal, sleeper, wait};

fn each(test: impl Fn(&str)) {
    for name in ["runc", "crun"] {
        let hybrid = cgroup::Cgroups::get().version == cgroup::Version::Hybrid;
        if open(Some(name), std::path::Path::new("/tmp")).is_ok() && !(name == "crun" && hybrid) {
            test(name);
        }
    }
}

pub fn life_of_a_container() {
    each(|name| {
        let mut pod = Pod::new(Some(name));
        pod.start_infra();
        let (code, output) =
            pod.run(&shell("one", "echo hello; echo error >&2; ls /proc/self/fd | wc -l; exit 3"));
        assert_eq!((code, output.as_str()), (3, "hello\nerror\n4\n"), "{name}");
        let (pid, _output) = pod.spawn(&sleeper("two"));
        let (code, status) = pod.exec_output("two", &["cat", "/proc/self/status"]);
        assert_eq!(code, 0, "{name}: {status}");
        assert_eq!(field(&status, "Seccomp"), "2", "{name}");
        assert_eq!(field(&status, "CapEff"), "00000000a80425fb", "{name}");
        signal(pid, Signal::SIGTERM);
        assert_eq!(wait(pid), 7, "{name}");
        pod.delete(&pod.id("two")).unwrap();
        pod.delete(&pod.id("two")).unwrap();
    });
}

pub fn errors_are_the_runtimes_own_words() {
    each(|name| {
        let mut pod = Pod::new(Some(name));
        pod.start_infra();
        let mut plan = shell("web", "");
        plan.args = vec!["nothing-here".to_owned()];
        let (_read, write) = pipe();
        let made = pod.make(&plan, &[], write.as_fd(), None);
        let error = made.map_or_else(|error| error, |_| pod.start(&pod.id("web")).unwrap_err());
        assert!(error.contains("nothing-here"), "{name}: {error}");
    });
}

pub fn terminal() {
    each(|name| {
        let mut pod = Pod::new(Some(name));
        pod.start_infra();
        pod.spawn(&sleeper("web"));
        let socket = ConsoleSocket::bind(&pod.path().join("tty.sock")).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let args = ["sh", "-c", "test -t 0 && exit 9"];
        let pid = pod.exec("web", &args, &[], null.as_fd(), Some(socket.path())).unwrap();
        let _master = socket.receive(Duration::from_secs(10)).unwrap();
        assert_eq!(wait(pid), 9, "{name}");
    });
}

pub fn a_program_that_is_not_there_is_named() {
    let error = open(Some("no-such-runtime"), std::path::Path::new("/tmp")).err().unwrap().to_string();
    assert!(error.contains("\"no-such-runtime\" is not installed"), "{error}");
}
