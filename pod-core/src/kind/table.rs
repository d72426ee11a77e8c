//! The table of kinds.
//!
//! Source: the Kubernetes API reference and `kubectl api-resources`; removed kinds have their last version. `Config` is a
//! kubeconfig, which people keep beside their manifests.

use super::{Facts, Role, Scope};

/// Converts a name to lower case.
const fn lower_case<const N: usize>(name: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(name.as_bytes());
    bytes.make_ascii_lowercase();
    bytes
}

/// Defines [`Kind`] and its facts: name, apiVersion, plural, short names, scope, role.
macro_rules! kinds {
    ($($kind:ident, $api_version:literal, $plural:literal, [$($short:literal),*], $scope:ident, $role:expr;)*) => {
        /// A kind of objects, by its name in a manifest.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(
                #[doc = concat!($api_version, " ", stringify!($kind))]
                $kind,
            )*
        }

        impl Kind {
            /// Every kind, in the order of the table: those that are played come first.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            pub(super) const fn facts(self) -> Facts {
                match self {
                    $(
                        Self::$kind => Facts {
                            name: stringify!($kind),
                            singular: {
                                const LOWER_CASE: &[u8] = &lower_case::<{ stringify!($kind).len() }>(stringify!($kind));
                                match std::str::from_utf8(LOWER_CASE) {
                                    Ok(text) => text,
                                    Err(_) => stringify!($kind),
                                }
                            },
                            api_version: $api_version,
                            plural: $plural,
                            short_names: &[$($short),*],
                            scope: Scope::$scope,
                            role: $role,
                        },
                    )*
                }
            }
        }
    };
}

const LATER: Role = Role::LeftOut { reason: "this kind is not played yet", instead: None };
const INGRESS: Role = Role::LeftOut {
    reason: "this kind is not played yet",
    instead: Some("hostPort publishes a port on this machine"),
};
const SERVICE: Role = Role::LeftOut {
    reason: "this kind is not played yet",
    instead: Some(
        "its name leads nowhere so far: a Pod that is not a Deployment's is found by its own name; hostPort publishes \
         a port on this machine",
    ),
};
const CLUSTER: Role = Role::LeftOut { reason: "it needs a cluster", instead: None };

kinds! {
    Pod, "v1", "pods", ["po"], Namespaced, Role::Workload;
    Deployment, "apps/v1", "deployments", ["deploy"], Namespaced, Role::Workload;
    ConfigMap, "v1", "configmaps", ["cm"], Namespaced, Role::Data;
    Secret, "v1", "secrets", [], Namespaced, Role::Data;
    PersistentVolumeClaim, "v1", "persistentvolumeclaims", ["pvc"], Namespaced, Role::Data;
    EndpointSlice, "discovery.k8s.io/v1", "endpointslices", [], Namespaced, LATER;
    Endpoints, "v1", "endpoints", ["ep"], Namespaced, LATER;
    Ingress, "networking.k8s.io/v1", "ingresses", ["ing"], Namespaced, INGRESS;
    Service, "v1", "services", ["svc"], Namespaced, SERVICE;
    Namespace, "v1", "namespaces", ["ns"], Cluster, Role::Accepted;
    CronJob, "batch/v1", "cronjobs", ["cj"], Namespaced, Role::Refused;
    DaemonSet, "apps/v1", "daemonsets", ["ds"], Namespaced, Role::Refused;
    Job, "batch/v1", "jobs", [], Namespaced, Role::Refused;
    ReplicaSet, "apps/v1", "replicasets", ["rs"], Namespaced, Role::Shown;
    ReplicationController, "v1", "replicationcontrollers", ["rc"], Namespaced, Role::Refused;
    StatefulSet, "apps/v1", "statefulsets", ["sts"], Namespaced, Role::Refused;
    APIService, "apiregistration.k8s.io/v1", "apiservices", [], Cluster, CLUSTER;
    Binding, "v1", "bindings", [], Namespaced, CLUSTER;
    CSIDriver, "storage.k8s.io/v1", "csidrivers", [], Cluster, CLUSTER;
    CSINode, "storage.k8s.io/v1", "csinodes", [], Cluster, CLUSTER;
    CSIStorageCapacity, "storage.k8s.io/v1", "csistoragecapacities", [], Namespaced, CLUSTER;
    CertificateSigningRequest, "certificates.k8s.io/v1", "certificatesigningrequests", ["csr"], Cluster, CLUSTER;
    ClusterRole, "rbac.authorization.k8s.io/v1", "clusterroles", [], Cluster, CLUSTER;
    ClusterRoleBinding, "rbac.authorization.k8s.io/v1", "clusterrolebindings", [], Cluster, CLUSTER;
    ClusterTrustBundle, "certificates.k8s.io/v1beta1", "clustertrustbundles", [], Cluster, CLUSTER;
    ComponentStatus, "v1", "componentstatuses", ["cs"], Cluster, CLUSTER;
    Config, "v1", "configs", [], Cluster, CLUSTER;
    ControllerRevision, "apps/v1", "controllerrevisions", [], Namespaced, CLUSTER;
    CustomResourceDefinition, "apiextensions.k8s.io/v1", "customresourcedefinitions", ["crd", "crds"], Cluster, CLUSTER;
    DeviceClass, "resource.k8s.io/v1", "deviceclasses", [], Cluster, CLUSTER;
    Event, "v1", "events", ["ev"], Namespaced, CLUSTER;
    Eviction, "policy/v1", "evictions", [], Namespaced, CLUSTER;
    FlowSchema, "flowcontrol.apiserver.k8s.io/v1", "flowschemas", [], Cluster, CLUSTER;
    HorizontalPodAutoscaler, "autoscaling/v2", "horizontalpodautoscalers", ["hpa"], Namespaced, CLUSTER;
    IPAddress, "networking.k8s.io/v1", "ipaddresses", ["ip"], Cluster, CLUSTER;
    IngressClass, "networking.k8s.io/v1", "ingressclasses", [], Cluster, CLUSTER;
    Lease, "coordination.k8s.io/v1", "leases", [], Namespaced, CLUSTER;
    LimitRange, "v1", "limitranges", ["limits"], Namespaced, CLUSTER;
    MutatingAdmissionPolicy, "admissionregistration.k8s.io/v1", "mutatingadmissionpolicies", [], Cluster, CLUSTER;
    MutatingAdmissionPolicyBinding, "admissionregistration.k8s.io/v1", "mutatingadmissionpolicybindings", [], Cluster, CLUSTER;
    MutatingWebhookConfiguration, "admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", [], Cluster, CLUSTER;
    NetworkPolicy, "networking.k8s.io/v1", "networkpolicies", ["netpol"], Namespaced, CLUSTER;
    Node, "v1", "nodes", ["no"], Cluster, CLUSTER;
    PersistentVolume, "v1", "persistentvolumes", ["pv"], Cluster, CLUSTER;
    PodDisruptionBudget, "policy/v1", "poddisruptionbudgets", ["pdb"], Namespaced, CLUSTER;
    PodPreset, "settings.k8s.io/v1alpha1", "podpresets", [], Namespaced, CLUSTER;
    PodSecurityPolicy, "policy/v1beta1", "podsecuritypolicies", ["psp"], Cluster, CLUSTER;
    PodTemplate, "v1", "podtemplates", [], Namespaced, CLUSTER;
    PriorityClass, "scheduling.k8s.io/v1", "priorityclasses", ["pc"], Cluster, CLUSTER;
    PriorityLevelConfiguration, "flowcontrol.apiserver.k8s.io/v1", "prioritylevelconfigurations", [], Cluster, CLUSTER;
    ResourceClaim, "resource.k8s.io/v1", "resourceclaims", [], Namespaced, CLUSTER;
    ResourceClaimTemplate, "resource.k8s.io/v1", "resourceclaimtemplates", [], Namespaced, CLUSTER;
    ResourceQuota, "v1", "resourcequotas", ["quota"], Namespaced, CLUSTER;
    ResourceSlice, "resource.k8s.io/v1", "resourceslices", [], Cluster, CLUSTER;
    Role, "rbac.authorization.k8s.io/v1", "roles", [], Namespaced, CLUSTER;
    RoleBinding, "rbac.authorization.k8s.io/v1", "rolebindings", [], Namespaced, CLUSTER;
    RuntimeClass, "node.k8s.io/v1", "runtimeclasses", [], Cluster, CLUSTER;
    Scale, "autoscaling/v1", "scales", [], Namespaced, CLUSTER;
    ServiceAccount, "v1", "serviceaccounts", ["sa"], Namespaced, CLUSTER;
    ServiceCIDR, "networking.k8s.io/v1", "servicecidrs", [], Cluster, CLUSTER;
    StorageClass, "storage.k8s.io/v1", "storageclasses", ["sc"], Cluster, CLUSTER;
    StorageVersion, "internal.apiserver.k8s.io/v1alpha1", "storageversions", [], Cluster, CLUSTER;
    StorageVersionMigration, "storagemigration.k8s.io/v1beta1", "storageversionmigrations", [], Cluster, CLUSTER;
    ThirdPartyResource, "extensions/v1beta1", "thirdpartyresources", [], Cluster, CLUSTER;
    ValidatingAdmissionPolicy, "admissionregistration.k8s.io/v1", "validatingadmissionpolicies", [], Cluster, CLUSTER;
    ValidatingAdmissionPolicyBinding, "admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings", [], Cluster, CLUSTER;
    ValidatingWebhookConfiguration, "admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", [], Cluster, CLUSTER;
    VolumeAttachment, "storage.k8s.io/v1", "volumeattachments", [], Cluster, CLUSTER;
    VolumeAttributesClass, "storage.k8s.io/v1", "volumeattributesclasses", ["vac"], Cluster, CLUSTER;
}
