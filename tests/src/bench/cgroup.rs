//! CPU time per cgroup: that of a command and of all processes that it started.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the tree that accounts CPU time: that of cgroup v2, or cpuacct of v1.
fn tree() -> PathBuf {
    let v2 = Path::new("/sys/fs/cgroup");
    if v2.join("cgroup.controllers").exists() { v2.to_owned() } else { v2.join("cpuacct") }
}

/// Returns the folders of the tree for whose name `fits` is true, without the folders below them.
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

/// Removes a cgroup and those below it, except where processes still run in them.
pub fn remove(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(dir);
}

/// Returns the CPU time that a cgroup and those below it have used so far, in milliseconds.
pub fn cpu_time(dir: &Path) -> Option<f64> {
    if let Ok(nanoseconds) = fs::read_to_string(dir.join("cpuacct.usage")) {
        return Some(nanoseconds.trim().parse::<f64>().ok()? / 1e6);
    }
    let stat = fs::read_to_string(dir.join("cpu.stat")).ok()?;
    let microseconds = stat.lines().find_map(|l| l.strip_prefix("usage_usec "))?;
    Some(microseconds.trim().parse::<f64>().ok()? / 1e3)
}

/// A cgroup for a command and the processes that it starts.
pub struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    /// Creates a cgroup.
    pub fn new(name: &str) -> Self {
        let dir = tree().join(format!("kube-bench-{}-{name}", std::process::id()));
        fs::create_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        Self { dir }
    }

    /// Returns the file to which a process writes 0 to move itself into the cgroup.
    pub fn entry(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    /// Returns the CPU time so far, in milliseconds.
    pub fn time(&self) -> f64 {
        cpu_time(&self.dir).unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Processes that have just ended stay in the cgroup for a moment.
        for _ in 0..500 {
            if fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        eprintln!("bench: cannot remove {}", self.dir.display());
    }
}
