//! Folders that an upper layer only implies, as a container sees them.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::layers::{Member, TarMaker, layer, member};
use super::store::{Mounted, stack, store};

fn tar() -> TarMaker {
    TarMaker::default()
}

fn folder(name: &str, mode: u32, owner: u64) -> Member {
    Member { mode, owner: (owner, owner), mtime: 1_000_000, ..member(b'5', name) }
}

#[test]
fn a_folder_that_an_upper_layer_only_implies_keeps_what_a_lower_one_says() {
    ::tests::need_root!();
    let (_dir, store) = store();
    let image = stack(
        &store,
        "app",
        vec![
            tar()
                .add(folder("tmp", 0o1777, 0))
                .add(folder("home", 0o711, 0))
                .add(folder("home/me", 0o700, 1000))
                .add(folder("home/me/deep", 0o2750, 1000))
                .file("tmp/low", "low"),
            tar().file("tmp/x", "x").file("home/me/deep/file", "f").file("new/folder/file", "n"),
            tar().file("tmp/y", "y"),
        ],
    );
    let mounted = Mounted::new(&store, &image);
    let root = mounted.dir.path().join("root");
    let seen = |name: &str| {
        let stat = fs::metadata(root.join(name)).unwrap();
        (stat.mode() & 0o7777, stat.uid(), stat.gid())
    };
    assert_eq!(seen("tmp"), (0o1777, 0, 0));
    assert_eq!(seen("home"), (0o711, 0, 0));
    assert_eq!(seen("home/me"), (0o700, 1000, 1000));
    assert_eq!(seen("home/me/deep"), (0o2750, 1000, 1000));
    assert_eq!(seen("new/folder"), (0o755, 0, 0), "nobody says anything about this one");
    assert_eq!(fs::metadata(root.join("home/me/deep")).unwrap().mtime(), 1_000_000);
    let names = |name: &str| {
        let mut names: Vec<_> = fs::read_dir(root.join(name))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("tmp"), ["low", "x", "y"], "the folders still merge");
    assert_eq!(names("home/me/deep"), ["file"]);
}

#[test]
fn an_entry_in_an_upper_layer_decides_and_what_it_hides_does_not() {
    ::tests::need_root!();
    let (_dir, store) = store();
    let image = stack(
        &store,
        "app",
        vec![
            tar()
                .add(folder("said", 0o700, 1))
                .add(folder("hidden", 0o700, 1))
                .add(folder("gone", 0o700, 1))
                .add(folder("opaque", 0o700, 1)),
            tar()
                .add(folder("said", 0o750, 2))
                .file("hidden", "a file")
                .file(".wh.gone", "")
                .file("opaque/.wh..wh..opq", ""),
            tar().file("said/x", "").file(".wh.hidden", ""),
            tar().file("hidden/x", "").file("gone/x", "").file("opaque/x", ""),
        ],
    );
    let mounted = Mounted::new(&store, &image);
    assert_eq!(mounted.mode("said"), 0o750);
    for name in ["hidden", "gone"] {
        assert_eq!(mounted.mode(name), 0o755, "{name}: what was there is not what is there now");
    }
    // Only the contents were hidden, by a layer that does not describe the folder itself.
    assert_eq!(mounted.mode("opaque"), 0o755);
}

#[test]
fn folders_without_an_entry_are_told_until_one_comes() {
    ::tests::need_root!();
    let implied = |archive: TarMaker| layer(archive).implied();
    assert_eq!(implied(tar().file("a/b/c", "")), ["a", "a/b"]);
    assert_eq!(implied(tar().file("a/b/c", "").dir("a/", 0o700)), ["a/b"]);
    assert_eq!(implied(tar().dir("a", 0o700).file("a/b/.wh.c", "")), ["a/b"]);
    assert_eq!(implied(tar().file("a/b/c", "").file("a", "a file instead")), [""; 0]);
    // By their real path, and not by that of a link.
    assert_eq!(implied(tar().dir("real", 0o755).link(b'2', "link", "real").file("link/x/y", "")), ["real/x"]);
    assert_eq!(implied(tar().dir("a", 0o755).file("a/f", "").file("g", "")), [""; 0]);
}
