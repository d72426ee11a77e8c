//! A damaged file in one of the trees stops only the commands that need it. Their error names the file and what to
//! do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use tests::{IDLE, Kube, in_vm, limit, pod, pod_with, skip};

/// A way to damage a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Empty,
    CutOff,
    Random,
    Folder,
}

impl Damage {
    const ALL: [Self; 4] = [Self::Empty, Self::CutOff, Self::Random, Self::Folder];

    fn apply_to(self, path: &Path) {
        let bytes = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        match self {
            Self::Empty => std::fs::write(path, b"").unwrap(),
            Self::CutOff => std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap(),
            Self::Random => {
                let noise: Vec<u8> = (0..=255_u8).map(|i| i.wrapping_mul(167) ^ 0x5a).collect();
                std::fs::write(path, noise).unwrap();
            }
            Self::Folder => std::fs::create_dir(path).unwrap(),
        }
    }
}

/// Restores a damaged file.
fn restore(path: &Path, bytes: &[u8]) {
    if path.is_dir() {
        std::fs::remove_dir(path).unwrap();
    }
    std::fs::write(path, bytes).unwrap();
}

fn new_pod() -> String {
    pod("new", IDLE, "")
}

/// Creates an instance with the pods `web`, which uses one object of each kind, and `other`.
fn playing() -> Kube {
    let kube = Kube::new();
    let objects = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {key: value}\n---\n\
                   apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {key: value}\n---\n\
                   apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  accessModes: [ReadWriteOnce]\n  \
                   resources: {requests: {storage: 1Gi}}\n---\n\
                   apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n---\n";
    let spec =
        "  volumes: [{name: c, configMap: {name: c}}, {name: d, persistentVolumeClaim: {claimName: data}}]\n";
    let mounts = "    volumeMounts: [{name: c, mountPath: /c}, {name: d, mountPath: /d}]";
    kube.ok(&["network", "create", "spare"]);
    kube.play(
        &(objects.to_owned() + &pod_with("web", IDLE, mounts, spec) + "---\n" + &pod("other", IDLE, "")),
    );
    kube.wait("web", "ready");
    kube.wait("other", "ready");
    // Memos are written only once files have stopped changing.
    kube.until_all(|_| kube.runroot().join("glances.json").exists());
    kube
}

/// Returns one file of `kube` of each kind that is not empty, by its path without uids and names of this instance.
fn kinds(kube: &Kube) -> BTreeMap<String, PathBuf> {
    fn walk(dir: &Path, top: &Path, names: &[(String, &str)], found: &mut BTreeMap<String, PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let is_file = std::fs::symlink_metadata(&path).unwrap().file_type().is_file();
            let mut kind = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            for (name, short) in names {
                kind = kind.replace(name, short);
            }
            // Files of containers and images; a sealed program; logs, which contain what containers wrote.
            let foreign = [
                "images/blobs",
                "WEB/volumes",
                "WEB/containers",
                "run/pause",
                "diff",
                "data/data",
                "run/netns",
            ];
            if foreign.iter().any(|part| kind.ends_with(part))
                || kind.contains("OTHER")
                || kind.contains("_other")
            {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                walk(&path, top, names, found);
            } else if is_file
                && !kind.ends_with("lock")
                && !kind.ends_with("/reserve")
                && !kind.ends_with(".log")
            {
                found.entry(kind).or_insert(path);
            }
        }
    }
    let uid = |pod: &str| kube.pod(pod)["metadata"]["uid"].as_str().unwrap().to_owned();
    let names = [(uid("web"), "WEB"), (uid("other"), "OTHER")];
    let mut found = BTreeMap::new();
    for tree in [kube.root(), kube.runroot()] {
        walk(&tree, kube.dir(), &names, &mut found);
    }
    found
}

/// Commands, and the kinds of files that each of them needs.
const COMMANDS: [(&[&str], &[&str]); 15] = [
    (&["ps"], &[]),
    (&["ps", "-o", "json"], &[]),
    (&["get", "all,cm,secret,pvc,ns,nodes"], &[]),
    (&["logs", "other"], &[]),
    (&["exec", "other", "--", "true"], &[]),
    (&["inspect", "other"], &[]),
    (&["events"], &["run/events"]),
    (&["generate", "other"], &[]),
    (&["network", "ls"], &[]),
    (&["volume", "ls"], &[]),
    (&["image", "ls"], &["root/images/"]),
    (&["wait", "other", "--for=ready", "--timeout", "20s"], &[]),
    (&["info"], &["root/images/"]),
    (&["inspect", "web"], &["root/workloads/", "run/pods/"]),
    (&["logs", "web"], &["root/workloads/"]),
];

const SLOW: &str = "two thousand commands take half an hour on an emulated machine";

#[test]
fn every_damaged_file_stops_only_what_needs_it_and_is_named() {
    if in_vm() {
        return skip(SLOW);
    }
    let kube = playing();
    let new = kube.file("new.yaml", new_pod());
    let kinds = kinds(&kube);
    for known in [
        "root/workloads/pod_default_web/workload.json",
        "root/objects/configmap/default/c.json",
        "root/objects/service/default/web.json",
        "run/services/applied.json",
        "run/workloads/pod_default_web/endpoints.json",
        "run/boot",
        "root/networks/definitions/kube.json",
        "root/networks/leases/WEB.json",
        "run/pods/WEB/state.json",
        "root/images/index.json",
        "run/glances.json",
        "root/volumes/default/data/volume.json",
        "run/networks/up/WEB.json",
    ] {
        assert!(kinds.contains_key(known), "{known} is not among {:#?}", kinds.keys());
    }
    let mut wrong = Vec::new();
    for (kind, path) in &kinds {
        let Ok(bytes) = std::fs::read(path) else { continue };
        for damage in Damage::ALL {
            let play: (&[&str], &[&str]) = (&["play", &new], &["root/images/"]);
            let down: (&[&str], &[&str]) = (&["down", "pod/new", "--time", "0", "--ignore-not-found"], &[]);
            for (args, needs) in COMMANDS.iter().chain([&play, &down]) {
                // A supervisor may have written the file again.
                if std::fs::read(path).is_ok_and(|now| now == bytes) {
                    damage.apply_to(path);
                }
                let output = kube.run(args);
                let needed = needs.iter().any(|need| kind.starts_with(need));
                let named = output.stderr.contains(&format!("{} is damaged (", path.display()));
                if output.code != 0 && !(needed && named) {
                    wrong.push(format!("{kind}, {damage:?}: {output}"));
                }
            }
            restore(path, &bytes);
            kube.run(&["down", "new", "--force", "--ignore-not-found"]);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn with_any_file_damaged_everything_can_be_taken_down() {
    if in_vm() {
        return skip(SLOW);
    }
    let count = kinds(&playing()).len();
    let mut wrong = Vec::new();
    for n in 0..count {
        // In every second case the supervisors have been killed, so that nothing knows the contents of the file any
        // more.
        for damage in [Damage::Random, Damage::Folder] {
            let kind = std::cell::RefCell::new(String::new());
            let case = || {
                let kube = playing();
                let Some((found, path)) = kinds(&kube).into_iter().nth(n) else { return };
                kind.replace(found);
                if matches!(damage, Damage::Random) {
                    for supervisor in kube.supervisors() {
                        supervisor.kill(Signal::SIGKILL);
                        assert!(supervisor.ends_within(limit(10)));
                    }
                }
                damage.apply_to(&path);
                let output = kube.ok(&["down", "--all", "--force"]);
                let left = kube.left_behind();
                assert!(left.is_empty(), "left behind {left:#?}\n{output}");
            };
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(case)).is_err() {
                wrong.push(format!("{} {damage:?}", kind.borrow()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_workload_whose_record_is_damaged_is_told_with_what_to_do_and_goes_by_force() {
    let kube = playing();
    let uid = kube.pod("web")["metadata"]["uid"].as_str().unwrap().to_owned();
    let record = kube.root().join("workloads/pod_default_web/workload.json");
    // A running supervisor knows the contents of the record and writes it again.
    Damage::Random.apply_to(&record);
    let output = kube.ok(&["ps"]);
    assert!(output.stderr.contains("the supervisor of pod/web has written it again"), "{output}");
    assert_eq!(kube.pods(), ["other", "web"]);

    for supervisor in kube.supervisors() {
        supervisor.kill(Signal::SIGKILL);
        assert!(supervisor.ends_within(limit(10)));
    }
    Damage::CutOff.apply_to(&record);
    assert_eq!(kube.pods(), ["other"]);
    assert!(!kube.processes_of(&uid).is_empty(), "what runs is no leftover");
    for args in [&["down", "web"][..], &["inspect", "web"], &["logs", "web"]] {
        let output = kube.run(args).expect(1);
        assert!(output.stderr.contains(record.to_str().unwrap()), "{output}");
        assert!(output.stderr.contains("`kube down --force pod/web`"), "{output}");
    }
    let refused = kube.run(&["volume", "rm", "data"]).expect(1);
    assert!(refused.stderr.contains(record.to_str().unwrap()), "nobody knows who uses it: {refused}");
    kube.ok(&["down", "--force", "pod/web"]);
    assert!(kube.processes_of(&uid).is_empty());
    kube.ok(&["volume", "rm", "data"]);
    assert_eq!(kube.pods(), ["other"]);
}
