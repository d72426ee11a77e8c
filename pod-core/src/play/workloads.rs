//! `play`: every document is made, or none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use network::fail_point;

use super::diff::{Step, diff, gone};
use super::wait::{Awaited, Known, Outcome, Verdict, await_removals, wait_for, wait_telling};
use super::{
    Change, Error, Host, PlayOptions, Report, WaitFor, images, judge, objects, ports, preflight, view,
};
use crate::lifecycle::PodSpec;
use crate::manifest::{Document, Severity};
use crate::plan::{self, PodPlan, WorkloadPlan};
use crate::store::{Desired, FileLock, LockKind, Objects, PodRecord, WorkloadGlance, WorkloadRecord};
use crate::supervisor::client::{self, Client};

/// How long an undo waits for what stood before to start again.
const RESTORE: Duration = Duration::from_mins(1);

/// One workload as this play leaves it.
struct Applied {
    step: Step,
    after: WorkloadRecord,
}

/// Plays documents. Every document is made, or none: what this call made is undone when one fails, and what
/// stood before stands. Gives the exit code of `--wait=complete` (the first container's that is not 0), else 0.
pub fn play(
    host: &Host,
    documents: &[Document],
    options: &PlayOptions,
    report: &mut dyn Report,
) -> Result<i32, Error> {
    let deadline = options.timeout.map(|t| Instant::now() + t);
    fail_point("play-begun");
    let (mut plan, warnings) = plan::plan(documents, &options.plan).map_err(Error::Invalid)?;
    for warning in warnings.iter().filter(|d| d.severity == Severity::Warning) {
        report.warning(&warning.to_string());
    }
    for object in &mut plan.objects {
        for key in objects::fill_in(&host.layout, object)? {
            report.warning(&format!(
                "secret/{}: {key} was left empty by `kube generate`, and there is no value for it here: fill it in",
                object.name
            ));
        }
    }
    let known = Objects::load(&host.layout)?;
    for claim in plan::undeclared_claims(&plan) {
        if !known.claims.contains_key(&claim) {
            let (namespace, name) = claim;
            report.warning(&format!(
                "no manifest makes the PersistentVolumeClaim {name} (namespace {namespace}): an empty volume is made on first use"
            ));
        }
    }

    for workload in &mut plan.workloads {
        if let Some(document) = documents.iter().find(|d| d.source == workload.source) {
            workload.source = source_id(&document.dir, &document.source);
        }
    }

    let lock_path = host.layout.runroot.join("play.lock");
    // Pulls are slow and change nothing that others see: they go before the lock.
    if !options.dry_run {
        let steps =
            diff(plan.workloads.clone(), recorded(host, &plan.workloads)?, options.start, options.replace);
        let new: Vec<_> = steps
            .iter()
            .filter(|s| s.add > 0)
            .map(|s| (s.plan.id.to_string(), instantiate(&s.plan)))
            .collect();
        let pods: Vec<PodPlan> = new.iter().map(|(_, pod)| pod.clone()).collect();
        let objects = objects_of(host, &plan)?;
        images::pull(host, &pods, &objects, report)?;
        preflight::check(host, &new, &objects)?;
        for warning in preflight::lacking(&new) {
            report.warning(&warning);
        }
    }

    let lock = FileLock::acquire(&lock_path, LockKind::Exclusive)?;
    let records = recorded(host, &plan.workloads)?;
    let object_steps =
        plan.objects.iter().map(|o| objects::diff(&host.layout, o.clone())).collect::<Result<Vec<_>, _>>()?;
    let steps = diff(plan.workloads, records, options.start, options.replace);
    let applied: Vec<Applied> = steps.into_iter().map(|step| prepare(step, options.start)).collect();
    let added: Vec<PodPlan> = applied.iter().flat_map(|a| a.added().map(|pod| pod.plan.clone())).collect();
    let mut leaving: Vec<String> =
        applied.iter().flat_map(|a| a.step.remove.iter().map(|pod| pod.plan.uid.clone())).collect();
    if options.start && added.iter().any(ports::are_claimed) {
        match options.dry_run {
            true => leaving.extend(view::leaving(&host.layout)?.into_iter().map(|pod| pod.uid)),
            // Those of our own workloads are waited for by their supervisors.
            false => await_removals(host, &leaving)?,
        }
    }
    if options.start {
        ports::check(host, &added, &leaving)?;
    }

    let sources: Vec<String> = documents.iter().map(|d| source_id(&d.dir, &d.source)).collect();
    let steps: Vec<Step> = applied.iter().map(|a| a.step.clone()).collect();
    let find_gone = || -> Result<Vec<WorkloadGlance>, Error> {
        let records = WorkloadGlance::list(&host.layout)?;
        Ok(gone(&steps, &records, &sources).into_iter().cloned().collect())
    };

    if options.dry_run {
        for object in &object_steps {
            report.changed(&object.object(), object.change);
        }
        for step in &steps {
            report.changed(&step.plan.id.to_string(), step.change);
        }
        for record in &find_gone()? {
            if options.prune {
                report.changed(&record.id.to_string(), Change::Deleted);
            }
        }
        return Ok(0);
    }

    let mut clients = Vec::new();
    let made = make(host, &object_steps, &applied, &mut clients);
    fail_point("workloads-made");
    // While the pods start: there may be hundreds of others.
    let gone = if made.is_ok() { find_gone() } else { Ok(Vec::new()) };
    drop(lock);
    let mut wait = Wait { host, timeout: options.timeout, deadline, report };
    let made = made.and_then(|()| match options.start {
        true => {
            let (pods, specs) = awaited(applied.iter().filter(|a| a.step.change != Change::Unchanged));
            wait.started(&pods, &specs, clients)
        }
        false => Ok(()),
    });
    if let Err(e) = made {
        // What is merely not there yet is left to come.
        if matches!(e, Error::TimedOut { .. }) {
            return Err(e);
        }
        undo(host, &object_steps, &applied, report);
        return Err(Error::Undone(Box::new(e)));
    }
    fail_point("workloads-started");
    for object in &object_steps {
        report.changed(&object.object(), object.change);
    }
    for step in &steps {
        report.changed(&step.plan.id.to_string(), step.change);
    }
    for line in objects::update_volumes(&host.layout, &object_steps)? {
        report.warning(&line);
    }
    prune(host, &gone?, options, report)?;
    Wait { host, timeout: options.timeout, deadline, report }.finished(&applied, options.wait)
}

fn prune(
    host: &Host,
    gone: &[WorkloadGlance],
    options: &PlayOptions,
    report: &mut dyn Report,
) -> Result<(), Error> {
    if options.prune {
        let targets: Vec<_> = gone.iter().map(|r| super::Target::Workload(r.id.clone())).collect();
        return super::down(host, &targets, &super::DownOptions::default(), report);
    }
    for record in gone {
        report.hint(&format!(
            "{} is no longer in {} and keeps running; `kube play --prune` or `kube down {}` removes it",
            record.id, record.source, record.id
        ));
    }
    Ok(())
}

/// What is recorded of the workloads of a plan.
fn recorded(host: &Host, plans: &[WorkloadPlan]) -> Result<Vec<WorkloadRecord>, Error> {
    let mut found = Vec::new();
    for plan in plans {
        found.extend(WorkloadRecord::load(&host.layout, &plan.id)?);
    }
    Ok(found)
}

/// The objects of this machine with those of this play over them.
fn objects_of(host: &Host, plan: &plan::Plan) -> Result<Objects, Error> {
    let mut objects = Objects::load(&host.layout)?;
    for object in &plan.objects {
        objects.overlay(&object.kind, &object.namespace, &object.name, &object.object);
    }
    Ok(objects)
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

fn prepare(step: Step, start: bool) -> Applied {
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
        id: step.plan.id.clone(),
        object: step.plan.object.clone(),
        hash: step.plan.hash.clone(),
        uid,
        created,
        source: step.plan.source.clone(),
        pods,
    };
    Applied { step, after }
}

impl Applied {
    /// Pods that this play makes.
    fn added(&self) -> impl Iterator<Item = &PodRecord> {
        self.after
            .pods
            .iter()
            .filter(|pod| !pod.removing && !self.step.keep.iter().any(|k| k.plan.uid == pod.plan.uid))
    }

    /// Pods that stand when this play is done.
    fn standing(&self) -> impl Iterator<Item = &PodRecord> {
        self.after.pods.iter().filter(|pod| !pod.removing)
    }
}

fn make(
    host: &Host,
    object_steps: &[objects::Applied],
    applied: &[Applied],
    clients: &mut Vec<Client>,
) -> Result<(), Error> {
    for object in object_steps {
        objects::apply(&host.layout, object)?;
    }
    for workload in applied {
        if workload.step.change != Change::Unchanged {
            clients.extend(client::apply(&host.layout, &host.exe, &workload.after)?);
        }
    }
    Ok(())
}

fn awaited<'a>(applied: impl Iterator<Item = &'a Applied>) -> (Vec<Awaited>, BTreeMap<String, PodSpec>) {
    let mut pods = Vec::new();
    let mut specs = BTreeMap::new();
    for workload in applied {
        for pod in workload.standing().filter(|pod| pod.desired == Desired::Running) {
            specs.insert(pod.plan.uid.clone(), PodSpec::from_pod(&pod.plan.pod));
            pods.push(Awaited {
                workload: workload.after.id.clone(),
                uid: pod.plan.uid.clone(),
                name: pod.plan.name().to_owned(),
            });
        }
    }
    (pods, specs)
}

/// Waiting on behalf of whoever called `play`.
struct Wait<'a> {
    host: &'a Host,
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    report: &'a mut dyn Report,
}

impl Wait<'_> {
    fn until(
        &mut self,
        what: &str,
        pods: &[Awaited],
        clients: Vec<Client>,
        judge: &dyn Fn(&Awaited, Known<'_>) -> Verdict,
    ) -> Result<(), Error> {
        match wait_telling(self.host, pods, clients, self.deadline, self.report, judge)? {
            Outcome::Met => Ok(()),
            Outcome::Failed { pod, message } => {
                Err(Error::Failed { object: format!("pod/{}", pod.name), message })
            }
            Outcome::TimedOut(left) => {
                let names: Vec<String> = left.iter().map(|pod| format!("pod/{}", pod.name)).collect();
                Err(Error::TimedOut {
                    what: format!("{} to {what}", names.join(", ")),
                    after: self.timeout.unwrap_or_default(),
                })
            }
        }
    }

    /// Until every container of the pods has started.
    fn started(
        &mut self,
        pods: &[Awaited],
        specs: &BTreeMap<String, PodSpec>,
        clients: Vec<Client>,
    ) -> Result<(), Error> {
        self.until("start", pods, clients, &|pod, known| match specs.get(&pod.uid) {
            Some(spec) => judge::started(spec, known),
            None => Verdict::Met,
        })
    }

    /// What `--wait` asks for; the exit code of the pods.
    fn finished(&mut self, applied: &[Applied], wait: WaitFor) -> Result<i32, Error> {
        let (pods, specs) = awaited(applied.iter());
        let of = |pod: &Awaited| {
            specs
                .get(&pod.uid)
                .cloned()
                .unwrap_or_else(|| PodSpec::from_pod(&k8s_openapi::api::core::v1::Pod::default()))
        };
        match wait {
            WaitFor::Started => Ok(0),
            WaitFor::Ready => {
                self.until("be ready", &pods, Vec::new(), &|pod, known| judge::ready(&of(pod), known))?;
                Ok(0)
            }
            WaitFor::Complete => {
                self.until("complete", &pods, Vec::new(), &|pod, known| judge::complete(&of(pod), known))?;
                let standing: BTreeSet<&str> =
                    applied.iter().flat_map(Applied::standing).map(|pod| pod.plan.uid.as_str()).collect();
                let mut views = view::pods(&self.host.layout)?.into_iter();
                let code = views.find_map(|view| {
                    let code = standing.contains(view.plan.uid.as_str()).then(|| view.state.exit_code());
                    code.flatten().filter(|code| *code != 0)
                });
                Ok(code.unwrap_or(0))
            }
        }
    }
}

/// Puts back what stood before. Whatever goes wrong is told, and the rest goes on.
fn undo(host: &Host, object_steps: &[objects::Applied], applied: &[Applied], report: &mut dyn Report) {
    let mut failed = |e: &dyn std::fmt::Display| report.warning(&format!("undoing: {e}"));
    for object in object_steps.iter().rev() {
        if let Err(e) = objects::undo(&host.layout, object) {
            failed(&e);
        }
    }
    fail_point("objects-undone");
    let mut clients = Vec::new();
    let mut leaving = Vec::new();
    let (mut restored, mut specs) = (Vec::new(), BTreeMap::new());
    for workload in applied.iter().rev().filter(|a| a.step.change != Change::Unchanged) {
        let mut record = match &workload.step.before {
            Some(before) => before.clone(),
            None => workload.after.clone(),
        };
        record.pods.clone_from(&workload.step.keep);
        if let Some(before) = &workload.step.before {
            for pod in &mut record.pods {
                if let Some(old) = before.pods.iter().find(|old| old.plan.uid == pod.plan.uid) {
                    pod.desired = old.desired;
                }
            }
            // Those that this play stopped are made again, of what they were made of.
            record.pods.extend(workload.step.remove.iter().filter(|pod| !pod.removing).map(|pod| {
                PodRecord {
                    plan: renewed(&pod.plan),
                    desired: pod.desired,
                    removing: false,
                    grace_seconds: None,
                    ended: None,
                }
            }));
        }
        for pod in &workload.after.pods {
            if !record.pods.iter().any(|p| p.plan.uid == pod.plan.uid) {
                // Nobody wants to wait for what never worked.
                let grace_seconds = if pod.removing { pod.grace_seconds } else { Some(0) };
                record.pods.push(PodRecord {
                    desired: Desired::Stopped,
                    removing: true,
                    grace_seconds,
                    ..pod.clone()
                });
                leaving.push(Awaited {
                    workload: record.id.clone(),
                    uid: pod.plan.uid.clone(),
                    name: pod.plan.name().to_owned(),
                });
            }
        }
        for pod in record.pods.iter().filter(|p| !p.removing && p.desired == Desired::Running) {
            specs.insert(pod.plan.uid.clone(), PodSpec::from_pod(&pod.plan.pod));
            restored.push(Awaited {
                workload: record.id.clone(),
                uid: pod.plan.uid.clone(),
                name: pod.plan.name().to_owned(),
            });
        }
        // A play that failed before it came to this workload has left no trace of it.
        if matches!(WorkloadRecord::load(&host.layout, &record.id), Ok(None)) {
            leaving.retain(|pod: &Awaited| pod.workload != record.id);
            restored.retain(|pod: &Awaited| pod.workload != record.id);
            continue;
        }
        match client::apply(&host.layout, &host.exe, &record) {
            Ok(client) => clients.extend(client),
            Err(e) => failed(&e),
        }
        fail_point("workload-undone");
    }
    // Not only ended: a claim that goes below must have no pod.
    if let Err(e) = wait_for(host, &leaving, clients, None, &|_, known| judge::removed(known)) {
        failed(&e);
    }
    fail_point("undone-pods-gone");
    for object in object_steps {
        if let Err(e) = objects::undo_volume(&host.layout, object) {
            failed(&e);
        }
    }
    // What stood before is back when it has started; what did not then is not made to now.
    let waited =
        wait_for(host, &restored, Vec::new(), Some(Instant::now() + RESTORE), &|pod, known| match specs
            .get(&pod.uid)
        {
            Some(spec) => judge::started(spec, known),
            None => Verdict::Met,
        });
    match waited {
        Ok(Outcome::Met) => {}
        Ok(Outcome::Failed { pod, message }) => failed(&format!("pod/{}: {message}", pod.name)),
        Ok(Outcome::TimedOut(_)) => failed(&"what stood before has not started again yet"),
        Err(e) => failed(&e),
    }
}

/// The same pod with a uid of its own: what has been removed does not come back under its old one.
fn renewed(plan: &PodPlan) -> PodPlan {
    let mut plan = plan.clone();
    plan.uid = uuid::Uuid::new_v4().to_string();
    plan.pod.metadata.uid = Some(plan.uid.clone());
    plan
}

/// `play --all`: starts what should run and does not (after a reboot).
pub fn play_all(host: &Host, options: &PlayOptions, report: &mut dyn Report) -> Result<(), Error> {
    let deadline = options.timeout.map(|t| Instant::now() + t);
    let mut clients = Vec::new();
    let mut pods = Vec::new();
    let mut specs = BTreeMap::new();
    let is_wanted = |p: &&PodRecord| p.desired == Desired::Running && p.ended.is_none();
    let records = WorkloadRecord::list(&host.layout)?;
    let mut all = records.iter().flat_map(|record| &record.pods).filter(is_wanted);
    if all.any(|pod| ports::are_claimed(&pod.plan)) {
        await_removals(host, &[])?;
    }
    for record in records {
        let wanted: Vec<&PodRecord> = record.pods.iter().filter(is_wanted).collect();
        if wanted.is_empty() {
            continue;
        }
        let runs = Client::connect(&host.layout, &record.id)?;
        let change = if runs.is_some() { Change::Unchanged } else { Change::Started };
        clients.push(match runs {
            Some(client) => client,
            None => Client::connect_or_spawn(&host.layout, &host.exe, &record.id)?,
        });
        for pod in wanted {
            specs.insert(pod.plan.uid.clone(), PodSpec::from_pod(&pod.plan.pod));
            pods.push(Awaited {
                workload: record.id.clone(),
                uid: pod.plan.uid.clone(),
                name: pod.plan.name().to_owned(),
            });
        }
        report.changed(&record.id.to_string(), change);
    }
    Wait { host, timeout: options.timeout, deadline, report }.started(&pods, &specs, clients)
}

/// What a document's source is called in records: its absolute path, where it is a file.
pub fn source_id(dir: &Path, name: &str) -> String {
    let file = Path::new(name).file_name().map(|name| dir.join(name));
    match file.and_then(|file| file.canonicalize().ok()) {
        Some(path) => path.display().to_string(),
        None => name.to_owned(),
    }
}
