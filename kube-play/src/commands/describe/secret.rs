//! A Secret, as `describeSecret` of k8s.io/kubectl/pkg/describe prints it: the sizes of its values, never the values.

use k8s_openapi::api::core::v1::Secret;
use pod_core::kind::Kind;
use pod_core::observe::objects::Object;

use super::{Surroundings, add_events, labels_and_annotations, name};
use crate::output::columns::Columns;

/// Returns the description of a Secret.
///
/// # Errors
/// The object is not a Secret.
pub fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    let secret: Secret = object.parse()?;
    let mut out = Columns::default();
    name(&mut out, &secret.metadata);
    labels_and_annotations(&mut out, &secret.metadata);
    add_sizes(&mut out, &secret);
    add_events(&mut out, Kind::Secret, &secret.metadata, with);
    Ok(out.render())
}

fn add_sizes(out: &mut Columns, secret: &Secret) {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_a_secret_are_never_shown() {
        let secret = json!({"metadata": {"name": "login"}, "data": {"password": "aHVudGVyMg==", "user": ""}});
        let mut out = Columns::default();
        add_sizes(&mut out, &serde_json::from_value(secret).unwrap());
        insta::assert_snapshot!(out.render(), @r"

        Type:  Opaque

        Data
        ====
        password:  7 bytes
        user:      0 bytes
        ");
    }
}
