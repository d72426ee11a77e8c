//! Checks claims, PersistentVolumes and the volumes of pods before anything is changed: whatever would leave a claim
//! Pending in a cluster, or fail when a pod is created, is an error with its line.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PodSpec};
use serde_json::Value;

use super::Error;
use crate::kind::{Kind, ObjectRef};
use crate::manifest::{Diagnostic, Document, Position, Quantity, Severity};
use crate::plan::binding::{Binding, ClaimName};
use crate::plan::volumes::{claim_of_ephemeral, ephemeral_claim};
use crate::plan::{ObjectPlan, Plan, WorkloadPlan};
use crate::record::WorkloadRecord;
use crate::store::{Layout, Objects, damage};
use crate::volume::claims::{self, Claim};
use crate::volume::{block, nfs, persistent};

/// The sources of a PersistentVolume that are played.
const SOURCES: [&str; 3] = ["hostPath", "local", "nfs"];

/// Checks everything that a plan stores.
///
/// # Errors
/// `Invalid`, at the place in the manifest; `Store` if the records cannot be read.
pub fn check(layout: &Layout, documents: &[Document], plan: &Plan) -> Result<(), Error> {
    // What a crash has left would be in the way.
    if let Err(error) = persistent::sweep(layout) {
        tracing::warn!("{error}");
    }
    let mut check =
        Check { layout, documents, added: BTreeMap::new(), claims: BTreeMap::new(), bound: BTreeMap::new() };
    for object in plan.objects.iter().filter(|object| object.id.kind == Kind::PersistentVolume) {
        check.volume(object)?;
    }
    for object in plan.objects.iter().filter(|object| object.id.kind == Kind::PersistentVolumeClaim) {
        if let Ok(claim) = serde_json::from_value(object.object.clone()) {
            let key = (object.id.namespace.clone(), object.id.name.clone());
            check.claims.insert(key, claim);
        }
    }
    for object in plan.objects.iter().filter(|object| object.id.kind == Kind::PersistentVolumeClaim) {
        check.claim(&object.id)?;
    }
    for workload in &plan.workloads {
        check.workload(workload)?;
    }
    Ok(())
}

struct Check<'a> {
    layout: &'a Layout,
    documents: &'a [Document],
    /// The PersistentVolumes of the plan, by name.
    added: BTreeMap<String, PersistentVolume>,
    /// The claims of the plan.
    claims: BTreeMap<ClaimName, PersistentVolumeClaim>,
    /// The volumes that claims of the plan will be bound to.
    bound: BTreeMap<String, ClaimName>,
}

impl Check<'_> {
    fn invalid(&self, id: &ObjectRef, path: &str, message: String, hint: Option<String>) -> Error {
        let is_meant = |document: &&Document| {
            let metadata = document.object.metadata();
            document.object.kind() == id.kind
                && metadata.name.as_deref() == Some(&id.name)
                && metadata.namespace.as_deref().unwrap_or_default() == id.namespace
        };
        let document = self.documents.iter().find(is_meant);
        Error::Invalid(Box::new(Diagnostic {
            severity: Severity::Error,
            source: document.map(|document| document.source.clone()).unwrap_or_default(),
            position: document.map_or_else(Position::default, |document| document.position_of(path)),
            path: path.to_owned(),
            message,
            hint,
        }))
    }

    /// Turns an error of claims into one of a manifest.
    fn unbound(&self, id: &ObjectRef, prefix: &str, error: claims::Error) -> Error {
        match error {
            claims::Error::Unbound { source, .. } => {
                let path = format!("{prefix}{}", source.path());
                let hint = "in a cluster the claim would stay Pending: play a PersistentVolume that fits, or leave \
                            storageClassName, volumeName and selector out for a folder of its own";
                self.invalid(id, &path, source.to_string(), Some(hint.to_owned()))
            }
            claims::Error::Store(error) => Error::Store(error),
            error => Error::Failed { object: id.to_string(), message: error.to_string() },
        }
    }

    /// Refuses a change of the source of a volume, as an API server does.
    fn volume(&mut self, object: &ObjectPlan) -> Result<(), Error> {
        let id = &object.id;
        let before = damage::or_none(Objects::get(self.layout, id));
        let part = |object: &Value, field: &str| object.get("spec").and_then(|spec| spec.get(field)).cloned();
        let is_changed = |field: &&&str| {
            before.as_ref().is_some_and(|before| part(before, field) != part(&object.object, field))
        };
        if let Some(field) = SOURCES.iter().find(is_changed) {
            let message = "the source of a PersistentVolume cannot be changed".to_owned();
            let hint = format!("remove the recorded one first: kube down {id}");
            return Err(self.invalid(id, &format!("spec.{field}"), message, Some(hint)));
        }
        if let Ok(volume) = serde_json::from_value(object.object.clone()) {
            self.added.insert(id.name.clone(), volume);
        }
        Ok(())
    }

    fn claim(&mut self, id: &ObjectRef) -> Result<(), Error> {
        let key = (id.namespace.clone(), id.name.clone());
        let Some(claim) = self.claims.get(&key).cloned() else { return Ok(()) };
        let spec = claim.spec.clone().unwrap_or_default();
        let is_block = spec.volume_mode.as_deref() == Some("Block");
        let remove = Some(format!("remove the recorded one first, with its data: kube down {id}"));
        if let Some(existing) = claims::get(self.layout, &id.namespace, &id.name) {
            if let Some(owner) = &existing.owner {
                let message = format!("is the claim of an ephemeral volume of pod/{}", owner.name);
                let hint = Some("give the claim another name".to_owned());
                return Err(self.invalid(id, "metadata.name", message, hint));
            }
            if existing.block != is_block {
                let message = "the volumeMode of a claim cannot be changed".to_owned();
                return Err(self.invalid(id, "spec.volumeMode", message, remove));
            }
            let wanted = spec.volume_name.as_deref().filter(|name| !name.is_empty());
            if wanted.is_some() && wanted != existing.volume.as_deref() {
                let has = existing.volume.map_or("a folder of its own".to_owned(), |volume| {
                    format!("PersistentVolume {volume:?}")
                });
                let message = format!("the claim exists and has {has}");
                return Err(self.invalid(id, "spec.volumeName", message, remove));
            }
            return Ok(());
        }
        match persistent::bind(self.layout, &claim, &self.added, &self.bound) {
            Ok(Binding::Volume(volume)) => {
                self.bound.insert(volume, key);
            }
            Ok(Binding::Folder) => {}
            Err(error) => return Err(self.unbound(id, "", error)),
        }
        self.source_of(id, &claim, is_block)
    }

    /// Checks the claim that a new claim is a copy of.
    fn source_of(&self, id: &ObjectRef, claim: &PersistentVolumeClaim, is_block: bool) -> Result<(), Error> {
        let Some(name) = claims::source_of(claim) else { return Ok(()) };
        let given = claim.spec.as_ref().is_some_and(|spec| spec.data_source_ref.is_some());
        let field = if given { "spec.dataSourceRef" } else { "spec.dataSource" };
        let Some(source) = self.known(&id.namespace, name) else {
            let message = format!("there is no PersistentVolumeClaim {name:?} to copy");
            let hint = Some(format!("`kube volume ls` lists the claims of namespace {}", id.namespace));
            return Err(self.invalid(id, &format!("{field}.name"), message, hint));
        };
        if source.block != is_block {
            let message = format!("{name:?} has another volumeMode");
            return Err(self.invalid(id, &format!("{field}.name"), message, None));
        }
        let size = |size: Option<&str>| size.and_then(Quantity::parse).map_or(0, Quantity::value);
        let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
        let wanted = requests.and_then(|requests| requests.get("storage")).map(|size| size.0.as_str());
        if size(wanted) < size(source.storage.as_deref()) {
            let has = source.storage.unwrap_or_default();
            let message = format!("must not be less than that of the claim to copy, {has}");
            return Err(self.invalid(id, "spec.resources.requests[storage]", message, None));
        }
        Ok(())
    }

    /// Returns what is known of a claim that exists or is in the plan.
    fn known(&self, namespace: &str, name: &str) -> Option<Known> {
        let key = (namespace.to_owned(), name.to_owned());
        let of_claim =
            |claim: Claim| Known { block: claim.block, storage: claim.storage, volume: claim.volume };
        let existing = claims::get(self.layout, namespace, name).map(of_claim);
        existing.or_else(|| {
            let spec = self.claims.get(&key)?.spec.as_ref()?;
            let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
            let bound = self.bound.iter().find(|(_, claim)| **claim == key);
            Some(Known {
                block: spec.volume_mode.as_deref() == Some("Block"),
                storage: requests.and_then(|requests| requests.get("storage")).map(|size| size.0.clone()),
                volume: bound.map(|(volume, _)| volume.clone()),
            })
        })
    }

    fn workload(&mut self, workload: &WorkloadPlan) -> Result<(), Error> {
        let pod = &workload.template.pod;
        let Some(spec) = &pod.spec else { return Ok(()) };
        let id = ObjectRef::from(&workload.id);
        let prefix = if workload.template.suffixed { "spec.template.spec" } else { "spec" };
        let namespace = &workload.id.namespace;
        for (index, volume) in spec.volumes.iter().flatten().enumerate() {
            let path = format!("{prefix}.volumes[{index}]");
            let used = uses(prefix, spec, &volume.name);
            if used.is_empty() {
                continue;
            }
            if volume.nfs.is_some() {
                self.needs_nfs(&id, &format!("{path}.nfs"), spec)?;
            }
            let known = if let Some(source) = &volume.persistent_volume_claim {
                self.known(namespace, &source.claim_name)
            } else if volume.ephemeral.is_some() {
                let path = format!("{path}.ephemeral");
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                if !workload.template.suffixed {
                    self.is_free(&id, &path, name, &ephemeral_claim(name, &volume.name))?;
                }
                // A workload that exists has its claims already, and may replace them.
                let exists = damage::or_none(WorkloadRecord::load(self.layout, &workload.id)).is_some();
                let claim = claim_of_ephemeral(namespace, name, volume);
                claim.map(|claim| self.ephemeral(&id, &path, &claim, exists)).transpose()?
            } else {
                continue;
            };
            let known = known.unwrap_or_default();
            if let Some(name) = &known.volume {
                let source = self.persistent_volume(name);
                if source.and_then(|volume| volume.spec).is_some_and(|spec| spec.nfs.is_some()) {
                    self.needs_nfs(&id, &path, spec)?;
                }
            }
            for (at, is_device) in used {
                if is_device == known.block {
                    continue;
                }
                // The kubelet's words.
                let (mode, place) =
                    if known.block { ("Block", "volumeMounts") } else { ("Filesystem", "volumeDevices") };
                let message =
                    format!("volume {} has volumeMode {mode}, but is specified in {place}", volume.name);
                return Err(self.invalid(&id, &at, message, None));
            }
            if known.block
                && known.volume.is_none()
                && let Err(error) = block::check()
            {
                return Err(self.invalid(&id, &path, error.to_string(), None));
            }
        }
        Ok(())
    }

    fn needs_nfs(&self, id: &ObjectRef, path: &str, spec: &PodSpec) -> Result<(), Error> {
        if spec.host_users == Some(false) {
            let message = "is nfs, which cannot be given together with hostUsers: false: the kernel cannot map the \
                           owners of files on nfs";
            return Err(self.invalid(id, path, message.to_owned(), None));
        }
        if nfs::is_available() {
            return Ok(());
        }
        Err(self.invalid(id, path, nfs::Error::NoKernel.to_string(), None))
    }

    /// Checks that no claim of that name exists which a pod of that name does not own.
    fn is_free(&self, id: &ObjectRef, path: &str, pod: &str, claim: &str) -> Result<(), Error> {
        let existing = claims::get(self.layout, &id.namespace, claim);
        if existing.is_none_or(|known| known.owner.is_some_and(|owner| owner.name == pod)) {
            return Ok(());
        }
        let (namespace, name, pod) = (id.namespace.clone(), claim.to_owned(), pod.to_owned());
        let message = claims::Error::NotOwned { namespace, name, pod }.to_string();
        let hint = format!("give the volume another name, or remove the claim: kube down pvc/{claim}");
        Err(self.invalid(id, path, message, Some(hint)))
    }

    /// Checks the template of an ephemeral volume.
    fn ephemeral(
        &self,
        id: &ObjectRef,
        path: &str,
        claim: &PersistentVolumeClaim,
        exists: bool,
    ) -> Result<Known, Error> {
        let spec = claim.spec.clone().unwrap_or_default();
        let block = spec.volume_mode.as_deref() == Some("Block");
        let prefix = format!("{path}.volumeClaimTemplate.");
        let volume = match persistent::bind(self.layout, claim, &self.added, &self.bound) {
            Ok(Binding::Volume(volume)) => Some(volume),
            Ok(Binding::Folder) => None,
            Err(claims::Error::Unbound { .. }) if exists => None,
            Err(error) => return Err(self.unbound(id, &prefix, error)),
        };
        if let Some(name) = claims::source_of(claim)
            && self.known(&id.namespace, name).is_none()
        {
            let message = format!("there is no PersistentVolumeClaim {name:?} to copy");
            return Err(self.invalid(id, &format!("{prefix}spec"), message, None));
        }
        Ok(Known { block, storage: None, volume })
    }

    fn persistent_volume(&self, name: &str) -> Option<PersistentVolume> {
        let added = self.added.get(name).cloned();
        added.or_else(|| Objects::persistent_volumes(self.layout).ok()?.remove(name))
    }
}

/// What is known of a claim.
#[derive(Default)]
struct Known {
    block: bool,
    storage: Option<String>,
    volume: Option<String>,
}

/// Returns the places at which containers use a volume, each with whether it is a device there.
fn uses(prefix: &str, spec: &PodSpec, volume: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let init = spec.init_containers.as_deref().unwrap_or_default();
    for (list, containers) in [("initContainers", init), ("containers", &spec.containers)] {
        for (index, container) in containers.iter().enumerate() {
            let path = format!("{prefix}.{list}[{index}]");
            let mounts = container.volume_mounts.iter().flatten().enumerate();
            let mounts = mounts.filter(|(_, mount)| mount.name == volume);
            found.extend(mounts.map(|(n, _)| (format!("{path}.volumeMounts[{n}].name"), false)));
            let devices = container.volume_devices.iter().flatten().enumerate();
            let devices = devices.filter(|(_, device)| device.name == volume);
            found.extend(devices.map(|(n, _)| (format!("{path}.volumeDevices[{n}].name"), true)));
        }
    }
    found
}
