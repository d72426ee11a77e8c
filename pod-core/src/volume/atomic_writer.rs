//! A folder whose files are all replaced at the same moment.
//!
//! The files are in a folder named after the time, `..data` is a link to that folder, and every visible name is a link
//! through `..data`. An update writes a new folder and replaces `..data` by one rename, so a process that reads through
//! the link sees either all old or all new files. After a crash one of the two is complete, and the next write removes
//! any folder left over.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, symlink};
use std::path::{Component, Path, PathBuf};

use super::group::{Group, give_folder};
use crate::store::Error;

const DATA: &str = "..data";
const DATA_TEMP: &str = "..data_tmp";

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadFile {
    /// The contents of the file.
    pub contents: Vec<u8>,
    /// The mode of the file, before its group is taken into account.
    pub mode: u32,
    /// The user that owns the file.
    pub user: u32,
}

/// The files of a folder by relative path.
pub type Payload = BTreeMap<String, PayloadFile>;

/// Returns true for a path that stays in the folder and does not collide with the names that this module uses.
pub fn is_safe(path: &str) -> bool {
    !path.is_empty()
        && !path.starts_with("..")
        && !path.contains('\0')
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Returns true for a folder that shows a payload.
pub fn is_written(dir: &Path) -> bool {
    fs::metadata(dir.join(DATA)).is_ok_and(|meta| meta.is_dir())
}

/// Makes the folder show `payload`, owned by `group` if there is one; changes nothing if it does already.
pub fn write(dir: &Path, payload: &Payload, group: Option<Group>) -> Result<(), Error> {
    if let Some(group) = group {
        give_folder(dir, group)?;
    }
    let current = fs::read_link(dir.join(DATA)).ok().filter(|target| target.components().count() == 1);
    let same = current.as_ref().is_some_and(|target| contains_exactly(&dir.join(target), payload, group));
    if !same {
        let fresh = make_fresh(dir, group)?;
        fill(&fresh, payload, group)?;
        let temp = dir.join(DATA_TEMP);
        base::file::remove_file_if_exists(&temp)?;
        let target = fresh.file_name().unwrap_or_default();
        symlink(target, &temp).map_err(Error::io("make the link", &temp))?;
        let data = dir.join(DATA);
        fs::rename(&temp, &data).map_err(Error::io("replace", &data))?;
    }
    link_names(dir, payload)?;
    sweep(dir)
}

/// Creates a folder with a name that was never used before, because a process that still uses an old folder must not
/// find new files in it.
fn make_fresh(dir: &Path, group: Option<Group>) -> Result<PathBuf, Error> {
    let stamp = jiff::Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S");
    let unique = uuid::Uuid::new_v4().as_fields().0;
    let path = dir.join(format!("{stamp}.{unique:08x}"));
    DirBuilder::new().mode(0o700).create(&path).map_err(Error::io("create", &path))?;
    open_folder(&path, group)?;
    Ok(path)
}

fn fill(dir: &Path, payload: &Payload, group: Option<Group>) -> Result<(), Error> {
    for (name, file) in payload {
        let path = dir.join(name);
        let mut above: Vec<&Path> = path.ancestors().skip(1).take_while(|a| *a != dir).collect();
        above.reverse();
        for folder in above {
            match DirBuilder::new().mode(0o700).create(folder) {
                Ok(()) => open_folder(folder, group)?,
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io("create", folder)(e)),
            }
        }
        let write = || {
            let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            out.write_all(&file.contents)?;
            fchown(&out, Some(file.user), group.map(|group| group.gid))?;
            out.set_permissions(Permissions::from_mode(mode(file, group)))
        };
        write().map_err(Error::io("write", &path))?;
    }
    Ok(())
}

/// Lets every user into a folder, whatever the umask is.
fn open_folder(path: &Path, group: Option<Group>) -> Result<(), Error> {
    fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(Error::io("set the mode of", path))?;
    group.map_or(Ok(()), |group| give_folder(path, group))
}

/// Returns the mode of a file with its group taken into account.
fn mode(file: &PayloadFile, group: Option<Group>) -> u32 {
    group.map_or(file.mode, |group| group.mode(file.mode, false))
}

/// Returns true if `dir` contains exactly these files with these owners and modes.
fn contains_exactly(dir: &Path, payload: &Payload, group: Option<Group>) -> bool {
    fn walk(
        dir: &Path,
        prefix: &str,
        payload: &Payload,
        group: Option<Group>,
        seen: &mut usize,
    ) -> Option<()> {
        for entry in fs::read_dir(dir).ok()? {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let relative = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let metadata = entry.metadata().ok()?;
            if metadata.is_dir() {
                walk(&entry.path(), &relative, payload, group, seen)?;
                continue;
            }
            let file = payload.get(&relative)?;
            let same = metadata.is_file()
                && metadata.permissions().mode() & 0o7777 == mode(file, group)
                && metadata.uid() == file.user
                && group.is_none_or(|group| metadata.gid() == group.gid)
                && usize::try_from(metadata.len()).ok()? == file.contents.len()
                && fs::read(entry.path()).ok()? == file.contents;
            if !same {
                return None;
            }
            *seen += 1;
        }
        Some(())
    }
    let normal: BTreeMap<_, _> = payload.iter().map(|(k, v)| (normal(k), v.clone())).collect();
    let mut seen = 0;
    walk(dir, "", &normal, group, &mut seen).is_some() && seen == normal.len()
}

/// Returns a path without doubled slashes.
fn normal(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// Makes every first component of a path a link through `..data`, and removes links to files that are gone. What is not
/// a link is kept: a mount point, or a folder created for a subPath without a key of that name. If a key has that name,
/// its link is not created.
fn link_names(dir: &Path, payload: &Payload) -> Result<(), Error> {
    let wanted: BTreeSet<OsString> = payload
        .keys()
        .filter_map(|path| path.split('/').find(|part| !part.is_empty()))
        .map(OsString::from)
        .collect();
    for name in &wanted {
        let link = dir.join(name);
        let target = Path::new(DATA).join(name);
        match symlink(&target, &link) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("make the link", link)(e)),
        }
    }
    for entry in fs::read_dir(dir).map_err(Error::io("read", dir))? {
        let entry = entry.map_err(Error::io("read", dir))?;
        let name = entry.file_name();
        let is_link = entry.file_type().map_err(Error::io("look at", entry.path()))?.is_symlink();
        if is_link && !name.to_string_lossy().starts_with("..") && !wanted.contains(&name) {
            base::file::remove_file_if_exists(&dir.join(&name))?;
        }
    }
    Ok(())
}

/// Removes the folders of earlier contents.
fn sweep(dir: &Path) -> Result<(), Error> {
    let current = fs::read_link(dir.join(DATA)).map_err(Error::io("read", dir.join(DATA)))?;
    for entry in fs::read_dir(dir).map_err(Error::io("read", dir))? {
        let name = entry.map_err(Error::io("read", dir))?.file_name();
        let text = name.to_string_lossy();
        if text.starts_with("..") && text != DATA && text != DATA_TEMP && Path::new(&name) != current {
            base::file::remove_dir_if_exists(&dir.join(&name))?;
        }
    }
    Ok(())
}
