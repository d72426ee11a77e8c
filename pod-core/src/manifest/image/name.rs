use std::fmt;
use std::str::FromStr;

use super::{InvalidName, Reference};

/// Length of the shortest id prefix. Shorter text of hexadecimal digits is a name.
const MIN_ID_PREFIX: usize = 4;

/// What a user or a container writes for an image: a [`Reference`], or the beginning of an image's id. Text such as
/// `cafe` can be both; then an image with that name takes precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageName {
    text: String,
    reference: Result<Reference, &'static str>,
    id_prefix: Option<String>,
}

impl ImageName {
    /// Reads a reference, an id or the beginning of an id.
    ///
    /// # Errors
    /// `text` is none of them.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        let may_be_id = (MIN_ID_PREFIX..=64).contains(&hex.len())
            && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let reference = match Reference::parse(text) {
            Ok(reference) => Ok(reference),
            Err(error) if may_be_id => Err(error.reason),
            Err(error) => return Err(error),
        };
        let id_prefix = may_be_id.then(|| format!("sha256:{hex}"));
        Ok(Self { text: text.to_owned(), reference, id_prefix })
    }

    /// Returns the reference, unless the text can only be an id.
    pub fn reference(&self) -> Option<&Reference> {
        self.reference.as_ref().ok()
    }

    /// Returns the reference to pull.
    ///
    /// # Errors
    /// The text can only be an id, and registries have no images by id.
    pub fn pullable(&self) -> Result<&Reference, InvalidName> {
        self.reference.as_ref().map_err(|reason| InvalidName { reference: self.text.clone(), reason })
    }

    /// Returns `sha256:` and the hexadecimal digits, if the text may be the beginning of an id.
    pub fn id_prefix(&self) -> Option<&str> {
        self.id_prefix.as_deref()
    }

    /// Returns the text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for ImageName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::parse(text)
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_a_reference_an_id_or_both() {
        let read = |text: &str| {
            let name = ImageName::parse(text).unwrap();
            (name.reference().map(Reference::to_string), name.id_prefix().map(str::to_owned))
        };
        assert_eq!(read("web"), (Some("docker.io/library/web:latest".to_owned()), None));
        assert_eq!(
            read("cafe"),
            (Some("docker.io/library/cafe:latest".to_owned()), Some("sha256:cafe".to_owned()))
        );
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        assert_eq!(read(id), (None, Some(format!("sha256:{id}"))));
        assert_eq!(read("abc").1, None);
        assert!(ImageName::parse(id).unwrap().pullable().unwrap_err().to_string().contains("an image id"));
        assert!(ImageName::parse("Hello World").is_err());
    }
}
