//! A table of nftables as data, and the difference of two as a script for nft(8). Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A table of the family `inet`: sets, maps and chains by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub sets: BTreeMap<String, Set>,
    pub chains: BTreeMap<String, Chain>,
}

/// A named set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Set {
    pub kind: SetKind,
    /// Type and flags, as `nft` takes them between braces.
    pub definition: String,
    /// The elements, each with the value to which a map maps it, else with an empty text. Elements that the kernel adds
    /// by itself are not among them.
    pub elements: BTreeMap<String, String>,
}

/// Whether a set maps its elements to values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetKind {
    /// A set.
    Set,
    /// A map.
    Map,
}

/// A chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Type, hook and priority of a base chain.
    pub hook: Option<&'static str>,
    pub rules: Vec<String>,
}

impl Set {
    /// Returns a set without elements.
    pub(crate) fn new(kind: SetKind, definition: &str) -> Self {
        Self { kind, definition: definition.to_owned(), elements: BTreeMap::new() }
    }

    fn word(&self) -> &'static str {
        match self.kind {
            SetKind::Set => "set",
            SetKind::Map => "map",
        }
    }
}

impl Table {
    /// Returns the number of rules.
    pub(crate) fn rules(&self) -> usize {
        self.chains.values().map(|chain| chain.rules.len()).sum()
    }

    /// Returns the number of chains and named sets.
    pub(crate) fn size(&self) -> usize {
        self.chains.len() + self.sets.len()
    }

    /// Returns the script that creates the table as a whole, whatever is in its place.
    pub(crate) fn script(&self, name: &str) -> String {
        format!("{}add table inet {name}\n{}", removal(name), Self::default().difference(self, name))
    }

    /// Returns the script that makes this table equal to `wanted` and does not touch what both have. In particular, a
    /// set that both have keeps the elements that the kernel added. An empty script means that they are equal.
    pub(crate) fn difference(&self, wanted: &Self, name: &str) -> String {
        let mut script = String::new();
        // Everything is added before it is named, and removed after nothing names it any more. A set of one name always
        // has the same definition, because `nft` cannot change it.
        for (set, new) in wanted.sets.iter().filter(|(set, _)| !self.sets.contains_key(*set)) {
            let _ = writeln!(script, "add {} inet {name} {set} {{ {} }}", new.word(), new.definition);
        }
        for (chain, new) in wanted.chains.iter().filter(|(chain, _)| !self.chains.contains_key(*chain)) {
            let hook = new.hook.map(|hook| format!(" {{ {hook}; policy accept; }}")).unwrap_or_default();
            let _ = writeln!(script, "add chain inet {name} {chain}{hook}");
        }
        let none = BTreeMap::new();
        for (set, old) in &self.sets {
            let elements = wanted.sets.get(set).map_or(&none, |new| &new.elements);
            let gone = old.elements.iter().filter(|(key, value)| elements.get(*key) != Some(value));
            write_elements(&mut script, "delete", name, set, gone.map(|(key, _)| key.clone()));
        }
        for (chain, old) in &self.chains {
            if wanted.chains.get(chain).is_none_or(|new| new.rules != old.rules) && !old.rules.is_empty() {
                let _ = writeln!(script, "flush chain inet {name} {chain}");
            }
        }
        for (set, new) in &wanted.sets {
            let elements = self.sets.get(set).map_or(&none, |old| &old.elements);
            let added = new.elements.iter().filter(|(key, value)| elements.get(*key) != Some(value));
            let added = added.map(
                |(key, value)| {
                    if value.is_empty() { key.clone() } else { format!("{key} : {value}") }
                },
            );
            write_elements(&mut script, "add", name, set, added);
        }
        for (chain, new) in &wanted.chains {
            if self.chains.get(chain).is_none_or(|old| old.rules != new.rules) {
                for rule in &new.rules {
                    let _ = writeln!(script, "add rule inet {name} {chain} {rule}");
                }
            }
        }
        for chain in self.chains.keys().filter(|chain| !wanted.chains.contains_key(*chain)) {
            let _ = writeln!(script, "delete chain inet {name} {chain}");
        }
        for (set, old) in self.sets.iter().filter(|(set, _)| !wanted.sets.contains_key(*set)) {
            let _ = writeln!(script, "delete {} inet {name} {set}", old.word());
        }
        script
    }
}

/// Returns the script that removes a table, if there is one: only an existing table can be deleted, so it is added first.
pub(crate) fn removal(name: &str) -> String {
    format!("add table inet {name}\ndelete table inet {name}\n")
}

fn write_elements(
    script: &mut String,
    verb: &str,
    table: &str,
    set: &str,
    elements: impl Iterator<Item = String>,
) {
    let elements: Vec<String> = elements.collect();
    if !elements.is_empty() {
        let _ = writeln!(script, "{verb} element inet {table} {set} {{ {} }}", elements.join(", "));
    }
}
