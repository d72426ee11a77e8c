//! Decides which PersistentVolume a claim binds to.
//!
//! Source: `FindMatchingVolume` and `checkVolumeSatisfyClaim` of Kubernetes' controller of persistent volumes.

use std::fmt;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use crate::manifest::Quantity;

/// The annotation that named the class before there was a field.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
/// How many volumes an error describes.
const MAX_TOLD: usize = 4;

/// Namespace and name of a claim.
pub type ClaimName = (String, String);

/// A PersistentVolume that exists or is about to be created.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The volume.
    pub volume: &'a PersistentVolume,
    /// The claim that it is bound to, or was bound to until that claim was removed.
    pub taken: Option<&'a ClaimName>,
    /// Whether that claim was removed.
    pub is_released: bool,
}

/// What the data of a claim is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// The PersistentVolume with this name.
    Volume(String),
    /// A folder of its own, as the provisioner of a cluster's default class would make.
    Folder,
}

/// Why a claim binds to nothing. In a cluster it would stay Pending.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unbound {
    /// volumeName names a volume that does not exist.
    #[error("there is no PersistentVolume {0:?}")]
    NoVolume(String),
    /// volumeName names a volume that the claim cannot have.
    #[error("PersistentVolume {volume:?} cannot be bound: {why}")]
    Unsuitable {
        /// The volume.
        volume: String,
        /// Why.
        why: Mismatch,
    },
    /// No volume fits a claim with `storageClassName: ""`, for which nothing is provisioned.
    #[error("no PersistentVolume without a class fits, and \"\" means that none is made{}", tell(.0))]
    NoClass(Vec<(String, Mismatch)>),
    /// No volume of the class fits.
    #[error("no PersistentVolume of this class fits{}", tell(.0))]
    NoneFits(Vec<(String, Mismatch)>),
    /// No volume has the labels of the selector; none is made for a claim with a selector.
    #[error("no PersistentVolume that it selects fits{}", tell(.0))]
    NoneSelected(Vec<(String, Mismatch)>),
}

impl Unbound {
    /// Returns the field of the claim that cannot be satisfied.
    pub fn path(&self) -> &'static str {
        match self {
            Self::NoVolume(_) | Self::Unsuitable { .. } => "spec.volumeName",
            Self::NoClass(_) | Self::NoneFits(_) => "spec.storageClassName",
            Self::NoneSelected(_) => "spec.selector",
        }
    }
}

fn tell(why: &[(String, Mismatch)]) -> String {
    if why.is_empty() {
        return ": there is none".to_owned();
    }
    let told: Vec<String> = why.iter().take(MAX_TOLD).map(|(name, why)| format!("{name}: {why}")).collect();
    let more = if why.len() > MAX_TOLD { "; ..." } else { "" };
    format!(" ({}{more})", told.join("; "))
}

/// Why a volume is not for a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// Another claim has it.
    Taken(ClaimName),
    /// It has the data of a claim that was removed.
    Released(ClaimName),
    /// It is kept for another claim (claimRef).
    Reserved(ClaimName),
    /// It is smaller than the claim asks for.
    Size {
        /// The volume's capacity.
        has: String,
        /// The claim's request.
        wanted: String,
    },
    /// It does not have all access modes.
    AccessModes(Vec<String>),
    /// One is Block, the other Filesystem.
    Mode(String),
    /// It is of another class.
    Class(String),
    /// Its labels are not those of the selector.
    Labels,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken((namespace, name)) => write!(f, "claim {namespace}/{name} has it"),
            Self::Released((namespace, name)) => {
                write!(
                    f,
                    "it has the data of claim {namespace}/{name}, which was removed: remove it and play it again"
                )
            }
            Self::Reserved((namespace, name)) => write!(f, "it is reserved for claim {namespace}/{name}"),
            Self::Size { has, wanted } => write!(f, "its size is {has}, less than {wanted}"),
            Self::AccessModes(has) => write!(f, "its accessModes are [{}]", has.join(", ")),
            Self::Mode(has) => write!(f, "its volumeMode is {has}"),
            Self::Class(class) if class.is_empty() => f.write_str("it has no storageClassName"),
            Self::Class(class) => write!(f, "its storageClassName is {class}"),
            Self::Labels => f.write_str("it does not have the labels"),
        }
    }
}

/// Decides what a claim that is not bound yet binds to. A claim with a source of data gets a folder, into which the data
/// is copied.
///
/// A claim without a class takes a volume without a class if one fits, as in a cluster without a default class, and
/// otherwise gets a folder, as from a default class. A claim of a class that no volume here has gets a folder too: the
/// class stands for a provisioner.
///
/// # Errors
/// If it would stay Pending in a cluster.
pub fn bind(claim: &PersistentVolumeClaim, offers: &[Offer<'_>]) -> Result<Binding, Unbound> {
    let spec = claim.spec.clone().unwrap_or_default();
    if let Some(wanted) = spec.volume_name.as_deref().filter(|name| !name.is_empty()) {
        let found = offers.iter().find(|offer| name(offer) == wanted);
        let found = found.ok_or_else(|| Unbound::NoVolume(wanted.to_owned()))?;
        return match mismatch(claim, found) {
            None => Ok(Binding::Volume(wanted.to_owned())),
            Some(why) => Err(Unbound::Unsuitable { volume: wanted.to_owned(), why }),
        };
    }
    if spec.data_source.is_some() || spec.data_source_ref.is_some() {
        return Ok(Binding::Folder);
    }
    let reserved = offers.iter().find(|offer| is_reserved_for(offer, claim) && reserved_fits(claim, offer));
    if let Some(offer) = reserved {
        return Ok(Binding::Volume(name(offer).to_owned()));
    }
    let is_selected =
        |offer: &Offer<'_>| spec.selector.as_ref().is_none_or(|all| selects(all, &offer.volume.metadata));
    let refused = |offer: &Offer<'_>| {
        mismatch(claim, offer).or_else(|| (!is_selected(offer)).then_some(Mismatch::Labels))
    };
    let best = offers.iter().filter(|offer| refused(offer).is_none()).min_by_key(|offer| {
        let spec = offer.volume.spec.as_ref();
        let modes = spec.and_then(|spec| spec.access_modes.as_ref()).map_or(0, Vec::len);
        (modes, capacity(spec), name(offer).to_owned())
    });
    if let Some(best) = best {
        return Ok(Binding::Volume(name(best).to_owned()));
    }
    let class = class_of_claim(claim);
    let of_class = |offer: &&Offer<'_>| class_of_volume(offer.volume) == class.unwrap_or_default();
    let why = || -> Vec<(String, Mismatch)> {
        let all = offers.iter().filter(of_class);
        all.filter_map(|offer| Some((name(offer).to_owned(), refused(offer)?))).collect()
    };
    match class {
        Some("") => Err(Unbound::NoClass(why())),
        _ if spec.selector.is_some() => Err(Unbound::NoneSelected(why())),
        Some(_) if offers.iter().any(|offer| of_class(&offer)) => Err(Unbound::NoneFits(why())),
        _ => Ok(Binding::Folder),
    }
}

/// Returns the class that a claim asks for: `Some("")` for explicitly none, `None` for the default.
pub fn class_of_claim(claim: &PersistentVolumeClaim) -> Option<&str> {
    let field = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotated(&claim.metadata).or(field)
}

/// Returns the class of a volume; "" for none.
pub fn class_of_volume(volume: &PersistentVolume) -> &str {
    let field = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotated(&volume.metadata).or(field).unwrap_or_default()
}

fn annotated(metadata: &ObjectMeta) -> Option<&str> {
    Some(metadata.annotations.as_ref()?.get(CLASS_ANNOTATION)?.as_str())
}

fn name<'a>(offer: &Offer<'a>) -> &'a str {
    offer.volume.metadata.name.as_deref().unwrap_or_default()
}

/// Returns the claim that a volume is reserved for by its manifest (claimRef).
fn reservation(offer: &Offer<'_>) -> Option<ClaimName> {
    let claim = offer.volume.spec.as_ref()?.claim_ref.as_ref()?;
    let namespace = claim.namespace.clone().filter(|namespace| !namespace.is_empty());
    Some((namespace.unwrap_or_else(|| "default".to_owned()), claim.name.clone()?))
}

fn claim_name(claim: &PersistentVolumeClaim) -> ClaimName {
    let ObjectMeta { namespace, name, .. } = &claim.metadata;
    (namespace.clone().unwrap_or_else(|| "default".to_owned()), name.clone().unwrap_or_default())
}

fn is_reserved_for(offer: &Offer<'_>, claim: &PersistentVolumeClaim) -> bool {
    offer.taken.is_none() && reservation(offer).as_ref() == Some(&claim_name(claim))
}

/// A volume that is reserved for a claim is bound to it whatever class and labels it has.
fn reserved_fits(claim: &PersistentVolumeClaim, offer: &Offer<'_>) -> bool {
    matches!(mismatch(claim, offer), None | Some(Mismatch::Class(_) | Mismatch::AccessModes(_)))
}

fn mismatch(claim: &PersistentVolumeClaim, offer: &Offer<'_>) -> Option<Mismatch> {
    let own = claim_name(claim);
    if let Some(other) = offer.taken {
        let reason = if offer.is_released { Mismatch::Released } else { Mismatch::Taken };
        return Some(reason(other.clone()));
    }
    if let Some(other) = reservation(offer).filter(|other| *other != own) {
        return Some(Mismatch::Reserved(other));
    }
    let (wanted, has) = (claim.spec.as_ref(), offer.volume.spec.as_ref());
    let requests = wanted.and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let asked = requests.and_then(|requests| requests.get("storage"));
    if let Some(asked) = asked.filter(|asked| Quantity::from(*asked).value() > capacity(has)) {
        let size = has.and_then(|spec| spec.capacity.as_ref()?.get("storage"));
        let has = size.map_or_else(|| "0".to_owned(), |size| size.0.clone());
        return Some(Mismatch::Size { has, wanted: asked.0.clone() });
    }
    let mode = |mode: Option<&String>| mode.map_or("Filesystem", String::as_str).to_owned();
    let volume_mode = mode(has.and_then(|spec| spec.volume_mode.as_ref()));
    if mode(wanted.and_then(|spec| spec.volume_mode.as_ref())) != volume_mode {
        return Some(Mismatch::Mode(volume_mode));
    }
    let class = class_of_volume(offer.volume);
    if class != class_of_claim(claim).unwrap_or_default() {
        return Some(Mismatch::Class(class.to_owned()));
    }
    let modes = has.and_then(|spec| spec.access_modes.clone()).unwrap_or_default();
    let asked = wanted.and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default();
    (!asked.iter().all(|mode| modes.contains(mode))).then_some(Mismatch::AccessModes(modes))
}

/// Returns spec.capacity.storage in bytes.
fn capacity(spec: Option<&PersistentVolumeSpec>) -> i64 {
    let storage = spec.and_then(|spec| spec.capacity.as_ref()?.get("storage"));
    storage.map_or(0, |size| Quantity::from(size).value())
}

/// Returns whether a selector matches the labels of an object. An empty selector matches everything.
fn selects(selector: &LabelSelector, metadata: &ObjectMeta) -> bool {
    let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key));
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| label(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|one| {
            let is_listed =
                label(&one.key).is_some_and(|value| one.values.iter().flatten().any(|known| known == value));
            match one.operator.as_str() {
                "In" => is_listed,
                "NotIn" => !is_listed,
                "Exists" => label(&one.key).is_some(),
                "DoesNotExist" => label(&one.key).is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn volume(name: &str, size: &str, more: Value) -> PersistentVolume {
        let mut spec = json!({"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let metadata = json!({"name": name, "labels": {"name": name}});
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec,
        }))
        .unwrap()
    }

    fn claim(more: Value) -> PersistentVolumeClaim {
        let mut spec =
            json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": "default"}, "spec": spec,
        }))
        .unwrap()
    }

    fn of(volumes: &[PersistentVolume], spec: Value) -> String {
        let offers: Vec<_> =
            volumes.iter().map(|volume| Offer { volume, taken: None, is_released: false }).collect();
        match bind(&claim(spec), &offers) {
            Ok(Binding::Volume(name)) => name,
            Ok(Binding::Folder) => "folder".to_owned(),
            Err(error) => format!("{}: {error}", error.path()),
        }
    }

    #[test]
    fn a_claim_takes_the_smallest_volume_that_fits() {
        let volumes = vec![
            volume("big", "10Gi", json!({})),
            volume("small", "100Mi", json!({})),
            volume("fits", "2Gi", json!({})),
            volume("classy", "1Gi", json!({"storageClassName": "fast"})),
            volume("many", "1Gi", json!({"accessModes": ["ReadWriteMany"]})),
            volume("raw", "1Gi", json!({"volumeMode": "Block"})),
        ];
        assert_eq!(of(&volumes, json!({})), "fits");
        assert_eq!(of(&volumes, json!({"storageClassName": ""})), "fits");
        assert_eq!(of(&volumes, json!({"storageClassName": "fast"})), "classy");
        assert_eq!(of(&volumes, json!({"accessModes": ["ReadWriteMany"]})), "many");
        assert_eq!(of(&volumes, json!({"volumeMode": "Block"})), "raw");
        assert_eq!(of(&volumes, json!({"resources": {"requests": {"storage": "3Gi"}}})), "big");
    }

    #[test]
    fn a_volume_with_exactly_the_access_modes_is_taken_before_one_with_more() {
        let more = json!({"accessModes": ["ReadWriteOnce", "ReadOnlyMany"]});
        let volumes = [volume("more", "1Gi", more), volume("exact", "5Gi", json!({}))];
        assert_eq!(of(&volumes, json!({})), "exact");
        assert_eq!(of(&volumes, json!({"accessModes": ["ReadWriteOnce", "ReadOnlyMany"]})), "more");
    }

    #[test]
    fn a_claim_that_names_its_volume_gets_that_or_an_error() {
        let volumes = [
            volume("one", "1Gi", json!({})),
            volume("other", "5Gi", json!({"storageClassName": "fast"})),
            volume("small", "1Mi", json!({})),
        ];
        assert_eq!(of(&volumes, json!({"volumeName": "one"})), "one");
        assert_eq!(
            of(&volumes, json!({"volumeName": "gone"})),
            "spec.volumeName: there is no PersistentVolume \"gone\""
        );
        assert_eq!(
            of(&volumes, json!({"volumeName": "other"})),
            "spec.volumeName: PersistentVolume \"other\" cannot be bound: its storageClassName is fast"
        );
        assert_eq!(
            of(&volumes, json!({"volumeName": "small"})),
            "spec.volumeName: PersistentVolume \"small\" cannot be bound: its size is 1Mi, less than 1Gi"
        );
        assert_eq!(of(&volumes, json!({"volumeName": "other", "storageClassName": "fast"})), "other");
    }

    #[test]
    fn a_selector_chooses_by_labels_and_nothing_is_made_for_it() {
        let volumes = [volume("a", "1Gi", json!({})), volume("b", "1Gi", json!({}))];
        assert_eq!(of(&volumes, json!({"selector": {"matchLabels": {"name": "b"}}})), "b");
        let not_a = json!({"matchExpressions": [{"key": "name", "operator": "NotIn", "values": ["a"]}]});
        assert_eq!(of(&volumes, json!({"selector": not_a})), "b");
        assert_eq!(
            of(&volumes, json!({"selector": {"matchLabels": {"name": "c"}}})),
            "spec.selector: no PersistentVolume that it selects fits (a: it does not have the labels; b: it does not have \
             the labels)"
        );
    }

    #[test]
    fn a_folder_is_made_only_where_a_cluster_with_a_default_class_would_provision() {
        let manual = [volume("m", "1Mi", json!({"storageClassName": "manual"}))];
        assert_eq!(of(&[], json!({})), "folder");
        assert_eq!(of(&manual, json!({})), "folder");
        assert_eq!(of(&[], json!({"storageClassName": "standard"})), "folder");
        assert_eq!(
            of(&[], json!({"storageClassName": ""})),
            "spec.storageClassName: no PersistentVolume without a class fits, and \"\" means that none is made: there is \
             none"
        );
        assert_eq!(
            of(&manual, json!({"storageClassName": "manual"})),
            "spec.storageClassName: no PersistentVolume of this class fits (m: its size is 1Mi, less than 1Gi)"
        );
    }

    #[test]
    fn a_reserved_volume_is_for_its_claim_alone() {
        let of_data = json!({"claimRef": {"name": "data", "namespace": "default"}, "storageClassName": "x"});
        let of_other = json!({"claimRef": {"name": "data", "namespace": "prod"}});
        let volumes = [volume("other", "1Gi", of_other), volume("own", "5Gi", of_data)];
        assert_eq!(of(&volumes, json!({})), "own");
        assert_eq!(of(&volumes[..1], json!({})), "folder");
        assert_eq!(
            of(&volumes, json!({"volumeName": "other"})),
            "spec.volumeName: PersistentVolume \"other\" cannot be bound: it is reserved for claim prod/data"
        );
    }

    #[test]
    fn a_volume_that_another_claim_has_or_had_is_not_taken() {
        let volumes = [volume("one", "1Gi", json!({}))];
        let other = ("default".to_owned(), "other".to_owned());
        let offer = |is_released| [Offer { volume: &volumes[0], taken: Some(&other), is_released }];
        let offers = offer(false);
        assert_eq!(bind(&claim(json!({})), &offers), Ok(Binding::Folder));
        let error = bind(&claim(json!({"storageClassName": ""})), &offers).unwrap_err();
        assert!(error.to_string().ends_with("(one: claim default/other has it)"), "{error}");
        let error = bind(&claim(json!({"volumeName": "one"})), &offer(true)).unwrap_err();
        assert!(error.to_string().contains("default/other, which was removed"), "{error}");
    }

    #[test]
    fn a_claim_with_a_source_of_data_gets_a_folder() {
        let volumes = [volume("one", "1Gi", json!({}))];
        let source = json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "old"}});
        assert_eq!(of(&volumes, source), "folder");
    }
}
