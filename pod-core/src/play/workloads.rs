//! `play`: every document is made, or none.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use base::file::{FileLock, LockKind};

use super::diff::{Step, diff, gone, start_resting};
use super::undo::undo;
use super::{
    Change, Error, Host, PlayOptions, Report, WaitFor, images, last_lines, objects, ports, preflight,
};
use crate::lifecycle::PodSpec;
use crate::manifest::Document;
use crate::observe::Awaited;
use crate::observe::readiness::Judge;
use crate::observe::wait::{Outcome, await_removals, is_so, outlast_first_moment, wait_telling};
use crate::observe::{self, readiness};
use crate::plan::{self, Plan, PodPlan, WorkloadPlan};
use crate::repair::rests;
use crate::store::{Desired, Objects, PodRecord, WorkloadGlance, WorkloadId, WorkloadRecord};
use crate::supervisor;
use crate::supervisor::ipc::client::{self, Client};
use crate::version::Version;
use crate::volume::claims;

/// One workload as this play leaves it.
pub(super) struct Applied {
    pub(super) step: Step,
    pub(super) after: WorkloadRecord,
}

/// Plays a plan of `documents`. Every document is made, or none: what this call made is undone when one fails, and
/// what stood before stands. Gives the exit code of `--wait=complete` (the first container's that is not 0), else 0.
pub fn play(
    host: &Host,
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
    fill_in(host, &mut plan, report)?;
    // Pulls are slow and change nothing that others see: they go before the lock.
    if !options.dry_run {
        prepare(host, &plan, options, report)?;
    }

    let lock = FileLock::acquire(&host.layout.play_lock(), LockKind::Exclusive)?;
    let records = recorded(host, &plan.workloads)?;
    let objects = plan.objects.into_iter().map(|o| objects::diff(&host.layout, o)).collect::<Vec<_>>();
    let mut steps = diff(plan.workloads, records, options.start, options.replace);
    if options.start {
        start_resting(&mut steps, |id, pod| rests(host, id) && runs_again(host, pod));
    }
    let applied: Vec<Applied> = steps.into_iter().map(|step| apply(step, options.start)).collect();
    if options.start {
        check_ports(host, &applied, options.dry_run)?;
    }
    let find_gone = || -> Result<Vec<WorkloadGlance>, Error> {
        let sources = documents.iter().map(|d| source_id(&d.dir, &d.source));
        let sources: Vec<String> = sources.filter(|source| is_lasting(source)).collect();
        let played: Vec<&WorkloadId> = applied.iter().map(|a| &a.after.id).collect();
        Ok(gone(WorkloadGlance::list(&host.layout)?, &played, &sources))
    };
    if options.dry_run {
        tell(host, &objects, &applied, report)?;
        let gone = find_gone()?;
        for record in gone.iter().filter(|_| options.prune) {
            report.changed(&record.id.to_string(), Change::Deleted);
        }
        return Ok(0);
    }

    let mut clients = Vec::new();
    let made = make(host, &objects, &applied, &mut clients);
    base::fail_point!(Command, "workloads-made");
    // While the pods start: there may be hundreds of others.
    let gone = if made.is_ok() { find_gone() } else { Ok(Vec::new()) };
    drop(lock);
    let changed = applied.iter().filter(|a| a.step.change != Change::Unchanged);
    let changed: Vec<Awaited> = changed.flat_map(Applied::running).collect();
    let made = made.and_then(|()| match options.start {
        true => {
            let outcome = wait_telling(
                host,
                &changed,
                clients,
                deadline,
                &mut |pods| report.waiting(pods),
                readiness::started,
            )?;
            tell_of_networks(host, &changed, report);
            Ok(outcome.met("start", options.timeout)?)
        }
        false => Ok(()),
    });
    if let Err(e) = made {
        // What is merely not there yet is left to come.
        if matches!(e, Error::TimedOut { .. }) {
            return Err(e);
        }
        last_lines::tell(host, &changed, &e, report);
        undo(host, &objects, &applied, report);
        return Err(Error::Undone(Box::new(e)));
    }
    base::fail_point!(Command, "workloads-started");
    tell(host, &objects, &applied, report)?;
    for line in objects::update_volumes(&host.layout, &objects)? {
        report.warning(&line);
    }
    prune(host, documents, &gone?, options, report)?;
    let pods: Vec<Awaited> = applied.iter().flat_map(Applied::running).collect();
    finish(host, &pods, options, deadline, report)
}

/// Warns of what keeps pods that have started from being reached, each thing once.
fn tell_of_networks(host: &Host, pods: &[Awaited], report: &mut dyn Report) {
    for pod in pods {
        for warning in crate::sandbox::network_warnings(&host.layout, &pod.uid) {
            report.warning(&warning);
        }
    }
}

/// Fills in what `generate` left out of Secrets; tells of what nobody provides.
fn fill_in(host: &Host, plan: &mut Plan, report: &mut dyn Report) -> Result<(), Error> {
    for object in &mut plan.objects {
        for key in objects::fill_in(&host.layout, object)? {
            report.warning(&format!(
                "secret/{}: {key} was left empty by `kube generate`, and there is no value for it here: fill it in",
                object.name
            ));
        }
    }
    for (namespace, name) in plan::undeclared_claims(plan) {
        let stands = claims::exists(&host.layout, &namespace, &name);
        if !stands && Objects::get(&host.layout, objects::CLAIM, &namespace, &name)?.is_none() {
            report.warning(&format!(
                "no manifest makes the PersistentVolumeClaim {name} (namespace {namespace}): an empty volume is made on first use"
            ));
        }
    }
    Ok(())
}

/// Pulls the images of new pods, and looks whether all of them can be made.
fn prepare(host: &Host, plan: &Plan, options: &PlayOptions, report: &mut dyn Report) -> Result<(), Error> {
    let records = recorded(host, &plan.workloads)?;
    let steps = diff(plan.workloads.clone(), records, options.start, options.replace);
    let new = steps.iter().filter(|step| step.add > 0);
    let objects_of: Vec<&serde_json::Value> = new.clone().map(|step| &step.plan.object).collect();
    let new: Vec<_> = new.map(|step| (step.plan.id.to_string(), instantiate(&step.plan))).collect();
    let mut objects = Objects::load(&host.layout)?;
    // Those of this play over those of this machine.
    for object in &plan.objects {
        objects.overlay(&object.kind, &object.namespace, &object.name, &object.object);
    }
    let pods = new.iter().map(|(_, pod)| pod).zip(objects_of);
    let names = images::names(new.iter().map(|(_, pod)| pod))?;
    images::pull(host, pods, &names, plan.pull, &objects, report)?;
    preflight::check(host, &new, &objects, &names)?;
    for warning in preflight::lacking(&new) {
        report.warning(&warning);
    }
    Ok(())
}

/// Fails if a port of new pods is taken, but by those that go for them.
fn check_ports(host: &Host, applied: &[Applied], dry_run: bool) -> Result<(), Error> {
    let added: Vec<&PodPlan> = applied.iter().flat_map(Applied::added).collect();
    let removed = applied.iter().flat_map(|a| &a.step.remove);
    let mut leaving: Vec<String> = removed.map(|pod| pod.plan.uid.clone()).collect();
    if added.iter().any(|pod| ports::are_claimed(pod)) {
        match dry_run {
            true => leaving.extend(observe::view::leaving(&host.layout)?.into_iter().map(|pod| pod.uid)),
            // Those of our own workloads are waited for by their supervisors.
            false => await_removals(host, &leaving)?,
        }
    }
    ports::check(host, &added, &leaving)
}

/// What a play does, or did, in kubectl's words.
fn tell(
    host: &Host,
    objects: &[objects::Applied],
    applied: &[Applied],
    report: &mut dyn Report,
) -> Result<(), Error> {
    for object in objects {
        report.changed(&object.object(), object.change);
    }
    for workload in applied {
        let id = &workload.after.id;
        match workload.step.change {
            Change::Unchanged => {
                let mut pods = observe::view::pods_of(&host.layout, id)?;
                pods.retain(|pod| !pod.terminating);
                report.unchanged(&id.to_string(), &pods);
            }
            change => report.changed(&id.to_string(), change),
        }
    }
    Ok(())
}

fn prune(
    host: &Host,
    documents: &[Document],
    gone: &[WorkloadGlance],
    options: &PlayOptions,
    report: &mut dyn Report,
) -> Result<(), Error> {
    if options.prune {
        if !documents.iter().any(|d| is_lasting(&source_id(&d.dir, &d.source))) {
            report.hint("--prune removes nothing here: what comes from a pipe is no earlier play's file");
        }
        let targets: Vec<_> = gone.iter().map(|r| super::Target::Workload(r.id.clone())).collect();
        return super::down(host, &targets, &super::DownOptions::default(), report);
    }
    for hint in gone_hints(gone) {
        report.hint(&hint);
    }
    Ok(())
}

/// A line for each workload that is gone from its file, or one for all of a file that has many.
fn gone_hints(gone: &[WorkloadGlance]) -> Vec<String> {
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

/// A pod that nobody runs would run if it were started: with restartPolicy Never, one that has run has ended.
fn runs_again(host: &Host, recorded: &PodRecord) -> bool {
    let spec = PodSpec::from_pod(&recorded.plan.pod);
    // A state that cannot be read is made anew.
    supervisor::last_state(&host.layout, recorded)
        .map_or(true, |state| !state.revive(&spec, supervisor::now()).is_terminal())
}

/// What is recorded of the workloads of a plan.
fn recorded(host: &Host, plans: &[WorkloadPlan]) -> Result<Vec<WorkloadRecord>, Error> {
    let mut found = Vec::new();
    for plan in plans {
        found.extend(WorkloadRecord::load(&host.layout, &plan.id)?);
    }
    Ok(found)
}

fn instantiate(plan: &WorkloadPlan) -> PodPlan {
    let uid = uuid::Uuid::new_v4();
    plan.template.instantiate(&uid.to_string(), &suffix(uid.as_bytes()), jiff::Timestamp::now())
}

/// Five characters of Kubernetes' alphabet for generated names, which spells no words.
fn suffix(random: &[u8]) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    random.iter().take(5).filter_map(|b| ALPHABET.get(usize::from(*b) % 27)).map(|b| char::from(*b)).collect()
}

fn apply(step: Step, start: bool) -> Applied {
    let mut pods = step.keep.clone();
    for _ in 0..step.add {
        pods.push(PodRecord {
            plan: instantiate(&step.plan),
            desired: if start { Desired::Running } else { Desired::Stopped },
            removing: false,
            grace_seconds: None,
            ended: None,
        });
    }
    for pod in &step.remove {
        pods.push(PodRecord { desired: Desired::Stopped, removing: true, ..pod.clone() });
    }
    let (uid, created) = match &step.before {
        Some(before) if step.change != Change::Created => (before.uid.clone(), before.created),
        _ => (uuid::Uuid::new_v4().to_string(), jiff::Timestamp::now()),
    };
    let after = WorkloadRecord {
        version: Version::current(),
        id: step.plan.id.clone(),
        object: step.plan.object.clone(),
        hash: step.plan.hash.clone(),
        uid,
        created,
        source: step.plan.source.clone(),
        pods,
        stands_without_pods: step.plan.replicas == 0,
    };
    Applied { step, after }
}

impl Applied {
    /// Pods that stand when this play is done.
    fn standing(&self) -> impl Iterator<Item = &PodRecord> {
        self.after.pods.iter().filter(|pod| !pod.removing)
    }

    /// Those of them that this play makes.
    pub(super) fn added(&self) -> impl Iterator<Item = &PodPlan> {
        let kept = |pod: &PodRecord| self.step.keep.iter().any(|k| k.plan.uid == pod.plan.uid);
        self.standing().filter(move |pod| !kept(pod)).map(|pod| &pod.plan)
    }

    /// Those of them that should run.
    fn running(&self) -> impl Iterator<Item = Awaited> {
        let running = self.standing().filter(|pod| pod.desired == Desired::Running);
        running.map(|pod| Awaited::new(&self.after.id, &pod.plan))
    }
}

fn make(
    host: &Host,
    objects: &[objects::Applied],
    applied: &[Applied],
    clients: &mut Vec<Client>,
) -> Result<(), Error> {
    for object in objects {
        objects::apply(&host.layout, object)?;
    }
    for workload in applied {
        if workload.step.change != Change::Unchanged {
            clients.extend(client::apply(&host.layout, &host.exe, &workload.after)?);
        }
    }
    Ok(())
}

/// Waits for what `--wait` names; the exit code.
fn finish(
    host: &Host,
    pods: &[Awaited],
    options: &PlayOptions,
    deadline: Option<Instant>,
    report: &mut dyn Report,
) -> Result<i32, Error> {
    let (judge, what): (Judge, _) = match options.wait {
        WaitFor::Started => return Ok(0),
        WaitFor::Ready => (readiness::ready, "be ready"),
        WaitFor::Complete => (readiness::complete, "complete"),
    };
    loop {
        let mut outcome =
            wait_telling(host, pods, Vec::new(), deadline, &mut |pods| report.waiting(pods), judge)?;
        let mut stands = true;
        if outcome == Outcome::Met && options.wait == WaitFor::Ready {
            outlast_first_moment(host, pods, deadline)?;
            // One that was ready may have failed while another was waited for.
            (outcome, stands) = is_so(host, pods, judge)?;
        }
        outcome
            .met(what, options.timeout)
            .map_err(Error::from)
            .inspect_err(|e| last_lines::tell(host, pods, e, report))?;
        if stands {
            break;
        }
    }
    if options.wait == WaitFor::Ready {
        return Ok(0);
    }
    let views = observe::view::pods(&host.layout)?;
    let ended = views.iter().filter(|view| pods.iter().any(|pod| pod.uid == view.plan.uid));
    Ok(ended.filter_map(|view| view.state.exit_code()).find(|code| *code != 0).unwrap_or(0))
}

/// `play --all`: starts what should run and does not (after a reboot). Gives the exit code, as [`play`] does.
pub fn play_all(host: &Host, options: &PlayOptions, report: &mut dyn Report) -> Result<i32, Error> {
    let deadline = options.timeout.map(|t| Instant::now() + t);
    let mut records = WorkloadRecord::list(&host.layout)?;
    for record in &mut records {
        record.pods.retain(|pod| pod.desired == Desired::Running && pod.ended.is_none());
    }
    records.retain(|record| !record.pods.is_empty());
    let pods = || records.iter().flat_map(|record| record.pods.iter().map(|pod| (&record.id, &pod.plan)));
    if !options.dry_run && pods().any(|(_, pod)| ports::are_claimed(pod)) {
        await_removals(host, &[])?;
    }
    let mut clients = Vec::new();
    for WorkloadRecord { id, .. } in &records {
        let runs = Client::connect(&host.layout, id)?;
        let change = if runs.is_some() { Change::Unchanged } else { Change::Started };
        if !options.dry_run {
            clients.push(match runs {
                Some(client) => client,
                None => Client::connect_or_spawn(&host.layout, &host.exe, id)?,
            });
        }
        report.changed(&id.to_string(), change);
    }
    if options.dry_run {
        return Ok(0);
    }
    let pods: Vec<Awaited> = pods().map(|(id, pod)| Awaited::new(id, pod)).collect();
    let outcome =
        wait_telling(host, &pods, clients, deadline, &mut |pods| report.waiting(pods), readiness::started)?;
    tell_of_networks(host, &pods, report);
    outcome.met("start", options.timeout)?;
    finish(host, &pods, options, deadline, report)
}

/// Whether the next play of a source reads the same again, changed or not: a file or a URL. What comes out of a pipe
/// (stdin, `<(...)`) is another one each time.
fn is_lasting(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://") || Path::new(source).is_file()
}

/// What a document's source is called in records: its absolute path, where it is a file.
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

    fn glance(name: &str, source: &str) -> WorkloadGlance {
        let id = serde_json::json!({"kind": "pod", "namespace": "default", "name": name});
        serde_json::from_value(serde_json::json!({"id": id, "source": source, "pods": []})).unwrap()
    }

    #[test]
    fn only_what_can_be_read_again_can_lose_a_workload() {
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
    fn many_workloads_that_are_gone_from_a_file_are_told_in_one_line() {
        let few = [glance("a", "/x.yaml"), glance("b", "/x.yaml"), glance("c", "/x.yaml")];
        let hints = gone_hints(&few);
        assert_eq!(hints.len(), 3);
        assert_eq!(
            hints[0],
            "pod/a is no longer in /x.yaml and keeps running; `kube play --prune` or `kube down pod/a` removes it"
        );
        let many = [&few[..], &[glance("d", "/x.yaml"), glance("e", "/y.yaml")]].concat();
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
