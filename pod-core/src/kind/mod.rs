//! The words of the Kubernetes API: kinds of objects, references to objects, reasons, conditions and types of events.
//!
//! [`Kind`] is every kind that Kubernetes has or had, with its API version, its names for kubectl and its [`Role`],
//! which says what `kube` does with the kind. `table` has one line per kind; start there to add a kind. [`ObjectRef`]
//! identifies one object by kind, namespace and name, and is parsed from what users type: `web`, `deploy/api`,
//! `deployment.apps/api`. `reason` has the enums for the words of a pod's status.

mod error;
mod object_ref;
mod reason;
mod table;

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use error::Error;
pub use object_ref::ObjectRef;
pub use reason::{ConditionType, EventType, TerminatedReason, WaitingReason};
pub use table::Kind;

/// What `kube` does with the objects of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The objects are played and run pods.
    Workload,
    /// The objects are played and recorded, and pods use them.
    Data,
    /// The objects are created by a workload and can be shown, but not played.
    Shown,
    /// The objects are accepted without any effect, because nothing has to be done for them.
    Accepted,
    /// The objects are not supported yet. `kube play` leaves them out with a warning, because pods run without them.
    LeftOut {
        /// What works instead.
        instead: Option<&'static str>,
    },
    /// `kube play` leaves the objects out with a warning, because they have a meaning only in a cluster.
    NeedsCluster,
    /// The objects are not supported yet. `kube play` refuses them, because the manifest would be useless without
    /// them.
    Refused,
}

/// Whether the names of a kind's objects are unique per namespace or on the whole host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Namespaced,
    Cluster,
}

/// One line of the table of kinds.
#[derive(Debug, Clone, Copy)]
struct Facts {
    name: &'static str,
    singular: &'static str,
    api_version: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    scope: Scope,
    role: Role,
}

impl Kind {
    /// Returns the name that `kind:` has in a manifest: `ReplicaSet`.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// Returns the name in lower case, as kubectl prints it and as folders and records spell it: `replicaset`.
    pub const fn singular(self) -> &'static str {
        self.facts().singular
    }

    /// Returns the plural in lower case: `replicasets`.
    pub const fn plural(self) -> &'static str {
        self.facts().plural
    }

    /// Returns the abbreviations that kubectl knows: `rs`.
    pub const fn short_names(self) -> &'static [&'static str] {
        self.facts().short_names
    }

    /// Returns the value of `apiVersion:` in a manifest: `v1`, `apps/v1`.
    pub const fn api_version(self) -> &'static str {
        self.facts().api_version
    }

    /// Returns the API group, which is empty for the core group.
    pub fn group(self) -> &'static str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }

    /// Returns the version in the API group: `v1`.
    pub fn version(self) -> &'static str {
        self.api_version().split_once('/').map_or(self.api_version(), |(_, version)| version)
    }

    /// Returns true if names are unique per namespace only.
    pub const fn is_namespaced(self) -> bool {
        matches!(self.facts().scope, Scope::Namespaced)
    }

    /// Returns what `kube` does with objects of this kind.
    pub const fn role(self) -> Role {
        self.facts().role
    }

    /// Returns true if manifests of this kind are played, and therefore recorded.
    pub const fn is_played(self) -> bool {
        matches!(self.role(), Role::Workload | Role::Data)
    }

    /// Returns true if objects of this kind can exist on this host and can be named in commands.
    pub const fn has_objects(self) -> bool {
        matches!(self.role(), Role::Workload | Role::Data | Role::Shown)
    }

    /// Returns true if objects of this kind run pods.
    pub const fn is_workload(self) -> bool {
        matches!(self.role(), Role::Workload)
    }

    /// Returns the name with its indefinite article: `a Pod`, `an Ingress`.
    pub fn with_article(self) -> String {
        let article = if self.name().starts_with(['A', 'E', 'I', 'O']) { "an" } else { "a" };
        format!("{article} {}", self.name())
    }

    /// Returns the kinds that are played, in the order of the table.
    pub fn played() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|kind| kind.is_played())
    }

    /// Returns the kind with this name in a manifest; case matters.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Returns the kind with this name in a manifest or a record, in any case.
    pub fn from_name_in_any_case(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// Parses a kind as kubectl does: singular, plural or short name, in any case, with or without version and group
    /// (`deploy`, `deployments.apps`, `deployment.v1.apps`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (name, group) = text.split_once('.').unwrap_or((&text, ""));
        let is_named = |kind: Self| {
            kind.singular() == name || kind.plural() == name || kind.short_names().contains(&name)
        };
        let is_in_group = |kind: Self| {
            let unversioned = match group.strip_prefix(kind.version()) {
                Some("") => "",
                Some(rest) => rest.strip_prefix('.').unwrap_or(group),
                None => group,
            };
            group.is_empty() || unversioned == kind.group()
        };
        Self::ALL.iter().copied().find(|kind| is_named(*kind) && is_in_group(*kind))
    }

    /// Serializes the kind in lower case. Records use this with `#[serde(serialize_with)]`.
    ///
    /// # Errors
    /// Those of the serializer.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    pub fn serialize_singular<S: Serializer>(kind: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(kind.singular())
    }
}

impl fmt::Display for Kind {
    /// Writes the kind as kubectl prints it before a `/`: `pod`, `deployment.apps`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.singular())?;
        match self.group() {
            "" => Ok(()),
            group => write!(f, ".{group}"),
        }
    }
}

impl Ord for Kind {
    /// Orders kinds by name, as their folders on disk are sorted.
    fn cmp(&self, other: &Self) -> Ordering {
        self.singular().cmp(other.singular())
    }
}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::from_name_in_any_case(&name)
            .ok_or_else(|| serde::de::Error::custom(format_args!("unknown kind {name:?}")))
    }
}

#[cfg(test)]
mod tests;
