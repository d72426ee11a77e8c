//! Every type and field of the Kubernetes API that a manifest of a kind that is played or generated can reach.
//!
//! Generated from k8s-openapi by `generate.rs`; do not edit. `UPDATE_GENERATED=1` on the test
//! `manifest::schema` writes it anew.

use super::{Field, Kind, Type};

/// The type `AWSElasticBlockStoreVolumeSource`.
pub static AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE: Type = Type {
    name: "AWSElasticBlockStoreVolumeSource",
    fields: &[
        Field::optional("fsType", Kind::String),
        Field::optional("partition", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("readOnly", Kind::Bool),
        Field::required("volumeID", Kind::String),
    ],
};

/// The type `Affinity`.
pub static AFFINITY: Type = Type {
    name: "Affinity",
    fields: &[
        Field::optional("nodeAffinity", Kind::Object(&NODE_AFFINITY)),
        Field::optional("podAffinity", Kind::Object(&POD_AFFINITY)),
        Field::optional("podAntiAffinity", Kind::Object(&POD_ANTI_AFFINITY)),
    ],
};

/// The type `AppArmorProfile`.
pub static APP_ARMOR_PROFILE: Type = Type {
    name: "AppArmorProfile",
    fields: &[
        Field::optional("localhostProfile", Kind::String),
        Field::required("type", Kind::Enum(&["Localhost", "RuntimeDefault", "Unconfined"])),
    ],
};

/// The type `AzureDiskVolumeSource`.
pub static AZURE_DISK_VOLUME_SOURCE: Type = Type {
    name: "AzureDiskVolumeSource",
    fields: &[
        Field::optional("cachingMode", Kind::Enum(&["None", "ReadOnly", "ReadWrite"])),
        Field::required("diskName", Kind::String),
        Field::required("diskURI", Kind::String),
        Field::optional("fsType", Kind::String),
        Field::optional("kind", Kind::Enum(&["Shared", "Dedicated", "Managed"])),
        Field::optional("readOnly", Kind::Bool),
    ],
};

/// The type `AzureFilePersistentVolumeSource`.
pub static AZURE_FILE_PERSISTENT_VOLUME_SOURCE: Type = Type {
    name: "AzureFilePersistentVolumeSource",
    fields: &[
        Field::optional("readOnly", Kind::Bool),
        Field::required("secretName", Kind::String),
        Field::optional("secretNamespace", Kind::String),
        Field::required("shareName", Kind::String),
    ],
};

/// The type `AzureFileVolumeSource`.
pub static AZURE_FILE_VOLUME_SOURCE: Type = Type {
    name: "AzureFileVolumeSource",
    fields: &[
        Field::optional("readOnly", Kind::Bool),
        Field::required("secretName", Kind::String),
        Field::required("shareName", Kind::String),
    ],
};

/// The type `CSIPersistentVolumeSource`.
pub static CSI_PERSISTENT_VOLUME_SOURCE: Type = Type {
    name: "CSIPersistentVolumeSource",
    fields: &[
        Field::optional("controllerExpandSecretRef", Kind::Object(&SECRET_REFERENCE)),
        Field::optional("controllerPublishSecretRef", Kind::Object(&SECRET_REFERENCE)),
        Field::required("driver", Kind::String),
        Field::optional("fsType", Kind::String),
        Field::optional("nodeExpandSecretRef", Kind::Object(&SECRET_REFERENCE)),
        Field::optional("nodePublishSecretRef", Kind::Object(&SECRET_REFERENCE)),
        Field::optional("nodeStageSecretRef", Kind::Object(&SECRET_REFERENCE)),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("volumeAttributes", Kind::Map(&Kind::String)),
        Field::required("volumeHandle", Kind::String),
    ],
};

/// The type `CSIVolumeSource`.
pub static CSI_VOLUME_SOURCE: Type = Type {
    name: "CSIVolumeSource",
    fields: &[
        Field::required("driver", Kind::String),
        Field::optional("fsType", Kind::String),
        Field::optional("nodePublishSecretRef", Kind::Object(&LOCAL_OBJECT_REFERENCE)),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("volumeAttributes", Kind::Map(&Kind::String)),
    ],
};

/// The type `Capabilities`.
pub static CAPABILITIES: Type = Type {
    name: "Capabilities",
    fields: &[
        Field::optional("add", Kind::List(&Kind::String)),
        Field::optional("drop", Kind::List(&Kind::String)),
    ],
};

/// The type `CephFSPersistentVolumeSource`.
pub static CEPH_FS_PERSISTENT_VOLUME_SOURCE: Type = Type {
    name: "CephFSPersistentVolumeSource",
    fields: &[
        Field::required("monitors", Kind::List(&Kind::String)),
        Field::optional("path", Kind::String),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("secretFile", Kind::String),
        Field::optional("secretRef", Kind::Object(&SECRET_REFERENCE)),
        Field::optional("user", Kind::String),
    ],
};

/// The type `CephFSVolumeSource`.
pub static CEPH_FS_VOLUME_SOURCE: Type = Type {
    name: "CephFSVolumeSource",
    fields: &[
        Field::required("monitors", Kind::List(&Kind::String)),
        Field::optional("path", Kind::String),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("secretFile", Kind::String),
        Field::optional("secretRef", Kind::Object(&LOCAL_OBJECT_REFERENCE)),
        Field::optional("user", Kind::String),
    ],
};

/// The type `CinderPersistentVolumeSource`.
pub static CINDER_PERSISTENT_VOLUME_SOURCE: Type = Type {
    name: "CinderPersistentVolumeSource",
    fields: &[
        Field::optional("fsType", Kind::String),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("secretRef", Kind::Object(&SECRET_REFERENCE)),
        Field::required("volumeID", Kind::String),
    ],
};

/// The type `CinderVolumeSource`.
pub static CINDER_VOLUME_SOURCE: Type = Type {
    name: "CinderVolumeSource",
    fields: &[
        Field::optional("fsType", Kind::String),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("secretRef", Kind::Object(&LOCAL_OBJECT_REFERENCE)),
        Field::required("volumeID", Kind::String),
    ],
};

/// The type `ClientIPConfig`.
pub static CLIENT_IP_CONFIG: Type = Type {
    name: "ClientIPConfig",
    fields: &[
        Field::optional("timeoutSeconds", Kind::Int(1, 86400)),
    ],
};

/// The type `ClusterTrustBundleProjection`.
pub static CLUSTER_TRUST_BUNDLE_PROJECTION: Type = Type {
    name: "ClusterTrustBundleProjection",
    fields: &[
        Field::optional("labelSelector", Kind::Object(&LABEL_SELECTOR)),
        Field::optional("name", Kind::String),
        Field::optional("optional", Kind::Bool),
        Field::required("path", Kind::String),
        Field::optional("signerName", Kind::String),
        Field::optional("user", Kind::Int(i64::MIN, i64::MAX)),
    ],
};

/// The type `Condition`.
pub static CONDITION: Type = Type {
    name: "Condition",
    fields: &[
        Field::required("lastTransitionTime", Kind::Time),
        Field::required("message", Kind::String),
        Field::optional("observedGeneration", Kind::Int(i64::MIN, i64::MAX)),
        Field::required("reason", Kind::String),
        Field::required("status", Kind::String),
        Field::required("type", Kind::String),
    ],
};

/// The kind `ConfigMap`.
pub static CONFIG_MAP: Type = Type {
    name: "ConfigMap",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::optional("binaryData", Kind::Map(&Kind::Bytes)),
        Field::optional("data", Kind::Map(&Kind::String)),
        Field::optional("immutable", Kind::Bool),
        Field::optional("kind", Kind::String),
        Field::required("metadata", Kind::Object(&OBJECT_META)),
    ],
};

/// The type `ConfigMapEnvSource`.
pub static CONFIG_MAP_ENV_SOURCE: Type = Type {
    name: "ConfigMapEnvSource",
    fields: &[
        Field::required("name", Kind::String),
        Field::optional("optional", Kind::Bool),
    ],
};

/// The type `ConfigMapKeySelector`.
pub static CONFIG_MAP_KEY_SELECTOR: Type = Type {
    name: "ConfigMapKeySelector",
    fields: &[
        Field::required("key", Kind::String),
        Field::required("name", Kind::String),
        Field::optional("optional", Kind::Bool),
    ],
};

/// The type `ConfigMapProjection`.
pub static CONFIG_MAP_PROJECTION: Type = Type {
    name: "ConfigMapProjection",
    fields: &[
        Field::optional("items", Kind::List(&Kind::Object(&KEY_TO_PATH))),
        Field::required("name", Kind::String),
        Field::optional("optional", Kind::Bool),
    ],
};

/// The type `ConfigMapVolumeSource`.
pub static CONFIG_MAP_VOLUME_SOURCE: Type = Type {
    name: "ConfigMapVolumeSource",
    fields: &[
        Field::optional("defaultMode", Kind::Int(0, 511)),
        Field::optional("defaultUser", Kind::Int(i64::MIN, i64::MAX)),
        Field::optional("items", Kind::List(&Kind::Object(&KEY_TO_PATH))),
        Field::required("name", Kind::String),
        Field::optional("optional", Kind::Bool),
    ],
};

/// The type `Container`.
pub static CONTAINER: Type = Type {
    name: "Container",
    fields: &[
        Field::optional("args", Kind::List(&Kind::String)),
        Field::optional("command", Kind::List(&Kind::String)),
        Field::optional("env", Kind::List(&Kind::Object(&ENV_VAR))),
        Field::optional("envFrom", Kind::List(&Kind::Object(&ENV_FROM_SOURCE))),
        Field::required("image", Kind::String),
        Field::optional("imagePullPolicy", Kind::Enum(&["Always", "IfNotPresent", "Never"])),
        Field::optional("lifecycle", Kind::Object(&LIFECYCLE)),
        Field::optional("livenessProbe", Kind::Object(&PROBE)),
        Field::required("name", Kind::String),
        Field::optional("ports", Kind::List(&Kind::Object(&CONTAINER_PORT))),
        Field::optional("readinessProbe", Kind::Object(&PROBE)),
        Field::optional("resizePolicy", Kind::List(&Kind::Object(&CONTAINER_RESIZE_POLICY))),
        Field::optional("resources", Kind::Object(&RESOURCE_REQUIREMENTS)),
        Field::optional("restartPolicy", Kind::Enum(&["Always", "OnFailure", "Never"])),
        Field::optional("restartPolicyRules", Kind::List(&Kind::Object(&CONTAINER_RESTART_RULE))),
        Field::optional("securityContext", Kind::Object(&SECURITY_CONTEXT)),
        Field::optional("startupProbe", Kind::Object(&PROBE)),
        Field::optional("stdin", Kind::Bool),
        Field::optional("stdinOnce", Kind::Bool),
        Field::optional("terminationMessagePath", Kind::String),
        Field::optional("terminationMessagePolicy", Kind::Enum(&["File", "FallbackToLogsOnError"])),
        Field::optional("tty", Kind::Bool),
        Field::optional("volumeDevices", Kind::List(&Kind::Object(&VOLUME_DEVICE))),
        Field::optional("volumeMounts", Kind::List(&Kind::Object(&VOLUME_MOUNT))),
        Field::optional("workingDir", Kind::String),
    ],
};

/// The type `ContainerExtendedResourceRequest`.
pub static CONTAINER_EXTENDED_RESOURCE_REQUEST: Type = Type {
    name: "ContainerExtendedResourceRequest",
    fields: &[
        Field::required("containerName", Kind::String),
        Field::required("requestName", Kind::String),
        Field::required("resourceName", Kind::String),
    ],
};

/// The type `ContainerPort`.
pub static CONTAINER_PORT: Type = Type {
    name: "ContainerPort",
    fields: &[
        Field::required("containerPort", Kind::Int(1, 65535)),
        Field::optional("hostIP", Kind::String),
        Field::optional("hostPort", Kind::Int(0, 65535)),
        Field::optional("name", Kind::String),
        Field::optional("protocol", Kind::Enum(&["TCP", "UDP", "SCTP"])),
    ],
};

/// The type `ContainerResizePolicy`.
pub static CONTAINER_RESIZE_POLICY: Type = Type {
    name: "ContainerResizePolicy",
    fields: &[
        Field::required("resourceName", Kind::Enum(&["cpu", "memory"])),
        Field::required("restartPolicy", Kind::Enum(&["NotRequired", "RestartContainer"])),
    ],
};

/// The type `ContainerRestartRule`.
pub static CONTAINER_RESTART_RULE: Type = Type {
    name: "ContainerRestartRule",
    fields: &[
        Field::required("action", Kind::Enum(&["Restart", "RestartAllContainers"])),
        Field::optional("exitCodes", Kind::Object(&CONTAINER_RESTART_RULE_ON_EXIT_CODES)),
    ],
};

/// The type `ContainerRestartRuleOnExitCodes`.
pub static CONTAINER_RESTART_RULE_ON_EXIT_CODES: Type = Type {
    name: "ContainerRestartRuleOnExitCodes",
    fields: &[
        Field::required("operator", Kind::Enum(&["In", "NotIn"])),
        Field::optional("values", Kind::List(&Kind::Int(-2_147_483_648, 2_147_483_647))),
    ],
};

/// The type `ContainerState`.
pub static CONTAINER_STATE: Type = Type {
    name: "ContainerState",
    fields: &[
        Field::optional("running", Kind::Object(&CONTAINER_STATE_RUNNING)),
        Field::optional("terminated", Kind::Object(&CONTAINER_STATE_TERMINATED)),
        Field::optional("waiting", Kind::Object(&CONTAINER_STATE_WAITING)),
    ],
};

/// The type `ContainerStateRunning`.
pub static CONTAINER_STATE_RUNNING: Type = Type {
    name: "ContainerStateRunning",
    fields: &[
        Field::optional("startedAt", Kind::Time),
    ],
};

/// The type `ContainerStateTerminated`.
pub static CONTAINER_STATE_TERMINATED: Type = Type {
    name: "ContainerStateTerminated",
    fields: &[
        Field::optional("containerID", Kind::String),
        Field::required("exitCode", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("finishedAt", Kind::Time),
        Field::optional("message", Kind::String),
        Field::optional("reason", Kind::String),
        Field::optional("signal", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("startedAt", Kind::Time),
    ],
};

/// The type `ContainerStateWaiting`.
pub static CONTAINER_STATE_WAITING: Type = Type {
    name: "ContainerStateWaiting",
    fields: &[
        Field::optional("message", Kind::String),
        Field::optional("reason", Kind::String),
    ],
};

/// The type `ContainerStatus`.
pub static CONTAINER_STATUS: Type = Type {
    name: "ContainerStatus",
    fields: &[
        Field::optional("allocatedResources", Kind::Map(&Kind::Quantity)),
        Field::optional("allocatedResourcesStatus", Kind::List(&Kind::Object(&RESOURCE_STATUS))),
        Field::optional("containerID", Kind::String),
        Field::required("image", Kind::String),
        Field::required("imageID", Kind::String),
        Field::optional("lastState", Kind::Object(&CONTAINER_STATE)),
        Field::required("name", Kind::String),
        Field::required("ready", Kind::Bool),
        Field::optional("resources", Kind::Object(&RESOURCE_REQUIREMENTS)),
        Field::required("restartCount", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("started", Kind::Bool),
        Field::optional("state", Kind::Object(&CONTAINER_STATE)),
        Field::optional("stopSignal", Kind::String),
        Field::optional("user", Kind::Object(&CONTAINER_USER)),
        Field::optional("volumeMounts", Kind::List(&Kind::Object(&VOLUME_MOUNT_STATUS))),
    ],
};

/// The type `ContainerUser`.
pub static CONTAINER_USER: Type = Type {
    name: "ContainerUser",
    fields: &[
        Field::optional("linux", Kind::Object(&LINUX_CONTAINER_USER)),
    ],
};

/// The kind `DaemonSet`.
pub static DAEMON_SET: Type = Type {
    name: "DaemonSet",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::optional("kind", Kind::String),
        Field::required("metadata", Kind::Object(&OBJECT_META)),
        Field::required("spec", Kind::Object(&DAEMON_SET_SPEC)),
        Field::optional("status", Kind::Object(&DAEMON_SET_STATUS)),
    ],
};

/// The type `DaemonSetCondition`.
pub static DAEMON_SET_CONDITION: Type = Type {
    name: "DaemonSetCondition",
    fields: &[
        Field::optional("lastTransitionTime", Kind::Time),
        Field::optional("message", Kind::String),
        Field::optional("reason", Kind::String),
        Field::optional("status", Kind::Enum(&["True", "False", "Unknown"])),
        Field::optional("type", Kind::String),
    ],
};

/// The type `DaemonSetSpec`.
pub static DAEMON_SET_SPEC: Type = Type {
    name: "DaemonSetSpec",
    fields: &[
        Field::optional("minReadySeconds", Kind::Int(0, 2_147_483_647)),
        Field::optional("revisionHistoryLimit", Kind::Int(0, 2_147_483_647)),
        Field::required("selector", Kind::Object(&LABEL_SELECTOR)),
        Field::required("template", Kind::Object(&POD_TEMPLATE_SPEC)),
        Field::optional("updateStrategy", Kind::Object(&DAEMON_SET_UPDATE_STRATEGY)),
    ],
};

/// The type `DaemonSetStatus`.
pub static DAEMON_SET_STATUS: Type = Type {
    name: "DaemonSetStatus",
    fields: &[
        Field::optional("collisionCount", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("conditions", Kind::List(&Kind::Object(&DAEMON_SET_CONDITION))),
        Field::required("currentNumberScheduled", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::required("desiredNumberScheduled", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("numberAvailable", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::required("numberMisscheduled", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::required("numberReady", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("numberUnavailable", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("observedGeneration", Kind::Int(i64::MIN, i64::MAX)),
        Field::optional("updatedNumberScheduled", Kind::Int(-2_147_483_648, 2_147_483_647)),
    ],
};

/// The type `DaemonSetUpdateStrategy`.
pub static DAEMON_SET_UPDATE_STRATEGY: Type = Type {
    name: "DaemonSetUpdateStrategy",
    fields: &[
        Field::optional("rollingUpdate", Kind::Object(&ROLLING_UPDATE_DAEMON_SET)),
        Field::optional("type", Kind::Enum(&["OnDelete", "RollingUpdate"])),
    ],
};

/// The kind `Deployment`.
pub static DEPLOYMENT: Type = Type {
    name: "Deployment",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::optional("kind", Kind::String),
        Field::required("metadata", Kind::Object(&OBJECT_META)),
        Field::required("spec", Kind::Object(&DEPLOYMENT_SPEC)),
        Field::optional("status", Kind::Object(&DEPLOYMENT_STATUS)),
    ],
};

/// The type `DeploymentCondition`.
pub static DEPLOYMENT_CONDITION: Type = Type {
    name: "DeploymentCondition",
    fields: &[
        Field::optional("lastTransitionTime", Kind::Time),
        Field::optional("lastUpdateTime", Kind::Time),
        Field::optional("message", Kind::String),
        Field::optional("reason", Kind::String),
        Field::optional("status", Kind::Enum(&["True", "False", "Unknown"])),
        Field::optional("type", Kind::String),
    ],
};

/// The type `DeploymentSpec`.
pub static DEPLOYMENT_SPEC: Type = Type {
    name: "DeploymentSpec",
    fields: &[
        Field::optional("minReadySeconds", Kind::Int(0, 2_147_483_647)),
        Field::optional("paused", Kind::Bool),
        Field::optional("progressDeadlineSeconds", Kind::Int(0, 2_147_483_647)),
        Field::optional("replicas", Kind::Int(0, 2_147_483_647)),
        Field::optional("revisionHistoryLimit", Kind::Int(0, 2_147_483_647)),
        Field::required("selector", Kind::Object(&LABEL_SELECTOR)),
        Field::optional("strategy", Kind::Object(&DEPLOYMENT_STRATEGY)),
        Field::required("template", Kind::Object(&POD_TEMPLATE_SPEC)),
    ],
};

/// The type `DeploymentStatus`.
pub static DEPLOYMENT_STATUS: Type = Type {
    name: "DeploymentStatus",
    fields: &[
        Field::optional("availableReplicas", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("collisionCount", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("conditions", Kind::List(&Kind::Object(&DEPLOYMENT_CONDITION))),
        Field::optional("observedGeneration", Kind::Int(i64::MIN, i64::MAX)),
        Field::optional("readyReplicas", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("replicas", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("terminatingReplicas", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("unavailableReplicas", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("updatedReplicas", Kind::Int(-2_147_483_648, 2_147_483_647)),
    ],
};

/// The type `DeploymentStrategy`.
pub static DEPLOYMENT_STRATEGY: Type = Type {
    name: "DeploymentStrategy",
    fields: &[
        Field::optional("rollingUpdate", Kind::Object(&ROLLING_UPDATE_DEPLOYMENT)),
        Field::optional("type", Kind::Enum(&["Recreate", "RollingUpdate"])),
    ],
};

/// The type `DiscoveryEndpointPort`.
pub static DISCOVERY_ENDPOINT_PORT: Type = Type {
    name: "DiscoveryEndpointPort",
    fields: &[
        Field::optional("appProtocol", Kind::String),
        Field::optional("name", Kind::String),
        Field::optional("port", Kind::Int(1, 65535)),
        Field::optional("protocol", Kind::Enum(&["TCP", "UDP", "SCTP"])),
    ],
};

/// The type `DownwardAPIProjection`.
pub static DOWNWARD_API_PROJECTION: Type = Type {
    name: "DownwardAPIProjection",
    fields: &[
        Field::optional("items", Kind::List(&Kind::Object(&DOWNWARD_API_VOLUME_FILE))),
    ],
};

/// The type `DownwardAPIVolumeFile`.
pub static DOWNWARD_API_VOLUME_FILE: Type = Type {
    name: "DownwardAPIVolumeFile",
    fields: &[
        Field::optional("fieldRef", Kind::Object(&OBJECT_FIELD_SELECTOR)),
        Field::optional("mode", Kind::Int(0, 511)),
        Field::required("path", Kind::String),
        Field::optional("resourceFieldRef", Kind::Object(&RESOURCE_FIELD_SELECTOR)),
        Field::optional("user", Kind::Int(i64::MIN, i64::MAX)),
    ],
};

/// The type `DownwardAPIVolumeSource`.
pub static DOWNWARD_API_VOLUME_SOURCE: Type = Type {
    name: "DownwardAPIVolumeSource",
    fields: &[
        Field::optional("defaultMode", Kind::Int(0, 511)),
        Field::optional("defaultUser", Kind::Int(i64::MIN, i64::MAX)),
        Field::optional("items", Kind::List(&Kind::Object(&DOWNWARD_API_VOLUME_FILE))),
    ],
};

/// The type `EmptyDirVolumeSource`.
pub static EMPTY_DIR_VOLUME_SOURCE: Type = Type {
    name: "EmptyDirVolumeSource",
    fields: &[
        Field::optional("medium", Kind::String),
        Field::optional("mode", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("sizeLimit", Kind::Quantity),
    ],
};

/// The type `Endpoint`.
pub static ENDPOINT: Type = Type {
    name: "Endpoint",
    fields: &[
        Field::required("addresses", Kind::List(&Kind::String)),
        Field::optional("conditions", Kind::Object(&ENDPOINT_CONDITIONS)),
        Field::optional("deprecatedTopology", Kind::Map(&Kind::String)),
        Field::optional("hints", Kind::Object(&ENDPOINT_HINTS)),
        Field::optional("hostname", Kind::String),
        Field::optional("nodeName", Kind::String),
        Field::optional("targetRef", Kind::Object(&OBJECT_REFERENCE)),
        Field::optional("zone", Kind::String),
    ],
};

/// The type `EndpointAddress`.
pub static ENDPOINT_ADDRESS: Type = Type {
    name: "EndpointAddress",
    fields: &[
        Field::optional("hostname", Kind::String),
        Field::required("ip", Kind::String),
        Field::optional("nodeName", Kind::String),
        Field::optional("targetRef", Kind::Object(&OBJECT_REFERENCE)),
    ],
};

/// The type `EndpointConditions`.
pub static ENDPOINT_CONDITIONS: Type = Type {
    name: "EndpointConditions",
    fields: &[
        Field::optional("ready", Kind::Bool),
        Field::optional("serving", Kind::Bool),
        Field::optional("terminating", Kind::Bool),
    ],
};

/// The type `EndpointHints`.
pub static ENDPOINT_HINTS: Type = Type {
    name: "EndpointHints",
    fields: &[
        Field::optional("forNodes", Kind::List(&Kind::Object(&FOR_NODE))),
        Field::optional("forZones", Kind::List(&Kind::Object(&FOR_ZONE))),
    ],
};

/// The type `EndpointPort`.
pub static ENDPOINT_PORT: Type = Type {
    name: "EndpointPort",
    fields: &[
        Field::optional("appProtocol", Kind::String),
        Field::optional("name", Kind::String),
        Field::required("port", Kind::Int(1, 65535)),
        Field::optional("protocol", Kind::Enum(&["TCP", "UDP", "SCTP"])),
    ],
};

/// The kind `EndpointSlice`.
pub static ENDPOINT_SLICE: Type = Type {
    name: "EndpointSlice",
    fields: &[
        Field::required("addressType", Kind::Enum(&["IPv4", "IPv6", "FQDN"])),
        Field::optional("apiVersion", Kind::String),
        Field::optional("endpoints", Kind::List(&Kind::Object(&ENDPOINT))),
        Field::optional("kind", Kind::String),
        Field::required("metadata", Kind::Object(&OBJECT_META)),
        Field::optional("ports", Kind::List(&Kind::Object(&DISCOVERY_ENDPOINT_PORT))),
    ],
};

/// The type `EndpointSubset`.
pub static ENDPOINT_SUBSET: Type = Type {
    name: "EndpointSubset",
    fields: &[
        Field::optional("addresses", Kind::List(&Kind::Object(&ENDPOINT_ADDRESS))),
        Field::optional("notReadyAddresses", Kind::List(&Kind::Object(&ENDPOINT_ADDRESS))),
        Field::optional("ports", Kind::List(&Kind::Object(&ENDPOINT_PORT))),
    ],
};

/// The kind `Endpoints`.
pub static ENDPOINTS: Type = Type {
    name: "Endpoints",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::optional("kind", Kind::String),
        Field::required("metadata", Kind::Object(&OBJECT_META)),
        Field::optional("subsets", Kind::List(&Kind::Object(&ENDPOINT_SUBSET))),
    ],
};

/// The type `EnvFromSource`.
pub static ENV_FROM_SOURCE: Type = Type {
    name: "EnvFromSource",
    fields: &[
        Field::optional("configMapRef", Kind::Object(&CONFIG_MAP_ENV_SOURCE)),
        Field::optional("prefix", Kind::String),
        Field::optional("secretRef", Kind::Object(&SECRET_ENV_SOURCE)),
    ],
};

/// The type `EnvVar`.
pub static ENV_VAR: Type = Type {
    name: "EnvVar",
    fields: &[
        Field::required("name", Kind::String),
        Field::optional("value", Kind::String),
        Field::optional("valueFrom", Kind::Object(&ENV_VAR_SOURCE)),
    ],
};

/// The type `EnvVarSource`.
pub static ENV_VAR_SOURCE: Type = Type {
    name: "EnvVarSource",
    fields: &[
        Field::optional("configMapKeyRef", Kind::Object(&CONFIG_MAP_KEY_SELECTOR)),
        Field::optional("fieldRef", Kind::Object(&OBJECT_FIELD_SELECTOR)),
        Field::optional("fileKeyRef", Kind::Object(&FILE_KEY_SELECTOR)),
        Field::optional("resourceFieldRef", Kind::Object(&RESOURCE_FIELD_SELECTOR)),
        Field::optional("secretKeyRef", Kind::Object(&SECRET_KEY_SELECTOR)),
    ],
};

/// The type `EphemeralContainer`.
pub static EPHEMERAL_CONTAINER: Type = Type {
    name: "EphemeralContainer",
    fields: &[
        Field::optional("args", Kind::List(&Kind::String)),
        Field::optional("command", Kind::List(&Kind::String)),
        Field::optional("env", Kind::List(&Kind::Object(&ENV_VAR))),
        Field::optional("envFrom", Kind::List(&Kind::Object(&ENV_FROM_SOURCE))),
        Field::optional("image", Kind::String),
        Field::optional("imagePullPolicy", Kind::Enum(&["Always", "IfNotPresent", "Never"])),
        Field::optional("lifecycle", Kind::Object(&LIFECYCLE)),
        Field::optional("livenessProbe", Kind::Object(&PROBE)),
        Field::required("name", Kind::String),
        Field::optional("ports", Kind::List(&Kind::Object(&CONTAINER_PORT))),
        Field::optional("readinessProbe", Kind::Object(&PROBE)),
        Field::optional("resizePolicy", Kind::List(&Kind::Object(&CONTAINER_RESIZE_POLICY))),
        Field::optional("resources", Kind::Object(&RESOURCE_REQUIREMENTS)),
        Field::optional("restartPolicy", Kind::Enum(&["Always", "OnFailure", "Never"])),
        Field::optional("restartPolicyRules", Kind::List(&Kind::Object(&CONTAINER_RESTART_RULE))),
        Field::optional("securityContext", Kind::Object(&SECURITY_CONTEXT)),
        Field::optional("startupProbe", Kind::Object(&PROBE)),
        Field::optional("stdin", Kind::Bool),
        Field::optional("stdinOnce", Kind::Bool),
        Field::optional("targetContainerName", Kind::String),
        Field::optional("terminationMessagePath", Kind::String),
        Field::optional("terminationMessagePolicy", Kind::Enum(&["File", "FallbackToLogsOnError"])),
        Field::optional("tty", Kind::Bool),
        Field::optional("volumeDevices", Kind::List(&Kind::Object(&VOLUME_DEVICE))),
        Field::optional("volumeMounts", Kind::List(&Kind::Object(&VOLUME_MOUNT))),
        Field::optional("workingDir", Kind::String),
    ],
};

/// The type `EphemeralVolumeSource`.
pub static EPHEMERAL_VOLUME_SOURCE: Type = Type {
    name: "EphemeralVolumeSource",
    fields: &[
        Field::required("volumeClaimTemplate", Kind::Object(&PERSISTENT_VOLUME_CLAIM_TEMPLATE)),
    ],
};

/// The type `EvictionResponder`.
pub static EVICTION_RESPONDER: Type = Type {
    name: "EvictionResponder",
    fields: &[
        Field::required("name", Kind::String),
        Field::required("priority", Kind::Int(-2_147_483_648, 2_147_483_647)),
    ],
};

/// The type `ExecAction`.
pub static EXEC_ACTION: Type = Type {
    name: "ExecAction",
    fields: &[
        Field::optional("command", Kind::List(&Kind::String)),
    ],
};

/// The type `FCVolumeSource`.
pub static FC_VOLUME_SOURCE: Type = Type {
    name: "FCVolumeSource",
    fields: &[
        Field::optional("fsType", Kind::String),
        Field::optional("lun", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("targetWWNs", Kind::List(&Kind::String)),
        Field::optional("wwids", Kind::List(&Kind::String)),
    ],
};

/// The type `FileKeySelector`.
pub static FILE_KEY_SELECTOR: Type = Type {
    name: "FileKeySelector",
    fields: &[
        Field::required("key", Kind::String),
        Field::optional("optional", Kind::Bool),
        Field::required("path", Kind::String),
        Field::required("volumeName", Kind::String),
    ],
};

/// The type `FlexPersistentVolumeSource`.
pub static FLEX_PERSISTENT_VOLUME_SOURCE: Type = Type {
    name: "FlexPersistentVolumeSource",
    fields: &[
        Field::required("driver", Kind::String),
        Field::optional("fsType", Kind::String),
        Field::optional("options", Kind::Map(&Kind::String)),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("secretRef", Kind::Object(&SECRET_REFERENCE)),
    ],
};

/// The type `FlexVolumeSource`.
pub static FLEX_VOLUME_SOURCE: Type = Type {
    name: "FlexVolumeSource",
    fields: &[
        Field::required("driver", Kind::String),
        Field::optional("fsType", Kind::String),
        Field::optional("options", Kind::Map(&Kind::String)),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("secretRef", Kind::Object(&LOCAL_OBJECT_REFERENCE)),
    ],
};

/// The type `FlockerVolumeSource`.
pub static FLOCKER_VOLUME_SOURCE: Type = Type {
    name: "FlockerVolumeSource",
    fields: &[
        Field::optional("datasetName", Kind::String),
        Field::optional("datasetUUID", Kind::String),
    ],
};

/// The type `ForNode`.
pub static FOR_NODE: Type = Type {
    name: "ForNode",
    fields: &[
        Field::required("name", Kind::String),
    ],
};

/// The type `ForZone`.
pub static FOR_ZONE: Type = Type {
    name: "ForZone",
    fields: &[
        Field::required("name", Kind::String),
    ],
};

/// The type `GCEPersistentDiskVolumeSource`.
pub static GCE_PERSISTENT_DISK_VOLUME_SOURCE: Type = Type {
    name: "GCEPersistentDiskVolumeSource",
    fields: &[
        Field::optional("fsType", Kind::String),
        Field::optional("partition", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::required("pdName", Kind::String),
        Field::optional("readOnly", Kind::Bool),
    ],
};

/// The type `GRPCAction`.
pub static GRPC_ACTION: Type = Type {
    name: "GRPCAction",
    fields: &[
        Field::optional("mode", Kind::String),
        Field::required("port", Kind::Int(1, 65535)),
        Field::optional("service", Kind::String),
    ],
};

/// The type `GitRepoVolumeSource`.
pub static GIT_REPO_VOLUME_SOURCE: Type = Type {
    name: "GitRepoVolumeSource",
    fields: &[
        Field::optional("directory", Kind::String),
        Field::required("repository", Kind::String),
        Field::optional("revision", Kind::String),
    ],
};

/// The type `GlusterfsPersistentVolumeSource`.
pub static GLUSTERFS_PERSISTENT_VOLUME_SOURCE: Type = Type {
    name: "GlusterfsPersistentVolumeSource",
    fields: &[
        Field::required("endpoints", Kind::String),
        Field::optional("endpointsNamespace", Kind::String),
        Field::required("path", Kind::String),
        Field::optional("readOnly", Kind::Bool),
    ],
};

/// The type `GlusterfsVolumeSource`.
pub static GLUSTERFS_VOLUME_SOURCE: Type = Type {
    name: "GlusterfsVolumeSource",
    fields: &[
        Field::required("endpoints", Kind::String),
        Field::required("path", Kind::String),
        Field::optional("readOnly", Kind::Bool),
    ],
};

/// The type `HTTPGetAction`.
pub static HTTP_GET_ACTION: Type = Type {
    name: "HTTPGetAction",
    fields: &[
        Field::optional("host", Kind::String),
        Field::optional("httpHeaders", Kind::List(&Kind::Object(&HTTP_HEADER))),
        Field::optional("path", Kind::String),
        Field::required("port", Kind::IntOrString),
        Field::optional("protocol", Kind::String),
        Field::optional("scheme", Kind::Enum(&["HTTP", "HTTPS"])),
    ],
};

/// The type `HTTPHeader`.
pub static HTTP_HEADER: Type = Type {
    name: "HTTPHeader",
    fields: &[
        Field::required("name", Kind::String),
        Field::required("value", Kind::String),
    ],
};

/// The type `HTTPIngressPath`.
pub static HTTP_INGRESS_PATH: Type = Type {
    name: "HTTPIngressPath",
    fields: &[
        Field::required("backend", Kind::Object(&INGRESS_BACKEND)),
        Field::optional("path", Kind::String),
        Field::required("pathType", Kind::Enum(&["Exact", "Prefix", "ImplementationSpecific"])),
    ],
};

/// The type `HTTPIngressRuleValue`.
pub static HTTP_INGRESS_RULE_VALUE: Type = Type {
    name: "HTTPIngressRuleValue",
    fields: &[
        Field::required("paths", Kind::List(&Kind::Object(&HTTP_INGRESS_PATH))),
    ],
};

/// The type `HostAlias`.
pub static HOST_ALIAS: Type = Type {
    name: "HostAlias",
    fields: &[
        Field::optional("hostnames", Kind::List(&Kind::String)),
        Field::required("ip", Kind::String),
    ],
};

/// The type `HostIP`.
pub static HOST_IP: Type = Type {
    name: "HostIP",
    fields: &[
        Field::required("ip", Kind::String),
    ],
};

/// The type `HostPathVolumeSource`.
pub static HOST_PATH_VOLUME_SOURCE: Type = Type {
    name: "HostPathVolumeSource",
    fields: &[
        Field::required("path", Kind::String),
        Field::optional("type", Kind::Enum(&["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"])),
    ],
};

/// The type `ISCSIPersistentVolumeSource`.
pub static ISCSI_PERSISTENT_VOLUME_SOURCE: Type = Type {
    name: "ISCSIPersistentVolumeSource",
    fields: &[
        Field::optional("chapAuthDiscovery", Kind::Bool),
        Field::optional("chapAuthSession", Kind::Bool),
        Field::optional("fsType", Kind::String),
        Field::optional("initiatorName", Kind::String),
        Field::required("iqn", Kind::String),
        Field::optional("iscsiInterface", Kind::String),
        Field::required("lun", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("portals", Kind::List(&Kind::String)),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("secretRef", Kind::Object(&SECRET_REFERENCE)),
        Field::required("targetPortal", Kind::String),
    ],
};

/// The type `ISCSIVolumeSource`.
pub static ISCSI_VOLUME_SOURCE: Type = Type {
    name: "ISCSIVolumeSource",
    fields: &[
        Field::optional("chapAuthDiscovery", Kind::Bool),
        Field::optional("chapAuthSession", Kind::Bool),
        Field::optional("fsType", Kind::String),
        Field::optional("initiatorName", Kind::String),
        Field::required("iqn", Kind::String),
        Field::optional("iscsiInterface", Kind::String),
        Field::required("lun", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("portals", Kind::List(&Kind::String)),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("secretRef", Kind::Object(&LOCAL_OBJECT_REFERENCE)),
        Field::required("targetPortal", Kind::String),
    ],
};

/// The type `ImageVolumeSource`.
pub static IMAGE_VOLUME_SOURCE: Type = Type {
    name: "ImageVolumeSource",
    fields: &[
        Field::optional("pullPolicy", Kind::Enum(&["Always", "IfNotPresent", "Never"])),
        Field::optional("reference", Kind::String),
    ],
};

/// The type `ImageVolumeStatus`.
pub static IMAGE_VOLUME_STATUS: Type = Type {
    name: "ImageVolumeStatus",
    fields: &[
        Field::required("imageRef", Kind::String),
    ],
};

/// The kind `Ingress`.
pub static INGRESS: Type = Type {
    name: "Ingress",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::optional("kind", Kind::String),
        Field::required("metadata", Kind::Object(&OBJECT_META)),
        Field::required("spec", Kind::Object(&INGRESS_SPEC)),
        Field::optional("status", Kind::Object(&INGRESS_STATUS)),
    ],
};

/// The type `IngressBackend`.
pub static INGRESS_BACKEND: Type = Type {
    name: "IngressBackend",
    fields: &[
        Field::optional("resource", Kind::Object(&TYPED_LOCAL_OBJECT_REFERENCE)),
        Field::optional("service", Kind::Object(&INGRESS_SERVICE_BACKEND)),
    ],
};

/// The kind `IngressClass`.
pub static INGRESS_CLASS: Type = Type {
    name: "IngressClass",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::optional("kind", Kind::String),
        Field::required("metadata", Kind::Object(&OBJECT_META)),
        Field::required("spec", Kind::Object(&INGRESS_CLASS_SPEC)),
    ],
};

/// The type `IngressClassParametersReference`.
pub static INGRESS_CLASS_PARAMETERS_REFERENCE: Type = Type {
    name: "IngressClassParametersReference",
    fields: &[
        Field::optional("apiGroup", Kind::String),
        Field::required("kind", Kind::String),
        Field::required("name", Kind::String),
        Field::optional("namespace", Kind::String),
        Field::optional("scope", Kind::String),
    ],
};

/// The type `IngressClassSpec`.
pub static INGRESS_CLASS_SPEC: Type = Type {
    name: "IngressClassSpec",
    fields: &[
        Field::required("controller", Kind::String),
        Field::optional("parameters", Kind::Object(&INGRESS_CLASS_PARAMETERS_REFERENCE)),
    ],
};

/// The type `IngressLoadBalancerIngress`.
pub static INGRESS_LOAD_BALANCER_INGRESS: Type = Type {
    name: "IngressLoadBalancerIngress",
    fields: &[
        Field::optional("hostname", Kind::String),
        Field::optional("ip", Kind::String),
        Field::optional("ports", Kind::List(&Kind::Object(&INGRESS_PORT_STATUS))),
    ],
};

/// The type `IngressLoadBalancerStatus`.
pub static INGRESS_LOAD_BALANCER_STATUS: Type = Type {
    name: "IngressLoadBalancerStatus",
    fields: &[
        Field::optional("ingress", Kind::List(&Kind::Object(&INGRESS_LOAD_BALANCER_INGRESS))),
    ],
};

/// The type `IngressPortStatus`.
pub static INGRESS_PORT_STATUS: Type = Type {
    name: "IngressPortStatus",
    fields: &[
        Field::optional("error", Kind::String),
        Field::required("port", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::required("protocol", Kind::Enum(&["TCP", "UDP", "SCTP"])),
    ],
};

/// The type `IngressRule`.
pub static INGRESS_RULE: Type = Type {
    name: "IngressRule",
    fields: &[
        Field::optional("host", Kind::String),
        Field::optional("http", Kind::Object(&HTTP_INGRESS_RULE_VALUE)),
    ],
};

/// The type `IngressServiceBackend`.
pub static INGRESS_SERVICE_BACKEND: Type = Type {
    name: "IngressServiceBackend",
    fields: &[
        Field::required("name", Kind::String),
        Field::optional("port", Kind::Object(&SERVICE_BACKEND_PORT)),
    ],
};

/// The type `IngressSpec`.
pub static INGRESS_SPEC: Type = Type {
    name: "IngressSpec",
    fields: &[
        Field::optional("defaultBackend", Kind::Object(&INGRESS_BACKEND)),
        Field::optional("ingressClassName", Kind::String),
        Field::optional("rules", Kind::List(&Kind::Object(&INGRESS_RULE))),
        Field::optional("tls", Kind::List(&Kind::Object(&INGRESS_TLS))),
    ],
};

/// The type `IngressStatus`.
pub static INGRESS_STATUS: Type = Type {
    name: "IngressStatus",
    fields: &[
        Field::optional("loadBalancer", Kind::Object(&INGRESS_LOAD_BALANCER_STATUS)),
    ],
};

/// The type `IngressTLS`.
pub static INGRESS_TLS: Type = Type {
    name: "IngressTLS",
    fields: &[
        Field::optional("hosts", Kind::List(&Kind::String)),
        Field::optional("secretName", Kind::String),
    ],
};

/// The kind `Job`.
pub static JOB: Type = Type {
    name: "Job",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::optional("kind", Kind::String),
        Field::required("metadata", Kind::Object(&OBJECT_META)),
        Field::required("spec", Kind::Object(&JOB_SPEC)),
        Field::optional("status", Kind::Object(&JOB_STATUS)),
    ],
};

/// The type `JobCondition`.
pub static JOB_CONDITION: Type = Type {
    name: "JobCondition",
    fields: &[
        Field::optional("lastProbeTime", Kind::Time),
        Field::optional("lastTransitionTime", Kind::Time),
        Field::optional("message", Kind::String),
        Field::optional("reason", Kind::String),
        Field::required("status", Kind::Enum(&["True", "False", "Unknown"])),
        Field::required("type", Kind::String),
    ],
};

/// The type `JobSchedulingConfiguration`.
pub static JOB_SCHEDULING_CONFIGURATION: Type = Type {
    name: "JobSchedulingConfiguration",
    fields: &[
        Field::optional("disruptionMode", Kind::Object(&WORKLOAD_POD_GROUP_DISRUPTION_MODE)),
        Field::optional("resourceClaims", Kind::List(&Kind::Object(&WORKLOAD_POD_GROUP_RESOURCE_CLAIM))),
        Field::optional("schedulingConstraints", Kind::Object(&WORKLOAD_POD_GROUP_SCHEDULING_CONSTRAINTS)),
        Field::optional("schedulingPolicy", Kind::Object(&WORKLOAD_POD_GROUP_SCHEDULING_POLICY)),
    ],
};

/// The type `JobSpec`.
pub static JOB_SPEC: Type = Type {
    name: "JobSpec",
    fields: &[
        Field::optional("activeDeadlineSeconds", Kind::Int(0, i64::MAX)),
        Field::optional("backoffLimit", Kind::Int(0, 2_147_483_647)),
        Field::optional("backoffLimitPerIndex", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("completionMode", Kind::Enum(&["NonIndexed", "Indexed"])),
        Field::optional("completions", Kind::Int(0, 2_147_483_647)),
        Field::optional("managedBy", Kind::String),
        Field::optional("manualSelector", Kind::Bool),
        Field::optional("maxFailedIndexes", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("parallelism", Kind::Int(0, 2_147_483_647)),
        Field::optional("podFailurePolicy", Kind::Object(&POD_FAILURE_POLICY)),
        Field::optional("podReplacementPolicy", Kind::Enum(&["TerminatingOrFailed", "Failed"])),
        Field::optional("scheduling", Kind::Object(&JOB_SCHEDULING_CONFIGURATION)),
        Field::optional("selector", Kind::Object(&LABEL_SELECTOR)),
        Field::optional("successPolicy", Kind::Object(&SUCCESS_POLICY)),
        Field::optional("suspend", Kind::Bool),
        Field::required("template", Kind::Object(&POD_TEMPLATE_SPEC)),
        Field::optional("ttlSecondsAfterFinished", Kind::Int(0, 2_147_483_647)),
    ],
};

/// The type `JobStatus`.
pub static JOB_STATUS: Type = Type {
    name: "JobStatus",
    fields: &[
        Field::optional("active", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("completedIndexes", Kind::String),
        Field::optional("completionTime", Kind::Time),
        Field::optional("conditions", Kind::List(&Kind::Object(&JOB_CONDITION))),
        Field::optional("failed", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("failedIndexes", Kind::String),
        Field::optional("ready", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("startTime", Kind::Time),
        Field::optional("succeeded", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("terminating", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("uncountedTerminatedPods", Kind::Object(&UNCOUNTED_TERMINATED_PODS)),
    ],
};

/// The type `KeyToPath`.
pub static KEY_TO_PATH: Type = Type {
    name: "KeyToPath",
    fields: &[
        Field::required("key", Kind::String),
        Field::optional("mode", Kind::Int(0, 511)),
        Field::required("path", Kind::String),
        Field::optional("user", Kind::Int(i64::MIN, i64::MAX)),
    ],
};

/// The type `LabelSelector`.
pub static LABEL_SELECTOR: Type = Type {
    name: "LabelSelector",
    fields: &[
        Field::optional("matchExpressions", Kind::List(&Kind::Object(&LABEL_SELECTOR_REQUIREMENT))),
        Field::optional("matchLabels", Kind::Map(&Kind::String)),
    ],
};

/// The type `LabelSelectorRequirement`.
pub static LABEL_SELECTOR_REQUIREMENT: Type = Type {
    name: "LabelSelectorRequirement",
    fields: &[
        Field::required("key", Kind::String),
        Field::required("operator", Kind::Enum(&["In", "NotIn", "Exists", "DoesNotExist"])),
        Field::optional("values", Kind::List(&Kind::String)),
    ],
};

/// The type `Lifecycle`.
pub static LIFECYCLE: Type = Type {
    name: "Lifecycle",
    fields: &[
        Field::optional("postStart", Kind::Object(&LIFECYCLE_HANDLER)),
        Field::optional("preStop", Kind::Object(&LIFECYCLE_HANDLER)),
        Field::optional("stopSignal", Kind::Enum(&["SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGIO", "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGSEGV", "SIGSTKFLT", "SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ", "SIGRTMIN", "SIGRTMIN+1", "SIGRTMIN+2", "SIGRTMIN+3", "SIGRTMIN+4", "SIGRTMIN+5", "SIGRTMIN+6", "SIGRTMIN+7", "SIGRTMIN+8", "SIGRTMIN+9", "SIGRTMIN+10", "SIGRTMIN+11", "SIGRTMIN+12", "SIGRTMIN+13", "SIGRTMIN+14", "SIGRTMIN+15", "SIGRTMAX-14", "SIGRTMAX-13", "SIGRTMAX-12", "SIGRTMAX-11", "SIGRTMAX-10", "SIGRTMAX-9", "SIGRTMAX-8", "SIGRTMAX-7", "SIGRTMAX-6", "SIGRTMAX-5", "SIGRTMAX-4", "SIGRTMAX-3", "SIGRTMAX-2", "SIGRTMAX-1", "SIGRTMAX"])),
    ],
};

/// The type `LifecycleHandler`.
pub static LIFECYCLE_HANDLER: Type = Type {
    name: "LifecycleHandler",
    fields: &[
        Field::optional("exec", Kind::Object(&EXEC_ACTION)),
        Field::optional("httpGet", Kind::Object(&HTTP_GET_ACTION)),
        Field::optional("sleep", Kind::Object(&SLEEP_ACTION)),
        Field::optional("tcpSocket", Kind::Object(&TCP_SOCKET_ACTION)),
    ],
};

/// The type `LinuxContainerUser`.
pub static LINUX_CONTAINER_USER: Type = Type {
    name: "LinuxContainerUser",
    fields: &[
        Field::required("gid", Kind::Int(i64::MIN, i64::MAX)),
        Field::optional("supplementalGroups", Kind::List(&Kind::Int(i64::MIN, i64::MAX))),
        Field::required("uid", Kind::Int(i64::MIN, i64::MAX)),
    ],
};

/// The type `LoadBalancerIngress`.
pub static LOAD_BALANCER_INGRESS: Type = Type {
    name: "LoadBalancerIngress",
    fields: &[
        Field::optional("hostname", Kind::String),
        Field::optional("ip", Kind::String),
        Field::optional("ipMode", Kind::String),
        Field::optional("ports", Kind::List(&Kind::Object(&PORT_STATUS))),
    ],
};

/// The type `LoadBalancerStatus`.
pub static LOAD_BALANCER_STATUS: Type = Type {
    name: "LoadBalancerStatus",
    fields: &[
        Field::optional("ingress", Kind::List(&Kind::Object(&LOAD_BALANCER_INGRESS))),
    ],
};

/// The type `LocalObjectReference`.
pub static LOCAL_OBJECT_REFERENCE: Type = Type {
    name: "LocalObjectReference",
    fields: &[
        Field::optional("name", Kind::String),
    ],
};

/// The type `LocalVolumeSource`.
pub static LOCAL_VOLUME_SOURCE: Type = Type {
    name: "LocalVolumeSource",
    fields: &[
        Field::optional("fsType", Kind::String),
        Field::required("path", Kind::String),
    ],
};

/// The type `ManagedFieldsEntry`.
pub static MANAGED_FIELDS_ENTRY: Type = Type {
    name: "ManagedFieldsEntry",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::optional("fieldsType", Kind::String),
        Field::optional("fieldsV1", Kind::Any),
        Field::optional("manager", Kind::String),
        Field::optional("operation", Kind::Enum(&["Apply", "Update"])),
        Field::optional("subresource", Kind::String),
        Field::optional("time", Kind::Time),
    ],
};

/// The type `ModifyVolumeStatus`.
pub static MODIFY_VOLUME_STATUS: Type = Type {
    name: "ModifyVolumeStatus",
    fields: &[
        Field::required("status", Kind::String),
        Field::optional("targetVolumeAttributesClassName", Kind::String),
    ],
};

/// The type `NFSVolumeSource`.
pub static NFS_VOLUME_SOURCE: Type = Type {
    name: "NFSVolumeSource",
    fields: &[
        Field::required("path", Kind::String),
        Field::optional("readOnly", Kind::Bool),
        Field::required("server", Kind::String),
    ],
};

/// The type `NodeAffinity`.
pub static NODE_AFFINITY: Type = Type {
    name: "NodeAffinity",
    fields: &[
        Field::optional("preferredDuringSchedulingIgnoredDuringExecution", Kind::List(&Kind::Object(&PREFERRED_SCHEDULING_TERM))),
        Field::optional("requiredDuringSchedulingIgnoredDuringExecution", Kind::Object(&NODE_SELECTOR)),
    ],
};

/// The type `NodeAllocatableMappedResources`.
pub static NODE_ALLOCATABLE_MAPPED_RESOURCES: Type = Type {
    name: "NodeAllocatableMappedResources",
    fields: &[
        Field::required("name", Kind::String),
        Field::required("quantity", Kind::Quantity),
    ],
};

/// The type `NodeAllocatableOverheadResources`.
pub static NODE_ALLOCATABLE_OVERHEAD_RESOURCES: Type = Type {
    name: "NodeAllocatableOverheadResources",
    fields: &[
        Field::required("name", Kind::String),
        Field::optional("perContainer", Kind::Quantity),
        Field::optional("perPod", Kind::Quantity),
    ],
};

/// The type `NodeAllocatableResourceClaimStatus`.
pub static NODE_ALLOCATABLE_RESOURCE_CLAIM_STATUS: Type = Type {
    name: "NodeAllocatableResourceClaimStatus",
    fields: &[
        Field::optional("containers", Kind::List(&Kind::String)),
        Field::optional("mapping", Kind::List(&Kind::Object(&NODE_ALLOCATABLE_MAPPED_RESOURCES))),
        Field::optional("overhead", Kind::List(&Kind::Object(&NODE_ALLOCATABLE_OVERHEAD_RESOURCES))),
        Field::required("resourceClaimName", Kind::String),
    ],
};

/// The type `NodeSelector`.
pub static NODE_SELECTOR: Type = Type {
    name: "NodeSelector",
    fields: &[
        Field::required("nodeSelectorTerms", Kind::List(&Kind::Object(&NODE_SELECTOR_TERM))),
    ],
};

/// The type `NodeSelectorRequirement`.
pub static NODE_SELECTOR_REQUIREMENT: Type = Type {
    name: "NodeSelectorRequirement",
    fields: &[
        Field::required("key", Kind::String),
        Field::required("operator", Kind::Enum(&["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"])),
        Field::optional("values", Kind::List(&Kind::String)),
    ],
};

/// The type `NodeSelectorTerm`.
pub static NODE_SELECTOR_TERM: Type = Type {
    name: "NodeSelectorTerm",
    fields: &[
        Field::optional("matchExpressions", Kind::List(&Kind::Object(&NODE_SELECTOR_REQUIREMENT))),
        Field::optional("matchFields", Kind::List(&Kind::Object(&NODE_SELECTOR_REQUIREMENT))),
    ],
};

/// The type `ObjectFieldSelector`.
pub static OBJECT_FIELD_SELECTOR: Type = Type {
    name: "ObjectFieldSelector",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::required("fieldPath", Kind::String),
    ],
};

/// The type `ObjectMeta`.
pub static OBJECT_META: Type = Type {
    name: "ObjectMeta",
    fields: &[
        Field::optional("annotations", Kind::Map(&Kind::String)),
        Field::optional("creationTimestamp", Kind::Time),
        Field::optional("deletionGracePeriodSeconds", Kind::Int(i64::MIN, i64::MAX)),
        Field::optional("deletionTimestamp", Kind::Time),
        Field::optional("finalizers", Kind::List(&Kind::String)),
        Field::optional("generateName", Kind::String),
        Field::optional("generation", Kind::Int(i64::MIN, i64::MAX)),
        Field::optional("labels", Kind::Map(&Kind::String)),
        Field::optional("managedFields", Kind::List(&Kind::Object(&MANAGED_FIELDS_ENTRY))),
        Field::optional("name", Kind::String),
        Field::optional("namespace", Kind::String),
        Field::optional("ownerReferences", Kind::List(&Kind::Object(&OWNER_REFERENCE))),
        Field::optional("resourceVersion", Kind::String),
        Field::optional("selfLink", Kind::String),
        Field::optional("uid", Kind::String),
    ],
};

/// The type `ObjectReference`.
pub static OBJECT_REFERENCE: Type = Type {
    name: "ObjectReference",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::optional("fieldPath", Kind::String),
        Field::optional("kind", Kind::String),
        Field::optional("name", Kind::String),
        Field::optional("namespace", Kind::String),
        Field::optional("resourceVersion", Kind::String),
        Field::optional("uid", Kind::String),
    ],
};

/// The type `Overhead`.
pub static OVERHEAD: Type = Type {
    name: "Overhead",
    fields: &[
        Field::optional("podFixed", Kind::Map(&Kind::Quantity)),
    ],
};

/// The type `OwnerReference`.
pub static OWNER_REFERENCE: Type = Type {
    name: "OwnerReference",
    fields: &[
        Field::required("apiVersion", Kind::String),
        Field::optional("blockOwnerDeletion", Kind::Bool),
        Field::optional("controller", Kind::Bool),
        Field::required("kind", Kind::String),
        Field::required("name", Kind::String),
        Field::required("uid", Kind::String),
    ],
};

/// The kind `PersistentVolume`.
pub static PERSISTENT_VOLUME: Type = Type {
    name: "PersistentVolume",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::optional("kind", Kind::String),
        Field::required("metadata", Kind::Object(&OBJECT_META)),
        Field::required("spec", Kind::Object(&PERSISTENT_VOLUME_SPEC)),
        Field::optional("status", Kind::Object(&PERSISTENT_VOLUME_STATUS)),
    ],
};

/// The kind `PersistentVolumeClaim`.
pub static PERSISTENT_VOLUME_CLAIM: Type = Type {
    name: "PersistentVolumeClaim",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::optional("kind", Kind::String),
        Field::required("metadata", Kind::Object(&OBJECT_META)),
        Field::required("spec", Kind::Object(&PERSISTENT_VOLUME_CLAIM_SPEC)),
        Field::optional("status", Kind::Object(&PERSISTENT_VOLUME_CLAIM_STATUS)),
    ],
};

/// The type `PersistentVolumeClaimCondition`.
pub static PERSISTENT_VOLUME_CLAIM_CONDITION: Type = Type {
    name: "PersistentVolumeClaimCondition",
    fields: &[
        Field::optional("lastProbeTime", Kind::Time),
        Field::optional("lastTransitionTime", Kind::Time),
        Field::optional("message", Kind::String),
        Field::optional("reason", Kind::String),
        Field::required("status", Kind::Enum(&["True", "False", "Unknown"])),
        Field::required("type", Kind::String),
    ],
};

/// The type `PersistentVolumeClaimSpec`.
pub static PERSISTENT_VOLUME_CLAIM_SPEC: Type = Type {
    name: "PersistentVolumeClaimSpec",
    fields: &[
        Field::required("accessModes", Kind::List(&Kind::Enum(&["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]))),
        Field::optional("dataSource", Kind::Object(&TYPED_LOCAL_OBJECT_REFERENCE)),
        Field::optional("dataSourceRef", Kind::Object(&TYPED_OBJECT_REFERENCE)),
        Field::required("resources", Kind::Object(&VOLUME_RESOURCE_REQUIREMENTS)),
        Field::optional("selector", Kind::Object(&LABEL_SELECTOR)),
        Field::optional("storageClassName", Kind::String),
        Field::optional("volumeAttributesClassName", Kind::String),
        Field::optional("volumeMode", Kind::Enum(&["Filesystem", "Block"])),
        Field::optional("volumeName", Kind::String),
    ],
};

/// The type `PersistentVolumeClaimStatus`.
pub static PERSISTENT_VOLUME_CLAIM_STATUS: Type = Type {
    name: "PersistentVolumeClaimStatus",
    fields: &[
        Field::optional("accessModes", Kind::List(&Kind::String)),
        Field::optional("allocatedResourceStatuses", Kind::Map(&Kind::String)),
        Field::optional("allocatedResources", Kind::Map(&Kind::Quantity)),
        Field::optional("capacity", Kind::Map(&Kind::Quantity)),
        Field::optional("conditions", Kind::List(&Kind::Object(&PERSISTENT_VOLUME_CLAIM_CONDITION))),
        Field::optional("currentVolumeAttributesClassName", Kind::String),
        Field::optional("healthStatus", Kind::Object(&VOLUME_HEALTH_STATUS)),
        Field::optional("modifyVolumeStatus", Kind::Object(&MODIFY_VOLUME_STATUS)),
        Field::optional("phase", Kind::String),
    ],
};

/// The type `PersistentVolumeClaimTemplate`.
pub static PERSISTENT_VOLUME_CLAIM_TEMPLATE: Type = Type {
    name: "PersistentVolumeClaimTemplate",
    fields: &[
        Field::optional("metadata", Kind::Object(&OBJECT_META)),
        Field::required("spec", Kind::Object(&PERSISTENT_VOLUME_CLAIM_SPEC)),
    ],
};

/// The type `PersistentVolumeClaimVolumeSource`.
pub static PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE: Type = Type {
    name: "PersistentVolumeClaimVolumeSource",
    fields: &[
        Field::required("claimName", Kind::String),
        Field::optional("readOnly", Kind::Bool),
    ],
};

/// The type `PersistentVolumeSpec`.
pub static PERSISTENT_VOLUME_SPEC: Type = Type {
    name: "PersistentVolumeSpec",
    fields: &[
        Field::required("accessModes", Kind::List(&Kind::Enum(&["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]))),
        Field::optional("awsElasticBlockStore", Kind::Object(&AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE)),
        Field::optional("azureDisk", Kind::Object(&AZURE_DISK_VOLUME_SOURCE)),
        Field::optional("azureFile", Kind::Object(&AZURE_FILE_PERSISTENT_VOLUME_SOURCE)),
        Field::required("capacity", Kind::Map(&Kind::Quantity)),
        Field::optional("cephfs", Kind::Object(&CEPH_FS_PERSISTENT_VOLUME_SOURCE)),
        Field::optional("cinder", Kind::Object(&CINDER_PERSISTENT_VOLUME_SOURCE)),
        Field::optional("claimRef", Kind::Object(&OBJECT_REFERENCE)),
        Field::optional("csi", Kind::Object(&CSI_PERSISTENT_VOLUME_SOURCE)),
        Field::optional("fc", Kind::Object(&FC_VOLUME_SOURCE)),
        Field::optional("flexVolume", Kind::Object(&FLEX_PERSISTENT_VOLUME_SOURCE)),
        Field::optional("flocker", Kind::Object(&FLOCKER_VOLUME_SOURCE)),
        Field::optional("gcePersistentDisk", Kind::Object(&GCE_PERSISTENT_DISK_VOLUME_SOURCE)),
        Field::optional("glusterfs", Kind::Object(&GLUSTERFS_PERSISTENT_VOLUME_SOURCE)),
        Field::optional("hostPath", Kind::Object(&HOST_PATH_VOLUME_SOURCE)),
        Field::optional("iscsi", Kind::Object(&ISCSI_PERSISTENT_VOLUME_SOURCE)),
        Field::optional("local", Kind::Object(&LOCAL_VOLUME_SOURCE)),
        Field::optional("mountOptions", Kind::List(&Kind::String)),
        Field::optional("nfs", Kind::Object(&NFS_VOLUME_SOURCE)),
        Field::optional("nodeAffinity", Kind::Object(&VOLUME_NODE_AFFINITY)),
        Field::optional("persistentVolumeReclaimPolicy", Kind::Enum(&["Retain", "Delete", "Recycle"])),
        Field::optional("photonPersistentDisk", Kind::Object(&PHOTON_PERSISTENT_DISK_VOLUME_SOURCE)),
        Field::optional("portworxVolume", Kind::Object(&PORTWORX_VOLUME_SOURCE)),
        Field::optional("quobyte", Kind::Object(&QUOBYTE_VOLUME_SOURCE)),
        Field::optional("rbd", Kind::Object(&RBD_PERSISTENT_VOLUME_SOURCE)),
        Field::optional("scaleIO", Kind::Object(&SCALE_IO_PERSISTENT_VOLUME_SOURCE)),
        Field::optional("storageClassName", Kind::String),
        Field::optional("storageos", Kind::Object(&STORAGE_OS_PERSISTENT_VOLUME_SOURCE)),
        Field::optional("volumeAttributesClassName", Kind::String),
        Field::optional("volumeMode", Kind::Enum(&["Filesystem", "Block"])),
        Field::optional("vsphereVolume", Kind::Object(&VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE)),
    ],
};

/// The type `PersistentVolumeStatus`.
pub static PERSISTENT_VOLUME_STATUS: Type = Type {
    name: "PersistentVolumeStatus",
    fields: &[
        Field::optional("lastPhaseTransitionTime", Kind::Time),
        Field::optional("message", Kind::String),
        Field::optional("phase", Kind::String),
        Field::optional("reason", Kind::String),
    ],
};

/// The type `PhotonPersistentDiskVolumeSource`.
pub static PHOTON_PERSISTENT_DISK_VOLUME_SOURCE: Type = Type {
    name: "PhotonPersistentDiskVolumeSource",
    fields: &[
        Field::optional("fsType", Kind::String),
        Field::required("pdID", Kind::String),
    ],
};

/// The kind `Pod`.
pub static POD: Type = Type {
    name: "Pod",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::optional("kind", Kind::String),
        Field::required("metadata", Kind::Object(&OBJECT_META)),
        Field::required("spec", Kind::Object(&POD_SPEC)),
        Field::optional("status", Kind::Object(&POD_STATUS)),
    ],
};

/// The type `PodAffinity`.
pub static POD_AFFINITY: Type = Type {
    name: "PodAffinity",
    fields: &[
        Field::optional("preferredDuringSchedulingIgnoredDuringExecution", Kind::List(&Kind::Object(&WEIGHTED_POD_AFFINITY_TERM))),
        Field::optional("requiredDuringSchedulingIgnoredDuringExecution", Kind::List(&Kind::Object(&POD_AFFINITY_TERM))),
    ],
};

/// The type `PodAffinityTerm`.
pub static POD_AFFINITY_TERM: Type = Type {
    name: "PodAffinityTerm",
    fields: &[
        Field::optional("labelSelector", Kind::Object(&LABEL_SELECTOR)),
        Field::optional("matchLabelKeys", Kind::List(&Kind::String)),
        Field::optional("mismatchLabelKeys", Kind::List(&Kind::String)),
        Field::optional("namespaceSelector", Kind::Object(&LABEL_SELECTOR)),
        Field::optional("namespaces", Kind::List(&Kind::String)),
        Field::required("topologyKey", Kind::String),
    ],
};

/// The type `PodAntiAffinity`.
pub static POD_ANTI_AFFINITY: Type = Type {
    name: "PodAntiAffinity",
    fields: &[
        Field::optional("preferredDuringSchedulingIgnoredDuringExecution", Kind::List(&Kind::Object(&WEIGHTED_POD_AFFINITY_TERM))),
        Field::optional("requiredDuringSchedulingIgnoredDuringExecution", Kind::List(&Kind::Object(&POD_AFFINITY_TERM))),
    ],
};

/// The type `PodCertificateProjection`.
pub static POD_CERTIFICATE_PROJECTION: Type = Type {
    name: "PodCertificateProjection",
    fields: &[
        Field::optional("certificateChainPath", Kind::String),
        Field::optional("credentialBundlePath", Kind::String),
        Field::optional("keyPath", Kind::String),
        Field::required("keyType", Kind::Enum(&["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"])),
        Field::optional("maxExpirationSeconds", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::required("signerName", Kind::String),
        Field::optional("user", Kind::Int(i64::MIN, i64::MAX)),
        Field::optional("userAnnotations", Kind::Map(&Kind::String)),
    ],
};

/// The type `PodCondition`.
pub static POD_CONDITION: Type = Type {
    name: "PodCondition",
    fields: &[
        Field::optional("lastProbeTime", Kind::Time),
        Field::optional("lastTransitionTime", Kind::Time),
        Field::optional("message", Kind::String),
        Field::optional("observedGeneration", Kind::Int(i64::MIN, i64::MAX)),
        Field::optional("reason", Kind::String),
        Field::required("status", Kind::Enum(&["True", "False", "Unknown"])),
        Field::required("type", Kind::String),
    ],
};

/// The type `PodDNSConfig`.
pub static POD_DNS_CONFIG: Type = Type {
    name: "PodDNSConfig",
    fields: &[
        Field::optional("nameservers", Kind::List(&Kind::String)),
        Field::optional("options", Kind::List(&Kind::Object(&POD_DNS_CONFIG_OPTION))),
        Field::optional("searches", Kind::List(&Kind::String)),
    ],
};

/// The type `PodDNSConfigOption`.
pub static POD_DNS_CONFIG_OPTION: Type = Type {
    name: "PodDNSConfigOption",
    fields: &[
        Field::optional("name", Kind::String),
        Field::optional("value", Kind::String),
    ],
};

/// The type `PodExtendedResourceClaimStatus`.
pub static POD_EXTENDED_RESOURCE_CLAIM_STATUS: Type = Type {
    name: "PodExtendedResourceClaimStatus",
    fields: &[
        Field::required("requestMappings", Kind::List(&Kind::Object(&CONTAINER_EXTENDED_RESOURCE_REQUEST))),
        Field::required("resourceClaimName", Kind::String),
    ],
};

/// The type `PodFailurePolicy`.
pub static POD_FAILURE_POLICY: Type = Type {
    name: "PodFailurePolicy",
    fields: &[
        Field::required("rules", Kind::List(&Kind::Object(&POD_FAILURE_POLICY_RULE))),
    ],
};

/// The type `PodFailurePolicyOnExitCodesRequirement`.
pub static POD_FAILURE_POLICY_ON_EXIT_CODES_REQUIREMENT: Type = Type {
    name: "PodFailurePolicyOnExitCodesRequirement",
    fields: &[
        Field::optional("containerName", Kind::String),
        Field::required("operator", Kind::String),
        Field::required("values", Kind::List(&Kind::Int(-2_147_483_648, 2_147_483_647))),
    ],
};

/// The type `PodFailurePolicyOnPodConditionsPattern`.
pub static POD_FAILURE_POLICY_ON_POD_CONDITIONS_PATTERN: Type = Type {
    name: "PodFailurePolicyOnPodConditionsPattern",
    fields: &[
        Field::optional("status", Kind::String),
        Field::required("type", Kind::String),
    ],
};

/// The type `PodFailurePolicyRule`.
pub static POD_FAILURE_POLICY_RULE: Type = Type {
    name: "PodFailurePolicyRule",
    fields: &[
        Field::required("action", Kind::String),
        Field::optional("onExitCodes", Kind::Object(&POD_FAILURE_POLICY_ON_EXIT_CODES_REQUIREMENT)),
        Field::optional("onPodConditions", Kind::List(&Kind::Object(&POD_FAILURE_POLICY_ON_POD_CONDITIONS_PATTERN))),
    ],
};

/// The type `PodIP`.
pub static POD_IP: Type = Type {
    name: "PodIP",
    fields: &[
        Field::required("ip", Kind::String),
    ],
};

/// The type `PodOS`.
pub static POD_OS: Type = Type {
    name: "PodOS",
    fields: &[
        Field::required("name", Kind::Enum(&["linux", "windows"])),
    ],
};

/// The type `PodReadinessGate`.
pub static POD_READINESS_GATE: Type = Type {
    name: "PodReadinessGate",
    fields: &[
        Field::required("conditionType", Kind::String),
    ],
};

/// The type `PodResourceClaim`.
pub static POD_RESOURCE_CLAIM: Type = Type {
    name: "PodResourceClaim",
    fields: &[
        Field::required("name", Kind::String),
        Field::optional("resourceClaimName", Kind::String),
        Field::optional("resourceClaimTemplateName", Kind::String),
    ],
};

/// The type `PodResourceClaimStatus`.
pub static POD_RESOURCE_CLAIM_STATUS: Type = Type {
    name: "PodResourceClaimStatus",
    fields: &[
        Field::required("name", Kind::String),
        Field::optional("resourceClaimName", Kind::String),
    ],
};

/// The type `PodSchedulingGate`.
pub static POD_SCHEDULING_GATE: Type = Type {
    name: "PodSchedulingGate",
    fields: &[
        Field::required("name", Kind::String),
    ],
};

/// The type `PodSchedulingGroup`.
pub static POD_SCHEDULING_GROUP: Type = Type {
    name: "PodSchedulingGroup",
    fields: &[
        Field::optional("podGroupName", Kind::String),
    ],
};

/// The type `PodSecurityContext`.
pub static POD_SECURITY_CONTEXT: Type = Type {
    name: "PodSecurityContext",
    fields: &[
        Field::optional("appArmorProfile", Kind::Object(&APP_ARMOR_PROFILE)),
        Field::optional("fsGroup", Kind::Int(0, 2_147_483_647)),
        Field::optional("fsGroupChangePolicy", Kind::Enum(&["OnRootMismatch", "Always"])),
        Field::optional("runAsGroup", Kind::Int(0, 2_147_483_647)),
        Field::optional("runAsNonRoot", Kind::Bool),
        Field::optional("runAsUser", Kind::Int(0, 2_147_483_647)),
        Field::optional("seLinuxChangePolicy", Kind::Enum(&["MountOption", "Recursive"])),
        Field::optional("seLinuxOptions", Kind::Object(&SE_LINUX_OPTIONS)),
        Field::optional("seccompProfile", Kind::Object(&SECCOMP_PROFILE)),
        Field::optional("supplementalGroups", Kind::List(&Kind::Int(0, 2_147_483_647))),
        Field::optional("supplementalGroupsPolicy", Kind::Enum(&["Merge", "Strict"])),
        Field::optional("sysctls", Kind::List(&Kind::Object(&SYSCTL))),
        Field::optional("windowsOptions", Kind::Object(&WINDOWS_SECURITY_CONTEXT_OPTIONS)),
    ],
};

/// The type `PodSpec`.
pub static POD_SPEC: Type = Type {
    name: "PodSpec",
    fields: &[
        Field::optional("activeDeadlineSeconds", Kind::Int(1, 2_147_483_647)),
        Field::optional("affinity", Kind::Object(&AFFINITY)),
        Field::optional("automountServiceAccountToken", Kind::Bool),
        Field::required("containers", Kind::List(&Kind::Object(&CONTAINER))),
        Field::optional("dnsConfig", Kind::Object(&POD_DNS_CONFIG)),
        Field::optional("dnsPolicy", Kind::Enum(&["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"])),
        Field::optional("enableServiceLinks", Kind::Bool),
        Field::optional("ephemeralContainers", Kind::List(&Kind::Object(&EPHEMERAL_CONTAINER))),
        Field::optional("evictionResponders", Kind::List(&Kind::Object(&EVICTION_RESPONDER))),
        Field::optional("hostAliases", Kind::List(&Kind::Object(&HOST_ALIAS))),
        Field::optional("hostIPC", Kind::Bool),
        Field::optional("hostNetwork", Kind::Bool),
        Field::optional("hostPID", Kind::Bool),
        Field::optional("hostUsers", Kind::Bool),
        Field::optional("hostname", Kind::String),
        Field::optional("hostnameOverride", Kind::String),
        Field::optional("imagePullSecrets", Kind::List(&Kind::Object(&LOCAL_OBJECT_REFERENCE))),
        Field::optional("initContainers", Kind::List(&Kind::Object(&CONTAINER))),
        Field::optional("nodeName", Kind::String),
        Field::optional("nodeSelector", Kind::Map(&Kind::String)),
        Field::optional("os", Kind::Object(&POD_OS)),
        Field::optional("overhead", Kind::Map(&Kind::Quantity)),
        Field::optional("preemptionPolicy", Kind::Enum(&["Never", "PreemptLowerPriority"])),
        Field::optional("priority", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("priorityClassName", Kind::String),
        Field::optional("readinessGates", Kind::List(&Kind::Object(&POD_READINESS_GATE))),
        Field::optional("resourceClaims", Kind::List(&Kind::Object(&POD_RESOURCE_CLAIM))),
        Field::optional("resources", Kind::Object(&RESOURCE_REQUIREMENTS)),
        Field::optional("restartPolicy", Kind::Enum(&["Always", "OnFailure", "Never"])),
        Field::optional("runtimeClassName", Kind::String),
        Field::optional("schedulerName", Kind::String),
        Field::optional("schedulingGates", Kind::List(&Kind::Object(&POD_SCHEDULING_GATE))),
        Field::optional("schedulingGroup", Kind::Object(&POD_SCHEDULING_GROUP)),
        Field::optional("securityContext", Kind::Object(&POD_SECURITY_CONTEXT)),
        Field::optional("serviceAccount", Kind::String),
        Field::optional("serviceAccountName", Kind::String),
        Field::optional("setHostnameAsFQDN", Kind::Bool),
        Field::optional("shareProcessNamespace", Kind::Bool),
        Field::optional("subdomain", Kind::String),
        Field::optional("terminationGracePeriodSeconds", Kind::Int(i64::MIN, i64::MAX)),
        Field::optional("tolerations", Kind::List(&Kind::Object(&TOLERATION))),
        Field::optional("topologySpreadConstraints", Kind::List(&Kind::Object(&TOPOLOGY_SPREAD_CONSTRAINT))),
        Field::optional("volumes", Kind::List(&Kind::Object(&VOLUME))),
    ],
};

/// The type `PodStatus`.
pub static POD_STATUS: Type = Type {
    name: "PodStatus",
    fields: &[
        Field::optional("allocatedResources", Kind::Map(&Kind::Quantity)),
        Field::optional("conditions", Kind::List(&Kind::Object(&POD_CONDITION))),
        Field::optional("containerStatuses", Kind::List(&Kind::Object(&CONTAINER_STATUS))),
        Field::optional("ephemeralContainerStatuses", Kind::List(&Kind::Object(&CONTAINER_STATUS))),
        Field::optional("extendedResourceClaimStatus", Kind::Object(&POD_EXTENDED_RESOURCE_CLAIM_STATUS)),
        Field::optional("hostIP", Kind::String),
        Field::optional("hostIPs", Kind::List(&Kind::Object(&HOST_IP))),
        Field::optional("initContainerStatuses", Kind::List(&Kind::Object(&CONTAINER_STATUS))),
        Field::optional("message", Kind::String),
        Field::optional("nodeAllocatableResourceClaimStatuses", Kind::List(&Kind::Object(&NODE_ALLOCATABLE_RESOURCE_CLAIM_STATUS))),
        Field::optional("nominatedNodeName", Kind::String),
        Field::optional("observedGeneration", Kind::Int(i64::MIN, i64::MAX)),
        Field::optional("phase", Kind::String),
        Field::optional("podIP", Kind::String),
        Field::optional("podIPs", Kind::List(&Kind::Object(&POD_IP))),
        Field::optional("qosClass", Kind::String),
        Field::optional("reason", Kind::String),
        Field::optional("resize", Kind::String),
        Field::optional("resourceClaimStatuses", Kind::List(&Kind::Object(&POD_RESOURCE_CLAIM_STATUS))),
        Field::optional("resources", Kind::Object(&RESOURCE_REQUIREMENTS)),
        Field::optional("startTime", Kind::Time),
        Field::optional("volumeHealth", Kind::List(&Kind::Object(&POD_VOLUME_HEALTH))),
    ],
};

/// The type `PodTemplateSpec`.
pub static POD_TEMPLATE_SPEC: Type = Type {
    name: "PodTemplateSpec",
    fields: &[
        Field::optional("metadata", Kind::Object(&OBJECT_META)),
        Field::required("spec", Kind::Object(&POD_SPEC)),
    ],
};

/// The type `PodVolumeHealth`.
pub static POD_VOLUME_HEALTH: Type = Type {
    name: "PodVolumeHealth",
    fields: &[
        Field::optional("healthConditions", Kind::List(&Kind::Object(&VOLUME_HEALTH_CONDITION))),
        Field::optional("lastTransitionTime", Kind::Time),
        Field::required("name", Kind::String),
    ],
};

/// The type `PortStatus`.
pub static PORT_STATUS: Type = Type {
    name: "PortStatus",
    fields: &[
        Field::optional("error", Kind::String),
        Field::required("port", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::required("protocol", Kind::String),
    ],
};

/// The type `PortworxVolumeSource`.
pub static PORTWORX_VOLUME_SOURCE: Type = Type {
    name: "PortworxVolumeSource",
    fields: &[
        Field::optional("fsType", Kind::String),
        Field::optional("readOnly", Kind::Bool),
        Field::required("volumeID", Kind::String),
    ],
};

/// The type `PreferredSchedulingTerm`.
pub static PREFERRED_SCHEDULING_TERM: Type = Type {
    name: "PreferredSchedulingTerm",
    fields: &[
        Field::required("preference", Kind::Object(&NODE_SELECTOR_TERM)),
        Field::required("weight", Kind::Int(1, 100)),
    ],
};

/// The type `Probe`.
pub static PROBE: Type = Type {
    name: "Probe",
    fields: &[
        Field::optional("exec", Kind::Object(&EXEC_ACTION)),
        Field::optional("failureThreshold", Kind::Int(1, 2_147_483_647)),
        Field::optional("grpc", Kind::Object(&GRPC_ACTION)),
        Field::optional("httpGet", Kind::Object(&HTTP_GET_ACTION)),
        Field::optional("initialDelaySeconds", Kind::Int(0, 2_147_483_647)),
        Field::optional("periodSeconds", Kind::Int(1, 2_147_483_647)),
        Field::optional("successThreshold", Kind::Int(1, 2_147_483_647)),
        Field::optional("tcpSocket", Kind::Object(&TCP_SOCKET_ACTION)),
        Field::optional("terminationGracePeriodSeconds", Kind::Int(1, i64::MAX)),
        Field::optional("timeoutSeconds", Kind::Int(1, 2_147_483_647)),
    ],
};

/// The type `ProjectedVolumeSource`.
pub static PROJECTED_VOLUME_SOURCE: Type = Type {
    name: "ProjectedVolumeSource",
    fields: &[
        Field::optional("defaultMode", Kind::Int(0, 511)),
        Field::optional("defaultUser", Kind::Int(i64::MIN, i64::MAX)),
        Field::optional("sources", Kind::List(&Kind::Object(&VOLUME_PROJECTION))),
    ],
};

/// The type `QuobyteVolumeSource`.
pub static QUOBYTE_VOLUME_SOURCE: Type = Type {
    name: "QuobyteVolumeSource",
    fields: &[
        Field::optional("group", Kind::String),
        Field::optional("readOnly", Kind::Bool),
        Field::required("registry", Kind::String),
        Field::optional("tenant", Kind::String),
        Field::optional("user", Kind::String),
        Field::required("volume", Kind::String),
    ],
};

/// The type `RBDPersistentVolumeSource`.
pub static RBD_PERSISTENT_VOLUME_SOURCE: Type = Type {
    name: "RBDPersistentVolumeSource",
    fields: &[
        Field::optional("fsType", Kind::String),
        Field::required("image", Kind::String),
        Field::optional("keyring", Kind::String),
        Field::required("monitors", Kind::List(&Kind::String)),
        Field::optional("pool", Kind::String),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("secretRef", Kind::Object(&SECRET_REFERENCE)),
        Field::optional("user", Kind::String),
    ],
};

/// The type `RBDVolumeSource`.
pub static RBD_VOLUME_SOURCE: Type = Type {
    name: "RBDVolumeSource",
    fields: &[
        Field::optional("fsType", Kind::String),
        Field::required("image", Kind::String),
        Field::optional("keyring", Kind::String),
        Field::required("monitors", Kind::List(&Kind::String)),
        Field::optional("pool", Kind::String),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("secretRef", Kind::Object(&LOCAL_OBJECT_REFERENCE)),
        Field::optional("user", Kind::String),
    ],
};

/// The type `ResourceClaim`.
pub static RESOURCE_CLAIM: Type = Type {
    name: "ResourceClaim",
    fields: &[
        Field::required("name", Kind::String),
        Field::optional("request", Kind::String),
    ],
};

/// The type `ResourceFieldSelector`.
pub static RESOURCE_FIELD_SELECTOR: Type = Type {
    name: "ResourceFieldSelector",
    fields: &[
        Field::optional("containerName", Kind::String),
        Field::optional("divisor", Kind::Quantity),
        Field::required("resource", Kind::String),
    ],
};

/// The type `ResourceHealth`.
pub static RESOURCE_HEALTH: Type = Type {
    name: "ResourceHealth",
    fields: &[
        Field::optional("health", Kind::String),
        Field::optional("message", Kind::String),
        Field::required("resourceID", Kind::String),
    ],
};

/// The type `ResourceRequirements`.
pub static RESOURCE_REQUIREMENTS: Type = Type {
    name: "ResourceRequirements",
    fields: &[
        Field::optional("claims", Kind::List(&Kind::Object(&RESOURCE_CLAIM))),
        Field::optional("limits", Kind::Map(&Kind::Quantity)),
        Field::optional("requests", Kind::Map(&Kind::Quantity)),
    ],
};

/// The type `ResourceStatus`.
pub static RESOURCE_STATUS: Type = Type {
    name: "ResourceStatus",
    fields: &[
        Field::required("name", Kind::String),
        Field::optional("resources", Kind::List(&Kind::Object(&RESOURCE_HEALTH))),
    ],
};

/// The type `RollingUpdateDaemonSet`.
pub static ROLLING_UPDATE_DAEMON_SET: Type = Type {
    name: "RollingUpdateDaemonSet",
    fields: &[
        Field::optional("maxSurge", Kind::IntOrString),
        Field::optional("maxUnavailable", Kind::IntOrString),
    ],
};

/// The type `RollingUpdateDeployment`.
pub static ROLLING_UPDATE_DEPLOYMENT: Type = Type {
    name: "RollingUpdateDeployment",
    fields: &[
        Field::optional("maxSurge", Kind::IntOrString),
        Field::optional("maxUnavailable", Kind::IntOrString),
    ],
};

/// The type `RollingUpdateStatefulSetStrategy`.
pub static ROLLING_UPDATE_STATEFUL_SET_STRATEGY: Type = Type {
    name: "RollingUpdateStatefulSetStrategy",
    fields: &[
        Field::optional("maxUnavailable", Kind::IntOrString),
        Field::optional("partition", Kind::Int(-2_147_483_648, 2_147_483_647)),
    ],
};

/// The kind `RuntimeClass`.
pub static RUNTIME_CLASS: Type = Type {
    name: "RuntimeClass",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::required("handler", Kind::String),
        Field::optional("kind", Kind::String),
        Field::required("metadata", Kind::Object(&OBJECT_META)),
        Field::optional("overhead", Kind::Object(&OVERHEAD)),
        Field::optional("scheduling", Kind::Object(&SCHEDULING)),
    ],
};

/// The type `SELinuxOptions`.
pub static SE_LINUX_OPTIONS: Type = Type {
    name: "SELinuxOptions",
    fields: &[
        Field::optional("level", Kind::String),
        Field::optional("role", Kind::String),
        Field::optional("type", Kind::String),
        Field::optional("user", Kind::String),
    ],
};

/// The type `ScaleIOPersistentVolumeSource`.
pub static SCALE_IO_PERSISTENT_VOLUME_SOURCE: Type = Type {
    name: "ScaleIOPersistentVolumeSource",
    fields: &[
        Field::optional("fsType", Kind::String),
        Field::required("gateway", Kind::String),
        Field::optional("protectionDomain", Kind::String),
        Field::optional("readOnly", Kind::Bool),
        Field::required("secretRef", Kind::Object(&SECRET_REFERENCE)),
        Field::optional("sslEnabled", Kind::Bool),
        Field::optional("storageMode", Kind::String),
        Field::optional("storagePool", Kind::String),
        Field::required("system", Kind::String),
        Field::optional("volumeName", Kind::String),
    ],
};

/// The type `ScaleIOVolumeSource`.
pub static SCALE_IO_VOLUME_SOURCE: Type = Type {
    name: "ScaleIOVolumeSource",
    fields: &[
        Field::optional("fsType", Kind::String),
        Field::required("gateway", Kind::String),
        Field::optional("protectionDomain", Kind::String),
        Field::optional("readOnly", Kind::Bool),
        Field::required("secretRef", Kind::Object(&LOCAL_OBJECT_REFERENCE)),
        Field::optional("sslEnabled", Kind::Bool),
        Field::optional("storageMode", Kind::String),
        Field::optional("storagePool", Kind::String),
        Field::required("system", Kind::String),
        Field::optional("volumeName", Kind::String),
    ],
};

/// The type `Scheduling`.
pub static SCHEDULING: Type = Type {
    name: "Scheduling",
    fields: &[
        Field::optional("nodeSelector", Kind::Map(&Kind::String)),
        Field::optional("tolerations", Kind::List(&Kind::Object(&TOLERATION))),
    ],
};

/// The type `SeccompProfile`.
pub static SECCOMP_PROFILE: Type = Type {
    name: "SeccompProfile",
    fields: &[
        Field::optional("localhostProfile", Kind::String),
        Field::required("type", Kind::Enum(&["Localhost", "RuntimeDefault", "Unconfined"])),
    ],
};

/// The kind `Secret`.
pub static SECRET: Type = Type {
    name: "Secret",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::optional("data", Kind::Map(&Kind::Bytes)),
        Field::optional("immutable", Kind::Bool),
        Field::optional("kind", Kind::String),
        Field::required("metadata", Kind::Object(&OBJECT_META)),
        Field::optional("stringData", Kind::Map(&Kind::String)),
        Field::optional("type", Kind::String),
    ],
};

/// The type `SecretEnvSource`.
pub static SECRET_ENV_SOURCE: Type = Type {
    name: "SecretEnvSource",
    fields: &[
        Field::required("name", Kind::String),
        Field::optional("optional", Kind::Bool),
    ],
};

/// The type `SecretKeySelector`.
pub static SECRET_KEY_SELECTOR: Type = Type {
    name: "SecretKeySelector",
    fields: &[
        Field::required("key", Kind::String),
        Field::required("name", Kind::String),
        Field::optional("optional", Kind::Bool),
    ],
};

/// The type `SecretProjection`.
pub static SECRET_PROJECTION: Type = Type {
    name: "SecretProjection",
    fields: &[
        Field::optional("items", Kind::List(&Kind::Object(&KEY_TO_PATH))),
        Field::required("name", Kind::String),
        Field::optional("optional", Kind::Bool),
    ],
};

/// The type `SecretReference`.
pub static SECRET_REFERENCE: Type = Type {
    name: "SecretReference",
    fields: &[
        Field::optional("name", Kind::String),
        Field::optional("namespace", Kind::String),
    ],
};

/// The type `SecretVolumeSource`.
pub static SECRET_VOLUME_SOURCE: Type = Type {
    name: "SecretVolumeSource",
    fields: &[
        Field::optional("defaultMode", Kind::Int(0, 511)),
        Field::optional("defaultUser", Kind::Int(i64::MIN, i64::MAX)),
        Field::optional("items", Kind::List(&Kind::Object(&KEY_TO_PATH))),
        Field::optional("optional", Kind::Bool),
        Field::required("secretName", Kind::String),
    ],
};

/// The type `SecurityContext`.
pub static SECURITY_CONTEXT: Type = Type {
    name: "SecurityContext",
    fields: &[
        Field::optional("allowPrivilegeEscalation", Kind::Bool),
        Field::optional("appArmorProfile", Kind::Object(&APP_ARMOR_PROFILE)),
        Field::optional("capabilities", Kind::Object(&CAPABILITIES)),
        Field::optional("privileged", Kind::Bool),
        Field::optional("procMount", Kind::Enum(&["Default", "Unmasked"])),
        Field::optional("readOnlyRootFilesystem", Kind::Bool),
        Field::optional("runAsGroup", Kind::Int(0, 2_147_483_647)),
        Field::optional("runAsNonRoot", Kind::Bool),
        Field::optional("runAsUser", Kind::Int(0, 2_147_483_647)),
        Field::optional("seLinuxOptions", Kind::Object(&SE_LINUX_OPTIONS)),
        Field::optional("seccompProfile", Kind::Object(&SECCOMP_PROFILE)),
        Field::optional("windowsOptions", Kind::Object(&WINDOWS_SECURITY_CONTEXT_OPTIONS)),
    ],
};

/// The kind `Service`.
pub static SERVICE: Type = Type {
    name: "Service",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::optional("kind", Kind::String),
        Field::required("metadata", Kind::Object(&OBJECT_META)),
        Field::required("spec", Kind::Object(&SERVICE_SPEC)),
        Field::optional("status", Kind::Object(&SERVICE_STATUS)),
    ],
};

/// The type `ServiceAccountTokenProjection`.
pub static SERVICE_ACCOUNT_TOKEN_PROJECTION: Type = Type {
    name: "ServiceAccountTokenProjection",
    fields: &[
        Field::optional("audience", Kind::String),
        Field::optional("expirationSeconds", Kind::Int(600, 4_294_967_296)),
        Field::required("path", Kind::String),
        Field::optional("user", Kind::Int(i64::MIN, i64::MAX)),
    ],
};

/// The type `ServiceBackendPort`.
pub static SERVICE_BACKEND_PORT: Type = Type {
    name: "ServiceBackendPort",
    fields: &[
        Field::optional("name", Kind::String),
        Field::optional("number", Kind::Int(-2_147_483_648, 2_147_483_647)),
    ],
};

/// The type `ServicePort`.
pub static SERVICE_PORT: Type = Type {
    name: "ServicePort",
    fields: &[
        Field::optional("appProtocol", Kind::String),
        Field::optional("name", Kind::String),
        Field::optional("nodePort", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::required("port", Kind::Int(1, 65535)),
        Field::optional("protocol", Kind::Enum(&["TCP", "UDP", "SCTP"])),
        Field::optional("targetPort", Kind::IntOrString),
    ],
};

/// The type `ServiceSpec`.
pub static SERVICE_SPEC: Type = Type {
    name: "ServiceSpec",
    fields: &[
        Field::optional("allocateLoadBalancerNodePorts", Kind::Bool),
        Field::optional("clusterIP", Kind::String),
        Field::optional("clusterIPs", Kind::List(&Kind::String)),
        Field::optional("externalIPs", Kind::List(&Kind::String)),
        Field::optional("externalName", Kind::String),
        Field::optional("externalTrafficPolicy", Kind::Enum(&["Cluster", "Local"])),
        Field::optional("healthCheckNodePort", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("internalTrafficPolicy", Kind::Enum(&["Cluster", "Local"])),
        Field::optional("ipFamilies", Kind::List(&Kind::Enum(&["IPv4", "IPv6"]))),
        Field::optional("ipFamilyPolicy", Kind::Enum(&["SingleStack", "PreferDualStack", "RequireDualStack"])),
        Field::optional("loadBalancerClass", Kind::String),
        Field::optional("loadBalancerIP", Kind::String),
        Field::optional("loadBalancerSourceRanges", Kind::List(&Kind::String)),
        Field::optional("ports", Kind::List(&Kind::Object(&SERVICE_PORT))),
        Field::optional("publishNotReadyAddresses", Kind::Bool),
        Field::optional("selector", Kind::Map(&Kind::String)),
        Field::optional("sessionAffinity", Kind::Enum(&["ClientIP", "None"])),
        Field::optional("sessionAffinityConfig", Kind::Object(&SESSION_AFFINITY_CONFIG)),
        Field::optional("trafficDistribution", Kind::Enum(&["PreferClose", "PreferSameZone", "PreferSameNode"])),
        Field::optional("type", Kind::Enum(&["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"])),
    ],
};

/// The type `ServiceStatus`.
pub static SERVICE_STATUS: Type = Type {
    name: "ServiceStatus",
    fields: &[
        Field::optional("conditions", Kind::List(&Kind::Object(&CONDITION))),
        Field::optional("loadBalancer", Kind::Object(&LOAD_BALANCER_STATUS)),
    ],
};

/// The type `SessionAffinityConfig`.
pub static SESSION_AFFINITY_CONFIG: Type = Type {
    name: "SessionAffinityConfig",
    fields: &[
        Field::optional("clientIP", Kind::Object(&CLIENT_IP_CONFIG)),
    ],
};

/// The type `SleepAction`.
pub static SLEEP_ACTION: Type = Type {
    name: "SleepAction",
    fields: &[
        Field::required("seconds", Kind::Int(0, i64::MAX)),
    ],
};

/// The kind `StatefulSet`.
pub static STATEFUL_SET: Type = Type {
    name: "StatefulSet",
    fields: &[
        Field::optional("apiVersion", Kind::String),
        Field::optional("kind", Kind::String),
        Field::required("metadata", Kind::Object(&OBJECT_META)),
        Field::required("spec", Kind::Object(&STATEFUL_SET_SPEC)),
        Field::optional("status", Kind::Object(&STATEFUL_SET_STATUS)),
    ],
};

/// The type `StatefulSetCondition`.
pub static STATEFUL_SET_CONDITION: Type = Type {
    name: "StatefulSetCondition",
    fields: &[
        Field::optional("lastTransitionTime", Kind::Time),
        Field::optional("message", Kind::String),
        Field::optional("reason", Kind::String),
        Field::optional("status", Kind::Enum(&["True", "False", "Unknown"])),
        Field::optional("type", Kind::String),
    ],
};

/// The type `StatefulSetOrdinals`.
pub static STATEFUL_SET_ORDINALS: Type = Type {
    name: "StatefulSetOrdinals",
    fields: &[
        Field::optional("start", Kind::Int(-2_147_483_648, 2_147_483_647)),
    ],
};

/// The type `StatefulSetPersistentVolumeClaimRetentionPolicy`.
pub static STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY: Type = Type {
    name: "StatefulSetPersistentVolumeClaimRetentionPolicy",
    fields: &[
        Field::optional("whenDeleted", Kind::String),
        Field::optional("whenScaled", Kind::String),
    ],
};

/// The type `StatefulSetSpec`.
pub static STATEFUL_SET_SPEC: Type = Type {
    name: "StatefulSetSpec",
    fields: &[
        Field::optional("minReadySeconds", Kind::Int(0, 2_147_483_647)),
        Field::optional("ordinals", Kind::Object(&STATEFUL_SET_ORDINALS)),
        Field::optional("persistentVolumeClaimRetentionPolicy", Kind::Object(&STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY)),
        Field::optional("podManagementPolicy", Kind::Enum(&["OrderedReady", "Parallel"])),
        Field::optional("replicas", Kind::Int(0, 2_147_483_647)),
        Field::optional("revisionHistoryLimit", Kind::Int(0, 2_147_483_647)),
        Field::required("selector", Kind::Object(&LABEL_SELECTOR)),
        Field::optional("serviceName", Kind::String),
        Field::required("template", Kind::Object(&POD_TEMPLATE_SPEC)),
        Field::optional("updateStrategy", Kind::Object(&STATEFUL_SET_UPDATE_STRATEGY)),
        Field::optional("volumeClaimTemplates", Kind::List(&Kind::Object(&PERSISTENT_VOLUME_CLAIM))),
    ],
};

/// The type `StatefulSetStatus`.
pub static STATEFUL_SET_STATUS: Type = Type {
    name: "StatefulSetStatus",
    fields: &[
        Field::optional("availableReplicas", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("collisionCount", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("conditions", Kind::List(&Kind::Object(&STATEFUL_SET_CONDITION))),
        Field::optional("currentReplicas", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("currentRevision", Kind::String),
        Field::optional("observedGeneration", Kind::Int(i64::MIN, i64::MAX)),
        Field::optional("readyReplicas", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::required("replicas", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("updateRevision", Kind::String),
        Field::optional("updatedReplicas", Kind::Int(-2_147_483_648, 2_147_483_647)),
    ],
};

/// The type `StatefulSetUpdateStrategy`.
pub static STATEFUL_SET_UPDATE_STRATEGY: Type = Type {
    name: "StatefulSetUpdateStrategy",
    fields: &[
        Field::optional("rollingUpdate", Kind::Object(&ROLLING_UPDATE_STATEFUL_SET_STRATEGY)),
        Field::optional("type", Kind::Enum(&["OnDelete", "RollingUpdate"])),
    ],
};

/// The type `StorageOSPersistentVolumeSource`.
pub static STORAGE_OS_PERSISTENT_VOLUME_SOURCE: Type = Type {
    name: "StorageOSPersistentVolumeSource",
    fields: &[
        Field::optional("fsType", Kind::String),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("secretRef", Kind::Object(&OBJECT_REFERENCE)),
        Field::optional("volumeName", Kind::String),
        Field::optional("volumeNamespace", Kind::String),
    ],
};

/// The type `StorageOSVolumeSource`.
pub static STORAGE_OS_VOLUME_SOURCE: Type = Type {
    name: "StorageOSVolumeSource",
    fields: &[
        Field::optional("fsType", Kind::String),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("secretRef", Kind::Object(&LOCAL_OBJECT_REFERENCE)),
        Field::optional("volumeName", Kind::String),
        Field::optional("volumeNamespace", Kind::String),
    ],
};

/// The type `SuccessPolicy`.
pub static SUCCESS_POLICY: Type = Type {
    name: "SuccessPolicy",
    fields: &[
        Field::required("rules", Kind::List(&Kind::Object(&SUCCESS_POLICY_RULE))),
    ],
};

/// The type `SuccessPolicyRule`.
pub static SUCCESS_POLICY_RULE: Type = Type {
    name: "SuccessPolicyRule",
    fields: &[
        Field::optional("succeededCount", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("succeededIndexes", Kind::String),
    ],
};

/// The type `Sysctl`.
pub static SYSCTL: Type = Type {
    name: "Sysctl",
    fields: &[
        Field::required("name", Kind::String),
        Field::required("value", Kind::String),
    ],
};

/// The type `TCPSocketAction`.
pub static TCP_SOCKET_ACTION: Type = Type {
    name: "TCPSocketAction",
    fields: &[
        Field::optional("host", Kind::String),
        Field::required("port", Kind::IntOrString),
    ],
};

/// The type `Toleration`.
pub static TOLERATION: Type = Type {
    name: "Toleration",
    fields: &[
        Field::optional("effect", Kind::Enum(&["NoSchedule", "PreferNoSchedule", "NoExecute"])),
        Field::optional("key", Kind::String),
        Field::optional("operator", Kind::Enum(&["Exists", "Equal", "Lt", "Gt"])),
        Field::optional("tolerationSeconds", Kind::Int(i64::MIN, i64::MAX)),
        Field::optional("value", Kind::String),
    ],
};

/// The type `TopologyConstraint`.
pub static TOPOLOGY_CONSTRAINT: Type = Type {
    name: "TopologyConstraint",
    fields: &[
        Field::required("key", Kind::String),
    ],
};

/// The type `TopologySpreadConstraint`.
pub static TOPOLOGY_SPREAD_CONSTRAINT: Type = Type {
    name: "TopologySpreadConstraint",
    fields: &[
        Field::optional("labelSelector", Kind::Object(&LABEL_SELECTOR)),
        Field::optional("matchLabelKeys", Kind::List(&Kind::String)),
        Field::required("maxSkew", Kind::Int(1, 2_147_483_647)),
        Field::optional("minDomains", Kind::Int(-2_147_483_648, 2_147_483_647)),
        Field::optional("nodeAffinityPolicy", Kind::Enum(&["Honor", "Ignore"])),
        Field::optional("nodeTaintsPolicy", Kind::Enum(&["Honor", "Ignore"])),
        Field::required("topologyKey", Kind::String),
        Field::required("whenUnsatisfiable", Kind::Enum(&["DoNotSchedule", "ScheduleAnyway"])),
    ],
};

/// The type `TypedLocalObjectReference`.
pub static TYPED_LOCAL_OBJECT_REFERENCE: Type = Type {
    name: "TypedLocalObjectReference",
    fields: &[
        Field::optional("apiGroup", Kind::String),
        Field::required("kind", Kind::String),
        Field::required("name", Kind::String),
    ],
};

/// The type `TypedObjectReference`.
pub static TYPED_OBJECT_REFERENCE: Type = Type {
    name: "TypedObjectReference",
    fields: &[
        Field::optional("apiGroup", Kind::String),
        Field::required("kind", Kind::String),
        Field::required("name", Kind::String),
        Field::optional("namespace", Kind::String),
    ],
};

/// The type `UncountedTerminatedPods`.
pub static UNCOUNTED_TERMINATED_PODS: Type = Type {
    name: "UncountedTerminatedPods",
    fields: &[
        Field::optional("failed", Kind::List(&Kind::String)),
        Field::optional("succeeded", Kind::List(&Kind::String)),
    ],
};

/// The type `Volume`.
pub static VOLUME: Type = Type {
    name: "Volume",
    fields: &[
        Field::optional("awsElasticBlockStore", Kind::Object(&AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE)),
        Field::optional("azureDisk", Kind::Object(&AZURE_DISK_VOLUME_SOURCE)),
        Field::optional("azureFile", Kind::Object(&AZURE_FILE_VOLUME_SOURCE)),
        Field::optional("cephfs", Kind::Object(&CEPH_FS_VOLUME_SOURCE)),
        Field::optional("cinder", Kind::Object(&CINDER_VOLUME_SOURCE)),
        Field::optional("configMap", Kind::Object(&CONFIG_MAP_VOLUME_SOURCE)),
        Field::optional("csi", Kind::Object(&CSI_VOLUME_SOURCE)),
        Field::optional("downwardAPI", Kind::Object(&DOWNWARD_API_VOLUME_SOURCE)),
        Field::optional("emptyDir", Kind::Object(&EMPTY_DIR_VOLUME_SOURCE)),
        Field::optional("ephemeral", Kind::Object(&EPHEMERAL_VOLUME_SOURCE)),
        Field::optional("fc", Kind::Object(&FC_VOLUME_SOURCE)),
        Field::optional("flexVolume", Kind::Object(&FLEX_VOLUME_SOURCE)),
        Field::optional("flocker", Kind::Object(&FLOCKER_VOLUME_SOURCE)),
        Field::optional("gcePersistentDisk", Kind::Object(&GCE_PERSISTENT_DISK_VOLUME_SOURCE)),
        Field::optional("gitRepo", Kind::Object(&GIT_REPO_VOLUME_SOURCE)),
        Field::optional("glusterfs", Kind::Object(&GLUSTERFS_VOLUME_SOURCE)),
        Field::optional("hostPath", Kind::Object(&HOST_PATH_VOLUME_SOURCE)),
        Field::optional("image", Kind::Object(&IMAGE_VOLUME_SOURCE)),
        Field::optional("iscsi", Kind::Object(&ISCSI_VOLUME_SOURCE)),
        Field::required("name", Kind::String),
        Field::optional("nfs", Kind::Object(&NFS_VOLUME_SOURCE)),
        Field::optional("persistentVolumeClaim", Kind::Object(&PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE)),
        Field::optional("photonPersistentDisk", Kind::Object(&PHOTON_PERSISTENT_DISK_VOLUME_SOURCE)),
        Field::optional("portworxVolume", Kind::Object(&PORTWORX_VOLUME_SOURCE)),
        Field::optional("projected", Kind::Object(&PROJECTED_VOLUME_SOURCE)),
        Field::optional("quobyte", Kind::Object(&QUOBYTE_VOLUME_SOURCE)),
        Field::optional("rbd", Kind::Object(&RBD_VOLUME_SOURCE)),
        Field::optional("scaleIO", Kind::Object(&SCALE_IO_VOLUME_SOURCE)),
        Field::optional("secret", Kind::Object(&SECRET_VOLUME_SOURCE)),
        Field::optional("storageos", Kind::Object(&STORAGE_OS_VOLUME_SOURCE)),
        Field::optional("vsphereVolume", Kind::Object(&VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE)),
    ],
};

/// The type `VolumeDevice`.
pub static VOLUME_DEVICE: Type = Type {
    name: "VolumeDevice",
    fields: &[
        Field::required("devicePath", Kind::String),
        Field::required("name", Kind::String),
    ],
};

/// The type `VolumeHealthCondition`.
pub static VOLUME_HEALTH_CONDITION: Type = Type {
    name: "VolumeHealthCondition",
    fields: &[
        Field::optional("message", Kind::String),
        Field::required("reason", Kind::String),
        Field::required("status", Kind::String),
    ],
};

/// The type `VolumeHealthStatus`.
pub static VOLUME_HEALTH_STATUS: Type = Type {
    name: "VolumeHealthStatus",
    fields: &[
        Field::optional("healthConditions", Kind::List(&Kind::Object(&VOLUME_HEALTH_CONDITION))),
        Field::optional("lastTransitionTime", Kind::Time),
    ],
};

/// The type `VolumeMount`.
pub static VOLUME_MOUNT: Type = Type {
    name: "VolumeMount",
    fields: &[
        Field::optional("bindMountOptions", Kind::List(&Kind::Enum(&["noexec", "nodev", "nosuid"]))),
        Field::required("mountPath", Kind::String),
        Field::optional("mountPropagation", Kind::Enum(&["None", "HostToContainer", "Bidirectional"])),
        Field::required("name", Kind::String),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("recursiveReadOnly", Kind::Enum(&["Disabled", "IfPossible", "Enabled"])),
        Field::optional("subPath", Kind::String),
        Field::optional("subPathExpr", Kind::String),
    ],
};

/// The type `VolumeMountStatus`.
pub static VOLUME_MOUNT_STATUS: Type = Type {
    name: "VolumeMountStatus",
    fields: &[
        Field::required("mountPath", Kind::String),
        Field::required("name", Kind::String),
        Field::optional("readOnly", Kind::Bool),
        Field::optional("recursiveReadOnly", Kind::String),
        Field::optional("volumeStatus", Kind::Object(&VOLUME_STATUS)),
    ],
};

/// The type `VolumeNodeAffinity`.
pub static VOLUME_NODE_AFFINITY: Type = Type {
    name: "VolumeNodeAffinity",
    fields: &[
        Field::optional("required", Kind::Object(&NODE_SELECTOR)),
    ],
};

/// The type `VolumeProjection`.
pub static VOLUME_PROJECTION: Type = Type {
    name: "VolumeProjection",
    fields: &[
        Field::optional("clusterTrustBundle", Kind::Object(&CLUSTER_TRUST_BUNDLE_PROJECTION)),
        Field::optional("configMap", Kind::Object(&CONFIG_MAP_PROJECTION)),
        Field::optional("downwardAPI", Kind::Object(&DOWNWARD_API_PROJECTION)),
        Field::optional("podCertificate", Kind::Object(&POD_CERTIFICATE_PROJECTION)),
        Field::optional("secret", Kind::Object(&SECRET_PROJECTION)),
        Field::optional("serviceAccountToken", Kind::Object(&SERVICE_ACCOUNT_TOKEN_PROJECTION)),
    ],
};

/// The type `VolumeResourceRequirements`.
pub static VOLUME_RESOURCE_REQUIREMENTS: Type = Type {
    name: "VolumeResourceRequirements",
    fields: &[
        Field::optional("limits", Kind::Map(&Kind::Quantity)),
        Field::optional("requests", Kind::Map(&Kind::Quantity)),
    ],
};

/// The type `VolumeStatus`.
pub static VOLUME_STATUS: Type = Type {
    name: "VolumeStatus",
    fields: &[
        Field::optional("image", Kind::Object(&IMAGE_VOLUME_STATUS)),
    ],
};

/// The type `VsphereVirtualDiskVolumeSource`.
pub static VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE: Type = Type {
    name: "VsphereVirtualDiskVolumeSource",
    fields: &[
        Field::optional("fsType", Kind::String),
        Field::optional("storagePolicyID", Kind::String),
        Field::optional("storagePolicyName", Kind::String),
        Field::required("volumePath", Kind::String),
    ],
};

/// The type `WeightedPodAffinityTerm`.
pub static WEIGHTED_POD_AFFINITY_TERM: Type = Type {
    name: "WeightedPodAffinityTerm",
    fields: &[
        Field::required("podAffinityTerm", Kind::Object(&POD_AFFINITY_TERM)),
        Field::required("weight", Kind::Int(1, 100)),
    ],
};

/// The type `WindowsSecurityContextOptions`.
pub static WINDOWS_SECURITY_CONTEXT_OPTIONS: Type = Type {
    name: "WindowsSecurityContextOptions",
    fields: &[
        Field::optional("gmsaCredentialSpec", Kind::String),
        Field::optional("gmsaCredentialSpecName", Kind::String),
        Field::optional("hostProcess", Kind::Bool),
        Field::optional("runAsUserName", Kind::String),
    ],
};

/// The type `WorkloadPodGroupDisruptionMode`.
pub static WORKLOAD_POD_GROUP_DISRUPTION_MODE: Type = Type {
    name: "WorkloadPodGroupDisruptionMode",
    fields: &[
        Field::optional("all", Kind::Any),
        Field::optional("single", Kind::Any),
    ],
};

/// The type `WorkloadPodGroupGangSchedulingPolicy`.
pub static WORKLOAD_POD_GROUP_GANG_SCHEDULING_POLICY: Type = Type {
    name: "WorkloadPodGroupGangSchedulingPolicy",
    fields: &[
        Field::optional("minCount", Kind::Int(-2_147_483_648, 2_147_483_647)),
    ],
};

/// The type `WorkloadPodGroupResourceClaim`.
pub static WORKLOAD_POD_GROUP_RESOURCE_CLAIM: Type = Type {
    name: "WorkloadPodGroupResourceClaim",
    fields: &[
        Field::required("name", Kind::String),
        Field::optional("resourceClaimName", Kind::String),
        Field::optional("resourceClaimTemplateName", Kind::String),
    ],
};

/// The type `WorkloadPodGroupSchedulingConstraints`.
pub static WORKLOAD_POD_GROUP_SCHEDULING_CONSTRAINTS: Type = Type {
    name: "WorkloadPodGroupSchedulingConstraints",
    fields: &[
        Field::optional("topology", Kind::List(&Kind::Object(&TOPOLOGY_CONSTRAINT))),
    ],
};

/// The type `WorkloadPodGroupSchedulingPolicy`.
pub static WORKLOAD_POD_GROUP_SCHEDULING_POLICY: Type = Type {
    name: "WorkloadPodGroupSchedulingPolicy",
    fields: &[
        Field::optional("basic", Kind::Any),
        Field::optional("gang", Kind::Object(&WORKLOAD_POD_GROUP_GANG_SCHEDULING_POLICY)),
    ],
};
