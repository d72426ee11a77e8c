//! Copies as a tar archive.

use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::Error;
use super::walk::{Meta, Sink};

/// An archive that is written.
pub struct Writer<'a, W: Write> {
    builder: Builder<W>,
    /// Receives what is not copied and why.
    skipped: &'a mut dyn FnMut(&Path, &str),
}

impl<'a, W: Write> Writer<'a, W> {
    /// Begins an archive.
    pub fn new(out: W, skipped: &'a mut dyn FnMut(&Path, &str)) -> Self {
        Self { builder: Builder::new(out), skipped }
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> Result<(), Error> {
        self.builder.finish().and_then(|()| self.builder.get_mut().flush()).map_err(written)
    }
}

fn written(source: std::io::Error) -> Error {
    Error::Archive { action: "write", source }
}

fn read(source: std::io::Error) -> Error {
    Error::Archive { action: "read", source }
}

fn header(meta: &Meta, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(meta.mode);
    header.set_uid(meta.uid.into());
    header.set_gid(meta.gid.into());
    header.set_mtime(meta.modified);
    header.set_size(size);
    header
}

impl<W: Write> Sink for Writer<'_, W> {
    fn folder(&mut self, path: &Path, meta: &Meta) -> Result<(), Error> {
        let mut header = header(meta, EntryType::Directory, 0);
        self.builder.append_data(&mut header, path, std::io::empty()).map_err(written)
    }

    fn file(&mut self, path: &Path, meta: &Meta, content: &mut dyn Read) -> Result<(), Error> {
        let mut header = header(meta, EntryType::Regular, meta.size);
        // The size comes before the content: a file that shrinks meanwhile is filled up, one that grows is cut.
        let content = content.chain(std::io::repeat(0)).take(meta.size);
        self.builder.append_data(&mut header, path, content).map_err(written)
    }

    fn link(&mut self, path: &Path, meta: &Meta, target: &Path) -> Result<(), Error> {
        let mut header = header(meta, EntryType::Symlink, 0);
        self.builder.append_link(&mut header, path, target).map_err(written)
    }

    fn skip(&mut self, path: &Path, what: &str) {
        (self.skipped)(path, what);
    }
}

/// Hands what is in an archive to a sink.
///
/// # Errors
/// The archive is damaged, contains a path that leads out of it, or the sink fails.
pub fn unpack(input: &mut dyn Read, sink: &mut dyn Sink) -> Result<(), Error> {
    let mut archive = tar::Archive::new(input);
    for entry in archive.entries().map_err(read)? {
        let mut entry = entry.map_err(read)?;
        let path = below(&entry.path().map_err(read)?)?;
        if path.as_os_str().is_empty() {
            continue;
        }
        let header = entry.header();
        let meta = Meta {
            mode: header.mode().map_err(read)? & 0o7777,
            size: header.size().map_err(read)?,
            uid: 0,
            gid: 0,
            modified: 0,
        };
        for above in above(&path) {
            sink.folder(&above, &Meta { mode: 0o755, ..meta })?;
        }
        match header.entry_type() {
            EntryType::Directory => sink.folder(&path, &meta)?,
            EntryType::Regular | EntryType::Continuous => sink.file(&path, &meta, &mut entry)?,
            EntryType::Symlink => match entry.link_name().map_err(read)?.map(std::borrow::Cow::into_owned) {
                Some(target) => sink.link(&path, &meta, &target)?,
                None => sink.skip(&path, "a link without a target"),
            },
            EntryType::Link => sink.skip(&path, "a hard link"),
            EntryType::XGlobalHeader => {}
            _ => sink.skip(&path, "neither a file nor a folder"),
        }
    }
    Ok(())
}

/// Returns a path of an archive relative to the destination.
fn below(path: &Path) -> Result<PathBuf, Error> {
    let mut below = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => below.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(Error::LeadsOut(path.to_owned())),
        }
    }
    Ok(below)
}

/// Returns the folders that contain a path, the outermost first. An archive need not name them.
fn above(path: &Path) -> Vec<PathBuf> {
    let mut above: Vec<PathBuf> =
        path.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).map(Path::to_owned).collect();
    above.reverse();
    above
}
