use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

fn root() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    (dir, root)
}

#[test]
fn a_link_that_leads_nowhere_is_followed_to_where_it_leads_within_the_root() {
    let (dir, root) = root();
    fs::create_dir(dir.path().join("etc")).unwrap();
    for (link, target, place) in [
        (
            "etc/resolv.conf",
            "../run/systemd/resolve/stub-resolv.conf",
            "/run/systemd/resolve/stub-resolv.conf",
        ),
        ("etc/hosts", "/nowhere/hosts", "/nowhere/hosts"),
        ("etc/up", "../../../../../../run/up", "/run/up"),
        ("data", "/etc/up/deep/../deeper", "/run/up/deeper"),
        ("shm", "dev/shm/x/../y", "/dev/shm/y"),
    ] {
        symlink(target, dir.path().join(link)).unwrap();
        assert_eq!(root.place(&Path::new("/").join(link)).unwrap(), Path::new(place), "{link}");
    }
    assert_eq!(root.place(Path::new("/data/in//./it")).unwrap(), Path::new("/run/up/deeper/in/it"));
    assert_eq!(root.place(Path::new("/../..")).unwrap(), Path::new("/"));
    symlink("loop", dir.path().join("loop")).unwrap();
    assert_eq!(root.place(Path::new("/loop")), Err(Errno::LOOP));
}

#[test]
fn what_is_made_is_roots_and_for_everybody_to_enter_whatever_the_umask() {
    ::tests::need_root!();
    let dir = tempfile::tempdir().unwrap();
    let spec = |cwd: &str| -> Spec {
        serde_json::from_value(serde_json::json!({
            "ociVersion": "1.0.2",
            "root": { "path": dir.path() },
            "process": { "user": { "uid": 1000, "gid": 1000 }, "cwd": cwd, "args": ["x"] },
        }))
        .unwrap()
    };
    let before = rustix::process::umask(Mode::from_raw_mode(0o077));
    let made = assemble(&mut spec("/not/there"));
    let after = rustix::process::umask(before);
    made.unwrap();
    assert_eq!(after, Mode::from_raw_mode(0o077));
    for folder in ["not", "not/there"] {
        let meta = fs::metadata(dir.path().join(folder)).unwrap();
        assert_eq!((meta.permissions().mode() & 0o7777, meta.uid(), meta.gid()), (0o755, 0, 0), "{folder}");
    }
    fs::write(dir.path().join("file"), "").unwrap();
    for cwd in ["/file", "/file/below", "/file/far/below"] {
        assert_eq!(
            assemble(&mut spec(cwd)).unwrap_err().to_string(),
            format!("workingDir {cwd}: /file is not a folder")
        );
    }
    // libcontainer mounts these folders; nothing is created below them.
    let shm = tempfile::tempdir().unwrap();
    let mut spec = spec("/dev/shm/x/y");
    let bind = serde_json::json!({ "destination": "/dev/shm", "type": "bind", "source": shm.path(), "options": ["rbind"] });
    spec.set_mounts(Some(vec![serde_json::from_value(bind).unwrap()]));
    assemble(&mut spec).unwrap();
    assert!(!dir.path().join("dev").exists());
    assert!(shm.path().join("x/y").is_dir());
    assert_eq!(spec.mounts().as_ref().map(Vec::len), Some(1), "libcontainer mounts it");
}

#[test]
fn nothing_is_made_outside_of_the_root_and_no_link_is_followed_by_what_makes() {
    let (dir, root) = root();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), dir.path().join("out")).unwrap();
    // The state after a link has replaced a missing file that was looked up before.
    for place in ["/out", "/out/x", "/out/x/y"] {
        let problem = root.make(Path::new(place), MountPointKind::Folder).unwrap_err();
        assert!(problem.is_race(), "{place}: {problem}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    // Through its resolved path it is created in the root.
    let place = root.place(Path::new("/out/x")).unwrap();
    root.make(&place, MountPointKind::File).unwrap();
    assert_eq!(place, outside.path().join("x"));
    assert!(dir.path().join(outside.path().strip_prefix("/").unwrap()).join("x").is_file());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn options_of_ours_are_known_and_others_left_to_libcontainer() {
    let parsed = Options::parse(&["rbind", "rprivate", "nosuid", "nodev", "noexec", "ro"]).unwrap();
    assert_eq!(
        parsed,
        Options { recursive: true, attributes: 0xf, recursive_attributes: 0, propagation: libc::MS_PRIVATE }
    );
    assert_eq!(Options::parse(&["bind", "rw"]), Some(Options::default()));
    assert_eq!(Options::parse(&["rbind", "idmap"]), None);
}
