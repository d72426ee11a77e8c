//! Makes the two trees accessible to their owner only. Containers leave setuid files, FIFOs and shared memory in
//! them, which no other user of the host may reach.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Error, Layout};

/// The names of all entries directly in `--root`.
const IN_ROOT: &[&str] = &[
    "images",
    "ingress",
    "networks",
    "objects",
    "persistentvolumes",
    "pods",
    "version.json",
    "volumes",
    "workloads",
];
/// The names of all entries directly in `--runroot`.
const IN_RUNROOT: &[&str] = &[
    "boot",
    "events",
    "glances.json",
    "ingress",
    "lock",
    "loops",
    "netns",
    "networks",
    "pause",
    "play.lock",
    "pods",
    "removals",
    "runtime",
    "services",
    "volumes.lock",
    "workloads",
];

/// Folders that must stay open to every user of the host, even while they are empty.
const FOR_EVERYBODY: &[&str] = &["/", "/dev/shm", "/run", "/run/lock", "/tmp", "/var/tmp"];

/// The facts about the top folder of a tree from which its [`Verdict`] follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Top<'a> {
    mode: u32,
    owner: u32,
    /// The effective uid of this process.
    caller: u32,
    /// Whether the folder is one of [`FOR_EVERYBODY`].
    for_everybody: bool,
    /// An entry that does not belong to the tree, if there is one.
    foreign: Option<&'a OsStr>,
}

/// What to do with the top folder of a tree.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Only its owner can enter the folder; nothing has to be done.
    IsPrivate,
    /// The folder has to be made private.
    Close,
    /// The folder belongs to another user. It cannot be made private, because the owner of a folder can always enter
    /// it.
    OwnedBy(u32),
    /// The folder contains other files that other users may need, such as /tmp, a home directory or a whole disk.
    Shared,
}

/// Decides what to do with the top folder of a tree.
fn decide(top: Top<'_>) -> Verdict {
    if top.owner != top.caller {
        return Verdict::OwnedBy(top.owner);
    }
    if base::file::is_private(top.mode) {
        return Verdict::IsPrivate;
    }
    if top.for_everybody || top.foreign.is_some() { Verdict::Shared } else { Verdict::Close }
}

impl Layout {
    /// Makes both trees and `<root>/pods` accessible to their owner only, however they were created: by an
    /// administrator's mkdir, with the umask of an earlier version, or as the root of a mounted disk. A tree that does
    /// not exist is not created here ([`base::file::create_private_dir_all`] creates it later).
    ///
    /// # Errors
    /// `NotOurs` if a folder belongs to another user, `Shared` if other users can enter it and it contains files that
    /// do not belong to the tree.
    pub fn close_to_others(&self) -> Result<(), Error> {
        for (dir, known, other) in
            [(&self.root, IN_ROOT, &self.runroot), (&self.runroot, IN_RUNROOT, &self.root)]
        {
            close(dir, known, other)?;
        }
        let pods = self.root.join("pods");
        match base::file::close_dir(&pods) {
            Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
                Err(Error::io("close to others", pods)(e))
            }
            _ => Ok(()),
        }
    }
}

/// Makes the top folder of one tree private. `other` is the other tree, which may be inside this one.
fn close(dir: &Path, known: &[&str], other: &Path) -> Result<(), Error> {
    // If the path is a file, or if a parent folder is not accessible, the error is reported when the tree is used.
    let Ok(meta) = fs::metadata(dir) else { return Ok(()) };
    if !meta.is_dir() {
        return Ok(());
    }
    let (mode, owner, caller) = (meta.permissions().mode(), meta.uid(), rustix::process::geteuid().as_raw());
    let foreign = if base::file::is_private(mode) { None } else { foreign_entry(dir, known, other, caller)? };
    let for_everybody =
        fs::canonicalize(dir).is_ok_and(|path| FOR_EVERYBODY.iter().any(|open| path == Path::new(open)));
    match decide(Top {
        mode,
        owner,
        caller,
        for_everybody,
        foreign: foreign.as_deref().and_then(Path::file_name),
    }) {
        Verdict::IsPrivate => Ok(()),
        Verdict::Close => base::file::close_dir(dir).map(drop).map_err(Error::io("close to others", dir)),
        Verdict::OwnedBy(owner) => Err(Error::NotOurs { path: dir.to_owned(), owner, caller }),
        Verdict::Shared => Err(Error::Shared { path: dir.to_owned(), holds: foreign }),
    }
}

/// Returns the first entry of a tree's top folder that does not belong to the tree or not to its owner. Another user
/// may have created such an entry if the folder was writable for everybody. Temporary files, whose names begin with a
/// dot, and the `lost+found` of a file system are allowed.
fn foreign_entry(dir: &Path, known: &[&str], other: &Path, caller: u32) -> Result<Option<PathBuf>, Error> {
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let entry = entry.map_err(Error::io("list", dir))?;
        let (name, path) = (entry.file_name(), entry.path());
        let temporary = name.to_str().is_some_and(|name| base::file::writer_of(name).is_some());
        let is_known = known.iter().chain(&["lost+found"]).any(|known| name == *known);
        let is_callers = entry.metadata().is_ok_and(|meta| meta.uid() == caller);
        if !is_callers || !is_known && !temporary && !other.starts_with(&path) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(mode: u32, owner: u32, foreign: Option<&'static str>) -> Top<'static> {
        Top {
            mode: 0o040_000 | mode,
            owner,
            caller: 0,
            for_everybody: false,
            foreign: foreign.map(OsStr::new),
        }
    }

    #[test]
    fn a_tree_that_others_can_enter_is_closed_unless_it_is_shared() {
        assert_eq!(decide(top(0o700, 0, None)), Verdict::IsPrivate);
        assert_eq!(decide(top(0o700, 0, Some("notes"))), Verdict::IsPrivate);
        for mode in [0o755, 0o777, 0o711, 0o750, 0o701, 0o2770, 0o1777] {
            assert_eq!(decide(top(mode, 0, None)), Verdict::Close, "{mode:o}");
            assert_eq!(decide(top(mode, 0, Some("notes"))), Verdict::Shared, "{mode:o}");
        }
        assert_eq!(decide(Top { for_everybody: true, ..top(0o1777, 0, None) }), Verdict::Shared);
        for mode in [0o700, 0o755] {
            assert_eq!(decide(top(mode, 1000, None)), Verdict::OwnedBy(1000), "{mode:o}");
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn make(dir: &Path, mode: u32) {
        fs::create_dir_all(dir).unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn existing_trees_are_made_private_and_missing_ones_are_not_created() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().join("root"), runroot: dir.path().join("run") };
        layout.close_to_others().unwrap();
        assert!(!layout.root.exists() && !layout.runroot.exists());
        make(&layout.root, 0o755);
        make(&layout.root.join("lost+found"), 0o755);
        make(&layout.root.join("pods"), 0o755);
        make(&layout.runroot, 0o777);
        layout.close_to_others().unwrap();
        for closed in [&layout.root, &layout.root.join("pods"), &layout.runroot] {
            assert_eq!(mode(closed), 0o700, "{}", closed.display());
        }
    }

    #[test]
    fn one_tree_may_be_inside_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let layout = Layout { runroot: root.join("state/run"), root };
        make(&layout.runroot, 0o755);
        make(&layout.root, 0o755);
        layout.close_to_others().unwrap();
        assert_eq!(mode(&layout.root), 0o700);
    }

    #[test]
    fn a_folder_with_other_things_in_it_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().join("home"), runroot: dir.path().join("run") };
        make(&layout.root, 0o755);
        fs::write(layout.root.join("letter"), "x").unwrap();
        let error = layout.close_to_others().unwrap_err().to_string();
        assert!(error.contains("home/letter") && error.contains("--root"), "{error}");
        assert_eq!(mode(&layout.root), 0o755);
        make(&layout.root, 0o700);
        layout.close_to_others().unwrap();
    }

    /// Collects the source files of a crate, without tests.
    fn sources(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if name.contains("tests") || name == "fuzz" {
                continue;
            }
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
                found.push((path, code));
            }
        }
    }

    fn all_sources() -> Vec<(PathBuf, String)> {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found = Vec::new();
        for name in ["pod-core", "network"] {
            sources(&crates.join(name).join("src"), &mut found);
        }
        assert!(found.len() > 50, "{}", found.len());
        found
    }

    #[test]
    fn every_entry_of_a_tree_is_known() {
        let entry =
            regex::Regex::new(r#"\b(?:self|layout)\s*\.(root|runroot)\s*\.join\("([^"]+)"\)"#).unwrap();
        let mut count = 0;
        for (path, code) in all_sources() {
            for found in entry.captures_iter(&code) {
                count += 1;
                let known = if &found[1] == "root" { IN_ROOT } else { IN_RUNROOT };
                assert!(known.contains(&&found[2]), "{}: {:?} is not known here", path.display(), &found[2]);
            }
        }
        assert!(count > 15, "{count}");
    }

    #[test]
    fn every_folder_in_the_trees_is_created_private() {
        for (path, code) in all_sources() {
            // The folders of control groups are not in the trees.
            let elsewhere = path.iter().any(|part| part == "cgroup");
            assert!(
                elsewhere || !code.contains("fs::create_dir_all("),
                "{}: base::file::create_private_dir_all makes folders that nobody else can enter",
                path.display()
            );
        }
    }
}
