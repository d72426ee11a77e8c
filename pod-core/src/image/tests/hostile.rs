//! Known attacks by layers. Every unpacking in these tests asserts that nothing outside the root has changed; the
//! details of each form are tested in `unpack`.

use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::layers::{Member, failure, layer, member, tar, try_unpack};
use crate::image::layer::{Destination, ingest};
use crate::image::unpack::{Limits, UnpackError};

#[test]
fn layer_with_dot_dot() {
    ::tests::need_root!();
    for path in ["../secret", "a/../../outside/secret", "/..", "./.././secret", "a//..//..//secret"] {
        assert!(
            failure(tar().dir("a", 0o755).file(path, "evil")).contains("leads out of the image"),
            "{path}"
        );
    }
    let linked = failure(tar().file("f", "x").link(b'1', "l", "../secret"));
    assert!(linked.contains("leads out"), "{linked}");
}

#[test]
fn layer_with_absolute_links() {
    ::tests::need_root!();
    // A process in the container would see the link below the container's own root.
    let l = layer(tar().dir("etc", 0o755).link(b'2', "way", "/etc").file("way/passwd", "its own"));
    assert_eq!(l.read("etc/passwd"), "its own");
    let l = layer(tar().dir("etc", 0o755).link(b'2', "etc/passwd", "/etc/shadow").file("etc/passwd", "new"));
    assert_eq!(l.read("etc/passwd"), "new");
    assert!(!l.exists("etc/shadow"));
}

#[test]
fn layer_with_cyclic_links() {
    ::tests::need_root!();
    for archive in [
        tar().link(b'2', "x", "x").file("x/f", "evil"),
        tar().link(b'2', "a", "b").link(b'2', "b", "c").link(b'2', "c", "a/d").file("a/f", "evil"),
        tar()
            .dir("d", 0o755)
            .link(b'2', "d/up", "..")
            .link(b'2', "d/round", "up/d/round")
            .file("d/round/f", "evil"),
    ] {
        let told = failure(archive);
        assert!(told.contains("symbolic links"), "{told}");
    }
    assert!(try_unpack(tar().link(b'1', "x", "y").link(b'1', "y", "x")).is_err());
    assert!(try_unpack(tar().link(b'1', "x", "x")).is_err());
}

#[test]
fn layer_with_device_nodes() {
    ::tests::need_root!();
    // Devices are created as the image says; the cgroup and `nodev` decide who can open them. A later entry replaces a
    // device and never writes to it.
    let disk = Member { device: (8, 0), mode: 0o666, ..member(b'4', "disk") };
    let l = layer(tar().add(disk));
    assert!(l.stat("disk").file_type().is_block_device());
    let disk = Member { device: (8, 0), mode: 0o666, ..member(b'4', "disk") };
    let l = layer(tar().add(disk).file("disk", "text"));
    assert!(l.stat("disk").file_type().is_file());
    // The device 0:0, which overlayfs takes for a whiteout, is left out.
    let l = layer(tar().add(Member { device: (0, 0), ..member(b'3', "hide") }));
    assert!(!l.exists("hide"));
}

#[test]
fn layer_with_a_hardlink_to_etc_shadow() {
    ::tests::need_root!();
    for target in
        ["/etc/shadow", "etc/shadow", "../../../../../../../../etc/shadow", "../secret", "../outside/secret"]
    {
        assert!(try_unpack(tar().link(b'1', "stolen", target)).is_err(), "{target}");
    }
    for way in ["/", "..", "../../../../../../../..", "/etc"] {
        let l = try_unpack(tar().link(b'2', "way", way).link(b'1', "stolen", "way/etc/shadow"));
        assert!(l.is_err(), "through a link to {way}");
        assert!(
            try_unpack(tar().link(b'2', "way", way).link(b'1', "stolen", "way/secret")).is_err(),
            "{way}"
        );
    }
    // A hard link to a symlink is the symlink itself; its target is not reached.
    let l = layer(tar().link(b'2', "l", "/etc/shadow").link(b'1', "stolen", "l"));
    assert_eq!(std::fs::read_link(l.path("stolen")).unwrap(), std::path::Path::new("/etc/shadow"));
}

/// Returns ten gigabytes of zeros as a layer, compressed while it is read.
fn zeros(level: u32) -> impl Read {
    const SIZE: u64 = 10 << 30;
    let mut header = tar::Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_size(SIZE);
    header.set_mode(0o644);
    header.set_cksum();
    let archive =
        std::io::Cursor::new(header.as_bytes().to_vec()).chain(std::io::repeat(0).take(SIZE + 1024));
    flate2::read::GzEncoder::new(archive, flate2::Compression::new(level))
}

#[test]
fn layer_of_10_gb_of_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str, level, limits: Limits| {
        let path = dir.path().join(name);
        let destination = Destination { blob: None, layer: Some(&path), expected: None };
        let told = match ingest(&mut zeros(level), &destination, &limits) {
            Err(UnpackError::Limit { what, .. }) => what.to_owned(),
            other => panic!("{other:?}"),
        };
        (told, path.join("diff/zeros").metadata().unwrap().blocks() * 512)
    };
    // These are the limits of every pull, with floors that a test can reach in time.
    let Limits { bytes, ratio, ratio_floor, .. } = Limits::default();
    assert!(bytes <= 128 << 30 && ratio <= 1000 && ratio_floor <= 1 << 30);
    let (told, room) = run("ratio", 9, Limits { ratio_floor: 4 << 20, ..Limits::default() });
    assert_eq!(told, "the compression ratio");
    assert!(room < 1 << 20, "{room} bytes of zeros were written");
    // Poorly compressed, the ratio is within its limit; the data takes no disk space nevertheless.
    let (told, room) = run("size", 1, Limits { bytes: 4 << 20, ..Limits::default() });
    assert_eq!(told, "the unpacked size in bytes");
    assert!(room < 1 << 20, "{room} bytes of zeros were written");
}

#[test]
fn zeros_become_holes_and_stay_zeros() {
    ::tests::need_root!();
    let mut data = vec![0u8; 900_000];
    for at in [0, 131_072, 400_001] {
        data[at] = 7;
    }
    for length in [1, 4096, 131_072, 131_073, 262_144, 900_000] {
        let whole = data[..length].to_vec();
        let l = layer(tar().add(Member { data: whole.clone(), ..member(b'0', "f") }));
        assert_eq!(std::fs::read(l.path("f")).unwrap(), whole, "{length}");
    }
    let l = layer(tar().add(Member { data: vec![0; 500_000], ..member(b'0', "f") }));
    assert_eq!(std::fs::read(l.path("f")).unwrap(), vec![0; 500_000]);
}
