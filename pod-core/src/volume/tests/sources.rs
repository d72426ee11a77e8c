//! emptyDir, hostPath, and the lifetime of volumes.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use serde_json::json;

use super::super::prepare;
use super::{Place, mode, mounted, pod};

#[test]
fn empty_dir_is_0777_and_survives_container_restarts() {
    let place = Place::new();
    let path = place.prepare(json!({"emptyDir": {}})).unwrap();
    assert_eq!(mode(&path), 0o777);
    fs::write(path.join("file"), "kept").unwrap();
    assert_eq!(place.prepare(json!({"emptyDir": {}})).unwrap(), path);
    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "kept");
}

#[test]
fn only_root_reaches_an_empty_dir_from_the_host() {
    let place = Place::new();
    let path = place.prepare(json!({"emptyDir": {}})).unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
}

#[test]
fn memory_medium_is_a_tmpfs_of_the_least_of_size_limit_and_memory_limit() {
    ::tests::need_root!();
    let place = Place::new();
    let source = json!({"emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}});
    let path = place.prepare(source.clone()).unwrap();
    let lines = mounted(&path);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(" tmpfs ") && lines[0].contains("size=8192k"), "{lines:?}");
    assert_eq!(mode(&path), 0o777);
    fs::write(path.join("file"), "kept").unwrap();
    place.prepare(source).unwrap();
    assert_eq!(mounted(&path).len(), 1, "mounted once");
    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "kept");
    assert!(fs::write(path.join("big"), vec![0; 9 << 20]).is_err());
    place.remove();
    assert_eq!(mounted(&path), Vec::<String>::new());

    let mut plan = pod(json!({"emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}));
    let containers = &mut plan.pod.spec.as_mut().unwrap().containers;
    for container in containers {
        container.resources = serde_json::from_value(json!({"limits": {"memory": "1Mi"}})).unwrap();
    }
    prepare(&place.layout, &plan, &place.objects, "c", None).unwrap();
    assert!(mounted(&path)[0].contains("size=2048k"), "the pod's limit is 2 Mi");
}

#[test]
fn only_what_the_container_mounts_is_made() {
    let place = Place::new();
    let plan = pod(json!({"emptyDir": {}}));
    let paths = prepare(&place.layout, &plan, &place.objects, "without", None).unwrap();
    assert!(paths.is_empty());
    let paths = prepare(&place.layout, &plan, &place.objects, "c", None).unwrap();
    assert_eq!(paths.into_keys().collect::<Vec<_>>(), ["v"]);
}

#[test]
fn containers_of_a_pod_may_be_prepared_at_once() {
    ::tests::need_root!();
    let mut place = Place::new();
    place.config_map("m", json!({"a": "1"}));
    place.secret("s", json!({"b": "Mg=="}));
    let sources = [
        json!({"emptyDir": {"medium": "Memory"}}),
        json!({"configMap": {"name": "m"}}),
        json!({"secret": {"secretName": "s"}}),
        json!({"persistentVolumeClaim": {"claimName": "data"}}),
    ];
    for source in &sources {
        std::thread::scope(|scope| {
            let all: Vec<_> =
                (0..8).map(|_| scope.spawn(|| place.prepare(source.clone()).unwrap())).collect();
            let paths: Vec<_> = all.into_iter().map(|t| t.join().unwrap()).collect();
            assert!(paths.iter().all(|p| *p == paths[0]));
            assert!(mounted(&paths[0]).len() <= 1);
        });
        place.remove();
    }
}

#[test]
fn remove_takes_everything_and_leaves_what_outlives_the_pod() {
    ::tests::need_root!();
    let mut place = Place::new();
    place.secret("s", json!({"b": "Mg=="}));
    fs::create_dir(place.path("host")).unwrap();
    fs::write(place.path("host/keep"), "").unwrap();
    for source in [
        json!({"emptyDir": {}}),
        json!({"emptyDir": {"medium": "Memory"}}),
        json!({"secret": {"secretName": "s"}}),
        json!({"hostPath": {"path": place.path("host")}}),
        json!({"persistentVolumeClaim": {"claimName": "data"}}),
    ] {
        let path = place.prepare(source).unwrap();
        if path.starts_with(place.layout.pod("u-1")) {
            // A container may leave any files: links to the outside, links to themselves, odd names.
            symlink(place.path("host"), path.join("out")).unwrap();
            symlink("loop", path.join("loop")).unwrap();
            fs::create_dir_all(path.join("a/b\nc/d")).unwrap();
            fs::write(path.join("a/b\nc/-rf"), "").unwrap();
        }
        place.remove();
    }
    assert!(place.path("host/keep").exists());
    assert!(place.layout.volumes().join("default/data/data").exists());
    assert!(!place.layout.pod("u-1").join("volumes").exists());
    assert!(!place.layout.pod_run("u-1").join("volumes").exists());
    assert_eq!(mounted(place.dir.path()), Vec::<String>::new());
    place.remove();
}

#[test]
fn remove_takes_trees_of_any_depth() {
    let place = Place::new();
    let path = place.prepare(json!({"emptyDir": {}})).unwrap();
    // Deeper than the maximum length of a path, and deeper than the maximum number of descriptors.
    let mut dir = rustix::fs::open(&path, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o755);
    for _ in 0..5000 {
        rustix::fs::mkdirat(&dir, "deep", mode).unwrap();
        rustix::fs::mkdirat(&dir, "side", mode).unwrap();
        dir = rustix::fs::openat(&dir, "deep", rustix::fs::OFlags::DIRECTORY, mode).unwrap();
    }
    drop(dir);
    place.remove();
    assert!(!path.exists());
}

#[test]
fn remove_unmounts_what_was_mounted_inside_and_never_deletes_through_a_mount() {
    ::tests::need_root!();
    let place = Place::new();
    let path = place.prepare(json!({"emptyDir": {}})).unwrap();
    fs::create_dir(place.path("precious")).unwrap();
    fs::write(place.path("precious/file"), "").unwrap();
    fs::create_dir(path.join("inside")).unwrap();
    rustix::mount::mount_bind(place.path("precious"), path.join("inside")).unwrap();
    place.remove();
    assert!(place.path("precious/file").exists());
    assert!(!path.exists());
}

#[test]
fn a_tree_with_a_mount_in_it_is_kept_and_told() {
    ::tests::need_root!();
    let place = Place::new();
    fs::create_dir_all(place.path("tree/mounted")).unwrap();
    fs::create_dir(place.path("precious")).unwrap();
    fs::write(place.path("precious/file"), "").unwrap();
    fs::write(place.path("tree/gone"), "").unwrap();
    rustix::mount::mount_bind(place.path("precious"), place.path("tree/mounted")).unwrap();
    let errors = base::file::remove_tree(&place.path("tree")).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].to_string().contains("mounted"), "{}", errors[0]);
    assert!(place.path("precious/file").exists());
    assert!(!place.path("tree/gone").exists(), "the rest is gone");
}

#[test]
fn host_path_of_every_type() {
    let place = Place::new();
    fs::create_dir(place.path("dir")).unwrap();
    fs::write(place.path("file"), "").unwrap();
    symlink(place.path("dir"), place.path("link")).unwrap();
    let _socket = UnixListener::bind(place.path("sock")).unwrap();
    let of = |path: &str, kind: &str| {
        let path = if path.starts_with('/') { path.into() } else { place.path(path) };
        place.prepare(json!({"hostPath": {"path": path, "type": kind}})).map_err(|e| e.to_string())
    };
    for (path, kind) in [
        ("dir", ""),
        ("file", ""),
        ("link", "Directory"),
        ("dir", "Directory"),
        ("dir", "DirectoryOrCreate"),
        ("new/deep/dir", "DirectoryOrCreate"),
        ("untyped", ""),
        ("file", "File"),
        ("file", "FileOrCreate"),
        ("newfile", "FileOrCreate"),
        ("sock", "Socket"),
        ("/dev/null", "CharDevice"),
    ] {
        assert!(of(path, kind).is_ok(), "{path} {kind}");
    }
    assert_eq!(mode(&place.path("new")), 0o755);
    assert_eq!(mode(&place.path("new/deep/dir")), 0o755);
    assert_eq!(mode(&place.path("untyped")), 0o755);
    assert_eq!(mode(&place.path("newfile")), 0o644);
}

#[test]
fn a_host_path_of_the_wrong_type_is_an_error_that_names_path_and_type() {
    let place = Place::new();
    fs::create_dir(place.path("dir")).unwrap();
    fs::write(place.path("file"), "").unwrap();
    let messages: Vec<String> = [
        ("file", "Directory"),
        ("file", "DirectoryOrCreate"),
        ("dir", "File"),
        ("dir", "FileOrCreate"),
        ("absent", "Directory"),
        ("absent", "File"),
        ("absent", "Socket"),
        ("absent/file", "FileOrCreate"),
        ("file", "Socket"),
        ("file", "CharDevice"),
        ("/dev/null", "BlockDevice"),
        ("file/below", "DirectoryOrCreate"),
    ]
    .into_iter()
    .map(|(path, kind)| {
        let path = if path.starts_with('/') { path.into() } else { place.path(path) };
        let error = place.prepare(json!({"hostPath": {"path": path, "type": kind}})).unwrap_err();
        error.to_string().replace(place.dir.path().to_str().unwrap(), "DIR")
    })
    .collect();
    insta::assert_snapshot!(messages.join("\n"), @r"
    FailedMount: volume v: hostPath DIR/file (type Directory) is a file
    FailedMount: volume v: hostPath DIR/file (type DirectoryOrCreate) is a file
    FailedMount: volume v: hostPath DIR/dir (type File) is a directory
    FailedMount: volume v: hostPath DIR/dir (type FileOrCreate) is a directory
    FailedMount: volume v: hostPath DIR/absent (type Directory) does not exist
    FailedMount: volume v: hostPath DIR/absent (type File) does not exist
    FailedMount: volume v: hostPath DIR/absent (type Socket) does not exist
    FailedMount: volume v: hostPath DIR/absent/file (type FileOrCreate) cannot be made: the folder that it lies in does not exist
    FailedMount: volume v: hostPath DIR/file (type Socket) is a file
    FailedMount: volume v: hostPath DIR/file (type CharDevice) is a file
    FailedMount: volume v: hostPath /dev/null (type BlockDevice) is a character device
    FailedMount: volume v: hostPath DIR/file/below: cannot be looked at: Not a directory (os error 20)
    ");
    assert!(!place.path("absent").exists(), "nothing is made by a failure");
}

#[test]
fn a_source_that_is_not_supported_is_an_error() {
    let place = Place::new();
    let error = place.prepare(json!({"csi": {"driver": "x"}})).unwrap_err();
    assert_eq!(error.to_string(), "FailedMount: volume v: this kind of volume is not supported");
}
