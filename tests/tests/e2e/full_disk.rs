//! A full disk: a command that fails says so, leaves nothing incomplete, and works once there is space.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;
use tests::fail_points::{FailPointClass, fail_points};
use tests::image::busybox_tar;
use tests::registry::{Layer, Registry};
use tests::{IDLE, Kube, in_vm, pod_with, skip};

/// A small tmpfs on a folder of an instance. Declare it after the instance, so that it is unmounted before the
/// instance checks for mounts.
struct Disk(std::path::PathBuf);

impl Disk {
    fn at(dir: std::path::PathBuf) -> Self {
        std::fs::create_dir_all(&dir).unwrap();
        mount(Some("small"), &dir, Some("tmpfs"), MsFlags::empty(), Some("size=256m")).unwrap();
        Self(dir)
    }

    fn used(&self) -> u64 {
        let stat = nix::sys::statvfs::statvfs(&self.0).unwrap();
        (stat.blocks() - stat.blocks_free()) * stat.fragment_size()
    }

    /// Leaves `bytes` of free space.
    fn leave(&self, bytes: u64) {
        // The used space may grow meanwhile; a size below it is refused, and 0 means no limit.
        while !self.resize((self.used() + bytes).max(4096)) {}
    }

    fn enlarge(&self) {
        assert!(self.resize(256 << 20));
    }

    fn resize(&self, bytes: u64) -> bool {
        self.remount(&format!("size={bytes}"))
    }
}

/// What a tree lacks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lack {
    Nothing,
    Room,
    Inodes,
}

impl Disk {
    /// Removes all free space of one kind.
    fn lack(&self, lack: Lack) {
        match lack {
            Lack::Nothing => {}
            Lack::Room => self.leave(0),
            Lack::Inodes => {
                let limit = || {
                    let stat = nix::sys::statvfs::statvfs(&self.0).unwrap();
                    format!("nr_inodes={}", stat.files() - stat.files_free())
                };
                while !self.remount(&limit()) {}
            }
        }
    }

    fn remount(&self, options: &str) -> bool {
        mount(None::<&str>, &self.0, None::<&str>, MsFlags::MS_REMOUNT, Some(options)).is_ok()
    }

    fn give_all(&self) {
        assert!(self.remount("size=256m,nr_inodes=100000"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn manifest() -> String {
    let objects = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {key: value}\n---\n\
                   apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  accessModes: [ReadWriteOnce]\n  \
                   resources: {requests: {storage: 1Gi}}\n---\n";
    let spec =
        "  volumes: [{name: c, configMap: {name: c}}, {name: d, persistentVolumeClaim: {claimName: data}}]\n";
    let mounts = "    volumeMounts: [{name: c, mountPath: /c}, {name: d, mountPath: /d}]";
    objects.to_owned() + &pod_with("web", IDLE, mounts, spec)
}

/// Plays with more and more free pages, starting with none, and checks after each failure that everything works once
/// there is space.
fn play_until_it_fits(kube: &Kube, disk: &Disk) {
    let file = kube.file("app.yaml", manifest());
    let mut failures = 0;
    let step = if in_vm() { 12 } else { 2 };
    for pages in (0..80).step_by(step) {
        disk.leave(pages * 4096);
        let output = kube.run(&["play", &file]);
        if output.code != 0 {
            failures += 1;
            assert!(output.stderr.contains("No space left on device"), "{pages} pages: {output}");
            assert_eq!(
                output.stderr.lines().filter(|l| l.starts_with("error:")).count(),
                1,
                "{pages} pages: {output}"
            );
        }
        let fits = output.code == 0;
        disk.enlarge();
        kube.ok(&["ps"]);
        let mut uid = None;
        if fits {
            kube.wait("web", "ready");
            uid = Some(kube.pod("web")["metadata"]["uid"].as_str().unwrap().to_owned());
        } else {
            assert_eq!(kube.pods().len(), 0, "{pages} pages: {output}");
        }
        // A removal needs no space, so `down` works on a full disk.
        disk.leave(0);
        kube.ok(&["down", "--all", "--volumes"]);
        assert_eq!(kube.pods().len(), 0, "{pages} pages");
        if let Some(uid) = uid {
            assert!(kube.processes_of(&uid).is_empty(), "{pages} pages: it runs on");
        }
        disk.enlarge();
        kube.ok(&["down", "--all", "--volumes"]);
        let left = kube.not_as_before();
        let left: Vec<_> = left.iter().filter(|l| **l != format!("mount {}", disk.0.display())).collect();
        assert!(left.is_empty(), "{pages} pages: left behind: {left:#?}\n{output}");
        if fits {
            assert!(failures > 0, "it never failed");
            return;
        }
    }
    panic!("it never fitted");
}

#[test]
fn a_full_root_is_told_and_leaves_nothing_half_made() {
    let kube = Kube::empty();
    let disk = Disk::at(kube.root());
    kube.ok(&["image", "import", busybox_tar().to_str().unwrap(), "localhost/busybox:1", "--cmd", "sh"]);
    play_until_it_fits(&kube, &disk);
}

#[test]
fn a_full_run_tree_is_told_and_leaves_nothing_half_made() {
    let kube = Kube::new();
    let disk = Disk::at(kube.runroot());
    play_until_it_fits(&kube, &disk);
}

#[test]
fn a_pull_onto_a_full_disk_leaves_nothing() {
    let kube = Kube::empty();
    let disk = Disk::at(kube.root());
    let registry = tempfile::tempdir().unwrap();
    let registry = Registry::start(registry.path());
    registry.push("app", "1", &[Layer::gzip(std::fs::read(busybox_tar()).unwrap())], &json!({"Cmd": ["sh"]}));
    let image = registry.name("app:1");
    for kilobytes in [0, 16, 100, 1000, 2000] {
        disk.leave(kilobytes * 1024);
        let output = kube.run(&["image", "pull", &image]);
        assert_eq!(output.code, 1, "{kilobytes}: {output}");
        assert!(output.stderr.contains("No space left on device"), "{kilobytes}: {output}");
        disk.enlarge();
        assert_eq!(kube.ok(&["image", "ls", "-o", "name"]).stdout, "");
        let left = kube.not_as_before();
        let left: Vec<_> = left.iter().filter(|l| **l != format!("mount {}", disk.0.display())).collect();
        assert!(left.is_empty(), "{kilobytes}: left behind: {left:#?}");
        kube.ok(&["image", "prune", "--all"]);
    }
    kube.ok(&["image", "pull", &image]);
}

/// Creates an instance whose trees are two small file systems, with running pods `web` and `db` (a Deployment).
fn playing() -> (Kube, Disk, Disk) {
    let kube = Kube::empty();
    let (root, run) = (Disk::at(kube.root()), Disk::at(kube.runroot()));
    play_web_and_db(&kube);
    (kube, root, run)
}

fn play_web_and_db(kube: &Kube) {
    kube.ok(&["image", "import", busybox_tar().to_str().unwrap(), "localhost/busybox:1", "--cmd", "sh"]);
    let talks = "trap 'exit 0' TERM; echo hello; while :; do sleep 1 & wait $!; done";
    let web = pod_with("web", IDLE, "", "").replace(IDLE, talks);
    let db = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: db}\nspec:\n  replicas: 2\n  \
              selector: {matchLabels: {app: db}}\n  template:\n    metadata: {labels: {app: db}}\n    spec:\n      \
              terminationGracePeriodSeconds: 1\n      \
              containers: [{name: c, image: \"localhost/busybox:1\", command: [sleep, \"1000\"]}]\n";
    kube.play(&(web + db));
    kube.wait("web", "ready");
}

fn kill_supervisors(kube: &Kube) {
    for supervisor in kube.supervisors() {
        supervisor.kill(nix::sys::signal::Signal::SIGKILL);
        assert!(supervisor.ends_within(tests::limit(10)));
    }
}

fn nothing_is_left(kube: &Kube, disks: [&Disk; 2], what: &str) {
    kube.ok(&["down", "--all", "--volumes"]);
    let left = kube.not_as_before();
    let own: Vec<String> = disks.iter().map(|disk| format!("mount {}", disk.0.display())).collect();
    let left: Vec<_> = left.iter().filter(|l| !own.contains(l)).collect();
    assert!(left.is_empty(), "{what}: left behind: {left:#?}");
}

#[test]
fn whatever_room_is_lacking_pods_are_seen_entered_and_taken_down() {
    use Lack::{Inodes, Nothing, Room};
    for (root_lacks, run_lacks) in [
        (Room, Nothing),
        (Inodes, Nothing),
        (Nothing, Room),
        (Nothing, Inodes),
        (Room, Room),
        (Inodes, Inodes),
    ] {
        for killed in [false, true] {
            let what =
                format!("root lacks {root_lacks:?}, run tree {run_lacks:?}, supervisors killed: {killed}");
            let (kube, root, run) = playing();
            if killed {
                kill_supervisors(&kube);
            }
            root.lack(root_lacks);
            run.lack(run_lacks);
            assert_eq!(kube.pods().len(), 3, "{what}");
            assert_eq!(kube.ok(&["logs", "web", "--tail", "1"]).lines(), ["hello"], "{what}");
            assert_eq!(kube.pod("web")["status"]["phase"], "Running", "{what}");
            // The runtime creates a socket for each command.
            if run_lacks != Inodes {
                assert_eq!(kube.sh("web", "echo inside"), "inside\n", "{what}");
            }
            let uid = kube.pod("web")["metadata"]["uid"].as_str().unwrap().to_owned();
            kube.ok(&["down", "web", "--wait"]);
            assert!(kube.processes_of(&uid).is_empty(), "{what}: it runs on");
            assert_eq!(kube.pods().len(), 2, "{what}");
            if killed {
                kill_supervisors(&kube);
            }
            kube.ok(&["down", "--all", "--volumes", "--time", "1"]);
            assert_eq!(kube.pods().len(), 0, "{what}");
            root.give_all();
            run.give_all();
            nothing_is_left(&kube, [&root, &run], &what);
        }
    }
}

#[test]
fn on_a_read_only_disk_pods_are_taken_down_and_their_records_go_when_it_is_writable_again() {
    for run_lacks in [Lack::Nothing, Lack::Room] {
        let (kube, root, run) = playing();
        // A log that is open for writing prevents a remount; a disk that fails becomes read-only in spite of it.
        let remounts = || {
            kill_supervisors(&kube);
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            mount(None::<&str>, &root.0, None::<&str>, flags, None::<&str>).is_ok()
        };
        while !remounts() {}
        run.lack(run_lacks);
        assert_eq!(kube.pods().len(), 3);
        assert_eq!(kube.sh("web", "echo inside"), "inside\n");
        let uid = kube.pod("web")["metadata"]["uid"].as_str().unwrap().to_owned();
        let down = kube.ok(&["down", "web", "--wait"]);
        assert!(down.stderr.contains("`kube play --all` starts it again"), "{down}");
        assert!(kube.processes_of(&uid).is_empty());
        assert_eq!(kube.pods().len(), 2);
        kill_supervisors(&kube);
        assert_eq!(kube.pods().len(), 2, "what was taken down does not come back");
        kube.ok(&["down", "--all"]);
        assert_eq!(kube.pods().len(), 0);
        assert_eq!(std::fs::read_dir(kube.root().join("workloads")).unwrap().count(), 2);
        // Once these supervisors have ended, the next command removes what they could not.
        for supervisor in kube.supervisors() {
            assert!(supervisor.ends_within(tests::limit(10)));
        }
        mount(None::<&str>, &root.0, None::<&str>, MsFlags::MS_REMOUNT, None::<&str>).unwrap();
        run.give_all();
        nothing_is_left(&kube, [&root, &run], "writable again");
        assert_eq!(std::fs::read_dir(kube.root().join("workloads")).unwrap().count(), 0);
    }
}

/// Kills the process that notes a removal on a full disk. The removal is finished, or `down` has to be called again.
#[test]
fn a_crash_while_a_removal_is_noted_is_put_right() {
    if in_vm() {
        return skip("a dozen crashes and repairs take minutes on an emulated machine");
    }
    let points = fail_points().into_iter().filter(|point| point.class == FailPointClass::FullDisk);
    let points: Vec<String> = points.map(|point| point.name).collect();
    assert!(points.len() >= 3, "{points:?}");
    for point in &points {
        for alive in [true, false] {
            let (kube, root, run) = playing();
            let mark = kube.dir().join("mark");
            let fail_point_spec = format!("{point}:kill:0:{}", mark.display());
            kill_supervisors(&kube);
            if alive {
                // The supervisors inherit the variable from the command that starts them.
                kube.run_command(kube.command(&["ps"]).env("KUBE_FAIL_POINT", &fail_point_spec), None);
            }
            root.lack(Lack::Room);
            kube.run_command(kube.command(&["down", "--all"]).env("KUBE_FAIL_POINT", &fail_point_spec), None);
            if point != "removal-reserved" {
                assert!(mark.exists(), "{point} is never reached");
            }
            kube.ok(&["ps"]);
            kube.ok(&["down", "--all"]);
            assert_eq!(kube.pods().len(), 0, "{point}");
            root.give_all();
            nothing_is_left(&kube, [&root, &run], point);
        }
    }
}

#[test]
fn a_reboot_while_the_disk_is_full_does_not_bring_back_what_was_taken_down() {
    let kube = Kube::empty();
    // The disk is in another folder, because mounts in the instance's folder are lost with the power.
    let elsewhere = tempfile::tempdir().unwrap();
    let root = Disk::at(elsewhere.path().to_owned());
    let attach = || {
        std::fs::create_dir_all(kube.root()).unwrap();
        let none = None::<&str>;
        mount(Some(elsewhere.path()), &kube.root(), none, MsFlags::MS_BIND, none).unwrap();
        Disk(kube.root())
    };
    let (attached, run) = (attach(), Disk::at(kube.runroot()));
    play_web_and_db(&kube);
    let mark = kube.dir().join("mark");
    let halt = format!("pod-files-going:stop:0:{}", mark.display());
    kill_supervisors(&kube);
    kube.run_command(kube.command(&["ps"]).env("KUBE_FAIL_POINT", &halt), None);
    root.lack(Lack::Room);
    // `down` returns while the files of the pod still exist.
    kube.ok(&["down", "web"]);
    kube.wipe_kernel();
    drop((attached, run));
    let (attached, run) = (attach(), Disk::at(kube.runroot()));
    assert!(kube.root().join("workloads/pod_default_web").exists(), "the reboot came too late");
    kube.ok(&["ps"]);
    root.give_all();
    kube.ok(&["play", "--all"]);
    assert_eq!(kube.pods().len(), 2, "the Deployment's, and no more");
    nothing_is_left(&kube, [&attached, &run], "after a reboot");
}
