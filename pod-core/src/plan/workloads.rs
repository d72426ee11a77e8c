//! Converts documents into the plan of what should exist.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::networks::{NetworkChoice, parse_networks};
use super::ports::{Declared, conflict, declared, describe};
use super::{
    MAX_PODS, MAX_RECORDED, MAX_REPLICAS, Node, ObjectPlan, Plan, PlanOptions, PodNetwork, PodTemplate,
    PortMapping, RuntimeClasses, WorkloadPlan, bounds, defaults, deployment, hash, host_path, hosts, volumes,
};
use crate::kind::{Kind, ObjectRef};
use crate::manifest::{Diagnostic, Document, Object, Position, Severity};
use crate::store::WorkloadId;

/// The longest name of a claim: that of a DNS subdomain.
const MAX_NAME: usize = 253;

/// Converts documents into a plan, or returns all errors at once.
///
/// # Errors
/// If there is a diagnostic of severity error; all diagnostics are returned then. Without an error, the warnings are
/// returned together with the plan.
pub fn plan(
    documents: &[Document],
    options: &PlanOptions,
) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut classes = options.runtime_classes.clone();
    for document in documents {
        if let (Object::RuntimeClass(class), Some(name)) =
            (&document.object, &document.object.metadata().name)
        {
            classes.played.insert(name.clone(), (&**class).into());
        }
    }
    let mut planner = Planner { options, classes, diagnostics: Vec::new(), choices: Vec::new() };
    match parse_networks(&options.networks) {
        Ok(choices) => planner.choices = choices,
        Err(error) => planner.diagnostics.push(flag_error("--network", error.to_string())),
    }

    let mut result = Plan { pull: options.pull, ..Plan::default() };
    let mut drafts = Vec::new();
    for document in documents {
        match &document.object {
            Object::Pod(pod) => drafts.push(planner.pod(document, pod)),
            Object::Deployment(deployment) => {
                let (namespace, name) = namespace_and_name(&deployment.metadata);
                let pod =
                    deployment::template(deployment, &namespace, |spec| planner.apply_flags(document, spec));
                let replicas = deployment.spec.replicas.unwrap_or(1);
                let id = WorkloadId::new(Kind::Deployment, &namespace, &name);
                drafts.push(Draft {
                    document,
                    id,
                    pod,
                    spec_path: "spec.template.spec",
                    // Validation has refused negative numbers.
                    replicas: u32::try_from(replicas).unwrap_or(0),
                    suffixed: true,
                    ports: Vec::new(),
                });
            }
            Object::ConfigMap(map) => planner.object(&mut result, document, serde_json::to_value(map)),
            Object::Secret(secret) => {
                let mut secret = secret.clone();
                defaults::secret(&mut secret);
                planner.object(&mut result, document, serde_json::to_value(secret));
            }
            Object::PersistentVolumeClaim(claim) => {
                planner.object(&mut result, document, serde_json::to_value(claim));
            }
            Object::PersistentVolume(volume) => {
                let mut volume = volume.clone();
                let source = volume.spec.as_mut().and_then(|spec| spec.host_path.as_mut());
                if let Some(source) = source {
                    host_path::make_one_absolute(source, &document.dir);
                }
                planner.object(&mut result, document, serde_json::to_value(volume));
            }
            Object::Service(service) => {
                let mut service = (**service).clone();
                service.metadata = own_metadata(&service.metadata);
                service.status = None;
                planner.object(&mut result, document, serde_json::to_value(service));
            }
            Object::Endpoints(endpoints) => {
                let mut endpoints = (**endpoints).clone();
                endpoints.metadata = own_metadata(&endpoints.metadata);
                planner.object(&mut result, document, serde_json::to_value(endpoints));
            }
            Object::EndpointSlice(slice) => {
                let mut slice = (**slice).clone();
                slice.metadata = own_metadata(&slice.metadata);
                planner.object(&mut result, document, serde_json::to_value(slice));
            }
            Object::Ingress(ingress) => {
                let mut ingress = (**ingress).clone();
                ingress.metadata = own_metadata(&ingress.metadata);
                ingress.status = None;
                planner.object(&mut result, document, serde_json::to_value(ingress));
            }
            Object::IngressClass(class) => {
                let mut class = (**class).clone();
                class.metadata = own_metadata(&class.metadata);
                planner.object(&mut result, document, serde_json::to_value(class));
            }
            Object::RuntimeClass(class) => {
                let mut class = (**class).clone();
                class.metadata = own_metadata(&class.metadata);
                planner.object(&mut result, document, serde_json::to_value(class));
            }
        }
    }

    if !planner.bounds(&drafts) {
        return Err(planner.diagnostics);
    }
    planner.ephemeral_claims(&drafts, &result);
    planner.ports(&mut drafts);
    planner.addresses(&drafts);
    for draft in drafts {
        if let Some(workload) = planner.finish(draft) {
            result.workloads.push(workload);
        }
    }
    let diagnostics = planner.diagnostics;
    if diagnostics.iter().any(|d| d.severity == Severity::Error) {
        Err(diagnostics)
    } else {
        Ok((result, diagnostics))
    }
}

/// A workload whose published ports are not determined yet.
struct Draft<'a> {
    document: &'a Document,
    id: WorkloadId,
    pod: Pod,
    /// The path of the pod's spec in the document.
    spec_path: &'static str,
    replicas: u32,
    suffixed: bool,
    /// The host ports, each with the path of the field that requests it ("" for a flag).
    ports: Vec<(PortMapping, String)>,
}

impl Draft<'_> {
    fn host_network(&self) -> bool {
        self.pod.spec.as_ref().and_then(|s| s.host_network) == Some(true)
    }

    fn declared(&self) -> Vec<Declared> {
        self.pod.spec.as_ref().map(declared).unwrap_or_default()
    }
}

struct Planner<'a> {
    options: &'a PlanOptions,
    classes: RuntimeClasses,
    diagnostics: Vec<Diagnostic>,
    choices: Vec<NetworkChoice>,
}

fn flag_error(flag: &str, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        source: flag.to_owned(),
        position: Position::default(),
        path: String::new(),
        message,
        hint: None,
    }
}

/// Returns the metadata without the fields that a cluster wrote, if the object was exported from one, and without the
/// annotation that `kube inspect` adds.
fn own_metadata(metadata: &ObjectMeta) -> ObjectMeta {
    let ObjectMeta { name, namespace, labels, mut annotations, .. } = metadata.clone();
    let has_usage = annotations.as_mut().is_some_and(|given| given.remove(super::USAGE).is_some());
    let annotations = annotations.filter(|given| !has_usage || !given.is_empty());
    ObjectMeta { name, namespace, labels, annotations, ..ObjectMeta::default() }
}

/// Returns the namespace, which [`crate::manifest::load`] has filled in, and the name.
fn namespace_and_name(metadata: &ObjectMeta) -> (String, String) {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

impl Planner<'_> {
    fn error(&mut self, document: &Document, path: &str, message: String, hint: Option<String>) {
        self.diagnostics.push(Diagnostic {
            severity: Severity::Error,
            source: document.source.clone(),
            position: document.position_of(path),
            path: path.to_owned(),
            message,
            hint,
        });
    }

    fn object(&mut self, result: &mut Plan, document: &Document, object: Result<Value, serde_json::Error>) {
        let (namespace, name) = namespace_and_name(document.object.metadata());
        match object {
            Ok(object) => {
                let id = ObjectRef::new(document.object.kind(), &namespace, &name);
                result.objects.push(ObjectPlan { id, object, given: None });
            }
            Err(error) => self.error(document, "", format!("cannot be recorded: {error}"), None),
        }
    }

    /// Checks the limits of the number of pods and the length of text. Adds an error for each violation, and returns
    /// whether there is none.
    fn bounds(&mut self, drafts: &[Draft<'_>]) -> bool {
        let before = self.diagnostics.len();
        let mut pods = 0;
        for draft in drafts {
            let replicas = draft.replicas;
            let copies = usize::try_from(replicas).unwrap_or(usize::MAX);
            let length = || serde_json::to_vec(&draft.pod).map_or(0, |text| text.len());
            pods += u64::from(replicas);
            let problem = if replicas > MAX_REPLICAS {
                format!("must not be more than {MAX_REPLICAS}, is {replicas}")
            } else if pods > MAX_PODS {
                format!("these manifests have more than {MAX_PODS} pods together, {replicas} of them here")
            } else if replicas > 1 && length().saturating_mul(copies) > MAX_RECORDED {
                let most = MAX_RECORDED >> 20;
                format!(
                    "is {replicas}, but the record of that many pods of this manifest would be longer than {most} MiB"
                )
            } else {
                let spec = draft.pod.spec.iter();
                for (path, message) in spec.flat_map(|spec| bounds::strings(draft.spec_path, spec)) {
                    let hint = "put long text into a file and mount it from a ConfigMap";
                    self.error(draft.document, &path, message, Some(hint.to_owned()));
                }
                continue;
            };
            let field = if draft.suffixed { "spec.replicas" } else { "kind" };
            self.error(draft.document, field, problem, None);
            if pods > MAX_PODS {
                break;
            }
        }
        self.diagnostics.iter().skip(before).all(|diagnostic| diagnostic.severity != Severity::Error)
    }

    /// Applies the manifest's folder and the flags to a pod's spec. This must happen before defaults are filled in and
    /// hashes are computed.
    fn apply_flags(&self, document: &Document, spec: &mut PodSpec) {
        host_path::make_absolute(spec, &document.dir);
        if self.choices.contains(&NetworkChoice::Host) {
            spec.host_network = Some(true);
        }
    }

    fn pod<'d>(&self, document: &'d Document, pod: &Pod) -> Draft<'d> {
        // The status, too, was written by a cluster.
        let metadata = own_metadata(&pod.metadata);
        let (namespace, name) = namespace_and_name(&metadata);
        let mut pod = Pod { metadata, spec: pod.spec.clone(), status: None };
        if let Some(spec) = &mut pod.spec {
            self.apply_flags(document, spec);
            defaults::pod_spec(spec);
        }
        Draft {
            document,
            id: WorkloadId::new(Kind::Pod, &namespace, &name),
            pod,
            spec_path: "spec",
            replicas: 1,
            suffixed: false,
            ports: Vec::new(),
        }
    }

    /// Adds an error for each ephemeral volume whose claim would have a name that is too long, or that these manifests
    /// give to another claim. The names of a Deployment's pods are not known yet.
    fn ephemeral_claims(&mut self, drafts: &[Draft<'_>], plan: &Plan) {
        for draft in drafts.iter().filter(|draft| !draft.suffixed) {
            let volumes = draft.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()).enumerate();
            for (index, volume) in volumes.filter(|(_, volume)| volume.ephemeral.is_some()) {
                let name = volumes::ephemeral_claim(&draft.id.name, &volume.name);
                let id = ObjectRef::new(Kind::PersistentVolumeClaim, &draft.id.namespace, &name);
                let path = format!("{}.volumes[{index}].ephemeral", draft.spec_path);
                if name.len() > MAX_NAME {
                    let message =
                        format!("its claim {name} would have a name of more than {MAX_NAME} characters");
                    self.error(draft.document, &path, message, None);
                } else if plan.objects.iter().any(|object| object.id == id) {
                    let message = format!(
                        "its claim is named {name}, and these manifests have another claim of that name"
                    );
                    let hint = Some("give the claim or the volume another name".to_owned());
                    self.error(draft.document, &path, message, hint);
                }
            }
        }
    }

    /// Determines the host ports that each workload requests, and checks that they do not conflict.
    fn ports(&mut self, drafts: &mut [Draft<'_>]) {
        for draft in drafts.iter_mut() {
            for port in draft.declared() {
                let all = self.options.publish_all.then_some(port.container_port);
                if let Some(host_port) = port.host_port.or(all) {
                    let mapping = PortMapping {
                        host_ip: port.host_ip,
                        host_port,
                        container_port: port.container_port,
                        protocol: port.protocol,
                    };
                    let path = format!("{}.{}.hostPort", draft.spec_path, port.path);
                    draft.ports.push((mapping, path));
                }
            }
        }
        if !self.options.publish.is_empty() {
            let mut declaring: HashMap<_, Vec<usize>> = HashMap::new();
            for (index, draft) in drafts.iter().enumerate() {
                for port in draft.declared() {
                    let drafts = declaring.entry((port.container_port, port.protocol)).or_default();
                    if drafts.last() != Some(&index) {
                        drafts.push(index);
                    }
                }
            }
            for mapping in &self.options.publish {
                let port = (mapping.container_port, mapping.protocol.clone());
                self.publish(drafts, mapping, declaring.get(&port).map_or(&[], Vec::as_slice));
            }
        }
        self.conflicts(drafts);
    }

    /// Adds an error for each host port that more than one pod requests.
    fn conflicts(&mut self, drafts: &[Draft<'_>]) {
        // Indexed by port and protocol, because there may be very many ports.
        let mut taken: HashMap<_, Vec<(&PortMapping, &Draft<'_>, &str)>> = HashMap::new();
        let mut problems = Vec::new();
        for draft in drafts {
            for (mapping, path) in &draft.ports {
                if draft.replicas > 1 {
                    problems.push((
                        draft,
                        path.clone(),
                        format!(
                            "only one pod can have host port {}, but replicas is {}",
                            describe(mapping),
                            draft.replicas
                        ),
                        "set replicas to 1, or remove the host port".to_owned(),
                    ));
                }
                // Init containers have ended when the app containers run, so both may request the same port.
                let run_at_different_times = |other: &Draft<'_>, other_path: &str| {
                    std::ptr::eq(other, draft)
                        && path.contains("initContainers[") != other_path.contains("initContainers[")
                };
                let same = taken.entry((mapping.host_port, mapping.protocol.as_str())).or_default();
                let conflicting = same
                    .iter()
                    .find(|(m, other, p)| conflict(m, mapping) && !run_at_different_times(other, p));
                if let Some((_, other, other_path)) = conflicting {
                    let position = other.document.position_of(other_path);
                    problems.push((
                        draft,
                        path.clone(),
                        format!(
                            "host port {} is already requested by {} ({}:{}:{})",
                            describe(mapping),
                            other.id,
                            other.document.source,
                            position.line,
                            position.column
                        ),
                        "give one of them another hostPort".to_owned(),
                    ));
                }
                same.push((mapping, draft, path));
            }
        }
        for (draft, path, message, hint) in problems {
            self.error(draft.document, &path, message, Some(hint));
        }
    }

    /// Applies a `--publish` to the pod that declares the container port, or to the only pod if there is just one. The
    /// flag replaces the host ports that the manifest gives for that port. `declaring` are the indexes of the pods that
    /// declare the port.
    fn publish(&mut self, drafts: &mut [Draft<'_>], mapping: &PortMapping, declaring: &[usize]) {
        let port = format!("{}/{}", mapping.container_port, mapping.protocol);
        let chosen = match (declaring, drafts.len()) {
            ([index], _) => *index,
            ([], 1) => 0,
            ([], 0) => {
                let message = format!("there is no pod whose port {port} could be published");
                self.diagnostics.push(flag_error("--publish", message));
                return;
            }
            ([], _) => {
                let message =
                    format!("no container declares port {port}, so it is not clear which pod is meant");
                let mut diagnostic = flag_error("--publish", message);
                diagnostic.hint = Some("add the port to the container's ports".to_owned());
                self.diagnostics.push(diagnostic);
                return;
            }
            (several, _) => {
                let ids: Vec<String> =
                    several.iter().filter_map(|i| drafts.get(*i)).map(|d| d.id.to_string()).collect();
                let message = format!("port {port} is declared by {}", ids.join(" and "));
                let mut diagnostic = flag_error("--publish", message);
                diagnostic.hint = Some("use hostPort in the manifest instead".to_owned());
                self.diagnostics.push(diagnostic);
                return;
            }
        };
        let Some(draft) = drafts.get_mut(chosen) else { return };
        if draft.host_network() {
            let message = format!("{} is on the host's network: port {port} need not be published", draft.id);
            self.diagnostics.push(flag_error("--publish", message));
            return;
        }
        draft.ports.retain(|(m, path)| {
            path.is_empty() || m.container_port != mapping.container_port || m.protocol != mapping.protocol
        });
        draft.ports.push((mapping.clone(), String::new()));
    }

    /// Adds an error if more than one pod requests the same address, and for pods on the host's network that should
    /// join another network.
    fn addresses(&mut self, drafts: &[Draft<'_>]) {
        let pods: u64 = drafts.iter().map(|draft| u64::from(draft.replicas)).sum();
        let fixed = self.choices.iter().find_map(|choice| match choice {
            NetworkChoice::Join(a) if !a.ips.is_empty() => Some((&a.network, "ip=")),
            NetworkChoice::Join(a) if a.mac.is_some() => Some((&a.network, "mac=")),
            _ => None,
        });
        if let Some((network, option)) = fixed.filter(|_| pods > 1) {
            let message = format!("only one pod can have {option} of {network}, but there are {pods}");
            self.diagnostics.push(flag_error("--network", message));
        }
        let joins = self.choices.iter().any(|choice| *choice != NetworkChoice::Host);
        for draft in drafts.iter().filter(|draft| joins && draft.host_network()) {
            let path = format!("{}.hostNetwork", draft.spec_path);
            let message = "a pod on the host's network cannot join another network with --network".to_owned();
            self.error(draft.document, &path, message, None);
        }
    }

    /// Adds an error for a host name that the kernel cannot hold. A generated name is taken as long as it can be.
    /// Source: `GetNodenameForKernel` of pkg/kubelet/util.
    fn host_name(&mut self, draft: &Draft<'_>) {
        if draft.pod.spec.as_ref().and_then(|spec| spec.set_hostname_as_fqdn) != Some(true) {
            return;
        }
        let mut pod = draft.pod.clone();
        if draft.suffixed {
            pod.metadata.name = pod.metadata.name.map(|prefix| deployment::generated_name(&prefix, "xxxxx"));
        }
        let name = hosts::hostname(&pod, &Node::default());
        let length = name.chars().count();
        if length > hosts::MAX_KERNEL_NAME {
            let message = format!(
                "the host name {name} has {length} characters, and the kernel takes {} at most",
                hosts::MAX_KERNEL_NAME
            );
            let hint = "give the pod a shorter hostname or subdomain, or leave setHostnameAsFQDN out";
            let path = format!("{}.setHostnameAsFQDN", draft.spec_path);
            self.error(draft.document, &path, message, Some(hint.to_owned()));
        }
    }

    /// Returns the OCI runtime of a pod: that of `--runtime`, else that of its runtimeClassName. Adds an error if there is
    /// none of that name. The pod gets the overhead of its RuntimeClass.
    fn runtime(&mut self, draft: &mut Draft<'_>) -> Option<String> {
        let added = draft.pod.spec.as_mut().map_or(Ok(()), |spec| self.classes.add_overhead(spec));
        if let Err(unfit) = added {
            let path = format!("{}.overhead", draft.spec_path);
            self.error(draft.document, &path, unfit.to_string(), Some("leave it out".to_owned()));
        }
        let class = draft.pod.spec.as_ref().and_then(|spec| spec.runtime_class_name.as_deref());
        let class = class.filter(|name| !name.is_empty());
        match (&self.options.runtime, class) {
            (Some(runtime), _) => Some(runtime.clone()),
            (None, None) => None,
            (None, Some(name)) => self
                .classes
                .program(name)
                .map_err(|unfit| {
                    let path = format!("{}.runtimeClassName", draft.spec_path);
                    self.error(draft.document, &path, unfit.to_string(), Some(self.classes.hint()));
                })
                .ok(),
        }
    }

    fn finish(&mut self, mut draft: Draft<'_>) -> Option<WorkloadPlan> {
        let host = draft.host_network();
        let mut network = PodNetwork { host, none: false, attachments: Vec::new(), ports: Vec::new() };
        for choice in &self.choices {
            match choice {
                NetworkChoice::Host => {}
                NetworkChoice::None => network.none = true,
                NetworkChoice::Join(attachment) => network.attachments.push(attachment.clone()),
            }
        }
        if network.none && !draft.ports.is_empty() {
            let path = draft.ports.first().map(|(_, path)| path.clone()).unwrap_or_default();
            let message = "a pod with --network none cannot publish ports".to_owned();
            self.error(draft.document, &path, message, None);
            return None;
        }
        self.host_name(&draft);
        let runtime = self.runtime(&mut draft);
        if !host {
            network.ports = draft.ports.into_iter().map(|(mapping, _)| mapping).collect();
            network.ports.sort();
            network.ports.dedup();
        }

        // --pull is applied after the hash was computed, because the way an image is pulled does not change what runs.
        let mut template = PodTemplate::new(draft.pod, network, runtime, draft.suffixed);
        if let (Some(policy), Some(spec)) = (self.options.pull, template.pod.spec.as_mut()) {
            for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
                container.image_pull_policy = Some(policy.as_str().to_owned());
            }
            for source in spec.volumes.iter_mut().flatten().filter_map(|volume| volume.image.as_mut()) {
                source.pull_policy = Some(policy.as_str().to_owned());
            }
        }
        let object = draft.document.value.clone();
        let hash = hash::hash(&json!({
            "object": object,
            "replicas": draft.replicas,
            "pod": template.hash,
        }));
        Some(WorkloadPlan {
            rule: super::rule::Rule::of_object(draft.id.kind, &object),
            id: draft.id,
            object,
            hash,
            source: draft.document.source.clone(),
            template,
            replicas: draft.replicas,
        })
    }
}

/// Returns the claims that pods use and that the plan does not create, as (namespace, claim), each once. `kube play`
/// can then report which of them are created on first use.
pub fn undeclared_claims(plan: &Plan) -> Vec<(String, String)> {
    let declared: HashSet<(&str, &str)> = plan
        .objects
        .iter()
        .filter(|object| object.id.kind == Kind::PersistentVolumeClaim)
        .map(|object| (object.id.namespace.as_str(), object.id.name.as_str()))
        .collect();
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for workload in &plan.workloads {
        let spec = workload.template.pod.spec.as_ref();
        for volume in spec.and_then(|s| s.volumes.as_ref()).into_iter().flatten() {
            let Some(source) = &volume.persistent_volume_claim else { continue };
            let key = (workload.id.namespace.as_str(), source.claim_name.as_str());
            if !declared.contains(&key) && seen.insert(key) {
                found.push((key.0.to_owned(), key.1.to_owned()));
            }
        }
    }
    found
}
