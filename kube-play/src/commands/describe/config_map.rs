//! A ConfigMap, as `describeConfigMap` of k8s.io/kubectl/pkg/describe prints it.

use k8s_openapi::api::core::v1::ConfigMap;
use pod_core::kind::Kind;
use pod_core::observe::objects::Object;

use super::{Surroundings, add_events, labels_and_annotations, name};
use crate::output::columns::Columns;

/// Returns the description of a ConfigMap.
///
/// # Errors
/// The object is not a ConfigMap.
pub fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    let map: ConfigMap = object.parse()?;
    let mut out = Columns::default();
    name(&mut out, &map.metadata);
    labels_and_annotations(&mut out, &map.metadata);
    add_data(&mut out, &map);
    add_events(&mut out, Kind::ConfigMap, &map.metadata, with);
    Ok(out.render())
}

fn add_data(out: &mut Columns, map: &ConfigMap) {
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
    fn the_values_of_a_config_map_are_shown_and_cannot_drive_a_terminal() {
        let map = json!({"metadata": {"name": "c"}, "data": {"a.conf": "x = 1\n\u{1b}[2Jy = 2\n"},
            "binaryData": {"logo": "AAEC"}});
        let mut out = Columns::default();
        add_data(&mut out, &serde_json::from_value(map).unwrap());
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
