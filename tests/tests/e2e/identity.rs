//! Host names of pods, limits by annotations, and profiles.

use tests::{IDLE, Kube, cgroup_v2, pod, pod_with};

/// Returns a pod with these annotations.
fn annotated(name: &str, annotations: &str) -> String {
    let yaml = pod(name, IDLE, "");
    yaml.replacen("metadata:\n", &format!("metadata:\n  annotations: {{{annotations}}}\n"), 1)
}

#[test]
fn a_subdomain_gives_the_full_name_in_etc_hosts_and_in_dns() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, "  hostname: front\n  subdomain: sites\n"));
    kube.play(&pod("client", IDLE, ""));
    assert_eq!(kube.sh("web", "hostname; hostname -f"), "front\nfront.sites.default.svc.cluster.local\n");
    let ip = kube.ip("web");
    let hosts = kube.sh("web", "cat /etc/hosts");
    let line = format!("{ip}\tfront.sites.default.svc.cluster.local\tfront\n");
    assert!(hosts.contains(&line), "{hosts}");
    let found = kube.sh("client", "nslookup front.sites.default.svc.cluster.local");
    assert!(found.contains(&ip.to_string()), "{found}");
}

#[test]
fn set_hostname_as_fqdn_and_hostname_override_reach_the_kernel() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, "  subdomain: sites\n  setHostnameAsFQDN: true\n"));
    let full = "web.sites.default.svc.cluster.local";
    assert_eq!(kube.sh("web", "cat /proc/sys/kernel/hostname; echo $HOSTNAME"), format!("{full}\n{full}\n"));
    kube.play(&pod("other", IDLE, "  hostnameOverride: db.example.com\n"));
    assert_eq!(kube.sh("other", "hostname; cat /etc/hostname"), "db.example.com\ndb.example.com\n");
}

#[test]
fn a_host_name_that_is_too_long_is_an_error_of_check() {
    let kube = Kube::empty();
    let spec = format!("  subdomain: {}\n  setHostnameAsFQDN: true\n", "a".repeat(50));
    let file = kube.manifest(&pod("web", IDLE, &spec));
    kube.run(&["check", &file]).expect(3).complains("setHostnameAsFQDN").complains("64");
}

/// Returns the limit of processes of a pod's cgroup.
fn pids_max(kube: &Kube, pod: &str) -> Option<String> {
    let process = kube.process(pod, "trap 'exit 0'");
    let line = process.cgroup.lines().find(|line| {
        let controllers = line.split(':').nth(1).unwrap();
        if cgroup_v2() { controllers.is_empty() } else { controllers == "pids" }
    })?;
    let mount = if cgroup_v2() { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/pids" };
    let container = format!("{mount}{}", line.split(':').nth(2).unwrap());
    let of_pod = std::path::Path::new(&container).parent().unwrap().join("pids.max");
    Some(std::fs::read_to_string(of_pod).unwrap().trim().to_owned())
}

#[test]
fn a_pod_may_have_4096_processes_unless_a_setting_says_otherwise() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let Some(limit) = pids_max(&kube, "web") else {
        return tests::skip("this host has no cgroup controller pids");
    };
    assert_eq!(limit, "4096");
    kube.play(&annotated("few", "kube-play/pids-limit: '20'"));
    assert_eq!(pids_max(&kube, "few").unwrap(), "20");
    let forks = "n=0; while [ $n -lt 40 ]; do sleep 5 & n=$((n+1)); done 2>&1; wait";
    let tried = kube.run(&["exec", "few", "--", "sh", "-c", forks]);
    assert!(tried.stdout.contains("fork"), "{tried}");
    kube.ok(&["info"]).says("4096 processes for each pod (from the default)");
    let mut set = kube.command(&["info"]);
    set.env("KUBE_PLAY_PIDS_LIMIT", "123");
    kube.run_command(&mut set, None).expect(0).says("123 processes for each pod");
    let file = kube.manifest(&pod("set", IDLE, ""));
    let mut play = kube.command(&["play", &file]);
    play.env("KUBE_PLAY_PIDS_LIMIT", "123");
    kube.run_command(&mut play, None).expect(0);
    assert_eq!(pids_max(&kube, "set").unwrap(), "123");
}

#[test]
fn ulimits_of_annotations_hold_for_the_container_and_for_exec() {
    let kube = Kube::new();
    let podman = "io.podman.annotations.ulimit: 'core=0,nproc=500:600'";
    kube.play(&annotated("web", &format!("kube-play/ulimit.nofile: '64:512', {podman}")));
    let limits = |text: String| -> Vec<String> {
        let names = ["Max open files", "Max core file size", "Max processes"];
        let lines = text.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
        let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
        words.map(|words| words[words.len() - 3..words.len() - 1].join(":")).collect()
    };
    let expected = ["0:0", "500:600", "64:512"];
    // Fields of the kernel's table: soft limit, hard limit, unit.
    let main = kube.process("web", "trap 'exit 0'");
    let own = std::fs::read_to_string(format!("/proc/{}/limits", main.pid)).unwrap();
    let exec = kube.sh("web", "cat /proc/self/limits");
    assert_eq!(limits(own), expected);
    assert_eq!(limits(exec), expected);
}

#[test]
fn an_apparmor_profile_asked_for_by_name_needs_apparmor() {
    let kube = Kube::new();
    let exists = |path: &str| std::path::Path::new(path).exists();
    let context = "    securityContext: {appArmorProfile: {type: RuntimeDefault}}";
    kube.play(&pod_with("confined", IDLE, context, ""));
    if exists("/sys/kernel/security/apparmor/profiles") {
        let profile = kube.sh("confined", "cat /proc/self/attr/current");
        // Without the package apparmor the profile cannot be loaded.
        let expected =
            if exists("/usr/sbin/apparmor_parser") { "kube-play-default (enforce)" } else { "unconfined" };
        assert!(profile.starts_with(expected), "{profile}");
        if exists("/usr/sbin/apparmor_parser") {
            // Root with every capability may not write what the profile denies.
            let context = "    securityContext: {capabilities: {add: [ALL]}, procMount: Default, \
                           appArmorProfile: {type: RuntimeDefault}}";
            kube.play(&pod_with("denied", IDLE, context, ""));
            kube.sh("denied", "! mount -t tmpfs none /tmp 2>/tmp/why && grep -qi 'denied' /tmp/why");
            kube.ok(&["down", "pod/denied"]);
        }
    }
    let context =
        "    securityContext: {appArmorProfile: {type: Localhost, localhostProfile: no-such-profile}}";
    let play = kube.try_play(&pod_with("named", IDLE, context, ""), &[]).expect(1);
    play.complains("no-such-profile");
    assert!(!kube.pods().contains(&"named".to_owned()));
}
