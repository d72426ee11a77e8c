//! Where connections go: a pod, and for a Service one of the pods behind it.

use k8s_openapi::api::core::v1::Container;
use pod_core::kind::{Kind, ObjectRef};
use pod_core::observe::{self, PodView, query};
use pod_core::service::{self, PortView, View};

use crate::cli::context::Context;
use crate::output::exit::Failure;

/// A port to forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// The port of this host; 0 is any free one.
    pub local: u16,
    /// The port of the pod.
    pub remote: u16,
}

/// A port as it was given: `[LOCAL:]REMOTE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Given<'a> {
    /// `None` if the port of this host is the given port of the destination.
    local: Option<u16>,
    remote: Remote<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remote<'a> {
    Number(u16),
    Name(&'a str),
}

/// Returns the pod that connections go to, and the ports of it.
///
/// # Errors
/// No such pod or Service (4); a port is not valid or does not exist (2); no pod of the Service is Ready (1).
pub fn find(context: &Context, name: &str, ports: &[String]) -> anyhow::Result<(PodView, Vec<Forward>)> {
    let given: Vec<Given<'_>> = ports.iter().map(|port| parse(port)).collect::<Result<_, _>>()?;
    let object = ObjectRef::parse(name, &context.namespace)?;
    if object.kind == Kind::Service {
        let is_meant = |view: &View| {
            let metadata = &view.service.metadata;
            metadata.name.as_deref() == Some(&object.name)
                && metadata.namespace.as_deref() == Some(&object.namespace)
        };
        // This is an error if there is no such Service, or if its endpoints are not pods.
        query::pods_of_service(&context.layout, &object)?;
        let ports = service::views(&context.layout)?.into_iter().find(is_meant).map(|view| view.ports);
        let pods = observe::pods(&context.layout)?;
        return Ok(behind(&object, &ports.unwrap_or_default(), pods, &given)?);
    }
    let pod = query::pod(&context.layout, name, &context.namespace)?;
    let forwards = given.into_iter().map(|given| {
        let remote = match given.remote {
            Remote::Number(number) => number,
            Remote::Name(name) => {
                named(name, &pod).ok_or_else(|| wrong(name, "no TCP port of the pod has this name"))?
            }
        };
        Ok(Forward { local: given.local.unwrap_or(remote), remote })
    });
    let forwards = forwards.collect::<Result<_, Failure>>()?;
    Ok((pod, forwards))
}

fn wrong(text: &str, what: &str) -> Failure {
    let hint = "write REMOTE, LOCAL:REMOTE or :REMOTE, for example 8080:80";
    Failure::usage(format!("port {text:?}: {what}")).hint(hint)
}

/// Parses `[LOCAL:]REMOTE`. The port of the destination may be a name.
fn parse(text: &str) -> Result<Given<'_>, Failure> {
    let (local, remote) = match text.split_once(':') {
        Some((local, remote)) => (Some(local), remote),
        None => (None, text),
    };
    let remote = match remote.parse::<u16>() {
        Ok(0) => return Err(wrong(text, "port 0 of the pod does not exist")),
        Ok(number) => Remote::Number(number),
        Err(_) if remote.is_empty() || remote.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(wrong(text, "the port of the pod is no number from 1 to 65535"));
        }
        Err(_) if remote.contains(':') => return Err(wrong(text, "there are too many colons")),
        Err(_) => Remote::Name(remote),
    };
    let local = match local {
        None => None,
        Some("") => Some(0),
        Some(number) => {
            let number = number.parse();
            Some(number.map_err(|_| wrong(text, "the port of this machine is no number from 0 to 65535"))?)
        }
    };
    Ok(Given { local, remote })
}

/// Returns the number of a port that a container of the pod names.
fn named(name: &str, pod: &PodView) -> Option<u16> {
    let spec = pod.plan.pod.spec.as_ref()?;
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mut ports = containers.flat_map(|container: &Container| container.ports.iter().flatten());
    let is_meant = |protocol: Option<&str>| protocol.is_none_or(|protocol| protocol == "TCP");
    let port = ports.find(|port| port.name.as_deref() == Some(name) && is_meant(port.protocol.as_deref()))?;
    u16::try_from(port.container_port).ok()
}

/// Returns a Ready pod behind a Service that has all given ports, and the target ports. The port of this host is that of
/// the Service, unless another one is given.
fn behind(
    service: &ObjectRef,
    views: &[PortView],
    pods: Vec<PodView>,
    given: &[Given<'_>],
) -> Result<(PodView, Vec<Forward>), Failure> {
    let mut wanted = Vec::new();
    for port in given {
        let is_meant = |view: &&PortView| {
            view.protocol == "TCP"
                && match port.remote {
                    Remote::Number(number) => view.port == number,
                    Remote::Name(name) => view.name.as_deref() == Some(name),
                }
        };
        let view = views.iter().find(is_meant).ok_or_else(|| no_such_port(service, views, port.remote))?;
        wanted.push((view, port));
    }
    let target = |view: &PortView, pod: &PodView| {
        let id = ObjectRef::new(Kind::Pod, pod.plan.namespace(), pod.plan.name());
        let mut endpoints = view.endpoints.iter().filter(|endpoint| endpoint.ready);
        endpoints.find(|endpoint| endpoint.pod.as_ref() == Some(&id)).map(|endpoint| endpoint.address.port())
    };
    let has_all = |pod: &PodView| wanted.iter().all(|(view, _)| target(view, pod).is_some());
    // The first of the most useful pods.
    let best = pods.into_iter().filter(has_all).min_by_key(|pod| std::cmp::Reverse(pod.usefulness()));
    let pod = best.ok_or_else(|| {
        Failure::failed(format!("{service} has no Ready pod"))
            .hint(format!("`kube describe {service}` shows its endpoints, `kube ps` the pods"))
    })?;
    let forward = |(view, given): &(&PortView, &Given<'_>)| {
        let remote = target(view, &pod)?;
        Some(Forward { local: given.local.unwrap_or(view.port), remote })
    };
    let forwards = wanted.iter().filter_map(forward).collect();
    Ok((pod, forwards))
}

fn no_such_port(service: &ObjectRef, views: &[PortView], port: Remote<'_>) -> Failure {
    let port = match port {
        Remote::Number(number) => number.to_string(),
        Remote::Name(name) => format!("{name:?}"),
    };
    let shown = |view: &PortView| match &view.name {
        Some(name) => format!("{} ({name})", view.port),
        None => view.port.to_string(),
    };
    let known: Vec<String> = views.iter().filter(|view| view.protocol == "TCP").map(shown).collect();
    let failure = Failure::usage(format!("{service} has no TCP port {port}"));
    if known.is_empty() { failure } else { failure.hint(format!("its ports: {}", known.join(", "))) }
}

#[cfg(test)]
mod tests {
    use pod_core::service::EndpointView;
    use serde_json::json;

    use super::*;
    use crate::tests::fixture::{context, pod, record};

    fn forwarded(text: &str) -> anyhow::Result<Forward> {
        let (_dir, context) = context();
        let mut plan = pod("default", "web", &json!({}));
        let ports = json!([{"containerPort": 80, "name": "http"},
            {"containerPort": 53, "name": "dns", "protocol": "UDP"}]);
        plan.pod.spec.as_mut().unwrap().containers[1].ports = serde_json::from_value(ports).unwrap();
        record(&context, Kind::Pod, "default", "web", "-", vec![plan]);
        Ok(find(&context, "web", &[text.to_owned()])?.1.remove(0))
    }

    #[test]
    fn ports_are_written_as_for_kubectl() {
        for (text, local, remote) in
            [("80", 80, 80), ("8080:80", 8080, 80), (":80", 0, 80), ("8080:http", 8080, 80), ("http", 80, 80)]
        {
            assert_eq!(forwarded(text).unwrap(), Forward { local, remote }, "{text}");
        }
        for wrong in ["", "0", ":", "8080:", "x:80", "70000", "80:70000", "8080:dns", "8080:absent", "1:2:3"]
        {
            assert!(forwarded(wrong).is_err(), "{wrong}");
        }
    }

    /// Forwards ports of a Service with the ports http (80) and metrics (90, which pod a does not have) over the pods a
    /// (Ready), b (Ready) and c (not Ready).
    fn of_service(ports: &[&str]) -> Result<(String, Vec<Forward>), Failure> {
        let (_dir, context) = context();
        for name in ["a", "b", "c"] {
            record(&context, Kind::Pod, "default", name, "-", vec![pod("default", name, &json!({}))]);
        }
        let endpoint = |pod: &str, port: u16, ready| EndpointView {
            address: ([10, 0, 0, 1], port).into(),
            pod: Some(ObjectRef::new(Kind::Pod, "default", pod)),
            hostname: None,
            ready,
        };
        let port = |name: &str, protocol: &str, port, endpoints| PortView {
            name: Some(name.to_owned()),
            protocol: protocol.to_owned(),
            port,
            endpoints,
        };
        let views = [
            port(
                "http",
                "TCP",
                80,
                vec![endpoint("a", 8080, true), endpoint("b", 8081, true), endpoint("c", 8082, false)],
            ),
            port("metrics", "TCP", 90, vec![endpoint("b", 9090, true), endpoint("c", 9090, false)]),
            port("only-c", "TCP", 91, vec![endpoint("c", 9091, false)]),
            port("dns", "UDP", 53, vec![endpoint("a", 53, true)]),
        ];
        let given: Vec<_> = ports.iter().map(|port| parse(port)).collect::<Result<_, _>>()?;
        let service = ObjectRef::new(Kind::Service, "default", "web");
        let pods = observe::pods(&context.layout).unwrap();
        let (pod, forwards) = behind(&service, &views, pods, &given)?;
        Ok((pod.plan.name().to_owned(), forwards))
    }

    #[test]
    fn the_port_of_a_service_leads_to_the_target_port_of_a_ready_pod() {
        let forward = |local, remote| Forward { local, remote };
        assert_eq!(of_service(&["80"]), Ok(("a".to_owned(), vec![forward(80, 8080)])));
        assert_eq!(of_service(&["8000:http"]), Ok(("a".to_owned(), vec![forward(8000, 8080)])));
        assert_eq!(of_service(&["http"]), Ok(("a".to_owned(), vec![forward(80, 8080)])));
        let both = ("b".to_owned(), vec![forward(0, 8081), forward(90, 9090)]);
        assert_eq!(of_service(&[":80", "metrics"]), Ok(both));
    }

    #[test]
    fn a_service_without_the_port_or_without_a_ready_pod_is_an_error() {
        let message = |port| {
            let failure = of_service(&[port]).unwrap_err();
            format!("{}; {}", failure.message, failure.hints.join("; "))
        };
        let ports = "its ports: 80 (http), 90 (metrics), 91 (only-c)";
        assert_eq!(message("8080"), format!("service/web has no TCP port 8080; {ports}"));
        assert_eq!(message("dns"), format!("service/web has no TCP port \"dns\"; {ports}"));
        assert_eq!(
            message("91"),
            "service/web has no Ready pod; `kube describe service/web` shows its endpoints, `kube ps` the pods"
        );
    }
}
