//! Which ids on the host the users of a pod with `hostUsers: false` have.
//!
//! Each pod has [`IDS`] of its own, on the whole host: other instances of `kube` take theirs from the same claims. A
//! pod's ids are recorded in its folder, which is removed with the pod, and claimed in `/run`. A claim whose record does
//! not exist is void; so a process that is killed between the two neither loses ids nor gives them out twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base::file::{FileLock, LockKind};
use serde::{Deserialize, Serialize};

use crate::runtime::user_namespace::IDS;
use crate::store::Layout;

/// The ids that pods get: those that systemd's list of uids and gids leaves unused (UIDS-GIDS.md, "unused", between the
/// ranges of containers and of foreign images).
const FIRST: u32 = 0x7000_0000;
/// The first id behind them.
const END: u32 = 0x7ffe_0000;
/// The claims of all instances on this host. They do not survive a reboot, like namespaces.
const CLAIMS: &str = "/run/kube-play-shared/user-ids";

/// Errors of choosing the ids of a pod.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of ours cannot be read or written.
    #[error(transparent)]
    File(#[from] base::file::Error),
    /// All ids are taken.
    #[error("all {} ranges of user ids for pods with hostUsers: false are taken", (END - FIRST) / IDS)]
    AllTaken,
}

/// The ids of a pod, as recorded in its folder.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    first_id: u32,
}

fn record_path(layout: &Layout, uid: &str) -> PathBuf {
    layout.pod(uid).join("user-ids.json")
}

/// Returns the first id of a pod's users. A pod that has ids keeps them, also across a reboot.
///
/// # Errors
/// If all ids are taken, or a file cannot be written.
pub fn acquire(layout: &Layout, uid: &str) -> Result<u32, Error> {
    acquire_in(Path::new(CLAIMS), layout, uid, &delegated())
}

fn acquire_in(claims: &Path, layout: &Layout, uid: &str, delegated: &[(u32, u32)]) -> Result<u32, Error> {
    let _lock = FileLock::acquire(&claims.join("lock"), LockKind::Exclusive)?;
    let path = record_path(layout, uid);
    let path = std::path::absolute(&path).unwrap_or(path);
    let recorded: Option<Record> = base::file::read_json(&path)?;
    let taken = taken(claims, &path)?;
    let first = match recorded.map(|record| record.first_id).filter(|first| !taken.contains(first)) {
        Some(first) => first,
        None => choose(&taken, delegated).ok_or(Error::AllTaken)?,
    };
    base::file::write_json_volatile(&claims.join(format!("{first}.json")), &path)?;
    base::fail_point!(Worker, "user-ids-claimed");
    base::file::write_json_volatile(&path, &Record { first_id: first })?;
    Ok(first)
}

/// Returns the first ids that pods other than that of the record `own` have claimed. Removes void claims. The caller has
/// the lock of the claims.
fn taken(claims: &Path, own: &Path) -> Result<BTreeSet<u32>, Error> {
    let mut taken = BTreeSet::new();
    for entry in fs::read_dir(claims).into_iter().flatten().flatten() {
        let name = entry.file_name();
        // The caller has the lock, so that a temporary file is the rest of a write that was killed.
        if name.to_str().is_some_and(|name| name.starts_with('.')) {
            base::file::remove_file_if_exists(&entry.path())?;
            continue;
        }
        let first = name.to_str().and_then(|name| name.strip_suffix(".json")?.parse::<u32>().ok());
        let Some(first) = first else { continue };
        // A claim that cannot be read belongs to somebody.
        let claimed: Option<PathBuf> = base::file::read_json(&entry.path()).unwrap_or_default();
        match claimed {
            Some(record) if record == own => {}
            Some(record) if !record.exists() => base::file::remove_file_if_exists(&entry.path())?,
            _ => {
                taken.insert(first);
            }
        }
    }
    Ok(taken)
}

/// Returns the lowest free ids that no user or other pod of this host may use. `delegated` are first ids and their counts.
fn choose(taken: &BTreeSet<u32>, delegated: &[(u32, u32)]) -> Option<u32> {
    let step = usize::try_from(IDS).ok()?;
    let is_delegated = |first: u32| {
        delegated.iter().any(|(start, count)| {
            u64::from(first) < u64::from(*start) + u64::from(*count)
                && u64::from(*start) < u64::from(first) + u64::from(IDS)
        })
    };
    (FIRST..END).step_by(step).find(|first| !taken.contains(first) && !is_delegated(*first))
}

/// Returns the ids that users of this host may use for their own namespaces (subuid(5)).
fn delegated() -> Vec<(u32, u32)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    [read("/etc/subuid"), read("/etc/subgid")].iter().flat_map(|text| parse(text)).collect()
}

/// Parses lines of `NAME:FIRST:COUNT`.
fn parse(text: &str) -> Vec<(u32, u32)> {
    let line = |line: &str| {
        let mut fields = line.split(':').skip(1);
        Some((fields.next()?.trim().parse().ok()?, fields.next()?.trim().parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(dir: &Path, name: &str) -> Layout {
        Layout { root: dir.join(name).join("root"), runroot: dir.join(name).join("run") }
    }

    fn acquired(claims: &Path, layout: &Layout, uid: &str) -> u32 {
        base::file::create_private_dir_all(&layout.pod(uid)).unwrap();
        acquire_in(claims, layout, uid, &[]).unwrap()
    }

    #[test]
    fn pods_of_all_instances_have_ids_of_their_own_and_keep_them() {
        let dir = tempfile::tempdir().unwrap();
        let claims = dir.path().join("claims");
        let (one, two) = (layout(dir.path(), "one"), layout(dir.path(), "two"));
        let first = acquired(&claims, &one, "a");
        assert_eq!(first, FIRST);
        let killed = claims.join(".1879113728.json.11383.1.tmp");
        fs::write(&killed, "").unwrap();
        assert_eq!(acquired(&claims, &one, "b"), FIRST + IDS);
        assert!(!killed.exists(), "what a killed write has left is removed");
        assert_eq!(acquired(&claims, &two, "a"), FIRST + 2 * IDS);
        assert_eq!(acquired(&claims, &one, "a"), first);
        // A reboot forgets the claims.
        fs::remove_dir_all(&claims).unwrap();
        assert_eq!(acquired(&claims, &one, "b"), FIRST + IDS);
        assert_eq!(acquired(&claims, &one, "c"), FIRST);
        assert_eq!(acquired(&claims, &one, "a"), FIRST + 2 * IDS, "another pod was faster after the reboot");
    }

    #[test]
    fn the_ids_of_a_removed_pod_are_free_and_a_claim_without_a_record_is_void() {
        let dir = tempfile::tempdir().unwrap();
        let claims = dir.path().join("claims");
        let one = layout(dir.path(), "one");
        acquired(&claims, &one, "a");
        fs::remove_dir_all(one.pod("a")).unwrap();
        assert_eq!(acquired(&claims, &one, "b"), FIRST);
        // A process was killed after it had claimed ids and before it recorded them.
        fs::write(claims.join(format!("{}.json", FIRST + IDS)), "\"/nowhere/user-ids.json\"").unwrap();
        assert_eq!(acquired(&claims, &one, "c"), FIRST + IDS);
    }

    #[test]
    fn ids_that_are_delegated_to_users_are_passed_over() {
        let delegated = parse("me:1879048200:10\nodd\nyou:1879113728:1\n");
        assert_eq!(delegated, [(1_879_048_200, 10), (1_879_113_728, 1)]);
        assert_eq!(choose(&BTreeSet::new(), &delegated), Some(FIRST + 2 * IDS));
        assert_eq!(choose(&(FIRST..END).step_by(65536).collect(), &[]), None);
    }
}
