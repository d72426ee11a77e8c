//! The end of the logs of containers that failed. It shows why they failed, and an undo removes it with the pod.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::{Error, Instance, Report};
use crate::lifecycle::PodState;
use crate::log;
use crate::record::WorkloadRecord;
use crate::store::WorkloadId;

/// The number of lines that are reported per container.
const LINES: u64 = 10;

/// Reports the last lines of the containers because of which a pod of `workloads` failed. A log that cannot be read is
/// left out, because the failure itself matters more.
pub(super) fn report_failed<'a>(
    instance: &Instance,
    workloads: impl Iterator<Item = &'a WorkloadId>,
    error: &Error,
    report: &mut dyn Report,
) {
    let Error::PodFailed { object, .. } = error else { return };
    let mut seen = BTreeSet::new();
    for id in workloads.filter(|id| seen.insert((*id).clone())) {
        let Ok(Some(record)) = WorkloadRecord::load(&instance.layout, id) else { continue };
        for recorded in record.pods.iter().filter(|pod| format!("pod/{}", pod.plan.name()) == *object) {
            let Ok(state) = recorded.last_state(&instance.layout) else { continue };
            for container in failed(&state) {
                let lines = read(instance, &recorded.plan.uid, container);
                if !lines.is_empty() {
                    report.last_lines(object, container, &lines);
                }
            }
        }
    }
}

/// Returns the containers whose latest run ended with a failure, init containers first.
fn failed(state: &PodState) -> Vec<&str> {
    let failed = state.containers.iter().filter(|c| c.latest.as_ref().is_some_and(|end| end.exit_code != 0));
    failed.map(|container| container.name.as_str()).collect()
}

fn read(instance: &Instance, uid: &str, container: &str) -> Vec<String> {
    let source = log::Source {
        name: container.to_owned(),
        dir: instance.layout.container_logs(uid, container),
        run: log::Run::Latest,
    };
    let options = log::Options { tail: Some(LINES), since: None };
    let mut lines: Vec<String> = Vec::new();
    let mut emit = |_: &log::Source, line: &log::Line<'_>| {
        let content = String::from_utf8_lossy(line.content);
        match lines.last_mut() {
            Some(last) if !line.begins => last.push_str(&content),
            _ => lines.push(content.into_owned()),
        }
        ControlFlow::Continue(())
    };
    if let Err(e) = log::read(&[source], &options, &mut emit) {
        tracing::debug!("{e}");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::{Now, PodSpec};

    #[test]
    fn the_lines_of_containers_that_failed_are_reported() {
        let pod = serde_json::json!({"spec": {
            "initContainers": [{"name": "good"}, {"name": "bad"}], "containers": [{"name": "never"}],
        }});
        let spec = PodSpec::from_pod(&serde_json::from_value(pod).unwrap());
        let now = Now { boot: 0, wall: jiff::Timestamp::UNIX_EPOCH };
        let mut state = PodState::new(&spec, now);
        for (container, code) in state.containers.iter_mut().zip([0, 3]) {
            let ended = serde_json::json!({
                "exit_code": code, "reason": "Error", "finished_at": now.wall, "finished_boot": 0,
            });
            container.latest = Some(serde_json::from_value(ended).unwrap());
        }
        assert_eq!(failed(&state), ["bad"]);
    }
}
