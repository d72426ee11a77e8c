//! The environment that a container finds when it starts, with the built-in runtime and with runc, for which images
//! are built.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tests::image::{Entry, tar};
use tests::{IDLE, Kube, cgroup_v2, pod, pod_with};

/// The two runtimes that every test machine has.
const RUNTIMES: [&[&str]; 2] = [&[], &["--runtime", "runc"]];

#[test]
fn links_of_the_image_that_lead_nowhere_are_places_to_mount() {
    let kube = Kube::new();
    let busybox = std::fs::read("/bin/busybox").unwrap();
    let mut entries: Vec<Entry<'_>> =
        ["bin", "etc", "proc", "sys", "dev"].iter().map(|name| Entry::Dir(name, 0o755)).collect();
    entries.extend([
        Entry::File("bin/busybox", 0o755, &busybox),
        Entry::Symlink("bin/sh", "busybox"),
        Entry::Symlink("bin/cat", "busybox"),
        Entry::Symlink("bin/sleep", "busybox"),
        Entry::Symlink("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"),
        Entry::Symlink("etc/hosts", "/nowhere/hosts"),
        Entry::Symlink("etc/hostname", "../../../../run/hostname"),
        Entry::Symlink("data", "mnt/deep/data"),
        Entry::Symlink("config", "/etc/absent/config"),
    ]);
    let file = kube.file("links.tar", tar(&entries));
    kube.ok(&["image", "import", &file, "localhost/links:1", "--env", "PATH=/bin", "--cmd", "sh"]);
    let one = kube.file("one.txt", "one file");
    let mounts = "    volumeMounts: [{name: v, mountPath: /data}, {name: f, mountPath: /config}]";
    let spec = format!("  volumes: [{{name: v, emptyDir: {{}}}}, {{name: f, hostPath: {{path: {one}}}}}]\n");
    let yaml = pod_with("web", IDLE, mounts, &spec).replace(tests::image::BUSYBOX, "localhost/links:1");
    for flags in RUNTIMES {
        kube.play_with(&yaml, flags);
        let script =
            "cat /etc/hostname /config; echo; cat /run/hostname; echo x >/mnt/deep/data/x; cat /data/x";
        assert_eq!(kube.sh("web", script), "web\none file\nweb\nx\n", "{flags:?}");
        let files = kube.sh("web", "cat /etc/hosts /etc/resolv.conf");
        assert!(files.contains("\tweb") && files.contains("nameserver"), "{flags:?}: {files}");
        kube.ok(&["down", "web", "--wait"]);
    }
    assert!(!Path::new("/nowhere").exists(), "made on the host");
}

#[test]
fn a_working_dir_that_is_not_there_is_made_below_a_volume_too() {
    let kube = Kube::new();
    let more = "    workingDir: /not/there\n    securityContext: {runAsUser: 1000}\n    \
                volumeMounts: [{name: v, mountPath: /v}]";
    let below = "  - name: below\n    image: localhost/busybox:1\n    workingDir: /v/src/../deep/x\n    \
                 command: [sh, -c, 'pwd; exec sleep 1000']\n    volumeMounts: [{name: v, mountPath: /v}]\n";
    let yaml = pod_with("web", IDLE, more, "  volumes: [{name: v, emptyDir: {}}]\n") + below;
    for flags in RUNTIMES {
        kube.play_with(&yaml, flags);
        assert_eq!(
            kube.sh("web", "pwd; stat -c '%u:%g %a' /not /not/there"),
            "/not/there\n0:0 755\n0:0 755\n"
        );
        assert_eq!(kube.sh("web", "stat -c '%u:%g %a' /v/deep/x"), "0:0 755\n", "{flags:?}");
        kube.ok(&["down", "web", "--wait"]);
    }
}

#[test]
fn a_working_dir_that_cannot_be_is_named() {
    let kube = Kube::new();
    let yaml = pod_with("web", IDLE, "    workingDir: /etc/passwd/below", "");
    for flags in RUNTIMES {
        let output = kube.try_play(&yaml, flags).expect(1);
        assert!(output.stderr.contains("/etc/passwd"), "{output}");
    }
    // The folder is removed before a command is run in it.
    kube.play(&pod_with("web", IDLE, "    workingDir: /work", ""));
    kube.sh("web", "rmdir /work");
    let output = kube.run(&["exec", "web", "--", "true"]);
    assert_ne!(output.code, 0);
    output.complains("workingDir /work: no such file or directory");
}

#[test]
fn a_user_who_is_not_root_opens_the_standard_streams_again() {
    let kube = Kube::new();
    let spec = "  securityContext: {runAsUser: 1000, runAsGroup: 1000}\n";
    let script = format!("echo out >/dev/stdout; echo err >/dev/stderr; : </dev/stdin && echo in; {IDLE}");
    let more = |name: &str, field: &str, script: &str| {
        format!(
            "  - name: {name}\n    image: localhost/busybox:1\n    {field}: true\n    command: [sh, -c, {script:?}]\n"
        )
    };
    let yaml = pod("web", &script, spec)
        + &more("term", "tty", &format!("echo term >/dev/stdout; {IDLE}"))
        + &more("fed", "stdin", &format!("exec 3</dev/stdin && echo opened; {IDLE}"));
    for flags in RUNTIMES {
        kube.play_with(&yaml, &[&["--wait"], flags].concat());
        let logs = |name: &str| kube.ok(&["logs", "web", "-c", name]).stdout;
        let mut lines: Vec<_> = logs("main").lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, ["err", "in", "out"], "{flags:?}");
        assert_eq!(logs("term").trim_end(), "term", "{flags:?}");
        assert_eq!(logs("fed"), "opened\n", "{flags:?}");
        let script = "cat </dev/stdin >/proc/self/fd/1; echo err >/dev/stderr";
        let output =
            kube.run_with_input(&["exec", "-i", "web", "-c", "main", "--", "sh", "-c", script], "sent");
        assert_eq!((output.code, &*output.stdout, &*output.stderr), (0, "sent", "err\n"), "{flags:?}");
        let script = "echo seen-$((1+0)) >/dev/stdout";
        let mut terminal = kube.terminal(&["exec", "-it", "web", "-c", "main", "--", "sh", "-c", script]);
        terminal.shows("seen-1");
        assert_eq!(terminal.end().0, 0, "{flags:?}");
        kube.ok(&["down", "web", "--wait"]);
    }
}

#[test]
fn devices_of_the_host_may_be_mounted_at_their_own_paths() {
    let kube = Kube::new();
    let more = "    securityContext: {privileged: true}\n    volumeMounts: [{name: k, mountPath: /dev/kmsg}, \
                {name: null-device, mountPath: /dev/null}, {name: p, mountPath: /dev/net}]";
    let spec = "  volumes: [{name: k, hostPath: {path: /dev/kmsg, type: CharDevice}}, \
                {name: null-device, hostPath: {path: /dev/null, type: CharDevice}}, {name: p, hostPath: {path: /dev/net}}]\n";
    for flags in RUNTIMES {
        kube.play_with(&pod_with("web", IDLE, more, spec), flags);
        let script = "stat -c %t:%T /dev/kmsg /dev/null /dev/net/tun /dev/zero; echo x >/dev/null";
        assert_eq!(kube.sh("web", script), "1:b\n1:3\na:c8\n1:5\n", "{flags:?}");
        kube.ok(&["down", "web", "--wait"]);
    }
}

#[test]
fn an_empty_home_is_that_of_passwd() {
    let kube = Kube::new();
    for flags in RUNTIMES {
        kube.play_with(&pod_with("web", IDLE, "    env: [{name: HOME, value: \"\"}]", ""), flags);
        assert_eq!(
            kube.sh("web", "echo $HOME; tr '\\0' '\\n' </proc/1/environ | grep ^HOME"),
            "/root\nHOME=/root\n"
        );
        kube.ok(&["down", "web", "--wait"]);
    }
}

#[test]
fn any_port_and_ping_are_for_every_user_unless_the_pod_says_otherwise() {
    let kube = Kube::new();
    let show = "cd /proc/sys/net/ipv4; cat ip_unprivileged_port_start ping_group_range";
    for flags in RUNTIMES {
        let spec = "  securityContext: {runAsUser: 1000}\n";
        let drop = "    securityContext: {capabilities: {drop: [ALL]}}";
        kube.play_with(&pod_with("web", &format!("httpd -p 80 -h /; {IDLE}"), drop, spec), flags);
        assert_eq!(kube.sh("web", show), "0\n0\t2147483647\n", "{flags:?}");
        kube.sh("web", "i=0; until wget -qO /tmp/x http://127.0.0.1/bin/busybox || [ $i -gt 50 ]; do i=$((i+1)); sleep 0.1; done; test -s /tmp/x");
        kube.ok(&["down", "web", "--wait"]);
        let own =
            "  securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: \"1024\"}]}\n";
        kube.play_with(&pod("web", IDLE, own), flags);
        assert_eq!(kube.sh("web", show), "1024\n0\t2147483647\n", "{flags:?}");
        kube.ok(&["down", "web", "--wait"]);
    }
    let hosts = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    kube.play(&pod("web", IDLE, "  hostNetwork: true\n"));
    assert_eq!(kube.sh("web", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"), hosts);
}

#[test]
fn a_sysctl_that_the_kernel_refuses_is_told_with_the_cause() {
    let kube = Kube::new();
    let with = |name: &str, value: &str| {
        let spec = format!("  securityContext: {{sysctls: [{{name: {name}, value: {value:?}}}]}}\n");
        kube.try_play(&pod("web", IDLE, &spec), &[]).expect(1)
    };
    with("net.core.somaxconn", "many").complains("net.core.somaxconn=many").complains("Invalid argument");
    with("net.core.nosuch", "1").complains("net.core.nosuch");
}

/// Returns the bytes of all files below a folder that are on the folder's file system.
fn size_of(dir: &Path) -> u64 {
    let device = std::fs::metadata(dir).unwrap().dev();
    let mut size = 0;
    let mut stack = vec![dir.to_owned()];
    while let Some(dir) = stack.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let Ok(meta) = entry.path().symlink_metadata() else { continue };
            if meta.dev() == device {
                size += meta.blocks() * 512;
                if meta.is_dir() {
                    stack.push(entry.path());
                }
            }
        }
    }
    size
}

#[test]
fn cve_2020_8557_what_a_container_writes_does_not_fill_the_run_tree() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let before = size_of(&kube.runroot());
    for file in ["hosts", "hostname", "resolv.conf"] {
        kube.sh("web", &format!("dd if=/dev/zero of=/etc/{file} bs=1M count=16 2>/dev/null"));
    }
    let after = size_of(&kube.runroot());
    assert!(after < before + (1 << 20), "{before} bytes have become {after}");
    // The file systems in memory that a container can write to: /dev and /dev/shm.
    for (dir, most) in [("/dev", 65536), ("/dev/shm", 65536)] {
        let kilobytes = kube.sh("web", &format!("df -k {dir} | tail -1 | awk '{{print $2}}'"));
        assert!(kilobytes.trim().parse::<u64>().unwrap() <= most, "{dir}: {kilobytes}");
    }
    kube.ok(&["down", "web", "--wait"]);
    assert_eq!(kube.left_behind(), [""; 0]);
}

#[test]
fn a_child_that_was_killed_for_memory_does_not_make_a_later_exit_oom_killed() {
    let kube = Kube::new();
    let more = "    resources: {limits: {memory: 32Mi}}";
    let script = "sh -c 'head -c 200000000 /dev/zero | tail -c 190000000 >/dev/null'; sleep 0.1; exit 3";
    kube.play_failing(&pod_with("hog", script, more, "  restartPolicy: Never\n"));
    kube.wait("hog", "complete");
    let ended = kube.container("hog", "main")["state"]["terminated"].clone();
    let found = (ended["reason"].as_str().unwrap(), ended["exitCode"].as_i64().unwrap());
    // memory.oom.group of v2 ends all processes of the container at once.
    assert_eq!(found, if cgroup_v2() { ("OOMKilled", 137) } else { ("Error", 3) }, "{ended}");
}
