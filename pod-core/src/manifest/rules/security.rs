//! Rules of security contexts and of namespaces shared with the host.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{AppArmorProfile, PodSpec, SELinuxOptions, SeccompProfile, SecurityContext};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Rules, name, near};
use crate::manifest::{APP_ARMOR_ANNOTATION, app_armor_annotation, escape, shown};

/// The longest name of an AppArmor profile.
const MAX_PROFILE: usize = 4095;

/// Returns the name of a capability in capitals without `CAP_`. Any case and that prefix are accepted, because podman's
/// generator writes them.
fn plain_capability(given: &str) -> String {
    let upper = given.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

/// Returns true for the plain name of a Linux capability (capabilities(7)).
fn is_capability(name: &str) -> bool {
    format!("CAP_{name}").parse::<caps::Capability>().is_ok()
}

/// Returns true for kernel parameters that belong to an IPC namespace.
fn is_ipc(parameter: &str) -> bool {
    ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| parameter.starts_with(prefix))
        || parameter == "kernel.sem"
}

impl Rules<'_> {
    pub(super) fn container_security(&mut self, path: &str, security: &SecurityContext, host_users: bool) {
        // Source: `ValidateSecurityContext` of pkg/apis/core/validation.
        if security.proc_mount.as_deref() == Some("Unmasked") && host_users {
            let message = "Unmasked needs hostUsers: false in the pod's spec";
            let hint = "in a user namespace of its own a container cannot harm the host through /proc";
            self.error_hint(&format!("{path}.procMount"), message, hint);
        }
        if let Some(profile) = &security.app_armor_profile {
            self.app_armor(&format!("{path}.appArmorProfile"), profile);
        }
        if let Some(options) = &security.se_linux_options {
            self.se_linux(&format!("{path}.seLinuxOptions"), options);
        }
        if security.allow_privilege_escalation == Some(false) {
            let at = format!("{path}.allowPrivilegeEscalation");
            if security.privileged == Some(true) {
                self.error(&at, "cannot be false in a privileged container");
            }
            let added =
                security.capabilities.iter().flat_map(|capabilities| capabilities.add.iter().flatten());
            if added.map(|name| plain_capability(name)).any(|name| name == "SYS_ADMIN") {
                self.error(&at, "cannot be false in a container with the capability SYS_ADMIN");
            }
        }
        if let Some(profile) = &security.seccomp_profile {
            self.seccomp(&format!("{path}.seccompProfile"), profile);
        }
        let Some(capabilities) = &security.capabilities else { return };
        for (field, list) in [("add", &capabilities.add), ("drop", &capabilities.drop)] {
            for (index, given) in list.iter().flatten().enumerate() {
                let plain = plain_capability(given);
                if plain != "ALL" && !is_capability(&plain) {
                    let at = format!("{path}.capabilities.{field}[{index}]");
                    self.unknown_capability(&at, given, &plain);
                }
            }
        }
    }

    fn unknown_capability(&mut self, path: &str, given: &str, plain: &str) {
        let message = format!("{} is not a capability", shown(given));
        let known: Vec<String> = caps::all().iter().map(|one| one.to_string().replace("CAP_", "")).collect();
        if let Some(near) = near(plain, known.iter().map(String::as_str)) {
            self.error_hint(path, message, format!("did you mean {near}?"));
        } else {
            self.error(path, message);
        }
    }

    /// Checks seLinuxOptions. Kubernetes accepts any text; the kernel accepts labels of these characters, and others would
    /// be read as further options of a mount.
    fn se_linux(&mut self, path: &str, options: &SELinuxOptions) {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        for (field, value) in [("user", &options.user), ("role", &options.role), ("type", &options.type_)] {
            if let Some(value) = value.as_deref().filter(|value| !value.chars().all(word)) {
                let message = format!("{} is not a part of an SELinux label", shown(value));
                let hint = "letters, digits, `_`, `-` and `.`; for example container_t";
                self.error_hint(&format!("{path}.{field}"), message, hint);
            }
        }
        let level = |c: char| word(c) || matches!(c, ':' | ',');
        if let Some(value) = options.level.as_deref().filter(|value| !value.chars().all(level)) {
            let message = format!("{} is not an SELinux level", shown(value));
            self.error_hint(&format!("{path}.level"), message, "s0:c123,c456, for example");
        }
    }

    fn seccomp(&mut self, path: &str, profile: &SeccompProfile) {
        let at = format!("{path}.localhostProfile");
        match (profile.type_.as_str(), profile.localhost_profile.as_deref()) {
            ("Localhost", None | Some("")) => self.error(&at, "is required with type: Localhost"),
            ("Localhost", Some(file)) => self.require(&at, name::descending(file)),
            (_, Some(_)) => self.error(&at, "can only be given with type: Localhost"),
            (_, None) => {}
        }
    }

    /// Checks an AppArmor profile. Source: `validateAppArmorProfileField` of pkg/apis/core/validation.
    fn app_armor(&mut self, path: &str, profile: &AppArmorProfile) {
        let at = format!("{path}.localhostProfile");
        match (profile.type_.as_str(), profile.localhost_profile.as_deref()) {
            ("Localhost", None | Some("")) => self.error(&at, "is required with type: Localhost"),
            ("Localhost", Some(name)) if name.trim() != name => {
                self.error(&at, "must not begin or end with a blank");
            }
            ("Localhost", Some(name)) if name.len() > MAX_PROFILE => {
                self.error(&at, format!("must not have more than {MAX_PROFILE} characters"));
            }
            ("Localhost", Some(_)) | (_, None) => {}
            (_, Some(_)) => self.error(&at, "can only be given with type: Localhost"),
        }
    }

    /// Checks the annotations that gave containers AppArmor profiles before there was a field. Source:
    /// `ValidateAppArmorPodAnnotations` of pkg/apis/core/validation.
    pub(super) fn app_armor_annotations(&mut self, path: &str, metadata: &ObjectMeta, spec: &PodSpec) {
        for (key, value) in metadata.annotations.iter().flatten() {
            let Some(container) = key.strip_prefix(APP_ARMOR_ANNOTATION) else { continue };
            let at = format!("{path}.annotations[{}]", escape(key));
            let mut containers = spec.init_containers.iter().flatten().chain(&spec.containers);
            let Some(found) = containers.find(|one| one.name == container) else {
                self.error(&at, format!("the pod has no container {}", shown(container)));
                continue;
            };
            let Some(profile) = app_armor_annotation(value) else {
                let hint = "write runtime/default, unconfined or localhost/NAME";
                self.error_hint(&at, format!("{} is not an AppArmor profile", shown(value)), hint);
                continue;
            };
            let field =
                found.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref());
            if field.is_some_and(|field| *field != profile) {
                let message = format!("differs from appArmorProfile of container {}", shown(container));
                self.error_hint(&at, message, "leave the annotation out: the field has replaced it");
            }
        }
    }

    pub(super) fn pod_security(&mut self, path: &str, spec: &PodSpec) {
        if let Some(profile) =
            spec.security_context.as_ref().and_then(|security| security.seccomp_profile.as_ref())
        {
            self.seccomp(&format!("{path}.securityContext.seccompProfile"), profile);
        }
        if let Some(profile) =
            spec.security_context.as_ref().and_then(|security| security.app_armor_profile.as_ref())
        {
            self.app_armor(&format!("{path}.securityContext.appArmorProfile"), profile);
        }
        if let Some(options) =
            spec.security_context.as_ref().and_then(|security| security.se_linux_options.as_ref())
        {
            self.se_linux(&format!("{path}.securityContext.seLinuxOptions"), options);
        }
        if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
            self.error(&format!("{path}.shareProcessNamespace"), "cannot be true together with hostPID");
        }
        let host_namespaces =
            [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)];
        if spec.host_users == Some(false) {
            for (field, _) in host_namespaces.iter().filter(|(_, given)| *given == Some(true)) {
                self.error(&format!("{path}.{field}"), "cannot be true together with hostUsers: false");
            }
        }
        let sysctls = spec.security_context.iter().flat_map(|security| security.sysctls.iter().flatten());
        let mut seen = HashSet::new();
        for (index, sysctl) in sysctls.enumerate() {
            let at = format!("{path}.securityContext.sysctls[{index}].name");
            if sysctl.name.is_empty() {
                continue;
            }
            if let Err(invalid) = name::sysctl(&sysctl.name) {
                self.require(&at, Err(invalid));
                continue;
            }
            let parameter = sysctl.name.replace('/', ".");
            let shown = shown(&sysctl.name);
            if parameter.starts_with("net.") {
                if spec.host_network == Some(true) {
                    self.error(&at, format!("{shown} would change the host: hostNetwork is true"));
                }
            } else if is_ipc(&parameter) {
                if spec.host_ipc == Some(true) {
                    self.error(&at, format!("{shown} would change the host: hostIPC is true"));
                }
            } else {
                let hint = "a pod can have net.*, kernel.shm*, kernel.msg*, kernel.sem and fs.mqueue.*; set others on the host";
                self.error_hint(&at, format!("{shown} belongs to the whole host, not to a pod"), hint);
            }
            if !seen.insert(parameter) {
                self.error(&at, format!("{shown} is given twice"));
            }
        }
    }
}
