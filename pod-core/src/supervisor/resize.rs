//! Applies changed cpu and memory to the cgroups of pods that run.

use std::sync::Arc;

use super::Supervisor;
use crate::kind::EventType;
use crate::lifecycle::{Action, Event, PodSpec};
use crate::plan::resize::{Resize, resize};
use crate::plan::resources::{container_resources, pod_resources};
use crate::plan::{PodPlan, Resources};
use crate::runtime::cgroup;
use crate::sandbox::container;

impl Supervisor {
    /// Continues with a changed plan of a pod, and brings the pod in line with it.
    pub(super) fn resize_pod(&mut self, uid: &str, plan: Arc<PodPlan>) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let found = resize(&pod.plan.pod, &plan.pod);
        pod.spec = PodSpec::from_pod(&plan.pod);
        pod.status.hash.clone_from(&plan.hash);
        pod.plan = plan;
        pod.observe();
        let Resize::InPlace { changed, restart } = found else { return };
        base::fail_point!(Supervisor, "resize-recorded");
        self.dispatch(uid, &Event::Changed);
        let problems = self.set_limits(uid);
        let wall = super::now().wall;
        let mut emit = |kind, reason: &str, message: String| {
            let reason = reason.to_owned();
            self.act(uid, Action::Emit { kind, reason, message, container: None }, wall);
        };
        if problems.is_empty() && !changed.is_empty() {
            let message = format!("Pod resize completed: {}", changed.join(", "));
            emit(EventType::Normal, "ResizeCompleted", message);
        }
        for problem in problems {
            emit(EventType::Warning, "ResizeError", problem);
        }
        for container in restart {
            self.dispatch(uid, &Event::Restart { container });
        }
    }

    /// Sets the limits of a running pod and its containers to those of its plan. Returns what was refused.
    pub(super) fn set_limits(&self, uid: &str) -> Vec<String> {
        let Some(pod) = self.pods.get(uid) else { return Vec::new() };
        let (Some(sandbox), Some(spec)) = (&pod.sandbox, &pod.plan.pod.spec) else { return Vec::new() };
        let of_pod = &sandbox.sandbox.cgroup;
        let containers: Vec<(String, Resources)> = spec
            .init_containers
            .iter()
            .flatten()
            .chain(&spec.containers)
            .filter_map(|one| {
                let run = pod.runs.get(&one.name).filter(|run| run.process.is_some())?;
                let path = cgroup::container_path(of_pod, &container::id(uid, &one.name, run.attempt));
                Some((path, container_resources(spec, one)))
            })
            .collect();
        let set_pod = || cgroup::update(of_pod, &pod_resources(&pod.plan.pod));
        let set_containers = || -> Vec<String> {
            containers.iter().flat_map(|(path, resources)| cgroup::update(path, resources)).collect()
        };
        // A container may not have more than its pod, so that a growing pod comes first and a shrinking one last.
        let _ = set_pod();
        let _ = set_containers();
        let mut problems = set_pod();
        problems.extend(set_containers());
        problems
    }
}
