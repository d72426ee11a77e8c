//! Events, each once: an event that is repeated is written again under its name, with a higher count.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Event;

use super::{Error, Object};
use crate::kind::{Kind, ObjectRef};
use crate::log::events::Reader;
use crate::store::Layout;

/// Returns the events, by the time of their last occurrence.
pub fn events(layout: &Layout) -> Result<Vec<Object>, Error> {
    let mut latest: BTreeMap<(String, String), Event> = BTreeMap::new();
    for event in Reader::new(layout).read()? {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        latest.insert((text(&event.metadata.namespace), text(&event.metadata.name)), event);
    }
    let mut latest: Vec<_> = latest.into_iter().collect();
    latest.sort_by_key(|(_, event)| event.last_timestamp.as_ref().map(|time| time.0));
    let object = |((namespace, name), event): ((String, String), Event)| {
        Ok(Object::new(ObjectRef::new(Kind::Event, &namespace, &name), serde_json::to_value(event)?))
    };
    latest.into_iter().map(object).collect()
}
