//! Warnings that say the same of several fields or objects are told once, with their number: a folder of manifests
//! for a cluster would give hundreds of lines otherwise. Errors are all told, because each has to be mended.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use super::{Diagnostic, Position, Severity};

/// What tells a diagnostic from every other: source, position, path, message.
type Identity = (String, Position, String, String);

/// What was warned of so far.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// What a warning says: the one that said it first, and how often it was said.
    said: HashMap<String, (Identity, usize)>,
}

impl Repeats {
    /// True for a warning that says of a field what an earlier one said of a field of the same name.
    pub fn is_repeat(&mut self, diagnostic: &Diagnostic) -> bool {
        let Diagnostic { path, message, hint, .. } = diagnostic;
        let said = format!("{}\n{message}\n{}", field(path), hint.as_deref().unwrap_or_default());
        self.is_repeat_of(said, diagnostic)
    }

    /// True for a warning that says `said`, if an earlier one did.
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

    /// Adds to each warning how often it was said.
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

/// The field at the end of a path, without its place in a list.
fn field(path: &str) -> &str {
    let field = path.rsplit('.').next().unwrap_or(path);
    match field.split_once('[') {
        Some((list, index)) if index.trim_end_matches(']').bytes().all(|byte| byte.is_ascii_digit()) => list,
        _ => field,
    }
}
