//! Pulls from registries that try to get the user's password, to keep a pull busy for ever, or to add lines to our
//! output.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::reference;
use super::registry::{
    Fake, Reply, Request, Watched, architecture, basic, credential, gzip, large, message, pull, quick, tar,
};
use crate::image::credentials::Login;
use crate::image::registry::Registry;
use crate::image::*;

/// A host that answers everything with `status` and `challenge`, in which `HOST` is its own address, and records the
/// secrets that it receives.
fn thief(status: u16, challenge: &'static str) -> (Fake, Arc<Mutex<Vec<String>>>) {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = seen.clone();
    let fake = Fake::with(move |request, _, _| {
        if let Some(secret) = request.headers.get("authorization") {
            kept.lock().unwrap().push(format!("{} {secret}", request.path));
        }
        let challenge = challenge.replace("HOST", &request.headers["host"]);
        let message = r#"{"errors":[{"message":"password, please"}]}"#;
        Some(Reply::new(status, message).with("WWW-Authenticate", &challenge))
    });
    (fake, seen)
}

fn redirect(to: &str) -> Reply {
    Reply::new(307, "").with("Location", to)
}

fn login(fake: &Fake) -> PullOptions {
    PullOptions { credentials: vec![credential(fake, "me", "secret")], ..PullOptions::default() }
}

/// Returns true for a request with the user's password.
fn logged_in(request: &Request) -> bool {
    request.headers.get("authorization").is_some_and(|value| *value == basic("me", "secret"))
}

/// The answer of a registry that requires a password.
fn asks() -> Reply {
    Reply::new(401, "").with("WWW-Authenticate", "Basic realm=x")
}

#[test]
fn cve_2020_15157_the_challenge_of_a_redirect_target_is_not_answered() {
    ::tests::need_root!();
    for challenge in ["Basic realm=x", "Bearer realm=\"http://HOST/token\",service=\"x\""] {
        for status in [401, 403] {
            // A blob, a manifest, and both through a redirect to the registry itself.
            for (part, detour) in [("/blobs/", false), ("/manifests/", false), ("/blobs/", true)] {
                let (thief, stolen) = thief(status, challenge);
                let address = thief.address.clone();
                let fake = Fake::with(move |request, _, _| match logged_in(request) {
                    false => Some(asks()),
                    true if detour && request.path.contains(part) && !request.path.contains("detour") => {
                        Some(redirect(&format!("/detour{}", request.path)))
                    }
                    true if request.path.contains(part) => {
                        Some(redirect(&format!("http://{address}{}", request.path)))
                    }
                    true => None,
                });
                fake.image("1", &architecture(), &[gzip(tar().file("a", "a"))]);
                let (_dir, store) = quick();
                let result = store.pull(&reference(fake.name("app:1")), &login(&fake), &Watched::default());
                let text = message(&fake, result).replace(&thief.address, "THIEF");
                let expected =
                    format!("REGISTRY/app:1: REGISTRY: it redirects to THIEF, which answers {status}");
                assert!(text.starts_with(&expected) && text.ends_with("password, please"), "{text}");
                assert_eq!(thief.requests(part), 1);
                assert_eq!(thief.requests("/token"), 0, "the thief's token server was asked");
                assert_eq!(*stolen.lock().unwrap(), Vec::<String>::new());
            }
        }
    }
}

#[test]
fn a_redirect_within_the_registry_keeps_its_login() {
    ::tests::need_root!();
    let fake = Fake::with(|request, _, _| match logged_in(request) {
        false => Some(asks()),
        true if request.path.contains("/app/") => Some(redirect(&request.path.replace("/app/", "/mirror/"))),
        true => None,
    });
    fake.image("1", &architecture(), &[gzip(tar().file("a", "a"))]);
    let (_dir, store) = quick();
    store.pull(&reference(fake.name("app:1")), &login(&fake), &Watched::default()).unwrap();
    assert!(fake.requests("/mirror/") > 2);
}

/// A registry whose token server redirects to `target`.
fn redirecting_token_server(target: String) -> Fake {
    Fake::with(move |request, _, _| {
        let host = request.headers.get("host").cloned().unwrap_or_default();
        Some(if request.path.starts_with("/token") {
            redirect(&format!("http://{target}{}", request.path))
        } else {
            Reply::new(401, "").with("WWW-Authenticate", &format!("Bearer realm=\"http://{host}/token\""))
        })
    })
}

#[test]
fn a_token_server_that_redirects_passes_on_neither_password_nor_identity_token() {
    ::tests::need_root!();
    let (thief, stolen) = thief(401, "Basic realm=x");
    let fake = redirecting_token_server(thief.address.clone());
    let (_dir, store) = quick();
    let text = message(&fake, store.pull(&reference(fake.name("app:1")), &login(&fake), &Watched::default()));
    insta::assert_snapshot!(text, @"REGISTRY/app:1: REGISTRY denies access: password, please");
    assert!(thief.requests("/token") > 0);
    assert_eq!(*stolen.lock().unwrap(), Vec::<String>::new());

    let asked = thief.requests("");
    let reference: Reference = fake.name("app:1").parse().unwrap();
    let logins = vec![Login::IdentityToken("worth-a-password".to_owned())];
    let (limits, watched) = (TimeLimits::default(), Watched::default());
    let registry = Registry::new(&reference, logins, Duration::from_millis(1), &limits, &watched).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let text = runtime.block_on(registry.manifest("1")).unwrap_err().to_string();
    assert!(text.contains("identity token") && text.contains("refused"), "{text}");
    assert_eq!(thief.requests(""), asked, "the request with the identity token was sent on");
}

/// Limits that are reached at once.
fn hasty(store: ImageStore, total: Duration, window: Duration) -> ImageStore {
    store.with_times(TimeLimits { total, window, least: 1 << 20 })
}

/// A registry that sends the beginning of every answer whose path contains `part`, and then nothing more.
fn stalling(part: &'static str) -> Fake {
    let fake = Fake::with(move |request, _, usual| {
        let stalls = request.method == "GET" && request.path.contains(part) && usual.body.len() > 10;
        stalls.then(|| Reply { cut: Some(10), hold: true, ..usual.clone() })
    });
    fake.image("1", &architecture(), &[gzip(large())]);
    fake
}

#[test]
fn an_answer_that_is_too_slow_counts_as_broken_off() {
    ::tests::need_root!();
    let window = Duration::from_millis(20);
    for (part, expected) in [("/blobs/", "broke off"), ("/manifests/", "the manifest broke off")] {
        let fake = stalling(part);
        let (_dir, store) = quick();
        let store = hasty(store, Duration::from_mins(10), window);
        let text = message(&fake, pull(&store, &fake.name("app:1")));
        assert!(text.contains(expected) && text.contains("too slow: 10 bytes in 0.02 seconds"), "{text}");
    }
}

#[test]
fn a_pull_that_takes_too_long_is_given_up_and_leaves_nothing_locked() {
    ::tests::need_root!();
    for part in ["/blobs/", "/manifests/"] {
        let fake = stalling(part);
        let (_dir, store) = quick();
        let store = hasty(store, Duration::from_millis(300), Duration::from_mins(10));
        let text = message(&fake, pull(&store, &fake.name("app:1")));
        assert!(text.contains("given up after") && text.contains("pulling again"), "{text}");
        assert_eq!(std::fs::read_dir(store.dir().join("tmp")).unwrap().count(), 0);
        let good = Fake::new();
        good.image("1", &architecture(), &[gzip(large())]);
        store
            .with_times(TimeLimits::default())
            .pull(&reference(good.name("app:1")), &PullOptions::default(), &Watched::default())
            .unwrap();
    }
}

#[test]
fn what_a_registry_says_stays_on_one_line() {
    let forged = "x\nerror: forged\r\u{1b}[2J\u{9b}\u{2028}\u{202e}";
    let platform = json!({"os": "linux", "architecture": forged, "variant": forged});
    let index = json!({"schemaVersion": 2, "manifests": [
        {"mediaType": "x", "digest": Digest::of(b"x").to_string(), "size": 1, "platform": platform},
    ]});
    let errors = json!({"errors": [{"code": "X", "message": forged}]}).to_string();
    let artifact = |fake: &Fake| {
        let mut config = fake.blob(b"{}".to_vec());
        config["mediaType"] = json!(forged);
        let layer = fake.blob(b"x".to_vec());
        fake.manifest(
            "1",
            forged,
            &json!({"schemaVersion": 2, "mediaType": forged, "config": config, "layers": [layer]}),
        );
    };
    let of_status = |status: u16| {
        let errors = errors.clone();
        Fake::with(move |_, _, _| Some(Reply::new(status, errors.clone())))
    };
    let with_index = Fake::new();
    with_index.manifest("1", "x", &index);
    let with_artifact = Fake::with(|_, _, _| None);
    artifact(&with_artifact);
    let foreign = Fake::new();
    foreign.image("1", forged, &[gzip(tar().file("a", "a"))]);
    // A realm cannot contain a line break, because no header can, but a quoted string can escape other characters.
    let with_realm = Fake::with(|_, _, _| {
        Some(
            Reply::new(401, "")
                .with("WWW-Authenticate", "Bearer realm=\"http://10.255.255.1/\\\u{9b}\u{202e}\""),
        )
    });
    for fake in [
        of_status(401),
        of_status(403),
        of_status(418),
        of_status(500),
        with_index,
        with_artifact,
        foreign,
        with_realm,
    ] {
        let (_dir, store) = quick();
        let watched = Watched::default();
        let result = store.pull(&reference(fake.name("app:1")), &login(&fake), &watched);
        let mut lines = watched.notes.lock().unwrap().clone();
        lines.extend(result.err().map(|error| error.to_string()));
        assert!(!lines.is_empty());
        for line in lines {
            assert_eq!(line, base::escape::escape(&line), "control characters in {line:?}");
        }
    }
}

#[test]
fn times_are_spoken() {
    let format_duration = |seconds| format_duration(Duration::from_secs(seconds));
    assert_eq!(
        [
            format_duration(14400),
            format_duration(3600),
            format_duration(90),
            format_duration(120),
            format_duration(1),
            format_duration(0)
        ],
        ["4 hours", "1 hour", "90 seconds", "2 minutes", "1 second", "0 seconds"]
    );
}
