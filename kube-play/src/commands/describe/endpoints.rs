//! Endpoints, as `describeEndpoints` of k8s.io/kubectl/pkg/describe prints them.

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints};
use pod_core::kind::Kind;
use pod_core::observe::objects::Object;

use super::{Surroundings, add_events, labels_and_annotations, name};
use crate::commands::get::table::or_none;
use crate::output::columns::Columns;

/// Returns the description of Endpoints.
///
/// # Errors
/// The object is of another kind.
pub fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    let endpoints: Endpoints = object.parse()?;
    let mut out = Columns::default();
    name(&mut out, &endpoints.metadata);
    labels_and_annotations(&mut out, &endpoints.metadata);
    out.line(0, ["Subsets:"]);
    for subset in endpoints.subsets.iter().flatten() {
        self::subset(&mut out, subset);
        out.line(0, [""]);
    }
    add_events(&mut out, Kind::Endpoints, &endpoints.metadata, with);
    Ok(out.render())
}

fn subset(out: &mut Columns, subset: &EndpointSubset) {
    let list = |addresses: &Option<Vec<EndpointAddress>>| {
        let ips = addresses.iter().flatten().map(|address| address.ip.as_str());
        or_none(Some(&ips.collect::<Vec<_>>().join(",")))
    };
    out.line(1, ["Addresses:", &list(&subset.addresses)]);
    out.line(1, ["NotReadyAddresses:", &list(&subset.not_ready_addresses)]);
    let ports = subset.ports.as_deref().unwrap_or_default();
    if !ports.is_empty() {
        out.line(1, ["Ports:"]);
        out.line(2, ["Name", "Port", "Protocol"]);
        out.line(2, ["----", "----", "--------"]);
        for port in ports {
            let name = port.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("<unset>");
            out.line(2, [name, &port.port.to_string(), port.protocol.as_deref().unwrap_or("TCP")]);
        }
    }
}

#[cfg(test)]
mod tests {
    use pod_core::kind::ObjectRef;
    use serde_json::json;

    use super::*;
    use crate::commands::describe::tests::with_surroundings;

    #[test]
    fn endpoints_are_described_by_subsets() {
        let json = json!({
            "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "web", "namespace": "default"},
            "subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}],
                "notReadyAddresses": [{"ip": "10.0.0.3"}],
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"port": 9}]}],
        });
        let object = Object::new(ObjectRef::new(Kind::Endpoints, "default", "web"), json);
        with_surroundings(Some(Vec::new()), |with| {
            insta::assert_snapshot!(describe(&object, with).unwrap());
        });
    }
}
