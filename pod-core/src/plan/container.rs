//! Resolves one container completely, immediately before it is created.

use k8s_openapi::api::core::v1::Container;

use super::inputs::Inputs;
use super::{
    ContainerError, ContainerPlan, ImageConfig, Resources, command, environment, hosts, qos, resources,
    security, selinux, stop_signal, user, volumes,
};
use crate::manifest::{mount_point, ulimits};

/// Resolves one container. The plan depends only on `inputs`.
///
/// # Errors
/// If the container cannot be created. The error has the kubelet's waiting reason.
pub fn resolve(inputs: &Inputs<'_>) -> Result<ContainerPlan, ContainerError> {
    let spec = inputs
        .pod
        .pod
        .spec
        .as_ref()
        .ok_or_else(|| ContainerError::config(format!("pod {} has no spec", inputs.pod.name())))?;
    let container = inputs.find(inputs.container).ok_or_else(|| {
        ContainerError::config(format!("pod {} has no container {:?}", inputs.pod.name(), inputs.container))
    })?;
    let context = container.security_context.as_ref();

    let user = user::resolve(inputs, spec, container)?;
    if spec.host_users == Some(false) {
        user.check_in_namespace()?;
    }
    let declared = environment::declared(inputs, container)?;
    let args = command::argv(container, inputs.image, &declared)?;
    let tty = container.tty == Some(true);
    let hostname = hosts::hostname(&inputs.pod.pod, inputs.node);
    let mounts = volumes::mounts(spec, container, &declared)?;
    let env = environment::complete(inputs, declared, &user, &hostname, tty);
    let class = qos::qos_class(&inputs.pod.pod);

    Ok(ContainerPlan {
        name: container.name.clone(),
        args,
        env: env.into_inner(),
        cwd: working_dir(container, inputs.image),
        uid: user.uid,
        gid: user.gid,
        additional_gids: user.groups,
        capabilities: security::capabilities(container),
        privileged: context.and_then(|c| c.privileged) == Some(true),
        no_new_privileges: context.and_then(|c| c.allow_privilege_escalation) == Some(false),
        read_only_root: context.and_then(|c| c.read_only_root_filesystem) == Some(true),
        seccomp: security::seccomp(spec, container),
        app_armor: security::app_armor(&inputs.pod.pod, container),
        selinux: selinux::of_container(spec, container),
        unmasked_proc: context.and_then(|c| c.proc_mount.as_deref()) == Some("Unmasked"),
        resources: Resources {
            pids_limit: resources::container_pids(&inputs.pod.pod, &container.name),
            ..resources::container_resources(spec, container)
        },
        devices: resources::devices(container),
        cdi: resources::cdi_devices(&inputs.pod.pod, container),
        ulimits: ulimits(inputs.pod.pod.metadata.annotations.as_ref()),
        oom_score_adj: qos::oom_score_adj(class, spec, container, inputs.node.memory),
        mounts,
        volume_devices: volumes::devices(spec, container),
        tty,
        stdin: container.stdin == Some(true),
        stop_signal: stop_signal::stop_signal(container, inputs.image)?,
    })
}

/// Returns workingDir, else the image's working directory, else `/`. The path is always absolute and without `..`,
/// because `..` would require that the directory before it exists.
fn working_dir(container: &Container, image: &ImageConfig) -> String {
    let given = container.working_dir.as_deref().filter(|dir| !dir.is_empty());
    let dir = given.unwrap_or(&image.working_dir);
    mount_point(dir)
}
