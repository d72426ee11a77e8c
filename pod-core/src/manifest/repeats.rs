//! Merges warnings that say the same about several fields or objects into one with their number, because a folder of
//! manifests for a cluster would cause hundreds of lines otherwise. Errors are all reported, because each has to be
//! fixed.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use super::{Diagnostic, Position, Severity};

/// Identifies a diagnostic: source, position, path, message.
type Identity = (String, Position, String, String);

/// The warnings so far.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// By the meaning of a warning: the first one with this meaning, and the number of them.
    said: HashMap<String, (Identity, usize)>,
}

impl Repeats {
    /// Returns true if an earlier warning had the same text about a field of the same name.
    pub fn is_repeat(&mut self, diagnostic: &Diagnostic) -> bool {
        let Diagnostic { path, message, hint, .. } = diagnostic;
        let said = format!("{}\n{message}\n{}", field(path), hint.as_deref().unwrap_or_default());
        self.is_repeat_of(said, diagnostic)
    }

    /// Returns true if an earlier warning had the same meaning `said`. Errors are never repeats.
    pub fn is_repeat_of(&mut self, said: String, diagnostic: &Diagnostic) -> bool {
        if diagnostic.severity != Severity::Warning {
            return false;
        }
        match self.said.entry(said) {
            Entry::Vacant(free) => {
                free.insert((identity(diagnostic), 1));
                false
            }
            Entry::Occupied(mut earlier) => {
                earlier.get_mut().1 += 1;
                true
            }
        }
    }

    /// Adds to each warning the number of its repeats.
    pub fn count(self, diagnostics: &mut [Diagnostic]) {
        let counts: BTreeMap<Identity, usize> =
            self.said.into_values().filter(|(_, count)| *count > 1).collect();
        if counts.is_empty() {
            return;
        }
        for diagnostic in diagnostics {
            if let Some(count) = counts.get(&identity(diagnostic)) {
                let _ = write!(diagnostic.message, " (the first of {count})");
            }
        }
    }
}

fn identity(diagnostic: &Diagnostic) -> Identity {
    let Diagnostic { source, position, path, message, .. } = diagnostic;
    (source.clone(), *position, path.clone(), message.clone())
}

/// Returns the last field of a path, without its index in a list.
fn field(path: &str) -> &str {
    let field = path.rsplit('.').next().unwrap_or(path);
    match field.split_once('[') {
        Some((list, index)) if index.trim_end_matches(']').bytes().all(|byte| byte.is_ascii_digit()) => list,
        _ => field,
    }
}
