//! Computes stable hashes, by which changes are detected.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::PodNetwork;

/// Kubernetes' alphabet for generated names. It has no vowels and no characters that are easily confused with others.
pub const SAFE_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Returns the sha256 of a value in a canonical form, with sorted keys and without white space. The order of the keys
/// does not change the hash; every other difference does.
pub fn hash(value: &Value) -> String {
    digest(value).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns the hash of the fields whose change requires new pods. The caller must leave out a pull policy of `--pull`,
/// which is not part of the hash.
pub fn of_template(pod: &Pod, network: &PodNetwork, runtime: Option<&str>) -> String {
    let metadata = &pod.metadata;
    hash(&json!({
        "labels": metadata.labels,
        "annotations": metadata.annotations,
        "spec": pod.spec,
        "network": network,
        "runtime": runtime,
    }))
}

/// Returns the hash of all fields whose change `kube play` reports as `configured`. `template` is the hash of the pod
/// template.
pub fn of_workload(object: &Value, replicas: u32, template: &str) -> String {
    hash(&json!({"object": object, "replicas": replicas, "pod": template}))
}

/// Returns a hash of ten characters of [`SAFE_ALPHABET`], as in the label pod-template-hash.
pub fn short_hash(value: &Value) -> String {
    // 27^10 is below 2^48, so eight bytes of the digest leave almost no bias.
    let mut number = digest(value).iter().take(8).fold(0u64, |n, byte| (n << 8) | u64::from(*byte));
    let mut text = String::with_capacity(10);
    for _ in 0..10 {
        let index = usize::try_from(number % 27).unwrap_or(0);
        text.push(SAFE_ALPHABET.get(index).copied().map_or('b', char::from));
        number /= 27;
    }
    text
}

/// Returns a uid (RFC 9562, version 8) that is always the same for the same value.
pub fn stable_uid(value: &Value) -> String {
    let mut bytes = [0u8; 16];
    for (slot, byte) in bytes.iter_mut().zip(digest(value)) {
        *slot = byte;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

fn digest(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    write_canonical(value, &mut text);
    Sha256::digest(&text).to_vec()
}

fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            out.push(b'{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.extend(Value::String(key.clone()).to_string().bytes());
                out.push(b':');
                write_canonical(value, out);
            }
            out.push(b'}');
        }
        Value::Array(list) => {
            out.push(b'[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_canonical(value, out);
            }
            out.push(b']');
        }
        other => out.extend(other.to_string().bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn reversed(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                Value::Object(map.iter().rev().map(|(k, v)| (k.clone(), reversed(v))).collect())
            }
            Value::Array(list) => Value::Array(list.iter().map(reversed).collect()),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn the_order_of_keys_does_not_matter(value in values()) {
            prop_assert_eq!(hash(&value), hash(&reversed(&value)));
        }

        #[test]
        fn different_values_have_different_hashes(a in values(), b in values()) {
            prop_assert_eq!(hash(&a) == hash(&b), a == b);
            prop_assert_eq!(short_hash(&a) == short_hash(&b), a == b);
        }

        #[test]
        fn short_hashes_are_ten_safe_characters(value in values()) {
            let text = short_hash(&value);
            prop_assert_eq!(text.len(), 10);
            prop_assert!(text.bytes().all(|b| SAFE_ALPHABET.contains(&b)));
        }
    }

    #[test]
    fn hashes_stay_the_same_over_versions_of_kube() {
        let value = json!({"b": [1, "x", null], "a": {"d": true, "c": "é\n"}});
        insta::assert_snapshot!(
            format!("{} {} {}", hash(&value), short_hash(&value), stable_uid(&value)),
            @"8d916e4914bac35c92a8c2a887fe95130487ef6c649a4ef9ab48b259d4e834a0 sb8mgcdqt6 8d916e49-14ba-835c-92a8-c2a887fe9513"
        );
    }
}
