//! How each kind of a manifest is read, and what to say of the kinds that are not played.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::schema::{self, Type};
use super::{Object, escape, shown};
use crate::kind::{Kind, Role};

/// How a kind that is played is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    /// Its fields.
    pub schema: &'static Type,
    /// Converts a value that fits the schema.
    pub read: fn(&Value) -> Result<Object, serde_json::Error>,
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<Box<T>, serde_json::Error> {
    T::deserialize(value).map(Box::new)
}

/// Returns how a kind is read, if it is played.
pub(super) fn reader(kind: Kind) -> Option<Reader> {
    let (schema, read): (_, fn(&Value) -> _) = match kind {
        Kind::Pod => (&schema::POD, |v| read(v).map(Object::Pod)),
        Kind::Deployment => (&schema::DEPLOYMENT, |v| read(v).map(Object::Deployment)),
        Kind::ConfigMap => (&schema::CONFIG_MAP, |v| read(v).map(Object::ConfigMap)),
        Kind::Secret => (&schema::SECRET, |v| read(v).map(Object::Secret)),
        Kind::PersistentVolumeClaim => {
            (&schema::PERSISTENT_VOLUME_CLAIM, |v| read(v).map(Object::PersistentVolumeClaim))
        }
        Kind::PersistentVolume => (&schema::PERSISTENT_VOLUME, |v| read(v).map(Object::PersistentVolume)),
        Kind::Service => (&schema::SERVICE, |v| read(v).map(Object::Service)),
        Kind::Endpoints => (&schema::ENDPOINTS, |v| read(v).map(Object::Endpoints)),
        Kind::RuntimeClass => (&schema::RUNTIME_CLASS, |v| read(v).map(Object::RuntimeClass)),
        Kind::EndpointSlice => (&schema::ENDPOINT_SLICE, |v| read(v).map(Object::EndpointSlice)),
        Kind::Ingress => (&schema::INGRESS, |v| read(v).map(Object::Ingress)),
        Kind::IngressClass => (&schema::INGRESS_CLASS, |v| read(v).map(Object::IngressClass)),
        _ => return None,
    };
    Some(Reader { schema, read })
}

/// Returns the fields of a kind that is played or generated.
pub fn schema_of(kind: Kind) -> Option<&'static Type> {
    match kind {
        Kind::DaemonSet => Some(&schema::DAEMON_SET),
        Kind::Job => Some(&schema::JOB),
        Kind::StatefulSet => Some(&schema::STATEFUL_SET),
        _ => reader(kind).map(|reader| reader.schema),
    }
}

/// The result of looking up a kind.
#[derive(Debug)]
pub(super) enum Found {
    /// A kind that is played.
    Played(Kind, Reader),
    /// A List, with its required apiVersion if that is checked.
    List(Option<&'static str>),
    /// A kind that is accepted without any action.
    Accepted,
    /// A kind that is left out: the reason, and what to do instead.
    LeftOut(String, Option<&'static str>),
    /// Any other kind: message and hint.
    Refused(String, String),
}

/// The removed versions of Ingress, whose backends have other fields. Pods run without it, so it is no error.
const OLD_INGRESS: [&str; 2] = ["extensions/v1beta1", "networking.k8s.io/v1beta1"];

/// Looks up `name` of `api_version`, which is empty where a document gives none.
pub(super) fn find(name: &str, api_version: &str) -> Found {
    if name == "List" {
        return Found::List(Some("v1"));
    }
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    if group.contains('.') && !group.ends_with(".k8s.io") {
        return custom_resource(api_version);
    }
    if matches!(name, "Ingress" | "IngressClass") && OLD_INGRESS.contains(&api_version) {
        let why = format!("Kubernetes has removed {api_version} of it");
        return Found::LeftOut(why, Some("write it as apiVersion: networking.k8s.io/v1"));
    }
    if let Some(kind) = Kind::from_name(name) {
        return of(kind);
    }
    if let Some(item) = name.strip_suffix("List").and_then(Kind::from_name) {
        return Found::List(item.is_played().then(|| item.api_version()));
    }
    let unknown = format!("unknown kind {}", shown(name));
    if let Some(near) = near(name) {
        return Found::Refused(unknown, format!("did you mean {near}?"));
    }
    if group.ends_with(".k8s.io") {
        return match name {
            "Kustomization" | "Component" => {
                Found::LeftOut("it is for kustomize".to_owned(), Some(KUSTOMIZE))
            }
            _ => custom_resource(api_version),
        };
    }
    // A group that differs by one letter from a group of Kubernetes is a typo, and the kind may be the purpose of the
    // file.
    // Groups with a dot end in `.k8s.io`, and so do custom resources of the Kubernetes project itself.
    let mut groups = Kind::ALL.iter().map(|kind| kind.group()).filter(|known| !known.contains('.'));
    if groups.any(|known| strsim::osa_distance(known, group) <= 1) {
        return Found::Refused(unknown, played());
    }
    Found::LeftOut(format!("{} is not of Kubernetes", shown(api_version)), None)
}

/// Returns what a play does with a kind.
fn of(kind: Kind) -> Found {
    match kind.role() {
        Role::Accepted => Found::Accepted,
        Role::LeftOut { instead } => Found::LeftOut("this kind is not played yet".to_owned(), instead),
        Role::NeedsCluster => Found::LeftOut("it needs a cluster".to_owned(), None),
        Role::Workload | Role::Data | Role::Shown | Role::Refused => match reader(kind) {
            Some(reader) => Found::Played(kind, reader),
            None => Found::Refused(format!("the kind {} is not played yet", kind.name()), played()),
        },
    }
}

/// Returns the hint that names the kinds that are played.
fn played() -> String {
    format!("kinds that are played: {} and List", names_of_played())
}

/// The hint for a kustomization.
pub(super) const KUSTOMIZE: &str = "`kubectl kustomize FOLDER | kube play -` plays what it makes";

fn custom_resource(api_version: &str) -> Found {
    Found::LeftOut(format!("a custom resource ({}) needs a cluster", escape(api_version)), None)
}

/// Returns the names of the kinds that are played, for messages.
pub(super) fn names_of_played() -> String {
    Kind::played().map(Kind::name).collect::<Vec<_>>().join(", ")
}

/// Returns the kind that was probably meant. Two differences are allowed, but only one in a word of three or four
/// letters, because such words are too much alike.
fn near(kind: &str) -> Option<&'static str> {
    let limit = |known: &str| if known.len() <= 4 { 1 } else { 2 };
    Kind::ALL.iter().map(|known| known.name()).find(|known| {
        known.eq_ignore_ascii_case(kind)
            || kind.len() < 60 && strsim::osa_distance(known, kind) <= limit(known)
    })
}
