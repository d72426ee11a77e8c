//! Deployments.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::pod::Owner;
use super::{Rules, name};
use crate::manifest::escape;

impl Rules<'_> {
    pub(super) fn deployment(&mut self, deployment: &Deployment) {
        let spec = &deployment.spec;
        let template = &spec.template;
        if let Some(metadata) = &template.metadata {
            self.labels_and_annotations("spec.template.metadata", metadata);
        }
        if let Some(pod) = &template.spec {
            self.pod("spec.template.spec", pod, Owner::Deployment);
        }
        let selector = &spec.selector;
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

    fn selector(&mut self, path: &str, selector: &LabelSelector) {
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

/// The first requirement that `labels` do not meet.
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
