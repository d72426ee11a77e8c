//! ConfigMaps and Secrets. Of a Secret only the sizes of its values are shown.

use k8s_openapi::api::core::v1::{ConfigMap, Event, Secret};
use pod_core::kind::{Kind, ObjectRef};
use pod_core::observe::query;
use pod_core::store::Objects;

use super::{Clock, add_events, labels_and_annotations};
use crate::cli::context::Context;
use crate::output::columns::Columns;

/// Returns the description of a ConfigMap or a Secret.
///
/// # Errors
/// There is none (4).
pub fn load(
    context: &Context,
    resource: &ObjectRef,
    events: Option<&[Event]>,
    clock: &Clock,
) -> anyhow::Result<String> {
    let Some(object) = Objects::get(&context.layout, resource)? else {
        return Err(query::not_found(&context.layout, resource).into());
    };
    let mut out = Columns::default();
    out.line(0, ["Name:", &resource.name]);
    out.line(0, ["Namespace:", &resource.namespace]);
    let mut metadata = match resource.kind {
        Kind::Secret => {
            let secret: Secret = serde_json::from_value(object)?;
            labels_and_annotations(&mut out, &secret.metadata);
            add_secret(&mut out, &secret);
            secret.metadata
        }
        _ => {
            let map: ConfigMap = serde_json::from_value(object)?;
            labels_and_annotations(&mut out, &map.metadata);
            add_config_map(&mut out, &map);
            map.metadata
        }
    };
    metadata.name = Some(resource.name.clone());
    metadata.namespace = Some(resource.namespace.clone());
    add_events(&mut out, resource.kind, &metadata, events, clock.now);
    Ok(out.render())
}

fn add_secret(out: &mut Columns, secret: &Secret) {
    out.line(0, [""]);
    out.line(0, ["Type:", secret.type_.as_deref().unwrap_or("Opaque")]);
    out.line(0, [""]);
    out.line(0, ["Data"]);
    out.line(0, ["===="]);
    for (key, value) in secret.data.iter().flatten() {
        out.line(0, [&format!("{key}:"), &format!("{} bytes", value.0.len())]);
    }
    out.line(0, [""]);
}

fn add_config_map(out: &mut Columns, map: &ConfigMap) {
    out.line(0, [""]);
    out.line(0, ["Data"]);
    out.line(0, ["===="]);
    for (key, value) in map.data.iter().flatten() {
        out.line(0, [&format!("{key}:")]);
        out.line(0, ["----"]);
        for line in value.split('\n') {
            out.line(0, [line]);
        }
        out.line(0, [""]);
    }
    out.line(0, [""]);
    out.line(0, ["BinaryData"]);
    out.line(0, ["===="]);
    for (key, value) in map.binary_data.iter().flatten() {
        out.line(0, [&format!("{key}: {} bytes", value.0.len())]);
    }
    out.line(0, [""]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_a_secret_are_never_shown() {
        let secret = json!({"metadata": {"name": "login"}, "data": {"password": "aHVudGVyMg==", "user": ""}});
        let mut out = Columns::default();
        add_secret(&mut out, &serde_json::from_value(secret).unwrap());
        insta::assert_snapshot!(out.render(), @r"

        Type:  Opaque

        Data
        ====
        password:  7 bytes
        user:      0 bytes
        ");
    }

    #[test]
    fn the_values_of_a_config_map_are_shown_and_cannot_drive_a_terminal() {
        let map = json!({"metadata": {"name": "c"}, "data": {"a.conf": "x = 1\n\u{1b}[2Jy = 2\n"},
            "binaryData": {"logo": "AAEC"}});
        let mut out = Columns::default();
        add_config_map(&mut out, &serde_json::from_value(map).unwrap());
        insta::assert_snapshot!(out.render(), @r"

        Data
        ====
        a.conf:
        ----
        x = 1
        \u{1b}[2Jy = 2



        BinaryData
        ====
        logo: 3 bytes
        ");
    }
}
