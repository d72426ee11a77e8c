//! Archives of images, and the removal of images.

use std::collections::BTreeMap;
use std::io::Read;

use super::layers::{Member, TarMaker, member};
use super::named;
use super::store::{import, stack, store};
use crate::image::*;

fn tar() -> TarMaker {
    TarMaker::default()
}

fn save(store: &ImageStore, names: &[&str], format: ArchiveFormat) -> Vec<u8> {
    let names: Vec<ImageName> = names.iter().map(named).collect();
    let mut out = Vec::new();
    store.save(&names, format, &mut out).unwrap();
    out
}

fn members(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in ::tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        found.insert(name, bytes);
    }
    found
}

fn nobody(_: &Image) -> Vec<String> {
    Vec::new()
}

#[test]
fn what_is_saved_in_either_format_loads_as_the_same_images() {
    ::tests::need_root!();
    let (_dir, from) = store();
    let low = tar().file("low", "l");
    let app = stack(&from, "quay.io/team/app:1", vec![low.clone(), tar().file("a", "app")]);
    let other = stack(&from, "localhost/other:2", vec![low, tar().file("b", "other")]);
    for format in [ArchiveFormat::Docker, ArchiveFormat::Oci] {
        let plain = save(&from, &["quay.io/team/app:1", &other.id], format);
        assert_eq!(
            plain,
            save(&from, &["quay.io/team/app:1", &other.id], format),
            "the same bytes each time"
        );
        let packed = zstd::encode_all(plain.as_slice(), 1).unwrap();
        for archive in [plain, packed] {
            let (_dir, to) = store();
            let loaded = to.load(&mut archive.as_slice(), "images.tar", None).unwrap();
            assert_eq!(
                loaded.iter().map(|l| &l.image.id).collect::<Vec<_>>(),
                [&app.id, &other.id],
                "{format:?}"
            );
            assert_eq!(loaded[0].names, app.names);
            assert_eq!(loaded[1].names, other.names);
            assert_eq!(to.read_file(&loaded[1].image, "b", 10).unwrap().as_deref(), Some("other"));
            assert_eq!(loaded[0].image.config, app.config);
            // Loading an image that is in the store already changes nothing.
            to.load(&mut archive.as_slice(), "images.tar", None).unwrap();
            assert_eq!(to.list().unwrap().len(), 2);
        }
    }
}

#[test]
fn an_oci_archive_holds_the_blobs_as_they_came() {
    ::tests::need_root!();
    let (_dir, store) = store();
    let archive = tar().file("f", "content").end();
    let blob = zstd::encode_all(archive.as_slice(), 3).unwrap();
    let name: Reference = "localhost/z:1".parse().unwrap();
    store.import(&mut blob.as_slice(), "z.tar.zst", &name, ImageConfig::default(), None).unwrap();
    let saved = members(&save(&store, &["localhost/z:1"], ArchiveFormat::Oci));
    assert_eq!(saved[&format!("blobs/sha256/{}", Digest::of(&blob).hex())], blob);
    let index: serde_json::Value = serde_json::from_slice(&saved["index.json"]).unwrap();
    assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "localhost/z:1");
    let docker = members(&save(&store, &["localhost/z:1"], ArchiveFormat::Docker));
    assert_eq!(
        docker[&format!("{}.tar", Digest::of(&archive).hex())],
        archive,
        "docker's are not compressed"
    );
    let list: serde_json::Value = serde_json::from_slice(&docker["manifest.json"]).unwrap();
    assert_eq!(list[0]["RepoTags"][0], "localhost/z:1");
}

#[test]
fn old_docker_archives_with_links_between_layers_load() {
    ::tests::need_root!();
    let (_dir, store) = store();
    let layer = tar().file("f", "f").end();
    let diff_id = Digest::of(&layer);
    let config = serde_json::json!({"os": "linux", "architecture": "amd64", "config": {"Cmd": ["x"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id, diff_id]}});
    let list = serde_json::json!([{"Config": "c.json", "RepoTags": ["old:1"], "Layers": ["one/layer.tar", "two/layer.tar"]}]);
    let archive = tar()
        .dir("one", 0o755)
        .add(Member { data: layer, ..member(b'0', "one/layer.tar") })
        .link(b'2', "two/layer.tar", "../one/layer.tar")
        .file("c.json", &config.to_string())
        .file("manifest.json", &list.to_string())
        .end();
    let loaded = store.load(&mut archive.as_slice(), "old.tar", None).unwrap();
    assert_eq!(loaded[0].names, ["docker.io/library/old:1"]);
    assert_eq!(store.read_file(&loaded[0].image, "f", 10).unwrap().as_deref(), Some("f"));
}

#[test]
fn an_archive_without_a_name_takes_the_one_that_is_given() {
    ::tests::need_root!();
    let (_dir, from) = store();
    let image = import(&from, "x", tar().file("f", "f"));
    import(&from, "x", tar().file("f", "g"));
    for format in [ArchiveFormat::Docker, ArchiveFormat::Oci] {
        let archive = save(&from, &[&image.id], format);
        let (_dir, to) = store();
        let loaded = to.load(&mut archive.as_slice(), "x.tar", None).unwrap();
        assert!(loaded[0].names.is_empty());
        let name: Reference = "localhost/named:1".parse().unwrap();
        let loaded = to.load(&mut archive.as_slice(), "x.tar", Some(&name)).unwrap();
        assert_eq!(loaded[0].names, ["localhost/named:1"]);
        // Only the names from this archive, not earlier ones.
        let loaded = to.load(&mut archive.as_slice(), "x.tar", None).unwrap();
        assert!(loaded[0].names.is_empty());
        assert_eq!(loaded[0].image.names, ["localhost/named:1"]);
    }
}

/// Creates an oci-archive whose `index.json` lists one image per platform, all under `name`.
fn for_platforms(platforms: &[&str], name: Option<&str>) -> Vec<u8> {
    let mut archive = tar();
    let mut listed = Vec::new();
    for architecture in platforms {
        let layer = tar().file("arch", architecture).end();
        let config = serde_json::json!({"os": "linux", "architecture": architecture,
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]}});
        let mut blob = |bytes: Vec<u8>| {
            let (digest, size) = (Digest::of(&bytes), bytes.len());
            let path = format!("blobs/sha256/{}", digest.hex());
            archive = std::mem::take(&mut archive).add(Member { data: bytes, ..member(b'0', &path) });
            serde_json::json!({"mediaType": "x", "digest": digest, "size": size})
        };
        let layer = blob(layer);
        let config = blob(config.to_string().into_bytes());
        let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": [layer]});
        let mut entry = blob(manifest.to_string().into_bytes());
        entry["platform"] = serde_json::json!({"os": "linux", "architecture": architecture});
        if let Some(name) = name {
            entry["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": name});
        }
        listed.push(entry);
    }
    let index = serde_json::json!({"schemaVersion": 2, "manifests": listed}).to_string();
    archive.file("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#).file("index.json", &index).end()
}

#[test]
fn an_archive_for_several_platforms_gives_this_machines_image_whatever_the_order() {
    ::tests::need_root!();
    let own = platforms::this_machine().architecture;
    for order in [[own.as_str(), "s390x", "mips"], ["s390x", "mips", own.as_str()]] {
        let archive = for_platforms(&order, Some("quay.io/team/app:1"));
        let (_dir, store) = store();
        let loaded = store.load(&mut archive.as_slice(), "multi.tar", None).unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!(loaded[0].names, ["quay.io/team/app:1"]);
        let image = store.find(&named("quay.io/team/app:1")).unwrap().unwrap();
        assert_eq!(store.read_file(&image, "arch", 10).unwrap().as_deref(), Some(own.as_str()));
    }
    // If the archive has no name, the given one is for this machine's image.
    let archive = for_platforms(&["s390x", &own], None);
    let (_dir, store) = store();
    let name: Reference = "localhost/named:1".parse().unwrap();
    let loaded = store.load(&mut archive.as_slice(), "multi.tar", Some(&name)).unwrap();
    assert_eq!(loaded[0].names, ["localhost/named:1"]);
    assert_eq!(loaded[0].image.architecture, own);
    let archive = for_platforms(&["s390x", "mips"], Some("quay.io/team/app:1"));
    let error = store.load(&mut archive.as_slice(), "multi.tar", None).unwrap_err().to_string();
    assert!(error.ends_with("there is: linux/mips, linux/s390x"), "{error}");
}

#[test]
fn archives_that_lie_or_are_none_are_refused_by_name() {
    ::tests::need_root!();
    let (_dir, store) = store();
    let image = |diff: &str| serde_json::json!({"rootfs": {"diff_ids": [diff]}}).to_string();
    let list = r#"[{"Config": "c", "Layers": ["l"]}]"#;
    let layer = Member { data: tar().file("f", "f").end(), ..member(b'0', "l") };
    let wrong = Digest::of(b"wrong").to_string();
    let cases = [
        tar().file("etc/passwd", "root").end(),
        tar().file("manifest.json", list).end(),
        tar().file("manifest.json", list).file("c", "{}").end(),
        tar().file("manifest.json", list).file("c", &image(&wrong)).end(),
        tar().file("manifest.json", list).file("c", &image(&wrong)).add(layer).end(),
        tar().file("manifest.json", list).link(b'2', "c", "c").end(),
        tar().file("manifest.json", "{").end(),
        tar()
            .file("index.json", r#"{"schemaVersion": 2, "manifests": [{"digest": "sha256:zz", "size": 1}]}"#)
            .end(),
        b"no archive at all".to_vec(),
        b"no archive at all ".repeat(50),
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|archive| store.load(&mut archive.as_slice(), "bad.tar", None).unwrap_err().to_string())
        .collect();
    insta::assert_snapshot!(told.join("\n"));
    assert!(store.list().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(store.dir().join("tmp")).unwrap().count(), 0);
}

#[test]
fn removing_takes_names_first_and_then_what_only_this_image_needs() {
    ::tests::need_root!();
    let (_dir, store) = store();
    let low = tar().file("low", "l");
    let app = stack(&store, "app", vec![low.clone(), tar().file("a", "a")]);
    let other = stack(&store, "other", vec![low, tar().file("b", "b")]);
    stack(&store, "alias", vec![tar().file("low", "l"), tar().file("a", "a")]);
    assert!(matches!(store.remove(&named(&app.id), false, &nobody), Err(Error::SeveralNames { .. })));
    let removed = store.remove(&named("alias"), false, &nobody).unwrap();
    assert_eq!(
        (removed.untagged.as_slice(), removed.deleted.len()),
        (&["docker.io/library/alias:latest".to_owned()][..], 0)
    );
    let removed = store.remove(&named("app"), false, &nobody).unwrap();
    assert_eq!(removed.deleted, std::slice::from_ref(&app.id));
    assert!(removed.freed > 0);
    assert_eq!(store.find(&named("app")).unwrap(), None);
    assert_eq!(store.read_file(&other, "low", 10).unwrap().as_deref(), Some("l"), "the shared layer stays");
    assert!(!store.has_layer(&Digest::parse(&app.layers[1]).unwrap()));
    assert!(matches!(store.remove(&named("app"), false, &nobody), Err(Error::NotHere { .. })));
    store.remove(&named(&other.id[7..19]), false, &nobody).unwrap();
    for folder in ["blobs/sha256", "layers"] {
        assert_eq!(std::fs::read_dir(store.dir().join(folder)).unwrap().count(), 0, "{folder}");
    }
}

#[test]
fn an_image_in_use_is_neither_removed_nor_pruned() {
    ::tests::need_root!();
    let (dir, store) = store();
    let image = import(&store, "used", tar().file("f", "f"));
    let error = store.remove(&named("used"), true, &|_| vec!["pod/web".to_owned()]).unwrap_err();
    assert_eq!(error.to_string(), "used is in use by pod/web");
    let (scratch, root) = (dir.path().join("scratch"), dir.path().join("root"));
    store.mount(&image, &scratch, &root, &MountOptions::default()).unwrap();
    // The mount itself protects the image, even after its name has moved to another one.
    assert!(matches!(store.remove(&named("used"), true, &nobody), Err(Error::InUse { .. })));
    import(&store, "used", tar().file("f", "new"));
    assert_eq!(store.prune(true, &nobody).unwrap().untagged, ["docker.io/library/used:latest"]);
    assert_eq!(std::fs::read_to_string(root.join("f")).unwrap(), "f");
    rustix::mount::unmount(&root, rustix::mount::UnmountFlags::DETACH).unwrap();
    std::fs::remove_dir_all(&scratch).unwrap();
    let removed = store.prune(false, &nobody).unwrap();
    assert_eq!(removed.deleted, [image.id]);
    assert!(store.list().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(store.dir().join("leases")).unwrap().count(), 0);
}

#[test]
fn prune_takes_what_has_no_name_and_what_no_image_needs() {
    ::tests::need_root!();
    let (_dir, store) = store();
    let old = import(&store, "app", tar().file("f", "old"));
    let new = import(&store, "app", tar().file("f", "new"));
    // A killed pull leaves behind a layer and a blob of no image.
    let staging = store.stage().unwrap();
    store
        .add_layer(&staging, &mut tar().file("orphan", "x").end().as_slice(), true, false, None, None)
        .unwrap();
    drop(staging);
    let removed = store.prune(false, &nobody).unwrap();
    assert_eq!(removed.deleted, [old.id]);
    assert_eq!(std::fs::read_dir(store.dir().join("layers")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(store.dir().join("blobs/sha256")).unwrap().count(), 3);
    assert_eq!(store.list().unwrap(), [new]);
    assert_eq!(store.prune(false, &nobody).unwrap(), Removed::default());
    assert_eq!(store.prune(true, &nobody).unwrap().untagged.len(), 1);
}
