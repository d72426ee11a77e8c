//! State that all instances on one host share: a lock, and claims to ports and subnets. Claims are needed because a
//! port that another instance publishes has no socket, and a network without endpoints has no route, so other instances
//! could not detect them.

use std::path::{Path, PathBuf};

use base::file::{Durability, FileLock, LockKind};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::bridge::Network;
use crate::record;
use crate::{Error, Port, netns, subnet};

/// The folder of the shared state. Claims do not survive a reboot, like bridges, rules and namespaces.
const SHARED_DIR: &str = "/run/kube-play-shared";

/// The host, locked. A process that takes ports or a subnet first checks what is taken, so only one process may do so
/// at a time.
#[derive(Debug)]
pub(crate) struct Host {
    dir: PathBuf,
    _lock: FileLock,
}

/// Removes temporary files of writers that were killed.
pub(crate) fn remove_temporary_files() -> Result<(), Error> {
    let dirs = ["endpoints", "networks"].map(|dir| Path::new(SHARED_DIR).join(dir));
    let find = || dirs.iter().flat_map(|dir| record::temporary_files(dir)).collect::<Vec<_>>();
    if find().is_empty() {
        return Ok(());
    }
    let _host = Host::lock()?;
    find().iter().try_for_each(|path| record::remove(path))
}

/// The claim of an endpoint, or of a Service, to its ports. A claim is void once the namespace of its endpoint, or the
/// record of the instance's Services, is removed, so a crash leaves no valid claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortClaim {
    pub id: String,
    pub name: String,
    /// The folder of the claim's instance.
    pub instance: PathBuf,
    /// The namespace of the endpoint, or the record of the Services.
    pub netns: PathBuf,
    pub ports: Vec<Port>,
    #[serde(default)]
    pub is_of_service: bool,
}

impl PortClaim {
    fn is_valid(&self) -> bool {
        if self.is_of_service { self.netns.is_file() } else { netns::netns_exists(&self.netns) }
    }

    /// Returns who has the ports, for a message to a user of `instance`.
    pub(crate) fn owner(&self, instance: &Path) -> String {
        let kind = if self.is_of_service { "Service" } else { "pod" };
        let name = &self.name;
        if self.instance == instance {
            format!("{kind} {name}")
        } else {
            format!("{kind} {name}, of {}", self.instance.display())
        }
    }
}

/// The claim of a network to its subnets, or of an instance to the ranges of its Services. A claim is void once the
/// definition of its network, or the record of the ranges, is removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct NetworkClaim {
    definition: PathBuf,
    subnets: Vec<IpNet>,
}

impl Host {
    pub(crate) fn lock() -> Result<Self, Error> {
        Self::lock_in(Path::new(SHARED_DIR))
    }

    fn lock_in(dir: &Path) -> Result<Self, Error> {
        let lock = FileLock::acquire(&dir.join("lock"), LockKind::Exclusive)?;
        // An earlier version may have created the folder with the umask of whichever user came first.
        base::file::close_dir(dir).map_err(Error::io("close to others", dir))?;
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    fn endpoint_path(&self, id: &str) -> PathBuf {
        self.dir.join("endpoints").join(format!("{id}.json"))
    }

    fn network_path(&self, definition: &Path) -> PathBuf {
        let hash = subnet::hex(&definition.to_string_lossy(), 32);
        self.dir.join("networks").join(format!("{hash}.json"))
    }

    /// Records the ports of an endpoint.
    pub(crate) fn claim_ports(&self, claim: &PortClaim) -> Result<(), Error> {
        record::write(&self.endpoint_path(&claim.id), claim, Durability::Process)
    }

    pub(crate) fn release_ports(&self, id: &str) -> Result<(), Error> {
        record::remove(&self.endpoint_path(id))
    }

    /// Returns the claims of the endpoints and Services of every instance. Removes void claims.
    pub(crate) fn port_claims(&self) -> Result<Vec<PortClaim>, Error> {
        let mut claims = Vec::new();
        for id in record::list(&self.dir.join("endpoints"))? {
            match record::read::<PortClaim>(&self.endpoint_path(&id)) {
                Ok(Some(claim)) if claim.is_valid() => claims.push(claim),
                Ok(None) => {}
                Ok(Some(_)) | Err(Error::Damaged { .. }) => self.release_ports(&id)?,
                Err(e) => return Err(e),
            }
        }
        Ok(claims)
    }

    pub(crate) fn claim_network(&self, network: &Network, definition: &Path) -> Result<(), Error> {
        self.claim_subnets(network.nets().collect(), definition)
    }

    /// Records that `subnets` are those of what is recorded in the file `definition`.
    pub(crate) fn claim_subnets(&self, subnets: Vec<IpNet>, definition: &Path) -> Result<(), Error> {
        let claim = NetworkClaim { definition: definition.to_owned(), subnets };
        record::write(&self.network_path(definition), &claim, Durability::Process)
    }

    pub(crate) fn release_network(&self, definition: &Path) -> Result<(), Error> {
        record::remove(&self.network_path(definition))
    }

    /// Returns the subnets of every network and the ranges of every instance's Services, except those that are defined
    /// at `own`.
    pub(crate) fn claimed_subnets(&self, own: &Path) -> Result<Vec<IpNet>, Error> {
        let dir = self.dir.join("networks");
        let mut subnets = Vec::new();
        for name in record::list(&dir)? {
            let path = dir.join(format!("{name}.json"));
            match record::read::<NetworkClaim>(&path) {
                Ok(Some(claim)) if claim.definition == own => {}
                Ok(Some(claim)) if claim.definition.exists() => subnets.extend(claim.subnets),
                Ok(None) => {}
                Ok(Some(_)) | Err(Error::Damaged { .. }) => record::remove(&path)?,
                Err(e) => return Err(e),
            }
        }
        Ok(subnets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_void_when_its_namespace_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::lock_in(dir.path()).unwrap();
        let claim = |id: &str, netns: &str| PortClaim {
            id: id.to_owned(),
            name: id.to_owned(),
            instance: "/i".into(),
            netns: netns.into(),
            ports: Vec::new(),
            is_of_service: false,
        };
        host.claim_ports(&claim("live", "/proc/self/ns/net")).unwrap();
        host.claim_ports(&claim("dead", "/nowhere")).unwrap();
        host.claim_ports(&claim("unmounted", "/etc/hostname")).unwrap();
        std::fs::write(dir.path().join("endpoints/damaged.json"), "{").unwrap();
        let ids: Vec<String> = host.port_claims().unwrap().into_iter().map(|c| c.id).collect();
        assert_eq!(ids, ["live"]);
        assert_eq!(std::fs::read_dir(dir.path().join("endpoints")).unwrap().count(), 1);
    }
}
