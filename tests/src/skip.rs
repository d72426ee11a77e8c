//! Tests that cannot run on this host.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Records that the running test is skipped because of `reason`. The test returns afterwards:
/// `return skip("...")`.
///
/// Writes `SKIP name: reason` to stderr and appends it to the file that `KUBE_TEST_SKIPS` names, because
/// test runners hide the output of a test that passes. `tests/summary.sh` lists and counts these lines.
pub fn skip(reason: &str) {
    let line = format!("SKIP {}: {reason}\n", test_name());
    // Not by `eprintln!`, whose output libtest captures.
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("KUBE_TEST_SKIPS") {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Returns the name of the running test. libtest names the test's thread after the test; if tests run in the main
/// thread, the runner has passed the name as argument.
fn test_name() -> String {
    match std::thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default(),
    }
}

/// Ends the running test as skipped, unless it runs as root. For tests that mount file systems or change owners.
#[macro_export]
macro_rules! need_root {
    () => {
        if !$crate::is_root() {
            return $crate::skip("needs root, because it mounts file systems or changes owners");
        }
    };
}

/// Returns true if the process runs as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
