//! An EndpointSlice, as `describeEndpointSliceV1` of k8s.io/kubectl/pkg/describe prints it.

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use pod_core::kind::Kind;
use pod_core::observe::objects::Object;

use super::{Surroundings, add_events, labels_and_annotations, name};
use crate::commands::get::table::or_none;
use crate::output::columns::Columns;

/// Returns the description of an EndpointSlice.
///
/// # Errors
/// The object is of another kind.
pub fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    let slice: EndpointSlice = object.parse()?;
    let mut out = Columns::default();
    name(&mut out, &slice.metadata);
    labels_and_annotations(&mut out, &slice.metadata);
    out.line(0, ["AddressType:", &slice.address_type]);
    ports(&mut out, slice.ports.as_deref().unwrap_or_default());
    let endpoints = slice.endpoints.as_deref().unwrap_or_default();
    if endpoints.is_empty() {
        out.line(0, ["Endpoints: <none>"]);
    } else {
        out.line(0, ["Endpoints:"]);
        for one in endpoints {
            endpoint(&mut out, one);
        }
    }
    add_events(&mut out, Kind::EndpointSlice, &slice.metadata, with);
    Ok(out.render())
}

fn ports(out: &mut Columns, ports: &[EndpointPort]) {
    if ports.is_empty() {
        out.line(0, ["Ports: <unset>"]);
        return;
    }
    out.line(0, ["Ports:"]);
    out.line(1, ["Name", "Port", "Protocol"]);
    out.line(1, ["----", "----", "--------"]);
    for port in ports {
        let name = port.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("<unset>");
        let number = port.port.map_or_else(|| "<unset>".to_owned(), |number| number.to_string());
        out.line(1, [name, &number, port.protocol.as_deref().unwrap_or("TCP")]);
    }
}

fn endpoint(out: &mut Columns, endpoint: &Endpoint) {
    let unset = |text: &Option<String>| text.clone().unwrap_or_else(|| "<unset>".to_owned());
    out.line(1, ["- Addresses:", &or_none(Some(&endpoint.addresses.join(", ")))]);
    out.line(2, ["Conditions:"]);
    let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
    out.line(3, ["Ready:", &ready.map_or_else(|| "<unset>".to_owned(), |ready| ready.to_string())]);
    out.line(2, ["Hostname:", &unset(&endpoint.hostname)]);
    if let Some(target) = &endpoint.target_ref {
        let (kind, name) = (target.kind.as_deref(), target.name.as_deref());
        out.line(2, ["TargetRef:", &format!("{}/{}", kind.unwrap_or_default(), name.unwrap_or_default())]);
    }
    out.line(2, ["NodeName:", &unset(&endpoint.node_name)]);
    out.line(2, ["Zone:", &unset(&endpoint.zone)]);
}

#[cfg(test)]
mod tests {
    use pod_core::kind::ObjectRef;
    use serde_json::json;

    use super::*;
    use crate::commands::describe::tests::with_surroundings;

    #[test]
    fn a_slice_is_described_with_its_endpoints() {
        let json = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "web-x7k2p", "namespace": "default",
                "labels": {"kubernetes.io/service-name": "web"}},
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "nodeName": "box",
                "targetRef": {"kind": "Pod", "name": "web", "namespace": "default"}},
                {"addresses": ["10.0.0.2"], "conditions": {}}],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        });
        let object = Object::new(ObjectRef::new(Kind::EndpointSlice, "default", "web-x7k2p"), json);
        with_surroundings(Some(Vec::new()), |with| {
            insta::assert_snapshot!(describe(&object, with).unwrap());
        });
    }
}
