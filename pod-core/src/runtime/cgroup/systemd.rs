//! The systemd driver: one slice per pod. The OCI runtime creates the containers' scopes in it.

use std::process::Command;
use std::time::{Duration, Instant};

use super::{Cgroups, SLICE, relative, weight_of_shares};
use crate::plan::Resources;
use crate::runtime::Error;

/// Returns the name of a pod's slice. A `-` would nest the slice deeper, so those of the uid become `_`, as with the
/// kubelet.
pub(super) fn slice_name(uid: &str) -> String {
    format!("{SLICE}-pod{}.slice", uid.replace('-', "_"))
}

/// Starts a pod's slice and sets its limits.
pub(super) fn start_slice(slice: &str, uid: &str, resources: &Resources) -> Result<(), Error> {
    let start = || {
        let mut properties: Vec<[String; 3]> = vec![
            ["Description".to_owned(), "s".to_owned(), format!("Pod {uid} of kube play")],
            ["CPUAccounting".to_owned(), "b".to_owned(), "true".to_owned()],
            ["MemoryAccounting".to_owned(), "b".to_owned(), "true".to_owned()],
            ["TasksAccounting".to_owned(), "b".to_owned(), "true".to_owned()],
        ];
        properties.extend(limits(resources));
        let mut busctl = manager();
        busctl.args(["StartTransientUnit", "ssa(sv)a(sa(sv))", slice, "replace"]);
        busctl.arg(properties.len().to_string()).args(properties.iter().flatten()).arg("0");
        run(busctl, slice)
    };
    match start() {
        Err(Error::Failed { message, .. }) if message.contains("already") => {
            if exists(slice) {
                // The limits of a running slice are set again.
                set_limits(slice, resources)
            } else {
                // Its folder was removed without systemd, which would never set limits in a new one.
                forget(slice);
                start()
            }
        }
        result => result,
    }
}

/// Returns whether the cgroup that a cgroups path names exists.
fn exists(cgroups_path: &str) -> bool {
    let path = relative(cgroups_path);
    Cgroups::get().hierarchies.iter().any(|hierarchy| hierarchy.dir(&path).is_dir())
}

/// Returns whether a message is systemd's answer to an attempt to move a process into a scope that has ended
/// (`bus_unit_method_attach_processes` in systemd's dbus-unit.c).
pub(super) fn is_stale_scope(message: &str) -> bool {
    message.contains("Failed to attach processes to control group: No such file or directory")
        || message.contains("Unit is not active, refusing")
}

/// How long [`forget`] waits, and how often it looks.
const FORGET_WITHIN: Duration = Duration::from_secs(5);
const FORGET_PAUSE: Duration = Duration::from_millis(10);

/// Stops the slice or scope that a cgroups path names, with all scopes in it, and waits until systemd has no unit of that
/// name any more. Returns whether that is so.
pub(super) fn forget(cgroups_path: &str) -> bool {
    let unit = unit(cgroups_path);
    let until = Instant::now() + FORGET_WITHIN;
    // Unlike StopUnit, systemctl waits until the unit has stopped.
    for command in ["stop", "reset-failed"] {
        // A unit that is gone already, or has not failed, is an error for systemctl and not for us.
        if let Err(error) = Command::new("systemctl").args(["--quiet", command, "--", &unit]).output() {
            tracing::warn!(%error, %unit, "cannot call systemctl");
        }
    }
    // systemd unloads a stopped unit a moment later.
    loop {
        let mut busctl = manager();
        busctl.args(["GetUnit", "s", &unit]);
        if matches!(run(busctl, &unit), Err(Error::Failed { message, .. }) if message.contains("not loaded"))
        {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(FORGET_PAUSE);
    }
}

/// Sets the limits of the running slice or scope that a cgroups path names.
pub(super) fn set_limits(cgroups_path: &str, resources: &Resources) -> Result<(), Error> {
    let (unit, limits) = (unit(cgroups_path), limits(resources));
    let mut busctl = manager();
    busctl.args(["SetUnitProperties", "sba(sv)", &unit, "true"]);
    busctl.arg(limits.len().to_string()).args(limits.iter().flatten());
    run(busctl, &unit)
}

/// Returns limits as properties of a unit (systemd.resource-control(5)).
fn limits(resources: &Resources) -> Vec<[String; 3]> {
    let mut properties = Vec::new();
    let mut number = |name: &str, value: u64| {
        properties.push([name.to_owned(), "t".to_owned(), value.to_string()]);
    };
    if let Some(shares) = resources.cpu_shares {
        number("CPUWeight", weight_of_shares(shares));
    }
    if let Some(quota) = resources.cpu_quota.and_then(|it| u64::try_from(it).ok()) {
        let period = resources.cpu_period.unwrap_or(100_000).max(1);
        number("CPUQuotaPerSecUSec", quota.saturating_mul(1_000_000) / period);
    }
    if let Some(limit) = resources.memory_limit.and_then(|it| u64::try_from(it).ok()) {
        number("MemoryMax", limit);
    }
    if let Some(limit) = resources.pids_limit {
        number("TasksMax", limit);
    }
    properties
}

/// Returns the unit that a cgroups path names.
fn unit(cgroups_path: &str) -> String {
    let mut parts = cgroups_path.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (_, Some(prefix), Some(name)) => format!("{prefix}-{name}.scope"),
        (slice, ..) => slice.unwrap_or_default().to_owned(),
    }
}

/// Starts a scope for a process that is already running. systemd removes the scope with its last process.
pub(super) fn start_scope(scope: &str, description: &str, pid: u32) -> Result<(), Error> {
    let mut busctl = manager();
    busctl.args(["StartTransientUnit", "ssa(sv)a(sa(sv))", scope, "fail", "3"]);
    busctl.args(["Description", "s", description]);
    busctl.args(["CollectMode", "s", "inactive-or-failed"]);
    busctl.args(["PIDs", "au", "1", &pid.to_string()]).arg("0");
    run(busctl, scope)
}

/// Stops the slice or the scope that a cgroups path names; a missing one is not an error.
pub(super) fn stop(cgroups_path: &str) -> Result<(), Error> {
    let unit = unit(cgroups_path);
    let mut busctl = manager();
    busctl.args(["StopUnit", "ss", &unit, "replace"]);
    match run(busctl, &unit) {
        Err(Error::Failed { message, .. }) if message.contains("not loaded") => Ok(()),
        result => result,
    }
}

/// Returns a busctl command that calls systemd's manager.
fn manager() -> Command {
    let mut busctl = Command::new("busctl");
    busctl.args([
        "--system",
        "--quiet",
        "call",
        "org.freedesktop.systemd1",
        "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager",
    ]);
    busctl
}

fn run(mut command: Command, unit: &str) -> Result<(), Error> {
    let output = command.output().map_err(Error::call("run", "busctl"))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Failed { action: "ask systemd for the cgroup of", id: unit.to_owned(), message })
}
