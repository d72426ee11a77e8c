//! ConfigMap and Secret contents: files, modes, updates.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::super::{atomic_writer, update};
use super::{Place, mode, mounted, pod};
use crate::kind::WaitingReason;

/// Returns the visible files with their contents.
fn shown(dir: &Path) -> BTreeMap<String, String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_name().to_str().unwrap().starts_with(".."))
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let text = fs::read_to_string(entry.path()).unwrap_or_else(|_| "(folder)".to_owned());
            (name, text)
        })
        .collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn config_map_keys_are_files_of_mode_0644() {
    ::tests::need_root!();
    let mut place = Place::new();
    place.config_map("m", json!({"a.txt": "alpha", "b": ""}));
    let key = ("default".to_owned(), "m".to_owned());
    let binary = k8s_openapi::ByteString(vec![0, 159, 146]);
    place.objects.config_maps.get_mut(&key).unwrap().binary_data =
        Some([("c.bin".to_owned(), binary)].into());
    let path = place.prepare(json!({"configMap": {"name": "m"}})).unwrap();
    assert_eq!(fs::read_to_string(path.join("a.txt")).unwrap(), "alpha");
    assert_eq!(fs::read(path.join("c.bin")).unwrap(), [0, 159, 146]);
    assert_eq!(mode(&path.join("a.txt")), 0o644);
    assert_eq!(mode(&path), 0o755);
    assert_eq!(mode(&path.join("..data/")), 0o755);
    assert_eq!(fs::metadata(path.join("a.txt")).unwrap().uid(), 0);
    assert_eq!(fs::read_link(path.join("a.txt")).unwrap(), Path::new("..data/a.txt"));
}

#[test]
fn default_mode_and_the_modes_of_items_are_kept() {
    ::tests::need_root!();
    let mut place = Place::new();
    place.config_map("m", json!({"a": "1", "b": "2", "c": "3"}));
    let items = json!([{"key": "a", "path": "deep/er/a.txt"}, {"key": "b", "path": "b.sh", "mode": 0o755}]);
    let path =
        place.prepare(json!({"configMap": {"name": "m", "defaultMode": 0o400, "items": items}})).unwrap();
    assert_eq!(fs::read_to_string(path.join("deep/er/a.txt")).unwrap(), "1");
    assert_eq!(mode(&path.join("deep/er/a.txt")), 0o400);
    assert_eq!(mode(&path.join("deep/er")), 0o755);
    assert_eq!(mode(&path.join("b.sh")), 0o755);
    assert_eq!(shown(&path).into_keys().collect::<Vec<_>>(), ["b.sh", "deep"]);
}

#[test]
fn secrets_lie_on_a_tmpfs() {
    ::tests::need_root!();
    let mut place = Place::new();
    place.secret("s", json!({"pass": "czNjcmV0"}));
    let path = place.prepare(json!({"secret": {"secretName": "s"}})).unwrap();
    assert_eq!(fs::read_to_string(path.join("pass")).unwrap(), "s3cret");
    let lines = mounted(&path);
    assert!(
        lines.len() == 1 && lines[0].contains(" tmpfs ") && lines[0].contains("nosuid,nodev"),
        "{lines:?}"
    );
    assert!(path.starts_with(&place.layout.runroot));
    place.remove();
    assert!(!path.exists());
}

#[test]
fn a_missing_object_or_key_is_create_container_config_error_unless_optional() {
    ::tests::need_root!();
    let mut place = Place::new();
    place.config_map("m", json!({"a": "1"}));
    place.secret("s", json!({"a": "MQ=="}));
    let items = json!([{"key": "absent", "path": "x"}]);
    let cases = [
        json!({"configMap": {"name": "absent"}}),
        json!({"configMap": {"name": "m", "items": items}}),
        json!({"secret": {"secretName": "absent"}}),
        json!({"secret": {"secretName": "s", "items": items}}),
    ];
    let messages: Vec<_> = cases.iter().map(|c| place.prepare(c.clone()).unwrap_err().to_string()).collect();
    insta::assert_snapshot!(messages.join("\n"), @r#"
    CreateContainerConfigError: volume v: configmap "absent" not found in namespace "default"
    CreateContainerConfigError: volume v: configmap "m" has no key "absent"
    CreateContainerConfigError: volume v: secret "absent" not found in namespace "default"
    CreateContainerConfigError: volume v: secret "s" has no key "absent"
    "#);
    for mut case in cases {
        let source = case.as_object_mut().unwrap().values_mut().next().unwrap();
        source["optional"] = json!(true);
        let path = place.prepare(case).unwrap();
        assert_eq!(shown(&path), map(&[]));
        place.remove();
    }
}

#[test]
fn no_key_or_path_leaves_the_volume() {
    let mut place = Place::new();
    place.config_map("m", json!({"a": "1"}));
    for path in ["../x", "/etc/x", "a/../../x", "..data", "..", "", "a/.."] {
        let items = json!([{"key": "a", "path": path}]);
        let error = place.prepare(json!({"configMap": {"name": "m", "items": items}})).unwrap_err();
        assert_eq!(error.reason, WaitingReason::CreateContainerConfigError, "{path:?}");
    }
    place.config_map("m", json!({"../x": "1"}));
    assert!(place.prepare(json!({"configMap": {"name": "m"}})).is_err());
}

#[test]
fn nothing_is_touched_when_nothing_changed() {
    ::tests::need_root!();
    let mut place = Place::new();
    place.config_map("m", json!({"a": "1"}));
    let source = json!({"configMap": {"name": "m", "items": [{"key": "a", "path": "x//y"}]}});
    let path = place.prepare(source.clone()).unwrap();
    let before = fs::read_link(path.join("..data")).unwrap();
    place.prepare(source).unwrap();
    assert_eq!(fs::read_link(path.join("..data")).unwrap(), before);
}

#[test]
fn an_update_adds_changes_and_removes_files_and_leaves_no_old_folder() {
    ::tests::need_root!();
    let mut place = Place::new();
    place.config_map("m", json!({"stays": "1", "changes": "1", "goes": "1"}));
    let source = json!({"configMap": {"name": "m"}});
    let path = place.prepare(source.clone()).unwrap();
    place.config_map("m", json!({"stays": "1", "changes": "2", "comes": "2"}));
    update(&place.layout, &pod(source.clone()), &place.objects).unwrap();
    assert_eq!(shown(&path), map(&[("stays", "1"), ("changes", "2"), ("comes", "2")]));
    let hidden = fs::read_dir(&path)
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().starts_with(".."))
        .count();
    assert_eq!(hidden, 2, "..data and the folder that it leads to");

    let with_mode = json!({"configMap": {"name": "m", "defaultMode": 0o600}});
    place.prepare(with_mode).unwrap();
    assert_eq!(mode(&path.join("stays")), 0o600, "a mode is a change too");
}

#[test]
fn a_file_may_become_a_folder() {
    ::tests::need_root!();
    let mut place = Place::new();
    place.config_map("m", json!({"k": "1"}));
    let at = |path: &str| json!({"configMap": {"name": "m", "items": [{"key": "k", "path": path}]}});
    let path = place.prepare(at("x")).unwrap();
    place.prepare(at("x/y")).unwrap();
    assert_eq!(fs::read_to_string(path.join("x/y")).unwrap(), "1");
    place.prepare(at("x")).unwrap();
    assert_eq!(fs::read_to_string(path.join("x")).unwrap(), "1");
}

#[test]
fn update_leaves_volumes_alone_that_were_not_made() {
    let mut place = Place::new();
    place.config_map("m", json!({"a": "1"}));
    let plan = pod(json!({"configMap": {"name": "m"}}));
    update(&place.layout, &plan, &place.objects).unwrap();
    assert!(!place.layout.pod("u-1").join("volumes").exists());
}

#[test]
fn an_object_that_went_away_keeps_the_contents_it_had() {
    ::tests::need_root!();
    let mut place = Place::new();
    place.config_map("m", json!({"a": "1"}));
    let source = json!({"configMap": {"name": "m"}});
    let path = place.prepare(source.clone()).unwrap();
    place.objects.config_maps.clear();
    assert_eq!(update(&place.layout, &pod(source), &place.objects).unwrap_err().len(), 1);
    assert_eq!(shown(&path), map(&[("a", "1")]));
}

#[test]
fn what_a_crash_left_is_cleared_by_the_next_write() {
    ::tests::need_root!();
    let mut place = Place::new();
    place.config_map("m", json!({"a": "1"}));
    let source = json!({"configMap": {"name": "m"}});
    let path = place.prepare(source.clone()).unwrap();
    // The state if the process had stopped between any two steps of the next update.
    fs::create_dir(path.join("..2020_01_01_00_00_00.0")).unwrap();
    fs::write(path.join("..2020_01_01_00_00_00.0/a"), "half").unwrap();
    std::os::unix::fs::symlink("..2020_01_01_00_00_00.0", path.join("..data_tmp")).unwrap();
    std::os::unix::fs::symlink("..data/gone", path.join("gone")).unwrap();
    fs::remove_file(path.join("a")).unwrap();
    place.config_map("m", json!({"a": "2"}));
    place.prepare(source).unwrap();
    assert_eq!(shown(&path), map(&[("a", "2")]));
    assert_eq!(fs::read_dir(&path).unwrap().count(), 3);
}

#[test]
fn readers_see_all_of_the_old_or_all_of_the_new() {
    ::tests::need_root!();
    let dir = tempfile::tempdir().unwrap();
    let payload = |n: usize| -> atomic_writer::Payload {
        let contents = n.to_string().into_bytes();
        (0..8)
            .map(|f| {
                let file = atomic_writer::PayloadFile { contents: contents.clone(), mode: 0o644, user: 0 };
                (format!("f{f}"), file)
            })
            .collect()
    };
    atomic_writer::write(dir.path(), &payload(0), None).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut whole = 0;
                    while !done.load(Ordering::Relaxed) {
                        // Reads `..data` once, like a program that needs a consistent view.
                        let folder = dir.path().join(fs::read_link(dir.path().join("..data")).unwrap());
                        let seen: Vec<_> =
                            (0..8).map(|f| fs::read_to_string(folder.join(format!("f{f}")))).collect();
                        // An old folder may have been removed, but it never shows anything new.
                        let texts: Vec<_> = seen.iter().flatten().collect();
                        assert!(texts.iter().all(|t| *t == texts[0]), "{texts:?}");
                        whole += usize::from(texts.len() == 8);
                        // A visible name never leads to a partial file.
                        if let Ok(text) = fs::read_to_string(dir.path().join("f3")) {
                            assert!(text.parse::<usize>().is_ok(), "{text:?}");
                        }
                    }
                    whole
                })
            })
            .collect();
        for n in 1..300 {
            atomic_writer::write(dir.path(), &payload(n), None).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    let last: Value = serde_json::from_str(&fs::read_to_string(dir.path().join("f0")).unwrap()).unwrap();
    assert_eq!(last, json!(299));
}

/// podman followed links that a container had planted in a volume when it wrote the volume's files again.
#[test]
fn cve_2025_9566_links_planted_in_a_volume_lead_no_write_out_of_it() {
    ::tests::need_root!();
    let mut place = Place::new();
    let outside = place.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("key"), "host").unwrap();
    place.config_map("m", json!({"key": "one", "deep": "1"}));
    let source = json!({"configMap": {"name": "m", "items": [{"key": "key", "path": "key"}, {"key": "deep", "path": "d/deep"}]}});
    let path = place.prepare(source.clone()).unwrap();
    let plant = |name: &str, target: &Path| {
        let _ = fs::remove_file(path.join(name));
        std::os::unix::fs::symlink(target, path.join(name)).unwrap();
    };
    let data = fs::read_link(path.join("..data")).unwrap();
    let plants: [&dyn Fn(); 6] = [
        &|| plant("..data", &outside),
        &|| plant("..data", Path::new("../../../../../outside")),
        &|| plant("key", &outside.join("key")),
        &|| plant("d", &outside),
        &|| plant("..data_tmp", &outside),
        &|| {
            // The newest folder is replaced by a link to the host, and `..data` points to that link.
            let _ = fs::remove_dir_all(path.join(&data));
            plant(data.to_str().unwrap(), &outside);
            plant("..data", &data);
        },
    ];
    for (n, planted) in plants.iter().enumerate() {
        planted();
        place.config_map("m", json!({"key": format!("update {n}"), "deep": "2"}));
        let _ = update(&place.layout, &pod(source.clone()), &place.objects);
        let _ = place.prepare(source.clone());
        let kept: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(kept, ["key"], "plant {n}");
        assert_eq!(fs::read_to_string(outside.join("key")).unwrap(), "host", "plant {n}");
    }
    place.remove();
    assert_eq!(fs::read_to_string(outside.join("key")).unwrap(), "host", "removed with the volume");
}

#[test]
fn contents_stay_when_the_object_or_a_key_of_it_is_gone() {
    ::tests::need_root!();
    let mut place = Place::new();
    place.config_map("m", json!({"a": "1"}));
    place.secret("s", json!({"a": "MQ=="}));
    for source in [
        json!({"configMap": {"name": "m", "items": [{"key": "a", "path": "a"}]}}),
        json!({"secret": {"secretName": "s"}}),
    ] {
        let path = place.prepare(source.clone()).unwrap();
        let (maps, secrets) = (place.objects.config_maps.clone(), place.objects.secrets.clone());
        place.config_map("m", json!({"b": "2"}));
        place.objects.secrets.clear();
        assert_eq!(place.prepare(source.clone()).unwrap(), path);
        assert_eq!(std::fs::read_to_string(path.join("a")).unwrap(), "1");
        (place.objects.config_maps, place.objects.secrets) = (maps, secrets);
        place.remove();
    }
    place.objects.config_maps.clear();
    let error = place.prepare(json!({"configMap": {"name": "m"}})).unwrap_err();
    assert!(error.message.contains("not found"), "{error}");
}

#[test]
fn what_is_no_key_stays_in_the_folder_and_blocks_no_update() {
    ::tests::need_root!();
    let mut place = Place::new();
    place.config_map("m", json!({"a": "1"}));
    let source = json!({"configMap": {"name": "m"}});
    let path = place.prepare(source.clone()).unwrap();
    // As a subPath without a key, and mount points, create them.
    std::fs::create_dir_all(path.join("sub/deep")).unwrap();
    std::fs::write(path.join("file"), "").unwrap();
    place.config_map("m", json!({"b": "2", "sub": "key"}));
    place.prepare(source).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with(".."))
        .collect();
    names.sort();
    assert_eq!(names, ["b", "file", "sub"]);
    assert!(path.join("sub/deep").is_dir());
    assert_eq!(std::fs::read_to_string(path.join("b")).unwrap(), "2");
}
