//! Fuzz target of manifests.

// A fuzz target reports by a panic.
#![allow(clippy::missing_panics_doc)]

use super::{Source, load};

/// Any text: it is either read, or refused with errors that have a position and can be shown in a terminal.
pub fn manifest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let source = Source { name: "f.yaml".to_owned(), dir: "/".into(), text: text.into_owned() };
    let loaded = load(&[source], "default");
    for diagnostic in &loaded.diagnostics {
        assert!(diagnostic.position.line >= 1 && diagnostic.position.column >= 1, "{diagnostic:?}");
        assert!(!diagnostic.to_string().contains(char::is_control), "{diagnostic:?}");
        assert!(!diagnostic.hint.iter().any(|hint| hint.contains(char::is_control)), "{diagnostic:?}");
    }
    for document in &loaded.documents {
        let name = document.object.metadata().name.as_deref().unwrap_or_default();
        assert!(!name.is_empty() && !name.contains(char::is_control), "{name:?}");
        assert!(document.positions.contains_key("metadata.name"));
    }
}
