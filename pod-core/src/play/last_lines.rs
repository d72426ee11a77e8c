//! The end of the logs of containers that failed. It shows why they failed; an undo removes the logs with the pod.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::{Error, Instance, Report};
use crate::lifecycle::{PodSpec, PodState};
use crate::log;
use crate::plan::PodPlan;
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
    let object = match error {
        Error::PodFailed { object, .. } | Error::ContainerFailed { object, .. } => object,
        Error::Stalled { pod, .. } => pod,
        _ => return,
    };
    let mut seen = BTreeSet::new();
    for id in workloads.filter(|id| seen.insert((*id).clone())) {
        let Ok(Some(record)) = WorkloadRecord::load(&instance.layout, id) else { continue };
        for recorded in record.pods.iter().filter(|pod| format!("pod/{}", pod.plan.name()) == *object) {
            let Ok(state) = recorded.last_state(&instance.layout) else { continue };
            report_pod(instance, &recorded.plan, &state, report);
        }
    }
}

/// Reports the last lines of the containers of a pod that failed.
pub(super) fn report_pod(instance: &Instance, plan: &PodPlan, state: &PodState, report: &mut dyn Report) {
    let object = format!("pod/{}", plan.name());
    for container in state.failed_containers(&PodSpec::from_pod(&plan.pod)) {
        let lines = read(instance, &plan.uid, container);
        if !lines.is_empty() {
            report.last_lines(&object, container, &lines);
        }
    }
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
