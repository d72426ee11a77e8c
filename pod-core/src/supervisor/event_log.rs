//! What `kube events` shows: v1 Event objects, one a line, appended by every supervisor.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use crate::plan::PodPlan;
use crate::store::{Error, Layout};

/// Past this size the file is renamed to `events.1`, over an older one.
const LIMIT: u64 = 1024 * 1024;

/// Appends one event about a pod, or about a container of it. `kind` is `Normal` or `Warning`.
pub fn append(
    layout: &Layout,
    pod: &PodPlan,
    container: Option<&str>,
    kind: &str,
    reason: &str,
    message: &str,
    now: jiff::Timestamp,
) -> Result<(), Error> {
    let init = pod
        .pod
        .spec
        .as_ref()
        .and_then(|s| s.init_containers.as_ref())
        .is_some_and(|c| c.iter().any(|c| Some(c.name.as_str()) == container));
    let time = Some(Time(now));
    let event = Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{:x}", pod.name(), now.as_nanosecond())),
            namespace: Some(pod.namespace().to_owned()),
            creation_timestamp: time.clone(),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(pod.name().to_owned()),
            namespace: Some(pod.namespace().to_owned()),
            uid: Some(pod.uid.clone()),
            field_path: container
                .map(|c| format!("spec.{}{{{c}}}", if init { "initContainers" } else { "containers" })),
            ..ObjectReference::default()
        },
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        type_: Some(kind.to_owned()),
        count: Some(1),
        first_timestamp: time.clone(),
        last_timestamp: time,
        source: Some(EventSource { component: Some("kube".to_owned()), host: None }),
        ..Event::default()
    };
    let path = layout.events();
    let mut line =
        serde_json::to_vec(&event).map_err(|source| Error::Damaged { path: path.clone(), source })?;
    line.push(b'\n');
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    if file.metadata().is_ok_and(|m| m.len() > LIMIT) {
        let _ = std::fs::rename(&path, path.with_extension("1"));
        file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("open", &path))?;
    }
    // One write of a whole line with O_APPEND: lines of several supervisors do not mix.
    file.write_all(&line).map_err(Error::io("write", &path))
}
