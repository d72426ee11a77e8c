//! subPath never leads out of its volume.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::{bind_sub_path, open_sub_path};
use super::{Place, mode, mounted};

/// Returns the path of a descriptor.
fn real(fd: &OwnedFd) -> PathBuf {
    fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap()
}

struct Volume {
    _dir: tempfile::TempDir,
    root: PathBuf,
    outside: PathBuf,
}

fn volume() -> Volume {
    let dir = tempfile::tempdir().unwrap();
    let top = fs::canonicalize(dir.path()).unwrap();
    let (root, outside) = (top.join("volume"), top.join("outside"));
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(root.join("a/file"), "inside").unwrap();
    fs::write(outside.join("secret"), "outside").unwrap();
    Volume { _dir: dir, root, outside }
}

#[test]
fn a_folder_or_file_inside_is_opened() {
    let v = volume();
    assert_eq!(real(&open_sub_path(&v.root, "a/b").unwrap()), v.root.join("a/b"));
    assert_eq!(real(&open_sub_path(&v.root, "./a//file").unwrap()), v.root.join("a/file"));
    assert_eq!(real(&open_sub_path(&v.root, ".").unwrap()), v.root);
}

#[test]
fn links_that_stay_inside_are_followed() {
    let v = volume();
    symlink("a", v.root.join("link")).unwrap();
    symlink("../a/file", v.root.join("a/up")).unwrap();
    assert_eq!(real(&open_sub_path(&v.root, "link/b").unwrap()), v.root.join("a/b"));
    assert_eq!(real(&open_sub_path(&v.root, "a/up").unwrap()), v.root.join("a/file"));
    assert_eq!(real(&open_sub_path(&v.root, "link/new").unwrap()), v.root.join("a/new"), "made inside");
}

#[test]
fn links_that_leave_are_errors() {
    let v = volume();
    symlink("../outside", v.root.join("relative")).unwrap();
    symlink(&v.outside, v.root.join("absolute")).unwrap();
    symlink("a/../../outside/secret", v.root.join("winding")).unwrap();
    symlink("/proc/self/root", v.root.join("magic")).unwrap();
    symlink("loop", v.root.join("loop")).unwrap();
    symlink("nowhere", v.root.join("dangling")).unwrap();
    let messages: Vec<_> = [
        "relative",
        "relative/secret",
        "absolute",
        "winding",
        "magic/etc",
        "loop",
        "dangling",
        "relative/made",
        "dangling/made",
        "a/file/below",
        "../outside",
        "/etc",
    ]
    .iter()
    .map(|sub| {
        let error = open_sub_path(&v.root, sub).unwrap_err();
        error.to_string().replace(v.root.to_str().unwrap(), "VOLUME")
    })
    .collect();
    insta::assert_snapshot!(messages.join("\n"), @r#"
    CreateContainerConfigError: subPath "relative" of the volume at VOLUME: a link leads out of the volume
    CreateContainerConfigError: subPath "relative/secret" of the volume at VOLUME: a link leads out of the volume
    CreateContainerConfigError: subPath "absolute" of the volume at VOLUME: a link leads out of the volume
    CreateContainerConfigError: subPath "winding" of the volume at VOLUME: a link leads out of the volume
    CreateContainerConfigError: subPath "magic/etc" of the volume at VOLUME: a link leads out of the volume
    CreateContainerConfigError: subPath "loop" of the volume at VOLUME: too many links on the way
    CreateContainerConfigError: subPath "dangling" of the volume at VOLUME: a link on the way leads nowhere
    CreateContainerConfigError: subPath "relative/made" of the volume at VOLUME: a link leads out of the volume
    CreateContainerConfigError: subPath "dangling/made" of the volume at VOLUME: a link on the way leads nowhere
    CreateContainerConfigError: subPath "a/file/below" of the volume at VOLUME: something on the way is not a folder
    CreateContainerConfigError: subPath "../outside" of the volume at VOLUME: it must be relative and without ".."
    CreateContainerConfigError: subPath "/etc" of the volume at VOLUME: it must be relative and without ".."
    "#);
    assert_eq!(fs::read_dir(&v.outside).unwrap().count(), 1, "nothing is made outside");
}

#[test]
fn what_is_missing_is_made_with_the_mode_of_the_volume() {
    let v = volume();
    std::fs::set_permissions(&v.root, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let fd = open_sub_path(&v.root, "new/deep/er").unwrap();
    assert_eq!(real(&fd), v.root.join("new/deep/er"));
    assert_eq!(mode(&v.root.join("new")), 0o777);
    assert_eq!(mode(&v.root.join("new/deep/er")), 0o777);
}

#[test]
fn the_same_sub_path_may_be_made_by_several_at_once() {
    let v = volume();
    std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..8).map(|_| scope.spawn(|| real(&open_sub_path(&v.root, "x/y/z").unwrap()))).collect();
        for thread in all {
            assert_eq!(thread.join().unwrap(), v.root.join("x/y/z"));
        }
    });
}

/// Exchanges a folder and a link that leads outside, as fast as possible, while `check` runs.
fn under_attack(v: &Volume, check: impl Fn(usize)) {
    let done = AtomicBool::new(false);
    let (real, link) = (v.root.join("real"), v.root.join("swap"));
    // Before the attack: `check` creates what is missing.
    fs::create_dir_all(&real).unwrap();
    symlink(&v.outside, &link).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            while !done.load(Ordering::Relaxed) {
                let _ = rustix::fs::renameat_with(rustix::fs::CWD, &real, rustix::fs::CWD, &link, flags);
            }
        });
        for n in 0..3000 {
            check(n);
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn sub_path_link_race_a_folder_that_is_swapped_with_a_link_never_leads_outside() {
    let v = volume();
    let check = |sub: &str| {
        if let Ok(fd) = open_sub_path(&v.root, sub) {
            let path = real(&fd);
            assert!(path.starts_with(&v.root), "{} is outside", path.display());
        }
    };
    under_attack(&v, |n| {
        check("swap");
        check(&format!("swap/made-{n}/deeper"));
        check("swap/secret");
    });
    let names: Vec<_> = fs::read_dir(&v.outside).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["secret"], "nothing was made outside");
}

#[test]
fn what_is_bound_is_what_was_opened_whatever_the_path_says_now() {
    ::tests::need_root!();
    let place = Place::new();
    let v = volume();
    let target = place.layout.bundle("u-1", "c").join("0");
    let fd = open_sub_path(&v.root, "a").unwrap();
    fs::rename(v.root.join("a"), v.root.join("moved")).unwrap();
    symlink(&v.outside, v.root.join("a")).unwrap();
    bind_sub_path(fd.as_fd(), &target, false).unwrap();
    assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "inside");
    place.remove();
    assert_eq!(mounted(&target), Vec::<String>::new());
    assert!(v.root.join("moved/file").exists());
}

#[test]
fn a_single_file_can_be_bound() {
    ::tests::need_root!();
    let place = Place::new();
    let v = volume();
    let target = place.layout.bundle("u-1", "c").join("0");
    bind_sub_path(open_sub_path(&v.root, "a/file").unwrap().as_fd(), &target, false).unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "inside");
    place.remove();
    assert_eq!(mounted(&target), Vec::<String>::new());
    assert_eq!(fs::read_to_string(v.root.join("a/file")).unwrap(), "inside");
}
