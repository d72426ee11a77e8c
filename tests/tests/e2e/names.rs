//! Names of pods in DNS, and names of the greatest length that Kubernetes allows.

use nix::sys::signal::Signal;
use tests::{IDLE, Kube, pod, pod_with};

/// Returns names of 253 characters: one with dots, as in DNS, and one without, which Kubernetes also allows.
fn longest() -> [String; 2] {
    let dotted = ["a", "b", "c", "d"].map(|part| part.repeat(62)).join(".") + "e";
    [dotted + "f", "l".repeat(253)]
}

#[test]
fn everything_may_have_a_name_of_253_characters() {
    let kube = Kube::new();
    for long in longest() {
        assert_eq!(long.len(), 253);
        let namespace = "n".repeat(63);
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {long}}}\ndata: {{k: from the map}}\n---\n\
             apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {long}}}\nspec: {{accessModes: \
             [ReadWriteOnce], resources: {{requests: {{storage: 1Mi}}}}}}\n---\n\
             apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {long}}}\nspec:\n  selector: {{matchLabels: {{a: b}}}}\n  \
             template:\n    metadata: {{labels: {{a: b}}}}\n    spec: {{terminationGracePeriodSeconds: 0, containers: \
             [{{name: c, image: \"{image}\", command: [sleep, '3600']}}]}}\n---\n{pod}",
            image = tests::image::BUSYBOX,
            pod = pod_with(
                &long,
                IDLE,
                &format!(
                    "    env: [{{name: K, valueFrom: {{configMapKeyRef: {{name: {long}, key: k}}}}}}]\n    \
                     volumeMounts: [{{name: v, mountPath: /v}}]"
                ),
                &format!("  volumes: [{{name: v, persistentVolumeClaim: {{claimName: {long}}}}}]\n"),
            )
            .replace(&format!("app: {long}"), "app: web"),
        );
        let file = kube.manifest(&text);
        kube.ok(&["-n", &namespace, "play", &file]);
        let exec =
            |script: &str| kube.ok(&["-n", &namespace, "exec", &long, "--", "sh", "-c", script]).stdout;
        assert_eq!(exec("hostname").trim(), long[..63].trim_end_matches(['.', '-']));
        assert_eq!(exec("echo $K").trim(), "from the map");
        kube.ok(&["-n", &namespace, "play", &file]).says("unchanged");
        // The name of the folder is enough to start a killed supervisor again.
        for supervisor in kube.supervisors() {
            supervisor.kill(Signal::SIGKILL);
        }
        assert_eq!(exec("echo $K").trim(), "from the map");
        kube.ok(&["-n", &namespace, "down", &file, "--volumes"]);
        // The last thing that a supervisor removes is the folder of its workload.
        let workloads = || std::fs::read_dir(kube.root().join("workloads")).into_iter().flatten().count();
        kube.until_all(|_| workloads() == 0);
        assert_eq!(kube.ok(&["ps", "-A", "--no-headers"]).lines().len(), 0);
    }
}

/// Returns what nslookup says about a name, and whether that is "no such name".
fn look_up(kube: &Kube, kind: &str, name: &str) -> (String, bool) {
    let said = kube.sh("client", &format!("nslookup -type={kind} {name} 2>&1; true"));
    let is_no_name = said.contains("NXDOMAIN");
    (said, is_no_name)
}

#[test]
fn another_type_of_a_name_is_no_data_and_an_unknown_name_is_no_such_name() {
    let kube = Kube::new();
    kube.play(&(pod("web", IDLE, "") + "---\n" + &pod("client", IDLE, "")));
    let full = "web.default.svc.cluster.local";
    for kind in ["mx", "txt", "srv", "ns"] {
        let (said, is_no_name) = look_up(&kube, kind, full);
        assert!(!is_no_name, "{kind}: {said}");
    }
    let (said, _) = look_up(&kube, "a", full);
    assert!(said.contains(&kube.ip("web").to_string()), "{said}");
    for kind in ["a", "mx"] {
        for name in
            ["nobody.default.svc.cluster.local", "nobody.cluster.local", "web.other.svc.cluster.local"]
        {
            let (said, is_no_name) = look_up(&kube, kind, name);
            assert!(is_no_name, "{kind} {name}: {said}");
        }
    }
    // An address has the name of its pod.
    let said = kube.sh("client", &format!("nslookup {}", kube.ip("web")));
    assert!(said.contains(full), "{said}");
}

#[test]
fn a_pod_is_found_by_each_form_of_its_name_from_every_namespace() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    kube.play(&pod("client", IDLE, ""));
    let other = kube.manifest(&pod("stranger", IDLE, "").replace("web", "x"));
    kube.ok(&["-n", "other", "play", &other]);
    let ip = kube.ip("web").to_string();
    let pinged = |namespace: &str, client: &str, name: &str| {
        let args = ["-n", namespace, "exec", client, "--", "ping", "-4", "-c", "1", "-W", "5", name];
        kube.run(&args).stdout.contains(&ip)
    };
    for name in ["web.default", "web.default.svc", "web.default.svc.cluster.local"] {
        assert!(pinged("default", "client", name), "{name}");
        assert!(pinged("other", "stranger", name), "{name} from another namespace");
    }
    assert!(pinged("default", "client", "web"));
    // A name server that is killed is started again by the next command.
    let servers = || -> Vec<_> {
        let dir = kube.dir().to_str().unwrap();
        let serves =
            |p: &tests::Process| p.command.contains(" name-server --config") && p.command.contains(dir);
        tests::processes().into_iter().filter(serves).collect()
    };
    let before = servers();
    assert_eq!(before.len(), 1);
    before[0].kill(Signal::SIGKILL);
    assert!(before[0].ends_within(tests::limit(10)));
    kube.ok(&["ps"]);
    assert!(pinged("default", "client", "web"));
    kube.ok(&["down", "--all", "--wait"]);
    assert!(servers().is_empty(), "nobody can ask it any more");
}
