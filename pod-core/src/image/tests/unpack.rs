//! Layers from untrusted sources.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::layers::{Member, TarMaker, failure, layer, member, put, tar, try_unpack, try_unpack_with};
use crate::image::unpack::{Limits, UnpackError};

#[test]
fn files_directories_and_links_are_made_with_owner_mode_and_time() {
    ::tests::need_root!();
    let l = layer(
        tar()
            .dir("bin/", 0o755)
            .add(Member {
                mode: 0o4755,
                owner: (3, 4),
                mtime: 12345,
                data: b"su".into(),
                ..member(b'0', "bin/su")
            })
            .dir("tmp", 0o1777)
            .link(b'2', "bin/sh", "/bin/su")
            .link(b'1', "bin/same", "bin/su")
            .add(Member { device: (1, 3), mode: 0o666, ..member(b'3', "null") })
            .add(Member { mode: 0o600, ..member(b'6', "fifo") })
            .file("implied/deep/file", "x"),
    );
    let su = l.stat("bin/su");
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.mtime()), (0o4755, 3, 4, 12345));
    assert_eq!(l.stat("bin/same").ino(), su.ino());
    assert_eq!(l.mode("tmp"), 0o1777);
    assert_eq!(fs::read_link(l.path("bin/sh")).unwrap(), Path::new("/bin/su"));
    assert_eq!(l.stat("null").rdev(), rustix::fs::makedev(1, 3));
    assert!(l.stat("fifo").file_type().is_fifo());
    assert_eq!(l.read("implied/deep/file"), "x");
    assert_eq!((l.mode("implied"), l.mode("")), (0o755, 0o755));
    assert_eq!(l.stat("bin").mtime(), 1000, "what was made in it later must not show");
    assert!(!l.done.root_entry);
    assert_eq!(l.done.size, 3);
}

#[test]
fn the_entry_of_the_root_sets_its_mode_and_owner() {
    ::tests::need_root!();
    let l = layer(tar().add(Member { mode: 0o711, owner: (7, 8), ..member(b'5', "./") }).file("./a", "a"));
    assert_eq!((l.mode(""), l.stat("").uid(), l.stat("").gid()), (0o711, 7, 8));
    assert!(l.done.root_entry);
}

#[test]
fn paths_that_leave_the_root_are_refused() {
    ::tests::need_root!();
    for path in ["../secret", "a/../../secret", "/../secret", "..", "./../x", "/a/b/../../../secret"] {
        assert!(failure(tar().file(path, "evil")).contains("leads out"), "{path}");
    }
    assert_eq!(layer(tar().file("/etc/../abs", "x")).read("abs"), "x");
}

#[test]
fn symlinks_lead_nowhere_but_into_the_root() {
    ::tests::need_root!();
    for target in ["/", "..", "../..", "/outside", "../outside", "../../../../../.."] {
        let l = try_unpack(tar().link(b'2', "l", target).file("l/secret", "evil").file("l/new", "evil"));
        // Either the file was created inside, where a process chrooted there would have put it, or unpacking failed.
        if let Ok(l) = l {
            assert!(l.exists("secret") || l.exists("outside/secret"), "{target}");
        }
    }
    // A chain of links, and a link that is replaced while it is in use.
    let l = layer(
        tar()
            .dir("real", 0o755)
            .link(b'2', "a", "/real")
            .link(b'2', "b", "a/../a")
            .file("b/file", "1")
            .link(b'2', "a", "/other")
            .dir("other", 0o755)
            .file("b/file", "2"),
    );
    assert_eq!((l.read("real/file").as_str(), l.read("other/file").as_str()), ("1", "2"));
    let round = failure(tar().link(b'2', "x", "y").link(b'2', "y", "x").file("x/f", "evil"));
    assert!(round.contains("symbolic links"), "{round}");
}

#[test]
fn a_file_replaces_a_symlink_and_does_not_write_through_it() {
    ::tests::need_root!();
    for target in ["/secret", "../secret", "/outside/secret", "other"] {
        let l = layer(tar().file("other", "untouched").link(b'2', "l", target).file("l", "mine"));
        assert_eq!(l.read("l"), "mine");
        assert!(l.stat("l").is_file());
        assert_eq!(l.read("other"), "untouched");
    }
}

#[test]
fn hard_links_go_to_files_of_the_same_layer_only() {
    ::tests::need_root!();
    for target in ["/secret", "../secret", "outside/secret", "missing", "", "/", "dir", "../../etc/passwd"] {
        assert!(try_unpack(tar().dir("dir", 0o755).link(b'1', "h", target)).is_err(), "{target}");
    }
    // A hard link through a symlink that points outside: the symlink is resolved inside.
    assert!(try_unpack(tar().link(b'2', "l", "/..").link(b'1', "h", "l/secret")).is_err());
    // A hard link to a symlink: the link itself, never its target.
    let l = layer(tar().link(b'2', "l", "../secret").link(b'1', "h", "l"));
    assert!(l.stat("h").is_symlink());
    assert_eq!(l.stat("h").ino(), l.stat("l").ino());
    // Writing to a hard link's name afterwards creates a new file.
    let l = layer(tar().file("a", "a").link(b'1', "b", "a").file("b", "b"));
    assert_eq!((l.read("a").as_str(), l.read("b").as_str()), ("a", "b"));
    let l = layer(tar().file("a", "a").link(b'1', "a", "a"));
    assert_eq!(l.read("a"), "a");
    assert!(try_unpack(tar().file(".wh.gone", "").link(b'1', "h", "gone")).is_err(), "a whiteout is no file");
}

#[test]
fn whiteouts_take_overlay_form() {
    ::tests::need_root!();
    let l = layer(tar().file("etc/.wh.passwd", "").file("var/.wh..wh..opq", "").file("var/new", "n"));
    assert!(l.is_whiteout("etc/passwd"));
    assert!(l.is_opaque("var"));
    assert_eq!(l.read("var/new"), "n");
    assert!(!l.exists("etc/.wh.passwd") && !l.exists("var/.wh..wh..opq"));
    // A directory that hides the one below, in either order, and one that is only implied.
    assert!(layer(tar().file(".wh.d", "").dir("d", 0o700)).is_opaque("d"));
    assert!(layer(tar().dir("d", 0o700).file(".wh.d", "")).is_opaque("d"));
    assert!(layer(tar().file(".wh.d", "").file("d/e/f", "x")).is_opaque("d"));
    // A file of the same layer is kept, and hides the lower one as well.
    assert_eq!(layer(tar().file("f", "x").file(".wh.f", "")).read("f"), "x");
    assert_eq!(layer(tar().file(".wh.f", "").file("f", "x")).read("f"), "x");
    let l = layer(tar().file(".wh..wh..opq", "").file(".wh..wh.plnk", ""));
    assert!(l.done.opaque_root);
    assert_eq!(fs::read_dir(l.path("")).unwrap().count(), 0);
    for hostile in [".wh.", ".wh..", ".wh...", "d/.wh.."] {
        assert!(try_unpack(tar().file(hostile, "")).is_err(), "{hostile}");
    }
}

#[test]
fn what_would_speak_to_overlayfs_is_left_out() {
    ::tests::need_root!();
    let l = layer(
        tar()
            .add(Member { device: (0, 0), ..member(b'3', "passwd") })
            .pax(
                b'x',
                &[
                    ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
                    ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
                    ("SCHILY.xattr.user.overlay.opaque", b"y"),
                    ("SCHILY.xattr.security.selinux", b"x"),
                    ("SCHILY.xattr.user.mine", b"a\nb=c"),
                ],
            )
            .dir("d", 0o755),
    );
    assert!(!l.exists("passwd"), "a device 0:0 would be a whiteout");
    assert!(!l.is_opaque("d"));
    assert_eq!(l.xattr("d", "trusted.overlay.redirect"), None);
    assert_eq!(l.xattr("d", "user.overlay.opaque"), None);
    assert_eq!(l.done.notes.len(), 5);
    if let Some(value) = l.xattr("d", "user.mine") {
        assert_eq!(value, b"a\nb=c");
    }
}

#[test]
fn file_capabilities_survive_the_change_of_owner() {
    ::tests::need_root!();
    // VFS_CAP_REVISION_2, cap_net_raw effective and permitted.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let l = layer(tar().pax(b'x', &[("SCHILY.xattr.security.capability", &capability)]).add(Member {
        owner: (5, 5),
        mode: 0o755,
        ..member(b'0', "ping")
    }));
    assert_eq!(l.xattr("ping", "security.capability").unwrap(), capability);
}

#[test]
fn later_entries_replace_earlier_ones_of_any_kind() {
    ::tests::need_root!();
    let l = layer(
        tar()
            .file("a", "file")
            .dir("a", 0o700)
            .file("a/in", "x")
            .file("b/c/d", "deep")
            .file("b", "now a file")
            .link(b'2', "c", "nowhere")
            .dir("c", 0o755)
            .file("c/x", "x")
            .dir("e", 0o700)
            .file("e/kept", "k")
            .dir("e", 0o750),
    );
    assert_eq!(l.read("a/in"), "x");
    assert_eq!(l.read("b"), "now a file");
    assert_eq!(l.read("c/x"), "x");
    assert_eq!((l.read("e/kept").as_str(), l.mode("e")), ("k", 0o750));
}

#[test]
fn nothing_lies_below_a_file_or_a_dangling_link() {
    ::tests::need_root!();
    assert!(failure(tar().file("f", "x").file("f/g", "y")).contains("f/g"));
    assert!(failure(tar().link(b'2', "l", "missing").file("l/g", "y")).contains("l/g"));
}

#[test]
fn names_are_bytes_and_may_be_long() {
    ::tests::need_root!();
    use std::os::unix::ffi::OsStrExt;
    let odd = Member { name: vec![b'a', 0xff, 0xfe, b'\n'], data: b"x".into(), ..member(b'0', "") };
    let l = layer(tar().add(odd));
    assert!(l.dir.path().join("root").join(std::ffi::OsStr::from_bytes(&[b'a', 0xff, 0xfe, b'\n'])).exists());

    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let gnu = |kind, text: &str| Member {
        data: [text.as_bytes(), b"\0"].concat(),
        ..member(kind, "././@LongLink")
    };
    let l = layer(
        tar()
            .add(gnu(b'L', &long))
            .file("cut", "gnu")
            .add(gnu(b'K', &long))
            .add(gnu(b'L', "link"))
            .link(b'2', "cut", "cut")
            .pax(b'x', &[("path", b"pax/name"), ("uid", b"3000000"), ("mtime", b"1.5"), ("size", b"3")])
            .file("cut", "pax"),
    );
    assert_eq!(l.read(&long), "gnu");
    assert_eq!(fs::read_link(l.path("link")).unwrap(), Path::new(&long));
    assert_eq!(l.read("pax/name"), "pax");
    let stat = l.stat("pax/name");
    assert_eq!((stat.uid(), stat.mtime(), stat.mtime_nsec()), (3_000_000, 1, 500_000_000));
}

#[test]
fn pax_globals_hold_until_overridden() {
    ::tests::need_root!();
    let l = layer(
        tar()
            .pax(b'g', &[("uid", b"7"), ("comment", b"x")])
            .file("a", "")
            .pax(b'x', &[("uid", b"8")])
            .file("b", "")
            .file("c", ""),
    );
    assert_eq!([l.stat("a").uid(), l.stat("b").uid(), l.stat("c").uid()], [7, 8, 7]);
}

fn base256(value: u64) -> [u8; 12] {
    let mut field = [0u8; 12];
    field[4..].copy_from_slice(&value.to_be_bytes());
    field[0] = 0x80;
    field
}

#[test]
fn sparse_files_of_every_form_keep_their_holes() {
    ::tests::need_root!();
    const HOLE: u64 = 64 << 20;
    // Old GNU, with numbers in base 256.
    let mut block = [0u8; 512];
    put(&mut block, 0, b"gnu");
    put(&mut block, 100, b"0000644\0");
    put(&mut block, 124, b"00000000004\0");
    block[156] = b'S';
    put(&mut block, 257, b"ustar  \0");
    put(&mut block, 386, &base256(HOLE));
    put(&mut block, 398, b"00000000004\0");
    put(&mut block, 483, &base256(HOLE + 8));
    let size = (HOLE + 8).to_string();
    let map = format!("{HOLE},4");
    let old = [
        ("GNU.sparse.size", size.as_bytes()),
        ("GNU.sparse.name", b"pax01"),
        ("GNU.sparse.map", map.as_bytes()),
    ];
    let new = [
        ("GNU.sparse.major", &b"1"[..]),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"pax10"),
        ("GNU.sparse.realsize", size.as_bytes()),
    ];
    let offset = HOLE.to_string();
    let oldest = [
        ("GNU.sparse.size", size.as_bytes()),
        ("GNU.sparse.numblocks", b"1"),
        ("GNU.sparse.offset", offset.as_bytes()),
        ("GNU.sparse.numbytes", b"4"),
    ];
    let mut data = format!("1\n{HOLE}\n4\n").into_bytes();
    data.resize(512, 0);
    data.extend_from_slice(b"data");
    let l = layer(
        tar()
            .raw(block, b"data")
            .pax(b'x', &old)
            .file("GNUSparseFile.0/x", "data")
            .pax(b'x', &oldest)
            .file("pax00", "data")
            .pax(b'x', &new)
            .add(Member { data, ..member(b'0', "GNUSparseFile.0/y") })
            .file("after", "ok"),
    );
    for name in ["gnu", "pax00", "pax01", "pax10"] {
        let stat = l.stat(name);
        assert_eq!(stat.len(), HOLE + 8, "{name}");
        assert!(stat.blocks() < 64, "{name} has no hole");
        let text = fs::read(l.path(name)).unwrap();
        assert_eq!(&text[usize::try_from(HOLE).unwrap()..], b"data\0\0\0\0", "{name}");
    }
    assert_eq!(l.read("after"), "ok");
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    for map in ["0,4,2,4", "100,4", "0,3", "0,5", "18446744073709551615,4", "4,4,0,0,1"] {
        let records =
            [("GNU.sparse.size", &b"50"[..]), ("GNU.sparse.name", b"f"), ("GNU.sparse.map", map.as_bytes())];
        assert!(try_unpack(tar().pax(b'x', &records).file("x", "data")).is_err(), "{map}");
    }
}

#[test]
fn archives_that_are_damaged_or_no_archives_are_refused() {
    ::tests::need_root!();
    let whole = tar().file("a", "content").end();
    for cut in [100, 512, 515] {
        assert!(try_unpack_with(&whole[..cut], &Limits::default()).is_err(), "cut at {cut}");
    }
    assert!(try_unpack_with(&[b'x'; 2048], &Limits::default()).is_err());
    assert!(try_unpack(tar().add(Member { kind: b'M', ..member(0, "multi") })).is_err());
    for pax in [&b"8 path=x\n"[..], b"x path=x\n", b"100 path=x\n", b"3 x\n", b"11 path=a\0b\n"] {
        let header = Member { data: pax.into(), ..member(b'x', "pax") };
        assert!(try_unpack(tar().add(header).file("f", "")).is_err(), "{pax:?}");
    }
    // Without the two closing blocks it is still complete, as for Go's and GNU's readers.
    assert_eq!(try_unpack_with(&whole[..1024], &Limits::default()).unwrap().read("a"), "content");
    assert!(try_unpack_with(b"", &Limits::default()).is_ok());
}

#[test]
fn bombs_stop_at_their_limit() {
    ::tests::need_root!();
    let limits = Limits { entries: 10, path: 100, ..Limits::default() };
    let mut many = tar();
    for i in 0..11 {
        many = many.file(&i.to_string(), "");
    }
    let stopped = |archive: TarMaker| match try_unpack_with(&archive.end(), &limits) {
        Err(UnpackError::Limit { what, .. }) => what,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was unpacked"),
    };
    assert_eq!(stopped(many), "the number of files");
    assert_eq!(stopped(tar().file("a/b/c/d/e/f/g/h/i/j/k/l", "")), "the number of files");
    assert_eq!(stopped(tar().pax(b'x', &[("path", &[b'a'; 101])]).file("x", "")), "the length of a path");
    let huge = Member { data: vec![0; 3 << 20], ..member(b'x', "pax") };
    assert_eq!(stopped(tar().add(huge).file("x", "")), "the size of an extension header");
}

#[test]
fn gzip_zstd_and_plain_layers_give_the_same_diff_id() {
    ::tests::need_root!();
    use crate::image::layer::{Compression, Destination, ingest};
    let plain = tar().file("a", &"content ".repeat(1000)).end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&plain[..1000]).unwrap();
    let mut gzip = gzip.finish().unwrap();
    // A second gzip member continues the same archive.
    let mut second = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    second.write_all(&plain[1000..]).unwrap();
    gzip.extend(second.finish().unwrap());
    let zstd = zstd::encode_all(plain.as_slice(), 3).unwrap();
    let limits = Limits::default();
    let mut seen = Vec::new();
    for (blob, compression) in
        [(&plain, Compression::None), (&gzip, Compression::Gzip), (&zstd, Compression::Zstd)]
    {
        let dir = tempfile::tempdir().unwrap();
        let (copy, layer) = (dir.path().join("blob"), dir.path().join("layer"));
        let destination = Destination { blob: Some(&copy), layer: Some(&layer), expected: None };
        let got = ingest(&mut blob.as_slice(), &destination, &limits).unwrap();
        assert_eq!(got.compression, compression);
        assert_eq!(got.blob, crate::image::Digest::of(blob));
        assert_eq!(got.record.tar_size, plain.len() as u64);
        assert_eq!(&fs::read(copy).unwrap(), blob);
        assert_eq!(fs::read_to_string(layer.join("diff/a")).unwrap().len(), 8000);
        assert_eq!(fs::metadata(layer.join("diff")).unwrap().permissions().mode() & 0o7777, 0o755);
        seen.push(got.diff_id);
    }
    assert!(seen.iter().all(|d| *d == crate::image::Digest::of(&plain)));
}

#[test]
fn a_compressed_bomb_is_stopped_by_its_ratio_and_by_its_size() {
    use crate::image::layer::{Destination, ingest};
    let zeros = tar().add(Member { data: vec![0; 8 << 20], ..member(b'0', "zeros") }).end();
    let blob = zstd::encode_all(zeros.as_slice(), 3).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str, limits: Limits| {
        let layer = dir.path().join(name);
        match ingest(
            &mut blob.as_slice(),
            &Destination { blob: None, layer: Some(&layer), expected: None },
            &limits,
        ) {
            Err(UnpackError::Limit { what, .. }) => what.to_owned(),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(
        run("a", Limits { ratio_floor: 1 << 20, ratio: 100, ..Limits::default() }),
        "the compression ratio"
    );
    assert_eq!(run("b", Limits { bytes: 1 << 20, ..Limits::default() }), "the unpacked size in bytes");
    // Also after the archive's end, and in a layer that is only verified.
    let limits = Limits { bytes: 4 << 20, ..Limits::default() };
    let nothing = Destination { blob: None, layer: None, expected: None };
    assert!(matches!(ingest(&mut blob.as_slice(), &nothing, &limits), Err(UnpackError::Limit { .. })));
}

mod random {
    use proptest::prelude::*;

    use super::*;

    fn name() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop::sample::select(vec![
                "a",
                "b",
                "c",
                "..",
                ".",
                "",
                ".wh.a",
                ".wh.b",
                ".wh..wh..opq",
                "outside",
                "secret",
            ]),
            1..5,
        )
        .prop_map(|parts| parts.join("/"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// For any archive: nothing outside changes (asserted in `try_unpack`), and nothing panics.
        #[test]
        fn no_archive_reaches_out_of_its_root(
            members in prop::collection::vec((prop::sample::select(b"0123456".to_vec()), name(), name()), 1..14),
        ) {
            // A failing member ends the archive, so members that fail are dropped one by one.
            let mut kept: Vec<(u8, String, String)> = Vec::new();
            for m in members {
                kept.push(m);
                let mut archive = tar();
                for (kind, name, link) in &kept {
                    archive = archive.add(Member { link: link.clone().into(), ..member(*kind, name) });
                }
                if try_unpack(archive).is_err() {
                    kept.pop();
                }
            }
        }

        #[test]
        fn no_bytes_panic_the_reader(noise in prop::collection::vec(any::<u8>(), 0..2000), at in 0usize..512, byte: u8) {
            let _ = try_unpack_with(&noise, &Limits::default());
            let mut archive = tar().file("a", "x").pax(b'x', &[("path", b"p")]).file("b", "y");
            if let Some(b) = archive.0.get_mut(at) { *b = byte; }
            let _ = try_unpack(archive);
        }
    }
}
