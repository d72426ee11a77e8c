//! Generates `table.rs` from k8s-openapi's JSON schemas and the constraints that these do not contain.

mod constraints;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::api::node::v1::RuntimeClass;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use self::constraints::{ENUMS, OPTIONAL, RANGES, REQUIRED};

const ROOTS: [&str; 15] = [
    "Pod",
    "Deployment",
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "Endpoints",
    "EndpointSlice",
    "Ingress",
    "IngressClass",
    "RuntimeClass",
    "DaemonSet",
    "Job",
    "Service",
    "StatefulSet",
];

fn short(name: &str) -> &str {
    match name.rsplit('.').next().unwrap() {
        // Two groups have a type of this name.
        "EndpointPort" if name.contains("discovery") => "DiscoveryEndpointPort",
        name => name,
    }
}

/// Returns the name of a type's constant: `PodSpec` is `POD_SPEC`, `PodDNSConfig` is `POD_DNS_CONFIG`.
fn constant(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, &c) in chars.iter().enumerate() {
        let after_lower = i > 0 && (chars[i - 1].is_lowercase() || chars[i - 1].is_ascii_digit());
        let before_lower = chars.get(i + 1).is_some_and(|c| c.is_lowercase());
        if c.is_uppercase() && i > 0 && (after_lower || before_lower) {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

/// Returns an integer as Rust source, with separated thousands.
fn literal(value: i64) -> String {
    match value {
        i64::MIN => return "i64::MIN".into(),
        i64::MAX => return "i64::MAX".into(),
        _ => {}
    }
    let digits = value.unsigned_abs().to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).unwrap()).collect();
    let separated = if digits.len() > 5 { groups.join("_") } else { digits.clone() };
    if value < 0 { format!("-{separated}") } else { separated }
}

struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    fn load() -> Self {
        let mut generator = SchemaGenerator::new(SchemaSettings::openapi3());
        generator.subschema_for::<Pod>();
        generator.subschema_for::<Deployment>();
        generator.subschema_for::<ConfigMap>();
        generator.subschema_for::<Secret>();
        generator.subschema_for::<PersistentVolumeClaim>();
        generator.subschema_for::<PersistentVolume>();
        generator.subschema_for::<Endpoints>();
        generator.subschema_for::<EndpointSlice>();
        generator.subschema_for::<Ingress>();
        generator.subschema_for::<IngressClass>();
        generator.subschema_for::<RuntimeClass>();
        generator.subschema_for::<DaemonSet>();
        generator.subschema_for::<Job>();
        generator.subschema_for::<Service>();
        generator.subschema_for::<StatefulSet>();
        let mut all = BTreeMap::new();
        for (name, schema) in generator.definitions() {
            let before = all.insert(short(name).to_owned(), schema.clone());
            assert!(before.is_none(), "two types are called {name}");
        }
        Self(all)
    }

    fn kind(&self, place: &str, schema: &Value) -> String {
        if let Some((_, values)) = ENUMS.iter().find(|(at, _)| *at == place) {
            assert_eq!(schema["type"], "string", "{place} is no string");
            return format!("Kind::Enum(&{values:?})");
        }
        let reference = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref"));
        if let Some(reference) = reference {
            let name = short(reference.as_str().unwrap());
            let target = &self.0[name];
            return match name {
                "Quantity" => "Kind::Quantity".into(),
                "IntOrString" => "Kind::IntOrString".into(),
                "Time" | "MicroTime" => "Kind::Time".into(),
                "FieldsV1" => "Kind::Any".into(),
                _ if target.get("properties").is_some() => format!("Kind::Object(&{})", constant(name)),
                _ => self.kind(place, target),
            };
        }
        let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or_default();
        match (text("type"), text("format")) {
            ("string", "byte") => "Kind::Bytes".into(),
            ("string", "date-time") => "Kind::Time".into(),
            ("string", _) => "Kind::String".into(),
            ("boolean", _) => "Kind::Bool".into(),
            ("integer", format) => {
                let whole = if format == "int32" {
                    (i64::from(i32::MIN), i64::from(i32::MAX))
                } else {
                    (i64::MIN, i64::MAX)
                };
                let (least, most) =
                    RANGES.iter().find(|(at, _, _)| *at == place).map_or(whole, |r| (r.1, r.2.min(whole.1)));
                let (least, most) = (literal(least), literal(most));
                format!("Kind::Int({least}, {most})")
            }
            ("number", _) => "Kind::Number".into(),
            ("array", _) => format!("Kind::List(&{})", self.kind(&format!("{place}[]"), &schema["items"])),
            ("object", _) if schema.get("additionalProperties").is_some() => {
                format!("Kind::Map(&{})", self.kind(&format!("{place}{{}}"), &schema["additionalProperties"]))
            }
            // A member of a union that has no fields.
            ("object", _) => "Kind::Any".into(),
            _ => panic!("{place}: {schema}"),
        }
    }

    fn render(&self) -> String {
        let mut out = String::from(
            "//! Every type and field of the Kubernetes API that a manifest of a kind that is played or generated can reach.\n//!\n\
             //! Generated from k8s-openapi by `generate.rs`; do not edit. `UPDATE_GENERATED=1` on the test\n\
             //! `manifest::schema` writes it anew.\n\n\
             use super::{Field, Kind, Type};\n",
        );
        let mut seen = BTreeSet::new();
        for (name, schema) in &self.0 {
            let Some(fields) = schema.get("properties").and_then(Value::as_object) else { continue };
            let required: Vec<&str> = schema
                .get("required")
                .and_then(Value::as_array)
                .map(|list| list.iter().filter_map(Value::as_str).collect())
                .unwrap_or_default();
            let documentation = if ROOTS.contains(&name.as_str()) { "kind" } else { "type" };
            write!(out, "\n/// The {documentation} `{name}`.\n").unwrap();
            writeln!(out, "pub static {}: Type = Type {{", constant(name)).unwrap();
            writeln!(out, "    name: {name:?},\n    fields: &[").unwrap();
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            for field in names {
                let place = format!("{name}.{field}");
                let is_required = (required.contains(&field.as_str()) || REQUIRED.contains(&place.as_str()))
                    && !OPTIONAL.contains(&place.as_str());
                let make = if is_required { "required" } else { "optional" };
                let kind = self.kind(&place, &fields[field]);
                writeln!(out, "        Field::{make}({field:?}, {kind}),").unwrap();
                seen.insert(place.clone());
                seen.insert(format!("{place}[]"));
            }
            out.push_str("    ],\n};\n");
        }
        for place in ENUMS
            .iter()
            .map(|e| e.0)
            .chain(RANGES.iter().map(|r| r.0))
            .chain(REQUIRED.iter().chain(OPTIONAL).copied())
        {
            assert!(seen.contains(place), "{place} is not in the API");
        }
        out
    }
}

#[test]
fn table_is_what_k8s_openapi_says() {
    crate::manifest::tests::generated::assert_current(
        "src/manifest/schema/table.rs",
        &Schemas::load().render(),
    );
}
