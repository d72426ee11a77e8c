//! A StorageClass, as `describeStorageClass` of k8s.io/kubectl/pkg/describe prints it.

use k8s_openapi::api::storage::v1::StorageClass;
use pod_core::kind::Kind;
use pod_core::observe::objects::Object;

use super::{Surroundings, add_events, map};
use crate::commands::get::storage_class::is_default;
use crate::commands::get::table::{or_none, pairs};
use crate::output::columns::Columns;

/// Returns the description of a StorageClass.
///
/// # Errors
/// The object is of another kind.
pub fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    let class: StorageClass = object.parse()?;
    let metadata = &class.metadata;
    let mut out = Columns::default();
    out.line(0, ["Name:", metadata.name.as_deref().unwrap_or_default()]);
    out.line(0, ["IsDefaultClass:", if is_default(metadata) { "Yes" } else { "No" }]);
    map(&mut out, 0, "Annotations:", metadata.annotations.as_ref(), "=");
    out.line(0, ["Provisioner:", &class.provisioner]);
    out.line(0, ["Parameters:", &pairs(class.parameters.as_ref())]);
    let expansion = match class.allow_volume_expansion {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    out.line(0, ["AllowVolumeExpansion:", expansion]);
    if let Some(options) = class.mount_options.as_ref().filter(|options| !options.is_empty()) {
        out.line(0, ["MountOptions:"]);
        for option in options {
            out.line(1, [option]);
        }
    }
    out.line(0, ["ReclaimPolicy:", &or_none(class.reclaim_policy.as_deref())]);
    out.line(0, ["VolumeBindingMode:", &or_none(class.volume_binding_mode.as_deref())]);
    add_events(&mut out, Kind::StorageClass, metadata, with);
    Ok(out.render())
}
