//! Pull secrets as kubectl creates them, and others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use crate::image::pull_secrets;
use crate::plan::{PodNetwork, PodPlan};
use crate::store::Objects;

fn secret(kind: &str, key: &str, text: &str) -> Secret {
    Secret {
        type_: Some(kind.to_owned()),
        data: Some([(key.to_owned(), ByteString(text.as_bytes().to_vec()))].into()),
        ..Secret::default()
    }
}

fn of(secrets: Vec<(&str, Secret)>) -> (Vec<String>, Vec<String>) {
    let references: Vec<_> = secrets.iter().map(|(name, _)| json!({"name": name})).collect();
    let pod = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"containers": [], "imagePullSecrets": references},
    }));
    let (uid, hash, network) = (String::new(), String::new(), PodNetwork::default());
    let plan = PodPlan { uid, pod: pod.unwrap(), hash, network, runtime: None };
    let mut objects = Objects::default();
    for (name, secret) in secrets {
        if name != "absent" {
            objects.secrets.insert(("shop".to_owned(), name.to_owned()), secret);
        }
    }
    let (found, warnings) = pull_secrets(&plan, &objects);
    (found.iter().map(|c| format!("{} {} {}", c.registry, c.username, c.password)).collect(), warnings)
}

#[test]
fn image_pull_secrets_are_dockerconfigjson_or_dockercfg() {
    let auth = STANDARD.encode("me:a:b");
    let json = json!({"auths": {
        "https://index.docker.io/v1/": {"auth": auth},
        "registry.example:5000/team": {"username": "u", "password": "p"},
        "both.example": {"auth": auth, "username": "u", "password": "p"},
        "empty.example": {},
    }});
    let cfg = json!({"old.example": {"auth": auth, "email": "x"}});
    let (found, warnings) = of(vec![
        ("new", secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", &json.to_string())),
        ("old", secret("kubernetes.io/dockercfg", ".dockercfg", &cfg.to_string())),
    ]);
    assert_eq!(
        found,
        [
            "https://index.docker.io/v1/ me a:b",
            "registry.example:5000/team u p",
            "both.example me a:b",
            "old.example me a:b"
        ]
    );
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn a_pull_secret_that_is_of_no_use_is_a_warning() {
    let kind = "kubernetes.io/dockerconfigjson";
    let (found, warnings) = of(vec![
        ("absent", Secret::default()),
        ("opaque", secret("Opaque", "x", "y")),
        ("no-key", secret(kind, "other", "{}")),
        ("no-json", secret(kind, ".dockerconfigjson", "{")),
        ("no-auths", secret(kind, ".dockerconfigjson", "{}")),
        ("bad-auth", secret(kind, ".dockerconfigjson", r#"{"auths": {"r": {"auth": "%%"}}}"#)),
    ]);
    assert_eq!(found, Vec::<String>::new());
    insta::assert_snapshot!(warnings.join("\n"), @r#"
    imagePullSecret "absent" not found in namespace "shop"; pulling without it
    imagePullSecret "opaque": its type is "Opaque", not kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg; pulling without it
    imagePullSecret "no-key": it has no key .dockerconfigjson; pulling without it
    imagePullSecret "no-json": .dockerconfigjson is not JSON: EOF while parsing an object at line 1 column 1; pulling without it
    imagePullSecret "no-auths": it has no auths; pulling without it
    imagePullSecret "bad-auth": auths["r"]: its auth is not base64; pulling without it
    "#);
    for warning in &warnings {
        assert!(!warning.contains("%%"), "no secret is shown");
    }
}
