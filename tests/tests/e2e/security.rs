//! The rights of a container, and what it can reach.

use tests::{IDLE, Kube, pod, pod_with};

fn with_context(kube: &Kube, context: &str) {
    kube.play(&pod_with("web", IDLE, &format!("    securityContext: {context}"), ""));
}

const CONTAINERD_CAPS: u64 = 0xa804_25fb;

fn caps(kube: &Kube, set: &str) -> u64 {
    let status = kube.sh("web", "cat /proc/self/status");
    let line = status.lines().find_map(|l| l.strip_prefix(&format!("{set}:"))).unwrap().trim();
    u64::from_str_radix(line, 16).unwrap()
}

#[test]
fn default_capabilities_are_containerds_also_for_exec() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let main = kube.process("web", "trap 'exit 0'");
    for set in ["CapEff", "CapBnd", "CapPrm"] {
        assert_eq!(
            u64::from_str_radix(&main.status(set), 16).unwrap(),
            CONTAINERD_CAPS,
            "{set} of the container"
        );
        assert_eq!(caps(&kube, set), CONTAINERD_CAPS, "{set} of exec");
    }
}

#[test]
fn capabilities_are_added_and_dropped() {
    let kube = Kube::new();
    with_context(&kube, "{capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}");
    assert_eq!(caps(&kube, "CapEff"), 1 << 10);
    assert_eq!(caps(&kube, "CapBnd"), 1 << 10);
}

#[test]
fn seccomp_is_on_also_for_exec() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    assert_eq!(kube.process("web", "trap 'exit 0'").status("Seccomp"), "2");
    assert_eq!(kube.sh("web", "grep ^Seccomp: /proc/self/status").trim(), "Seccomp:\t2");
    // The seccomp profile does not allow unshare(CLONE_NEWUSER).
    assert_ne!(kube.run(&["exec", "web", "--", "unshare", "-U", "true"]).code, 0);
}

#[test]
fn unconfined_means_no_seccomp() {
    let kube = Kube::new();
    with_context(&kube, "{seccompProfile: {type: Unconfined}}");
    assert_eq!(kube.sh("web", "grep ^Seccomp: /proc/self/status").trim(), "Seccomp:\t0");
}

#[test]
fn masked_and_read_only_paths_also_for_exec() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    assert_eq!(kube.sh("web", "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c").trim(), "0");
    assert_eq!(kube.sh("web", "ls /sys/firmware | wc -l").trim(), "0");
    for path in ["/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity"] {
        assert_ne!(
            kube.run(&["exec", "web", "--", "sh", "-c", &format!("echo x >{path}")]).code,
            0,
            "{path}"
        );
    }
}

#[test]
fn run_as_user_and_group_beat_the_images() {
    let kube = Kube::new();
    let spec = "  securityContext: {runAsUser: 1000, runAsGroup: 3000, supplementalGroups: [4000, 5000]}\n";
    let two = format!(
        "  - name: own\n    image: localhost/busybox:1\n    command: [sh, -c, {IDLE:?}]\n    securityContext: {{runAsUser: 0}}\n"
    );
    kube.play(&(pod("web", IDLE, spec) + &two));
    assert_eq!(kube.sh("web", "id -u; id -g"), "1000\n3000\n");
    let groups = kube.sh("web", "id -G");
    for group in ["4000", "5000", "2000"] {
        assert!(groups.split_whitespace().any(|g| g == group), "{group} is missing: {groups}");
    }
    assert_eq!(kube.ok(&["exec", "web", "-c", "own", "--", "id", "-u"]).stdout, "0\n");
    assert_eq!(caps(&kube, "CapEff"), 0);
}

#[test]
fn run_as_non_root_refuses_root() {
    let kube = Kube::new();
    let yaml = pod_with("web", IDLE, "    securityContext: {runAsNonRoot: true}", "");
    kube.try_play(&yaml, &[]).expect(1).complains("runAsNonRoot");
    assert_eq!(kube.pods().len(), 0);
    with_context(&kube, "{runAsNonRoot: true, runAsUser: 1000}");
    assert_eq!(kube.sh("web", "id -u"), "1000\n");
}

#[test]
fn read_only_root_filesystem() {
    let kube = Kube::new();
    with_context(&kube, "{readOnlyRootFilesystem: true}");
    assert_ne!(kube.run(&["exec", "web", "--", "touch", "/x"]).code, 0);
    kube.sh("web", "echo x >/dev/shm/x && echo >/etc/hosts || true");
}

#[test]
fn no_privilege_escalation() {
    let kube = Kube::new();
    with_context(&kube, "{allowPrivilegeEscalation: false}");
    assert_eq!(kube.process("web", "trap 'exit 0'").status("NoNewPrivs"), "1");
    assert_eq!(kube.sh("web", "grep NoNewPrivs /proc/self/status").trim(), "NoNewPrivs:\t1");
}

#[test]
fn privileged_has_every_capability_and_device() {
    let kube = Kube::new();
    with_context(&kube, "{privileged: true}");
    let own = tests::Process::of(i32::try_from(std::process::id()).unwrap()).unwrap();
    assert_eq!(caps(&kube, "CapEff"), u64::from_str_radix(&own.status("CapBnd"), 16).unwrap());
    assert_eq!(kube.sh("web", "grep ^Seccomp: /proc/self/status").trim(), "Seccomp:\t0");
    assert_eq!(kube.sh("web", "test -e /dev/kmsg && echo yes"), "yes\n");
}

#[test]
fn the_hosts_devices_cannot_be_reached_by_mknod() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    // mknod is allowed (CAP_MKNOD); opening the created device is not.
    let disk = std::fs::read_to_string("/proc/partitions").unwrap();
    let fields: Vec<_> = disk.lines().nth(2).unwrap().split_whitespace().collect();
    let script = format!("mknod /disk b {} {} && head -c 1 /disk", fields[0], fields[1]);
    let output = kube.run(&["exec", "web", "--", "sh", "-c", &script]);
    assert_ne!(output.code, 0, "a container has read the host's disk: {output}");
    output.complains("Operation not permitted");
    assert_eq!(
        kube.sh("web", "head -c 4 /dev/zero | wc -c; echo x >/dev/null; head -c 1 /dev/urandom | wc -c"),
        "4\n1\n"
    );
}

#[test]
fn no_descriptor_of_ours_leaks_into_a_container() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let main = kube.process("web", "trap 'exit 0'");
    let fds: Vec<_> = std::fs::read_dir(format!("/proc/{}/fd", main.pid))
        .unwrap()
        .map(|e| {
            let path = e.unwrap().path();
            (
                path.file_name().unwrap().to_str().unwrap().parse::<i32>().unwrap(),
                std::fs::read_link(path).unwrap(),
            )
        })
        // busybox sh keeps a copy of its own script input above 10; a `-c` script has none.
        .collect();
    assert!(fds.iter().all(|(n, _)| *n <= 2), "{fds:?}");
    assert_eq!(kube.sh("web", "ls /proc/self/fd | wc -l").trim(), "4", "0, 1, 2 and ls' own");
    let infra = kube.process("web", "pause");
    let fds: Vec<_> = std::fs::read_dir(format!("/proc/{}/fd", infra.pid))
        .unwrap()
        .map(|e| std::fs::read_link(e.unwrap().path()).unwrap())
        .collect();
    assert!(
        fds.iter().all(|f| f.starts_with("/dev/null") || f.to_str().unwrap().starts_with("pipe:")),
        "{fds:?}"
    );
}

#[test]
fn cve_2019_5736_the_kube_binary_cannot_be_reached_for_writing() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    // A container must never see the executable of `kube` through the processes that enter it.
    let output =
        kube.ok(&["exec", "web", "--", "sh", "-c", "for p in /proc/[0-9]*; do readlink $p/exe; done; true"]);
    for line in output.lines() {
        assert!(!line.contains("kube"), "{output}");
    }
    let shebang = "#!/proc/self/exe\n";
    let file = kube.file("evil", shebang);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let before = std::fs::read(std::env::var_os("KUBE_BIN").map_or_else(
        || std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("kube"),
        Into::into,
    ))
    .unwrap();
    let mounts = "    volumeMounts: [{name: v, mountPath: /evil}]";
    kube.play(&pod_with(
        "evil",
        IDLE,
        mounts,
        &format!("  volumes: [{{name: v, hostPath: {{path: {file}}}}}]\n"),
    ));
    kube.run(&["exec", "evil", "--", "/evil"]);
    kube.run(&["exec", "evil", "--", "sh", "-c", "echo overwritten >/proc/self/exe"]);
    let after = std::fs::read(std::env::var_os("KUBE_BIN").map_or_else(
        || std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("kube"),
        Into::into,
    ))
    .unwrap();
    assert!(before == after, "the binary was changed from a container");
}

#[test]
fn sysctls_are_set_in_the_pod_alone() {
    let kube = Kube::new();
    let spec = "  securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: '81'}, {name: kernel.shm_rmid_forced, value: '1'}]}\n";
    kube.play(&pod("web", IDLE, spec));
    assert_eq!(
        kube.sh("web", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"),
        "81\n1\n"
    );
    assert_ne!(
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap().trim(),
        "81"
    );
}

#[test]
fn net_sysctls_are_refused_with_host_network() {
    let kube = Kube::new();
    let spec = "  hostNetwork: true\n  securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: '81'}]}\n";
    let output = kube.try_play(&pod("web", IDLE, spec), &[]);
    assert_eq!(output.code, 3, "{output}");
    output.complains("net.ipv4.ip_unprivileged_port_start");
}

/// Finds the files below `dir` that a user who is not root can read.
fn readable(dir: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        // These are mounts of a container's root and not files of `kube`.
        if ["proc", "sys", "dev"].iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let mode = meta.permissions().mode();
        if meta.is_dir() && mode & 0o001 != 0 {
            readable(&entry.path(), found);
        } else if meta.is_file() && mode & 0o004 != 0 {
            found.push(entry.path());
        }
    }
}

#[test]
fn secrets_and_logs_are_for_root_alone() {
    let kube = Kube::new();
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {pass: s3cret-word}\n---\n";
    let more = "    env: [{name: PASS, valueFrom: {secretKeyRef: {name: key, key: pass}}}]\n    \
                volumeMounts: [{name: v, mountPath: /v}]";
    let script = format!("echo $PASS; {IDLE}");
    let spec = "  volumes: [{name: v, secret: {secretName: key}}]\n";
    kube.play(&(secret.to_owned() + &pod_with("web", &script, more, spec)));
    kube.start(&["logs", "-f", "web"]).line(|l| l == "s3cret-word");
    let mut found = Vec::new();
    readable(&kube.root(), &mut found);
    readable(&kube.runroot(), &mut found);
    for path in found {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
        let tells = text.contains("s3cret-word") || text.contains("czNjcmV0LXdvcmQ");
        assert!(!tells, "anybody can read the secret in {}", path.display());
    }
}

#[test]
fn selinux_options_without_selinux_are_a_warning_and_the_pod_runs() {
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        return tests::skip("this host has SELinux");
    }
    let kube = Kube::new();
    let context = "    securityContext: {seLinuxOptions: {type: spc_t, level: 's0:c1,c2'}}";
    let output =
        kube.play(&pod_with("web", IDLE, context, "  securityContext: {seLinuxChangePolicy: Recursive}\n"));
    assert_eq!(output.stderr.matches("this host has no SELinux").count(), 1, "{output}");
    kube.wait("web", "ready");
}
