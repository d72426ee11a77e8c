//! The rule that says how many pods a workload has and how they are replaced.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::Kind;

/// The rule that says how many pods a workload has and how they are replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rule {
    /// One pod with a name of its own (kind Pod). If the template changes, the pod is replaced: the old pod is removed
    /// before the new one starts, because both have the same name.
    Once,
    /// A number of pods of one template (kinds Deployment and ReplicaSet).
    Replicas(Replicas),
}

/// The fields of a Deployment's spec except its template. Source: k8s apps/v1 DeploymentSpec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replicas {
    /// spec.replicas.
    pub count: u32,
    /// spec.strategy.
    pub strategy: Strategy,
    /// spec.minReadySeconds: how long a pod has to be Ready until it counts as available.
    #[serde(default)]
    pub min_ready_seconds: u32,
    /// spec.progressDeadlineSeconds; `None` means no deadline.
    #[serde(default)]
    pub progress_deadline_seconds: Option<u32>,
    /// spec.paused: whether the Deployment is paused. A changed template is not rolled out then, but scaling still
    /// works.
    #[serde(default)]
    pub paused: bool,
    /// spec.revisionHistoryLimit: how many earlier revisions are kept.
    pub revision_history_limit: u32,
}

/// spec.strategy of a Deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Strategy {
    /// All old pods are deleted before the new pods are created.
    Recreate,
    /// Pods are replaced a few at a time.
    #[serde(rename_all = "camelCase")]
    RollingUpdate {
        /// How many pods there may be above `count`; a percentage is rounded up.
        max_surge: IntOrPercent,
        /// How many pods may be missing from `count`; a percentage is rounded down.
        max_unavailable: IntOrPercent,
    },
}

/// A number, or a percentage of the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IntOrPercent {
    /// An absolute number.
    Int(u32),
    /// A percentage.
    Percent(u32),
}

/// The value of progressDeadlineSeconds that means no deadline. Source: `HasProgressDeadline` of k8s
/// pkg/controller/deployment/util.
const NO_DEADLINE: u32 = 2_147_483_647;

impl Rule {
    /// Returns the rule of a validated object, with the defaults of Kubernetes. Source: `SetDefaults_Deployment` of
    /// k8s pkg/apis/apps/v1.
    pub fn of_object(kind: Kind, object: &Value) -> Self {
        if kind != Kind::Deployment {
            return Self::Once;
        }
        let number = |at: &str| {
            object.pointer(at).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
        };
        let bound = |at: &str| {
            object.pointer(at).and_then(IntOrPercent::of_value).unwrap_or(IntOrPercent::Percent(25))
        };
        let strategy = match object.pointer("/spec/strategy/type").and_then(Value::as_str) {
            Some("Recreate") => Strategy::Recreate,
            _ => Strategy::RollingUpdate {
                max_surge: bound("/spec/strategy/rollingUpdate/maxSurge"),
                max_unavailable: bound("/spec/strategy/rollingUpdate/maxUnavailable"),
            },
        };
        let deadline = number("/spec/progressDeadlineSeconds").unwrap_or(600);
        Self::Replicas(Replicas {
            count: number("/spec/replicas").unwrap_or(1),
            strategy,
            min_ready_seconds: number("/spec/minReadySeconds").unwrap_or(0),
            progress_deadline_seconds: Some(deadline).filter(|deadline| *deadline != NO_DEADLINE),
            paused: object.pointer("/spec/paused") == Some(&Value::Bool(true)),
            revision_history_limit: number("/spec/revisionHistoryLimit").unwrap_or(10),
        })
    }
}

/// By how many pods a rollout may deviate from `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How many pods there may be above `count`.
    pub max_surge: u32,
    /// How many pods may be missing from `count`.
    pub max_unavailable: u32,
}

impl Replicas {
    /// Returns the bounds of a rollout as rounded numbers. With `Recreate` both are 0, as in Kubernetes' computation
    /// of availability. Source: `ResolveFenceposts` of k8s pkg/controller/deployment/util.
    pub fn bounds(&self) -> Bounds {
        match self.strategy {
            Strategy::Recreate => Bounds { max_surge: 0, max_unavailable: 0 },
            Strategy::RollingUpdate { max_surge, max_unavailable } => {
                let max_surge = max_surge.rounded_up(self.count);
                let max_unavailable = match max_unavailable.rounded_down(self.count) {
                    // Validation refuses two zeros, but a percentage may be rounded to 0. With both bounds 0, no pod
                    // could be replaced.
                    0 if max_surge == 0 => 1,
                    rounded => rounded,
                };
                Bounds { max_surge, max_unavailable: max_unavailable.min(self.count) }
            }
        }
    }

    /// Returns how many pods may exist during a rollout, without terminating ones.
    pub fn max_total(&self) -> u32 {
        self.count.saturating_add(self.bounds().max_surge)
    }

    /// Returns how many pods must be available for condition Available to be True.
    pub fn min_available(&self) -> u32 {
        self.count.saturating_sub(self.bounds().max_unavailable)
    }
}

impl IntOrPercent {
    /// Parses a number, or text such as `25%`.
    fn of_value(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => text.strip_suffix('%')?.parse().ok().map(Self::Percent),
            _ => u32::try_from(value.as_u64()?).ok().map(Self::Int),
        }
    }

    /// Returns the number for this many replicas, with a percentage rounded up.
    pub fn rounded_up(self, replicas: u32) -> u32 {
        match self {
            Self::Int(number) => number,
            Self::Percent(percent) => narrow((u64::from(replicas) * u64::from(percent)).div_ceil(100)),
        }
    }

    /// Returns the number for this many replicas, with a percentage rounded down.
    pub fn rounded_down(self, replicas: u32) -> u32 {
        match self {
            Self::Int(number) => number,
            Self::Percent(percent) => narrow(u64::from(replicas) * u64::from(percent) / 100),
        }
    }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_has_the_defaults_of_kubernetes() {
        let rule = Rule::of_object(Kind::Deployment, &json!({"spec": {}}));
        let strategy = Strategy::RollingUpdate {
            max_surge: IntOrPercent::Percent(25),
            max_unavailable: IntOrPercent::Percent(25),
        };
        let expected = Replicas {
            count: 1,
            strategy,
            min_ready_seconds: 0,
            progress_deadline_seconds: Some(600),
            paused: false,
            revision_history_limit: 10,
        };
        assert_eq!(rule, Rule::Replicas(expected));
        assert_eq!(Rule::of_object(Kind::Pod, &json!({"spec": {}})), Rule::Once);
    }

    #[test]
    fn the_fields_of_a_deployment_are_read() {
        let rolling = json!({"maxSurge": "100%", "maxUnavailable": 0});
        let mut object = json!({"spec": {
            "replicas": 0,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            "minReadySeconds": 5,
            "progressDeadlineSeconds": 2_147_483_647,
            "paused": true,
            "revisionHistoryLimit": 0,
        }});
        let strategy = Strategy::RollingUpdate {
            max_surge: IntOrPercent::Percent(100),
            max_unavailable: IntOrPercent::Int(0),
        };
        let expected = Replicas {
            count: 0,
            strategy,
            min_ready_seconds: 5,
            progress_deadline_seconds: None,
            paused: true,
            revision_history_limit: 0,
        };
        assert_eq!(Rule::of_object(Kind::Deployment, &object), Rule::Replicas(expected.clone()));
        object["spec"]["strategy"] = json!({"type": "Recreate"});
        let expected = Replicas { strategy: Strategy::Recreate, ..expected };
        assert_eq!(Rule::of_object(Kind::Deployment, &object), Rule::Replicas(expected));
    }
}
