//! The version of what outlives one `kube` program: records, pod states, and what is said on a supervisor's socket.
//!
//! There is one number, [`FORMAT`], because a supervisor owns one of each and is replaced as a whole
//! (`supervisor::hand_over`). It is raised by every change that an older `kube` would misread. A field that may be
//! missing and that an older `kube` may ignore needs no new number.
//!
//! | format | kube  | what changed |
//! |--------|-------|--------------|
//! | 1      | 0.1.0 | nothing carries a version |
//! | 2      | 0.2.0 | records and states carry a version; both ends of a supervisor's socket begin with `Hello`, requests are tagged `request` instead of `op`; `HandOver` |

use std::sync::OnceLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The format that this program writes and speaks.
pub const FORMAT: u32 = 2;

/// The format of kube 0.1.0, whose files carry no version.
pub const FIRST: u32 = 1;

/// The version of this program, for people.
pub const KUBE: &str = env!("CARGO_PKG_VERSION");

/// The variable that has a debug build write, speak and understand another format, as if it were another program: for
/// tests of what meets what. Supervisors get it from their starters.
pub const TEST_FORMAT: &str = "KUBE_TEST_FORMAT";

/// Returns [`FORMAT`], or what [`TEST_FORMAT`] says in debug builds.
pub fn format() -> u32 {
    static SPOKEN: OnceLock<u32> = OnceLock::new();
    *SPOKEN.get_or_init(|| {
        let other = cfg!(debug_assertions).then(|| std::env::var(TEST_FORMAT).ok()).flatten();
        other.and_then(|text| text.parse().ok()).unwrap_or(FORMAT)
    })
}

/// The version of a file: which format it has, and which `kube` wrote it. Whatever was read, this program's own version
/// is written. Reading fails for a format that this program does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(u32);

/// What stands in a file.
#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    #[serde(default)]
    kube: String,
}

/// A file, a record or a supervisor of a `kube` that is newer than this one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "format {format}, and this kube ({KUBE}) knows formats up to {}; nothing was changed: use {}",
    self::format(),
    if kube.is_empty() { "the newer kube".to_owned() } else { format!("kube {kube} or newer") }
)]
pub struct Newer {
    /// Its format.
    pub format: u32,
    /// The version of the program.
    pub kube: String,
}

impl Version {
    /// Returns the version of what this program writes.
    pub fn current() -> Self {
        Self(format())
    }

    /// Returns the version of a file without a version: [`FIRST`].
    pub fn first() -> Self {
        Self(FIRST)
    }

    /// Returns whether an older `kube` wrote this.
    pub fn is_older(self) -> bool {
        self.0 < format()
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        written_now().serialize(serializer)
    }
}

fn written_now() -> Written {
    Written { format: format(), kube: KUBE.to_owned() }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { format, kube } = Written::deserialize(deserializer)?;
        known(format, kube).map_err(serde::de::Error::custom)
    }
}

fn known(format: u32, kube: String) -> Result<Version, Newer> {
    if format <= self::format() { Ok(Version(format)) } else { Err(Newer { format, kube }) }
}

/// Returns why a JSON text of ours cannot be read, if it is because a newer `kube` wrote it.
pub fn newer(text: &[u8]) -> Option<Newer> {
    #[derive(Deserialize)]
    struct Versioned {
        version: Written,
    }
    let Versioned { version } = serde_json::from_slice(text).ok()?;
    known(version.format, version.kube).err()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct File {
        #[serde(default = "Version::first")]
        version: Version,
    }

    fn read(format: u32) -> Result<File, serde_json::Error> {
        serde_json::from_value(json!({"version": {"format": format, "kube": "9.9.9"}}))
    }

    #[test]
    fn a_file_without_a_version_is_of_the_first_format() {
        let file: File = serde_json::from_value(json!({})).unwrap();
        assert_eq!(file.version, Version(FIRST));
        assert!(file.version.is_older());
    }

    #[test]
    fn what_is_written_says_the_format_of_this_program_whatever_was_read() {
        let text = serde_json::to_value(read(FIRST).unwrap()).unwrap();
        assert_eq!(text, json!({"version": {"format": FORMAT, "kube": KUBE}}));
        assert!(!read(FORMAT).unwrap().version.is_older());
    }

    #[test]
    fn a_newer_file_is_refused_with_the_kube_that_reads_it() {
        let error = read(FORMAT + 1).unwrap_err().to_string();
        assert!(error.contains("format 3, and this kube"), "{error}");
        assert!(error.contains("nothing was changed: use kube 9.9.9 or newer"), "{error}");
        let text = br#"{"version": {"format": 3, "kube": "9.9.9"}, "pods": "of another shape"}"#;
        assert_eq!(newer(text), Some(Newer { format: 3, kube: "9.9.9".to_owned() }));
        assert_eq!(newer(br#"{"version": {"format": 2}}"#), None);
        assert_eq!(newer(b"{\"version\": {\"format\": 3"), None, "it is damaged");
    }
}
