//! Gives the Services of a play their addresses and NodePorts before anything is changed, and checks what can be checked
//! against the recorded Services and this machine.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::Value;

use super::{Error, Instance};
use crate::controller::random_identity;
use crate::kind::{Kind, ObjectRef};
use crate::manifest::{Diagnostic, Document, SERVICE_NAME, Severity};
use crate::plan::ObjectPlan;
use crate::sandbox;
use crate::service::{self, Pool, Refused};
use crate::store::{Layout, Objects, damage};

/// Completes all Services of a plan. The caller holds the lock of plays, or only wants to know whether that is possible.
///
/// # Errors
/// `Invalid`, at the place in the manifest.
pub fn complete(
    instance: &Instance,
    documents: &[Document],
    plans: &mut [ObjectPlan],
    dry_run: bool,
) -> Result<(), Error> {
    if !plans.iter().any(|plan| plan.id.kind == Kind::Service) {
        return Ok(());
    }
    let networks = sandbox::networks(&instance.layout, &instance.exe);
    let taken_by = |port: u16, protocol: &str| {
        let port = network::Port {
            host_ip: None,
            host_port: port,
            container_port: port,
            protocol: protocol.to_ascii_lowercase(),
        };
        match networks.check_ports("", &[], &[port]) {
            // The claim of a Service that this play may change; what Services have is compared below.
            Err(network::Error::PortTaken { by, .. })
                if by.starts_with("Service ") && !by.contains(", of ") =>
            {
                None
            }
            Err(network::Error::PortTaken { by, .. }) => Some(by),
            // Whatever else is wrong is reported by what needs it.
            Ok(()) | Err(_) => None,
        }
    };
    // The first Service makes the network choose a range, which would be a change.
    let keeps_all = dry_run && Objects::files(&instance.layout, Kind::Service)?.is_empty();
    let mut pool = Pool {
        instance: instance.layout.root.display().to_string(),
        ranges: if keeps_all { Vec::new() } else { networks.service_ranges()? },
        ips: BTreeMap::new(),
        node_ports: BTreeMap::new(),
        taken_by: &taken_by,
    };
    fill(&instance.layout, &mut pool)?;
    // A Service that names its address or NodePort gets it before another Service chooses.
    let mut order: Vec<&mut ObjectPlan> =
        plans.iter_mut().filter(|plan| plan.id.kind == Kind::Service).collect();
    order.sort_by_key(|plan| !names_something(&plan.object));
    for plan in order {
        let before = damage::or_none(Objects::get(&instance.layout, &plan.id));
        let before: Option<Service> = before.and_then(|before| serde_json::from_value(before).ok());
        let given = std::mem::take(&mut plan.object);
        let Ok(played) = serde_json::from_value::<Service>(given.clone()) else {
            plan.object = given;
            continue;
        };
        let mut service = service::complete(played, before.as_ref(), &mut pool)
            .map_err(|refused| invalid(documents, &plan.id, refused))?;
        identify(&mut service.metadata, before.map(|before| before.metadata));
        let completed = serde_json::to_value(service);
        plan.object =
            completed.map_err(|e| Error::Failed { object: plan.id.to_string(), message: e.to_string() })?;
        plan.given = Some(given);
    }
    Ok(())
}

/// Gives an object the identity of the recorded one, or a new one.
pub fn identify(metadata: &mut ObjectMeta, before: Option<ObjectMeta>) {
    match before {
        Some(before) => {
            (metadata.uid, metadata.creation_timestamp) = (before.uid, before.creation_timestamp);
        }
        None => {
            metadata.uid = Some(random_identity().uid);
            let now = jiff::Timestamp::now();
            // Kubernetes' timestamps have whole seconds.
            let now = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
            metadata.creation_timestamp = Some(Time(now));
        }
    }
}

/// Enters what the recorded Services have.
fn fill(layout: &Layout, pool: &mut Pool<'_>) -> Result<(), Error> {
    for ((namespace, name), object) in Objects::list(layout, Kind::Service)? {
        let Ok(service) = serde_json::from_value::<Service>(object) else { continue };
        let Some(spec) = service.spec else { continue };
        let name = format!("{namespace}/{name}");
        let ips = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
        pool.ips.extend(ips.filter_map(|ip| Some((ip.parse::<IpAddr>().ok()?, name.clone()))));
        for port in spec.ports.iter().flatten() {
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            if let Some(number) = port.node_port.and_then(|port| u16::try_from(port).ok()) {
                pool.node_ports.insert((number, protocol), name.clone());
            }
        }
    }
    Ok(())
}

/// Returns whether a Service names an address or a NodePort.
fn names_something(object: &Value) -> bool {
    let has_ip =
        ["clusterIP", "clusterIPs"].iter().any(|field| object.pointer(&format!("/spec/{field}")).is_some());
    let ports = object.pointer("/spec/ports").and_then(Value::as_array);
    has_ip || ports.into_iter().flatten().any(|port| port.get("nodePort").is_some())
}

fn invalid(documents: &[Document], id: &ObjectRef, refused: Refused) -> Error {
    let document = documents.iter().find(|document| {
        let metadata = document.object.metadata();
        document.object.kind() == id.kind
            && metadata.name.as_deref() == Some(&id.name)
            && metadata.namespace.as_deref() == Some(&id.namespace)
    });
    let Refused { path, message, hint } = refused;
    Error::Invalid(Box::new(Diagnostic {
        severity: Severity::Error,
        source: document.map(|document| document.source.clone()).unwrap_or_default(),
        position: document.map(|document| document.position_of(&path)).unwrap_or_default(),
        path,
        message,
        hint,
    }))
}

/// Returns the played Endpoints and EndpointSlices that nothing uses, because their Service has a selector.
pub fn unused(layout: &Layout, plans: &[ObjectPlan]) -> Vec<String> {
    let service_of = |plan: &ObjectPlan| match plan.id.kind {
        Kind::Endpoints => Some(plan.id.name.clone()),
        Kind::EndpointSlice => {
            let labels = plan.object.pointer("/metadata/labels")?;
            labels.get(SERVICE_NAME).and_then(Value::as_str).map(str::to_owned)
        }
        _ => None,
    };
    let has_selector = |service: &ObjectRef| {
        let played = plans.iter().find(|plan| plan.id == *service).map(|plan| plan.object.clone());
        let service = played.or_else(|| damage::or_none(Objects::get(layout, service)));
        let selector = service.as_ref().and_then(|service| service.pointer("/spec/selector")?.as_object());
        selector.is_some_and(|selector| !selector.is_empty())
    };
    let mut warnings = Vec::new();
    for plan in plans {
        let Some(name) = service_of(plan) else { continue };
        let service = ObjectRef::new(Kind::Service, &plan.id.namespace, &name);
        if has_selector(&service) {
            warnings.push(format!(
                "{} has no effect: {service} has a selector, which finds its endpoints",
                plan.id
            ));
        }
    }
    warnings
}
