//! A memo: a cache of what the files of a folder contained when they were last read. With hundreds of files it is worth
//! having, because checking that a file is unchanged takes a tenth of the time of opening and parsing it.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::file::{Durability, PendingFile, Writers};

/// A file whose last change is younger than this many nanoseconds may change once more within the same tick of the
/// clock, so that its times would not show it.
const UNSETTLED: i128 = 50_000_000;

/// Inode, time of change and size of a file (inode(7)). Files that are only ever replaced get another inode or time with
/// each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp(u64, i64, i64, u64);

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self(meta.ino(), meta.ctime(), meta.ctime_nsec(), meta.size()))
    }

    fn is_settled(self, now: i128) -> bool {
        now - (i128::from(self.1) * 1_000_000_000 + i128::from(self.2)) > UNSETTLED
    }
}

#[derive(Serialize, Deserialize)]
struct Known<T> {
    name: String,
    /// `None`: the value may be out of date soon, so it is not written to the memo.
    stamp: Option<Stamp>,
    value: T,
}

/// Returns the values of the files `names`, whose paths `path` gives. A file is read with `read` only if it has changed
/// since the file `memo` was written; files that do not exist are left out. The memo is a cache: if it is missing, damaged
/// or unwritable, the files are read instead. It is rewritten when it is out of date.
///
/// # Errors
/// The errors of `read`.
pub fn read_through<T: Serialize + DeserializeOwned, E>(
    names: Vec<String>,
    path: impl Fn(&str) -> PathBuf,
    memo: &Path,
    read: impl Fn(&Path) -> Result<Option<T>, E>,
) -> Result<Vec<T>, E> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i128::try_from(now.as_nanos()).unwrap_or_default();
    let before: Vec<Known<T>> =
        serde_json::from_slice(&fs::read(memo).unwrap_or_default()).unwrap_or_default();
    let mut before: HashMap<String, Known<T>> = before.into_iter().map(|k| (k.name.clone(), k)).collect();
    let mut known = Vec::new();
    let mut changed = false;
    for name in names {
        let path = path(&name);
        // Taken before the file is read, so that a change in between is noticed at the next call.
        let stamp = Stamp::of(&path).filter(|stamp| stamp.is_settled(now));
        match before.remove(&name) {
            Some(same) if stamp.is_some() && same.stamp == stamp => known.push(same),
            was => {
                changed |= was.is_some() || stamp.is_some();
                let value = read(&path)?;
                known.extend(value.map(|value| Known { name, stamp, value }));
            }
        }
    }
    if changed || !before.is_empty() {
        write(memo, &known);
    }
    Ok(known.into_iter().map(|k| k.value).collect())
}

/// Replaces the memo. Other processes may do so at the same time.
fn write<T: Serialize>(memo: &Path, known: &[Known<T>]) {
    let settled: Vec<&Known<T>> = known.iter().filter(|k| k.stamp.is_some()).collect();
    if settled.is_empty() {
        // It may not exist, and an outdated memo does no harm.
        let _ = fs::remove_file(memo);
        return;
    }
    let Ok(bytes) = serde_json::to_vec(&settled) else { return };
    let pending = PendingFile::write(memo, &bytes, 0o600, Durability::Process, Writers::Concurrent);
    crate::fail_point!(Worker, "memo-written");
    let _ = pending.and_then(PendingFile::commit);
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;

    /// Files with numbers.
    struct Folder {
        dir: tempfile::TempDir,
        read: RefCell<Vec<String>>,
    }

    impl Folder {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap(), read: RefCell::default() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn put(&self, name: &str, value: u32) {
            let temp = self.path(".temp");
            fs::write(&temp, value.to_string()).unwrap();
            fs::rename(temp, self.path(name)).unwrap();
        }

        /// Nothing sets a ctime: it has to become old.
        fn settle(&self, name: &str) {
            let stamp = || Stamp::of(&self.path(name)).unwrap();
            let now = || i128::try_from(UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap();
            while !stamp().is_settled(now()) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }

        /// The values, and which files were opened for them.
        fn all(&self, names: &[&str]) -> (Vec<u32>, Vec<String>) {
            let read = |path: &Path| {
                self.read.borrow_mut().push(path.file_name().unwrap().to_string_lossy().into_owned());
                match fs::read_to_string(path) {
                    Ok(text) => Ok(Some(text.parse().unwrap())),
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(e) => Err(e),
                }
            };
            let names = names.iter().map(|&n| n.to_owned()).collect();
            let values = read_through(names, |n| self.path(n), &self.path("memo"), read).unwrap();
            (values, self.read.take())
        }
    }

    fn named(names: &[&str]) -> Vec<String> {
        names.iter().map(|&n| n.to_owned()).collect()
    }

    #[test]
    fn only_what_has_changed_is_read_again() {
        let folder = Folder::new();
        folder.put("a", 1);
        folder.put("b", 2);
        folder.settle("b");
        assert_eq!(folder.all(&["a", "b"]), (vec![1, 2], named(&["a", "b"])));
        assert_eq!(folder.all(&["a", "b"]), (vec![1, 2], named(&[])));
        folder.put("a", 3);
        folder.settle("a");
        assert_eq!(folder.all(&["a", "b"]), (vec![3, 2], named(&["a"])));
        assert_eq!(folder.all(&["b"]), (vec![2], named(&[])));
        // What was left out is not remembered for good.
        assert_eq!(folder.all(&["a", "b"]), (vec![3, 2], named(&["a"])));
        fs::remove_file(folder.path("a")).unwrap();
        assert_eq!(folder.all(&["a", "b"]), (vec![2], named(&["a"])));
    }

    #[test]
    fn what_was_written_a_moment_ago_is_not_relied_on() {
        let folder = Folder::new();
        folder.put("a", 1);
        let (values, _) = folder.all(&["a"]);
        assert_eq!(values, [1]);
        // Of the same length, maybe with the same inode within the same tick of the clock.
        for value in 2..9 {
            folder.put("a", value);
            assert_eq!(folder.all(&["a"]).0, [value]);
        }
    }

    #[test]
    fn a_damaged_memo_is_none() {
        let folder = Folder::new();
        folder.put("a", 1);
        folder.settle("a");
        for damaged in
            ["", "[{\"name\":\"a\"", "[{\"name\":\"a\",\"stamp\":[1,1,1,1],\"value\":\"x\"}]", "{}"]
        {
            fs::write(folder.path("memo"), damaged).unwrap();
            assert_eq!(folder.all(&["a"]).0, [1], "{damaged}");
        }
        assert_eq!(folder.all(&["a"]), (vec![1], vec![]), "it is mended by the way");
    }
}
