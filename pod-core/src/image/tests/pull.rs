//! Pulls from registries on loopback: a scripted one that misbehaves as needed, and Debian's docker-registry.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;

use super::registry::{
    Fake, Reply, Watched, architecture, basic, credential, gzip, large, message, plain, pull, quick, tar,
    zstd,
};
use super::{named, reference};
use crate::image::*;

#[test]
fn layers_of_every_kind_are_pulled_and_unpacked() {
    ::tests::need_root!();
    let (_dir, store) = quick();
    let fake = Fake::new();
    let layers = [
        gzip(tar().file("a", "gzip")),
        zstd(tar().file("b", "zstd")),
        plain(tar().file("c", "plain").file(".wh.a", "")),
    ];
    let size: usize = layers.iter().map(|(b, _)| b.len()).sum();
    let manifest = fake.image("1", &architecture(), &layers);
    let watched = Watched::default();
    let image = store.pull(&reference(fake.name("app:1")), &PullOptions::default(), &watched).unwrap();
    assert_eq!(image.names, [fake.name("app:1")]);
    assert_eq!(image.repo_digests, [fake.name(&format!("app@{}", manifest["digest"].as_str().unwrap()))]);
    assert_eq!(image.config.exposed_ports, ["80/tcp"]);
    assert_eq!(image.created.as_deref(), Some("2026-01-02T03:04:05Z"));
    let read = |name| store.read_file(&image, name, 100).unwrap();
    assert_eq!((read("a"), read("b").as_deref(), read("c").as_deref()), (None, Some("zstd"), Some("plain")));
    assert_eq!(watched.total.load(Ordering::Relaxed), size as u64);
    assert_eq!(watched.arrived.load(Ordering::Relaxed), size as u64);
    assert_eq!(watched.done.load(Ordering::Relaxed), 3);
    assert_eq!(store.find(&named(&image.repo_digests[0])).unwrap(), Some(image));
}

#[test]
fn an_index_gives_the_image_of_the_platform() {
    ::tests::need_root!();
    let (_dir, store) = quick();
    let fake = Fake::new();
    let mut entries = Vec::new();
    for (architecture, variant) in [("amd64", ""), ("arm64", "v8"), ("arm", "v7")] {
        let mut entry = fake.image("x", architecture, &[gzip(tar().file("arch", architecture))]);
        entry["platform"] = json!({"os": "linux", "architecture": architecture, "variant": variant});
        entries.push(entry);
    }
    let index = json!({"schemaVersion": 2, "manifests": entries});
    let top = fake.manifest("multi", manifests::OCI_INDEX, &index);
    let of = |platform: &str| {
        let options = PullOptions { platform: Some(platform.to_owned()), ..PullOptions::default() };
        store.pull(&reference(fake.name("app:multi")), &options, &Watched::default())
    };
    let image = of("linux/arm64").unwrap();
    assert_eq!(store.read_file(&image, "arch", 10).unwrap().as_deref(), Some("arm64"));
    assert_eq!(image.repo_digests.len(), 2, "of the index and of the manifest");
    assert!(image.repo_digests.contains(&fake.name(&format!("app@{}", top["digest"].as_str().unwrap()))));
    insta::assert_snapshot!(message(&fake, of("linux/s390x")), @"REGISTRY/app:multi: there is no image for linux/s390x; there is: linux/amd64, linux/arm/v7, linux/arm64/v8");
    insta::assert_snapshot!(message(&fake, of("arm64")), @r#""arm64" is not a platform: write os/arch or os/arch/variant, e.g. linux/arm64"#);
    // The index's digest gives this machine's image, under that name.
    let by_digest = fake.name(&format!("app@{}", top["digest"].as_str().unwrap()));
    let image = pull(&store, &by_digest).unwrap();
    assert_eq!(image.architecture, architecture());
    assert_eq!(image.names, std::slice::from_ref(&by_digest));
    assert_eq!(store.find(&named(&by_digest)).unwrap().unwrap().id, image.id);
}

#[test]
fn a_broken_transfer_goes_on_where_it_was() {
    ::tests::need_root!();
    let (_dir, store) = quick();
    let fake = Fake::with(|request, before, usual| {
        let large = request.path.contains("/blobs/") && usual.body.len() > 10_000;
        (large && before < 3).then(|| Reply { cut: Some(usual.body.len() / 3), ..usual.clone() })
    });
    let layer = gzip(large());
    let digest = Digest::of(&layer.0).to_string();
    fake.image("1", &architecture(), std::slice::from_ref(&layer));
    let watched = Watched::default();
    let image = store.pull(&reference(fake.name("app:1")), &PullOptions::default(), &watched).unwrap();
    assert_eq!(image.size, 600_000);
    assert_eq!(fake.requests(&digest), 4);
    assert_eq!(fake.requests(&format!("{digest} bytes=")), 3, "each time with a range");
    assert_eq!(watched.arrived.load(Ordering::Relaxed), layer.0.len() as u64, "no byte counts twice");
    assert_eq!(watched.notes.lock().unwrap().len(), 3);
}

#[test]
fn a_registry_without_ranges_is_read_again_from_the_start() {
    ::tests::need_root!();
    let (_dir, store) = quick();
    let layer = gzip(large());
    let whole = layer.0.clone();
    let fake = Fake::with(move |request, before, usual| {
        let is_layer =
            request.path.contains("/blobs/") && request.path.ends_with(Digest::of(&whole).as_str());
        is_layer.then(|| match before {
            0 => Reply { cut: Some(200_000), ..usual.clone() },
            _ => Reply::new(200, whole.clone()),
        })
    });
    fake.image("1", &architecture(), &[layer]);
    assert_eq!(pull(&store, &fake.name("app:1")).unwrap().size, 600_000);
}

#[test]
fn a_transfer_that_never_gets_on_fails() {
    ::tests::need_root!();
    let (_dir, store) = quick();
    let fake = Fake::with(|request, _, usual| {
        (request.path.contains("/blobs/") && usual.body.len() > 10_000)
            .then(|| Reply { cut: Some(10), ..usual.clone() })
    });
    fake.image("1", &architecture(), &[gzip(large())]);
    let message = message(&fake, pull(&store, &fake.name("app:1")));
    assert!(message.contains("broke off 5 times"), "{message}");
    assert!(store.list().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(store.dir().join("layers")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(store.dir().join("tmp")).unwrap().count(), 0);
}

#[test]
fn what_is_busy_or_broken_for_a_while_is_asked_again() {
    ::tests::need_root!();
    let (_dir, store) = quick();
    let fake = Fake::with(|_, before, _| match before {
        0 => Some(Reply::new(503, "")),
        1 => Some(Reply::new(429, "").with("Retry-After", "0")),
        _ => None,
    });
    fake.image("1", &architecture(), &[gzip(tar().file("a", "a"))]);
    pull(&store, &fake.name("app:1")).unwrap();

    let fake = Fake::with(|_, _, _| Some(Reply::new(500, r#"{"errors":[{"message":"disk on fire"}]}"#)));
    insta::assert_snapshot!(message(&fake, pull(&store, &fake.name("app:1"))), @"REGISTRY/app:1: REGISTRY: 500 Internal Server Error: disk on fire");
    assert_eq!(fake.requests("manifests"), 5);

    let fake = Fake::with(|_, _, _| {
        Some(Reply::new(429, r#"{"errors":[{"message":"pull rate limit"}]}"#).with("Retry-After", "3600"))
    });
    insta::assert_snapshot!(message(&fake, pull(&store, &fake.name("app:1"))), @"REGISTRY/app:1: REGISTRY: 429 Too Many Requests: pull rate limit");
    assert_eq!(fake.requests("manifests"), 1, "nobody waits an hour");
}

#[test]
fn what_is_not_there_or_does_not_answer_is_named() {
    ::tests::need_root!();
    let (_dir, store) = quick();
    let fake = Fake::new();
    insta::assert_snapshot!(message(&fake, pull(&store, &fake.name("team/app:9"))), @"REGISTRY/team/app:9: no such image in the registry REGISTRY");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("{}/app:1", listener.local_addr().unwrap());
    drop(listener);
    let error = pull(&store, &name).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }));
    let text = error.to_string();
    assert!(text.starts_with(&name) && text.contains("Connection refused"), "{text}");
    assert_eq!(error.reason(), WaitingReason::ErrImagePull);
    assert_eq!(pull(&store, "UPPER").unwrap_err().reason(), WaitingReason::InvalidImageName);
}

#[test]
fn content_that_is_not_what_was_promised_is_refused_and_leaves_nothing() {
    ::tests::need_root!();
    let other = gzip(tar().file("evil", "evil"));
    let fake = Fake::with(move |request, _, usual| {
        // Blobs of the tag `swapped` are exchanged; one bit of `torn` is flipped.
        let layer = request.path.contains("/blobs/") && usual.body.starts_with(&[0x1f, 0x8b]);
        if layer && request.path.contains("/swapped/") {
            return Some(Reply::new(200, other.0.clone()));
        }
        if layer && request.path.contains("/torn/") {
            let mut reply = usual.clone();
            let middle = reply.body.len() / 2;
            reply.body[middle] ^= 1;
            return Some(reply);
        }
        if layer && request.path.contains("/long/") {
            return Some(Reply::new(200, [usual.body.clone(), vec![0; 100]].concat()));
        }
        (request.path.contains("/big/")).then(|| Reply::new(200, vec![b' '; 5 << 20]))
    });
    let good = gzip(tar().file("evil", "good"));
    fake.image("1", &architecture(), std::slice::from_ref(&good));
    let (blob, _) = gzip(tar().file("a", "a"));
    fake.image("lie", &architecture(), &[(blob, tar().file("a", "b").end())]);
    let (_dir, store) = quick();
    let told = |name: &str| message(&fake, pull(&store, &fake.name(name)));
    for name in ["swapped", "torn"] {
        let text = told(&format!("{name}:1"));
        assert!(text.contains("layer's digest should be sha256:"), "{text}");
    }
    assert!(told("long:1").contains("longer than"));
    assert!(told("lie:lie").contains("diff id should be"));
    assert!(told("big:1").contains("larger than"));
    let wrong = Digest::of(b"another").to_string();
    fake.content.lock().unwrap().manifests.insert(wrong.clone(), (String::new(), b"{}".to_vec()));
    assert!(told(&format!("app@{wrong}")).contains("the manifest should be"));
    assert!(store.list().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(store.dir().join("layers")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(store.dir().join("tmp")).unwrap().count(), 0);
}

#[test]
fn what_is_no_image_is_told_apart() {
    ::tests::need_root!();
    let fake = Fake::new();
    let (_dir, store) = quick();
    let config = fake.blob(b"{}".to_vec());
    let layer = fake.blob(b"chart".to_vec());
    let chart = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
    fake.manifest("chart", manifests::OCI_MANIFEST, &chart);
    fake.manifest(
        "old",
        "application/vnd.docker.distribution.manifest.v1+json",
        &json!({"schemaVersion": 1}),
    );
    fake.manifest("html", "text/html", &json!("<html>"));
    let told = |tag: &str| message(&fake, pull(&store, &fake.name(&format!("app:{tag}"))));
    insta::assert_snapshot!([told("chart"), told("old"), told("html")].join("\n"), @r#"
    REGISTRY/app:chart is no image that can be run: it has 1 layers, but its config of type "application/octet-stream" tells of 0: it may be an artifact of another kind
    REGISTRY/app:old is no image that can be run: its manifest has Docker's obsolete schema 1; push it again with a current tool
    REGISTRY/app:html is no image that can be run: its manifest is neither that of an image nor an index of images
    "#);
}

/// A registry that requires a token for everything; its token server knows `me:secret`, and with `anonymous` everybody.
fn with_tokens(anonymous: bool) -> Fake {
    let issued = AtomicU64::new(0);
    Fake::with(move |request, before, usual| {
        let host = request.headers.get("host").cloned().unwrap_or_default();
        let authorization = request.headers.get("authorization").map(String::as_str).unwrap_or_default();
        if request.path.starts_with("/token") {
            assert!(
                request.path.contains("service=reg")
                    && request.path.contains("scope=repository%3Aapp%3Apull"),
                "{}",
                request.path
            );
            return Some(
                if authorization == basic("me", "secret") || (anonymous && authorization.is_empty()) {
                    let n = issued.fetch_add(1, Ordering::Relaxed);
                    Reply::new(200, json!({"access_token": format!("token{n}")}).to_string())
                } else {
                    Reply::new(401, r#"{"errors":[{"message":"wrong password"}]}"#)
                },
            );
        }
        // The first token expires when the first layer is requested.
        let expired = authorization == "Bearer token0" && usual.body.len() > 10_000;
        if authorization.starts_with("Bearer token") && !(expired && before == 0) {
            None
        } else {
            Some(Reply::new(401, "").with(
                "WWW-Authenticate",
                &format!(
                    "Bearer realm=\"http://{host}/token\",service=\"reg\",scope=\"repository:app:pull\""
                ),
            ))
        }
    })
}

#[test]
fn tokens_are_fetched_with_and_without_a_login_and_again_when_they_run_out() {
    ::tests::need_root!();
    let (_dir, store) = quick();
    let fake = with_tokens(true);
    fake.image("1", &architecture(), &[gzip(large())]);
    pull(&store, &fake.name("app:1")).unwrap();
    assert_eq!(fake.requests("/token"), 2);

    let (_dir, store) = quick();
    let fake = with_tokens(false);
    fake.image("1", &architecture(), &[gzip(large())]);
    insta::assert_snapshot!(message(&fake, pull(&store, &fake.name("app:1"))), @"REGISTRY/app:1: REGISTRY denies access: wrong password");
    let wrong = PullOptions { credentials: vec![credential(&fake, "me", "guess")], ..PullOptions::default() };
    insta::assert_snapshot!(message(&fake, store.pull(&reference(fake.name("app:1")), &wrong, &Watched::default())), @"REGISTRY/app:1: REGISTRY denies access: wrong password");
    let both = vec![credential(&fake, "me", "guess"), credential(&fake, "me", "secret")];
    let options = PullOptions { credentials: both, ..PullOptions::default() };
    store.pull(&reference(fake.name("app:1")), &options, &Watched::default()).unwrap();
}

#[test]
fn passwords_go_to_no_other_registry_and_not_in_the_clear() {
    ::tests::need_root!();
    let stolen = Arc::new(AtomicBool::new(false));
    let seen = stolen.clone();
    let thief = Fake::with(move |request, _, _| {
        if request.headers.contains_key("authorization") {
            seen.store(true, Ordering::Relaxed);
        }
        None
    });
    let elsewhere = thief.address.clone();
    let fake = Fake::with(move |request, _, _| match request.headers.contains_key("authorization") {
        // After the login it redirects to a separate store for layers, as large registries do.
        true if request.path.contains("/blobs/") => Some(Reply::new(307, "").with(
            "Location",
            &format!("http://localhost:{}{}", elsewhere.rsplit(':').next().unwrap(), request.path),
        )),
        true => None,
        false => Some(Reply::new(401, "").with("WWW-Authenticate", "Basic realm=x")),
    });
    fake.image("1", &architecture(), &[gzip(tar().file("a", "a"))]);
    thief.image("1", &architecture(), &[gzip(tar().file("a", "a"))]);
    let (_dir, store) = quick();
    let options =
        PullOptions { credentials: vec![credential(&fake, "me", "secret")], ..PullOptions::default() };
    store.pull(&reference(fake.name("app:1")), &options, &Watched::default()).unwrap();
    assert!(thief.requests("/blobs/") > 0);
    assert!(!stolen.load(Ordering::Relaxed), "the password went along with the redirect");
    // A token server on another host without TLS is not asked at all.
    let (_dir, store) = quick();
    let fake = Fake::with(|_, _, _| {
        Some(Reply::new(401, "").with("WWW-Authenticate", "Bearer realm=\"http://10.255.255.1/token\""))
    });
    let options =
        PullOptions { credentials: vec![credential(&fake, "me", "secret")], ..PullOptions::default() };
    let text = message(&fake, store.pull(&reference(fake.name("app:1")), &options, &Watched::default()));
    assert!(text.contains("does not use HTTPS"), "{text}");
}

#[test]
fn what_has_not_changed_is_not_fetched_again_and_what_has_only_in_part() {
    ::tests::need_root!();
    let (_dir, store) = quick();
    let fake = Fake::new();
    let base = gzip(tar().file("base", "base"));
    fake.image("1", &architecture(), std::slice::from_ref(&base));
    let name = fake.name("app:1");
    let first = pull(&store, &name).unwrap();
    assert_eq!(pull(&store, &name).unwrap(), first);
    assert_eq!((fake.requests("GET"), fake.requests("HEAD")), (3, 1));
    fake.image("1", &architecture(), &[base.clone(), gzip(tar().file("new", "new"))]);
    let second = pull(&store, &name).unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(fake.requests(Digest::of(&base.0).as_str()), 1);
    assert_eq!(store.find(&named(&name)).unwrap().unwrap().id, second.id);
    assert!(store.find(&named(&first.id)).unwrap().unwrap().names.is_empty());
}

#[test]
fn a_missing_or_damaged_layer_is_repaired_by_the_next_pull() {
    ::tests::need_root!();
    let (_dir, store) = quick();
    let fake = Fake::new();
    let layer = gzip(tar().file("a", "a"));
    fake.image("1", &architecture(), std::slice::from_ref(&layer));
    let name = fake.name("app:1");
    let image = pull(&store, &name).unwrap();
    let diff_id = Digest::of(&layer.1);
    std::fs::remove_dir_all(store.layer_dir(&diff_id)).unwrap();
    assert_eq!(pull(&store, &name).unwrap(), image);
    assert_eq!(fake.requests(Digest::of(&layer.0).as_str()), 1, "unpacked from the blob that is here");
    std::fs::remove_dir_all(store.layer_dir(&diff_id)).unwrap();
    std::fs::write(store.blob_path(&Digest::of(&layer.0)), "rotten").unwrap();
    assert_eq!(pull(&store, &name).unwrap(), image);
    assert_eq!(fake.requests(Digest::of(&layer.0).as_str()), 2);
    assert_eq!(store.read_file(&image, "a", 10).unwrap().as_deref(), Some("a"));
}

#[test]
fn pulls_of_the_same_image_at_once_fetch_each_layer_once() {
    ::tests::need_root!();
    let (_dir, store) = quick();
    let fake = Fake::new();
    let layers: Vec<_> = (0..6).map(|i| gzip(large().file("n", &i.to_string()))).collect();
    fake.image("1", &architecture(), &layers);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let store = ImageStore::open(store.dir()).unwrap();
            let name = fake.name("app:1");
            scope.spawn(move || pull(&store, &name).unwrap());
        }
    });
    for (blob, _) in &layers {
        assert_eq!(fake.requests(Digest::of(blob).as_str()), 1);
    }
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn a_prune_in_the_middle_of_a_pull_does_not_break_it() {
    ::tests::need_root!();
    let (_dir, store) = quick();
    let pruning = ImageStore::open(store.dir()).unwrap();
    let fake = Fake::with(move |request, before, usual| {
        // When the second layer is requested for the first time, a prune removes what has been added.
        if request.path.contains("/blobs/") && before == 0 && usual.body.len() > 10_000 {
            pruning.prune(true, &|_| Vec::new()).unwrap();
        }
        None
    });
    fake.image("1", &architecture(), &[gzip(tar().file("a", "a")), gzip(large())]);
    let image = pull(&store, &fake.name("app:1")).unwrap();
    assert_eq!(store.read_file(&image, "a", 10).unwrap().as_deref(), Some("a"));
}

mod real {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Debian's docker-registry on a free port.
    struct RealRegistry {
        child: Child,
        address: String,
        _dir: tempfile::TempDir,
    }

    impl RealRegistry {
        fn start() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let config = json!({
                "version": "0.1", "log": {"level": "info"},
                "storage": {"filesystem": {"rootdirectory": dir.path().join("data")}},
                "http": {"addr": "127.0.0.1:0"},
            });
            let file = dir.path().join("config.yml");
            std::fs::write(&file, config.to_string()).unwrap();
            let mut child = Command::new("docker-registry")
                .arg("serve")
                .arg(file)
                .stderr(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .expect("docker-registry is needed: apt-get install docker-registry");
            let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
            let address = lines
                .find_map(|line| {
                    let line = line.unwrap();
                    let at = line.find("listening on ")? + "listening on ".len();
                    Some(line[at..].split(['"', ',', ' ']).next()?.to_owned())
                })
                .expect("the registry ended");
            std::thread::spawn(move || lines.for_each(drop));
            Self { child, address, _dir: dir }
        }

        fn http(&self, method: &str, path: &str, media_type: &str, body: &[u8]) -> BTreeMap<String, String> {
            let mut stream = TcpStream::connect(&self.address).unwrap();
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
                self.address,
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body).unwrap();
            let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
            let status = lines.next().unwrap();
            assert!(status.contains(" 20"), "{method} {path}: {status}");
            lines.map_while(|l| l.split_once(": ").map(|(k, v)| (k.to_lowercase(), v.to_owned()))).collect()
        }

        fn push(&self, repository: &str, fake: &Fake) {
            let content = fake.content.lock().unwrap();
            for (digest, blob) in &content.blobs {
                let started =
                    self.http("POST", &format!("/v2/{repository}/blobs/uploads/"), "text/plain", b"");
                let location = started["location"].split_once("/v2/").unwrap().1;
                self.http(
                    "PUT",
                    &format!("/v2/{location}&digest={digest}"),
                    "application/octet-stream",
                    blob,
                );
            }
            for (version, (media_type, bytes)) in &content.manifests {
                self.http("PUT", &format!("/v2/{repository}/manifests/{version}"), media_type, bytes);
            }
        }
    }

    impl Drop for RealRegistry {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    fn debians_registry_is_pulled_from_by_tag_and_digest() {
        let registry = RealRegistry::start();
        let fake = Fake::new();
        let manifest = fake.image(
            "1.0",
            &architecture(),
            &[gzip(tar().file("a", "low")), zstd(tar().file("b", "high"))],
        );
        registry.push("team/app", &fake);
        let (_dir, store) = quick();
        let image = pull(&store, &format!("{}/team/app:1.0", registry.address)).unwrap();
        assert_eq!(store.read_file(&image, "b", 10).unwrap().as_deref(), Some("high"));
        let name = format!("{}/team/app@{}", registry.address, manifest["digest"].as_str().unwrap());
        let again = pull(&store, &name).unwrap();
        assert_eq!(again.id, image.id);
        let text = pull(&store, &format!("{}/team/app:2", registry.address)).unwrap_err().to_string();
        assert!(text.contains("no such image"), "{text}");
    }
}
