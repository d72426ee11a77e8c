use k8s_openapi::api::core::v1::Pod;

/// status.qosClass, see [`crate::plan::qos`].
pub fn qos_class(pod: &Pod) -> &'static str {
    crate::plan::qos::qos_class(pod).as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(containers: serde_json::Value) -> &'static str {
        let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": containers}});
        qos_class(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn qos_guaranteed_is_request_equal_to_limit_everywhere() {
        let whole = serde_json::json!({"name": "a", "resources": {
            "limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}});
        let limits = serde_json::json!({"name": "b", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}});
        let none = serde_json::json!({"name": "c"});
        assert_eq!(class(serde_json::json!([whole, limits])), "Guaranteed");
        assert_eq!(class(serde_json::json!([whole, none])), "Burstable");
    }

    #[test]
    fn qos_best_effort_is_nothing_set_and_burstable_the_rest() {
        let zero = serde_json::json!({"name": "a", "resources": {"requests": {"cpu": "0"}}});
        let some = serde_json::json!({"name": "b", "resources": {"requests": {"cpu": "10m"}}});
        let other = serde_json::json!({"name": "c", "resources": {"limits": {"ephemeral-storage": "1Gi"}}});
        let less = serde_json::json!({"name": "d", "resources": {
            "limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}});
        assert_eq!(class(serde_json::json!([zero, other])), "BestEffort");
        assert_eq!(class(serde_json::json!([some])), "Burstable");
        assert_eq!(class(serde_json::json!([less])), "Burstable");
    }
}
