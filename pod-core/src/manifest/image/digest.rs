use std::fmt;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A checked `sha256:<64 lower-case hex digits>` (OCI image-spec, descriptor.md, "Digests"), so that its hex
/// part is always a safe file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// Why text is not a [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDigest {
    /// The digest of another algorithm than SHA-256.
    #[error("digest algorithm {0:?} is not supported; use sha256")]
    Algorithm(String),
    /// No algorithm.
    #[error("a digest has the form sha256:HEX")]
    Form,
    /// Too few or too many digits, or characters that are not lower-case hexadecimal digits.
    #[error("a sha256 digest has 64 lower-case hexadecimal digits")]
    Digits,
}

impl Digest {
    const PREFIX: &str = "sha256:";

    /// Reads `sha256:...`.
    ///
    /// # Errors
    /// `text` is not a digest, or not one of SHA-256.
    pub fn parse(text: &str) -> Result<Self, InvalidDigest> {
        let Some(hex) = text.strip_prefix(Self::PREFIX) else {
            return Err(match text.split_once(':') {
                Some((algorithm, _)) => InvalidDigest::Algorithm(algorithm.to_owned()),
                None => InvalidDigest::Form,
            });
        };
        if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(InvalidDigest::Digits);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns the hexadecimal digits.
    pub fn hex(&self) -> &str {
        self.0.get(Self::PREFIX.len()..).unwrap_or_default()
    }

    /// Returns `sha256:...`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;
    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// Computes a [`Digest`] and counts bytes as they are written to it.
#[derive(Default)]
pub(crate) struct Hasher {
    sha256: Sha256,
    bytes: u64,
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
    }
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
    pub(crate) fn finish(self) -> Digest {
        let mut text = String::with_capacity(71);
        text.push_str(Digest::PREFIX);
        for byte in self.sha256.finalize() {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        Digest(text)
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_nothing_is_the_known_one() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        assert_eq!(Digest::parse(empty).unwrap().hex().len(), 64);
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let short = "sha256:ab".to_owned();
        let upper = format!("sha256:{}", "A".repeat(64));
        let dots = format!("sha256:{}", "../".repeat(22));
        let other = format!("sha512:{}", "a".repeat(128));
        for bad in [short, upper, dots, other, "abc".to_owned(), String::new()] {
            assert!(Digest::parse(&bad).is_err(), "{bad}");
        }
    }
}
