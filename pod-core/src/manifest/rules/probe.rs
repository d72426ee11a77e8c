//! Rules of probes and hooks of a container.

use k8s_openapi::api::core::v1::{
    Container, ExecAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pod::Pod;
use super::{Rules, name, near};
use crate::manifest::{escape, shown};

const PROBES: &str = "exec, httpGet, tcpSocket or grpc";
const HOOKS: &str = "exec, httpGet, sleep or tcpSocket";

impl Rules<'_> {
    /// Checks probes and hooks. Source: `validateProbe` and `validateLifecycle` of pkg/apis/core/validation.
    pub(super) fn probes(&mut self, path: &str, container: &Container, pod: &Pod<'_>) {
        let probes = [
            ("livenessProbe", &container.liveness_probe, true),
            ("readinessProbe", &container.readiness_probe, false),
            ("startupProbe", &container.startup_probe, true),
        ];
        for (field, probe, kills) in probes {
            if let Some(probe) = probe {
                self.probe(&format!("{path}.{field}"), container, probe, kills);
            }
        }
        let Some(lifecycle) = &container.lifecycle else { return };
        for (field, hook) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
            if let Some(hook) = hook {
                self.hook(&format!("{path}.lifecycle.{field}"), container, hook, pod);
            }
        }
    }

    fn probe(&mut self, path: &str, container: &Container, probe: &Probe, kills: bool) {
        let given = [
            probe.exec.is_some(),
            probe.http_get.is_some(),
            probe.tcp_socket.is_some(),
            probe.grpc.is_some(),
        ];
        self.exactly_one(path, &given, PROBES);
        self.targets(path, container, probe.http_get.as_ref(), probe.tcp_socket.as_ref());
        self.command(path, probe.exec.as_ref());
        if let Some(grpc) = &probe.grpc
            && !(1..=65535).contains(&grpc.port)
        {
            let message = format!("must be between 1 and 65535, is {}", grpc.port);
            self.error(&format!("{path}.grpc.port"), message);
        }
        let mode = probe.grpc.as_ref().and_then(|grpc| grpc.mode.as_deref());
        if let Some(mode) = mode.filter(|mode| !["Plaintext", "TLS"].contains(mode)) {
            let message = format!("must be Plaintext or TLS, is {}", shown(mode));
            self.error(&format!("{path}.grpc.mode"), message);
        }
        for (field, number) in [
            ("initialDelaySeconds", probe.initial_delay_seconds),
            ("timeoutSeconds", probe.timeout_seconds),
            ("periodSeconds", probe.period_seconds),
            ("successThreshold", probe.success_threshold),
            ("failureThreshold", probe.failure_threshold),
        ] {
            if let Some(number) = number.filter(|number| *number < 0) {
                self.error(&format!("{path}.{field}"), format!("must not be negative, is {number}"));
            }
        }
        if let Some(grace) = probe.termination_grace_period_seconds.filter(|grace| kills && *grace < 1) {
            let at = format!("{path}.terminationGracePeriodSeconds");
            self.error(&at, format!("must be at least 1, is {grace}"));
        }
        if kills && probe.success_threshold.is_some_and(|times| times != 1) {
            self.error(&format!("{path}.successThreshold"), "must be 1: a success is one at once");
        }
        if !kills && probe.termination_grace_period_seconds.is_some() {
            let at = format!("{path}.terminationGracePeriodSeconds");
            self.error(&at, "a readinessProbe cannot have it: it ends nothing");
        }
    }

    fn hook(&mut self, path: &str, container: &Container, hook: &LifecycleHandler, pod: &Pod<'_>) {
        let given =
            [hook.exec.is_some(), hook.http_get.is_some(), hook.tcp_socket.is_some(), hook.sleep.is_some()];
        self.exactly_one(path, &given, HOOKS);
        self.targets(path, container, hook.http_get.as_ref(), hook.tcp_socket.as_ref());
        self.command(path, hook.exec.as_ref());
        // Of a negative one the schema speaks, and of a negative grace period the rules of the pod.
        if let Some(sleep) = &hook.sleep
            && pod.grace_seconds >= 0
            && sleep.seconds > pod.grace_seconds
        {
            let (seconds, grace) = (sleep.seconds, pod.grace_seconds);
            let message =
                format!("must not be more than terminationGracePeriodSeconds ({grace}), is {seconds}");
            self.error(&format!("{path}.sleep.seconds"), message);
        }
    }

    fn command(&mut self, path: &str, exec: Option<&ExecAction>) {
        if exec.is_some_and(|exec| exec.command.as_ref().is_none_or(Vec::is_empty)) {
            self.error(&format!("{path}.exec.command"), "is required");
        }
    }

    /// Checks httpGet.protocol (KEP-5999).
    fn protocol(&mut self, path: &str, http: &HTTPGetAction) {
        let at = format!("{path}.protocol");
        let is_https = http.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("HTTPS"));
        match http.protocol.as_deref() {
            None | Some("HTTP1") => {}
            Some("HTTP2") if is_https => {
                self.error(&at, "HTTP2 is in the clear and cannot have scheme HTTPS");
            }
            Some("HTTP2") if http.host.as_deref().is_some_and(|host| !host.is_empty()) => {
                self.error(&at, "HTTP2 asks the pod itself and cannot have a host");
            }
            Some("HTTP2") => {}
            Some(other) => self.error(&at, format!("must be HTTP1 or HTTP2, is {}", shown(other))),
        }
    }

    fn targets(
        &mut self,
        path: &str,
        container: &Container,
        http: Option<&HTTPGetAction>,
        tcp: Option<&TCPSocketAction>,
    ) {
        if let Some(http) = http {
            self.protocol(&format!("{path}.httpGet"), http);
        }
        let ports =
            [("httpGet", http.map(|action| &action.port)), ("tcpSocket", tcp.map(|action| &action.port))];
        for (field, port) in ports {
            let at = format!("{path}.{field}.port");
            match port {
                Some(IntOrString::Int(port)) if !(1..=65535).contains(port) => {
                    self.error(&at, format!("must be between 1 and 65535, is {port}"));
                }
                Some(IntOrString::String(port)) => {
                    let form = name::port(port);
                    let is_form = form.is_ok();
                    self.require(&at, form);
                    let named = || container.ports.iter().flatten().filter_map(|port| port.name.as_deref());
                    // An API server takes it; the kubelet then cannot do the probe, ever.
                    if is_form && !named().any(|name| name == port) {
                        let message = format!("the container has no port {}", shown(port));
                        match near(port, named()) {
                            Some(near) => {
                                self.error_hint(&at, message, format!("did you mean {}?", escape(near)));
                            }
                            None => self.error_hint(&at, message, "name it under the container's `ports`"),
                        }
                    }
                }
                _ => {}
            }
        }
    }
}
