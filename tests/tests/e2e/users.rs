//! Pods with a user namespace of their own: hostUsers: false.

use std::os::unix::fs::MetadataExt;

use nix::sys::signal::Signal;
use tests::{IDLE, Kube, pod, pod_with};

/// Plays a pod with hostUsers: false; returns false where the host cannot run it, after checking that it says so.
fn play(kube: &Kube, name: &str, container: &str, spec: &str) -> bool {
    let yaml = pod_with(name, IDLE, container, &format!("  hostUsers: false\n{spec}"));
    let output = kube.try_play(&yaml, &[]);
    if output.code != 0 && output.stderr.contains("hostUsers: false needs") {
        assert!(kube.pods().is_empty(), "it was refused too late");
        return false;
    }
    output.expect(0);
    true
}

/// Returns the first id on the host of a pod's users.
fn first_id(kube: &Kube, pod: &str) -> u32 {
    let map = kube.sh(pod, "cat /proc/self/uid_map");
    let fields: Vec<u32> = map.split_whitespace().map(|field| field.parse().unwrap()).collect();
    assert_eq!((fields[0], fields[2]), (0, 65536), "{map}");
    fields[1]
}

const NOT_HERE: &str = "this kernel or file system has no id-mapped mounts";

#[test]
fn root_of_a_pod_is_nobody_on_the_host_and_owns_its_files() {
    let kube = Kube::new();
    if !play(&kube, "web", "", "") {
        return tests::skip(NOT_HERE);
    }
    let first = first_id(&kube, "web");
    assert!(first >= 0x7000_0000, "{first}");
    let main = kube.process("web", "trap 'exit 0'");
    assert_eq!(main.status("Uid").split_whitespace().next().unwrap(), first.to_string());
    assert_eq!(kube.sh("web", "id -u; stat -c %u:%g / /bin /etc/hosts /dev/shm"), "0\n0:0\n0:0\n0:0\n0:0\n");
    kube.sh(
        "web",
        "touch /made /etc/made && chown 1000:1000 /made && echo out >/dev/stdout && test -w /dev/null",
    );
    kube.sh(
        "web",
        "hostname other 2>/dev/null; mount -t tmpfs none /mnt 2>/dev/null; cat /proc/1/limits >/dev/null",
    );
    // The network belongs to the pod: its root may not change the host's.
    assert!(kube.ip("web").is_ipv4());
}

#[test]
fn runc_runs_a_pod_with_a_user_namespace() {
    let kube = Kube::new();
    if !play(&kube, "probe", "", "") {
        return tests::skip(NOT_HERE);
    }
    kube.ok(&["down", "probe", "--wait"]);
    let more = "    volumeMounts: [{name: v, mountPath: /v}]";
    let yaml = pod_with("web", IDLE, more, "  hostUsers: false\n  volumes: [{name: v, emptyDir: {}}]\n");
    kube.play_with(&yaml, &["--runtime", "runc", "--wait"]);
    let first = first_id(&kube, "web");
    let main = kube.process("web", "trap 'exit 0'");
    assert_eq!(main.status("Uid").split_whitespace().next().unwrap(), first.to_string());
    assert_eq!(
        kube.sh("web", "touch /made /v/made; id -u; stat -c %u:%g / /made /v/made"),
        "0\n0:0\n0:0\n0:0\n"
    );
    kube.ok(&["down", "web", "--wait"]);
}

#[test]
fn two_pods_share_no_id_and_a_pod_keeps_its_ids_when_its_container_starts_again() {
    let kube = Kube::new();
    if !play(&kube, "one", "", "") {
        return tests::skip(NOT_HERE);
    }
    play(&kube, "two", "", "");
    let (one, two) = (first_id(&kube, "one"), first_id(&kube, "two"));
    assert!(one.abs_diff(two) >= 65536, "{one} {two}");
    kube.sh_to_end("one", "kill -TERM 1");
    kube.until("one", |pod| pod["status"]["containerStatuses"][0]["restartCount"].as_u64() >= Some(1));
    kube.wait("one", "ready");
    assert_eq!(first_id(&kube, "one"), one);
    kube.ok(&["down", "two"]);
    play(&kube, "three", "", "");
    assert_ne!(first_id(&kube, "three"), one);
}

#[test]
fn volumes_keep_their_owners_on_disk_and_belong_to_the_users_of_the_pod() {
    let kube = Kube::new();
    let host = kube.dir().join("shared");
    std::fs::create_dir(&host).unwrap();
    std::os::unix::fs::chown(&host, Some(1000), Some(1000)).unwrap();
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: text}\n";
    kube.play(config);
    let mounts = "    securityContext: {runAsUser: 1000, runAsGroup: 1000}\n    volumeMounts:\n    - {name: host, mountPath: /host}\n    \
        - {name: disk, mountPath: /disk}\n    - {name: memory, mountPath: /memory}\n    - {name: config, mountPath: /config}\n    \
        - {name: disk, mountPath: /deep/er, subPath: part}\n    workingDir: /disk/work";
    let volumes = format!(
        "  volumes:\n  - {{name: host, hostPath: {{path: {}}}}}\n  - {{name: disk, emptyDir: {{}}}}\n  \
         - {{name: memory, emptyDir: {{medium: Memory}}}}\n  - {{name: config, configMap: {{name: c}}}}\n",
        host.display()
    );
    if !play(&kube, "web", mounts, &volumes) {
        return tests::skip(NOT_HERE);
    }
    kube.sh("web", "for dir in /host /disk /memory; do echo x >$dir/file || exit 1; done; cat /config/k");
    let made = std::fs::metadata(host.join("file")).unwrap();
    assert_eq!((made.uid(), made.gid()), (1000, 1000));
    assert_eq!(kube.sh("web", "stat -c %u /host /host/file /disk/file /config/k"), "1000\n1000\n1000\n0\n");
}

#[test]
fn a_killed_supervisor_and_a_removed_pod_leave_no_user_namespace() {
    let kube = Kube::new();
    if !play(&kube, "web", "", "") {
        return tests::skip(NOT_HERE);
    }
    let first = first_id(&kube, "web");
    for supervisor in kube.supervisors() {
        supervisor.kill(Signal::SIGKILL);
        assert!(supervisor.ends_within(tests::limit(10)));
    }
    assert_eq!(first_id(&kube, "web"), first);
    kube.ok(&["down", "web", "--wait"]);
    let claim = format!("/run/kube-play-shared/user-ids/{first}.json");
    let claimed = std::fs::read_to_string(claim).unwrap_or_default();
    let record = claimed.trim().trim_matches('"');
    assert!(!std::path::Path::new(record).exists(), "{record}");
}

#[test]
fn an_unmasked_proc_needs_a_user_namespace() {
    let kube = Kube::new();
    let context = "    securityContext: {procMount: Unmasked}";
    let file = kube.manifest(&pod_with("web", IDLE, context, ""));
    kube.run(&["check", &file]).expect(3).complains("procMount");
    if !play(&kube, "web", context, "") {
        return tests::skip(NOT_HERE);
    }
    let mounts = kube.sh("web", "grep -c ' /proc/' /proc/self/mounts || true");
    assert_eq!(mounts.trim(), "0");
}

#[test]
fn ids_above_65535_do_not_exist_in_a_user_namespace() {
    let kube = Kube::new();
    let yaml = pod("web", IDLE, "  hostUsers: false\n  securityContext: {runAsUser: 70000}\n");
    kube.try_play(&yaml, &[]).expect(1).complains("hostUsers: false");
    assert!(kube.pods().is_empty());
}
