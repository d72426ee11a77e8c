//! Manifests as users write them, and the messages about them.

// In tests, formatted pieces that are collected into a text are clear enough.
#![allow(clippy::format_collect)]

mod examples;
mod fields;
pub(super) mod generated;
mod hostile;
mod identity;
mod ingress;
mod lenient;
mod rules;
mod text;

use std::fmt::Write as _;
use std::path::PathBuf;

use super::*;

/// Returns a text as `f.yaml` in `/dir`.
fn source(text: &str) -> Source {
    Source { name: "f.yaml".into(), dir: PathBuf::from("/dir"), text: text.into() }
}

/// Loads one text.
fn read(text: &str) -> Loaded {
    load(&[source(text)], "default")
}

/// Returns every diagnostic as a user sees it.
fn told(text: &str) -> String {
    shown(&read(text).diagnostics)
}

fn shown(diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let severity = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
        writeln!(out, "{severity}: {diagnostic}").unwrap();
        if let Some(hint) = &diagnostic.hint {
            writeln!(out, "  hint: {hint}").unwrap();
        }
    }
    out
}

/// Returns a Pod with this spec, which begins on line 5.
fn pod(spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n{spec}")
}

/// Returns a Pod with one container that has these fields, which begin on line 8.
fn container(fields: &str) -> String {
    let fields: String = fields.lines().map(|line| format!("  {line}\n")).collect();
    pod(&format!("containers:\n- name: app\n  image: app:1\n{fields}"))
}

/// Returns every text with the messages about it.
fn gallery<'a>(texts: impl IntoIterator<Item = &'a str>, wrap: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    for text in texts {
        writeln!(out, "{}\n=> {}\n", text.trim_end(), told(&wrap(text)).trim_end().replace('\n', "\n   "))
            .unwrap();
    }
    out
}
