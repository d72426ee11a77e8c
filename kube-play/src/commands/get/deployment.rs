//! Deployments.

use k8s_openapi::api::apps::v1::Deployment;
use pod_core::kind::Kind;

use super::table::{KindTable, Look, age, column, containers, name, selector, wide};

pub const TABLE: KindTable = KindTable {
    kind: Kind::Deployment,
    columns: &[
        column("NAME"),
        column("READY"),
        column("UP-TO-DATE"),
        column("AVAILABLE"),
        column("AGE"),
        wide("CONTAINERS"),
        wide("IMAGES"),
        wide("SELECTOR"),
    ],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(deployment: &Deployment, look: Look) -> Vec<String> {
    let status = deployment.status.clone().unwrap_or_default();
    let number = |number: Option<i32>| number.unwrap_or_default().to_string();
    let spec = &deployment.spec;
    let [names, images] = containers(&spec.template);
    vec![
        name(&deployment.metadata),
        format!("{}/{}", number(status.ready_replicas), spec.replicas.unwrap_or(1)),
        number(status.updated_replicas),
        number(status.available_replicas),
        age(&deployment.metadata, look),
        names,
        images,
        selector(&spec.selector),
    ]
}
