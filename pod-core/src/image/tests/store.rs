//! The store as its users see it: import, find, mount, read.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::layers::{Member, TarMaker, member};
use super::named;
use crate::image::*;

pub(super) fn store() -> (tempfile::TempDir, ImageStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(&dir.path().join("images")).unwrap();
    (dir, store)
}

pub(super) fn import(store: &ImageStore, name: &str, archive: TarMaker) -> Image {
    let config = ImageConfig { cmd: vec!["/sh".into()], ..ImageConfig::default() };
    store.import(&mut archive.end().as_slice(), "test.tar", &name.parse().unwrap(), config, None).unwrap()
}

/// Creates an image of several layers, lowest first.
pub(super) fn stack(store: &ImageStore, name: &str, layers: Vec<TarMaker>) -> Image {
    let staging = store.stage().unwrap();
    let mut config = manifests::ConfigFile::default();
    let mut descriptors = Vec::new();
    for archive in layers {
        let layer =
            store.add_layer(&staging, &mut archive.end().as_slice(), true, false, None, None).unwrap();
        config.rootfs.diff_ids.push(layer.diff_id);
        descriptors.push(manifests::Descriptor::new(
            layer.compression.media_type(),
            layer.blob,
            layer.blob_size,
        ));
    }
    let name = Reference::parse(name).unwrap().to_string();
    store.record(&config, descriptors, std::slice::from_ref(&name)).unwrap();
    store.find(&named(&name)).unwrap().unwrap()
}

fn tar() -> TarMaker {
    TarMaker::default()
}

/// A mounted image, unmounted when dropped.
pub(super) struct Mounted {
    pub(super) dir: tempfile::TempDir,
}

impl Mounted {
    pub(super) fn new(store: &ImageStore, image: &Image) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (scratch, root) = (dir.path().join("scratch"), dir.path().join("root"));
        store.mount(image, &scratch, &root, &MountOptions::default()).unwrap();
        Self { dir }
    }
    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.dir.path().join("root").join(name)).ok()
    }
    pub(super) fn mode(&self, name: &str) -> u32 {
        use std::os::unix::fs::MetadataExt;
        fs::symlink_metadata(self.dir.path().join("root").join(name)).unwrap().mode() & 0o7777
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        rustix::mount::unmount(self.dir.path().join("root"), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn an_imported_image_is_found_by_name_and_id() {
    ::tests::need_root!();
    let (_dir, store) = store();
    let image = import(&store, "hello:1", tar().file("etc/passwd", "root:x:0:0::/:/bin/sh\n"));
    assert_eq!(image.names, ["docker.io/library/hello:1"]);
    assert_eq!(image.config.cmd, ["/sh"]);
    assert_eq!(image.size, 22);
    for name in [
        "hello:1",
        "docker.io/hello:1",
        "docker.io/library/hello:1",
        &image.id,
        &image.id[..20],
        &image.id[7..19],
    ] {
        assert_eq!(store.find(&named(name)).unwrap().as_ref(), Some(&image), "{name}");
    }
    for other in ["hello", "localhost/hello:1", "sha256:0000000000000000"] {
        assert_eq!(store.find(&named(other)).unwrap(), None, "{other}");
    }
    assert!(ImageName::parse("Hello World").is_err());
    assert_eq!(ImageStore::open(store.dir()).unwrap().list().unwrap(), [image]);
}

#[test]
fn a_name_moves_to_the_new_image_and_the_old_one_stays_without() {
    ::tests::need_root!();
    let (_dir, store) = store();
    let old = import(&store, "app", tar().file("v", "1"));
    let new = import(&store, "app", tar().file("v", "2"));
    assert_eq!(store.find(&named("app")).unwrap().unwrap().id, new.id);
    let left = store.find(&named(&old.id)).unwrap().unwrap();
    assert!(left.names.is_empty());
    assert_eq!(store.list().unwrap().len(), 2);
    // The same content imported twice is one image with two names.
    let again = import(&store, "other", tar().file("v", "2"));
    assert_eq!(again.names, ["docker.io/library/app:latest", "docker.io/library/other:latest"]);
}

#[test]
fn a_mounted_image_is_writable_and_its_layers_stay_as_they_are() {
    ::tests::need_root!();
    let (_dir, store) = store();
    let image = stack(
        &store,
        "layered",
        vec![
            tar()
                .add(Member { mode: 0o711, ..member(b'5', "./") })
                .file("a", "low")
                .file("gone", "x")
                .file("d/old", "old"),
            tar().file("a", "high").file(".wh.gone", "").file("d/.wh..wh..opq", "").file("d/new", "new"),
        ],
    );
    let mounted = Mounted::new(&store, &image);
    assert_eq!(mounted.read("a").as_deref(), Some("high"));
    assert_eq!(mounted.read("gone"), None);
    assert_eq!(mounted.read("d/old"), None);
    assert_eq!(mounted.read("d/new").as_deref(), Some("new"));
    assert_eq!(mounted.mode(""), 0o711, "the lower layer decides, as the upper has no entry for its root");
    fs::write(mounted.dir.path().join("root/a"), "written").unwrap();
    let second = Mounted::new(&store, &image);
    assert_eq!(second.read("a").as_deref(), Some("high"));
}

#[test]
fn images_with_no_repeated_and_very_many_layers_mount() {
    ::tests::need_root!();
    let (_dir, store) = store();
    let none = Mounted::new(&store, &stack(&store, "none", vec![]));
    assert_eq!(none.mode(""), 0o755);
    let (a, b) = (tar().file("f", "a").file("only-a", ""), tar().file("f", "b").file(".wh.only-a", ""));
    let image = stack(&store, "repeated", vec![a.clone(), b, a]);
    let mounted = Mounted::new(&store, &image);
    assert_eq!(mounted.read("f").as_deref(), Some("a"));
    assert!(mounted.read("only-a").is_some());
    for count in [60, 250] {
        let layers =
            (0..count).map(|i| tar().file(&format!("f{i}"), &i.to_string()).file("top", &i.to_string()));
        let image = stack(&store, &format!("many{count}"), layers.collect());
        let mounted = Mounted::new(&store, &image);
        assert_eq!(mounted.read("top"), Some((count - 1).to_string()));
        assert_eq!(mounted.read("f0").as_deref(), Some("0"));
    }
}

#[test]
fn a_store_whose_path_has_colons_and_commas_mounts() {
    ::tests::need_root!();
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(&dir.path().join("a:b,c\\d/images")).unwrap();
    let mounted = Mounted::new(&store, &import(&store, "x", tar().file("f", "f")));
    assert_eq!(mounted.read("f").as_deref(), Some("f"));
}

#[test]
fn read_file_sees_what_a_mount_shows() {
    ::tests::need_root!();
    let (_dir, store) = store();
    let image = stack(
        &store,
        "read",
        vec![
            tar()
                .file("etc/passwd", "low")
                .file("etc/group", "group")
                .file("etc/gone", "gone")
                .file("opaque/old", "old")
                .file("replaced/in", "x")
                .file("under/file", "x")
                .dir("usr", 0o755)
                .file("usr/etc/real", "real"),
            tar()
                .file("etc/passwd", "high")
                .file("etc/.wh.gone", "")
                .file("opaque/.wh..wh..opq", "")
                .file("replaced", "now a file")
                .link(b'2', "abs", "/etc/passwd")
                .link(b'2', "rel", "usr/../etc/group")
                .link(b'2', "out", "../../../../../etc/passwd")
                .link(b'2', "usr/up", "../etc")
                .link(b'2', "loop", "loop")
                .link(b'2', "under", "usr/etc")
                .file("big", &"x".repeat(100)),
        ],
    );
    let mounted = Mounted::new(&store, &image);
    for path in [
        "etc/passwd",
        "etc/group",
        "etc/gone",
        "opaque/old",
        "replaced",
        "replaced/in",
        "rel",
        "usr/up/passwd",
        "under/real",
        "under/file",
        "etc",
        "missing/x",
        "usr/up/../etc/group",
    ] {
        assert_eq!(store.read_file(&image, path, 1000).unwrap(), mounted.read(path), "{path}");
    }
    // A test process is not chrooted to the mount, so these are distinguished by their contents.
    assert_eq!(store.read_file(&image, "/abs", 10).unwrap().as_deref(), Some("high"));
    assert_eq!(store.read_file(&image, "/out", 10).unwrap().as_deref(), Some("high"));
    assert_eq!(store.read_file(&image, "/../../etc/passwd", 10).unwrap().as_deref(), Some("high"));
    assert_eq!(store.read_file(&image, "/big", 100).unwrap().map(|t| t.len()), Some(100));
    assert!(matches!(store.read_file(&image, "/big", 99), Err(Error::TooLarge { .. })));
    assert!(store.read_file(&image, "/loop", 10).is_err());
}

fn everything(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.strip_prefix(dir).unwrap().display().to_string());
        if path.is_dir() {
            found.extend(everything(&path).into_iter().map(|p| format!("{}/{p}", path.display())));
        }
    }
    found.sort();
    found
}

#[test]
fn a_failed_import_leaves_nothing() {
    ::tests::need_root!();
    let (_dir, store) = store();
    import(&store, "kept", tar().file("f", "f"));
    let before = everything(store.dir());
    let bad = tar().file("a", "a").file("../evil", "x").end();
    let mut bad = bad.as_slice();
    let result = store.import(&mut bad, "bad.tar", &"bad".parse().unwrap(), ImageConfig::default(), None);
    assert!(matches!(result, Err(Error::Unpack { .. })), "{result:?}");
    assert_eq!(everything(store.dir()), before);
}

#[test]
fn what_a_killed_process_left_is_cleaned_and_what_lives_is_kept() {
    let (_dir, store) = store();
    let dead = store.dir().join("tmp/999999-0");
    fs::create_dir_all(dead.join("layer-0/diff")).unwrap();
    fs::write(dead.join("lock"), "").unwrap();
    fs::create_dir(store.dir().join("tmp/killed-before-its-lock")).unwrap();
    let alive = store.stage().unwrap();
    fs::write(alive.path("blob"), "half").unwrap();
    ImageStore::open(store.dir()).unwrap();
    let left: Vec<_> = fs::read_dir(store.dir().join("tmp")).unwrap().collect();
    assert_eq!(left.len(), 1);
    drop(alive);
    assert_eq!(fs::read_dir(store.dir().join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_missing_layer_makes_the_image_incomplete_and_importing_it_again_repairs_it() {
    ::tests::need_root!();
    let (_dir, store) = store();
    let image = import(&store, "app", tar().file("f", "f"));
    let layer = Digest::parse(&image.layers[0]).unwrap();
    fs::remove_dir_all(store.layer_dir(&layer)).unwrap();
    assert_eq!(store.find(&named("app")).unwrap(), None, "so that IfNotPresent pulls it");
    assert!(matches!(store.read_file(&image, "f", 10), Err(Error::Incomplete { .. })));
    assert_eq!(import(&store, "app", tar().file("f", "f")), image);
}

#[test]
fn many_processes_may_add_the_same_and_other_images_at_once() {
    ::tests::need_root!();
    let (_dir, store) = store();
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for i in 0..8 {
            let (store, done) = (ImageStore::open(store.dir()).unwrap(), &done);
            scope.spawn(move || {
                import(&store, "same", tar().file("f", "same"));
                import(&store, &format!("own{i}"), tar().file("f", &i.to_string()));
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(done.load(Ordering::Relaxed), 8);
    assert_eq!(store.list().unwrap().len(), 9);
    assert_eq!(fs::read_dir(store.dir().join("tmp")).unwrap().count(), 0);
}
