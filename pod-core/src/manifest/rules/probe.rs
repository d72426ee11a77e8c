//! Rules of probes and hooks of a container.

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Rules, name};

const PROBES: &str = "exec, httpGet, tcpSocket or grpc";
const HOOKS: &str = "exec, httpGet, sleep or tcpSocket";

impl Rules<'_> {
    /// Checks probes and hooks. Source: `validateProbe` and `validateLifecycle` of pkg/apis/core/validation.
    pub(super) fn probes(&mut self, path: &str, container: &Container) {
        let probes = [
            ("livenessProbe", &container.liveness_probe, true),
            ("readinessProbe", &container.readiness_probe, false),
            ("startupProbe", &container.startup_probe, true),
        ];
        for (field, probe, kills) in probes {
            if let Some(probe) = probe {
                self.probe(&format!("{path}.{field}"), probe, kills);
            }
        }
        let Some(lifecycle) = &container.lifecycle else { return };
        for (field, hook) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
            if let Some(hook) = hook {
                self.hook(&format!("{path}.lifecycle.{field}"), hook);
            }
        }
    }

    fn probe(&mut self, path: &str, probe: &Probe, kills: bool) {
        let given = [
            probe.exec.is_some(),
            probe.http_get.is_some(),
            probe.tcp_socket.is_some(),
            probe.grpc.is_some(),
        ];
        self.exactly_one(path, &given, PROBES);
        self.targets(path, probe.http_get.as_ref(), probe.tcp_socket.as_ref());
        if kills && probe.success_threshold.is_some_and(|times| times != 1) {
            self.error(&format!("{path}.successThreshold"), "must be 1: a success is one at once");
        }
        if !kills && probe.termination_grace_period_seconds.is_some() {
            let at = format!("{path}.terminationGracePeriodSeconds");
            self.error(&at, "a readinessProbe cannot have it: it ends nothing");
        }
    }

    fn hook(&mut self, path: &str, hook: &LifecycleHandler) {
        let given =
            [hook.exec.is_some(), hook.http_get.is_some(), hook.tcp_socket.is_some(), hook.sleep.is_some()];
        self.exactly_one(path, &given, HOOKS);
        self.targets(path, hook.http_get.as_ref(), hook.tcp_socket.as_ref());
    }

    fn targets(&mut self, path: &str, http: Option<&HTTPGetAction>, tcp: Option<&TCPSocketAction>) {
        let ports =
            [("httpGet", http.map(|action| &action.port)), ("tcpSocket", tcp.map(|action| &action.port))];
        for (field, port) in ports {
            let at = format!("{path}.{field}.port");
            match port {
                Some(IntOrString::Int(port)) if !(1..=65535).contains(port) => {
                    self.error(&at, format!("must be between 1 and 65535, is {port}"));
                }
                Some(IntOrString::String(port)) => self.require(&at, name::port(port)),
                _ => {}
            }
        }
    }
}
