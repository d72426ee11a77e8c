//! Tests of requests, limits and QoS classes.

use serde_json::{Value, json};

use super::super::Resources;
use super::super::qos::{QosClass, qos_class};
use super::super::resources::{cdi_devices, container_pids, pod_pids, pod_resources};
use super::super::{DeviceRequest, defaults};
use super::{Case, pod_plan};

fn of(resources: Value) -> Resources {
    Case::new(json!({"resources": resources})).ok().resources
}

#[test]
fn cpu_quota_is_milli_times_100_us_per_100_ms_and_at_least_1_ms() {
    let half = of(json!({"limits": {"cpu": "500m"}}));
    assert_eq!((half.cpu_quota, half.cpu_period), (Some(50_000), Some(100_000)));
    assert_eq!(of(json!({"limits": {"cpu": "1m"}})).cpu_quota, Some(1000));
    assert_eq!(of(json!({"limits": {"cpu": "2.5"}})).cpu_quota, Some(250_000));
    let none = of(json!({"requests": {"cpu": "1"}}));
    assert_eq!((none.cpu_quota, none.cpu_period), (None, None));
}

#[test]
fn cpu_shares_follow_the_request_between_2_and_262144() {
    assert_eq!(of(json!({"requests": {"cpu": "250m"}})).cpu_shares, Some(256));
    assert_eq!(of(json!({"requests": {"cpu": "1m"}})).cpu_shares, Some(2));
    assert_eq!(of(json!({"requests": {"cpu": "1000"}})).cpu_shares, Some(262_144));
    assert_eq!(of(json!({})).cpu_shares, Some(2));
}

#[test]
fn a_limit_without_a_request_makes_request_equal_limit() {
    assert_eq!(of(json!({"limits": {"cpu": "1"}})).cpu_shares, Some(1024));
    assert_eq!(of(json!({"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}})).cpu_shares, Some(512));
}

#[test]
fn the_memory_limit_is_in_bytes_rounded_up() {
    assert_eq!(of(json!({"limits": {"memory": "64Mi"}})).memory_limit, Some(64 << 20));
    assert_eq!(of(json!({"limits": {"memory": "1.5"}})).memory_limit, Some(2));
    assert_eq!(of(json!({"limits": {"memory": "0"}})).memory_limit, None);
    assert_eq!(of(json!({"requests": {"memory": "64Mi"}})).memory_limit, None);
}

#[test]
fn the_overhead_of_the_runtime_is_added_to_the_pod_as_a_whole() {
    let of = |overhead: Value, limits: Value| {
        let containers = json!([{"name": "a", "resources": {"limits": limits}}]);
        pod_resources(&pod_plan(&json!({"containers": containers, "overhead": overhead})).pod)
    };
    let overhead = json!({"cpu": "250m", "memory": "1Mi"});
    let both = of(overhead.clone(), json!({"cpu": "500m", "memory": "1Mi"}));
    assert_eq!(
        (both.cpu_shares, both.cpu_quota, both.memory_limit),
        (Some(768), Some(75_000), Some(2 << 20))
    );
    let without_limits = of(overhead, json!({}));
    assert_eq!((without_limits.cpu_shares, without_limits.memory_limit), (Some(256), None));
}

fn pod(init: Value, apps: Value) -> Resources {
    pod_resources(&pod_plan(&json!({"initContainers": init, "containers": apps})).pod)
}

fn sized(name: &str, cpu: &str, memory: &str) -> Value {
    json!({"name": name, "resources": {"limits": {"cpu": cpu, "memory": memory}}})
}

#[test]
fn the_pods_weight_is_the_sum_and_limits_hold_only_when_every_container_has_them() {
    let both = pod(json!([]), json!([sized("a", "500m", "1Mi"), sized("b", "250m", "2Mi")]));
    assert_eq!(both.cpu_shares, Some(768));
    assert_eq!(both.cpu_quota, Some(75_000));
    assert_eq!(both.memory_limit, Some(3 << 20));
    let one = pod(json!([]), json!([sized("a", "500m", "1Mi"), {"name": "b"}]));
    assert_eq!((one.cpu_shares, one.cpu_quota, one.memory_limit), (Some(512), None, None));
}

#[test]
fn the_effective_request_is_the_larger_of_apps_together_and_the_largest_init_container() {
    let init = json!([sized("i", "2", "1Mi"), sized("j", "1", "9Mi")]);
    let found = pod(init, json!([sized("a", "500m", "4Mi"), sized("b", "500m", "4Mi")]));
    assert_eq!(found.cpu_shares, Some(2048));
    assert_eq!(found.cpu_quota, Some(200_000));
    assert_eq!(found.memory_limit, Some(9 << 20));
}

#[test]
fn sidecars_count_with_the_apps_and_with_every_init_container_after_them() {
    let sidecar = |name: &str, cpu: &str, memory: &str| {
        let mut container = sized(name, cpu, memory);
        container["restartPolicy"] = json!("Always");
        container
    };
    let init = || {
        json!([
            sized("i", "2", "1Mi"),
            sidecar("s", "500m", "3Mi"),
            sized("j", "2", "9Mi"),
            sidecar("t", "1", "1Mi")
        ])
    };
    let found = pod(init(), json!([sized("a", "500m", "4Mi")]));
    assert_eq!((found.cpu_quota, found.memory_limit), (Some(250_000), Some(12 << 20)), "j with s before it");
    let found = pod(init(), json!([sized("a", "1500m", "40Mi")]));
    assert_eq!((found.cpu_quota, found.memory_limit), (Some(300_000), Some(44 << 20)), "a with s and t");
}

fn qos(containers: Value) -> QosClass {
    qos_class(&pod_plan(&json!({"containers": containers})).pod)
}

#[test]
fn qos_is_guaranteed_burstable_or_best_effort() {
    assert_eq!(qos(json!([sized("a", "1", "1Mi"), sized("b", "1", "1Mi")])), QosClass::Guaranteed);
    assert_eq!(qos(json!([sized("a", "1", "1Mi"), {"name": "b"}])), QosClass::Burstable);
    assert_eq!(qos(json!([{"name": "a"}])), QosClass::BestEffort);
    let request = |cpu: &str| json!([{"name": "a", "resources": {"requests": {"cpu": cpu}}}]);
    assert_eq!(qos(request("10m")), QosClass::Burstable);
    assert_eq!(qos(request("0")), QosClass::BestEffort);
    let equal = json!([{"name": "a", "resources": {
        "limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"},
    }}]);
    assert_eq!(qos(equal), QosClass::Guaranteed, "1 is 1000m");
    let less = json!([{"name": "a", "resources": {
        "limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"},
    }}]);
    assert_eq!(qos(less), QosClass::Burstable, "a request below its limit");
    let other = json!([{"name": "a", "resources": {"requests": {"ephemeral-storage": "1Gi"}}}]);
    assert_eq!(qos(other), QosClass::BestEffort, "only cpu and memory count");
}

#[test]
fn oom_score_adj_is_by_qos_and_memory_request() {
    let adj = |resources: Value| Case::new(json!({"resources": resources})).ok().oom_score_adj;
    assert_eq!(adj(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), -997);
    assert_eq!(adj(json!({})), 1000);
    // The node of these tests has 8 GiB.
    assert_eq!(adj(json!({"requests": {"memory": "4Gi"}})), 500);
    assert_eq!(adj(json!({"requests": {"memory": "1Ki"}})), 999);
    assert_eq!(adj(json!({"requests": {"memory": "64Gi"}})), 3);
    // A sidecar is not killed before the app that it serves.
    let sidecar = |policy: &str| {
        let requests = |memory: &str| json!({"requests": {"memory": memory}});
        let init = json!([{
            "name": "c", "image": "app:1", "restartPolicy": policy, "resources": requests("1Gi"),
        }]);
        let app =
            |name: &str, memory: &str| json!({"name": name, "image": "app:1", "resources": requests(memory)});
        let apps = json!([app("a", "4Gi"), app("b", "6Gi")]);
        Case::of_pod(json!({"initContainers": init, "containers": apps})).ok().oom_score_adj
    };
    assert_eq!((sidecar("Always"), sidecar("Never")), (500, 875));
    assert_eq!(adj(json!({"requests": {"cpu": "1"}})), 999);
}

#[test]
fn an_annotation_limits_the_processes_of_a_pod_or_of_a_container() {
    let mut pod = pod_plan(&json!({"containers": []})).pod;
    assert_eq!(pod_pids(&pod, Some(4096)), Some(4096));
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert("kube-play/pids-limit".to_owned(), "200".to_owned());
    annotations.insert("io.podman.annotations.pids-limit/app".to_owned(), "50".to_owned());
    assert_eq!(pod_pids(&pod, Some(4096)), Some(200));
    assert_eq!(container_pids(&pod, "app"), Some(50));
    assert_eq!(container_pids(&pod, "other"), None);
    pod.metadata.annotations = Some([("kube-play/pids-limit".to_owned(), "unlimited".to_owned())].into());
    assert_eq!(pod_pids(&pod, Some(4096)), None);
}

/// Returns the cgroup values of a pod with these resources of its own, after defaulting.
fn with_own(own: Value, containers: Value) -> (Resources, QosClass, Value) {
    let mut pod = pod_plan(&json!({"containers": containers, "resources": own})).pod;
    defaults::pod_spec(pod.spec.as_mut().unwrap());
    let defaulted = serde_json::to_value(pod.spec.as_ref().unwrap().resources.as_ref().unwrap()).unwrap();
    (pod_resources(&pod), qos_class(&pod), defaulted["requests"].clone())
}

#[test]
fn resources_of_the_pod_win_over_those_of_its_containers() {
    let own =
        json!({"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "500m", "memory": "32Mi"}});
    let (found, class, _) = with_own(own, json!([{"name": "a"}, sized("b", "250m", "1Mi")]));
    assert_eq!(found.cpu_shares, Some(512));
    assert_eq!((found.cpu_quota, found.memory_limit), (Some(100_000), Some(64 << 20)));
    assert_eq!(class, QosClass::Burstable);
    let guaranteed =
        json!({"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "1", "memory": "64Mi"}});
    assert_eq!(with_own(guaranteed, json!([{"name": "a"}])).1, QosClass::Guaranteed);
}

#[test]
fn requests_of_the_pod_default_to_those_of_its_containers_together_and_else_to_its_limits() {
    let limits = json!({"limits": {"cpu": "2", "memory": "64Mi"}});
    let asking =
        json!([{"name": "a", "resources": {"requests": {"cpu": "300m"}}}, sized("b", "250m", "1Mi")]);
    let (_, _, requests) = with_own(limits.clone(), asking);
    assert_eq!(requests, json!({"cpu": "550m", "memory": "1048576"}));
    let (_, _, requests) = with_own(limits, json!([{"name": "a"}]));
    assert_eq!(requests, json!({"cpu": "2", "memory": "64Mi"}));
}

#[test]
fn a_container_without_a_limit_has_that_of_its_pod() {
    let spec = json!({
        "resources": {"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"memory": "2Gi"}},
        "containers": [{"name": "c"}, {"name": "d"}],
    });
    let plan = Case::of_pod(spec).ok();
    assert_eq!((plan.resources.cpu_quota, plan.resources.memory_limit), (Some(100_000), Some(64 << 20)));
    // Half of 2 GiB that the pod requests beyond its containers, of 8 GiB.
    assert_eq!(plan.oom_score_adj, 875);
}

#[test]
fn huge_pages_are_summed_for_the_pod() {
    let huge = |name: &str, amount: &str| {
        json!({
            "name": name, "resources": {"limits": {"hugepages-2Mi": amount, "cpu": "1"}},
        })
    };
    let found = pod(json!([]), json!([huge("a", "4Mi"), huge("b", "2Mi")]));
    assert_eq!(found.huge_pages, [(2 << 20, 6 << 20)].into());
}

#[test]
fn extended_resources_and_annotations_are_devices_of_cdi() {
    let spec =
        json!({"containers": [{"name": "a", "resources": {"limits": {"vendor.com/gpu": "2", "cpu": "1"}}}]});
    let mut pod = pod_plan(&spec).pod;
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert("cdi.k8s.io/x".to_owned(), "vendor.com/nic=eth7".to_owned());
    let found = cdi_devices(&pod, &pod.spec.as_ref().unwrap().containers[0]);
    let (gpu, nic) = ("vendor.com/gpu".to_owned(), "vendor.com/nic".to_owned());
    assert_eq!(
        found,
        [
            DeviceRequest::Count { kind: gpu, count: 2 },
            DeviceRequest::Named { kind: nic, name: "eth7".to_owned() },
        ]
    );
}
