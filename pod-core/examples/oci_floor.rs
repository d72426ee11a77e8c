//! The floor below every container: create and start of a bundle through an OCI runtime, as the supervisor does
//! it, and nothing else. `make bench` runs it.
//!
//!     oci_floor RUNTIME BUNDLE STATE RUNS    a line of milliseconds for each run

// A measurement that cannot be made ends with its reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use pod_core::runtime::{Create, Runtime, Stdio, open};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, name, bundle, state, runs] = arguments.as_slice() else {
        eprintln!("usage: oci_floor RUNTIME BUNDLE STATE RUNS");
        std::process::exit(2);
    };
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    let runtime = open(Some(name), Path::new(state)).unwrap();
    for run in 0..runs.parse::<u32>().unwrap() {
        let id = format!("floor-{}-{run}", std::process::id());
        let begun = Instant::now();
        let pid = create(&*runtime, &id, Path::new(bundle));
        let started = worker(|| runtime.start(&id).map(|()| 0));
        let took = begun.elapsed();
        let _ = nix::sys::signal::kill(Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        let _ = waitpid(Pid::from_raw(pid), None);
        worker(|| runtime.delete(&id).map(|()| 0)).unwrap();
        started.unwrap();
        println!("{:.3}", took.as_secs_f64() * 1e3);
    }
}

fn create(runtime: &dyn Runtime, id: &str, bundle: &Path) -> i32 {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null").unwrap();
    let stdio = Stdio { stdin: null.as_fd(), stdout: null.as_fd(), stderr: null.as_fd() };
    let create = Create { id, bundle, stdio, console_socket: None };
    worker(|| runtime.create(&create)).unwrap()
}

/// Makes a call in a fork, as the supervisor does.
fn worker(call: impl FnOnce() -> Result<i32, pod_core::runtime::Error>) -> Result<i32, String> {
    let (read, write) = std::io::pipe().unwrap();
    // SAFETY: this process has one thread.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let mut write = write;
            let text = match call() {
                Ok(pid) => format!("+{pid}"),
                Err(error) => format!("-{error}"),
            };
            let _ = write.write_all(text.as_bytes());
            // SAFETY: ends the worker without running what belongs to its parent.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(write);
            let text = std::io::read_to_string(read).unwrap();
            let _ = waitpid(child, None);
            match text.strip_prefix('+') {
                Some(pid) => Ok(pid.parse().unwrap()),
                None => Err(text.trim_start_matches('-').to_owned()),
            }
        }
    }
}
