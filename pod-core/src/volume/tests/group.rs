//! fsGroup: which volumes get the group of the pod, and what it may do with them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::group::{Group, give_tree};
use super::super::{open_sub_path, update};
use super::{Place, mode, pod};
use crate::plan::PodPlan;

/// Returns a pod with fsGroup 2000 whose container `c` mounts the volume `v` with this source.
fn pod_of_group(source: Value, policy: Option<&str>) -> PodPlan {
    let mut plan = pod(source);
    let context = json!({"fsGroup": 2000, "fsGroupChangePolicy": policy});
    plan.pod.spec.as_mut().unwrap().security_context = serde_json::from_value(context).unwrap();
    plan
}

fn prepared(place: &Place, plan: &PodPlan) -> PathBuf {
    super::prepared(place, plan).unwrap()
}

/// Returns mode and group of a path; a link is not followed.
fn seen(path: &Path) -> (u32, u32) {
    let stat = fs::symlink_metadata(path).unwrap();
    (stat.mode() & 0o7777, stat.gid())
}

#[test]
fn empty_dirs_get_the_group_on_disk_and_in_memory() {
    ::tests::need_root!();
    let place = Place::new();
    for source in [json!({"emptyDir": {}}), json!({"emptyDir": {"medium": "Memory"}})] {
        let path = prepared(&place, &pod_of_group(source, None));
        assert_eq!(seen(&path), (0o2777, 2000));
        place.remove();
    }
}

#[test]
fn files_of_config_maps_and_secrets_get_the_group_which_may_read_them() {
    ::tests::need_root!();
    let mut place = Place::new();
    place.config_map("m", json!({"a": "1", "b": "2"}));
    place.secret("s", json!({"a": "MQ==", "b": "Mg=="}));
    let items = json!([{"key": "a", "path": "deep/a", "mode": 0o400}, {"key": "b", "path": "b"}]);
    for source in [
        json!({"configMap": {"name": "m", "items": items}}),
        json!({"secret": {"secretName": "s", "items": items}}),
    ] {
        let plan = pod_of_group(source, None);
        let path = prepared(&place, &plan);
        assert_eq!(seen(&path), (0o2755, 2000));
        assert_eq!(seen(&path.join("..data/deep")), (0o2755, 2000));
        assert_eq!(seen(&path.join("..data/deep/a")), (0o440, 2000));
        assert_eq!(seen(&path.join("..data/b")), (0o644, 2000));
        let before = fs::read_link(path.join("..data")).unwrap();
        prepared(&place, &plan);
        update(&place.layout, &plan, &place.objects).unwrap();
        assert_eq!(fs::read_link(path.join("..data")).unwrap(), before, "written although nothing changed");
        place.remove();
    }
}

#[test]
fn everything_in_a_claim_gets_the_group_once_per_pod() {
    ::tests::need_root!();
    let place = Place::new();
    let source = json!({"persistentVolumeClaim": {"claimName": "data"}});
    let path = place.prepare(source.clone()).unwrap();
    fs::create_dir_all(path.join("sub/deep")).unwrap();
    for (name, mode) in [("file", 0o600), ("sub/run", 0o4755), ("sub/deep/secret", 0o400)] {
        fs::write(path.join(name), "").unwrap();
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(path.join("sub"), fs::Permissions::from_mode(0o700)).unwrap();
    let outside = place.path("outside");
    fs::write(&outside, "").unwrap();
    let before = seen(&outside);
    symlink(&outside, path.join("link")).unwrap();

    let plan = pod_of_group(source, None);
    assert_eq!(prepared(&place, &plan), path);
    assert_eq!(seen(&path), (0o2777, 2000));
    assert_eq!(seen(&path.join("file")), (0o660, 2000));
    assert_eq!(seen(&path.join("sub")), (0o2770, 2000));
    assert_eq!(seen(&path.join("sub/run")), (0o4775, 2000), "setuid is kept");
    assert_eq!(seen(&path.join("sub/deep")), (0o2775, 2000));
    assert_eq!(seen(&path.join("sub/deep/secret")), (0o660, 2000));
    assert_eq!(seen(&path.join("link")).1, 2000);
    assert_eq!(seen(&outside), before, "a link is not followed");

    // A container of the pod closes a file; the next one to start leaves it closed.
    fs::set_permissions(path.join("file"), fs::Permissions::from_mode(0o600)).unwrap();
    prepared(&place, &plan);
    assert_eq!(seen(&path.join("file")).0, 0o600);
    place.remove();
    prepared(&place, &plan);
    assert_eq!(seen(&path.join("file")).0, 0o660, "the next pod gets it");
}

#[test]
fn on_root_mismatch_skips_a_claim_whose_root_is_right() {
    ::tests::need_root!();
    let place = Place::new();
    let source = json!({"persistentVolumeClaim": {"claimName": "data"}});
    let path = place.prepare(source.clone()).unwrap();
    fs::write(path.join("file"), "").unwrap();
    let plan = pod_of_group(source, Some("OnRootMismatch"));
    prepared(&place, &plan);
    assert_eq!(seen(&path.join("file")).1, 2000, "the root did not match");
    place.remove();

    chown(path.join("file"), None, Some(7)).unwrap();
    prepared(&place, &plan);
    assert_eq!(seen(&path.join("file")).1, 7, "the root matches");
    place.remove();

    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    prepared(&place, &plan);
    assert_eq!(seen(&path.join("file")).1, 2000, "the root has no setgid");
}

#[test]
fn host_paths_and_read_only_claims_never_get_the_group() {
    let place = Place::new();
    let host = place.path("host");
    fs::create_dir(&host).unwrap();
    let before = seen(&host);
    prepared(&place, &pod_of_group(json!({"hostPath": {"path": host}}), None));
    assert_eq!(seen(&host), before);
    let source = json!({"persistentVolumeClaim": {"claimName": "data", "readOnly": true}});
    assert_eq!(seen(&prepared(&place, &pod_of_group(source, None))).0, 0o777);
}

#[test]
fn a_folder_made_for_a_sub_path_has_the_group_too() {
    ::tests::need_root!();
    let place = Place::new();
    let path = prepared(&place, &pod_of_group(json!({"emptyDir": {}}), None));
    open_sub_path(&path, "deep/er").unwrap();
    assert_eq!(seen(&path.join("deep")), (0o2777, 2000));
    assert_eq!(seen(&path.join("deep/er")), (0o2777, 2000));
}

#[test]
fn a_tree_of_any_depth_is_walked_and_no_mount_in_it() {
    ::tests::need_root!();
    let place = Place::new();
    fs::create_dir_all(place.path("tree/mounted")).unwrap();
    fs::create_dir_all(place.path("other/inside")).unwrap();
    rustix::mount::mount_bind(place.path("other"), place.path("tree/mounted")).unwrap();
    let flags = rustix::fs::OFlags::DIRECTORY;
    let mut dir = rustix::fs::open(place.path("tree"), flags, rustix::fs::Mode::empty()).unwrap();
    let all = rustix::fs::Mode::from_raw_mode(0o755);
    for _ in 0..1100 {
        rustix::fs::mkdirat(&dir, "deep", all).unwrap();
        dir = rustix::fs::openat(&dir, "deep", flags, all).unwrap();
    }
    give_tree(&place.path("tree"), Group { gid: 2000, read_only: false }, false).unwrap();
    assert_eq!(rustix::fs::fstat(&dir).unwrap().st_gid, 2000);
    assert_eq!(seen(&place.path("other/inside")).1, 0);
    super::super::mounts::unmount_below(&[place.dir.path()]);
    drop(dir);
    base::file::remove_tree(&place.path("tree")).unwrap();
}

#[test]
fn without_a_group_nothing_changes() {
    let place = Place::new();
    assert_eq!(mode(&place.prepare(json!({"emptyDir": {}})).unwrap()), 0o777);
    assert!(!place.layout.pod_run("u-1").join("volumes").exists());
}
