//! From the names that a user gives to pods; a name that leads nowhere is told with the nearest one.

use std::cmp::Reverse;

use pod_core::kind::{Kind, ObjectRef};
use pod_core::observe::{self, PodView, pods, workload};
use pod_core::store::{Objects, WorkloadId};

use crate::cli::context::Context;
use crate::output::exit::Failure;
use crate::selector::{InvalidSelector, Selector};

/// Which pods a command is about.
#[derive(Debug, Default)]
pub struct Choice<'a> {
    /// `NAME`, `pod/NAME`, `deployment/NAME`; empty: all.
    pub names: &'a [String],
    /// `-A`.
    pub all_namespaces: bool,
    /// `-l`.
    pub selector: Option<&'a str>,
}

/// The pods that are meant, by namespace and name, each once.
///
/// # Errors
/// A name is none (2), or there is no such thing (4).
pub fn pods_of(context: &Context, choice: &Choice<'_>) -> anyhow::Result<Vec<PodView>> {
    let found = pods(&context.layout)?;
    for name in choice.names {
        let resource = parse(context, name)?;
        let any = found.iter().any(|pod| choice.looks_into(context, pod) && is_meant(&resource, pod));
        // One whose record is damaged is told as that, and not as one that is not there.
        let there = any || (is_recorded(context, &resource)? && resource.kind == Kind::Deployment);
        if !there {
            return Err(not_found(context, &resource, &found).into());
        }
    }
    choice.apply(context, found)
}

/// Like [`pods_of`], but a name that leads nowhere is fine.
///
/// # Errors
/// A name is none (2).
pub fn existing(context: &Context, choice: &Choice<'_>) -> anyhow::Result<Vec<PodView>> {
    choice.apply(context, pods(&context.layout)?)
}

impl Choice<'_> {
    fn looks_into(&self, context: &Context, pod: &PodView) -> bool {
        self.all_namespaces || pod.plan.namespace() == context.namespace
    }

    fn apply(&self, context: &Context, mut found: Vec<PodView>) -> anyhow::Result<Vec<PodView>> {
        let wanted: Vec<ObjectRef> =
            self.names.iter().map(|name| parse(context, name)).collect::<anyhow::Result<_>>()?;
        let selector: Selector = match self.selector {
            Some(text) => text.parse().map_err(|error: InvalidSelector| Failure::usage(error.to_string()))?,
            None => Selector::default(),
        };
        found.retain(|pod| {
            self.looks_into(context, pod)
                && selector.matches(pod.plan.pod.metadata.labels.as_ref())
                && (wanted.is_empty() || wanted.iter().any(|resource| is_meant(resource, pod)))
        });
        Ok(found)
    }
}

/// The workloads that stand without pods and are meant by a choice; a selector means pods alone.
///
/// # Errors
/// A name is none (2).
pub fn without_pods(context: &Context, choice: &Choice<'_>) -> anyhow::Result<Vec<WorkloadId>> {
    let wanted: Vec<ObjectRef> =
        choice.names.iter().map(|name| parse(context, name)).collect::<anyhow::Result<_>>()?;
    let mut found = observe::without_pods(&context.layout)?;
    found.retain(|id| {
        let is_meant = |resource: &ObjectRef| id.kind == resource.kind && id.name == resource.name;
        choice.selector.is_none()
            && (choice.all_namespaces || id.namespace == context.namespace)
            && (wanted.is_empty() || wanted.iter().any(is_meant))
    });
    Ok(found)
}

/// The one pod that is meant; the readiest of a Deployment's.
///
/// # Errors
/// As [`pods_of`].
pub fn pod_of(context: &Context, name: &str) -> anyhow::Result<PodView> {
    let names = [name.to_owned()];
    let found = pods_of(context, &Choice { names: &names, ..Choice::default() })?;
    // The first of the readiest.
    let readiest = found.into_iter().min_by_key(|pod| Reverse(crate::pods::readiness(pod)));
    readiest.ok_or_else(|| Failure::not_found(format!("{name} has no pods")).into())
}

/// Reads the name of an object in the namespace of the command.
///
/// # Errors
/// The text is no name of an object (2).
pub fn object_ref(namespace: &str, text: &str) -> anyhow::Result<ObjectRef> {
    Ok(ObjectRef::parse(text, namespace).map_err(|error| Failure::usage(error.to_string()))?)
}

/// Reads the name of a pod or of a workload, for commands that are about pods.
///
/// # Errors
/// It is none (2).
pub fn parse(context: &Context, name: &str) -> anyhow::Result<ObjectRef> {
    let resource = object_ref(&context.namespace, name)?;
    if resource.kind.is_workload() {
        return Ok(resource);
    }
    Err(not_a_workload(&resource).into())
}

/// The error for an object that commands about pods and workloads do not take.
pub fn not_a_workload(resource: &ObjectRef) -> Failure {
    match resource.kind {
        Kind::ReplicaSet => {
            Failure::usage(format!("{resource} belongs to a Deployment and can only be shown"))
                .hint("name its deployment; `kube inspect` shows the name below metadata.ownerReferences")
        }
        _ => Failure::usage(format!("{resource} has no pods")).hint("name a pod or a deployment"),
    }
}

fn is_meant(resource: &ObjectRef, pod: &PodView) -> bool {
    match resource.kind {
        Kind::Pod => pod.plan.name() == resource.name,
        kind => is_of(kind, pod) && pod.workload.name == resource.name,
    }
}

/// True if the pod belongs to a workload of this kind.
fn is_of(kind: Kind, pod: &PodView) -> bool {
    pod.workload.kind == kind
}

fn is_recorded(context: &Context, resource: &ObjectRef) -> anyhow::Result<bool> {
    let id = WorkloadId::new(resource.kind, &context.namespace, &resource.name);
    Ok(workload(&context.layout, &id)?.is_some())
}

/// The error for an object that is not there.
///
/// # Errors
/// What is there cannot be read.
pub fn missing(context: &Context, resource: &ObjectRef) -> anyhow::Result<Failure> {
    if resource.kind.is_workload() {
        is_recorded(context, resource)?;
        return Ok(not_found(context, resource, &pods(&context.layout)?));
    }
    let namespace = &context.namespace;
    let failure = Failure::not_found(format!("{resource} not found in namespace {namespace}"));
    let all = Objects::list(&context.layout, resource.kind)?;
    if let Some((other, _)) = all.keys().find(|(_, name)| *name == resource.name) {
        return Ok(failure.hint(format!("there is one in namespace {other}: add -n {other}")));
    }
    let here = all.keys().filter(|(other, _)| other == namespace).map(|(_, name)| name.as_str());
    Ok(match nearest(&resource.name, here) {
        Some(name) => failure.hint(format!("did you mean {}/{name}?", resource.kind)),
        None => failure,
    })
}

/// The error for a pod or deployment that is not there, out of all pods.
fn not_found(context: &Context, resource: &ObjectRef, pods: &[PodView]) -> Failure {
    let namespace = &context.namespace;
    let failure = Failure::not_found(format!("{resource} not found in namespace {namespace}"));
    let here: Vec<&PodView> = pods.iter().filter(|pod| pod.plan.namespace() == namespace).collect();
    // What cannot be read gives no hint.
    let without_pods = observe::without_pods(&context.layout).unwrap_or_default();
    let idle: Vec<&WorkloadId> = without_pods.iter().filter(|id| id.namespace == *namespace).collect();
    if resource.kind == Kind::Pod {
        // `kube logs api`, where api is a Deployment.
        if let Some(pod) = here.iter().find(|pod| pod.workload.name == resource.name) {
            return failure.hint(format!("did you mean {}?", pod.workload));
        }
        if let Some(id) = idle.iter().find(|id| id.name == resource.name) {
            return failure.hint(format!("{id} has no pods (replicas: 0)"));
        }
    }
    if let Some(pod) = pods.iter().find(|pod| is_meant(resource, pod)) {
        return failure.hint(format!("there is one in namespace {0}: add -n {0}", pod.plan.namespace()));
    }
    let names: Vec<&str> = match resource.kind {
        Kind::Pod => here.iter().map(|pod| pod.plan.name()).collect(),
        kind => {
            let with_pods = here.iter().filter(|pod| is_of(kind, pod)).map(|pod| pod.workload.name.as_str());
            let idle = idle.iter().filter(|id| id.kind == kind);
            with_pods.chain(idle.map(|id| id.name.as_str())).collect()
        }
    };
    match nearest(&resource.name, names) {
        Some(name) => failure.hint(format!("did you mean {}/{name}?", resource.kind)),
        None => failure.hint("`kube ps -A` lists the pods"),
    }
}

/// The name that `wrong` was probably meant to be: a slip or two away, or longer.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let slips = |name: &str| match name.starts_with(wrong) {
        true => 0,
        false => strsim::damerau_levenshtein(wrong, name),
    };
    let allowed = (wrong.len() / 3).max(1);
    let near = names.into_iter().map(|name| (slips(name), name)).filter(|(slips, _)| *slips <= allowed);
    near.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use base::file::write_json;
    use pod_core::lifecycle::{Goal, Now, PodSpec, PodState, Sandbox};
    use pod_core::record::WorkloadRecord;

    use super::*;
    use crate::tests::fixture::{context, pod, record};

    /// default: web (app=web), api (a Deployment of two, app=api); other: db.
    fn machine() -> (tempfile::TempDir, Context) {
        let (dir, context) = context();
        let api = |name| pod("default", name, &json!({"app": "api"}));
        record(
            &context,
            Kind::Pod,
            "default",
            "web",
            "-",
            vec![pod("default", "web", &json!({"app": "web"}))],
        );
        record(
            &context,
            Kind::Deployment,
            "default",
            "api",
            "-",
            vec![api("api-1a2b-xxxxx"), api("api-1a2b-yyyyy")],
        );
        record(&context, Kind::Deployment, "default", "idle", "-", vec![]);
        record(&context, Kind::Pod, "other", "db", "-", vec![pod("other", "db", &json!({}))]);
        (dir, context)
    }

    fn chosen(
        names: &[&str],
        all_namespaces: bool,
        selector: Option<&str>,
    ) -> Result<Vec<String>, (u8, String)> {
        let (_dir, context) = machine();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let choice = Choice { names: &names, all_namespaces, selector };
        match pods_of(&context, &choice) {
            Ok(pods) => Ok(pods.iter().map(|pod| pod.plan.name().to_owned()).collect()),
            Err(error) => {
                let failure = error.downcast_ref::<Failure>().unwrap();
                Err((failure.code, format!("{}; {}", failure.message, failure.hints.join("; "))))
            }
        }
    }

    #[test]
    fn names_selectors_and_namespaces_choose_pods() {
        let all = |names: &[&str]| Ok(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(chosen(&[], false, None), all(&["api-1a2b-xxxxx", "api-1a2b-yyyyy", "web"]));
        assert_eq!(chosen(&[], true, None), all(&["api-1a2b-xxxxx", "api-1a2b-yyyyy", "web", "db"]));
        assert_eq!(chosen(&["web"], false, None), all(&["web"]));
        assert_eq!(chosen(&["deploy/api"], false, None), all(&["api-1a2b-xxxxx", "api-1a2b-yyyyy"]));
        assert_eq!(chosen(&["deploy/idle"], false, None), all(&[]));
        let (_dir, context) = machine();
        let idle = |choice| without_pods(&context, &choice).unwrap();
        let id = WorkloadId::new(Kind::Deployment, "default", "idle");
        assert_eq!(idle(Choice::default()), std::slice::from_ref(&id));
        let names = ["deploy/idle".to_owned()];
        assert_eq!(idle(Choice { names: &names, ..Choice::default() }), [id]);
        assert!(idle(Choice { selector: Some("app=web"), ..Choice::default() }).is_empty());
        assert_eq!(chosen(&[], false, Some("app=web")), all(&["web"]));
        assert_eq!(chosen(&[], true, Some("!app")), all(&["db"]));
    }

    #[test]
    fn a_pod_on_its_way_out_is_seen_for_as_long_as_it_runs() {
        let (_dir, context) = machine();
        let id = WorkloadId::new(Kind::Pod, "default", "web");
        let mut record = WorkloadRecord::load(&context.layout, &id).unwrap().unwrap();
        record.delete(None);
        record.save(&context.layout).unwrap();
        let names = ["web".to_owned()];
        let web = Choice { names: &names, ..Choice::default() };
        let plan = &record.pods[0].plan;
        let now = Now { boot: 0, wall: jiff::Timestamp::UNIX_EPOCH };
        let mut state = PodState::new(&PodSpec::from_pod(&plan.pod), now);
        for (goal, sandbox, seen) in [
            (Goal::Run, Sandbox::Ready, true),
            (Goal::End, Sandbox::Ready, true),
            (Goal::End, Sandbox::Removing, false),
            (Goal::End, Sandbox::Absent, false),
        ] {
            (state.goal, state.sandbox) = (goal, sandbox);
            write_json(&context.layout.pod_status(&plan.uid), &state).unwrap();
            assert_eq!(pods_of(&context, &web).is_ok(), seen, "{goal:?} {sandbox:?}");
            assert_eq!(workload(&context.layout, &id).unwrap().is_some(), seen, "{goal:?} {sandbox:?}");
        }
        // Its files go last.
        std::fs::remove_file(context.layout.pod_status(&plan.uid)).unwrap();
        assert!(pods_of(&context, &web).is_err());
        assert!(workload(&context.layout, &id).unwrap().is_none());
    }

    #[test]
    fn a_name_that_leads_nowhere_is_told_with_the_nearest() {
        let told = |name| chosen(&[name], false, None).unwrap_err();
        let not_found = |text: &str| (crate::output::exit::NOT_FOUND, text.to_owned());
        assert_eq!(told("wbe"), not_found("pod/wbe not found in namespace default; did you mean pod/web?"));
        assert_eq!(
            told("api"),
            not_found("pod/api not found in namespace default; did you mean deployment.apps/api?")
        );
        assert_eq!(
            told("db"),
            not_found("pod/db not found in namespace default; there is one in namespace other: add -n other")
        );
        assert_eq!(
            told("deploy/appi"),
            not_found(
                "deployment.apps/appi not found in namespace default; did you mean deployment.apps/api?"
            )
        );
        assert_eq!(
            told("idle"),
            not_found(
                "pod/idle not found in namespace default; deployment.apps/idle has no pods (replicas: 0)"
            )
        );
        assert_eq!(
            told("deploy/idel"),
            not_found(
                "deployment.apps/idel not found in namespace default; did you mean deployment.apps/idle?"
            )
        );
        assert_eq!(
            told("zzz"),
            not_found("pod/zzz not found in namespace default; `kube ps -A` lists the pods")
        );
        assert_eq!(told("cm/x").0, crate::output::exit::USAGE);
        assert_eq!(chosen(&[], false, Some("a b")).unwrap_err().0, crate::output::exit::USAGE);
    }
}
