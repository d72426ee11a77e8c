//! Other OCI runtimes, by their command line. The virtual machine runs these cases too, because crun refuses
//! the cgroups of some hosts.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::signal::Signal;
use pod_core::runtime::console::ConsoleSocket;
use pod_core::runtime::{cgroup, open};

use crate::pod::{Pod, field, pipe, shell, signal, sleeper, wait};

/// Returns whether the runtime `name` works with the cgroups of this host; if not, records that the case is
/// skipped.
fn is_usable(name: &str) -> bool {
    if name == "crun" && cgroup::Cgroups::get().version == cgroup::Version::Hybrid {
        tests::skip("crun before 1.9 refuses hybrid cgroups whose v2 side has a controller");
        return false;
    }
    open(Some(name), std::path::Path::new("/tmp")).unwrap();
    true
}

/// Makes a case per runtime of each test.
macro_rules! per_runtime {
    ($($case:ident: $test:ident($runtime:literal)),* $(,)?) => {
        $(pub fn $case() {
            if is_usable($runtime) {
                $test($runtime);
            }
        })*
    };
}

per_runtime! {
    life_of_a_container_in_runc: life_of_a_container("runc"),
    life_of_a_container_in_crun: life_of_a_container("crun"),
    errors_are_the_own_words_of_runc: errors_are_the_runtimes_own_words("runc"),
    errors_are_the_own_words_of_crun: errors_are_the_runtimes_own_words("crun"),
    terminal_in_runc: terminal("runc"),
    terminal_in_crun: terminal("crun"),
}

fn life_of_a_container(name: &str) {
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
}

fn errors_are_the_runtimes_own_words(name: &str) {
    let mut pod = Pod::new(Some(name));
    pod.start_infra();
    let mut plan = shell("web", "");
    plan.args = vec!["nothing-here".to_owned()];
    let (_read, write) = pipe();
    let made = pod.make(&plan, &[], write.as_fd(), None);
    let error = made.map_or_else(|error| error, |_| pod.start(&pod.id("web")).unwrap_err());
    assert!(error.contains("nothing-here"), "{name}: {error}");
}

fn terminal(name: &str) {
    let mut pod = Pod::new(Some(name));
    pod.start_infra();
    pod.spawn(&sleeper("web"));
    let socket = ConsoleSocket::bind(&pod.path().join("tty.sock")).unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let args = ["sh", "-c", "test -t 0 && exit 9"];
    let pid = pod.exec("web", &args, &[], null.as_fd(), Some(socket.path())).unwrap();
    let _master = socket.receive(Duration::from_secs(10)).unwrap();
    assert_eq!(wait(pid), 9, "{name}");
}

pub fn a_program_that_is_not_there_is_named() {
    let error = open(Some("no-such-runtime"), std::path::Path::new("/tmp")).err().unwrap().to_string();
    assert!(error.contains("\"no-such-runtime\" is not installed"), "{error}");
}
