//! Services with their status.

use jiff::Timestamp;

use super::{Error, Object, completed};
use crate::kind::{Kind, ObjectRef};
use crate::service::{self, View};
use crate::store::{Layout, Objects};

/// A Service with its endpoints, and what its record says.
pub(super) struct ServiceView {
    /// Namespace and name.
    pub id: ObjectRef,
    /// The Service and its endpoints.
    pub view: View,
    /// When the Service was recorded.
    pub created: Option<Timestamp>,
}

/// Returns the Services with their endpoints.
pub(super) fn views(layout: &Layout) -> Result<Vec<ServiceView>, Error> {
    let recorded = Objects::recorded(layout, Kind::Service)?;
    let with_record = |view: View| {
        let metadata = &view.service.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let id = ObjectRef::new(Kind::Service, namespace, metadata.name.as_deref().unwrap_or_default());
        let created = recorded.iter().find(|one| one.id == id).and_then(|one| one.created);
        ServiceView { id, view, created }
    };
    Ok(service::views(layout)?.into_iter().map(with_record).collect())
}

/// Returns the Services.
pub(super) fn services(layout: &Layout) -> Result<Vec<Object>, Error> {
    let object = |ServiceView { id, view, created }| {
        let json = completed(&id, serde_json::to_value(&view.service)?, created);
        Ok(Object::new(id, json))
    };
    views(layout)?.into_iter().map(object).collect()
}
