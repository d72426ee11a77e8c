//! Moves a process that outlives its starter to a control group of its own.
//!
//! A service manager or a CI job that ends kills all processes left in its control group, and its limits count them.
//! Therefore a supervisor leaves the control group of the process that called `play`: with systemd for a transient
//! scope, otherwise for a group that all our supervisors share.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::pod::{make_v1, make_v2};
use super::{Cgroups, DRIVER_VARIABLE, Hierarchy, PARENT, systemd, systemd_runs};

/// The group below [`PARENT`] for our processes that belong to no pod.
const SUPERVISORS: &str = "supervisors";

/// Time limit for starting a scope, which takes systemd some milliseconds.
const SCOPE_WITHIN: Duration = Duration::from_secs(2);

/// Why a process remains in its starter's control group.
#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    /// The groups of these hierarchies could not be left.
    #[error("cannot leave the control group {}", .0.iter().map(|(dir, e)| format!("{}: {e}", dir.display())).collect::<Vec<_>>().join(", "))]
    Groups(Vec<(PathBuf, std::io::Error)>),
    /// systemd has started the scope but not moved the process.
    #[error("systemd has not moved this process into {scope} within {} s", SCOPE_WITHIN.as_secs())]
    NotMoved {
        /// The scope.
        scope: String,
    },
}

/// Moves this process, `role` of `subject` ("supervisor", "pod/web"), out of its starter's control group.
///
/// # Errors
/// Why that failed. The process continues in the group it is in.
pub fn leave_callers(role: &str, subject: &str) -> Result<(), LeaveError> {
    let by_hand = std::env::var_os(DRIVER_VARIABLE).is_some_and(|driver| driver == "cgroupfs");
    if systemd_runs() && !by_hand {
        let scope = format!("{PARENT}-{role}-{}.scope", uuid::Uuid::new_v4().simple());
        let description = format!("kube {role} of {subject}");
        match systemd::start_scope(&scope, &description, std::process::id()) {
            Ok(()) => return wait_for_scope(&scope),
            Err(e) => {
                tracing::warn!("cannot get a scope from systemd, a control group is made without it: {e}");
            }
        }
    }
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut failed = Vec::new();
    for (hierarchy, path) in memberships(&own, Cgroups::get()) {
        if must_leave(hierarchy, path)
            && let Err(e) = enter(hierarchy)
        {
            failed.push((hierarchy.dir(path), e));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(LeaveError::Groups(failed)) }
}

/// Returns whether a group has to be left, because it may end with its owner. The root of a hierarchy has no owner; it
/// is left only in a hierarchy where containers get no group of their own, because they inherit their supervisor's group
/// there, and it must not depend on the caller.
fn must_leave(hierarchy: &Hierarchy, path: &str) -> bool {
    path != format!("/{PARENT}/{SUPERVISORS}") && (path != "/" || !hierarchy.is_used())
}

fn enter(hierarchy: &Hierarchy) -> std::io::Result<()> {
    let parent = hierarchy.dir(PARENT);
    let dir = parent.join(SUPERVISORS);
    if hierarchy.unified {
        // Only the parent enables controllers for its children, as in v2 a group that does cannot contain processes.
        make_v2(hierarchy, &parent)?;
        fs::create_dir_all(&dir)?;
    } else {
        make_v1(hierarchy, &dir)?;
    }
    fs::write(dir.join("cgroup.procs"), "0")
}

/// Waits until systemd has moved this process, because systemd answers before that and sends no notification.
fn wait_for_scope(scope: &str) -> Result<(), LeaveError> {
    let since = Instant::now();
    while since.elapsed() < SCOPE_WITHIN {
        if fs::read_to_string("/proc/self/cgroup").is_ok_and(|own| own.contains(scope)) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(LeaveError::NotMoved { scope: scope.to_owned() })
}

/// Parses `/proc/PID/cgroup` (cgroups(7)): lines of `id:controllers:path`, without controllers for v2. Returns each
/// group with its hierarchy.
pub(super) fn memberships<'a>(own: &'a str, cgroups: &'a Cgroups) -> Vec<(&'a Hierarchy, &'a str)> {
    own.lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            let hierarchy = match controllers {
                "" => cgroups.hierarchies.iter().find(|one| one.unified),
                names => names.split(',').find_map(|name| cgroups.hierarchy(name)),
            };
            Some((hierarchy?, path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_group_is_left_in_every_hierarchy() {
        let hybrid = "30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      31 23 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                      32 23 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let cgroups = Cgroups::parse(hybrid, |_| String::new());
        let own = "4:memory:/ci/job:1\n3:name=systemd:/ci.slice/job.service\n0::/\n";
        let left: Vec<_> = memberships(own, &cgroups)
            .into_iter()
            .filter(|(hierarchy, path)| must_leave(hierarchy, path))
            .map(|(hierarchy, path)| (hierarchy.mount.display().to_string(), path))
            .collect();
        assert_eq!(
            left,
            [
                ("/sys/fs/cgroup/memory".to_owned(), "/ci/job:1"),
                ("/sys/fs/cgroup/systemd".to_owned(), "/ci.slice/job.service"),
                // Containers get no group of their own there.
                ("/sys/fs/cgroup/unified".to_owned(), "/"),
            ]
        );
        let of_memory = cgroups.hierarchy("memory").unwrap();
        assert!(!must_leave(of_memory, "/"));
        assert!(!must_leave(of_memory, "/kube-play/supervisors"));
        assert!(must_leave(of_memory, "/kube-play/supervisors/inner"));
    }
}
