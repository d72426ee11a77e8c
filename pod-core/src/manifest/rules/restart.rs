//! Rules of how containers of a pod end and start again, and of what is reported about it.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::{Rules, name};
use crate::kind::ConditionType;
use crate::manifest::{escape, shown};

/// The most restartPolicyRules of a container, and the most exit codes of one rule (pkg/apis/core/validation).
const MAX_RULES: usize = 20;
const MAX_CODES: usize = 255;

/// The conditions of a pod that can open a readiness gate of it.
const OWN_CONDITIONS: [ConditionType; 4] = [
    ConditionType::PodScheduled,
    ConditionType::PodReadyToStartContainers,
    ConditionType::Initialized,
    ConditionType::ContainersReady,
];

impl Rules<'_> {
    /// Checks restartPolicy, restartPolicyRules and terminationMessagePath of a container.
    pub(super) fn restarts(&mut self, path: &str, container: &Container) {
        let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
        let at = format!("{path}.restartPolicyRules");
        if !rules.is_empty() && container.restart_policy.is_none() {
            let hint = "give the container a restartPolicy, which decides if no rule matches";
            self.error_hint(&at, "need a restartPolicy of the container itself", hint);
        }
        if rules.len() > MAX_RULES {
            let message = format!("must not have more than {MAX_RULES} rules, has {}", rules.len());
            self.error(&at, message);
        }
        for (index, rule) in rules.iter().enumerate() {
            let at = format!("{at}[{index}]");
            let Some(codes) = &rule.exit_codes else {
                self.error(&format!("{at}.exitCodes"), "is required");
                continue;
            };
            let values = codes.values.as_deref().unwrap_or_default();
            let at = format!("{at}.exitCodes.values");
            if values.len() > MAX_CODES {
                let message = format!("must not have more than {MAX_CODES} exit codes, has {}", values.len());
                self.error(&at, message);
            }
            let mut seen = BTreeSet::new();
            for (index, value) in values.iter().enumerate() {
                if !seen.insert(value) {
                    self.error(&format!("{at}[{index}]"), format!("{value} is there already"));
                }
            }
        }
        if let Some(given) = container.termination_message_path.as_deref()
            && !given.is_empty()
            && !given.starts_with('/')
        {
            let message = format!("must be an absolute path, is {}", shown(given));
            self.error(&format!("{path}.terminationMessagePath"), message);
        }
        if container.stdin_once == Some(true) && container.stdin != Some(true) {
            let message = "has no effect without `stdin: true`";
            self.warning(&format!("{path}.stdinOnce"), message, None);
        }
    }

    /// Checks readinessGates. In a cluster, a controller sets their conditions; here there is none.
    pub(super) fn readiness_gates(&mut self, path: &str, spec: &PodSpec) {
        for (index, gate) in spec.readiness_gates.iter().flatten().enumerate() {
            let at = format!("{path}.readinessGates[{index}].conditionType");
            let given = gate.condition_type.as_str();
            if given.is_empty() {
                continue;
            }
            let form = name::qualified(given);
            let is_form = form.is_ok();
            self.require(&at, form);
            let own = OWN_CONDITIONS.iter().any(|known| known.as_str() == given);
            if is_form && !own {
                let message =
                    format!("nothing here sets the condition {}: the pod never becomes Ready", escape(given));
                let hint = "in a cluster, a controller such as that of a load balancer does; leave it out"
                    .to_owned();
                self.warning(&at, message, Some(hint));
            }
        }
    }
}
