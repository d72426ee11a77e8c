//! A scripted registry on loopback, and images for it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

use super::layers::{Member, TarMaker, member};
use super::store::store;
use crate::image::*;

pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
}

#[derive(Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Sends the full length in the header, then only this many bytes, and closes the connection.
    pub(super) cut: Option<usize>,
    /// After that waits until the client closes the connection.
    pub(super) hold: bool,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut: None, hold: false }
    }
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Returns another answer to a request, given how often it was asked before; `None` for the usual one.
type Script = dyn Fn(&Request, usize, &Reply) -> Option<Reply> + Send + Sync;

#[derive(Default)]
pub(super) struct Content {
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
    pub(super) manifests: BTreeMap<String, (String, Vec<u8>)>,
}

/// A registry with given content, whose answers a script can replace.
pub(super) struct Fake {
    pub(super) address: String,
    pub(super) content: Arc<Mutex<Content>>,
    seen: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Fake {
    pub(super) fn new() -> Self {
        Self::with(|_, _, _| None)
    }

    pub(super) fn with(
        script: impl Fn(&Request, usize, &Reply) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap().to_string(),
            content: Arc::default(),
            seen: Arc::default(),
            stop: Arc::default(),
        };
        let script: Arc<Script> = Arc::new(script);
        let (content, seen, stop) = (fake.content.clone(), fake.seen.clone(), fake.stop.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let (content, seen, script) = (content.clone(), seen.clone(), script.clone());
                std::thread::spawn(move || {
                    // A client may close the connection at any time.
                    let _ = serve(&stream.unwrap(), &content, &seen, &*script);
                });
            }
        });
        fake
    }

    pub(super) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    pub(super) fn requests(&self, part: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|r| r.contains(part)).count()
    }

    pub(super) fn blob(&self, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(&bytes).to_string();
        let size = bytes.len();
        self.content.lock().unwrap().blobs.insert(digest.clone(), bytes);
        json!({"mediaType": "application/octet-stream", "digest": digest, "size": size})
    }

    pub(super) fn manifest(&self, version: &str, media_type: &str, manifest: &Value) -> Value {
        let bytes = serde_json::to_vec(manifest).unwrap();
        let digest = Digest::of(&bytes).to_string();
        let size = bytes.len();
        let mut content = self.content.lock().unwrap();
        content.manifests.insert(version.to_owned(), (media_type.to_owned(), bytes.clone()));
        content.manifests.insert(digest.clone(), (media_type.to_owned(), bytes));
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    /// Adds an image of layers, each given as blob and archive.
    pub(super) fn image(&self, version: &str, architecture: &str, layers: &[(Vec<u8>, Vec<u8>)]) -> Value {
        let config = json!({
            "architecture": architecture, "os": "linux", "created": "2026-01-02T03:04:05Z",
            "config": {"Cmd": ["/sh"], "Entrypoint": null, "Env": ["A=b"], "ExposedPorts": {"80/tcp": {}}, "Labels": null},
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|(_, t)| Digest::of(t).to_string()).collect::<Vec<_>>()},
            "history": [{"empty_layer": true}],
        });
        let config = self.blob(serde_json::to_vec(&config).unwrap());
        let layers: Vec<Value> = layers.iter().map(|(blob, _)| self.blob(blob.clone())).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": manifests::DOCKER_MANIFEST, "config": config, "layers": layers});
        self.manifest(version, manifests::DOCKER_MANIFEST, &manifest)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(&self.address);
    }
}

fn serve(
    mut stream: &TcpStream,
    content: &Mutex<Content>,
    seen: &Mutex<Vec<String>>,
    script: &Script,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut words = first.split(' ').map(str::to_owned);
    let mut request = Request {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        headers: BTreeMap::new(),
    };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        request.headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let range = request.headers.get("range").cloned();
    let key = format!("{} {}", request.method, request.path);
    let before = {
        let mut seen = seen.lock().unwrap();
        let before = seen.iter().filter(|s| s.starts_with(&key)).count();
        seen.push(format!("{key} {}", range.as_deref().unwrap_or_default()));
        before
    };
    let usual = {
        let content = content.lock().unwrap();
        let last = request.path.rsplit('/').next().unwrap_or_default();
        let found = if request.path.contains("/blobs/") {
            content.blobs.get(last).map(|b| Reply::new(200, b.clone()))
        } else {
            content.manifests.get(last).map(|(media_type, b)| {
                Reply::new(200, b.clone())
                    .with("Content-Type", media_type)
                    .with("Docker-Content-Digest", Digest::of(b).as_str())
            })
        };
        let from: Option<usize> =
            range.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        match (found, from) {
            (Some(mut reply), Some(from)) => {
                let total = reply.body.len();
                reply.status = 206;
                reply.body.drain(..from.min(total));
                reply.with("Content-Range", &format!("bytes {from}-{}/{total}", total - 1))
            }
            (Some(reply), None) => reply,
            (None, _) => {
                Reply::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#)
            }
        }
    };
    let reply = script(&request, before, &usual).unwrap_or(usual);
    let mut head = format!(
        "HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n",
        reply.status,
        reply.body.len()
    );
    for (name, value) in &reply.headers {
        head.extend([name.as_str(), ": ", value.as_str(), "\r\n"]);
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&reply.body[..reply.cut.unwrap_or(reply.body.len())])?;
    }
    if !reply.hold {
        stream.shutdown(std::net::Shutdown::Write)?;
    }
    // Closing with unread data would reset the connection before the client has read everything.
    stream.read_to_end(&mut Vec::new()).map(|_| ())
}

#[derive(Default)]
pub(super) struct Watched {
    pub(super) total: AtomicU64,
    pub(super) arrived: AtomicU64,
    pub(super) done: AtomicU64,
    pub(super) notes: Mutex<Vec<String>>,
}

impl Progress for Watched {
    fn layer(&self, _digest: &str, total: u64) {
        self.total.fetch_add(total, Ordering::Relaxed);
    }
    fn advance(&self, _digest: &str, bytes: u64) {
        self.arrived.fetch_add(bytes, Ordering::Relaxed);
    }
    fn done(&self, _digest: &str) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
    fn note(&self, message: &str) {
        self.notes.lock().unwrap().push(message.to_owned());
    }
}

pub(super) fn quick() -> (tempfile::TempDir, ImageStore) {
    let (dir, store) = store();
    (dir, store.with_retry_wait(Duration::from_millis(1)))
}

pub(super) fn pull(store: &ImageStore, name: &str) -> Result<Image, Error> {
    store.pull(&Reference::parse(name)?, &PullOptions::default(), &Watched::default())
}

/// Returns the message of a failed pull, with the registry's address replaced by a fixed one.
pub(super) fn message(fake: &Fake, result: Result<Image, Error>) -> String {
    result.unwrap_err().to_string().replace(&fake.address, "REGISTRY")
}

pub(super) fn tar() -> TarMaker {
    TarMaker::default()
}

pub(super) fn plain(archive: TarMaker) -> (Vec<u8>, Vec<u8>) {
    let archive = archive.end();
    (archive.clone(), archive)
}

pub(super) fn gzip(archive: TarMaker) -> (Vec<u8>, Vec<u8>) {
    let archive = archive.end();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&archive).unwrap();
    (encoder.finish().unwrap(), archive)
}

pub(super) fn zstd(archive: TarMaker) -> (Vec<u8>, Vec<u8>) {
    let archive = archive.end();
    (::zstd::encode_all(archive.as_slice(), 1).unwrap(), archive)
}

/// Returns bytes that do not compress.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let step = |s: &mut u64| {
        *s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        s.to_be_bytes()[0]
    };
    (0..length).map(|_| step(&mut state)).collect()
}

pub(super) fn large() -> TarMaker {
    tar().add(Member { data: noise(600_000), ..member(b'0', "large") })
}

pub(super) fn architecture() -> String {
    platforms::this_machine().architecture
}

pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}")))
}

pub(super) fn credential(fake: &Fake, username: &str, password: &str) -> Credential {
    Credential {
        registry: fake.address.clone(),
        username: username.to_owned(),
        password: password.to_owned(),
    }
}
