//! The output of `ps`, `inspect`, `wait` and `events`, and the environment and names that a container finds.

use tests::{IDLE, Kube, host_port, limit, pod, pod_with};

#[test]
fn ps_lists_pods_as_kubectl_does() {
    let kube = Kube::new();
    let port = host_port();
    let ports = format!("    ports: [{{containerPort: 80, hostPort: {port}}}]");
    kube.play_with(&pod_with("web", IDLE, &ports, ""), &["--wait"]);
    let output = kube.ok(&["ps"]);
    let lines = output.lines();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "PORTS"]
    );
    let fields: Vec<_> = lines[1].split_whitespace().collect();
    assert_eq!(fields[..4], ["web", "1/1", "Running", "0"], "{output}");
    assert_eq!(fields[5], kube.ip("web").to_string());
    assert!(lines[1].contains(&format!("{port}->80/tcp")), "{output}");
    let wide = kube.ok(&["ps", "-o", "wide"]);
    assert!(wide.lines()[0].len() > lines[0].len(), "{wide}");
    assert_eq!(kube.ok(&["ps", "-o", "name"]).stdout, "pod/web\n");
    assert_eq!(kube.ok(&["ps", "-o", "json"]).json()["kind"], "List");
    kube.ok(&["ps", "-o", "yaml"]).says("kind: List").says("name: web");
}

#[test]
fn ps_of_nothing_says_so_on_stderr() {
    let kube = Kube::new();
    let output = kube.ok(&["ps"]);
    assert_eq!(output.stdout, "", "{output}");
    output.complains("No pods found");
}

#[test]
fn inspect_shows_the_pod_as_kubectl_would() {
    let kube = Kube::new();
    kube.play_with(&pod("web", IDLE, ""), &["--wait"]);
    let pod = kube.pod("web");
    assert_eq!(pod["apiVersion"], "v1");
    assert_eq!(pod["metadata"]["namespace"], "default");
    assert!(pod["metadata"]["creationTimestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(pod["metadata"]["labels"]["app"], "web");
    // The defaults that an API server fills in.
    let spec = &pod["spec"];
    assert_eq!(spec["restartPolicy"], "Always");
    assert_eq!(spec["dnsPolicy"], "ClusterFirst");
    assert_eq!(spec["enableServiceLinks"], true);
    assert_eq!(spec["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!(spec["containers"][0]["terminationMessagePath"], "/dev/termination-log");
    assert!(spec["nodeName"].is_string());
    let status = &pod["status"];
    assert_eq!(status["qosClass"], "BestEffort");
    assert!(status["hostIP"].is_string() && status["startTime"].is_string(), "{status:#}");
    assert_eq!(status["podIPs"][0]["ip"], status["podIP"]);
    let container = &status["containerStatuses"][0];
    assert_eq!(container["image"], "localhost/busybox:1");
    assert!(container["imageID"].as_str().unwrap().contains("sha256:"), "{container:#}");
    assert!(container["containerID"].as_str().unwrap().contains("://"), "{container:#}");
    kube.ok(&["inspect", "pod/web", "-o", "yaml"]).says("kind: Pod");
}

#[test]
fn wait_for_deleted_and_complete() {
    let kube = Kube::new();
    kube.play(&pod("once", IDLE, "  restartPolicy: Never\n"));
    kube.run(&["wait", "once", "--for=complete", "--timeout=1s"]).expect(5);
    kube.play(&pod("web", IDLE, ""));
    let never = kube.run(&["wait", "web", "--for=complete", "--timeout=60s"]).expect(1);
    never.complains("pod/web cannot become complete: its restartPolicy is Always");
    let waiting = kube.start(&["wait", "web", "--for=deleted", "--timeout=60s"]);
    kube.ok(&["down", "pod/web"]);
    assert_eq!(waiting.end().0, 0);
}

#[test]
fn a_wait_for_a_pod_that_can_never_start_ends_at_once_with_the_reason() {
    let kube = Kube::new();
    let bad = "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec:\n  initContainers:\n  - {name: first, \
               image: \"localhost/busybox:1\", command: [sleep, \"3\"]}\n  containers:\n  - {name: main, image: \
               \"localhost/busybox:1\", command: [/no/such/program]}\n";
    // The init container runs longer than this play waits, so that the play does not undo the pod.
    let file = kube.manifest(bad);
    kube.run(&["play", &file, "--wait", "--timeout=1s"]).expect(5);
    let begin = std::time::Instant::now();
    let never = kube.run(&["wait", "bad", "--for=ready", "--timeout=10m"]).expect(1);
    never.complains("pod/bad cannot become ready: container main: ").complains("/no/such/program");
    assert!(begin.elapsed() < limit(60), "{:?}", begin.elapsed());
    // Also later, after the container was tried again.
    std::thread::sleep(std::time::Duration::from_secs(15));
    kube.run(&["wait", "bad", "--for=ready", "--timeout=10m"]).expect(1).complains("container main: ");
}

#[test]
fn events_tell_what_happened() {
    let kube = Kube::new();
    let mut follow = kube.start(&["events", "-f"]);
    kube.play(&pod("web", IDLE, ""));
    follow.line(|l| l.contains("Started") && l.contains("web"));
    let output = kube.ok(&["events"]);
    for reason in ["Created", "Started"] {
        assert!(output.stdout.contains(reason), "{reason} is missing: {output}");
    }
    kube.ok(&["down", "pod/web"]);
    follow.line(|l| l.contains("Killing"));
}

#[test]
fn environment_comes_in_kubernetes_order() {
    let kube = Kube::new();
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {A: from-map, B: map-b}\n---\n\
                apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {B: from-secret, token: s3cret}\n---\n";
    let env = "    envFrom:\n    - configMapRef: {name: conf}\n    - secretRef: {name: key}\n      prefix: P_\n    env:\n    \
               - {name: A, value: own}\n    - {name: C, value: '$(A)-$(P_B)-$(NOPE)-$$(A)'}\n    - name: T\n      \
               valueFrom: {secretKeyRef: {name: key, key: token}}\n    - name: POD\n      \
               valueFrom: {fieldRef: {fieldPath: metadata.name}}\n    - name: IP\n      \
               valueFrom: {fieldRef: {fieldPath: status.podIP}}\n    - name: APP\n      \
               valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}";
    kube.play(&(yaml.to_owned() + &pod_with("web", IDLE, env, "")));
    assert_eq!(
        kube.sh("web", "echo $A $B $P_B $C $T $POD $APP"),
        "own map-b from-secret own-from-secret-$(NOPE)-$(A) s3cret web web\n"
    );
    assert_eq!(kube.sh("web", "echo $IP").trim(), kube.ip("web").to_string());
}

#[test]
fn command_and_args_and_the_images_own() {
    let kube = Kube::new();
    let tar = tests::image::busybox_tar();
    kube.ok(&[
        "image",
        "import",
        tar.to_str().unwrap(),
        "localhost/echo:1",
        "--entrypoint",
        "echo",
        "--cmd",
        "default",
    ]);
    let yaml = |name: &str, more: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
             - name: main\n    image: localhost/echo:1\n    env: [{{name: V, value: x}}]\n{more}"
        )
    };
    for (name, more, expected) in [
        ("neither", "", "default\n"),
        ("args", "    args: [own, $(V)]\n", "own x\n"),
        ("command", "    command: [echo, -n, bare]\n", "bare"),
        ("both", "    command: [echo]\n    args: ['$(V)', '$$(V)']\n", "x $(V)\n"),
    ] {
        kube.play_with(&yaml(name, more), &["--wait=complete"]);
        assert_eq!(kube.ok(&["logs", name]).stdout.trim_end(), expected.trim_end(), "{name}");
    }
}

#[test]
fn a_pod_has_its_names_and_hosts_file() {
    let kube = Kube::new();
    let spec = "  hostAliases:\n  - {ip: 10.1.2.3, hostnames: [db, db.local]}\n";
    kube.play(&pod("web", IDLE, spec));
    assert_eq!(kube.sh("web", "hostname"), "web\n");
    let hosts = kube.sh("web", "cat /etc/hosts");
    assert!(hosts.starts_with("# Kubernetes-managed hosts file"), "{hosts}");
    assert!(hosts.contains("127.0.0.1\tlocalhost"), "{hosts}");
    assert!(hosts.contains(&format!("{}\tweb", kube.ip("web"))), "{hosts}");
    assert!(hosts.contains("10.1.2.3\tdb\tdb.local"), "{hosts}");
}

#[test]
fn dns_config_is_what_resolv_conf_says() {
    let kube = Kube::new();
    let spec = "  dnsPolicy: None\n  dnsConfig: {nameservers: [192.0.2.53], searches: [example.test], options: [{name: ndots, value: '2'}]}\n";
    kube.play(&pod("web", IDLE, spec));
    let conf = kube.sh("web", "cat /etc/resolv.conf");
    for line in ["nameserver 192.0.2.53", "search example.test", "options ndots:2"] {
        assert!(conf.lines().any(|l| l == line), "{line:?} is missing: {conf}");
    }
    assert_eq!(conf.matches("nameserver").count(), 1, "{conf}");
}

#[test]
fn containers_of_a_pod_share_net_ipc_and_uts() {
    let kube = Kube::new();
    let side = format!("  - name: side\n    image: localhost/busybox:1\n    command: [sh, -c, {IDLE:?}]\n");
    kube.play(&(pod("web", IDLE, "") + &side));
    let script = "for ns in net ipc uts pid mnt; do readlink /proc/self/ns/$ns; done";
    let main = kube.sh("web", script);
    let side = kube.ok(&["exec", "web", "-c", "side", "--", "sh", "-c", script]).stdout;
    let (main, side): (Vec<_>, Vec<_>) = (main.lines().collect(), side.lines().collect());
    assert_eq!(main[..3], side[..3]);
    assert_ne!(main[3], side[3], "pid namespaces");
    assert_ne!(main[4], side[4], "mount namespaces");
}

#[test]
fn share_process_namespace_shows_the_others_and_reaps_zombies() {
    let kube = Kube::new();
    let side = format!("  - name: side\n    image: localhost/busybox:1\n    command: [sh, -c, {IDLE:?}]\n");
    kube.play(&(pod("web", IDLE, "  shareProcessNamespace: true\n") + &side));
    let ps = kube.sh("web", "ps -o pid,args");
    assert!(ps.lines().any(|l| l.trim_start().starts_with("1 ") && l.contains("pause")), "{ps}");
    assert!(ps.matches("trap 'exit 0'").count() >= 2, "{ps}");
    // A process whose shell has ended becomes a child of pause.
    kube.sh("web", "(sleep 0.1 &) ; exit 0");
    let zombies = kube.sh("web", "sleep 0.5; ps -o stat | grep -c Z || true");
    assert_eq!(zombies.trim(), "0");
}

#[test]
fn host_namespaces_are_the_hosts() {
    let kube = Kube::new();
    kube.play(&pod("host", IDLE, "  hostNetwork: true\n  hostPID: true\n  hostIPC: true\n"));
    for ns in ["net", "pid", "ipc"] {
        let host = std::fs::read_link(format!("/proc/self/ns/{ns}")).unwrap();
        assert_eq!(
            kube.sh("host", &format!("readlink /proc/self/ns/{ns}")).trim(),
            host.to_str().unwrap(),
            "{ns}"
        );
    }
    let pod = kube.pod("host");
    assert_eq!(pod["status"]["podIP"], pod["status"]["hostIP"]);
}

#[test]
fn a_tty_container_has_a_terminal() {
    let kube = Kube::new();
    let script = format!("test -t 0 && test -t 1 && echo on a terminal; {IDLE}");
    kube.play(&pod_with("term", &script, "    tty: true\n    stdin: true", ""));
    kube.start(&["logs", "-f", "term"]).line(|l| l == "on a terminal");
}

#[test]
fn no_stdin_means_dev_null() {
    let kube = Kube::new();
    kube.play_with(&pod("web", "cat; echo ended", "  restartPolicy: Never\n"), &["--wait=complete"]);
    assert_eq!(kube.ok(&["logs", "web"]).stdout, "ended\n");
}
