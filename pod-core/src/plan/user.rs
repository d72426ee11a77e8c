//! Resolves the user that a container runs as.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::inputs::Inputs;
use super::passwd::{group, passwd};
use super::{ContainerError, ImageConfig};
use crate::kind::WaitingReason;

/// A resolved user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The supplementary groups. As with containerd, the primary group is the first of them.
    pub groups: Vec<u32>,
    /// The home directory from /etc/passwd, else `/`.
    pub home: String,
}

/// How many users and groups a pod with hostUsers: false has, as with the kubelet.
pub const NAMESPACE_IDS: u32 = 65536;

impl User {
    /// Checks that the user and its groups exist in a pod with hostUsers: false.
    ///
    /// # Errors
    /// `CreateContainerConfigError` with the id that does not.
    pub fn check_in_namespace(&self) -> Result<(), ContainerError> {
        let ids = [("user", self.uid), ("group", self.gid)];
        let mut ids = ids.into_iter().chain(self.groups.iter().map(|gid| ("group", *gid)));
        match ids.find(|(_, id)| *id >= NAMESPACE_IDS) {
            None => Ok(()),
            Some((what, id)) => Err(ContainerError::config(format!(
                "{what} {id} does not exist in a pod with hostUsers: false, whose ids end at {}",
                NAMESPACE_IDS - 1
            ))),
        }
    }
}

/// Returns fsGroup: the group of the pod's volumes, which every container of the pod is in.
pub fn fs_group(pod: &Pod) -> Option<u32> {
    let context = pod.spec.as_ref()?.security_context.as_ref()?;
    // Validation has refused what is no id.
    context.fs_group.and_then(|gid| u32::try_from(gid).ok())
}

/// Resolves the user of a container: runAsUser and runAsGroup (of the container, else of the pod), else the image's
/// USER. Names are looked up in the image. The supplementary groups are fsGroup, those of the pod, and those in which
/// the image's /etc/group lists the user, unless supplementalGroupsPolicy is Strict.
///
/// # Errors
/// `CreateContainerConfigError` if runAsNonRoot is violated or cannot be verified, or if an id is out of range;
/// `CreateContainerError` if a name is not in the image's files.
pub fn resolve(inputs: &Inputs<'_>, spec: &PodSpec, container: &Container) -> Result<User, ContainerError> {
    let pod_context = spec.security_context.as_ref();
    let context = container.security_context.as_ref();
    let run_as_user = context.and_then(|c| c.run_as_user).or_else(|| pod_context.and_then(|c| c.run_as_user));
    let run_as_group =
        context.and_then(|c| c.run_as_group).or_else(|| pod_context.and_then(|c| c.run_as_group));
    let non_root = context
        .and_then(|c| c.run_as_non_root)
        .or_else(|| pod_context.and_then(|c| c.run_as_non_root))
        .unwrap_or(false);

    let (image_user, image_group) = split_user(inputs.image);
    if non_root {
        verify_non_root(&container.name, run_as_user, image_user)?;
    }

    let uid = match run_as_user {
        Some(uid) => id("runAsUser", uid)?,
        None => find_user(inputs, image_user)?,
    };
    let entry = passwd(inputs.passwd).find(|entry| entry.uid == uid);
    let gid = match (run_as_group, run_as_user, image_group) {
        (Some(gid), _, _) => id("runAsGroup", gid)?,
        (None, None, Some(name)) => find_group(inputs, name)?,
        _ => entry.map_or(0, |entry| entry.gid),
    };
    // The name to look up in /etc/group. If USER is a name, that name is used, because several names may have the same
    // id.
    let name = match run_as_user {
        None if image_user.parse::<u32>().is_err() && !image_user.is_empty() => Some(image_user),
        _ => entry.map(|entry| entry.name),
    };

    let mut groups = vec![gid];
    groups.extend(fs_group(&inputs.pod.pod));
    for gid in pod_context.and_then(|c| c.supplemental_groups.as_ref()).into_iter().flatten() {
        groups.push(id("supplementalGroups", *gid)?);
    }
    let is_strict =
        pod_context.and_then(|c| c.supplemental_groups_policy.as_deref()).is_some_and(|p| p == "Strict");
    if let Some(name) = name.filter(|_| !is_strict) {
        groups.extend(group(inputs.group).filter(|g| g.members.contains(&name)).map(|g| g.gid));
    }
    let mut seen = std::collections::HashSet::new();
    groups.retain(|gid| seen.insert(*gid));

    let home = entry.map(|entry| entry.home).filter(|home| !home.is_empty()).unwrap_or("/");
    Ok(User { uid, gid, groups, home: home.to_owned() })
}

/// Splits USER as `user[:group]`. An empty user means root.
fn split_user(image: &ImageConfig) -> (&str, Option<&str>) {
    match image.user.trim().split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|g| !g.is_empty())),
        None => (image.user.trim(), None),
    }
}

fn verify_non_root(
    container: &str,
    run_as_user: Option<i64>,
    image_user: &str,
) -> Result<(), ContainerError> {
    let problem = match (run_as_user, image_user, image_user.parse::<u32>()) {
        (Some(0), _, _) => "runAsUser is 0".to_owned(),
        (Some(_), _, _) => return Ok(()),
        (None, "", _) => "the image runs as root (it has no USER); set runAsUser".to_owned(),
        (None, _, Ok(0)) => "the image runs as root (its USER is 0); set runAsUser".to_owned(),
        (None, _, Ok(_)) => return Ok(()),
        (None, name, Err(_)) => format!(
            "the image's USER is the name {name:?}, so we cannot verify that it is not root; set runAsUser to its number"
        ),
    };
    Err(ContainerError::config(format!("container {container} has runAsNonRoot, but {problem}")))
}

fn id(field: &str, value: i64) -> Result<u32, ContainerError> {
    // To the kernel, the largest id means "no change".
    u32::try_from(value)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| ContainerError::config(format!("{field} {value} is not an id (0 to 4294967294)")))
}

fn find_user(inputs: &Inputs<'_>, user: &str) -> Result<u32, ContainerError> {
    if user.is_empty() {
        return Ok(0);
    }
    if let Ok(uid) = user.parse::<i64>() {
        return id("the image's USER", uid);
    }
    passwd(inputs.passwd).find(|entry| entry.name == user).map(|entry| entry.uid).ok_or_else(|| {
        ContainerError::new(
            WaitingReason::CreateContainerError,
            format!("the image's USER {user:?} is not in its /etc/passwd; set runAsUser"),
        )
    })
}

fn find_group(inputs: &Inputs<'_>, name: &str) -> Result<u32, ContainerError> {
    if let Ok(gid) = name.parse::<i64>() {
        return id("the group of the image's USER", gid);
    }
    group(inputs.group).find(|entry| entry.name == name).map(|entry| entry.gid).ok_or_else(|| {
        ContainerError::new(
            WaitingReason::CreateContainerError,
            format!("the group {name:?} of the image's USER is not in its /etc/group; set runAsGroup"),
        )
    })
}
