//! Builds what restricts a container: capabilities, hidden paths, devices, limits.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::manifest::Ulimit;
use crate::plan::{AppArmor, DevicePlan, Resources};
use crate::runtime::app_armor::DEFAULT_PROFILE;
use crate::runtime::cgroup::{Cgroups, Version, page_size_name};
use crate::runtime::host::{Device, Host};
use crate::runtime::spec::{DeviceNumber, Mount};

/// The user of an infra container, who owns nothing and needs no permission.
pub(super) const NOBODY: u32 = 65534;

/// The PATH for an image that sets none.
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Paths of /proc and /sys that are hidden in a container, as in containerd, because they give information about the
/// host or access to it.
const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Paths that are read-only in a container, as in containerd.
const READONLY_PATHS: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Returns `linux.maskedPaths` for a number of processors: each has a thermal path that reveals the host's load.
pub(super) fn masked_paths(cpus: u32) -> Vec<String> {
    let throttle = (0..cpus).map(|cpu| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle"));
    MASKED_PATHS.iter().map(|path| (*path).to_owned()).chain(throttle).collect()
}

/// Returns `linux.readonlyPaths`.
pub(super) fn readonly_paths() -> &'static [&'static str] {
    READONLY_PATHS
}

/// Returns `process.capabilities`: those that are asked for and that we have. A user other than root gets them in the
/// bounding set only; inheritable and ambient capabilities are never set (CVE-2022-24769).
pub(super) fn capabilities(wanted: &[String], uid: u32, host: &Host) -> Value {
    let bounding: BTreeSet<&String> = wanted.iter().filter(|one| host.capabilities.contains(*one)).collect();
    let effective = if uid == 0 { bounding.clone() } else { BTreeSet::new() };
    json!({
        "bounding": bounding,
        "effective": effective,
        "permitted": effective,
        "inheritable": [],
        "ambient": [],
    })
}

/// Returns `process.apparmorProfile`. Where the host cannot load the default profile, there is none.
pub(super) fn app_armor<'a>(profile: &'a AppArmor, host: &Host) -> Option<&'a str> {
    match profile {
        AppArmor::Unset | AppArmor::Unconfined => None,
        AppArmor::RuntimeDefault => host.app_armor.then_some(DEFAULT_PROFILE),
        AppArmor::Localhost(name) => Some(name),
    }
}

/// Returns `process.rlimits`.
pub(super) fn rlimits(ulimits: &[Ulimit]) -> Value {
    let one = |ulimit: &Ulimit| {
        let kind = format!("RLIMIT_{}", ulimit.name.to_ascii_uppercase());
        json!({ "type": kind, "soft": ulimit.soft, "hard": ulimit.hard })
    };
    ulimits.iter().map(one).collect()
}

/// Returns the nearest oom_score_adj that we may set.
pub(super) fn oom_score_adj(wanted: i32, host: &Host) -> i32 {
    wanted.clamp(-1000, 1000).max(host.oom_score_adj_min)
}

/// Returns `linux.resources`: device rules, and the limits that this host has controllers for.
pub(super) fn resources(
    resources: &Resources,
    privileged: bool,
    own: &[OwnDevice<'_>],
    mounts: &[Mount],
    host: &Host,
) -> Value {
    let mut rules = device_rules(privileged, own);
    if let Some(rules) = rules.as_array_mut().filter(|_| !privileged) {
        rules.extend(mounts.iter().filter_map(mounted_device));
    }
    let mut all = json!({ "devices": rules });
    let Some(fields) = all.as_object_mut() else { return all };
    if host.cgroups.hierarchy("cpu").is_some() {
        let cpu = cpu(resources);
        if cpu.as_object().is_some_and(|cpu| !cpu.is_empty()) {
            fields.insert("cpu".to_owned(), cpu);
        }
    }
    if let Some(limit) = resources.memory_limit.filter(|_| host.cgroups.hierarchy("memory").is_some()) {
        fields.insert("memory".to_owned(), memory(limit, &host.cgroups));
    }
    if !resources.huge_pages.is_empty() && host.cgroups.hierarchy("hugetlb").is_some() {
        let limits = resources.huge_pages.iter();
        let limits = limits.map(|(size, bytes)| json!({ "pageSize": page_size_name(*size), "limit": bytes }));
        fields.insert("hugepageLimits".to_owned(), limits.collect());
    }
    if let Some(limit) = resources.pids_limit.filter(|_| host.cgroups.hierarchy("pids").is_some()) {
        fields.insert("pids".to_owned(), json!({ "limit": limit }));
    }
    all
}

fn cpu(resources: &Resources) -> Value {
    let mut cpu = serde_json::Map::new();
    if let Some(shares) = resources.cpu_shares {
        cpu.insert("shares".to_owned(), json!(shares));
    }
    if let Some(quota) = resources.cpu_quota {
        cpu.insert("quota".to_owned(), json!(quota));
        cpu.insert("period".to_owned(), json!(resources.cpu_period.unwrap_or(100_000)));
    }
    Value::Object(cpu)
}

/// Returns a memory limit that includes swap: no swap may be used, as with the kubelet's default.
fn memory(limit: i64, cgroups: &Cgroups) -> Value {
    if cgroups.swap && cgroups.version != Version::None {
        json!({ "limit": limit, "swap": limit })
    } else {
        json!({ "limit": limit })
    }
}

/// Returns the device rules: every device may be created (mknod), only harmless ones may be opened.
fn device_rules(privileged: bool, own: &[OwnDevice<'_>]) -> Value {
    if privileged {
        return json!([{ "allow": true, "access": "rwm" }]);
    }
    let mut rules = vec![
        json!({ "allow": false, "access": "rwm" }),
        json!({ "allow": true, "type": "c", "access": "m" }),
        json!({ "allow": true, "type": "b", "access": "m" }),
    ];
    // null, zero, full, random, urandom, tty, console, ptmx; all pseudo-terminals follow.
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)] {
        rules.push(json!({ "allow": true, "type": "c", "major": major, "minor": minor, "access": "rwm" }));
    }
    rules.push(json!({ "allow": true, "type": "c", "major": 136, "access": "rwm" }));
    for (plan, device) in own {
        rules.push(json!({
            "allow": true,
            "type": if device.block { "b" } else { "c" },
            "major": device.major,
            "minor": device.minor,
            "access": plan.access,
        }));
    }
    Value::Array(rules)
}

/// Returns the rule for a device that a volume is.
fn mounted_device(mount: &Mount) -> Option<Value> {
    let DeviceNumber { block, major, minor } = mount.device?;
    let access = if mount.read_only { "r" } else { "rw" };
    let kind = if block { "b" } else { "c" };
    Some(json!({ "allow": true, "type": kind, "major": major, "minor": minor, "access": access }))
}

/// A device that a container asks for, with the node on this machine.
pub(super) type OwnDevice<'a> = (&'a DevicePlan, &'a Device);

/// Returns the devices that a container asks for and that this host has.
pub(super) fn own_devices<'a>(plan: &'a [DevicePlan], host: &'a Host) -> Vec<OwnDevice<'a>> {
    let find = |plan: &'a DevicePlan| {
        Some((plan, host.devices.iter().find(|device| device.path == Path::new(&plan.source))?))
    };
    plan.iter().filter_map(find).collect()
}

/// Returns the devices that a container asks for, at the paths that it asks for.
pub(super) fn moved(own: &[OwnDevice<'_>]) -> Vec<Device> {
    own.iter()
        .map(|(plan, device)| Device { path: (&plan.destination).into(), ..(*device).clone() })
        .collect()
}

/// Returns `linux.devices` of an unprivileged container: the devices that it asks for, at the paths that it asks for.
pub(super) fn asked_devices(own: &[OwnDevice<'_>]) -> Value {
    devices(&moved(own).iter().collect::<Vec<_>>())
}

/// Returns `linux.devices` of a privileged container.
pub(super) fn devices(devices: &[&Device]) -> Value {
    let nodes = devices.iter().map(|device| {
        json!({
            "path": device.path,
            "type": if device.block { "b" } else { "c" },
            "major": device.major,
            "minor": device.minor,
            "fileMode": device.mode,
            "uid": device.uid,
            "gid": device.gid,
        })
    });
    nodes.collect()
}
