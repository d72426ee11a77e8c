//! Limits that annotations set, because Kubernetes has no fields for them: ulimits of processes (getrlimit(2)) and the
//! number of processes.
//!
//! - `kube-play/ulimit.nofile: "65536"` or `"SOFT:HARD"`, for every container of the pod;
//! - `io.podman.annotations.ulimit: nofile=1024:2048,nproc=100`, as podman has it;
//! - `kube-play/pids-limit: "200"`, for all processes of the pod together;
//! - `io.podman.annotations.pids-limit/CONTAINER: "50"`, for one container, as podman has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Prefix of an annotation that sets one ulimit; the name follows.
const ULIMIT: &str = "kube-play/ulimit.";
/// podman's annotation with a list of ulimits. Source: podman's `libpod/define/annotations.go`.
const PODMAN_ULIMIT: &str = "io.podman.annotations.ulimit";
/// The annotation that limits the processes of a pod.
pub(crate) const PIDS: &str = "kube-play/pids-limit";
/// Prefix of podman's annotation that limits the processes of a container; the container's name follows.
const PODMAN_PIDS: &str = "io.podman.annotations.pids-limit/";

/// The names of ulimits, as in limits.conf(5) and `docker run --ulimit`.
const NAMES: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Why a limit is invalid. The text completes "annotation X ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// The name is not that of a ulimit.
    #[error("{0:?} is not a ulimit; the ulimits are {list}", list = NAMES.join(", "))]
    Name(String),
    /// The value is not a number.
    #[error("{0:?} must be a number, SOFT:HARD, or unlimited")]
    Value(String),
    /// The soft limit is above the hard one.
    #[error("the soft limit {soft} must not be more than the hard limit {hard}")]
    SoftAboveHard {
        /// The soft limit.
        soft: String,
        /// The hard limit.
        hard: String,
    },
    /// An entry of podman's list has no `=`.
    #[error("{0:?} must be NAME=SOFT[:HARD], with a comma between two of them")]
    Entry(String),
    /// The value is not a number of processes.
    #[error("{0:?} must be a number of processes, at least 1, or unlimited")]
    Pids(String),
}

/// One ulimit of every process of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Its name in lower case without `RLIMIT_`, such as `nofile`.
    pub name: String,
    /// The soft limit, in the unit of getrlimit(2); `u64::MAX` is unlimited.
    pub soft: u64,
    /// The hard limit; `u64::MAX` is unlimited.
    pub hard: u64,
}

impl Ulimit {
    fn parse(name: &str, value: &str) -> Result<Self, LimitError> {
        let lower = name.trim().to_ascii_lowercase();
        let plain = lower.strip_prefix("rlimit_").unwrap_or(&lower);
        if !NAMES.contains(&plain) {
            return Err(LimitError::Name(name.to_owned()));
        }
        let number = |text: &str| match text.trim() {
            "unlimited" | "infinity" | "-1" => Some(u64::MAX),
            text => text.parse().ok(),
        };
        let (soft_text, hard_text) = value.split_once(':').unwrap_or((value, value));
        let (Some(soft), Some(hard)) = (number(soft_text), number(hard_text)) else {
            return Err(LimitError::Value(value.to_owned()));
        };
        if soft > hard {
            let (soft, hard) = (soft_text.trim().to_owned(), hard_text.trim().to_owned());
            return Err(LimitError::SoftAboveHard { soft, hard });
        }
        Ok(Self { name: plain.to_owned(), soft, hard })
    }

    /// Returns the ulimits that an annotation sets, or why it is invalid; `None` for every other annotation.
    pub(crate) fn from_annotation(key: &str, value: &str) -> Option<Result<Vec<Self>, LimitError>> {
        if let Some(name) = key.strip_prefix(ULIMIT) {
            return Some(Self::parse(name, value).map(|one| vec![one]));
        }
        if key != PODMAN_ULIMIT {
            return None;
        }
        let entries = value.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let parsed = entries.map(|entry| match entry.split_once('=') {
            Some((name, value)) => Self::parse(name, value),
            None => Err(LimitError::Entry(entry.to_owned())),
        });
        Some(parsed.collect())
    }
}

/// Returns the ulimits that the annotations of a pod set, sorted by name. Our own annotation wins over podman's.
pub(crate) fn ulimits(annotations: Option<&BTreeMap<String, String>>) -> Vec<Ulimit> {
    let mut all: BTreeMap<String, Ulimit> = BTreeMap::new();
    let mut own = |of_podman: bool| {
        for (key, value) in annotations.into_iter().flatten() {
            if key.starts_with(ULIMIT) != of_podman
                && let Some(Ok(limits)) = Ulimit::from_annotation(key, value)
            {
                all.extend(limits.into_iter().map(|one| (one.name.clone(), one)));
            }
        }
    };
    own(true);
    own(false);
    all.into_values().collect()
}

/// How many processes there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PidsLimit {
    /// Any number.
    Unlimited,
    /// At most this many.
    AtMost(u64),
}

impl PidsLimit {
    /// Parses a number of processes, or a word for no limit.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, LimitError> {
        match text.trim() {
            "unlimited" | "max" | "-1" | "0" => Ok(Self::Unlimited),
            number => match number.parse() {
                Ok(limit) => Ok(Self::AtMost(limit)),
                Err(_) => Err(LimitError::Pids(text.to_owned())),
            },
        }
    }

    /// Returns the number; `None` if there is no limit.
    pub fn number(self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::AtMost(limit) => Some(limit),
        }
    }
}

/// An annotation that limits processes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PidsAnnotation<'a> {
    /// The container that it is for; `None` is the pod.
    pub container: Option<&'a str>,
    /// The limit, or why it is invalid.
    pub limit: Result<PidsLimit, LimitError>,
}

impl<'a> PidsAnnotation<'a> {
    /// Returns the limit that an annotation sets; `None` for every other annotation.
    pub fn parse(key: &'a str, value: &str) -> Option<Self> {
        let container = match key.strip_prefix(PODMAN_PIDS) {
            Some(container) => Some(container),
            None if key == PIDS => None,
            None => return None,
        };
        Some(Self { container, limit: PidsLimit::parse(value) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str, value: &str) -> Result<Vec<(String, u64, u64)>, String> {
        let limits = Ulimit::from_annotation(key, value).unwrap().map_err(|error| error.to_string())?;
        Ok(limits.into_iter().map(|one| (one.name, one.soft, one.hard)).collect())
    }

    #[test]
    fn an_annotation_sets_one_ulimit_or_podmans_list() {
        let nofile = |soft, hard| ("nofile".to_owned(), soft, hard);
        assert_eq!(of("kube-play/ulimit.nofile", "65536"), Ok(vec![nofile(65536, 65536)]));
        assert_eq!(of("kube-play/ulimit.RLIMIT_NOFILE", "1:unlimited"), Ok(vec![nofile(1, u64::MAX)]));
        assert_eq!(
            of(PODMAN_ULIMIT, "nofile=1024:2048, core=-1"),
            Ok(vec![nofile(1024, 2048), ("core".to_owned(), u64::MAX, u64::MAX)])
        );
        assert_eq!(Ulimit::from_annotation("example.com/ulimit.nofile", "1"), None);
        insta::assert_snapshot!(
            [
                ("kube-play/ulimit.files", "1"),
                ("kube-play/ulimit.nofile", "many"),
                ("kube-play/ulimit.nofile", "5:4"),
                (PODMAN_ULIMIT, "nofile"),
            ]
            .map(|(key, value)| of(key, value).unwrap_err())
            .join("\n"),
            @r#"
        "files" is not a ulimit; the ulimits are as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack
        "many" must be a number, SOFT:HARD, or unlimited
        the soft limit 5 must not be more than the hard limit 4
        "nofile" must be NAME=SOFT[:HARD], with a comma between two of them
        "#
        );
    }

    #[test]
    fn our_ulimit_wins_over_podmans() {
        let annotations = [(PODMAN_ULIMIT, "nofile=1,nproc=2"), ("kube-play/ulimit.nofile", "3")];
        let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let found: Vec<(String, u64)> =
            ulimits(Some(&annotations)).into_iter().map(|one| (one.name, one.soft)).collect();
        assert_eq!(found, [("nofile".to_owned(), 3), ("nproc".to_owned(), 2)]);
    }

    #[test]
    fn a_number_of_processes_may_be_unlimited() {
        assert_eq!(PidsLimit::parse("200"), Ok(PidsLimit::AtMost(200)));
        assert_eq!(PidsLimit::parse("unlimited"), Ok(PidsLimit::Unlimited));
        assert_eq!(PidsLimit::parse("-1"), Ok(PidsLimit::Unlimited));
        assert!(PidsLimit::parse("many").is_err() && PidsLimit::parse("-5").is_err());
        let of = |container, limit| Some(PidsAnnotation { container, limit: Ok(PidsLimit::AtMost(limit)) });
        assert_eq!(PidsAnnotation::parse("io.podman.annotations.pids-limit/app", "7"), of(Some("app"), 7));
        assert_eq!(PidsAnnotation::parse(PIDS, "7"), of(None, 7));
        assert_eq!(PidsAnnotation::parse("pids-limit", "7"), None);
    }
}
