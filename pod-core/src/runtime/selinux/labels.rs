//! Which label the processes and files of a pod get. Pure.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::plan::SeLinux;

/// How many categories the policies of distributions have: c0 to c1023.
const CATEGORIES: u16 = 1024;

/// A label: `user:role:type`, with `:level` where the policy has levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The user.
    pub user: String,
    /// The role; `object_r` for files.
    pub role: String,
    /// The type; that of a process is called its domain.
    pub kind: String,
    /// Sensitivity and categories, such as `s0:c1,c2`.
    pub level: Option<String>,
}

impl Context {
    /// Parses a label.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(4, ':').map(str::to_owned);
        let (user, role, kind) = (parts.next()?, parts.next()?, parts.next()?);
        let level = parts.next().filter(|level| !level.is_empty());
        let is_whole = [&user, &role, &kind].iter().all(|part| !part.is_empty());
        is_whole.then_some(Self { user, role, kind, level })
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, role, kind, level } = self;
        write!(f, "{user}:{role}:{kind}")?;
        level.iter().try_for_each(|level| write!(f, ":{level}"))
    }
}

/// What the policy of this host has for containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The label of processes, without categories.
    pub process: Context,
    /// The label of files, without categories.
    pub file: Context,
}

impl Default for Policy {
    /// Returns the labels of container-selinux, which distributions ship.
    fn default() -> Self {
        let context = |role: &str, kind: &str| Context {
            user: "system_u".to_owned(),
            role: role.to_owned(),
            kind: kind.to_owned(),
            level: Some("s0".to_owned()),
        };
        Self { process: context("system_r", "container_t"), file: context("object_r", "container_file_t") }
    }
}

impl Policy {
    /// Parses the file `contexts/lxc_contexts` of a policy: `process = "LABEL"` and `file = "LABEL"`. What it does not name
    /// is as with container-selinux.
    pub fn parse(text: &str) -> Self {
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            let (_, value) = lines.find(|(key, _)| key.trim() == name)?;
            Context::parse(value.trim().trim_matches('"'))
        };
        let default = Self::default();
        Self {
            process: value("process").unwrap_or(default.process),
            file: value("file").unwrap_or(default.file),
        }
    }
}

/// The labels of a container, or of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Its processes; `None`: they keep the label of `kube`.
    pub process: Option<String>,
    /// Its root, and the volumes that belong to its pod.
    pub file: String,
    /// Volumes that other pods may use too: a label without categories, unless the manifest gives a level.
    pub shared: String,
}

/// Returns the labels of a container of the pod `uid`. As with containerd, a privileged container whose manifest asks for
/// no label is not confined.
pub fn labels(policy: &Policy, uid: &str, options: &SeLinux, privileged: bool) -> Labels {
    let Policy { process, file } = policy;
    let sensitivity = process.level.as_deref().map(sensitivity);
    let own = options.level.clone().or_else(|| Some(format!("{}:{}", sensitivity?, categories(uid))));
    let shared = options.level.clone().or_else(|| sensitivity.map(str::to_owned));
    let or = |given: &Option<String>, default: &str| given.clone().unwrap_or_else(|| default.to_owned());
    let process = Context {
        user: or(&options.user, &process.user),
        role: or(&options.role, &process.role),
        kind: or(&options.kind, &process.kind),
        level: own.clone(),
    };
    let file = Context { user: or(&options.user, &file.user), level: own, ..file.clone() };
    Labels {
        process: (!privileged || !options.is_empty()).then(|| process.to_string()),
        shared: Context { level: shared, ..file.clone() }.to_string(),
        file: file.to_string(),
    }
}

/// Returns the sensitivity of a level or of a range of levels.
fn sensitivity(level: &str) -> &str {
    level.split([':', '-']).next().unwrap_or(level)
}

/// Returns the two categories of a pod. They follow from its uid, so that they need not be recorded; two of half a million
/// pairs are the same only by chance.
fn categories(uid: &str) -> String {
    let hash = Sha256::digest(uid.as_bytes());
    let number = |at: usize| {
        let bytes = [hash.get(at), hash.get(at + 1)].map(|byte| byte.copied().unwrap_or_default());
        u16::from_be_bytes(bytes) % CATEGORIES
    };
    let (first, second) = (number(0), number(2));
    // The policy takes them in order only, and they have to differ.
    let second = if first == second { (second + 1) % CATEGORIES } else { second };
    format!("c{},c{}", first.min(second), first.max(second))
}

/// Returns the option of mount(2) that gives all files of a file system a label. It is quoted, because a level has commas.
pub fn mount_option(label: &str) -> String {
    format!("context=\"{label}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "1f2e3d4c-0000-4000-8000-000000000001";

    #[test]
    fn a_label_is_parsed_and_printed() {
        for label in ["system_u:system_r:container_t:s0:c1,c2", "user_u:object_r:tmp_t"] {
            assert_eq!(Context::parse(label).unwrap().to_string(), label);
        }
        assert_eq!(Context::parse("kernel"), None);
        assert_eq!(Context::parse("a::c"), None);
    }

    #[test]
    fn the_labels_of_containers_come_from_the_policy() {
        let policy = Policy::parse(
            "process = \"system_u:system_r:svirt_lxc_net_t:s0\"\ncontent = \"x\"\nfile = \"system_u:object_r:svirt_lxc_file_t:s0\"\n",
        );
        assert_eq!(policy.process.kind, "svirt_lxc_net_t");
        assert_eq!(policy.file.kind, "svirt_lxc_file_t");
        assert_eq!(Policy::parse("sandbox_kvm_process = \"x\"\n"), Policy::default());
    }

    #[test]
    fn the_pods_of_a_host_have_categories_of_their_own_which_stay() {
        let of = |uid: &str| labels(&Policy::default(), uid, &SeLinux::default(), false);
        let labels = of(UID);
        let level =
            labels.process.as_deref().unwrap().strip_prefix("system_u:system_r:container_t:").unwrap();
        assert_eq!(labels.file, format!("system_u:object_r:container_file_t:{level}"));
        assert_eq!(labels.shared, "system_u:object_r:container_file_t:s0");
        assert_eq!(labels, of(UID));
        assert_ne!(labels, of("another"));
        for n in 0..2000 {
            let pair = categories(&n.to_string());
            let (first, second) = pair.strip_prefix('c').unwrap().split_once(",c").unwrap();
            let (first, second): (u16, u16) = (first.parse().unwrap(), second.parse().unwrap());
            assert!(first < second && second < CATEGORIES, "{pair}");
        }
    }

    #[test]
    fn the_options_of_the_manifest_win_field_by_field() {
        let options =
            SeLinux { kind: Some("spc_t".to_owned()), level: Some("s0:c9".to_owned()), ..SeLinux::default() };
        let found = labels(&Policy::default(), UID, &options, false);
        assert_eq!(found.process.as_deref(), Some("system_u:system_r:spc_t:s0:c9"));
        // The type is that of processes; files keep the one that containers may use.
        assert_eq!(found.file, "system_u:object_r:container_file_t:s0:c9");
        assert_eq!(found.shared, found.file);
        let options = SeLinux {
            user: Some("staff_u".to_owned()),
            role: Some("staff_r".to_owned()),
            ..SeLinux::default()
        };
        let found = labels(&Policy::default(), UID, &options, false);
        assert!(found.process.unwrap().starts_with("staff_u:staff_r:container_t:s0:c"));
        assert!(found.file.starts_with("staff_u:object_r:container_file_t:s0:c"));
    }

    #[test]
    fn a_privileged_container_is_confined_only_if_it_asks() {
        let of = |options: &SeLinux| labels(&Policy::default(), UID, options, true).process;
        assert_eq!(of(&SeLinux::default()), None);
        let asks = SeLinux { kind: Some("container_t".to_owned()), ..SeLinux::default() };
        assert!(of(&asks).unwrap().starts_with("system_u:system_r:container_t:s0:c"));
    }

    #[test]
    fn a_policy_without_levels_gets_none() {
        let without = |context: Context| Context { level: None, ..context };
        let Policy { process, file } = Policy::default();
        let policy = Policy { process: without(process), file: without(file) };
        let found = labels(&policy, UID, &SeLinux::default(), false);
        assert_eq!(found.process.as_deref(), Some("system_u:system_r:container_t"));
        assert_eq!(found.shared, "system_u:object_r:container_file_t");
    }

    #[test]
    fn the_option_of_a_mount_is_quoted() {
        assert_eq!(mount_option("u:object_r:t:s0:c1,c2"), "context=\"u:object_r:t:s0:c1,c2\"");
    }
}
