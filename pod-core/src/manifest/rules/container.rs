//! Rules of containers.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Container;

use super::pod::Pod;
use super::{Rules, name, near};
use crate::manifest::{escape, shown};

/// Normalises a mountPath as the kubelet does: a relative path is below the root, and `.`, doubled slashes and `..` are
/// removed; `..` never leads out of the root.
pub(crate) fn mount_point(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

impl Rules<'_> {
    pub(super) fn container(&mut self, path: &str, container: &Container, pod: &Pod<'_>, is_init: bool) {
        if let Some(image) = container.image.as_deref()
            && image.trim() != image
        {
            self.error(&format!("{path}.image"), "must not begin or end with a blank");
        }
        if let Some(dir) = container.working_dir.as_deref()
            && !dir.is_empty()
            && !dir.starts_with('/')
        {
            self.error(&format!("{path}.workingDir"), format!("must be an absolute path, is {}", shown(dir)));
        }
        self.ports(
            &format!("{path}.ports"),
            container.ports.as_deref().unwrap_or_default(),
            pod.host_network,
        );
        self.env(path, container);
        self.probes(path, container, pod);
        self.restarts(path, container);
        self.file_keys(path, container, &pod.empty_dirs);
        self.volume_mounts(&format!("{path}.volumeMounts"), container, pod);
        self.volume_devices(&format!("{path}.volumeDevices"), container, pod);
        if let Some(resources) = &container.resources {
            self.resources(&format!("{path}.resources"), resources);
        }
        self.resize_policy(&format!("{path}.resizePolicy"), container, pod);
        if let Some(security) = &container.security_context {
            self.container_security(&format!("{path}.securityContext"), security, pod.host_users);
        }
        if is_init && container.restart_policy.as_deref() != Some("Always") {
            let given = [
                ("lifecycle", container.lifecycle.is_some()),
                ("livenessProbe", container.liveness_probe.is_some()),
                ("readinessProbe", container.readiness_probe.is_some()),
                ("startupProbe", container.startup_probe.is_some()),
            ];
            for (field, _) in given.into_iter().filter(|(_, given)| *given) {
                self.error(
                    &format!("{path}.{field}"),
                    "an init container cannot have it: it is expected to end",
                );
            }
        }
    }

    /// Reports a name of a volume that the pod does not have.
    fn has_volume(&mut self, path: &str, name: &str, pod: &Pod<'_>) {
        if name.is_empty() || pod.volumes.contains(name) {
            return;
        }
        let message = format!("the pod has no volume {}", shown(name));
        let hint = match near(name, pod.volumes.iter().copied()) {
            Some(near) => format!("did you mean {}?", escape(near)),
            None if pod.volumes.is_empty() => "add it under the pod's `volumes`".to_owned(),
            None => {
                let some: Vec<&str> = pod.volumes.iter().copied().take(10).collect();
                let more = if pod.volumes.len() > some.len() { ", ..." } else { "" };
                format!("volumes of the pod: {}{more}", escape(&some.join(", ")))
            }
        };
        self.error_hint(path, message, hint);
    }

    fn volume_devices(&mut self, path: &str, container: &Container, pod: &Pod<'_>) {
        let mounts = || container.volume_mounts.iter().flatten();
        let mut places: HashMap<String, usize> = HashMap::new();
        if !pod.host_users && container.volume_devices.iter().flatten().next().is_some() {
            // The device belongs to the host's root, who is nobody in the pod.
            self.error(
                path,
                "cannot be given together with hostUsers: false: a pod's users cannot open devices",
            );
        }
        for (index, device) in container.volume_devices.iter().flatten().enumerate() {
            let path = format!("{path}[{index}]");
            let at = format!("{path}.name");
            self.has_volume(&at, &device.name, pod);
            if pod.volumes.contains(device.name.as_str()) && !pod.claims.contains(device.name.as_str()) {
                let message = format!("volume {} is not a claim", shown(&device.name));
                self.error_hint(
                    &at,
                    message,
                    "only a persistentVolumeClaim or ephemeral volume can be a device",
                );
            }
            if mounts().any(|mount| mount.name == device.name) {
                self.error(&at, "is a volume that volumeMounts mount: it can be a device or a folder");
            }
            let at = format!("{path}.devicePath");
            if device.device_path.is_empty() {
                continue;
            }
            if device.device_path.split('/').any(|part| part == "..") {
                self.error(&at, "must not contain `..`");
            } else if !device.device_path.starts_with('/') {
                let message = format!("must be an absolute path, is {}", shown(&device.device_path));
                self.error_hint(&at, message, "/dev/xvda, for example");
            }
            let place = mount_point(&device.device_path);
            if mounts().any(|mount| mount_point(&mount.mount_path) == place) {
                self.error(&at, "is already where a volume is mounted");
            }
            if let Some(first) = places.insert(place, index) {
                self.error(&at, format!("is already the path of volumeDevices[{first}]"));
            }
        }
    }

    fn volume_mounts(&mut self, path: &str, container: &Container, pod: &Pod<'_>) {
        let mut places: HashMap<String, usize> = HashMap::new();
        let privileged = container.security_context.as_ref().and_then(|security| security.privileged);
        for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
            let path = format!("{path}[{index}]");
            self.has_volume(&format!("{path}.name"), &mount.name, pod);
            let at = format!("{path}.mountPath");
            if !mount.mount_path.is_empty()
                && let Some(first) = places.insert(mount_point(&mount.mount_path), index)
            {
                self.error(&at, format!("is already where volumeMounts[{first}] is mounted"));
            }
            if mount.mount_propagation.as_deref() == Some("Bidirectional") && privileged != Some(true) {
                let message = "Bidirectional needs a privileged container: its mounts reach the host";
                let hint = "HostToContainer shows the host's mounts to a container that is not privileged";
                self.error_hint(&format!("{path}.mountPropagation"), message, hint);
            }
            if mount.mount_propagation.as_deref() == Some("Bidirectional") {
                let at = format!("{path}.mountPropagation");
                if !pod.host_users {
                    self.error(&at, "Bidirectional cannot be given together with hostUsers: false");
                }
                if pod.unshared.contains(mount.name.as_str()) {
                    self.error(&at, "Bidirectional cannot be given for an image or an nfs volume");
                }
            }
            let options = mount.bind_mount_options.as_deref().unwrap_or_default();
            if !options.is_empty() && pod.images.contains(mount.name.as_str()) {
                self.error(&format!("{path}.bindMountOptions"), "cannot be given for an image volume");
            }
            for (field, sub_path) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
                if let Some(sub_path) = sub_path.as_deref() {
                    self.require(&format!("{path}.{field}"), name::descending(sub_path));
                }
            }
            if let Some(mode) = mount.recursive_read_only.as_deref().filter(|mode| *mode != "Disabled") {
                let at = format!("{path}.recursiveReadOnly");
                if mount.read_only != Some(true) {
                    self.error(&at, format!("{mode} needs readOnly: true"));
                } else if mount.mount_propagation.as_deref().is_some_and(|given| given != "None") {
                    self.error(&at, format!("{mode} cannot be given together with mountPropagation"));
                }
            }
            let both = [&mount.sub_path, &mount.sub_path_expr];
            if both.iter().all(|given| given.as_deref().is_some_and(|text| !text.is_empty())) {
                self.error(&format!("{path}.subPathExpr"), "cannot be given together with subPath");
            }
        }
    }
}
