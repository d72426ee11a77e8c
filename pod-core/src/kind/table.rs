//! The table of kinds.
//!
//! Source: the Kubernetes API reference and `kubectl api-resources`. Removed kinds have their last version. `Config`
//! is a kubeconfig, which people keep in the same folder as their manifests.

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
        /// A kind of objects. The variants have the names that manifests use.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(
                #[doc = concat!($api_version, " ", stringify!($kind))]
                $kind,
            )*
        }

        impl Kind {
            /// All kinds, in the order of the table. Those that are played come first.
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

kinds! {
    Pod, "v1", "pods", ["po"], Namespaced, Role::Workload;
    Deployment, "apps/v1", "deployments", ["deploy"], Namespaced, Role::Workload;
    ConfigMap, "v1", "configmaps", ["cm"], Namespaced, Role::Data;
    Secret, "v1", "secrets", [], Namespaced, Role::Data;
    PersistentVolumeClaim, "v1", "persistentvolumeclaims", ["pvc"], Namespaced, Role::Data;
    PersistentVolume, "v1", "persistentvolumes", ["pv"], Cluster, Role::Data;
    Service, "v1", "services", ["svc"], Namespaced, Role::Data;
    Endpoints, "v1", "endpoints", ["ep"], Namespaced, Role::Data;
    EndpointSlice, "discovery.k8s.io/v1", "endpointslices", [], Namespaced, Role::Data;
    Ingress, "networking.k8s.io/v1", "ingresses", ["ing"], Namespaced, Role::Data;
    IngressClass, "networking.k8s.io/v1", "ingressclasses", [], Cluster, Role::Data;
    RuntimeClass, "node.k8s.io/v1", "runtimeclasses", [], Cluster, Role::Data;
    Namespace, "v1", "namespaces", ["ns"], Cluster, Role::Accepted;
    StorageClass, "storage.k8s.io/v1", "storageclasses", ["sc"], Cluster, Role::Accepted;
    CronJob, "batch/v1", "cronjobs", ["cj"], Namespaced, Role::Refused;
    DaemonSet, "apps/v1", "daemonsets", ["ds"], Namespaced, Role::Refused;
    Job, "batch/v1", "jobs", [], Namespaced, Role::Refused;
    ReplicaSet, "apps/v1", "replicasets", ["rs"], Namespaced, Role::Shown;
    ReplicationController, "v1", "replicationcontrollers", ["rc"], Namespaced, Role::Refused;
    StatefulSet, "apps/v1", "statefulsets", ["sts"], Namespaced, Role::Refused;
    APIService, "apiregistration.k8s.io/v1", "apiservices", [], Cluster, Role::NeedsCluster;
    Binding, "v1", "bindings", [], Namespaced, Role::NeedsCluster;
    CSIDriver, "storage.k8s.io/v1", "csidrivers", [], Cluster, Role::NeedsCluster;
    CSINode, "storage.k8s.io/v1", "csinodes", [], Cluster, Role::NeedsCluster;
    CSIStorageCapacity, "storage.k8s.io/v1", "csistoragecapacities", [], Namespaced, Role::NeedsCluster;
    CertificateSigningRequest, "certificates.k8s.io/v1", "certificatesigningrequests", ["csr"], Cluster, Role::NeedsCluster;
    ClusterRole, "rbac.authorization.k8s.io/v1", "clusterroles", [], Cluster, Role::NeedsCluster;
    ClusterRoleBinding, "rbac.authorization.k8s.io/v1", "clusterrolebindings", [], Cluster, Role::NeedsCluster;
    ClusterTrustBundle, "certificates.k8s.io/v1beta1", "clustertrustbundles", [], Cluster, Role::NeedsCluster;
    ComponentStatus, "v1", "componentstatuses", ["cs"], Cluster, Role::NeedsCluster;
    Config, "v1", "configs", [], Cluster, Role::NeedsCluster;
    ControllerRevision, "apps/v1", "controllerrevisions", [], Namespaced, Role::NeedsCluster;
    CustomResourceDefinition, "apiextensions.k8s.io/v1", "customresourcedefinitions", ["crd", "crds"], Cluster, Role::NeedsCluster;
    DeviceClass, "resource.k8s.io/v1", "deviceclasses", [], Cluster, Role::NeedsCluster;
    Event, "v1", "events", ["ev"], Namespaced, Role::NeedsCluster;
    Eviction, "policy/v1", "evictions", [], Namespaced, Role::NeedsCluster;
    FlowSchema, "flowcontrol.apiserver.k8s.io/v1", "flowschemas", [], Cluster, Role::NeedsCluster;
    HorizontalPodAutoscaler, "autoscaling/v2", "horizontalpodautoscalers", ["hpa"], Namespaced, Role::NeedsCluster;
    IPAddress, "networking.k8s.io/v1", "ipaddresses", ["ip"], Cluster, Role::NeedsCluster;
    Lease, "coordination.k8s.io/v1", "leases", [], Namespaced, Role::NeedsCluster;
    LimitRange, "v1", "limitranges", ["limits"], Namespaced, Role::NeedsCluster;
    MutatingAdmissionPolicy, "admissionregistration.k8s.io/v1", "mutatingadmissionpolicies", [], Cluster, Role::NeedsCluster;
    MutatingAdmissionPolicyBinding, "admissionregistration.k8s.io/v1", "mutatingadmissionpolicybindings", [], Cluster, Role::NeedsCluster;
    MutatingWebhookConfiguration, "admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", [], Cluster, Role::NeedsCluster;
    NetworkPolicy, "networking.k8s.io/v1", "networkpolicies", ["netpol"], Namespaced, Role::NeedsCluster;
    Node, "v1", "nodes", ["no"], Cluster, Role::NeedsCluster;
    PodDisruptionBudget, "policy/v1", "poddisruptionbudgets", ["pdb"], Namespaced, Role::NeedsCluster;
    PodPreset, "settings.k8s.io/v1alpha1", "podpresets", [], Namespaced, Role::NeedsCluster;
    PodSecurityPolicy, "policy/v1beta1", "podsecuritypolicies", ["psp"], Cluster, Role::NeedsCluster;
    PodTemplate, "v1", "podtemplates", [], Namespaced, Role::NeedsCluster;
    PriorityClass, "scheduling.k8s.io/v1", "priorityclasses", ["pc"], Cluster, Role::NeedsCluster;
    PriorityLevelConfiguration, "flowcontrol.apiserver.k8s.io/v1", "prioritylevelconfigurations", [], Cluster, Role::NeedsCluster;
    ResourceClaim, "resource.k8s.io/v1", "resourceclaims", [], Namespaced, Role::NeedsCluster;
    ResourceClaimTemplate, "resource.k8s.io/v1", "resourceclaimtemplates", [], Namespaced, Role::NeedsCluster;
    ResourceQuota, "v1", "resourcequotas", ["quota"], Namespaced, Role::NeedsCluster;
    ResourceSlice, "resource.k8s.io/v1", "resourceslices", [], Cluster, Role::NeedsCluster;
    Role, "rbac.authorization.k8s.io/v1", "roles", [], Namespaced, Role::NeedsCluster;
    RoleBinding, "rbac.authorization.k8s.io/v1", "rolebindings", [], Namespaced, Role::NeedsCluster;
    Scale, "autoscaling/v1", "scales", [], Namespaced, Role::NeedsCluster;
    ServiceAccount, "v1", "serviceaccounts", ["sa"], Namespaced, Role::NeedsCluster;
    ServiceCIDR, "networking.k8s.io/v1", "servicecidrs", [], Cluster, Role::NeedsCluster;
    StorageVersion, "internal.apiserver.k8s.io/v1alpha1", "storageversions", [], Cluster, Role::NeedsCluster;
    StorageVersionMigration, "storagemigration.k8s.io/v1beta1", "storageversionmigrations", [], Cluster, Role::NeedsCluster;
    ThirdPartyResource, "extensions/v1beta1", "thirdpartyresources", [], Cluster, Role::NeedsCluster;
    ValidatingAdmissionPolicy, "admissionregistration.k8s.io/v1", "validatingadmissionpolicies", [], Cluster, Role::NeedsCluster;
    ValidatingAdmissionPolicyBinding, "admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings", [], Cluster, Role::NeedsCluster;
    ValidatingWebhookConfiguration, "admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", [], Cluster, Role::NeedsCluster;
    VolumeAttachment, "storage.k8s.io/v1", "volumeattachments", [], Cluster, Role::NeedsCluster;
    VolumeAttributesClass, "storage.k8s.io/v1", "volumeattributesclasses", ["vac"], Cluster, Role::NeedsCluster;
}
