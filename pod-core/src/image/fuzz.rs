//! Fuzz targets for data from registries, and for the files that name registries.

// A fuzz target reports by a panic.
#![allow(clippy::expect_used, clippy::missing_panics_doc)]

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Reference;
use super::credentials::{Login, from_bytes};
use super::layer::{Destination, ingest};
use super::unpack::{Limits, unpack};

/// Any text: a text accepted as a reference is written as a reference with the same meaning.
pub fn reference(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(read) = Reference::parse(&text) else { return };
    let written = read.to_string();
    let again = Reference::parse(&written).expect("what is written can be read");
    assert_eq!(read, again, "{written:?}");
    assert!(!written.contains(|c: char| c.is_control() || c.is_whitespace()), "{written:?}");
    // These parts become parts of URLs and of paths.
    for part in [read.registry(), read.repository(), read.version()] {
        assert!(part.is_ascii() && !part.split('/').any(|one| one == ".." || one == "."), "{written:?}");
    }
    assert_eq!(Reference::parse(&read.stored_name()).expect("as stored").repository(), read.repository());
}

/// Any bytes as a layer: an archive, compressed or not (or, after `L`, a list of members that is turned into one, so
/// that the fuzzer need not find checksums). Nothing outside the layer's folder may change.
pub fn layer(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("outside")).expect("a folder");
    for name in ["secret", "outside/secret"] {
        fs::write(dir.path().join(name), "secret").expect("a file");
    }
    let limits = Limits { bytes: 4 << 20, entries: 200, ratio_floor: 1 << 20, ..Limits::default() };
    match data.split_first() {
        Some((b'L', list)) => {
            for name in ["diff", "trash"] {
                fs::create_dir(dir.path().join(name)).expect("a folder");
            }
            let open = |name: &str| fs::File::open(dir.path().join(name)).expect("a folder");
            let (root, trash) = (open("diff"), open("trash"));
            let _ = unpack(archive(list).as_slice(), root.as_fd(), trash.as_fd(), &limits);
            check_surroundings(dir.path(), &["diff", "outside", "secret", "trash"]);
        }
        _ => {
            let path = dir.path().join("layer");
            let destination = Destination { blob: None, layer: Some(&path), expected: None };
            let _ = ingest(&mut &*data, &destination, &limits);
            // Data that cannot be decompressed has created nothing.
            let made: &[&str] =
                if path.exists() { &["layer", "outside", "secret"] } else { &["outside", "secret"] };
            check_surroundings(dir.path(), made);
        }
    }
}

fn check_surroundings(dir: &Path, expected: &[&str]) {
    let list = |dir: &Path| {
        let names = fs::read_dir(dir).expect("it is there").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(list(dir), expected, "something was made beside the root");
    assert_eq!(list(&dir.join("outside")), ["secret"], "something was made outside");
    for name in ["secret", "outside/secret"] {
        let path = dir.join(name);
        assert_eq!(fs::read(&path).expect("it is there"), b"secret", "{name} was written to");
        let meta = fs::metadata(&path).expect("it is there");
        assert_eq!(
            (meta.nlink(), meta.uid(), meta.mode() & 0o111),
            (1, 0, 0),
            "{name} was linked or changed"
        );
    }
}

/// Turns a list into a tar archive: per member one byte for its kind and one for its mode, then name, link and contents
/// as lines.
fn archive(list: &[u8]) -> Vec<u8> {
    let mut lines = list.split(|byte| *byte == b'\n');
    let mut archive = Vec::new();
    while let Some(name) = lines.next() {
        let Some((kind, name)) = name.split_first() else { continue };
        let Some((mode, name)) = name.split_first() else { continue };
        let (link, contents) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::new(*kind));
        header.set_mode(u32::from(*mode) << 3 | 0o444);
        header.set_size(contents.len() as u64);
        header.set_uid(u64::from(*mode));
        header.set_gid(0);
        header.set_mtime(u64::from(*mode));
        if let Some(ustar) = header.as_ustar_mut() {
            // Bypasses the tar crate's own checks, which refuse `..`.
            fill(&mut ustar.name, name);
            fill(&mut ustar.linkname, link);
            fill(&mut ustar.dev_major, b"1");
            fill(&mut ustar.dev_minor, b"3");
        }
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(contents);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

fn fill(field: &mut [u8], value: &[u8]) {
    for (to, from) in field.iter_mut().zip(value) {
        *to = *from;
    }
}

/// Any bytes as a credentials file: a login is returned only for a registry that the file names, and no error message
/// contains a password.
pub fn auth_file(data: &[u8]) {
    // The first line is the image; without one, an image that matches the corpus is used.
    let (image, file) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => data.split_at(end),
        None => (&b"quay.io/team/app"[..], data),
    };
    let Ok(reference) = Reference::parse(&String::from_utf8_lossy(image)) else { return };
    let mut asked = Vec::new();
    let mut ask = |helper: &str, server: &str| {
        asked.push((helper.to_owned(), server.to_owned()));
        None
    };
    match from_bytes(file, &reference, &mut ask) {
        Ok(Some(Login::Password { .. } | Login::IdentityToken(_))) => {
            let text = String::from_utf8_lossy(file);
            assert!(text.contains("auth"), "a login from nowhere");
        }
        Ok(None) => {}
        Err(error) => assert!(!error.to_string().contains("s3cret"), "{error}"),
    }
    assert!(asked.len() <= 2, "{asked:?}");
}
