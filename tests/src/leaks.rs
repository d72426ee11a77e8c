//! Finds what an instance left on the host: processes, mounts, namespaces, links, rules, cgroups.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::processes::{Process, processes};

/// Returns the bridges of the networks that are defined below `root`, and the device of Services.
pub(crate) fn bridges(root: &Path) -> Vec<String> {
    let files =
        fs::read_dir(root.join("networks/definitions")).into_iter().flatten().flatten().map(|e| e.path());
    let texts = files.filter(|p| p.extension().is_some_and(|e| e == "json")).filter_map(|p| fs::read(p).ok());
    let values = texts.filter_map(|t| serde_json::from_slice::<serde_json::Value>(&t).ok());
    let name = |v: serde_json::Value| Some(v.get("bridge")?.as_str()?.to_owned());
    // The device of Services, which has the name of their table.
    let of_services = fs::read(root.join("networks/service-ranges.json")).unwrap_or_default();
    let of_services: serde_json::Value = serde_json::from_slice(&of_services).unwrap_or_default();
    let device = of_services.get("device").and_then(|device| Some(device.as_str()?.to_owned()));
    values.filter_map(name).chain(device).collect()
}

fn belongs(process: &Process, dir: &str, uids: &BTreeSet<String>) -> bool {
    let mentions =
        |text: &str| uids.iter().any(|u| text.contains(u.as_str()) || text.contains(&u.replace('-', "_")));
    let own = process.pid == i32::try_from(std::process::id()).unwrap();
    !own && (process.command.contains(dir) || mentions(&process.command) || mentions(&process.cgroup))
}

fn ours(dir: &Path, uids: &BTreeSet<String>) -> Vec<Process> {
    let dir = dir.to_str().unwrap();
    processes().into_iter().filter(|p| belongs(p, dir, uids)).collect()
}

/// Waits until the instance's processes have ended, because a supervisor ends only after its last answer.
pub(crate) fn wait_for_processes(dir: &Path, uids: &BTreeSet<String>) {
    for process in ours(dir, uids) {
        process.ends_within(crate::limit(5));
    }
}

fn mounts(dir: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = text.lines().filter_map(|l| l.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|p| p.starts_with(dir)).collect()
}

/// Returns the cgroups whose names contain a pod's uid.
fn cgroups(uids: &BTreeSet<String>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut stack = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = stack.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|t| t.is_dir()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().replace('_', "-");
            if uids.iter().any(|u| name.contains(u.as_str())) {
                found.push(entry.path());
            }
            stack.push(entry.path());
        }
    }
    found
}

/// Returns the files below a folder that have a loop device, with the device.
fn loops(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let backing = entries.filter_map(|entry| {
        let file = fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
        file.starts_with(dir.to_str()?)
            .then(|| format!("{} {}", entry.file_name().display(), file.trim_end()))
    });
    backing.collect()
}

fn links() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().into_string().ok()).collect()
}

/// Returns the network links of an instance: its bridges and the links that are attached to them.
fn network_links(bridges: &BTreeSet<String>) -> Vec<String> {
    let of = |link: &String| {
        let master = fs::read_link(format!("/sys/class/net/{link}/master")).ok();
        let master = master.and_then(|m| Some(m.file_name()?.to_str()?.to_owned()));
        bridges.contains(link) || master.is_some_and(|m| bridges.contains(&m))
    };
    links().into_iter().filter(of).collect()
}

/// Returns a description of everything of an instance that is on the host.
pub(crate) fn find(dir: &Path, uids: &BTreeSet<String>, bridges: &BTreeSet<String>) -> Vec<String> {
    let mut left: Vec<_> =
        ours(dir, uids).iter().map(|p| format!("process {} {}", p.pid, p.command)).collect();
    left.extend(mounts(dir).iter().map(|m| format!("mount {}", m.display())));
    left.extend(cgroups(uids).iter().map(|c| format!("cgroup {}", c.display())));
    left.extend(network_links(bridges).iter().map(|l| format!("link {l}")));
    left.extend(loops(dir).iter().map(|l| format!("loop device {l}")));
    let rules = Command::new("nft").args(["list", "ruleset"]).output();
    let rules = rules.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let ours = |rule: &&str| {
        uids.iter().any(|u| rule.contains(u.as_str()))
            || bridges
                .iter()
                .any(|b| rule.contains(&format!("\"{b}\"")) || rule.contains(&format!("inet {b} ")))
    };
    left.extend(rules.lines().filter(ours).map(|r| format!("nft {}", r.trim())));
    left
}

/// Returns the files below the run tree whose names contain the uid of a pod.
pub(crate) fn files(run: &Path, uids: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    let mut stack = vec![run.to_owned()];
    while let Some(dir) = stack.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if uids.iter().any(|u| name.to_string_lossy().contains(u.as_str())) {
                found.push(format!("file {}", entry.path().display()));
            } else if entry.file_type().is_ok_and(|t| t.is_dir()) {
                stack.push(entry.path());
            }
        }
    }
    found
}

/// Returns true for files that stay when everything was taken down: images, the definitions of networks, locks,
/// memos.
fn may_stay(path: &str) -> bool {
    const FILES: [&str; 26] = [
        "root/images/index.json",
        "root/images/oci-layout",
        "root/images/lock",
        "root/ingress/certificate.json",
        "root/ingress/settings.json",
        "root/version.json",
        "root/networks/lock",
        "root/networks/service-ranges.json",
        "root/networks/definitions/kube.json",
        "root/networks/last/kube.json",
        "run/boot",
        "run/events",
        "run/events.1",
        "run/lock",
        "run/play.lock",
        "run/services/lock",
        "run/volumes.lock",
        "run/pause/pause",
        "run/networks/dns-port.json",
        "run/networks/names.lock",
        // Memos, and files of netavark.
        "run/glances.json",
        "run/networks/checked.json",
        "run/networks/taken.json",
        "run/networks/up.json",
        "run/networks/netavark/firewall/firewall-driver",
        "run/networks/netavark/firewall/firewall-reload.lock",
    ];
    // The content of images, and their locks.
    const BELOW: [&str; 3] = ["root/images/blobs/sha256/", "root/images/layers/", "root/images/locks/"];
    let digest = |name: &str, length| name.len() == length && name.bytes().all(|b| b.is_ascii_hexdigit());
    FILES.contains(&path)
        || path.strip_prefix("run/runtime/seccomp/").is_some_and(|name| digest(name, 32))
        || BELOW.iter().any(|dir| {
            path.strip_prefix(dir).is_some_and(|rest| {
                let name = rest.split('/').next().unwrap_or_default();
                *dir == "root/images/locks/" || digest(name, 64)
            })
        })
}

/// Folders that are empty when nothing is played.
const EMPTY: [&str; 7] = [
    "root/pods",
    "root/workloads",
    "root/images/tmp",
    "run/pods",
    "run/workloads",
    "run/netns",
    "run/networks/up",
];

/// Returns the files and folders below both trees that should not exist once everything was taken down.
pub(crate) fn unexpected_files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut stack = vec![dir.join("root"), dir.join("run")];
    while let Some(folder) = stack.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
            let in_empty = EMPTY.iter().any(|empty| Path::new(&name).parent() == Some(Path::new(empty)));
            if in_empty {
                found.push(format!("file {name}"));
            } else if entry.file_type().is_ok_and(|t| t.is_dir()) {
                // Folders of namespaces may stay, those of claims may not.
                if name.starts_with("root/volumes/") && name.matches('/').count() == 3 {
                    found.push(format!("volume {name}"));
                }
                stack.push(path);
            } else if !may_stay(&name) {
                found.push(format!("file {name}"));
            }
        }
    }
    // The files that all instances share.
    for entry in fs::read_dir("/run/kube-play-shared/endpoints").into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        if text.contains(dir.to_str().unwrap()) {
            found.push(format!("claim {}", entry.path().display()));
        }
    }
    found
}

/// Removes what a failed test left, as far as that is possible from outside.
pub(crate) fn remove(dir: &Path, uids: &BTreeSet<String>, bridges: &BTreeSet<String>) {
    let all = ours(dir, uids);
    for process in &all {
        process.kill(Signal::SIGKILL);
    }
    for process in &all {
        process.ends_within(crate::limit(5));
    }
    for mount in mounts(dir).iter().rev() {
        let _ = nix::mount::umount2(mount, nix::mount::MntFlags::MNT_DETACH);
    }
    for cgroup in cgroups(uids).iter().rev() {
        let _ = fs::remove_dir(cgroup);
    }
    for link in network_links(bridges) {
        let _ = Command::new("ip").args(["link", "del", &link]).output();
    }
    // Rules that were added to the firewall of the host.
    for program in ["iptables", "ip6tables"] {
        let Ok(listing) = Command::new(program).args(["-w", "-S"]).output() else { continue };
        let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
        let of = |line: &&str| line.starts_with("-A ") && line.split(' ').any(|word| bridges.contains(word));
        for rule in listing.lines().filter(of) {
            let rule = rule.split_ascii_whitespace().skip(1);
            let _ = Command::new(program).args(["-w", "-D"]).args(rule).output();
        }
    }
    for table in bridges {
        let _ = Command::new("nft").args(["delete", "table", "inet", table]).output();
    }
}
