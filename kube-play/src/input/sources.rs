//! Reads manifests from files, folders, stdin and URLs.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use pod_core::manifest::{MAX_SOURCE, ReadError, Source, read_sources, source};

use crate::output::exit::Failure;

/// Reads every source that is named, in the given order, and the files of a folder in the order of their names.
///
/// # Errors
/// A source does not exist (4), is not text (3) or cannot be read (1).
pub fn read(names: &[String]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for name in names {
        if is_url(name) {
            sources.push(fetch(name)?);
        } else {
            sources.extend(read_sources(name).map_err(failure)?);
        }
    }
    Ok(sources)
}

fn failure(error: ReadError) -> anyhow::Error {
    let message = error.to_string();
    match error {
        ReadError::Io { path, error } if error.kind() == std::io::ErrorKind::NotFound => {
            let name = path.display().to_string();
            let failure = Failure::not_found(format!("{name}: no such file or folder"));
            // `--wait ready` instead of `--wait=ready`: clap takes the value for a file.
            if name == "ready" || name == "complete" {
                failure.hint(format!("--wait takes its value after an equals sign: --wait={name}"))
            } else {
                failure
            }
        }
        ReadError::Io { .. } => Failure::failed(message),
        ReadError::NoManifests { .. } => {
            Failure::not_found(message).hint("kube does not read the folders in it: name them too")
        }
        ReadError::TooLong { .. } | ReadError::NotUtf8 { .. } => Failure::invalid(message),
    }
    .into()
}

/// Returns whether `name` is a URL, which is fetched, and not a file, which is opened.
pub fn is_url(name: &str) -> bool {
    name.starts_with("http://") || name.starts_with("https://")
}

/// Returns whether the file's name has an extension of manifests.
pub fn is_manifest_name(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json")
}

/// Fetches a manifest. TLS and the async runtime are set up only here, because few commands are given a URL.
fn fetch(url: &str) -> anyhow::Result<Source> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bytes = runtime.block_on(download(url)).with_context(|| format!("fetch {url}"))?;
    source(url.to_owned(), std::env::current_dir()?, bytes).map_err(failure)
}

async fn download(url: &str) -> anyhow::Result<Vec<u8>> {
    // The call fails if a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .user_agent(concat!("kube/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(30))
        .build()?;
    let mut response = client.get(url).send().await.map_err(reqwest::Error::without_url)?;
    match response.status() {
        status if status.is_success() => {}
        status if status == 404 || status == 410 => {
            return Err(Failure::not_found(format!("the server answers {status}")).into());
        }
        status => anyhow::bail!("the server answers {status}"),
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > MAX_SOURCE {
            break;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};

    use super::*;

    #[test]
    fn a_folder_without_manifests_and_a_missing_file_are_not_found() {
        let dir = tempfile::tempdir().unwrap();
        for name in [dir.path().to_owned(), dir.path().join("missing.yaml")] {
            let error = read(&[name.display().to_string()]).unwrap_err();
            assert_eq!(error.downcast_ref::<Failure>().unwrap().code, crate::output::exit::NOT_FOUND);
        }
    }

    /// Answers one request and ends.
    fn serve(answer: &'static str) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/web.yaml", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            stream.write_all(answer.as_bytes()).unwrap();
        });
        url
    }

    #[test]
    fn a_url_is_fetched() {
        let url = serve("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\na: b\n");
        let sources = read(std::slice::from_ref(&url)).unwrap();
        assert_eq!(sources[0].text, "a: b\n");
        assert_eq!(sources[0].name, url);
    }

    #[test]
    fn a_url_that_leads_nowhere_is_not_found() {
        let url = serve("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let error = read(&[url]).unwrap_err();
        let failure = error.chain().find_map(|cause| cause.downcast_ref::<Failure>()).unwrap();
        assert_eq!(failure.code, crate::output::exit::NOT_FOUND);
    }
}
