//! Finds the pods and workloads that a user names or selects by labels. A name that is not found comes with a hint to
//! what was probably meant.

use std::cmp::Reverse;

use serde_json::Value;

use super::nearest::nearest;
use super::pod::PodView;
use super::selector::{InvalidSelector, Selector};
use super::view::{self, pods, workload};
use crate::kind::{self, Kind, ObjectRef};
use crate::store::{self, Layout, Objects, WorkloadId};

/// Why a query found nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The records cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The text is not the name of an object.
    #[error(transparent)]
    Name(#[from] kind::Error),
    /// The text is not a label selector.
    #[error(transparent)]
    Selector(#[from] InvalidSelector),
    /// The object is a ReplicaSet, which belongs to a Deployment.
    #[error("{0} belongs to a Deployment and can only be shown")]
    PartOfDeployment(ObjectRef),
    /// Objects of this kind have no pods.
    #[error("{0} has no pods")]
    NotAWorkload(ObjectRef),
    /// The Service has no selector, so its endpoints are not pods.
    #[error("{0} has no selector: its endpoints are not pods of this machine")]
    NoSelector(ObjectRef),
    /// The workload has no pods now.
    #[error("{0} has no pods")]
    NoPods(String),
    /// There is no such object in the namespace.
    #[error("{object} not found{}", in_namespace(object))]
    NotFound {
        /// The object.
        object: ObjectRef,
        /// What was probably meant.
        hint: Option<Hint>,
    },
}

fn in_namespace(object: &ObjectRef) -> String {
    if object.kind.is_namespaced() { format!(" in namespace {}", object.namespace) } else { String::new() }
}

/// What a user probably meant by a name that is not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// This object.
    Similar(ObjectRef),
    /// The workload of this name, which has no pods.
    WithoutPods(WorkloadId),
    /// The object of this name in another namespace.
    OtherNamespace(String),
}

/// Which pods and workloads are meant. All conditions have to be met.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<'a> {
    /// The namespace of the names, and the only one that is searched unless `all_namespaces` is set.
    pub namespace: &'a str,
    /// Search every namespace.
    pub all_namespaces: bool,
    /// `NAME`, `pod/NAME`, `deployment/NAME`. If empty, every pod is meant.
    pub names: &'a [String],
    /// A label selector.
    pub selector: Option<&'a str>,
}

impl<'a> Query<'a> {
    /// Creates a query for every pod of a namespace.
    pub fn in_namespace(namespace: &'a str) -> Self {
        Self { namespace, ..Self::default() }
    }

    /// Returns the pods that are meant, each once, by namespace and name.
    ///
    /// # Errors
    /// A name is not the name of a workload, or no such workload exists.
    pub fn pods(&self, layout: &Layout) -> Result<Vec<PodView>, Error> {
        let found = pods(layout)?;
        for name in self.names {
            let object = parse_workload(name, self.namespace)?;
            let has_pods = found.iter().any(|pod| self.searches(pod) && is_meant(&object, pod));
            // The record is loaded also for a pod, because a damaged record is an error of its own.
            let exists = has_pods || (is_recorded(layout, &object)? && object.kind == Kind::Deployment);
            if !exists {
                return Err(not_found_among(layout, &object, &found));
            }
        }
        self.filter(found)
    }

    /// Returns the pods that are meant, as [`Query::pods`], but ignores names of workloads that do not exist.
    ///
    /// # Errors
    /// A name is not the name of a workload.
    pub fn existing_pods(&self, layout: &Layout) -> Result<Vec<PodView>, Error> {
        self.filter(pods(layout)?)
    }

    /// Returns the workloads that are meant and have no pods. A query with a selector means pods only.
    ///
    /// # Errors
    /// A name is not the name of a workload.
    pub fn workloads_without_pods(&self, layout: &Layout) -> Result<Vec<WorkloadId>, Error> {
        let wanted = self.objects()?;
        let mut found = view::without_pods(layout)?;
        found.retain(|id| {
            let is_meant = |object: &ObjectRef| id.kind == object.kind && id.name == object.name;
            self.selector.is_none()
                && (self.all_namespaces || id.namespace == self.namespace)
                && (wanted.is_empty() || wanted.iter().any(is_meant))
        });
        Ok(found)
    }

    fn objects(&self) -> Result<Vec<ObjectRef>, Error> {
        self.names.iter().map(|name| parse_workload(name, self.namespace)).collect()
    }

    fn searches(&self, pod: &PodView) -> bool {
        self.all_namespaces || pod.plan.namespace() == self.namespace
    }

    fn filter(&self, mut found: Vec<PodView>) -> Result<Vec<PodView>, Error> {
        let wanted = self.objects()?;
        let selector: Selector = self.selector.map(str::parse).transpose()?.unwrap_or_default();
        found.retain(|pod| {
            self.searches(pod)
                && selector.matches(pod.plan.pod.metadata.labels.as_ref())
                && (wanted.is_empty() || wanted.iter().any(|object| is_meant(object, pod)))
        });
        Ok(found)
    }
}

/// Returns the pod of this name; for the name of a Deployment or a Service its most useful pod.
///
/// # Errors
/// As [`Query::pods`]; the Deployment or the Service has no pods.
pub fn pod(layout: &Layout, name: &str, namespace: &str) -> Result<PodView, Error> {
    let object = ObjectRef::parse(name, namespace)?;
    let found = match object.kind {
        Kind::Service => pods_of_service(layout, &object)?,
        _ => Query { names: &[name.to_owned()], ..Query::in_namespace(namespace) }.pods(layout)?,
    };
    // The first of the most useful pods.
    let best = found.into_iter().min_by_key(|pod| Reverse(pod.usefulness()));
    best.ok_or_else(|| Error::NoPods(name.to_owned()))
}

/// Returns the pods that a Service selects, by name.
///
/// # Errors
/// There is no such Service, or it selects no pods itself.
pub fn pods_of_service(layout: &Layout, service: &ObjectRef) -> Result<Vec<PodView>, Error> {
    let Some(object) = Objects::get(layout, service)? else { return Err(not_found(layout, service)) };
    let selector = object.pointer("/spec/selector").and_then(Value::as_object);
    let Some(selector) = selector.filter(|selector| !selector.is_empty()) else {
        return Err(Error::NoSelector(service.clone()));
    };
    let mut found = pods(layout)?;
    found.retain(|pod| {
        let labels = pod.plan.pod.metadata.labels.as_ref();
        let label = |key: &String| labels.and_then(|labels| labels.get(key)).map(String::as_str);
        pod.plan.namespace() == service.namespace
            && selector.iter().all(|(key, value)| label(key) == value.as_str())
    });
    Ok(found)
}

/// Reads the name of a pod or of another workload.
///
/// # Errors
/// The text is not the name of an object, or objects of its kind are not workloads.
pub fn parse_workload(text: &str, namespace: &str) -> Result<ObjectRef, Error> {
    let object = ObjectRef::parse(text, namespace)?;
    if object.kind.is_workload() { Ok(object) } else { Err(not_a_workload(object)) }
}

/// Returns the error for an object that is not a workload.
pub fn not_a_workload(object: ObjectRef) -> Error {
    match object.kind {
        Kind::ReplicaSet => Error::PartOfDeployment(object),
        _ => Error::NotAWorkload(object),
    }
}

/// Returns the error for an object that does not exist, with a hint to what was probably meant.
pub fn not_found(layout: &Layout, object: &ObjectRef) -> Error {
    find_hint(layout, object).unwrap_or_else(Error::Store)
}

fn find_hint(layout: &Layout, object: &ObjectRef) -> Result<Error, store::Error> {
    if object.kind.is_workload() {
        // A damaged record is reported instead.
        is_recorded(layout, object)?;
        return Ok(not_found_among(layout, object, &pods(layout)?));
    }
    let all = Objects::list(layout, object.kind)?;
    let hint = match all.keys().find(|(_, name)| *name == object.name) {
        Some((other, _)) => Some(Hint::OtherNamespace(other.clone())),
        None => {
            let here = all.keys().filter(|(other, _)| *other == object.namespace);
            let name = nearest(&object.name, here.map(|(_, name)| name.as_str()));
            name.map(|name| Hint::Similar(ObjectRef::new(object.kind, &object.namespace, name)))
        }
    };
    Ok(Error::NotFound { object: object.clone(), hint })
}

/// Returns the error for a workload that does not exist, with a hint that is found among all pods.
fn not_found_among(layout: &Layout, object: &ObjectRef, pods: &[PodView]) -> Error {
    // Workloads that cannot be read give no hint.
    let without_pods = view::without_pods(layout).unwrap_or_default();
    Error::NotFound { object: object.clone(), hint: workload_hint(object, pods, &without_pods) }
}

fn workload_hint(object: &ObjectRef, pods: &[PodView], without_pods: &[WorkloadId]) -> Option<Hint> {
    let here: Vec<&PodView> = pods.iter().filter(|pod| pod.plan.namespace() == object.namespace).collect();
    let idle: Vec<&WorkloadId> = without_pods.iter().filter(|id| id.namespace == object.namespace).collect();
    let similar = |kind, name: &str| Hint::Similar(ObjectRef::new(kind, &object.namespace, name));
    if object.kind == Kind::Pod {
        // `kube logs api`, where api is a Deployment.
        if let Some(pod) = here.iter().find(|pod| pod.workload.name == object.name) {
            return Some(similar(pod.workload.kind, &pod.workload.name));
        }
        if let Some(id) = idle.iter().find(|id| id.name == object.name) {
            return Some(Hint::WithoutPods((*id).clone()));
        }
    }
    if let Some(pod) = pods.iter().find(|pod| is_meant(object, pod)) {
        return Some(Hint::OtherNamespace(pod.plan.namespace().to_owned()));
    }
    let names: Vec<&str> = match object.kind {
        Kind::Pod => here.iter().map(|pod| pod.plan.name()).collect(),
        kind => {
            let with_pods = here.iter().filter(|pod| is_of(kind, pod)).map(|pod| pod.workload.name.as_str());
            let idle = idle.iter().filter(|id| id.kind == kind);
            with_pods.chain(idle.map(|id| id.name.as_str())).collect()
        }
    };
    nearest(&object.name, names).map(|name| similar(object.kind, name))
}

fn is_meant(object: &ObjectRef, pod: &PodView) -> bool {
    match object.kind {
        Kind::Pod => pod.plan.name() == object.name,
        kind => is_of(kind, pod) && pod.workload.name == object.name,
    }
}

/// Returns true if the pod belongs to a workload of this kind.
fn is_of(kind: Kind, pod: &PodView) -> bool {
    pod.workload.kind == kind
}

fn is_recorded(layout: &Layout, object: &ObjectRef) -> Result<bool, store::Error> {
    let id = WorkloadId::new(object.kind, &object.namespace, &object.name);
    Ok(workload(layout, &id)?.is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use base::file::write_json;

    use super::*;
    use crate::lifecycle::{Goal, Now, PodSpec, PodState, Sandbox};
    use crate::observe::tests::fixture::{layout, planned, record};
    use crate::record::WorkloadRecord;

    /// default: web (app=web), api (a Deployment of two pods, app=api), idle (a Deployment without pods); other: db.
    fn machine() -> (tempfile::TempDir, Layout) {
        let (dir, layout) = layout();
        let api = |name| planned("default", name, &json!({"app": "api"}));
        let web = planned("default", "web", &json!({"app": "web"}));
        record(&layout, Kind::Pod, "default", "web", vec![web]);
        record(
            &layout,
            Kind::Deployment,
            "default",
            "api",
            vec![api("api-1a2b-xxxxx"), api("api-1a2b-yyyyy")],
        );
        record(&layout, Kind::Deployment, "default", "idle", vec![]);
        record(&layout, Kind::Pod, "other", "db", vec![planned("other", "db", &json!({}))]);
        (dir, layout)
    }

    fn found(names: &[&str], all_namespaces: bool, selector: Option<&str>) -> Result<Vec<String>, Error> {
        let (_dir, layout) = machine();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let query = Query { names: &names, all_namespaces, selector, ..Query::in_namespace("default") };
        Ok(query.pods(&layout)?.iter().map(|pod| pod.plan.name().to_owned()).collect())
    }

    #[test]
    fn names_selectors_and_namespaces_choose_pods() {
        let found = |names, all_namespaces, selector| found(names, all_namespaces, selector).unwrap();
        assert_eq!(found(&[], false, None), ["api-1a2b-xxxxx", "api-1a2b-yyyyy", "web"]);
        assert_eq!(found(&[], true, None), ["api-1a2b-xxxxx", "api-1a2b-yyyyy", "web", "db"]);
        assert_eq!(found(&["web"], false, None), ["web"]);
        assert_eq!(found(&["deploy/api"], false, None), ["api-1a2b-xxxxx", "api-1a2b-yyyyy"]);
        assert_eq!(found(&["deploy/idle"], false, None), [""; 0]);
        let (_dir, layout) = machine();
        let idle = |query: Query<'_>| query.workloads_without_pods(&layout).unwrap();
        let id = WorkloadId::new(Kind::Deployment, "default", "idle");
        let all = Query::in_namespace("default");
        assert_eq!(idle(all), std::slice::from_ref(&id));
        let names = ["deploy/idle".to_owned()];
        assert_eq!(idle(Query { names: &names, ..all }), [id]);
        assert!(idle(Query { selector: Some("app=web"), ..all }).is_empty());
        assert_eq!(found(&[], false, Some("app=web")), ["web"]);
        assert_eq!(found(&[], true, Some("!app")), ["db"]);
    }

    #[test]
    fn a_pod_that_is_being_removed_is_found_as_long_as_it_runs() {
        let (_dir, layout) = machine();
        let id = WorkloadId::new(Kind::Pod, "default", "web");
        let mut record = WorkloadRecord::load(&layout, &id).unwrap().unwrap();
        record.delete(None);
        record.save(&layout).unwrap();
        let names = ["web".to_owned()];
        let web = Query { names: &names, ..Query::in_namespace("default") };
        let plan = &record.pods[0].plan;
        let now = Now { boot: 0, wall: jiff::Timestamp::UNIX_EPOCH };
        let mut state = PodState::new(&PodSpec::from_pod(&plan.pod), now);
        for (goal, sandbox, is_found) in [
            (Goal::Run, Sandbox::Ready, true),
            (Goal::End, Sandbox::Ready, true),
            (Goal::End, Sandbox::Removing, false),
            (Goal::End, Sandbox::Absent, false),
        ] {
            (state.goal, state.sandbox) = (goal, sandbox);
            write_json(&layout.pod_status(&plan.uid), &state).unwrap();
            assert_eq!(web.pods(&layout).is_ok(), is_found, "{goal:?} {sandbox:?}");
            assert_eq!(workload(&layout, &id).unwrap().is_some(), is_found, "{goal:?} {sandbox:?}");
        }
        // The files of the pod are removed last.
        std::fs::remove_file(layout.pod_status(&plan.uid)).unwrap();
        assert!(web.pods(&layout).is_err());
        assert!(workload(&layout, &id).unwrap().is_none());
    }

    #[test]
    fn a_name_that_is_not_found_comes_with_what_was_probably_meant() {
        let hint = |name| match found(&[name], false, None).unwrap_err() {
            Error::NotFound { hint, .. } => hint,
            other => panic!("{other}"),
        };
        let similar = |kind, name| Some(Hint::Similar(ObjectRef::new(kind, "default", name)));
        assert_eq!(hint("wbe"), similar(Kind::Pod, "web"));
        assert_eq!(hint("api"), similar(Kind::Deployment, "api"));
        assert_eq!(hint("db"), Some(Hint::OtherNamespace("other".to_owned())));
        assert_eq!(hint("deploy/appi"), similar(Kind::Deployment, "api"));
        let idle = WorkloadId::new(Kind::Deployment, "default", "idle");
        assert_eq!(hint("idle"), Some(Hint::WithoutPods(idle)));
        assert_eq!(hint("deploy/idel"), similar(Kind::Deployment, "idle"));
        assert_eq!(hint("zzz"), None);
        let message = found(&["wbe"], false, None).unwrap_err().to_string();
        assert_eq!(message, "pod/wbe not found in namespace default");
    }

    #[test]
    fn what_is_not_a_workload_or_not_a_selector_is_refused() {
        assert!(matches!(found(&["cm/x"], false, None), Err(Error::NotAWorkload(_))));
        assert!(matches!(found(&["rs/x"], false, None), Err(Error::PartOfDeployment(_))));
        assert!(matches!(found(&["X"], false, None), Err(Error::Name(_))));
        assert!(matches!(found(&[], false, Some("a b")), Err(Error::Selector(_))));
    }

    #[test]
    fn a_deployment_without_pods_has_none_to_look_into() {
        let (_dir, layout) = machine();
        assert_eq!(pod(&layout, "deploy/api", "default").unwrap().plan.name(), "api-1a2b-xxxxx");
        assert!(matches!(pod(&layout, "deploy/idle", "default"), Err(Error::NoPods(_))));
    }
}
