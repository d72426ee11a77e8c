//! Layers with arbitrary content, and where they are unpacked.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::image::unpack::{Limits, UnpackError, Unpacked, unpack};

/// Writes tar archives with arbitrary content.
#[derive(Default, Clone)]
pub(in crate::image) struct TarMaker(pub Vec<u8>);

pub(in crate::image) struct Member {
    pub name: Vec<u8>,
    pub kind: u8,
    pub link: Vec<u8>,
    pub mode: u32,
    pub owner: (u64, u64),
    pub mtime: u64,
    pub device: (u32, u32),
    pub data: Vec<u8>,
}

pub(super) fn member(kind: u8, name: &str) -> Member {
    Member {
        name: name.into(),
        kind,
        link: Vec::new(),
        mode: 0o644,
        owner: (0, 0),
        mtime: 1000,
        device: (0, 0),
        data: Vec::new(),
    }
}

pub(super) fn put(block: &mut [u8; 512], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

impl TarMaker {
    pub fn add(self, m: Member) -> Self {
        let mut block = [0u8; 512];
        put(&mut block, 0, &m.name[..m.name.len().min(100)]);
        put(&mut block, 100, format!("{:07o}", m.mode).as_bytes());
        put(&mut block, 108, format!("{:07o}", m.owner.0).as_bytes());
        put(&mut block, 116, format!("{:07o}", m.owner.1).as_bytes());
        put(&mut block, 124, format!("{:011o}", m.data.len()).as_bytes());
        put(&mut block, 136, format!("{:011o}", m.mtime).as_bytes());
        block[156] = m.kind;
        put(&mut block, 157, &m.link[..m.link.len().min(100)]);
        put(&mut block, 257, b"ustar\x0000");
        put(&mut block, 329, format!("{:07o}", m.device.0).as_bytes());
        put(&mut block, 337, format!("{:07o}", m.device.1).as_bytes());
        self.raw(block, &m.data)
    }
    /// Adds an arbitrary header; its checksum is filled in.
    pub fn raw(mut self, mut block: [u8; 512], data: &[u8]) -> Self {
        put(&mut block, 148, b"        ");
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }
    pub fn file(self, name: &str, data: &str) -> Self {
        self.add(Member { data: data.into(), ..member(b'0', name) })
    }
    pub fn dir(self, name: &str, mode: u32) -> Self {
        self.add(Member { mode, ..member(b'5', name) })
    }
    pub fn link(self, kind: u8, name: &str, target: &str) -> Self {
        self.add(Member { link: target.into(), ..member(kind, name) })
    }
    pub fn pax(self, kind: u8, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            data.extend_from_slice(format!("{length} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.add(Member { data, ..member(kind, "pax") })
    }
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

pub(super) struct Layer {
    pub dir: tempfile::TempDir,
    pub done: Unpacked,
}

impl Layer {
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("root").join(name)
    }
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
    pub fn stat(&self, name: &str) -> fs::Metadata {
        fs::symlink_metadata(self.path(name)).unwrap()
    }
    pub fn mode(&self, name: &str) -> u32 {
        self.stat(name).mode() & 0o7777
    }
    pub fn is_whiteout(&self, name: &str) -> bool {
        let stat = self.stat(name);
        stat.file_type().is_char_device() && stat.rdev() == 0
    }
    pub fn xattr(&self, name: &str, attribute: &str) -> Option<Vec<u8>> {
        let mut value = vec![0u8; 256];
        let n = rustix::fs::lgetxattr(self.path(name), attribute, &mut value).ok()?;
        value.truncate(n);
        Some(value)
    }
    pub fn implied(&self) -> Vec<String> {
        self.done.implied.iter().map(|path| String::from_utf8(path.clone()).unwrap()).collect()
    }
    pub fn is_opaque(&self, name: &str) -> bool {
        self.xattr(name, "trusted.overlay.opaque") == Some(b"y".to_vec())
    }
    pub fn exists(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }
}

/// Returns everything around the layer, to check that nothing outside of it has changed.
fn surroundings(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("root") || path.ends_with("trash") {
            continue;
        }
        if path.is_dir() {
            found.extend(surroundings(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

pub(super) fn try_unpack_with(archive: &[u8], limits: &Limits) -> Result<Layer, UnpackError> {
    let dir = tempfile::tempdir().unwrap();
    for name in ["root", "trash", "outside"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("outside/secret"), "secret").unwrap();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    let before = surroundings(dir.path());
    let root = fs::File::open(dir.path().join("root")).unwrap();
    let trash = fs::File::open(dir.path().join("trash")).unwrap();
    let done = unpack(archive, root.as_fd(), trash.as_fd(), limits);
    assert_eq!(surroundings(dir.path()), before, "the archive reached out of its root");
    Ok(Layer { done: done?, dir })
}

pub(super) fn try_unpack(tar: TarMaker) -> Result<Layer, UnpackError> {
    try_unpack_with(&tar.end(), &Limits::default())
}

pub(super) fn layer(tar: TarMaker) -> Layer {
    try_unpack(tar).unwrap()
}

pub(super) fn failure(tar: TarMaker) -> String {
    match try_unpack(tar) {
        Ok(_) => panic!("it was unpacked"),
        Err(error) => error.to_string(),
    }
}

pub(super) fn tar() -> TarMaker {
    TarMaker::default()
}
