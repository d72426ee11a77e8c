//! Events.

use k8s_openapi::api::core::v1::Event;
use pod_core::kind::Kind;

use super::table::{KindTable, Look, column, name, since, wide};

pub const TABLE: KindTable = KindTable {
    kind: Kind::Event,
    columns: &[
        column("LAST SEEN"),
        column("TYPE"),
        column("REASON"),
        column("OBJECT"),
        wide("SUBOBJECT"),
        wide("SOURCE"),
        column("MESSAGE"),
        wide("FIRST SEEN"),
        wide("COUNT"),
        wide("NAME"),
    ],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(event: &Event, look: Look) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let object = &event.involved_object;
    let kind = text(&object.kind).to_ascii_lowercase();
    let source = event.source.clone().unwrap_or_default();
    let source = [source.component, source.host].into_iter().flatten().collect::<Vec<_>>().join(", ");
    vec![
        since(event.last_timestamp.as_ref(), look),
        text(&event.type_),
        text(&event.reason),
        format!("{kind}/{}", text(&object.name)),
        text(&object.field_path),
        source,
        text(&event.message).trim().to_owned(),
        since(event.first_timestamp.as_ref(), look),
        event.count.unwrap_or(1).to_string(),
        name(&event.metadata),
    ]
}
