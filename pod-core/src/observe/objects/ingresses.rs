//! Ingresses with their status.

use super::{Error, Object, completed};
use crate::ingress;
use crate::kind::{Kind, ObjectRef};
use crate::store::{Layout, Objects};

/// Returns the Ingresses.
pub(super) fn ingresses(layout: &Layout) -> Result<Vec<Object>, Error> {
    let recorded = Objects::recorded(layout, Kind::Ingress)?;
    let object = |view: ingress::View| {
        let metadata = &view.ingress.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let id = ObjectRef::new(Kind::Ingress, namespace, metadata.name.as_deref().unwrap_or_default());
        let created = recorded.iter().find(|one| one.id == id).and_then(|one| one.created);
        let json = completed(&id, serde_json::to_value(&view.ingress)?, created);
        Ok(Object::new(id, json))
    };
    ingress::views(layout)?.into_iter().map(object).collect()
}
