//! Endpoints that are set up: what the name server's files are made from, and how a second setup knows that
//! there is nothing to do. Below the run folder: a reboot takes it, as it takes the endpoints.

use std::path::{Path, PathBuf};

use base::file::Durability;
use serde::{Deserialize, Serialize};

use crate::lease::Lease;
use crate::record;
use crate::{Error, Networks, netns, route};

/// An endpoint that is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Up {
    pub lease: Lease,
    /// Inode of its network namespace.
    netns: Option<u64>,
    /// Its rules are in place too.
    #[serde(default)]
    rules: bool,
}

impl Up {
    pub(crate) fn new(lease: &Lease) -> Self {
        Self { lease: lease.clone(), netns: netns::inode(&lease.netns), rules: false }
    }

    /// The same, once its rules are in place.
    pub(crate) fn with_rules(self) -> Self {
        Self { rules: true, ..self }
    }

    /// True if the namespace is the one that was set up.
    fn is_alive(&self) -> bool {
        self.netns.is_some() && self.netns == netns::inode(&self.lease.netns)
    }

    /// True if `lease` is set up in the namespace that is there now.
    pub(crate) fn is_set_up(&self, lease: &Lease) -> bool {
        self.rules
            && self.lease == *lease
            && self.is_alive()
            && lease.interfaces.iter().all(|i| route::link_exists(&i.host_name).unwrap_or(false))
    }
}

/// True if the rules of a network are in place for all that are on it.
pub(crate) fn rules_stand(up: &[Up], network: &str) -> bool {
    let mut on = up.iter().filter(|up| up.lease.is_on(network)).peekable();
    on.peek().is_some() && on.all(|up| up.rules)
}

impl Networks {
    fn up_path(&self, id: &str) -> PathBuf {
        self.run_dir.join("up").join(format!("{id}.json"))
    }

    pub(crate) fn up(&self, id: &str) -> Result<Option<Up>, Error> {
        record::read(&self.up_path(id))
    }

    /// All that are set up and whose namespace is there.
    pub(crate) fn read_up(&self) -> Result<Vec<Up>, Error> {
        let (ids, memo) = (record::list(&self.run_dir.join("up"))?, self.run_dir.join("up.json"));
        let read = |path: &Path| -> Result<Option<Up>, Error> {
            Ok(record::read(path).unwrap_or_else(|damaged| {
                // The lease says the same, but for whether the rules are in place: they are made again.
                let id = path.file_stem().unwrap_or_default().to_string_lossy();
                let lease: Option<Lease> = record::read(&self.lease_path(&id)).ok().flatten();
                match lease {
                    Some(lease) => Some(Up::new(&lease)),
                    None => record::or_none(Err(damaged)),
                }
            }))
        };
        let mut up = base::memo::read_through(ids, |id| self.up_path(id), &memo, read)?;
        up.retain(Up::is_alive);
        Ok(up)
    }

    /// All that are set up, but for one.
    pub(crate) fn others_up(&self, id: &str) -> Result<Vec<Up>, Error> {
        let mut up = self.read_up()?;
        up.retain(|up| up.lease.id != id);
        Ok(up)
    }

    pub(crate) fn write_up(&self, up: &Up) -> Result<(), Error> {
        record::write(&self.up_path(&up.lease.id), up, Durability::Process)
    }

    pub(crate) fn remove_up(&self, id: &str) -> Result<(), Error> {
        record::remove(&self.up_path(id))
    }
}
