//! `kube down`: stop and remove played workloads and objects.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use clap::ValueHint;
use pod_core::kind::{Kind, ObjectRef};
use pod_core::manifest;
use pod_core::observe;
use pod_core::observe::query::{self, Query};
use pod_core::play::{self, DownOptions, Report as _, Target};
use pod_core::record::WorkloadRecord;
use pod_core::store::{Objects, WorkloadId};
use pod_core::volume::claims::{self, Claim};

use crate::cli::context::Context;
use crate::input::{identity, sources};
use crate::output::exit::Failure;
use crate::output::report::Lines;
use crate::output::terminal;

// Arguments of `kube down`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Pods are stopped in order, from what was recorded, so the file may have changed or be missing. Claims and their data \
are kept unless --volumes is given: it removes claims that are named, and claims that only removed pods use.

Examples:
  # Remove what a file names
  kube down web.yaml

  # Remove objects by name
  kube down pod/web deployment/api

  # Everything, with claims and their data
  kube down --all --volumes

  # Wait until network, cgroups and mounts are removed as well
  kube down web.yaml --wait

  # Give containers two seconds instead of their grace period
  kube down web.yaml --time 2")]
pub struct Args {
    /// Manifests (files, folders, `-`, URLs), or objects by KIND/NAME; a name that is neither a file nor has a kind is a pod
    #[arg(value_name = "FILE|KIND/NAME", required_unless_present_any = ["all", "filename"])]
    #[arg(value_hint = ValueHint::AnyPath)]
    pub targets: Vec<String>,
    /// The same as FILE, for users of kubectl delete
    #[arg(short, long, value_name = "FILE", hide = true, value_hint = ValueHint::AnyPath)]
    pub filename: Vec<String>,
    /// Remove everything, in every namespace (with -n: in that one)
    #[arg(long, conflicts_with_all = ["targets", "filename"])]
    pub all: bool,
    /// Also remove claims with their data
    #[arg(long)]
    pub volumes: bool,
    /// Seconds until containers are killed, instead of their grace period
    #[arg(short, long, value_name = "SECONDS", visible_alias = "grace-period")]
    pub time: Option<u64>,
    /// Wait until network, cgroups and mounts are removed as well; --all and --volumes imply it
    #[arg(long)]
    pub wait: bool,
    /// Kill containers at once, and remove what cannot be stopped
    #[arg(long)]
    pub force: bool,
    /// Exit with 0 if an object does not exist
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Print errors and warnings only
    #[arg(short, long)]
    pub quiet: bool,
}

/// Runs `kube down`.
///
/// # Errors
/// A named object does not exist (4), or something cannot be stopped (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let state = State::read(context)?;
    let mut targets: Vec<Target> = Vec::new();
    if args.all {
        targets.extend(state.everything(context, args));
    }
    for name in &args.targets {
        targets.extend(target(context, args, &state, name)?);
    }
    for name in &args.filename {
        targets.extend(from_source(context, args, &state, name)?);
    }
    let mut report = Lines::new(args.quiet, false);
    let options = DownOptions {
        grace_seconds: args.time,
        force: args.force,
        wait: args.wait || args.all || args.volumes,
    };
    if args.volumes {
        for (claim, stays) in state.claims_used_by(&targets, &claims::list(&context.layout)?) {
            match stays {
                None => targets.push(claim),
                Some(why) if !targets.contains(&claim) => report.hint(&why),
                Some(_) => {}
            }
        }
    }
    play::down(&context.instance(), &unique(targets), &options, &mut report)?;
    report.finish();
    Ok(ExitCode::SUCCESS)
}

/// Returns whether objects of a kind stay unless `--volumes` is given or they are named, because they are data.
fn is_kept(kind: Kind) -> bool {
    matches!(kind, Kind::PersistentVolumeClaim | Kind::PersistentVolume)
}

/// Removes duplicates and sorts workloads before the objects that they use; keeps the given order otherwise.
fn unique(targets: Vec<Target>) -> Vec<Target> {
    let mut seen: Vec<Target> = Vec::new();
    for target in targets {
        if !seen.contains(&target) {
            seen.push(target);
        }
    }
    seen.sort_by_key(|target| matches!(target, Target::Object(..)));
    seen
}

/// The recorded workloads and objects.
struct State {
    workloads: Vec<WorkloadRecord>,
    /// Workloads whose record cannot be read.
    damaged: Vec<WorkloadId>,
    objects: Vec<ObjectRef>,
}

impl State {
    fn read(context: &Context) -> anyhow::Result<Self> {
        let mut objects = Vec::new();
        for kind in Kind::played().filter(|kind| !kind.is_workload()) {
            let mut keys: BTreeSet<_> = Objects::names(&context.layout, kind)?.into_iter().collect();
            if kind == Kind::PersistentVolumeClaim {
                keys.extend(claims::standing(&context.layout)?);
            }
            objects.extend(keys.into_iter().map(|(namespace, name)| ObjectRef { kind, namespace, name }));
        }
        let workloads = observe::workloads(&context.layout)?;
        let read: BTreeSet<&WorkloadId> = workloads.iter().map(|record| &record.id).collect();
        let mut damaged = WorkloadRecord::ids(&context.layout)?;
        damaged.retain(|id| !read.contains(id) && WorkloadRecord::load(&context.layout, id).is_err());
        Ok(Self { workloads, damaged, objects })
    }

    /// Returns the claims that pods of `targets` mount, for `--volumes`; for a claim that must be kept, with the
    /// reason. A claim that was created because a pod used it goes with that pod, since nothing else names it. A claim
    /// that was played by itself may belong to another file and is kept.
    fn claims_used_by(&self, targets: &[Target], claims: &[Claim]) -> Vec<(Target, Option<String>)> {
        let goes = |record: &WorkloadRecord| targets.contains(&Target::Workload(record.id.clone()));
        let mounts = |record: &WorkloadRecord, claim: &Claim| {
            let volumes = record.pods.iter().flat_map(|pod| pod.plan.pod.spec.iter());
            let mut volumes = volumes.flat_map(|spec| spec.volumes.iter().flatten());
            record.id.namespace == claim.namespace
                && volumes.any(|volume| {
                    let source = volume.persistent_volume_claim.as_ref();
                    source.is_some_and(|source| source.claim_name == claim.name)
                })
        };
        let mut found = Vec::new();
        for claim in claims {
            let users = || self.workloads.iter().filter(|record| mounts(record, claim));
            if !users().any(goes) {
                continue;
            }
            let id = ObjectRef::new(Kind::PersistentVolumeClaim, &claim.namespace, &claim.name);
            let stays = match users().find(|record| !goes(record)) {
                Some(other) => Some(format!("{id} is kept: {} uses it too", other.id)),
                None if claim.declared => {
                    Some(format!("{id} was played by itself and is kept; `kube down {id}` removes it"))
                }
                None => None,
            };
            found.push((Target::Object(id), stays));
        }
        found
    }

    /// Returns the target for an object, or `None` if the object is not recorded.
    fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<Target> {
        match kind {
            kind if kind.is_workload() => {
                let id = WorkloadId::new(kind, namespace, name);
                let known = self.workloads.iter().any(|record| record.id == id) || self.damaged.contains(&id);
                known.then_some(Target::Workload(id))
            }
            _ => {
                let id = ObjectRef::new(kind, namespace, name);
                self.objects.contains(&id).then_some(Target::Object(id))
            }
        }
    }

    /// Returns the targets of `--all`.
    fn everything(&self, context: &Context, args: &Args) -> Vec<Target> {
        let wanted = |namespace: &str| !context.namespace_given || namespace == context.namespace;
        let workloads = self.workloads.iter().filter(|record| wanted(&record.id.namespace));
        let workloads = workloads.map(|record| &record.id);
        let damaged = self.damaged.iter().filter(|id| wanted(&id.namespace));
        let workloads = workloads.chain(damaged).map(|id| Target::Workload(id.clone()));
        let objects =
            self.objects.iter().filter(|id| wanted(&id.namespace) && (args.volumes || !is_kept(id.kind)));
        workloads.chain(objects.map(|id| Target::Object(id.clone()))).collect()
    }
}

/// Returns the targets that an argument names. An argument is an existing file, a folder, `-` or a URL; otherwise an
/// object; otherwise a file that was played and no longer exists.
fn target(context: &Context, args: &Args, state: &State, name: &str) -> anyhow::Result<Vec<Target>> {
    let path = Path::new(name);
    let file_like = name == "-" || sources::is_url(name) || path.is_file() || name.starts_with(['.', '/']);
    if !file_like && let Ok(resource) = ObjectRef::parse(name, &context.namespace) {
        if resource.kind == Kind::ReplicaSet {
            return Err(query::not_a_workload(resource).into());
        }
        let kept = is_kept(resource.kind);
        if let Some(target) = state.find(resource.kind, &context.namespace, &resource.name) {
            // A claim that is named is removed with or without --volumes, as kubectl does.
            return Ok(vec![target]);
        }
        let may_be_a_path = path.is_dir() || sources::is_manifest_name(path);
        if !may_be_a_path || kept {
            return match args.ignore_not_found {
                true => Ok(Vec::new()),
                false => Err(not_found(context, &resource)?),
            };
        }
    }
    from_source(context, args, state, name)
}

fn not_found(context: &Context, resource: &ObjectRef) -> anyhow::Result<anyhow::Error> {
    // `kube down web-6d4-x7k2p`: a pod of a Deployment cannot be removed alone, because the Deployment would replace
    // it.
    if resource.kind == Kind::Pod {
        let names = [resource.name.clone()];
        let query = Query { names: &names, ..Query::in_namespace(&context.namespace) };
        if let Some(pod) = query.existing_pods(&context.layout)?.first() {
            return Ok(Failure::failed(format!("{resource} belongs to {}", pod.workload))
                .hint(format!("`kube down {}` removes all of it", pod.workload))
                .into());
        }
    }
    Ok(query::not_found(&context.layout, resource).into())
}

/// Returns the objects that a file names, and the workloads that were played from it, also if the file has changed
/// since.
fn from_source(context: &Context, args: &Args, state: &State, name: &str) -> anyhow::Result<Vec<Target>> {
    let recorded: Vec<Target> = state
        .workloads
        .iter()
        .filter(|record| identity::same_source(&record.spec.source, name))
        .map(|record| Target::Workload(record.id.clone()))
        .collect();
    let read = match sources::read(std::slice::from_ref(&name.to_owned())) {
        Ok(read) => read,
        Err(error) if recorded.is_empty() => return Err(error),
        // The file no longer exists; the workloads that were played from it are recorded.
        Err(_) => Vec::new(),
    };
    let mut targets = Vec::new();
    let mut missing: Vec<ObjectRef> = Vec::new();
    let mut left_out = false;
    let named: Vec<_> = read.iter().map(|source| manifest::identities(source, &context.namespace)).collect();
    let names_nothing = recorded.is_empty() && named.iter().all(|named| named.found.is_empty());
    for named in named {
        left_out |= named.left_out;
        for diagnostic in &named.unreadable {
            if names_nothing {
                return Err(Failure::invalid(diagnostic.to_string())
                    .hint("`kube down KIND/NAME` needs no file; `kube ps` lists the names")
                    .into());
            }
            terminal::warning(&format!("{diagnostic}: this document is ignored"));
        }
        for identity in named.found {
            let kind = identity.kind;
            match state.find(kind, &identity.namespace, &identity.name) {
                Some(_) if is_kept(kind) && !args.volumes => {}
                Some(target) => targets.push(target),
                // A claim of the file may be removed already, or was never created.
                None if is_kept(kind) => {}
                None => missing.push(identity),
            }
        }
    }
    targets.extend(recorded);
    // The file contains only kinds that `play` ignores: nothing was created from it, so nothing is to be removed.
    if targets.is_empty() && missing.is_empty() && left_out {
        return Ok(targets);
    }
    if targets.is_empty() && !args.ignore_not_found {
        let shown = |one: &ObjectRef| format!("{}/{}", one.kind.singular(), one.name);
        let what: Vec<String> = missing.iter().map(shown).collect();
        let failure = match what.as_slice() {
            [] => Failure::not_found(format!("nothing from {name} exists here")),
            what => Failure::not_found(format!("nothing from {name} exists here: {}", what.join(", "))),
        };
        return Err(failure.hint("`kube ps -A` lists the pods").into());
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::fixture::{context, pod, record};

    /// Records pods a and b from `<dir>/app.yaml`, Deployment api from stdin, and a claim and a ConfigMap named data.
    fn machine() -> (tempfile::TempDir, Context, String) {
        let (dir, context) = context();
        let file = dir.path().canonicalize().unwrap().join("app.yaml").display().to_string();
        for name in ["a", "b"] {
            record(&context, Kind::Pod, "default", name, &file, vec![pod("default", name, &json!({}))]);
        }
        record(
            &context,
            Kind::Deployment,
            "default",
            "api",
            "-",
            vec![pod("default", "api-1-x", &json!({}))],
        );
        for kind in [Kind::PersistentVolumeClaim, Kind::ConfigMap] {
            let id = ObjectRef::new(kind, "default", "data");
            Objects::put(&context.layout, &id, &json!({"kind": kind})).unwrap();
        }
        (dir, context, file)
    }

    const ARGS: Args = Args {
        targets: Vec::new(),
        filename: Vec::new(),
        all: false,
        volumes: false,
        time: None,
        wait: false,
        force: false,
        ignore_not_found: false,
        quiet: false,
    };

    fn targets(context: &Context, args: &Args, name: &str) -> Result<Vec<String>, String> {
        let state = State::read(context).unwrap();
        let shown = |target: Target| match target {
            Target::Workload(id) => id.to_string(),
            Target::Object(id) => id.to_string(),
        };
        match target(context, args, &state, name) {
            Ok(targets) => Ok(unique(targets).into_iter().map(shown).collect()),
            Err(error) => {
                let (code, hints) = crate::output::exit::code_and_hints(&error);
                Err(format!("{code}: {error}; {}", hints.join("; ")))
            }
        }
    }

    #[test]
    fn a_missing_or_changed_file_still_names_the_workloads_that_were_played_from_it() {
        let (_dir, context, file) = machine();
        assert_eq!(targets(&context, &ARGS, &file).unwrap(), ["pod/a", "pod/b"]);
        std::fs::write(
            &file,
            "kind: Pod\nmetadata: {name: b}\nspec: {oops: 1}\n---\nkind: ConfigMap\nmetadata: {name: data}\n",
        )
        .unwrap();
        assert_eq!(targets(&context, &ARGS, &file).unwrap(), ["pod/b", "pod/a", "configmap/data"]);
    }

    #[test]
    fn claims_of_a_file_stay_unless_volumes_are_asked_for() {
        let (dir, context, _) = machine();
        let file = dir.path().join("claim.yaml").display().to_string();
        let text =
            "kind: PersistentVolumeClaim\nmetadata: {name: data}\n---\nkind: Pod\nmetadata: {name: a}\n";
        std::fs::write(&file, text).unwrap();
        assert_eq!(targets(&context, &ARGS, &file).unwrap(), ["pod/a"]);
        let volumes = Args { volumes: true, ..ARGS };
        assert_eq!(targets(&context, &volumes, &file).unwrap(), ["pod/a", "persistentvolumeclaim/data"]);
    }

    #[test]
    fn a_file_of_ignored_kinds_has_nothing_to_take_down() {
        let (dir, context, _) = machine();
        let file = dir.path().join("rbac.yaml").display().to_string();
        let foreign = "kind: Namespace\nmetadata: {name: x}\n---\nkind: Role\nmetadata: {name: r}\n";
        std::fs::write(&file, foreign).unwrap();
        assert!(targets(&context, &ARGS, &file).unwrap().is_empty());
        std::fs::write(&file, format!("{foreign}---\nkind: Pod\nmetadata: {{name: a}}\n")).unwrap();
        assert_eq!(targets(&context, &ARGS, &file).unwrap(), ["pod/a"]);
        std::fs::write(&file, format!("{foreign}---\nkind: Pod\nmetadata: {{name: gone}}\n")).unwrap();
        assert!(targets(&context, &ARGS, &file).unwrap_err().starts_with("4: nothing from"));
        std::fs::write(&file, "apiVersion: v1\nkind: Pdo\nmetadata: {name: a}\n").unwrap();
        let refused = targets(&context, &ARGS, &file).unwrap_err();
        assert!(
            refused.ends_with("`kube down KIND/NAME` needs no file; `kube ps` lists the names"),
            "{refused}"
        );
        assert!(refused.contains("rbac.yaml:2:7: kind: unknown kind"), "{refused}");
    }

    #[test]
    fn a_folder_with_an_unreadable_file_is_taken_down() {
        let (dir, context, _) = machine();
        let folder = dir.path().join("app");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("1.yaml"), "a: [b\n").unwrap();
        std::fs::write(folder.join("2.json"), r#"{"kind": "Pod", "metadata": {"name": "a"}}"#).unwrap();
        std::fs::write(folder.join("kustomization.yaml"), "kind: Kustomization\nmetadata: {name: k}\n")
            .unwrap();
        let folder = folder.display().to_string();
        assert_eq!(targets(&context, &ARGS, &folder).unwrap(), ["pod/a"]);
    }

    #[test]
    fn volumes_removes_claims_that_only_removed_pods_use() {
        let (_dir, context) = context();
        let mounting = |name: &str, claims: &[&str]| {
            let mut plan = pod("default", name, &json!({}));
            let source = |claim: &&str| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}});
            let volumes: Vec<_> = claims.iter().map(source).collect();
            plan.pod.spec.as_mut().unwrap().volumes = serde_json::from_value(json!(volumes)).unwrap();
            record(&context, Kind::Pod, "default", name, "-", vec![plan]);
        };
        mounting("a", &["own", "shared", "played", "absent"]);
        mounting("b", &["shared"]);
        let claim = |name: &str, declared| -> Claim {
            let created = "2026-11-23T18:00:00Z";
            let claim =
                json!({"namespace": "default", "name": name, "created": created, "declared": declared});
            serde_json::from_value(claim).unwrap()
        };
        let all = [claim("own", false), claim("shared", false), claim("played", true), claim("other", false)];
        let state = State::read(&context).unwrap();
        let shown = |names: &[&str]| -> Vec<String> {
            let ids = names.iter().map(|name| Target::Workload(WorkloadId::new(Kind::Pod, "default", name)));
            let found = state.claims_used_by(&ids.collect::<Vec<_>>(), &all).into_iter();
            let shown = found.map(|(target, stays)| match (target, stays) {
                (Target::Object(id), None) => id.name,
                (_, stays) => stays.unwrap_or_default(),
            });
            shown.collect()
        };
        let played = "persistentvolumeclaim/played was played by itself and is kept; `kube down persistentvolumeclaim/played` \
             removes it";
        assert_eq!(shown(&["a"]), ["own", "persistentvolumeclaim/shared is kept: pod/b uses it too", played]);
        assert_eq!(shown(&["a", "b"]), ["own", "shared", played]);
    }

    #[test]
    fn names_are_resolved_to_objects() {
        let (_dir, context, _) = machine();
        assert_eq!(targets(&context, &ARGS, "a").unwrap(), ["pod/a"]);
        assert_eq!(targets(&context, &ARGS, "deploy/api").unwrap(), ["deployment.apps/api"]);
        assert_eq!(targets(&context, &ARGS, "cm/data").unwrap(), ["configmap/data"]);
        assert_eq!(targets(&context, &ARGS, "pvc/data").unwrap(), ["persistentvolumeclaim/data"]);
        assert_eq!(
            targets(&context, &ARGS, "pod/aa").unwrap_err(),
            "4: pod/aa not found in namespace default; did you mean pod/a?"
        );
        assert_eq!(
            targets(&context, &ARGS, "api-1-x").unwrap_err(),
            "1: pod/api-1-x belongs to deployment.apps/api; `kube down deployment.apps/api` removes all of it"
        );
        assert_eq!(
            targets(&context, &ARGS, "missing.yaml").unwrap_err(),
            "4: missing.yaml: no such file or folder; "
        );
        assert_eq!(
            targets(&context, &ARGS, "./missing").unwrap_err(),
            "4: ./missing: no such file or folder; "
        );
        let lenient = Args { ignore_not_found: true, ..ARGS };
        assert!(targets(&context, &lenient, "pod/aa").unwrap().is_empty());
    }

    #[test]
    fn all_removes_claims_only_with_volumes() {
        let (_dir, context, _) = machine();
        let count = |context: &Context, volumes| {
            let args = Args { all: true, volumes, ..ARGS };
            State::read(context).unwrap().everything(context, &args).len()
        };
        assert_eq!((count(&context, false), count(&context, true)), (4, 5));
        let elsewhere = Context { namespace: "other".to_owned(), namespace_given: true, ..context.clone() };
        assert_eq!(count(&elsewhere, true), 0);
    }
}
