//! The pods of workloads as a front end in the foreground shows them: everything that their containers write, which
//! containers end, and whether all pods have ended.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};

use super::changes::Changes;
use super::container;
use super::pod::PodView;
use super::{Error, changes, view};
use crate::kind::TerminatedReason;
use crate::lifecycle::{PodSpec, Terminated};
use crate::log::{Follower, Line, Run, Source};
use crate::store::{self, Layout, WorkloadId};
use crate::workload::Rule;

/// Workloads whose pods are followed, also pods that are created later.
#[derive(Debug)]
pub struct Attached {
    layout: Layout,
    workloads: Vec<WorkloadId>,
    changes: Changes,
    logs: Follower,
    /// The pods that are or were followed, by uid.
    pods: BTreeMap<String, Followed>,
}

/// A pod that is or was followed.
#[derive(Debug, Default)]
struct Followed {
    /// The position of its workload in [`Attached::workloads`].
    workload: usize,
    /// The end of each container's latest run that has been seen.
    ends: BTreeMap<String, Terminated>,
    /// Its exit code once the pod has ended.
    exit_code: Option<i32>,
    /// True once the pod was removed.
    is_gone: bool,
    /// True once its logs have been read to their end after it was removed.
    is_left: bool,
}

/// The end of a container's run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The name under which the lines of the container are emitted: see [`label`].
    pub label: String,
    /// Its exit code, 128+n for signal n.
    pub code: i32,
    /// state.terminated.reason.
    pub reason: TerminatedReason,
}

/// Returns the name that the lines of a container carry: the pod's, with the container's if the pod has several.
pub fn label(pod: &str, container: &str, is_only_one: bool) -> String {
    if is_only_one { pod.to_owned() } else { format!("{pod}/{container}") }
}

impl Attached {
    /// Attaches to workloads that exist or are about to be created. Of containers that exist already, only lines that
    /// are written from now on are emitted.
    ///
    /// # Errors
    /// The records cannot be read; the kernel refuses inotify.
    pub fn new(layout: &Layout, workloads: Vec<WorkloadId>) -> Result<Self, Error> {
        let changes = Changes::new(layout)?;
        let logs = Follower::new()?;
        let mut attached = Self { layout: layout.clone(), workloads, changes, logs, pods: BTreeMap::new() };
        attached.find_pods(Some(0))?;
        Ok(attached)
    }

    /// Returns descriptors that are readable when [`Attached::look`] or [`Attached::read`] may find something.
    pub fn fds(&self) -> [BorrowedFd<'_>; 2] {
        [self.changes.as_fd(), self.logs.as_fd()]
    }

    /// Returns whether pods may have changed since the last call.
    pub fn may_have_changed(&self) -> bool {
        self.changes.have_come()
    }

    /// Looks at the pods: follows new ones, and returns the containers that have ended since the last call.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn look(&mut self) -> Result<Vec<Exit>, Error> {
        for (uid, pod) in &mut self.pods {
            if pod.is_gone && !pod.is_left {
                pod.is_left = true;
                self.logs.remove_below(&self.layout.pod(uid));
            }
        }
        self.find_pods(None)
    }

    fn find_pods(&mut self, tail: Option<u64>) -> Result<Vec<Exit>, Error> {
        let mut exits = Vec::new();
        let mut present = Vec::new();
        for (at, id) in self.workloads.iter().enumerate() {
            for pod in view::pods_of(&self.layout, id)? {
                let uid = pod.plan.uid.clone();
                if !self.pods.contains_key(&uid) {
                    let seen = if tail.is_some() { ends(&pod) } else { BTreeMap::new() };
                    let followed = Followed { workload: at, ends: seen, ..Followed::default() };
                    self.pods.insert(uid.clone(), followed);
                    for source in sources(&self.layout, &pod) {
                        self.logs.add(source, tail)?;
                    }
                }
                if let Some(followed) = self.pods.get_mut(&uid) {
                    exits.extend(new_exits(&pod, &mut followed.ends));
                    followed.exit_code = pod.state.exit_code(&PodSpec::from_pod(&pod.plan.pod));
                }
                present.push(uid);
            }
        }
        for (uid, pod) in &mut self.pods {
            pod.is_gone = !present.contains(uid);
        }
        Ok(exits)
    }

    /// Emits the lines that containers have written since the last call, each with the [`label`] of its container.
    ///
    /// # Errors
    /// A log cannot be read.
    pub fn read(
        &mut self,
        emit: &mut dyn FnMut(&str, &Line<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, store::Error> {
        self.logs.drain(&mut |source: &Source, line: &Line<'_>| emit(&source.name, line))
    }

    /// Returns the exit code once all pods have ended or were removed: that of the first pod that failed, else 0. `None`
    /// while there are pods, or a workload that would create them. Lines that were written before the end may still
    /// have to be read.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn exit_code(&self) -> Result<Option<i32>, Error> {
        for id in &self.workloads {
            let Some(record) = view::workload(&self.layout, id)? else { continue };
            let pods = view::pods_of(&self.layout, id)?;
            if record.spec.rule != Rule::Once
                || pods.is_empty()
                || pods.iter().any(|pod| !pod.state.is_terminal())
            {
                return Ok(None);
            }
        }
        let mut codes: Vec<(usize, i32)> =
            self.pods.values().filter_map(|pod| Some((pod.workload, pod.exit_code?))).collect();
        codes.sort_by_key(|(workload, _)| *workload);
        Ok(Some(codes.into_iter().map(|(_, code)| code).find(|code| *code != 0).unwrap_or(0)))
    }
}

impl From<changes::Error> for Error {
    fn from(error: changes::Error) -> Self {
        Self::Store(store::Error::io("watch", "pods")(std::io::Error::other(error)))
    }
}

fn sources(layout: &Layout, pod: &PodView) -> Vec<Source> {
    let names = container::names(pod);
    let is_only_one = names.len() == 1;
    let source = |name: &String| Source {
        name: label(pod.plan.name(), name, is_only_one),
        dir: layout.container_logs(&pod.plan.uid, name),
        run: Run::First,
    };
    names.iter().map(source).collect()
}

fn ends(pod: &PodView) -> BTreeMap<String, Terminated> {
    let ends = pod.state.containers.iter();
    ends.filter_map(|container| Some((container.name.clone(), container.latest.clone()?))).collect()
}

/// Returns the containers whose latest run has ended and is not in `seen`, and adds them to it.
fn new_exits(pod: &PodView, seen: &mut BTreeMap<String, Terminated>) -> Vec<Exit> {
    let is_only_one = container::names(pod).len() == 1;
    let mut exits = Vec::new();
    for (name, end) in ends(pod) {
        if seen.get(&name) != Some(&end) {
            let label = label(pod.plan.name(), &name, is_only_one);
            exits.push(Exit { label, code: end.exit_code, reason: end.reason.clone() });
            seen.insert(name, end);
        }
    }
    exits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::Kind;
    use crate::lifecycle::{Now, Phase, PodState, RunState};
    use crate::observe::tests::fixture::{layout, planned, record};
    use crate::plan::PodPlan;

    fn state(plan: &PodPlan) -> PodState {
        PodState::new(&PodSpec::from_pod(&plan.pod), Now { boot: 0, wall: jiff::Timestamp::UNIX_EPOCH })
    }

    fn save(layout: &Layout, plan: &PodPlan, state: &PodState) {
        std::fs::create_dir_all(layout.pod_run(&plan.uid)).unwrap();
        base::file::write_json(&layout.pod_status(&plan.uid), state).unwrap();
    }

    fn write(layout: &Layout, plan: &PodPlan, container: &str, second: u32, text: &str) {
        use std::io::Write as _;
        let dir = layout.container_logs(&plan.uid, container);
        std::fs::create_dir_all(&dir).unwrap();
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(dir.join("0.log")).unwrap();
        writeln!(file, "2026-11-23T18:00:{second:02}.000000000Z stdout F {text}").unwrap();
    }

    fn lines(attached: &mut Attached) -> Vec<String> {
        let mut found = Vec::new();
        let mut emit = |label: &str, line: &Line<'_>| {
            found.push(format!("{label}: {}", String::from_utf8_lossy(line.content)));
            ControlFlow::Continue(())
        };
        assert!(attached.read(&mut emit).unwrap().is_continue());
        found
    }

    #[test]
    fn new_lines_of_old_pods_and_all_lines_of_new_pods_are_emitted() {
        let (_dir, layout) = layout();
        let web = planned("default", "web", &json!({}));
        record(&layout, Kind::Pod, "default", "web", vec![web.clone()]);
        save(&layout, &web, &state(&web));
        write(&layout, &web, "main", 1, "before");
        let ids = ["web", "db"].map(|name| WorkloadId::new(Kind::Pod, "default", name));
        let mut attached = Attached::new(&layout, ids.into()).unwrap();
        assert_eq!(lines(&mut attached), [""; 0]);
        let mut db = planned("default", "db", &json!({}));
        db.pod.spec.as_mut().unwrap().containers.truncate(1);
        record(&layout, Kind::Pod, "default", "db", vec![db.clone()]);
        save(&layout, &db, &state(&db));
        write(&layout, &db, "main", 2, "first");
        write(&layout, &web, "side", 3, "after");
        assert!(attached.may_have_changed());
        assert_eq!(attached.look().unwrap(), []);
        assert_eq!(lines(&mut attached), ["db: first", "web/side: after"]);
    }

    #[test]
    fn the_end_of_each_run_is_told_once_and_the_code_is_that_of_the_first_pod_that_failed() {
        let (_dir, layout) = layout();
        let (web, db) = (planned("default", "web", &json!({})), planned("default", "db", &json!({})));
        let ids = ["web", "db"].map(|name| WorkloadId::new(Kind::Pod, "default", name));
        let mut attached = Attached::new(&layout, ids.into()).unwrap();
        let end = |plan: &PodPlan, code: i32, phase: Phase| {
            let mut state = state(plan);
            let end = json!({"exit_code": code, "reason": "Error", "finished_at": "2026-11-23T18:00:00Z",
                "finished_boot": 0});
            state.containers[0].latest = Some(serde_json::from_value(end).unwrap());
            state.containers[0].state = RunState::Terminated;
            state.phase = phase;
            save(&layout, plan, &state);
        };
        record(&layout, Kind::Pod, "default", "web", vec![web.clone()]);
        record(&layout, Kind::Pod, "default", "db", vec![db.clone()]);
        end(&web, 3, Phase::Running);
        end(&db, 7, Phase::Failed);
        let exits = attached.look().unwrap();
        let labels: Vec<(&str, i32)> = exits.iter().map(|exit| (exit.label.as_str(), exit.code)).collect();
        assert_eq!(labels, [("web/main", 3), ("db/main", 7)]);
        assert_eq!(attached.look().unwrap(), []);
        assert_eq!(attached.exit_code().unwrap(), None);
        end(&web, 3, Phase::Failed);
        assert_eq!(attached.look().unwrap(), []);
        assert_eq!(attached.exit_code().unwrap(), Some(3));
    }

    #[test]
    fn a_deployment_does_not_end_by_itself() {
        let (_dir, layout) = layout();
        record(&layout, Kind::Deployment, "default", "api", vec![]);
        let id = WorkloadId::new(Kind::Deployment, "default", "api");
        let attached = Attached::new(&layout, vec![id]).unwrap();
        let is_replicas = matches!(view::workloads(&layout).unwrap()[0].spec.rule, Rule::Replicas(_));
        assert!(is_replicas);
        assert_eq!(attached.exit_code().unwrap(), None);
    }
}
