//! Generates `docs/kubernetes-support.md` from the table, and checks the table against the schema.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::table::TABLE;
use super::{Status, of};
use crate::kind::{Kind, Role};
use crate::manifest::kind::reader;
use crate::manifest::schema::{self, Type};

const INTRODUCTION: &str = "\
# Kubernetes support

Which fields of the Kubernetes API `kube` honours. Made from the table in the code
(`pod-core/src/manifest/support/table.rs`); a test keeps it current.

- **yes**: does what Kubernetes says.
- **not yet**: will, and has no effect so far.
- **no meaning**: has no effect on one machine without a cluster.

A manifest that uses a field which is not honoured gets a warning with file, line, column and path; with `--strict`
an error. Everything below such a field is not honoured either. A value in the last column that says \"no warning
for\" asks for what happens anyway. A field that Kubernetes does not have is always an error.

## Kinds

";

struct Page {
    out: String,
    /// Where a type was described first.
    described: BTreeMap<&'static str, String>,
}

impl Page {
    fn rows(&mut self, ty: &'static Type, prefix: &str) {
        self.described.insert(ty.name, prefix.trim_end_matches('.').to_owned());
        let table = of(ty.name);
        for field in ty.fields {
            let (_, support) = table.iter().find(|(name, _)| *name == field.name).unwrap();
            let brackets = match field.kind {
                schema::Kind::List(_) => "[]",
                _ => "",
            };
            let path = format!("{prefix}{}{brackets}", field.name);
            let status = match support.status {
                Status::Honoured => "yes",
                Status::NotYet => "not yet",
                Status::Meaningless => "no meaning",
            };
            let mut notes = Vec::new();
            if !support.note.is_empty() {
                notes.push(support.note.to_owned());
            }
            if !support.unless.is_empty() {
                notes.push(format!("no warning for `{}`", support.unless.join("`, `")));
            }
            let inner = field.kind.object().filter(|_| support.status == Status::Honoured);
            if let Some(first) = inner.and_then(|inner| self.described.get(inner.name)) {
                notes.push(format!("fields as `{first}`"));
            }
            writeln!(self.out, "| `{path}` | {status} | {} |", notes.join("; ")).unwrap();
            if let Some(inner) = inner
                && !self.described.contains_key(inner.name)
            {
                self.rows(inner, &format!("{path}."));
            }
        }
    }
}

fn page() -> String {
    let mut page = Page { out: INTRODUCTION.to_owned(), described: BTreeMap::new() };
    let played: Vec<_> =
        Kind::played().map(|kind| format!("{} ({})", kind.name(), kind.api_version())).collect();
    let played = played.join(", ");
    let with = |fits: fn(Role) -> bool| {
        let kinds = Kind::ALL.iter().filter(|kind| fits(kind.role()));
        kinds.map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
    };
    writeln!(page.out, "Played: {played}, and List (v1) of them.\n").unwrap();
    writeln!(page.out, "Taken, with nothing to do: {}.\n", with(|role| role == Role::Accepted)).unwrap();
    writeln!(
        page.out,
        "Not yet, left out with a warning: {}.\n",
        with(|role| matches!(role, Role::LeftOut { .. }))
    )
    .unwrap();
    writeln!(page.out, "Not yet, an error: {}.\n", with(|role| matches!(role, Role::Refused | Role::Shown)))
        .unwrap();
    writeln!(
        page.out,
        "Need a cluster, left out with a warning: every custom resource, and {}.",
        with(|role| role == Role::NeedsCluster)
    )
    .unwrap();
    for kind in Kind::played() {
        writeln!(page.out, "\n## {}\n\n| field | honoured | |\n|---|---|---|", kind.name()).unwrap();
        page.rows(reader(kind).unwrap().schema, "");
    }
    page.out
}

#[test]
fn documentation_is_current() {
    crate::manifest::tests::generated::assert_current("../docs/kubernetes-support.md", &page());
}

#[test]
fn every_field_of_the_api_has_its_place() {
    let mut reached = BTreeSet::new();
    let mut todo: Vec<&'static Type> = Kind::played().map(|kind| reader(kind).unwrap().schema).collect();
    while let Some(ty) = todo.pop() {
        if !reached.insert(ty.name) {
            continue;
        }
        let table = of(ty.name);
        let listed: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
        let fields: Vec<&str> = ty.fields.iter().map(|field| field.name).collect();
        assert_eq!(listed, fields, "{} in the support table", ty.name);
        let honoured =
            ty.fields.iter().zip(table).filter(|(_, (_, support))| support.status == Status::Honoured);
        todo.extend(honoured.filter_map(|(field, _)| field.kind.object()));
    }
    let listed: Vec<&str> = TABLE.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed.len(), reached.len(), "the table has types that nothing honoured reaches");
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), reached);
}

#[test]
fn only_what_is_not_honoured_has_exceptions() {
    for (ty, fields) in TABLE {
        for (field, support) in *fields {
            assert!(support.status != Status::Honoured || support.unless.is_empty(), "{ty}.{field}");
        }
    }
}
