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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Carries a script out on a table, as the kernel does: what is named must exist, what is removed may not be named.
    fn carry_out(table: &mut Table, script: &str) {
        for line in script.lines() {
            let (command, rest) = line.split_once(" inet t ").unwrap();
            let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let inside = rest.trim_start_matches("{ ").trim_end_matches(" }");
            let elements = || inside.split(", ").map(str::to_owned);
            match command {
                "add set" | "add map" => {
                    let kind = if command == "add map" { SetKind::Map } else { SetKind::Set };
                    assert!(table.sets.insert(name.to_owned(), Set::new(kind, inside)).is_none(), "{line}");
                }
                "add chain" => {
                    let hook = inside.strip_suffix("; policy accept;").map(|_| "hook");
                    assert!(
                        table.chains.insert(name.to_owned(), Chain { hook, rules: Vec::new() }).is_none(),
                        "{line}"
                    );
                }
                "add rule" => {
                    let target = rest.split_once("goto ").map(|(_, target)| target);
                    assert!(target.is_none_or(|target| table.chains.contains_key(target)), "{line}");
                    let set = rest.split_once('@').map(|(_, set)| set);
                    assert!(set.is_none_or(|set| table.sets.contains_key(set)), "{line}");
                    table.chains.get_mut(name).unwrap().rules.push(rest.to_owned());
                }
                "add element" => {
                    for element in elements() {
                        let (key, value) = element.split_once(" : ").unwrap_or((&element, ""));
                        let target = value.strip_prefix("goto ");
                        assert!(target.is_none_or(|target| table.chains.contains_key(target)), "{line}");
                        let set = table.sets.get_mut(name).unwrap();
                        assert!(set.elements.insert(key.to_owned(), value.to_owned()).is_none(), "{line}");
                    }
                }
                "delete element" => {
                    for key in elements() {
                        assert!(table.sets.get_mut(name).unwrap().elements.remove(&key).is_some(), "{line}");
                    }
                }
                "flush chain" => table.chains.get_mut(name).unwrap().rules.clear(),
                "delete chain" => {
                    assert!(table.chains.remove(name).unwrap().rules.is_empty(), "{line}");
                    let named = format!("goto {name}");
                    let mut values = table.sets.values().flat_map(|set| set.elements.values());
                    assert!(!values.any(|value| *value == named), "{line}");
                    let mut rules = table.chains.values().flat_map(|chain| &chain.rules);
                    assert!(!rules.any(|rule| *rule == named), "{line}");
                }
                "delete set" | "delete map" => {
                    let named = format!("@{name}");
                    let mut rules = table.chains.values().flat_map(|chain| &chain.rules);
                    assert!(!rules.any(|rule| rule.ends_with(&named)), "{line}");
                    assert!(table.sets.remove(name).is_some(), "{line}");
                }
                _ => panic!("{line}"),
            }
        }
    }

    /// Some tables of few names, so that two of them have a lot in common. Chains name only chains that come later.
    fn any_table() -> impl Strategy<Value = Table> {
        let chains = prop::collection::btree_map(0_u8..6, prop::collection::vec(0_u8..6, 0..4), 0..6);
        let maps =
            prop::collection::btree_map(0_u8..3, prop::collection::btree_map(0_u8..5, 0_u8..6, 0..5), 0..3);
        (chains, maps).prop_map(|(chains, maps)| {
            let mut table = Table::default();
            for (n, elements) in maps {
                let mut map =
                    Set::new(if n == 0 { SetKind::Set } else { SetKind::Map }, &format!("type {n};"));
                for (key, chain) in elements.into_iter().filter(|(_, chain)| chains.contains_key(chain)) {
                    let value = if n == 0 { String::new() } else { format!("goto c{chain}") };
                    map.elements.insert(format!("k{key}"), value);
                }
                table.sets.insert(format!("s{n}"), map);
            }
            for (n, rules) in &chains {
                let rule = |to: &u8| match to {
                    to if to > n && chains.contains_key(to) => format!("goto c{to}"),
                    to if table.sets.contains_key(&format!("s{to}")) => format!("ip saddr @s{to}"),
                    to => format!("mark {to}"),
                };
                let hook = (*n == 0).then_some("hook");
                table.chains.insert(format!("c{n}"), Chain { hook, rules: rules.iter().map(rule).collect() });
            }
            table
        })
    }

    proptest! {
        #[test]
        fn a_difference_leads_from_one_table_to_the_other(tables in prop::collection::vec(any_table(), 1..5)) {
            let mut now = Table::default();
            for wanted in &tables {
                let script = now.difference(wanted, "t");
                carry_out(&mut now, &script);
                prop_assert_eq!(&now, wanted, "{}", script);
                prop_assert_eq!(now.difference(wanted, "t"), "");
            }
        }
    }

    #[test]
    fn a_whole_table_takes_the_place_of_whatever_is_there() {
        let script = Table::default().script("t");
        assert_eq!(script, "add table inet t\ndelete table inet t\nadd table inet t\n");
    }
}
