//! Kills every process of `kube` at every fail point (`base/src/fail_point.rs`). One ordinary command repairs what
//! the crash left, the manifest can be played again, and after `down --all` nothing is left.

use nix::sys::signal::Signal;
use serde_json::json;
use tests::fail_points::{self, FailPoint, FailPointClass, fail_points};
use tests::image::{BUSYBOX, busybox_tar};
use tests::registry::{Layer, Registry};
use tests::{IDLE, Kube, Output, Running, in_vm, limit, pod, skip};

/// Returns the manifest of the scenario that reaches every point: two pods with volumes of every kind, a Service and a
/// published port, one of them with a sidecar, the other with a user namespace.
fn manifest(data: &str, command: &str, port: u16) -> String {
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: config}}
data: {{key: {data}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data}}
spec:
  accessModes: [ReadWriteOnce]
  resources: {{requests: {{storage: 1Gi}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  type: NodePort
  selector: {{app: web}}
  ports: [{{port: 80}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{app: web}}}}
spec:
  terminationGracePeriodSeconds: 5
  volumes:
  - {{name: memory, emptyDir: {{medium: Memory}}}}
  - {{name: config, configMap: {{name: config}}}}
  - {{name: data, persistentVolumeClaim: {{claimName: data}}}}
  - name: raw
    ephemeral:
      volumeClaimTemplate:
        spec:
          accessModes: [ReadWriteOnce]
          volumeMode: Block
          resources: {{requests: {{storage: 1Mi}}}}
  - name: copy
    ephemeral:
      volumeClaimTemplate:
        spec:
          accessModes: [ReadWriteOnce]
          resources: {{requests: {{storage: 1Gi}}}}
          dataSource: {{kind: PersistentVolumeClaim, name: data}}
  initContainers:
  - {{name: first, image: \"localhost/busybox:1\", command: [\"true\"]}}
  - name: side
    image: localhost/busybox:1
    restartPolicy: Always
    stdin: true
    stdinOnce: true
    command: [sh, -c, \"trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done\"]
  containers:
  - name: main
    image: localhost/volume:1
    command: [{command}, -c, \"trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done\"]
    ports: [{{containerPort: 80, hostPort: {port}}}]
    resources: {{limits: {{cpu: 500m}}}}
    volumeMounts:
    - {{name: memory, mountPath: /memory}}
    - {{name: config, mountPath: /config}}
    - {{name: data, mountPath: /data, subPath: sub}}
    - {{name: copy, mountPath: /copy}}
    volumeDevices:
    - {{name: raw, devicePath: /dev/xvda}}
---
apiVersion: v1
kind: Pod
metadata: {{name: task}}
spec:
  hostUsers: false
  restartPolicy: Never
  terminationGracePeriodSeconds: 5
  containers:
  - {{name: main, image: \"localhost/busybox:1\", command: [\"true\"], tty: true, stdin: true}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: web}}
spec:
  tls: [{{hosts: [a.example], secretName: none}}]
  defaultBackend: {{service: {{name: web, port: {{number: 80}}}}}}
"
    )
}

const NO_SOURCES: &str = "fail points are found in the sources, which the virtual machine does not have";

/// An instance in which one process will be killed.
struct Crash {
    kube: Kube,
    port: tests::HostPort,
    /// The ports of Ingresses.
    ingress_ports: String,
    fail_point_spec: String,
    mark: std::path::PathBuf,
}

impl Crash {
    fn new(point: &str, action: &str, n: usize) -> Self {
        let kube = Kube::new();
        let tar = busybox_tar();
        // An image with a volume that is filled from the image.
        kube.ok(&["image", "import", tar.to_str().unwrap(), "localhost/volume:1", "--volume", "/www"]);
        let mark = kube.dir().join("mark");
        let fail_point_spec = format!("{point}:{action}:{n}:{}", mark.display());
        let ingress_ports = format!("{},{}", tests::host_port(), tests::host_port());
        Self { kube, port: tests::host_port(), ingress_ports, fail_point_spec, mark }
    }

    fn reached(&self) -> bool {
        self.mark.exists()
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.kube.command(args);
        command
            .env("KUBE_FAIL_POINT", &self.fail_point_spec)
            .env("KUBE_PLAY_INGRESS_PORTS", &self.ingress_ports);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.kube.run_command(&mut self.command(args), None)
    }

    /// Runs the scenario until the point is reached. Returns false if it never is.
    fn run_scenario(&self) -> bool {
        let good = self.kube.file("app.yaml", manifest("a", "sh", self.port.number));
        let bad = self.kube.file("bad.yaml", manifest("b", "/nowhere", self.port.number));
        let kill = || {
            for supervisor in self.kube.supervisors() {
                supervisor.kill(Signal::SIGKILL);
                assert!(supervisor.ends_within(limit(10)));
            }
            std::fs::create_dir_all(self.kube.runroot().join("pods/00000000-0000-4000-8000-000000000000"))
                .unwrap();
        };
        // This is what a reboot of a machine leaves whose /run is on a disk.
        let reboot = || std::fs::write(self.kube.runroot().join("boot"), "another\n").unwrap();
        let text = manifest("a", "sh", self.port.number).replace("cpu: 500m", "cpu: 600m");
        let resized = self.kube.file("resized.yaml", text);
        let debug = ["debug", "-q", "web", "--image", BUSYBOX, "--", "true"];
        let steps: [&dyn Fn(); 11] = [
            &|| drop(self.run(&["play", &good])),
            &|| drop(self.run(&["exec", "web", "--", "true"])),
            &|| drop(self.run(&debug)),
            &|| drop(self.run(&["play", &resized])),
            &|| drop(self.run(&["play", &bad])),
            &|| drop(self.run(&["down", "--all", "--volumes", "--time", "1"])),
            &|| drop(self.run(&["play", &good])),
            &|| {
                kill();
                self.run(&["ps"]);
            },
            &|| drop(self.run(&["down", "--all", "--force"])),
            &|| drop(self.run(&["ps"])),
            &|| {
                reboot();
                self.run(&["ps"]);
            },
        ];
        for step in steps {
            step();
            if self.reached() {
                return true;
            }
        }
        false
    }

    /// Runs one ordinary command, and checks that everything works afterwards and that nothing is left.
    fn check_repair(&self) {
        self.kube.ok(&["ps"]);
        let good = self.kube.dir().join("app.yaml");
        self.kube.ok(&["play", good.to_str().unwrap()]);
        self.kube.wait("web", "ready");
        self.kube.wait("task", "complete");
        self.kube.ok(&["down", "--all", "--volumes"]);
        let left = self.kube.not_as_before();
        assert!(left.is_empty(), "left behind: {left:#?}");
    }
}

fn crash(point: &str, action: &str, n: usize) -> bool {
    let crash = Crash::new(point, action, n);
    let happened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let happened = crash.run_scenario();
        if happened {
            crash.check_repair();
        }
        happened
    }));
    happened.unwrap_or_else(|panic| {
        eprintln!("at {point}, {action}, {n}");
        std::panic::resume_unwind(panic)
    })
}

/// Crashes at every `of`-th point for which `fits` is true, starting with the `n`-th. Each point must be reached.
fn walk(action: &str, n: usize, of: usize, fits: impl Fn(FailPointClass) -> bool) {
    if in_vm() {
        return skip(NO_SOURCES);
    }
    let only = std::env::var("KUBE_TEST_POINT").ok();
    let mut failed = Vec::new();
    for point in fail_points().iter().filter(|point| fits(point.class)).skip(n).step_by(of) {
        if only.as_ref().is_some_and(|only| *only != point.name) {
            continue;
        }
        match std::panic::catch_unwind(|| crash(&point.name, action, 0)) {
            Ok(true) => {}
            Ok(false) => failed.push(format!("{} is never reached", point.name)),
            Err(_) => failed.push(point.name.clone()),
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

/// Returns true for points that the scenario reaches; the others have separate tests.
fn is_in_scenario(class: FailPointClass) -> bool {
    !matches!(class, FailPointClass::Pull | FailPointClass::HandOver | FailPointClass::FullDisk)
}

#[test]
fn whoever_is_killed_at_a_point_first_half() {
    walk("kill", 0, 2, is_in_scenario);
}

#[test]
fn whoever_is_killed_at_a_point_second_half() {
    walk("kill", 1, 2, is_in_scenario);
}

#[test]
fn a_supervisor_is_killed_at_every_point_of_its_workers() {
    walk("supervisor", 0, 1, |class| class == FailPointClass::Worker);
}

/// The process that is killed while another process is halted at a point.
#[derive(Clone, Copy, PartialEq)]
enum Victim {
    /// `kube play` or `kube down`, which wait for a supervisor.
    Kube,
    NameServer,
}

/// Kills `victim` while a worker is halted at a point; then the worker continues.
fn another_is_killed(victim: Victim) {
    if in_vm() {
        return skip(NO_SOURCES);
    }
    let (mut killed, mut failed) = (0, Vec::new());
    for point in fail_points().iter().filter(|point| point.class == FailPointClass::Worker) {
        let crash = Crash::new(&point.name, "stop", 0);
        let went = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let app = crash.kube.file("app.yaml", manifest("a", "sh", crash.port.number));
            for args in [&["play", &app][..], &["down", "--all", "--volumes"]] {
                let waiting = Running::start(&mut crash.command(args));
                let Some(halted) = waiting.until_halted(&crash.mark) else { continue };
                for process in tests::processes() {
                    let hit = match victim {
                        Victim::Kube => process.pid == waiting.pid(),
                        Victim::NameServer => {
                            process.command.contains("name-server --config")
                                && process.command.contains(crash.kube.dir().to_str().unwrap())
                        }
                    };
                    if hit {
                        process.kill(Signal::SIGKILL);
                        killed += 1;
                    }
                }
                halted.kill(Signal::SIGCONT);
                waiting.end();
                return crash.check_repair();
            }
        }));
        if went.is_err() {
            failed.push(point.name.clone());
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
    assert!(killed > 10, "only {killed} were killed");
}

#[test]
fn a_kube_that_waits_is_killed_at_every_point_of_a_worker() {
    another_is_killed(Victim::Kube);
}

#[test]
fn the_name_server_is_killed_at_every_point_of_a_worker() {
    another_is_killed(Victim::NameServer);
}

/// Kills the process that writes a file before the file gets its name, for each file of the scenario in turn.
#[test]
fn a_writer_is_killed_at_every_file() {
    if in_vm() {
        return skip(NO_SOURCES);
    }
    for point in ["file-written", "network-file-written"] {
        // Many files are of the same kind, so every thirteenth is tried.
        let files = (0..200).step_by(13).take_while(|n| crash(point, "kill", *n)).count();
        assert!(files > 2, "{point}: {files}");
    }
}

#[test]
fn a_pull_is_killed_at_every_point() {
    if in_vm() {
        return skip(NO_SOURCES);
    }
    for point in fail_points().iter().filter(|point| point.class == FailPointClass::Pull) {
        let crash = Crash::new(&point.name, "kill", 0);
        let elsewhere = tempfile::tempdir().unwrap();
        let registry = Registry::start(elsewhere.path());
        let tar = std::fs::read(busybox_tar()).unwrap();
        registry.push("app", "1", &[Layer::gzip(tar)], &json!({"Cmd": ["sh"]}));
        let yaml = pod("web", IDLE, "").replace(BUSYBOX, &registry.name("app:1"));
        let file = crash.kube.file("app.yaml", yaml);
        // The images of other tests have the same layer and are removed first, so that the layer is pulled and
        // removed here.
        crash.kube.ok(&["image", "rm", BUSYBOX, "localhost/volume:1"]);
        for args in
            [&["play", &file][..], &["down", "--all"], &["image", "rm", "--force", &registry.name("app:1")]]
        {
            if crash.run(args).code == 128 + 9 {
                break;
            }
        }
        assert!(crash.reached(), "{} is never reached", point.name);
        crash.kube.ok(&["ps"]);
        let left = crash.kube.not_as_before();
        assert!(left.is_empty(), "left behind at {}: {left:#?}", point.name);
        crash.kube.ok(&["play", &file]);
        crash.kube.wait("web", "ready");
    }
}

#[test]
fn a_fail_point_without_a_class_or_with_two_is_refused() {
    let collect = |texts: &[&str]| fail_points::collect(texts.iter().map(|text| ("file.rs", *text)));
    let point = |name: &str, class| FailPoint { name: name.to_owned(), class };
    let good = "use base::fail_point;\n// fail_point!(\"comment\")\nbase::fail_point!(Worker, \"b\");\nfail_point!(\n    Pull,\n    \"a\",\n);";
    let expected = vec![point("a", FailPointClass::Pull), point("b", FailPointClass::Worker)];
    assert_eq!(collect(&[good, "fail_point!(Worker, \"b\")"]), Ok(expected));
    assert_eq!(collect(&["x(base::fail_point::FAIL_POINT)"]), Ok(Vec::new()));
    for bad in
        ["fail_point(\"a\")", "fail_point!(\"a\")", "fail_point!(Nobody, \"a\")", "fail_point::reach(\"a\")"]
    {
        assert!(collect(&[bad]).unwrap_err().contains("fail_point!(CLASS, "), "{bad}");
    }
    let error = collect(&["fail_point!(Worker, \"a\")", "fail_point!(Command, \"a\")"]).unwrap_err();
    assert!(error.starts_with("a is Worker"), "{error}");
}
