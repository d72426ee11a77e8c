//! Rules of objects with a pod template: Deployments, and kinds that are generated.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize as _;

use super::{Rules, name};
use crate::kind::Kind;
use crate::manifest::escape;

/// Labels that a Job sets on its pods; other values for them are refused. Source: pkg/apis/batch/validation,
/// validateGeneratedSelector.
const JOB_LABELS: [&str; 4] =
    ["controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"];

impl Rules<'_> {
    pub(super) fn deployment(&mut self, deployment: &Deployment) {
        let spec = &deployment.spec;
        self.template(Kind::Deployment, &spec.template);
        self.selects(&spec.selector, &spec.template);
        self.rollout(deployment);
    }

    /// Checks a kind that is generated and not played: its template, and its selector if it has one.
    pub(super) fn generated_workload(&mut self, owner: Kind) {
        let spec = self.checked.value.get("spec");
        let template = spec.and_then(|spec| PodTemplateSpec::deserialize(spec.get("template")?).ok());
        let Some(template) = template else { return };
        self.template(owner, &template);
        if owner == Kind::Job {
            let labels = template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
            for key in
                labels.into_iter().flat_map(BTreeMap::keys).filter(|key| JOB_LABELS.contains(&key.as_str()))
            {
                let at = format!("spec.template.metadata.labels[{}]", escape(key));
                self.error_hint(&at, "is a label that a Job gives its pods itself", "leave it out");
            }
            return;
        }
        if let Some(selector) = spec.and_then(|spec| LabelSelector::deserialize(spec.get("selector")?).ok()) {
            self.selects(&selector, &template);
        }
        if owner == Kind::StatefulSet
            && let Some(service) = spec.and_then(|spec| spec.get("serviceName")?.as_str())
            && !service.is_empty()
        {
            self.require("spec.serviceName", name::dns_label(service));
        }
    }

    fn template(&mut self, owner: Kind, template: &PodTemplateSpec) {
        if let Some(metadata) = &template.metadata {
            self.labels_and_annotations("spec.template.metadata", metadata);
        }
        if let Some(pod) = &template.spec {
            self.pod("spec.template.spec", pod, owner);
            if let Some(metadata) = &template.metadata {
                self.app_armor_annotations("spec.template.metadata", metadata, pod);
            }
        }
    }

    /// Reports what a kind does not permit in its pods. Source: `ValidatePodTemplateSpec...` of pkg/apis/apps and
    /// batch.
    pub(super) fn allowed(&mut self, path: &str, spec: &PodSpec, owner: Kind) {
        if owner == Kind::Pod {
            return;
        }
        let (what, policy) = (owner.with_article(), spec.restart_policy.as_deref());
        let at = format!("{path}.restartPolicy");
        if owner == Kind::Job {
            if !matches!(policy, Some("OnFailure" | "Never")) {
                let message =
                    format!("must be OnFailure or Never in a Job, is {}", policy.unwrap_or("Always"));
                self.error(&at, message);
            }
        } else {
            if let Some(policy) = policy.filter(|policy| *policy != "Always") {
                let message = format!("must be Always in {what}, is {policy}");
                let hint = "leave it out, or make it a Pod if it is meant to end";
                self.error_hint(&at, message, hint);
            }
            if spec.active_deadline_seconds.is_some() {
                let hint = "leave it out, or make it a Pod if it is meant to end";
                self.error_hint(
                    &format!("{path}.activeDeadlineSeconds"),
                    format!("{what} cannot have it"),
                    hint,
                );
            }
        }
        if spec.ephemeral_containers.as_ref().is_some_and(|containers| !containers.is_empty()) {
            let message = format!("{what} cannot have them: they are added to pods that run");
            self.error_hint(&format!("{path}.ephemeralContainers"), message, "leave them out");
        }
    }

    /// Checks a Deployment's strategy. Source: `ValidateDeploymentSpec` and `ValidateDeploymentStrategy` of
    /// pkg/apis/apps/validation.
    fn rollout(&mut self, deployment: &Deployment) {
        let spec = &deployment.spec;
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        match spec.progress_deadline_seconds {
            Some(deadline) if deadline <= min_ready => {
                self.error("spec.progressDeadlineSeconds", "must be more than minReadySeconds");
            }
            None if min_ready >= 600 => {
                let message = "must be less than progressDeadlineSeconds, which is 600 unless it is given";
                self.error("spec.minReadySeconds", message);
            }
            _ => {}
        }
        let Some(strategy) = &spec.strategy else { return };
        let Some(rolling) = &strategy.rolling_update else { return };
        if strategy.type_.as_deref() == Some("Recreate") {
            self.error("spec.strategy.rollingUpdate", "cannot be given together with type: Recreate");
        }
        let at = "spec.strategy.rollingUpdate";
        let surge = self.int_or_percent(&format!("{at}.maxSurge"), rolling.max_surge.as_ref());
        let unavailable =
            self.int_or_percent(&format!("{at}.maxUnavailable"), rolling.max_unavailable.as_ref());
        if let Some((percent, true)) = unavailable
            && percent > 100
        {
            self.error(&format!("{at}.maxUnavailable"), format!("must not be more than 100%, is {percent}%"));
        }
        if matches!((surge, unavailable), (Some((0, _)), Some((0, _)))) {
            let message = "cannot be 0 together with maxSurge: no pod could be changed";
            self.error(&format!("{at}.maxUnavailable"), message);
        }
    }

    /// Returns the number in a field that takes a number or a percentage, and whether it is a percentage.
    fn int_or_percent(&mut self, path: &str, amount: Option<&IntOrString>) -> Option<(u32, bool)> {
        match amount? {
            IntOrString::Int(number) => match u32::try_from(*number) {
                Ok(number) => return Some((number, false)),
                Err(_) => self.error(path, format!("must not be negative, is {number}")),
            },
            IntOrString::String(text) => {
                let digits = text.strip_suffix('%').filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
                if let Some(percent) = digits.and_then(|digits| digits.parse().ok()) {
                    return Some((percent, true));
                }
                let message = format!("must be a number or a percentage, is {}", escape(text));
                self.error_hint(path, message, "e.g. 1, or 25%");
            }
        }
        None
    }

    /// Checks that the selector is set and selects the pods of the template.
    fn selects(&mut self, selector: &LabelSelector, template: &PodTemplateSpec) {
        self.selector("spec.selector", selector);
        let empty = BTreeMap::new();
        let labels =
            template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref()).unwrap_or(&empty);
        if is_empty(selector) {
            if !self.bad_below("spec.selector") {
                let hint = "give matchLabels with the labels of the template";
                self.error_hint("spec.selector", "must not be empty: it would select every pod", hint);
            }
        } else if let Some(missing) = mismatch(selector, labels) {
            let message = format!("does not match spec.selector: {missing}");
            let hint = "the template's labels must have everything that the selector asks for";
            self.error_hint("spec.template.metadata.labels", message, hint);
        }
    }

    pub(super) fn selector(&mut self, path: &str, selector: &LabelSelector) {
        if let Some(labels) = &selector.match_labels {
            self.labels(&format!("{path}.matchLabels"), labels);
        }
        for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
            let path = format!("{path}.matchExpressions[{index}]");
            if !expression.key.is_empty() {
                self.require(&format!("{path}.key"), name::qualified(&expression.key));
            }
            let values = expression.values.as_deref().unwrap_or_default();
            match expression.operator.as_str() {
                "In" | "NotIn" if values.is_empty() => {
                    self.error(
                        &format!("{path}.values"),
                        format!("{} needs at least one value", expression.operator),
                    );
                }
                "Exists" | "DoesNotExist" if !values.is_empty() => {
                    self.error(&format!("{path}.values"), format!("{} takes no values", expression.operator));
                }
                _ => {}
            }
            for (index, value) in values.iter().enumerate() {
                self.require(&format!("{path}.values[{index}]"), name::label_value(value));
            }
        }
    }
}

fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Returns the first requirement that `labels` do not meet.
fn mismatch(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> Option<String> {
    for (key, wanted) in selector.match_labels.iter().flatten() {
        match labels.get(key) {
            Some(value) if value == wanted => {}
            Some(value) => return Some(escape(&format!("{key} is {value}, not {wanted}")).into_owned()),
            None => return Some(escape(&format!("the label {key}: {wanted} is missing")).into_owned()),
        }
    }
    for expression in selector.match_expressions.iter().flatten() {
        let value = labels.get(&expression.key);
        let listed =
            value.is_some_and(|value| expression.values.iter().flatten().any(|other| other == value));
        let met = match expression.operator.as_str() {
            "In" => listed || expression.values.as_ref().is_none_or(Vec::is_empty),
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => true,
        };
        if !met {
            let values = expression.values.as_deref().unwrap_or_default().join(", ");
            let text = format!("{} {} {values}", expression.key, expression.operator);
            return Some(format!("{} is not met", escape(text.trim_end())));
        }
    }
    None
}
