//! OCI runtimes on the real kernel, as root. Each test is a process with one thread, as a worker is.

// A test program with a main function of its own, which clippy does not know for tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;
mod pod;

mod cases;

use pod_core::runtime::sealed_exe;

fn main() -> std::process::ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--sealed-child") {
        return sealed_child();
    }
    harness::main(cases::ALL)
}

/// Seals itself and says what came of it.
fn sealed_child() -> std::process::ExitCode {
    sealed_exe::reexec_sealed().unwrap();
    println!("sealed {}", sealed_exe::is_sealed());
    println!("program {}", sealed_exe::program().unwrap().display());
    match std::fs::File::options().write(true).open("/proc/self/exe") {
        Ok(_) => println!("write worked"),
        Err(error) => println!("write {error}"),
    }
    std::process::ExitCode::SUCCESS
}
