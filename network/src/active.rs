//! Endpoints that are set up. The name server's files are made from them, and they show a second setup that there is
//! nothing to do. They are stored below the run folder, because a reboot ends both the folder and the endpoints.

use std::path::{Path, PathBuf};

use base::file::Durability;
use serde::{Deserialize, Serialize};

use crate::lease::Lease;
#[cfg(doc)]
use crate::pod_route;
use crate::record;
use crate::{Error, Networks, netns, route};

/// An endpoint that is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ActiveEndpoint {
    pub lease: Lease,
    /// The inode of its network namespace.
    netns: Option<u64>,
    /// True if its rules are in place too.
    #[serde(default)]
    rules: bool,
    /// True if it sends to its neighbours by way of the bridge's address.
    #[serde(default)]
    through_gateway: bool,
}

impl ActiveEndpoint {
    pub(crate) fn new(lease: &Lease) -> Self {
        Self { lease: lease.clone(), netns: netns::inode(&lease.netns), rules: false, through_gateway: false }
    }

    /// Returns the endpoint with its routes marked as those that [`pod_route`] adds.
    pub(crate) fn with_routes(self) -> Self {
        Self { through_gateway: true, ..self }
    }

    /// Returns whether the endpoint needs its routes. An earlier version of this program added none.
    pub(crate) fn needs_routes(&self) -> bool {
        !self.through_gateway
    }

    /// Returns the endpoint with its rules marked as in place.
    pub(crate) fn with_rules(self) -> Self {
        Self { rules: true, ..self }
    }

    /// Returns whether the namespace is still the one that was set up.
    fn is_alive(&self) -> bool {
        self.netns.is_some() && self.netns == netns::inode(&self.lease.netns)
    }

    /// Returns whether `lease` is set up in the present namespace.
    pub(crate) fn is_set_up(&self, lease: &Lease) -> bool {
        self.rules
            && self.lease == *lease
            && self.is_alive()
            && lease.interfaces.iter().all(|i| route::link_exists(&i.host_name).unwrap_or(false))
    }
}

/// Returns whether the rules of a network are in place for all of its endpoints.
pub(crate) fn are_rules_in_place(up: &[ActiveEndpoint], network: &str) -> bool {
    let mut on = up.iter().filter(|up| up.lease.is_on(network)).peekable();
    on.peek().is_some() && on.all(|up| up.rules)
}

impl Networks {
    fn active_path(&self, id: &str) -> PathBuf {
        self.run_dir.join("up").join(format!("{id}.json"))
    }

    pub(crate) fn active_endpoint(&self, id: &str) -> Result<Option<ActiveEndpoint>, Error> {
        record::read(&self.active_path(id))
    }

    /// Returns all endpoints that are set up and whose namespace exists.
    pub(crate) fn active_endpoints(&self) -> Result<Vec<ActiveEndpoint>, Error> {
        let (ids, memo) = (record::list(&self.run_dir.join("up"))?, self.run_dir.join("up.json"));
        let read = |path: &Path| -> Result<Option<ActiveEndpoint>, Error> {
            Ok(record::read(path).unwrap_or_else(|damaged| {
                // The lease has the same contents, except whether the rules are in place; they are put in place again.
                let id = path.file_stem().unwrap_or_default().to_string_lossy();
                let lease: Option<Lease> = record::read(&self.lease_path(&id)).ok().flatten();
                match lease {
                    Some(lease) => Some(ActiveEndpoint::new(&lease)),
                    None => record::or_none(Err(damaged)),
                }
            }))
        };
        let mut up = base::memo::read_through(ids, |id| self.active_path(id), &memo, read)?;
        up.retain(ActiveEndpoint::is_alive);
        Ok(up)
    }

    /// Returns all endpoints that are set up, except one.
    pub(crate) fn other_active_endpoints(&self, id: &str) -> Result<Vec<ActiveEndpoint>, Error> {
        let mut up = self.active_endpoints()?;
        up.retain(|up| up.lease.id != id);
        Ok(up)
    }

    pub(crate) fn write_active(&self, up: &ActiveEndpoint) -> Result<(), Error> {
        record::write(&self.active_path(&up.lease.id), up, Durability::Process)
    }

    pub(crate) fn remove_active(&self, id: &str) -> Result<(), Error> {
        record::remove(&self.active_path(id))
    }
}
