//! Pulls from a real registry on loopback.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tests::http::{Answer, Response};
use tests::image::{Entry, busybox_tar, tar};
use tests::registry::{Layer, Proxy, Registry};
use tests::{IDLE, Kube, pod};

fn busybox() -> Vec<u8> {
    std::fs::read(busybox_tar()).unwrap()
}

fn config() -> Value {
    json!({"Cmd": ["sh"], "Env": ["PATH=/bin", "FROM=registry"]})
}

fn pod_of(image: &str) -> String {
    pod("web", IDLE, "").replace("localhost/busybox:1", image)
}

#[test]
fn play_pulls_what_is_missing() {
    let kube = Kube::empty();
    let registry = Registry::start(kube.dir());
    registry.push(
        "app",
        "1",
        &[Layer::gzip(busybox()), Layer::gzip(tar(&[Entry::File("etc/layer2", 0o644, b"two")]))],
        &config(),
    );
    kube.play(&pod_of(&registry.name("app:1")));
    assert_eq!(kube.sh("web", "echo $FROM; cat /etc/layer2"), "registry\ntwo");
    let status = kube.container("web", "main");
    assert!(status["imageID"].as_str().unwrap().contains("sha256:"), "{status:#}");
}

#[test]
fn generate_pins_what_was_pulled() {
    let kube = Kube::empty();
    let registry = Registry::start(kube.dir());
    registry.push("app", "1", &[Layer::gzip(busybox())], &config());
    let image = registry.name("app:1");
    kube.play(&pod_of(&image));
    let yaml = kube.ok(&["generate", "web"]).stdout;
    assert!(yaml.contains(&format!("image: {image}\n")), "{yaml}");
    let pinned = kube.ok(&["generate", "web", "--pin-images"]).stdout;
    let digest =
        pinned.split_once(&format!("image: {image}@sha256:")).unwrap_or_else(|| panic!("{pinned}")).1;
    assert!(digest.split('\n').next().unwrap().len() == 64, "{pinned}");
    // The tag now names another image; the pinned digest is pulled unchanged.
    let newer = tar(&[Entry::File("etc/newer", 0o644, b"newer")]);
    registry.push("app", "1", &[Layer::gzip(busybox()), Layer::gzip(newer)], &config());
    kube.ok(&["down", "pod/web"]);
    kube.ok(&["image", "rm", &image]);
    kube.play(&pinned);
    assert_eq!(kube.sh("web", "ls /etc/newer 2>/dev/null; echo $FROM"), "registry\n");
}

#[test]
fn layers_may_be_gzip_zstd_or_plain_and_manifests_docker_or_oci() {
    let kube = Kube::empty();
    let registry = Registry::start(kube.dir());
    let extra = tar(&[Entry::File("etc/extra", 0o644, b"extra")]);
    let zstd = std::process::Command::new("zstd").arg("--version").output().is_ok();
    let mut layers = vec![Layer::gzip(busybox()), Layer::plain(extra.clone())];
    if zstd {
        let more = tar(&[Entry::File("etc/zstd", 0o644, b"zstd")]);
        layers.push(Layer::packed(more, "application/vnd.oci.image.layer.v1.tar+zstd", &["zstd", "-1c"]));
    }
    registry.push("mixed", "1", &layers, &config());
    kube.ok(&["image", "pull", &registry.name("mixed:1")]);
    kube.play(&pod_of(&registry.name("mixed:1")));
    assert_eq!(kube.sh("web", "cat /etc/extra"), "extra");
    if zstd {
        assert_eq!(kube.sh("web", "cat /etc/zstd"), "zstd");
    }
    let mut docker = registry.push_parts("docker", &[Layer::gzip(busybox())], &config(), "amd64");
    docker["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json".into();
    docker["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json".into();
    docker["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip".into();
    registry.push_manifest("docker", "1", "application/vnd.docker.distribution.manifest.v2+json", &docker);
    kube.ok(&["image", "pull", &registry.name("docker:1")]);
}

#[test]
fn an_index_gives_this_machines_image_and_a_digest_pins_it() {
    let kube = Kube::empty();
    let registry = Registry::start(kube.dir());
    let here = registry.push_parts("multi", &[Layer::gzip(busybox())], &config(), "amd64");
    let there = registry.push_parts(
        "multi",
        &[Layer::gzip(tar(&[Entry::File("x", 0o644, b"arm")]))],
        &config(),
        "arm64",
    );
    let media = "application/vnd.oci.image.manifest.v1+json";
    let entry = |manifest: &Value, architecture: &str| {
        let bytes = serde_json::to_vec(manifest).unwrap();
        let digest = tests::registry::digest(&bytes);
        registry.push_manifest("multi", &digest, media, manifest);
        json!({"mediaType": media, "digest": digest, "size": bytes.len(), "platform": {"os": "linux", "architecture": architecture}})
    };
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry(&there, "arm64"), entry(&here, "amd64")],
    });
    let digest = registry.push_manifest("multi", "1", "application/vnd.oci.image.index.v1+json", &index);
    kube.play(&pod_of(&registry.name(&format!("multi@{digest}"))));
    assert_eq!(kube.sh("web", "uname -s"), "Linux\n");
}

#[test]
fn whiteouts_and_opaque_folders_hide_what_lies_below() {
    let kube = Kube::empty();
    let registry = Registry::start(kube.dir());
    let below = tar(&[
        Entry::Dir("d", 0o755),
        Entry::File("d/gone", 0o644, b"1"),
        Entry::File("d/stays", 0o644, b"1"),
        Entry::Dir("o", 0o755),
        Entry::File("o/old", 0o644, b"1"),
    ]);
    let above = tar(&[
        Entry::File("d/.wh.gone", 0o644, b""),
        Entry::File("o/.wh..wh..opq", 0o644, b""),
        Entry::File("o/new", 0o644, b"1"),
    ]);
    registry.push("wh", "1", &[Layer::gzip(busybox()), Layer::gzip(below), Layer::gzip(above)], &config());
    kube.play(&pod_of(&registry.name("wh:1")));
    assert_eq!(kube.sh("web", "ls -A /d /o"), "/d:\nstays\n\n/o:\nnew\n");
}

#[test]
fn a_broken_transfer_resumes() {
    let kube = Kube::empty();
    let registry = Registry::start(kube.dir());
    let layer = Layer::gzip(busybox());
    let (digest, size) = (tests::registry::digest(&layer.blob), layer.blob.len());
    registry.push("app", "1", &[layer], &config());
    let wanted = digest.clone();
    let proxy = Proxy::start(&registry, move |request, before, mut answer| {
        if request.path.ends_with(&wanted) && before < 2 {
            answer.cut_after = Some(size / 4);
        }
        answer
    });
    kube.ok(&["image", "pull", &proxy.name("app:1")]);
    let requests = proxy.requests(&digest);
    assert!(requests.iter().any(|r| r.header("range").is_some()), "{requests:#?}");
}

#[test]
fn a_registry_that_is_busy_is_asked_again() {
    let kube = Kube::empty();
    let registry = Registry::start(kube.dir());
    registry.push("app", "1", &[Layer::gzip(busybox())], &config());
    let proxy = Proxy::start(&registry, |_, before, mut answer| {
        if before == 0 {
            answer.response.status = 503;
            answer.response.body.clear();
            answer.response.headers.clear();
        }
        answer
    });
    kube.ok(&["image", "pull", &proxy.name("app:1")]);
}

#[test]
fn a_blob_that_is_not_what_its_digest_says_is_refused() {
    let kube = Kube::empty();
    let registry = Registry::start(kube.dir());
    let layer = Layer::gzip(busybox());
    let digest = tests::registry::digest(&layer.blob);
    registry.push("app", "1", &[layer], &config());
    let proxy = Proxy::start(&registry, move |request, _, mut answer| {
        if request.path.ends_with(&digest) && !answer.response.body.is_empty() {
            let middle = answer.response.body.len() / 2;
            answer.response.body[middle] ^= 1;
        }
        answer
    });
    let output = kube.run(&["image", "pull", &proxy.name("app:1")]).expect(1);
    assert!(output.stderr.to_lowercase().contains("digest") || output.stderr.contains("sha256"), "{output}");
    assert_eq!(kube.ok(&["image", "ls", "-o", "name"]).stdout, "");
}

/// Plays from a registry whose answers `spoil` changes. The play must fail, say `why` and leave nothing, and must
/// work once the answers are right.
fn play_fails(
    why: &str,
    spoil: impl Fn(&tests::http::Request, tests::http::Answer) -> tests::http::Answer + Send + Sync + 'static,
) {
    let kube = Kube::empty();
    let elsewhere = tempfile::tempdir().unwrap();
    let registry = Registry::start(elsewhere.path());
    let second = Layer::gzip(tar(&[Entry::File("etc/second", 0o644, b"two")]));
    registry.push("app", "1", &[Layer::gzip(busybox()), second], &config());
    let well = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_well = std::sync::Arc::clone(&well);
    let proxy = Proxy::start(&registry, move |request, _, answer| {
        if is_well.load(std::sync::atomic::Ordering::Relaxed) { answer } else { spoil(request, answer) }
    });
    let file = kube.manifest(&pod_of(&proxy.name("app:1")));
    let output = kube.run(&["play", &file]).expect(1).complains("app:1").complains(why);
    assert_eq!(output.stderr.lines().filter(|line| line.starts_with("error:")).count(), 1, "{output}");
    assert_eq!(kube.pods().len(), 0);
    let left = kube.not_as_before();
    assert!(left.is_empty(), "left behind: {left:#?}");
    well.store(true, std::sync::atomic::Ordering::Relaxed);
    kube.ok(&["play", &file]);
    assert_eq!(kube.sh("web", "cat /etc/second"), "two");
}

#[test]
fn a_registry_that_fails_at_every_blob_is_told() {
    play_fails("500", |request, mut answer| {
        if request.path.contains("/blobs/") {
            answer.response.status = 500;
            answer.response.headers.clear();
            answer.response.body = b"broken".to_vec();
        }
        answer
    });
}

#[test]
fn blobs_that_are_always_cut_short_are_told() {
    play_fails("", |request, mut answer| {
        if request.path.contains("/blobs/") {
            answer.cut_after = Some(answer.response.body.len() / 2);
        }
        answer
    });
}

#[test]
fn a_blob_that_is_shorter_than_it_says_is_told() {
    play_fails("", |request, mut answer| {
        if request.path.contains("/blobs/") {
            let half = answer.response.body.len() / 2;
            answer.response.body.truncate(half);
            answer.response.headers.retain(|(name, _)| name != "content-length");
        }
        answer
    });
}

#[test]
fn a_registry_that_is_killed_during_a_pull_is_told() {
    let kube = Kube::empty();
    let elsewhere = tempfile::tempdir().unwrap();
    let registry = Registry::start(elsewhere.path());
    registry.push("app", "1", &[Layer::gzip(busybox())], &config());
    let registry = std::sync::Arc::new(std::sync::Mutex::new(Some(registry)));
    let victim = std::sync::Arc::clone(&registry);
    let proxy = Proxy::start(registry.lock().unwrap().as_ref().unwrap(), move |request, _, mut answer| {
        if request.path.contains("/blobs/") && answer.response.body.len() > 100_000 {
            victim.lock().unwrap().take();
            answer.cut_after = Some(50_000);
        }
        answer
    });
    let file = kube.manifest(&pod_of(&proxy.name("app:1")));
    kube.run(&["play", &file]).expect(1).complains("app:1");
    assert!(registry.lock().unwrap().is_none());
    assert_eq!(kube.pods().len(), 0);
    let left = kube.not_as_before();
    assert!(left.is_empty(), "left behind: {left:#?}");
}

#[test]
fn a_layer_that_is_not_its_diff_id_is_refused() {
    let kube = Kube::empty();
    let registry = Registry::start(kube.dir());
    let other = Layer { tar: tar(&[Entry::File("x", 0o644, b"another")]), ..Layer::gzip(busybox()) };
    registry.push("app", "1", &[other], &config());
    kube.run(&["image", "pull", &registry.name("app:1")]).expect(1);
    assert_eq!(kube.ok(&["image", "ls", "-o", "name"]).stdout, "");
}

#[test]
fn credentials_come_from_the_files_of_podman_and_docker() {
    let kube = Kube::empty();
    let registry = Registry::with_password(kube.dir());
    registry.push("app", "1", &[Layer::gzip(busybox())], &config());
    let image = registry.name("app:1");
    let output = kube.run(&["image", "pull", &image]).expect(1);
    assert!(output.stderr.to_lowercase().contains("auth"), "{output}");
    let auth = json!({"auths": {registry.address().to_string(): {"auth": "a3ViZTpzZWNyZXQ="}}}).to_string();
    let file = kube.file("auth.json", &auth);
    let mut command = kube.command(&["image", "pull", &image]);
    kube.run_command(command.env("REGISTRY_AUTH_FILE", file), None).expect(0);
    kube.ok(&["image", "rm", &image]);
    kube.file("home/.docker/config.json", &auth);
    kube.ok(&["image", "pull", &image]);
}

#[test]
fn image_pull_secrets_are_used() {
    let kube = Kube::empty();
    let registry = Registry::with_password(kube.dir());
    registry.push("app", "1", &[Layer::gzip(busybox())], &config());
    let auth = json!({"auths": {registry.address().to_string(): {"username": "kube", "password": "secret"}}})
        .to_string();
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: pull}}\ntype: kubernetes.io/dockerconfigjson\nstringData:\n  .dockerconfigjson: {}\n---\n",
        serde_json::to_string(&auth).unwrap()
    );
    let yaml =
        pod_of(&registry.name("app:1")).replace("spec:\n", "spec:\n  imagePullSecrets: [{name: pull}]\n");
    kube.play(&(secret + &yaml));
    assert_eq!(kube.sh("web", "echo $FROM"), "registry\n");
}

#[test]
fn pull_policies() {
    let kube = Kube::empty();
    let registry = Registry::start(kube.dir());
    let push = |text: &str| {
        registry.push(
            "app",
            "latest",
            &[Layer::gzip(busybox()), Layer::gzip(tar(&[Entry::File("etc/v", 0o644, text.as_bytes())]))],
            &config(),
        )
    };
    push("one");
    let image = registry.name("app");
    let played = |policy: &str| {
        let yaml = pod_of(&image).replace("    command:", &format!("{policy}    command:"));
        kube.play(&yaml);
        let version = kube.sh("web", "cat /etc/v");
        kube.ok(&["down", "pod/web"]);
        version
    };
    assert_eq!(played(""), "one");
    push("two");
    assert_eq!(played("    imagePullPolicy: IfNotPresent\n"), "one");
    assert_eq!(played("    imagePullPolicy: Never\n"), "one");
    // No tag means :latest, for which the registry is always asked.
    assert_eq!(played(""), "two");
}

#[test]
fn a_local_image_runs_without_a_registry_unless_always_is_given() {
    let kube = Kube::empty();
    let tar = busybox_tar();
    // No registry runs on this free port.
    let absent = format!("127.0.0.1:{}/app:latest", tests::host_port());
    let registry = Registry::start(kube.dir());
    let unknown = registry.name("app");
    for name in ["localhost/app:latest", "localhost/app", absent.as_str(), unknown.as_str()] {
        kube.ok(&["image", "import", tar.to_str().unwrap(), name, "--cmd", "sh"]);
        let with = |policy: &str| pod_of(name).replace("    command:", &format!("{policy}    command:"));
        for policy in ["", "    imagePullPolicy: IfNotPresent\n", "    imagePullPolicy: Never\n"] {
            let output = kube.try_play(&with(policy), &[]).expect(0);
            let asked = policy.is_empty() && !name.starts_with("localhost/");
            assert_eq!(
                output.stderr.contains("is used (imagePullPolicy: IfNotPresent"),
                asked,
                "{name} {policy}: {output}"
            );
            kube.ok(&["down", "pod/web"]);
        }
        let refused = kube.try_play(&with("    imagePullPolicy: Always\n"), &[]).expect(1);
        assert!(refused.stderr.contains("is here, but imagePullPolicy is Always"), "{refused}");
        assert!(refused.stderr.contains("write imagePullPolicy: IfNotPresent"), "{refused}");
        // The flag has the same effect.
        kube.try_play(&with(""), &["--pull", "always"]).expect(1).complains("imagePullPolicy is Always");
        assert_eq!(kube.pods().len(), 0);
        kube.ok(&["image", "rm", name]);
    }
    for policy in ["", "    imagePullPolicy: Always\n"] {
        let yaml = pod_of("localhost/app:latest").replace("    command:", &format!("{policy}    command:"));
        let refused = kube.try_play(&yaml, &[]).expect(1);
        assert!(refused.stderr.contains("localhost/app:latest is in no registry"), "{refused}");
        assert!(refused.stderr.contains("kube image load"), "{refused}");
    }
}

#[test]
fn a_redirect_target_that_asks_for_the_password_is_not_given_it() {
    let kube = Kube::empty();
    let registry = Registry::with_password(kube.dir());
    registry.push("app", "1", &[Layer::gzip(busybox())], &config());
    let stolen = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&stolen);
    let thief = tests::http::serve(move |request| {
        seen.lock().unwrap().extend(request.header("authorization").map(str::to_owned));
        let challenge = ("www-authenticate".to_owned(), "Basic realm=x".to_owned());
        let body = br#"{"errors":[{"code":"X","message":"log in\nerror: forged"}]}"#.to_vec();
        Answer { response: Response { status: 401, headers: vec![challenge], body }, cut_after: None }
    });
    let proxy = Proxy::start(&registry, move |request, _, answer| {
        if !request.path.contains("/blobs/") || answer.response.status != 200 {
            return answer;
        }
        let location = ("location".to_owned(), format!("http://{thief}{}", request.path));
        Answer {
            response: Response { status: 307, headers: vec![location], body: Vec::new() },
            cut_after: None,
        }
    });
    let auth = kube.dir().join("auth.json");
    let entry = json!({"auths": {proxy.address.to_string(): {"auth": "a3ViZTpzZWNyZXQ="}}});
    std::fs::write(&auth, entry.to_string()).unwrap();
    let name = proxy.name("app:1");
    let mut command = kube.command(&["image", "pull", &name]);
    let output = kube.run_command(command.env("REGISTRY_AUTH_FILE", &auth), None).expect(1);
    assert!(output.stderr.contains(&format!("it redirects to {thief}, which answers 401")), "{output}");
    assert!(output.stderr.contains("log in\\u{a}error: forged"), "{output}");
    assert!(!output.stderr.lines().any(|line| line.starts_with("error: forged")), "{output}");
    assert_eq!(*stolen.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn an_image_that_is_not_there_is_told() {
    let kube = Kube::empty();
    let registry = Registry::start(kube.dir());
    let image = registry.name("absent:1");
    kube.run(&["image", "pull", &image]).expect(1).complains("absent");
    kube.try_play(&pod_of(&image), &[]).expect(1).complains("absent");
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn layers_in_common_are_fetched_once() {
    let kube = Kube::empty();
    let registry = Registry::start(kube.dir());
    let proxy = Proxy::start(&registry, |_, _, answer| answer);
    let base = Layer::gzip(busybox());
    let digest = tests::registry::digest(&base.blob);
    registry.push("a", "1", &[base], &config());
    registry.push(
        "b",
        "1",
        &[Layer::gzip(busybox()), Layer::gzip(tar(&[Entry::File("b", 0o644, b"b")]))],
        &config(),
    );
    kube.ok(&["image", "pull", &proxy.name("a:1")]);
    kube.ok(&["image", "pull", &proxy.name("b:1")]);
    let fetched = proxy.requests(&digest).iter().filter(|r| r.method == "GET").count();
    assert_eq!(fetched, 1);
}
