//! Registries on loopback: Debian's docker-registry, and a proxy in front of it that misbehaves on demand.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::http::{self, Answer, Request, Response};
use crate::port::{HostPort, host_port};

/// A docker-registry process. It is ended when this value is dropped.
pub struct Registry {
    child: Child,
    port: HostPort,
    authorization: Option<String>,
}

/// A layer to push.
pub struct Layer {
    /// `application/vnd.oci.image.layer.v1.tar+gzip`, ...
    pub media_type: String,
    /// The bytes that are transferred.
    pub blob: Vec<u8>,
    /// The uncompressed tar archive.
    pub tar: Vec<u8>,
}

impl Layer {
    /// Returns a layer that is transferred without compression.
    pub fn plain(tar: Vec<u8>) -> Self {
        Self { media_type: "application/vnd.oci.image.layer.v1.tar".into(), blob: tar.clone(), tar }
    }
    /// Returns a layer compressed by a program that reads stdin: gzip, zstd.
    pub fn packed(tar: Vec<u8>, media_type: &str, program: &[&str]) -> Self {
        let blob = filter(program, &tar);
        Self { media_type: media_type.into(), blob, tar }
    }
    /// Returns a layer compressed by gzip, as in most images.
    pub fn gzip(tar: Vec<u8>) -> Self {
        Self::packed(tar, "application/vnd.oci.image.layer.v1.tar+gzip", &["gzip", "-1n"])
    }
}

fn filter(program: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}", program[0]));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// Returns the digest of bytes, `sha256:...`.
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

impl Registry {
    /// Starts a registry on a free port, with its files below `dir`.
    pub fn start(dir: &Path) -> Self {
        Self::start_with(dir, "", None)
    }

    /// Starts a registry that requires user `kube` with password `secret`.
    pub fn with_password(dir: &Path) -> Self {
        let file = dir.join("registry-htpasswd");
        // bcrypt of "secret".
        std::fs::write(&file, include_str!("htpasswd")).unwrap();
        let auth = format!("auth:\n  htpasswd: {{realm: kube, path: {}}}\n", file.display());
        Self::start_with(dir, &auth, Some("Basic a3ViZTpzZWNyZXQ=".into()))
    }

    fn start_with(dir: &Path, more: &str, authorization: Option<String>) -> Self {
        let port = host_port();
        let storage = dir.join(format!("registry-{port}"));
        let config = dir.join(format!("registry-{port}.yaml"));
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  \
             delete: {{enabled: true}}\nhttp:\n  addr: 127.0.0.1:{port}\n{more}",
            storage.display()
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("docker-registry: {e} (apt-get install docker-registry)"));
        let registry = Self { child, port, authorization };
        // The registry does not report that it listens, so a refused connection is tried again.
        let deadline = std::time::Instant::now() + crate::limit(20);
        while std::net::TcpStream::connect(registry.address()).is_err() {
            assert!(std::time::Instant::now() < deadline, "docker-registry does not listen");
            std::thread::yield_now();
        }
        registry
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port.number))
    }

    /// Returns `127.0.0.1:PORT/NAME`.
    pub fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.address())
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut headers = headers.to_vec();
        if let Some(authorization) = &self.authorization {
            headers.push(("Authorization", authorization));
        }
        http::request(self.address(), method, path, &headers, body)
            .unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// Pushes a blob and returns its digest.
    pub fn push_blob(&self, repository: &str, blob: &[u8]) -> String {
        let digest = digest(blob);
        let begun = self.send("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"");
        assert_eq!(begun.status, 202, "{begun:?}");
        let location = begun.header("location").unwrap();
        let path = location.find("/v2/").map(|at| &location[at..]).unwrap();
        let joint = if path.contains('?') { '&' } else { '?' };
        let put = format!("{path}{joint}digest={digest}");
        let done = self.send("PUT", &put, &[("Content-Type", "application/octet-stream")], blob);
        assert_eq!(done.status, 201, "{done:?}");
        digest
    }

    /// Pushes a manifest under a tag or digest and returns its digest.
    pub fn push_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        manifest: &Value,
    ) -> String {
        let bytes = serde_json::to_vec(manifest).unwrap();
        let path = format!("/v2/{repository}/manifests/{reference}");
        let done = self.send("PUT", &path, &[("Content-Type", media_type)], &bytes);
        assert_eq!(done.status, 201, "{done:?}");
        digest(&bytes)
    }

    /// Pushes an OCI image and returns the digest of its manifest.
    pub fn push(&self, repository: &str, tag: &str, layers: &[Layer], config: &Value) -> String {
        let manifest = self.push_parts(repository, layers, config, "amd64");
        self.push_manifest(repository, tag, "application/vnd.oci.image.manifest.v1+json", &manifest)
    }

    /// Pushes config and layers and returns the OCI manifest for them.
    pub fn push_parts(
        &self,
        repository: &str,
        layers: &[Layer],
        config: &Value,
        architecture: &str,
    ) -> Value {
        let diff_ids: Vec<_> = layers.iter().map(|l| digest(&l.tar)).collect();
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [],
        });
        let config = serde_json::to_vec(&config).unwrap();
        let config_digest = self.push_blob(repository, &config);
        let layers: Vec<_> = layers
            .iter()
            .map(|l| {
                json!({
                    "mediaType": l.media_type,
                    "digest": self.push_blob(repository, &l.blob),
                    "size": l.blob.len(),
                })
            })
            .collect();
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config_digest,
                "size": config.len(),
            },
            "layers": layers,
        })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A proxy in front of a registry. It keeps a list of requests, and the test can change its answers.
pub struct Proxy {
    /// The address on which it listens.
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Proxy {
    /// Starts a proxy. `spoil` may change every answer; its number is how many requests for the same method and path
    /// came before.
    pub fn start(
        registry: &Registry,
        spoil: impl Fn(&Request, usize, Answer) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let upstream = registry.address();
        let log = Arc::new(Mutex::new(Vec::<Request>::new()));
        let seen = Arc::clone(&log);
        let address = http::serve(move |request| {
            let before = {
                let mut log = seen.lock().unwrap();
                let same = |r: &&Request| r.method == request.method && r.path == request.path;
                let before = log.iter().filter(same).count();
                log.push(request.clone());
                before
            };
            let pass = ["accept", "range", "authorization"];
            let headers: Vec<_> = request
                .headers
                .iter()
                .filter(|(n, _)| pass.contains(&n.as_str()))
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            let response = http::request(upstream, &request.method, &request.path, &headers, b"")
                .unwrap_or(Response { status: 502, headers: Vec::new(), body: Vec::new() });
            spoil(request, before, Answer { response, cut_after: None })
        });
        Self { address, log }
    }

    /// Returns `127.0.0.1:PORT/NAME`.
    pub fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Returns the requests so far whose path contains `text`.
    pub fn requests(&self, text: &str) -> Vec<Request> {
        self.log.lock().unwrap().iter().filter(|r| r.path.contains(text)).cloned().collect()
    }
}
