//! What the files of a folder said when they were last read, so that with hundreds of them each need not be opened
//! again: looking whether a file is still the same costs a tenth of that.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A file that was written less than this many nanoseconds ago may be written once more without its times telling.
const UNSETTLED: i128 = 50_000_000;

/// A file as the kernel tells it (inode(7)): files that are only ever replaced have another inode or time each time.
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
    /// `None`: not to be relied on, and not written down.
    stamp: Option<Stamp>,
    value: T,
}

/// Reads a file for each of `names`, which `path` gives, with `read`, unless it is as it was when the file `memo` was
/// written. What is not there (any more) is left out. The memo is written anew when it has become out of date; it is no
/// more than a help: one that is missing, damaged or cannot be written is nobody's concern.
///
/// # Errors
/// Those of `read`.
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
        // Before it is read: what is written in between is found next time.
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

/// Replaces the memo, whoever else does so at the same time.
fn write<T: Serialize>(memo: &Path, known: &[Known<T>]) {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let settled: Vec<&Known<T>> = known.iter().filter(|k| k.stamp.is_some()).collect();
    if settled.is_empty() {
        // There may be none, and an old one does no harm.
        let _ = fs::remove_file(memo);
        return;
    }
    let Ok(bytes) = serde_json::to_vec(&settled) else { return };
    let name = memo.file_name().unwrap_or_default().to_string_lossy();
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temp = memo.with_file_name(format!(".{name}.{}.{n}.tmp", std::process::id()));
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&temp);
    let written = file.and_then(|mut file| file.write_all(&bytes));
    base::fail_point!(Worker, "memo-written");
    if written.and_then(|()| fs::rename(&temp, memo)).is_err() {
        let _ = fs::remove_file(&temp);
    }
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
