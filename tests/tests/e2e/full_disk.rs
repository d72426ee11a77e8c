//! A disk that is full: what fails says so, leaves nothing half-made, and works once there is room.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;
use tests::image::busybox_tar;
use tests::registry::{Layer, Registry};
use tests::{IDLE, Kube, in_vm, pod_with};

/// A small tmpfs on a folder of an instance. Declared after the instance, it goes before that looks for mounts.
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

    /// Leaves so much room.
    fn leave(&self, bytes: u64) {
        // What is used may grow meanwhile; a size below that is refused, and 0 is no limit.
        while !self.resize((self.used() + bytes).max(4096)) {}
    }

    fn enlarge(&self) {
        assert!(self.resize(256 << 20));
    }

    fn resize(&self, bytes: u64) -> bool {
        let options = format!("size={bytes}");
        mount(None::<&str>, &self.0, None::<&str>, MsFlags::MS_REMOUNT, Some(options.as_str())).is_ok()
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

/// Plays with so many pages left, from none on; with room again all is well.
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
        if fits {
            kube.wait("web", "ready");
        } else {
            assert_eq!(kube.pods().len(), 0, "{pages} pages: {output}");
        }
        // Down on a full disk: what is to go needs no room.
        disk.leave(0);
        kube.run(&["down", "--all", "--volumes"]);
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
