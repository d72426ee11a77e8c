//! `play`: creates all documents of a plan, or none.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use base::file::{FileLock, LockKind};

use super::diff::{Step, diff, gone, start_stopped};
use super::patch::{self, require_met};
use super::undo::undo;
use super::watch::ForwardProgress;
use super::{
    Change, Error, Instance, PlayOptions, Report, WaitFor, conflicts, images, ingresses, last_lines, objects,
    ports, preflight, services, storage,
};
use crate::controller::WorkloadChange;
use crate::kind::{Kind, ObjectRef};
use crate::lifecycle::PodSpec;
use crate::manifest::Document;
use crate::observe::Awaited;
use crate::observe::readiness::PodCheck;
use crate::observe::rollout::{AwaitedWorkload, Goal, wait_for_workloads};
use crate::observe::wait::{Outcome, await_removals, meets_now, outlast_first_moment, wait_with_notice};
use crate::observe::{self, readiness};
use crate::plan::{self, Plan, PodPlan, WorkloadPlan};
use crate::record::{Desired, PodRecord, WorkloadRecord, WorkloadSummary, now};
use crate::repair::stays_stopped;
use crate::store::{Objects, WorkloadId};
use crate::supervisor::ipc::client::{self, Client};
use crate::traffic;
use crate::volume::claims;
use crate::workload::Rule;

/// Plays a plan of `documents`. If one document fails, everything that this call has changed is undone and the former
/// state is restored. Returns the exit code of `--wait=complete` (that of the first container that did not end with 0),
/// else 0.
pub fn play(
    instance: &Instance,
    documents: &[Document],
    mut plan: Plan,
    options: &PlayOptions,
    report: &mut dyn Report,
) -> Result<i32, Error> {
    let deadline = options.timeout.map(|t| Instant::now() + t);
    base::fail_point!(Command, "play-begun");
    for workload in &mut plan.workloads {
        if let Some(document) = documents.iter().find(|d| d.source == workload.source) {
            workload.source = source_id(&document.dir, &document.source);
        }
    }
    fill_in(instance, &mut plan, report)?;
    objects::check_immutable(&instance.layout, documents, &plan.objects)?;
    storage::check(&instance.layout, documents, &plan)?;
    // Errors are reported before images are pulled; what counts is decided under the lock.
    services::complete(instance, documents, &mut plan.objects.clone(), options.dry_run)?;
    let (steps, lock) = resolve(instance, documents, &plan, options, report)?;
    services::complete(instance, documents, &mut plan.objects, options.dry_run)?;
    ingresses::complete(&instance.layout, &mut plan.objects)?;
    if !options.dry_run {
        ingresses::record_settings(&instance.layout, &plan.objects, report)?;
    }
    for warning in services::unused(&instance.layout, &plan.objects) {
        report.warning(&warning);
    }
    let objects = plan.objects.into_iter().map(|o| objects::diff(&instance.layout, o)).collect::<Vec<_>>();
    if options.start {
        check_ports(instance, &steps, options.dry_run)?;
    }
    let find_gone = || -> Result<Vec<WorkloadSummary>, Error> {
        let sources = documents.iter().map(|d| source_id(&d.dir, &d.source));
        let sources: Vec<String> = sources.filter(|source| is_lasting(source)).collect();
        let played: Vec<&WorkloadId> = steps.iter().map(|step| &step.plan.id).collect();
        Ok(gone(WorkloadSummary::list(&instance.layout)?, &played, &sources))
    };
    if options.dry_run {
        report_changes(instance, &objects, &steps, report)?;
        let gone = find_gone()?;
        for record in gone.iter().filter(|_| options.prune) {
            report.changed(&record.id.to_string(), Change::Deleted);
        }
        return Ok(0);
    }

    report.starts_changing();
    let rolls = |step: &&Step| {
        options.start && step.change != Change::Unchanged && matches!(step.plan.rule, Rule::Replicas(_))
    };
    for step in steps.iter().filter(rolls) {
        report.begins(&step.plan.id);
    }
    let mut clients = Vec::new();
    let made = make(instance, &objects, &steps, &mut clients);
    base::fail_point!(Command, "workloads-made");
    // The pods start while this reads the records, of which there may be hundreds.
    let gone = if made.is_ok() { find_gone() } else { Ok(Vec::new()) };
    drop(lock);
    let changed: Vec<&Step> = steps.iter().filter(|step| step.change != Change::Unchanged).collect();
    let made = made.and_then(|()| match options.start {
        true => {
            let awaited: Vec<AwaitedWorkload> = changed.iter().map(|step| step.awaited()).collect();
            let outcome =
                wait_for_workloads(instance, &awaited, clients, deadline, &mut ForwardProgress(report))?;
            warn_of_networks(instance, &changed, report)?;
            require_met(instance, outcome, "start", options.timeout.unwrap_or_default())
        }
        false => Ok(()),
    });
    let failed = match made {
        // What ran and failed is a result, and stays. The end of a pod is what `--wait=complete` waits for.
        Err(e @ Error::ContainerFailed { .. }) => (options.wait != WaitFor::Complete).then_some(e),
        Ok(()) => None,
        // Nothing has failed yet: the pods may still become ready, so nothing is undone.
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(e @ (Error::TimedOut { .. } | Error::Stalled { .. })) => {
            last_lines::report_failed(instance, changed.iter().map(|step| &step.plan.id), &e, report);
            return Err(e);
        }
        Err(e) => {
            last_lines::report_failed(instance, changed.iter().map(|step| &step.plan.id), &e, report);
            undo(instance, &objects, &changed, report);
            return Err(Error::Undone(Box::new(e)));
        }
    };
    base::fail_point!(Command, "workloads-started");
    // The supervisors have reported their pods; a worker of theirs may not be done yet.
    let synced = traffic::sync(&instance.layout, &instance.exe)?;
    report_changes(instance, &objects, &steps, report)?;
    for (service, message) in &synced.pending {
        let is_played = |object: &&objects::Applied| object.is_named(Kind::Service, service);
        if let Some(object) = objects.iter().find(is_played) {
            report.warning(&format!("{}: it waits, because {message}", object.object()));
        }
    }
    ingresses::warn(&objects, &synced.ingresses, report);
    for line in objects::update_volumes(&instance.layout, &objects)? {
        report.warning(&line);
    }
    prune(instance, documents, &gone?, options, report)?;
    let ids = || changed.iter().map(|step| &step.plan.id);
    let failed = match failed {
        None if options.start && options.wait == WaitFor::Started => failed_by_now(instance, ids())?,
        failed => failed,
    };
    if let Some(e) = failed {
        last_lines::report_failed(instance, ids(), &e, report);
        return Err(e);
    }
    if options.wait == WaitFor::Started {
        return Ok(0);
    }
    let mut pods = Vec::new();
    for step in &steps {
        pods.extend(running(instance, &step.plan.id)?);
    }
    finish(instance, &pods, options, deadline, report)
}

/// Returns the error for the pods of which a container has failed by now, although all were started. Nothing is waited for:
/// what fails later shows in `kube ps`, and `--wait` waits for what a pod says of itself.
fn failed_by_now<'a>(
    instance: &Instance,
    ids: impl Iterator<Item = &'a WorkloadId>,
) -> Result<Option<Error>, Error> {
    let mut failed = Vec::new();
    for id in ids {
        let record = WorkloadRecord::load(&instance.layout, id)?;
        let pods = record.iter().flat_map(WorkloadRecord::standing);
        for pod in pods.filter(|pod| pod.desired == Desired::Running) {
            // A state that is damaged is written again.
            let Ok(state) = pod.last_state(&instance.layout) else { continue };
            let why = state.has_failed(&PodSpec::from_pod(&pod.plan.pod));
            failed.extend(why.map(|message| (format!("pod/{}", pod.plan.name()), message)));
        }
    }
    let others = failed.len().saturating_sub(1);
    let first = failed.into_iter().next();
    Ok(first.map(|(object, message)| Error::ContainerFailed { object, message, others }))
}

/// Decides what to do, pulls and checks everything that the plan needs, then takes the lock under which the plan is
/// carried out. If a workload has changed in the meantime, decides again.
fn resolve(
    instance: &Instance,
    documents: &[Document],
    plan: &Plan,
    options: &PlayOptions,
    report: &mut dyn Report,
) -> Result<(Vec<Step>, FileLock), Error> {
    loop {
        let records = recorded(instance, &plan.workloads)?;
        let mut steps = diff(plan.workloads.clone(), records, options.start, options.replace);
        if options.start {
            start_stopped(&mut steps, |id, pod| stays_stopped(instance, id) && runs_again(instance, pod));
        }
        conflicts::check(&instance.layout, documents, &steps)?;
        // Images are pulled before the lock is taken, because pulls are slow and change nothing that other commands
        // see.
        if !options.dry_run {
            prepare(instance, plan, &steps, report)?;
        }
        let lock = FileLock::acquire(&instance.layout.play_lock(), LockKind::Exclusive)?;
        let mut is_same = true;
        for step in &steps {
            let now = WorkloadRecord::load(&instance.layout, &step.plan.id)?;
            is_same &= match &step.before {
                // A workload that was being deleted may be removed by now.
                Some(before) if !before.deleting => patch::is_same(before, now.as_ref()),
                _ => now.is_none_or(|now| now.deleting),
            };
        }
        if is_same || options.dry_run {
            return Ok((steps, lock));
        }
    }
}

/// Warns about problems that make started pods unreachable. Each warning is reported once.
fn warn_of_networks(instance: &Instance, steps: &[&Step], report: &mut dyn Report) -> Result<(), Error> {
    for step in steps {
        for pod in running(instance, &step.plan.id)? {
            for warning in crate::sandbox::network_warnings(&instance.layout, &pod.uid) {
                report.warning(&warning);
            }
        }
    }
    Ok(())
}

/// Returns the pods of a workload that should run.
fn running(instance: &Instance, id: &WorkloadId) -> Result<Vec<Awaited>, Error> {
    let record = WorkloadRecord::load(&instance.layout, id)?;
    let pods = record.iter().flat_map(WorkloadRecord::standing);
    let running = pods.filter(|pod| pod.desired == Desired::Running);
    Ok(running.map(|pod| Awaited::new(id, &pod.plan)).collect())
}

impl Step {
    /// Returns what to wait for after this step has been carried out.
    fn awaited(&self) -> AwaitedWorkload {
        let is_rollout = self.change == Change::Configured && matches!(self.spec.rule, Rule::Replicas(_));
        AwaitedWorkload {
            id: self.plan.id.clone(),
            generation: self.spec.generation,
            goal: if is_rollout { Goal::RolledOut } else { Goal::Started },
        }
    }
}

/// Fills in the values that `generate` left out of Secrets. Warns about values and claims that nothing provides.
fn fill_in(instance: &Instance, plan: &mut Plan, report: &mut dyn Report) -> Result<(), Error> {
    for object in &mut plan.objects {
        for key in objects::fill_in(&instance.layout, object)? {
            report.warning(&format!(
                "{}: {key} was left empty by `kube generate`, and there is no value for it here: fill it in",
                object.id
            ));
        }
    }
    for (namespace, name) in plan::undeclared_claims(plan) {
        let stands = claims::exists(&instance.layout, &namespace, &name);
        let claim = ObjectRef::new(Kind::PersistentVolumeClaim, &namespace, &name);
        if !stands && Objects::get(&instance.layout, &claim)?.is_none() {
            report.warning(&format!(
                "no manifest defines the PersistentVolumeClaim {name} (namespace {namespace}): an empty volume is created on first use"
            ));
        }
    }
    Ok(())
}

/// Pulls the images of new pods, and checks whether all new pods can be created.
fn prepare(instance: &Instance, plan: &Plan, steps: &[Step], report: &mut dyn Report) -> Result<(), Error> {
    let new = steps.iter().filter(|step| step.creates);
    let objects_of: Vec<&serde_json::Value> = new.clone().map(|step| &step.spec.object).collect();
    let new: Vec<_> =
        new.map(|step| (step.plan.id.to_string(), preflight::sample_pod(&step.spec.template))).collect();
    let mut objects = Objects::load(&instance.layout)?;
    // Objects of this play replace recorded objects of the same name.
    for object in &plan.objects {
        objects.overlay(&object.id, &object.object);
    }
    let pods = new.iter().map(|(_, pod)| pod).zip(objects_of);
    let names = images::names(new.iter().map(|(_, pod)| pod))?;
    images::pull(instance, pods, &names, plan.pull, &objects, report)?;
    preflight::check(instance, &new, &objects, &names)?;
    for warning in preflight::lacking(&new) {
        report.warning(&warning);
    }
    Ok(())
}

/// Fails if a host port of new pods is taken, unless a pod that they replace has the port.
fn check_ports(instance: &Instance, steps: &[Step], dry_run: bool) -> Result<(), Error> {
    let added: Vec<PodPlan> = steps
        .iter()
        .filter(|step| step.creates)
        .map(|step| preflight::sample_pod(&step.spec.template))
        .collect();
    let mut leaving: Vec<String> = steps.iter().flat_map(|step| step.going.iter().cloned()).collect();
    if added.iter().any(ports::are_claimed) {
        match dry_run {
            true => leaving.extend(observe::view::leaving(&instance.layout)?.into_iter().map(|pod| pod.uid)),
            // The supervisors wait until the removed pods of our own workloads have released their ports.
            false => await_removals(instance, &leaving)?,
        }
    }
    ports::check(instance, &added.iter().collect::<Vec<_>>(), &leaving)
}

/// Reports what a play does, or did, in kubectl's words.
fn report_changes(
    instance: &Instance,
    objects: &[objects::Applied],
    steps: &[Step],
    report: &mut dyn Report,
) -> Result<(), Error> {
    for object in objects {
        report.changed(&object.object(), object.change);
    }
    for step in steps {
        let id = &step.plan.id;
        match step.change {
            Change::Unchanged => {
                let mut pods = observe::view::pods_of(&instance.layout, id)?;
                pods.retain(|pod| !pod.terminating);
                report.unchanged(&id.to_string(), &pods);
            }
            change => report.changed(&id.to_string(), change),
        }
    }
    Ok(())
}

fn prune(
    instance: &Instance,
    documents: &[Document],
    gone: &[WorkloadSummary],
    options: &PlayOptions,
    report: &mut dyn Report,
) -> Result<(), Error> {
    if options.prune {
        if !documents.iter().any(|d| is_lasting(&source_id(&d.dir, &d.source))) {
            report.hint("--prune removes nothing here: manifests from a pipe have no earlier play");
        }
        let targets: Vec<_> = gone.iter().map(|r| super::Target::Workload(r.id.clone())).collect();
        return super::down(instance, &targets, &super::DownOptions::default(), report);
    }
    for hint in gone_hints(gone) {
        report.hint(&hint);
    }
    Ok(())
}

/// Returns one hint per workload that its file no longer contains; for a file that has lost many, one hint for all of
/// them.
fn gone_hints(gone: &[WorkloadSummary]) -> Vec<String> {
    const MANY: usize = 4;
    let mut hints = Vec::new();
    let mut of_source: BTreeMap<&str, Vec<&WorkloadId>> = BTreeMap::new();
    for record in gone {
        of_source.entry(&record.source).or_default().push(&record.id);
    }
    for (source, ids) in of_source {
        match &ids[..] {
            [first, second, .., last] if ids.len() >= MANY => hints.push(format!(
                "{} workloads ({first}, {second}, ..., {last}) are no longer in {source} and keep running; \
                 `kube play --prune` removes them",
                ids.len()
            )),
            _ => hints.extend(ids.iter().map(|id| {
                format!(
                    "{id} is no longer in {source} and keeps running; `kube play --prune` or `kube down {id}` \
                     removes it"
                )
            })),
        }
    }
    hints
}

/// Returns whether a pod without a supervisor would run if it were started. With restartPolicy Never a pod that has run
/// has ended and would not.
fn runs_again(instance: &Instance, recorded: &PodRecord) -> bool {
    let spec = PodSpec::from_pod(&recorded.plan.pod);
    // A state that cannot be read is created again.
    recorded.last_state(&instance.layout).map_or(true, |state| !state.revive(&spec, now()).is_terminal())
}

/// Returns the records of the workloads of a plan.
fn recorded(instance: &Instance, plans: &[WorkloadPlan]) -> Result<Vec<WorkloadRecord>, Error> {
    let mut found = Vec::new();
    for plan in plans {
        found.extend(WorkloadRecord::load(&instance.layout, &plan.id)?);
    }
    Ok(found)
}

fn make(
    instance: &Instance,
    objects: &[objects::Applied],
    steps: &[Step],
    clients: &mut Vec<Client>,
) -> Result<(), Error> {
    // Claims bind to volumes of the same play.
    let (volumes, others): (Vec<_>, Vec<_>) =
        objects.iter().partition(|object| object.kind() == Kind::PersistentVolume);
    for object in volumes.into_iter().chain(others) {
        objects::apply(&instance.layout, object)?;
    }
    // Services are there before the pods that look for them.
    if objects.iter().any(|object| object.directs_traffic() && object.change != Change::Unchanged) {
        traffic::sync(&instance.layout, &instance.exe)?;
        base::fail_point!(Command, "traffic-directed");
    }
    for step in steps.iter().filter(|step| step.change != Change::Unchanged) {
        let change = WorkloadChange::Apply { spec: Box::new(step.spec.clone()), kill: Vec::new() };
        clients.extend(client::apply(&instance.layout, &instance.exe, &step.plan.id, &change)?);
    }
    Ok(())
}

/// Waits for the state that `--wait` names, and returns the exit code.
fn finish(
    instance: &Instance,
    pods: &[Awaited],
    options: &PlayOptions,
    deadline: Option<Instant>,
    report: &mut dyn Report,
) -> Result<i32, Error> {
    let (check, what): (PodCheck, _) = match options.wait {
        WaitFor::Started => return Ok(0),
        WaitFor::Ready => (readiness::ready_without_crash_loop, "be ready"),
        WaitFor::Complete => (readiness::complete, "complete"),
    };
    loop {
        let mut outcome =
            wait_with_notice(instance, pods, Vec::new(), deadline, &mut ForwardProgress(report), check)?;
        let mut stands = true;
        if outcome == Outcome::Met && options.wait == WaitFor::Ready {
            outlast_first_moment(instance, pods, deadline)?;
            // A pod that was ready may have failed while another one was waited for.
            (outcome, stands) = meets_now(instance, pods, check)?;
        }
        outcome.met(what, options.timeout).map_err(Error::from).inspect_err(|e| {
            last_lines::report_failed(instance, pods.iter().map(|pod| &pod.workload), e, report);
        })?;
        if stands {
            break;
        }
    }
    if options.wait == WaitFor::Ready {
        // A worker of a supervisor may not have told Services of the last pod yet.
        traffic::sync(&instance.layout, &instance.exe)?;
        return Ok(0);
    }
    let views = observe::view::pods(&instance.layout)?;
    let ended = views.iter().filter(|view| pods.iter().any(|pod| pod.uid == view.plan.uid));
    let mut first = 0;
    for view in ended {
        let code = view.state.exit_code(&PodSpec::from_pod(&view.plan.pod)).unwrap_or(0);
        if code != 0 {
            last_lines::report_pod(instance, &view.plan, &view.state, report);
            first = if first == 0 { code } else { first };
        }
    }
    Ok(first)
}

/// `play --all`: starts workloads that should run and do not, for example after a reboot. Returns an exit code as
/// [`play`] does.
pub fn play_all(instance: &Instance, options: &PlayOptions, report: &mut dyn Report) -> Result<i32, Error> {
    let deadline = options.timeout.map(|t| Instant::now() + t);
    let mut records = WorkloadRecord::list(&instance.layout)?;
    let should_run = |pod: &PodRecord| pod.desired == Desired::Running && pod.ended.is_none();
    records.retain(|record| record.standing().any(should_run));
    let mut pods = records.iter().flat_map(WorkloadRecord::standing).filter(|pod| should_run(pod));
    if !options.dry_run && pods.any(|pod| ports::are_claimed(&pod.plan)) {
        await_removals(instance, &[])?;
    }
    let mut clients = Vec::new();
    let (mut awaited, mut started) = (Vec::new(), Vec::new());
    for WorkloadRecord { id, spec, .. } in &records {
        let runs = Client::connect(&instance.layout, id)?;
        let change = if runs.is_some() { Change::Unchanged } else { Change::Started };
        if !options.dry_run {
            clients.push(match runs {
                Some(client) => client,
                None => Client::connect_or_spawn(&instance.layout, &instance.exe, id)?,
            });
        }
        let (id, generation) = (id.clone(), spec.generation);
        report.changed(&id.to_string(), change);
        if change == Change::Started {
            started.push(id.clone());
        }
        awaited.push(AwaitedWorkload { id, generation, goal: Goal::Started });
    }
    if options.dry_run {
        return Ok(0);
    }
    let outcome = wait_for_workloads(instance, &awaited, clients, deadline, &mut ForwardProgress(report))?;
    let mut pods = Vec::new();
    for one in &awaited {
        pods.extend(running(instance, &one.id)?);
    }
    for pod in &pods {
        for warning in crate::sandbox::network_warnings(&instance.layout, &pod.uid) {
            report.warning(&warning);
        }
    }
    match require_met(instance, outcome, "start", options.timeout.unwrap_or_default()) {
        Err(Error::ContainerFailed { .. }) if options.wait == WaitFor::Complete => {}
        result => result
            .and_then(|()| match options.wait {
                WaitFor::Started => failed_by_now(instance, started.iter())?.map_or(Ok(()), Err),
                _ => Ok(()),
            })
            .inspect_err(|e| {
                last_lines::report_failed(instance, awaited.iter().map(|one| &one.id), e, report);
            })?,
    }
    finish(instance, &pods, options, deadline, report)
}

/// Returns whether a later play can read the same source again, changed or not: a file or a URL. A pipe (stdin,
/// `<(...)`) has other contents each time.
fn is_lasting(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://") || Path::new(source).is_file()
}

/// Returns the name of a document's source for records: the absolute path of a file, else the given name.
fn source_id(dir: &Path, name: &str) -> String {
    let file = Path::new(name).file_name().map(|name| dir.join(name));
    match file.and_then(|file| file.canonicalize().ok()) {
        Some(path) => path.display().to_string(),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(name: &str, source: &str) -> WorkloadSummary {
        let id = serde_json::json!({"kind": "pod", "namespace": "default", "name": name});
        serde_json::from_value(serde_json::json!({"id": id, "source": source, "pods": []})).unwrap()
    }

    #[test]
    fn only_a_source_that_can_be_read_again_is_lasting() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("web.yaml");
        std::fs::write(&file, "").unwrap();
        assert!(is_lasting(&source_id(dir.path(), "web.yaml")));
        assert!(is_lasting(&source_id(dir.path(), "https://example.com/web.yaml")));
        let (_read, write) = std::io::pipe().unwrap();
        let name = std::os::fd::AsRawFd::as_raw_fd(&write).to_string();
        assert!(!is_lasting(&source_id(Path::new("/dev/fd"), &format!("/dev/fd/{name}"))));
        assert!(!is_lasting(&source_id(dir.path(), "-")));
    }

    #[test]
    fn many_workloads_that_a_file_no_longer_contains_have_one_hint() {
        let few = [summary("a", "/x.yaml"), summary("b", "/x.yaml"), summary("c", "/x.yaml")];
        let hints = gone_hints(&few);
        assert_eq!(hints.len(), 3);
        assert_eq!(
            hints[0],
            "pod/a is no longer in /x.yaml and keeps running; `kube play --prune` or `kube down pod/a` removes it"
        );
        let many = [&few[..], &[summary("d", "/x.yaml"), summary("e", "/y.yaml")]].concat();
        assert_eq!(
            gone_hints(&many),
            [
                "4 workloads (pod/a, pod/b, ..., pod/d) are no longer in /x.yaml and keep running; \
                 `kube play --prune` removes them",
                "pod/e is no longer in /y.yaml and keeps running; `kube play --prune` or `kube down pod/e` \
                 removes it"
            ]
        );
    }
}
