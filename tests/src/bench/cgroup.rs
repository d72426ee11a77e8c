//! CPU time by cgroup: what a command and all that it started took.

use std::fs;
use std::path::{Path, PathBuf};

/// The tree that accounts CPU time: cgroup v2's, or v1's cpuacct.
fn tree() -> PathBuf {
    let v2 = Path::new("/sys/fs/cgroup");
    if v2.join("cgroup.controllers").exists() { v2.to_owned() } else { v2.join("cpuacct") }
}

/// Folders of the tree whose name fits, without those below them.
pub fn find(fits: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut stack = vec![tree()];
    while let Some(dir) = stack.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|t| t.is_dir()) {
                continue;
            }
            if fits(&entry.file_name().to_string_lossy()) {
                found.push(entry.path());
            } else {
                stack.push(entry.path());
            }
        }
    }
    found
}

/// Removes a cgroup and those below it, as far as nothing runs in them.
pub fn remove(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(dir);
}

/// CPU time that a cgroup and those below it took so far, in milliseconds.
pub fn cpu_time(dir: &Path) -> Option<f64> {
    if let Ok(nanoseconds) = fs::read_to_string(dir.join("cpuacct.usage")) {
        return Some(nanoseconds.trim().parse::<f64>().ok()? / 1e6);
    }
    let stat = fs::read_to_string(dir.join("cpu.stat")).ok()?;
    let microseconds = stat.lines().find_map(|l| l.strip_prefix("usage_usec "))?;
    Some(microseconds.trim().parse::<f64>().ok()? / 1e3)
}

/// A cgroup for a command and what it starts.
pub struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    /// Makes one.
    pub fn new(name: &str) -> Self {
        let dir = tree().join(format!("kube-bench-{}-{name}", std::process::id()));
        fs::create_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        Self { dir }
    }

    /// The file to which a process writes 0 to move itself in.
    pub fn entry(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    /// Milliseconds of CPU time so far.
    pub fn time(&self) -> f64 {
        cpu_time(&self.dir).unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Processes that have just ended still count for a moment.
        for _ in 0..500 {
            if fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        eprintln!("bench: cannot remove {}", self.dir.display());
    }
}
