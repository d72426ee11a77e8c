//! Names of things as users give them: `web`, `pod/web`, `deploy/api`, `deployment.apps/api`, `cm/conf`.

use std::fmt;
use std::str::FromStr;

/// A kind that `kube` plays, with the names that kubectl knows it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// v1 Pod.
    Pod,
    /// apps/v1 Deployment.
    Deployment,
    /// v1 ConfigMap.
    ConfigMap,
    /// v1 Secret.
    Secret,
    /// v1 PersistentVolumeClaim.
    PersistentVolumeClaim,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Pod, Self::Deployment, Self::ConfigMap, Self::Secret, Self::PersistentVolumeClaim];

    /// As `kind:` says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Deployment => "Deployment",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
        }
    }

    /// What users may call it besides its own name: plural and short names, as `kubectl api-resources` has
    /// them.
    const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Pod => &["po", "pods"],
            Self::Deployment => &["deploy", "deployments"],
            Self::ConfigMap => &["cm", "configmaps"],
            Self::Secret => &["secrets"],
            Self::PersistentVolumeClaim => &["pvc", "persistentvolumeclaims"],
        }
    }

    /// Its API group, empty for the core group.
    const fn group(self) -> &'static str {
        match self {
            Self::Deployment => "apps",
            _ => "",
        }
    }

    /// Reads a kind: any case, singular, plural or short, with or without its group (`deployments.apps`,
    /// `deployment.v1.apps`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (name, group) = text.split_once('.').unwrap_or((&text, ""));
        Self::ALL.into_iter().find(|kind| {
            let named = name == kind.name().to_ascii_lowercase() || kind.aliases().contains(&name);
            let versioned = group.strip_prefix("v1.").unwrap_or(if group == "v1" { "" } else { group });
            named && (group.is_empty() || versioned == kind.group())
        })
    }
}

impl fmt::Display for Kind {
    /// As kubectl prints it before a `/`: `pod`, `deployment.apps`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().to_ascii_lowercase())?;
        match self.group() {
            "" => Ok(()),
            group => write!(f, ".{group}"),
        }
    }
}

/// `KIND/NAME`; a bare name is a pod's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    /// Which kind.
    pub kind: Kind,
    /// metadata.name.
    pub name: String,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl FromStr for Resource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            None => (Kind::Pod, text),
            Some((kind, name)) => match Kind::parse(kind) {
                Some(kind) => (kind, name),
                None => {
                    return Err(format!(
                        "there are no objects of a kind {kind:?} here: pod, deployment, configmap, secret, \
                         persistentvolumeclaim"
                    ));
                }
            },
        };
        // A name goes into paths: what Kubernetes does not allow in a name never gets that far.
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if name.is_empty() || name.len() > 253 || !name.chars().all(allowed) || name.starts_with('.') {
            return Err(format!(
                "{name:?} cannot be the name of an object: lower case letters, digits, '-' and '.'"
            ));
        }
        Ok(Self { kind, name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_kubectl_reads_them() {
        for (text, shown) in [
            ("web", "pod/web"),
            ("pod/web", "pod/web"),
            ("Pods/web", "pod/web"),
            ("po/web.example-1", "pod/web.example-1"),
            ("deploy/api", "deployment.apps/api"),
            ("deployment.apps/api", "deployment.apps/api"),
            ("deployments.v1.apps/api", "deployment.apps/api"),
            ("cm/conf", "configmap/conf"),
            ("secret/key", "secret/key"),
            ("pvc/data", "persistentvolumeclaim/data"),
        ] {
            assert_eq!(text.parse::<Resource>().map(|r| r.to_string()), Ok(shown.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        for wrong in
            ["", "/", "pod/", "node/x", "pod/a/b", "Web", "a_b", "../x", "pod/..", "pod.apps/x", "a\x1bb"]
        {
            assert!(wrong.parse::<Resource>().is_err(), "{wrong:?}");
        }
    }
}
