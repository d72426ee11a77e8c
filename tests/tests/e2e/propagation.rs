//! Mounts inside of volumes: where those appear that are made while a container runs, and whether they are read-only.

use tests::image::BUSYBOX;
use tests::{IDLE, Kube, pod_with};

/// Mounts a tmpfs on a folder of the test, and unmounts it.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(place: std::path::PathBuf) -> Self {
        std::fs::create_dir_all(&place).unwrap();
        assert!(run("mount", &["-t", "tmpfs", "tmpfs", place.to_str().unwrap()]));
        Self(place)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

fn run(program: &str, args: &[&str]) -> bool {
    std::process::Command::new(program).args(args).status().unwrap().success()
}

#[test]
fn read_only_reaches_mounts_below_a_volume_if_recursive_read_only_says_so() {
    let kube = Kube::new();
    let _mounted = Mounted::new(kube.dir().join("host/below"));
    let mounts = "    volumeMounts:\n    - {name: v, mountPath: /v, readOnly: true}\n    \
                  - {name: v, mountPath: /r, readOnly: true, recursiveReadOnly: Enabled}\n";
    let spec =
        format!("  volumes: [{{name: v, hostPath: {{path: {}}}}}]\n", kube.dir().join("host").display());
    kube.play(&pod_with("web", IDLE, mounts, &spec));
    let script = "for f in /v/x /v/below/x /r/x /r/below/x; do touch $f 2>/dev/null && echo $f; done; true";
    assert_eq!(kube.sh("web", script), "/v/below/x\n");
}

#[test]
fn mounts_of_the_host_appear_in_a_volume_with_host_to_container() {
    let kube = Kube::new();
    // Only what lies in a shared mount can appear elsewhere.
    let host = Mounted::new(kube.dir().join("host"));
    assert!(run("mount", &["--make-shared", host.0.to_str().unwrap()]));
    let mounts = "    volumeMounts:\n    - {name: v, mountPath: /none}\n    \
                  - {name: v, mountPath: /v, mountPropagation: HostToContainer}\n";
    let spec = format!("  volumes: [{{name: v, hostPath: {{path: {}}}}}]\n", host.0.display());
    kube.play(&pod_with("web", IDLE, mounts, &spec));
    let below = Mounted::new(host.0.join("below"));
    std::fs::write(below.0.join("file"), "").unwrap();
    assert_eq!(kube.sh("web", "ls /v/below /none/below"), "/none/below:\n\n/v/below:\nfile\n");
    drop(below);
    assert_eq!(kube.sh("web", "ls /v/below"), "");
}

/// Returns a volume of the host's folder `host` for [`pod_with`].
fn volume(host: &Mounted) -> String {
    format!("  volumes: [{{name: v, hostPath: {{path: {}}}}}]\n", host.0.display())
}

/// Returns what a privileged container needs to propagate the mounts in its volume.
const BIDIRECTIONAL: &str = "    securityContext: {privileged: true}\n    \
                             volumeMounts: [{name: v, mountPath: /v, mountPropagation: Bidirectional}]\n";

fn shared(kube: &Kube) -> Mounted {
    let host = Mounted::new(kube.dir().join("host"));
    assert!(run("mount", &["--make-shared", host.0.to_str().unwrap()]));
    host
}

fn shows_mounts_everywhere(flags: &[&str]) {
    let kube = Kube::new();
    let host = shared(&kube);
    let mounts = "    volumeMounts: [{name: v, mountPath: /v, mountPropagation: HostToContainer}]\n";
    kube.play_with(&pod_with("other", IDLE, mounts, &volume(&host)), flags);
    kube.play_with(&pod_with("mounter", IDLE, BIDIRECTIONAL, &volume(&host)), flags);
    let at = |name: &str| host.0.join(name).display().to_string();
    kube.sh("mounter", "mkdir /v/made && mount -t tmpfs tmpfs /v/made && touch /v/made/file");
    assert!(std::path::Path::new(&at("made/file")).exists(), "the mount appears on the host");
    assert_eq!(kube.sh("other", "ls /v/made"), "file\n", "and in other containers");
    // The container is made again: it finds the mount, and can remove it.
    kube.process("mounter", "trap 'exit 0'").kill(nix::sys::signal::Signal::SIGKILL);
    kube.until("mounter", |p| {
        let status = &p["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && status["state"]["running"].is_object()
    });
    assert_eq!(kube.sh("mounter", "ls /v/made"), "file\n");
    let below = Mounted::new(host.0.join("below"));
    std::fs::write(below.0.join("of-host"), "").unwrap();
    assert_eq!(kube.sh("mounter", "ls /v/below"), "of-host\n", "mounts of the host appear in it");
    drop(below);
    kube.sh("mounter", "umount /v/made");
    assert_eq!(std::fs::read_dir(at("made")).unwrap().count(), 0);
    assert_eq!(kube.sh("other", "ls /v/made"), "");
    // Nothing but the volume propagates.
    kube.sh("mounter", "mkdir /tmp/own && mount -t tmpfs tmpfs /tmp/own");
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mountinfo.contains("/tmp/own "), "{mountinfo}");
    kube.ok(&["down", "mounter", "other"]);
}

#[test]
fn mounts_of_a_container_appear_on_the_host_and_in_other_containers_with_bidirectional() {
    shows_mounts_everywhere(&[]);
}

#[test]
fn runc_propagates_mounts_too() {
    shows_mounts_everywhere(&["--runtime", "runc"]);
}

#[test]
fn a_part_of_a_volume_propagates_mounts() {
    let kube = Kube::new();
    let host = shared(&kube);
    let mounts = BIDIRECTIONAL.replace("mountPath: /v,", "mountPath: /v, subPath: part,");
    kube.play(&pod_with("mounter", IDLE, &mounts, &volume(&host)));
    kube.sh("mounter", "mkdir /v/made && mount -t tmpfs tmpfs /v/made && touch /v/made/file");
    assert!(host.0.join("part/made/file").exists());
    kube.sh("mounter", "umount /v/made");
}

#[test]
fn bidirectional_needs_a_shared_mount_and_says_how_to_make_one() {
    let kube = Kube::new();
    let host = Mounted::new(kube.dir().join("host"));
    assert!(run("mount", &["--make-private", host.0.to_str().unwrap()]));
    let output = kube.try_play(&pod_with("mounter", IDLE, BIDIRECTIONAL, &volume(&host)), &[]).expect(1);
    output.complains(&format!("`mount --make-rshared {}`", host.0.display()));
    assert_eq!(kube.pods().len(), 0);
    let image = format!("  volumes: [{{name: v, image: {{reference: {BUSYBOX}}}}}]\n");
    let output = kube.try_play(&pod_with("mounter", IDLE, BIDIRECTIONAL, &image), &[]).expect(3);
    output.complains("Bidirectional cannot be given for an image");
}
