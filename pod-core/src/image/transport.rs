//! Sends one request to a registry, with proxies, redirects and a minimum speed of the answer.

use std::error::Error as _;
use std::sync::Once;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode, Url};

use super::proxies::Proxies;
use super::redirects::{Refusal, Secret, follow, host};

/// Time limits of a pull. Without them a registry could keep a pull (and the layers that it locks) busy for ever by
/// sending one byte at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeLimits {
    /// Time limit of the whole pull. Complete layers are kept, so that the next pull continues from there.
    pub total: Duration,
    /// In each interval of this length an answer must bring `least` bytes; otherwise it counts as broken off.
    pub window: Duration,
    /// Minimum number of bytes per `window`.
    pub least: u64,
}

impl Default for TimeLimits {
    /// Enough for 20 GB through a line of 12 Mbit/s, and about 1 KiB/s.
    fn default() -> Self {
        Self { total: Duration::from_hours(4), window: Duration::from_mins(1), least: 64 << 10 }
    }
}

/// A request.
pub(super) struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    /// The `Authorization` header, sent only as long as redirects stay with the origin of `url`.
    pub authorization: Option<HeaderValue>,
    /// A form with an identity token, sent as the body.
    pub form: Option<String>,
}

impl Request {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), authorization: None, form: None }
    }

    fn secret(&self) -> Secret {
        match (&self.form, &self.authorization) {
            (Some(_), _) => Secret::IdentityToken,
            (None, Some(_)) => Secret::Authorization,
            (None, None) => Secret::None,
        }
    }
}

/// The answer after all redirects.
pub(super) struct Answer {
    pub response: Response,
    /// Whether no redirect left the origin of the request. Only then a challenge in the answer is the registry's own.
    pub own: bool,
}

impl Answer {
    /// Returns `host[:port]` of the server that answered.
    pub(super) fn host(&self) -> String {
        host(self.response.url())
    }
}

/// Why a request got no answer.
#[derive(Debug)]
pub(super) enum SendError {
    Transport(reqwest::Error),
    Redirect(Refusal),
}

/// Creates a client for a registry; one on this machine (`loopback`) needs neither a proxy nor certificates.
pub(super) fn client(loopback: bool) -> Result<Client, reqwest::Error> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Fails if a provider is installed already, which is fine too.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let mut builder = Client::builder()
        .user_agent(concat!("kube-play/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(20))
        .read_timeout(Duration::from_mins(1))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if loopback {
        builder = builder.tls_certs_only([]);
    } else {
        let proxies = Proxies::from_env(|name| std::env::var(name).ok());
        builder = builder.proxy(reqwest::Proxy::custom(move |url| proxies.of(url)));
    }
    builder.build()
}

/// Sends a request and follows redirects as [`follow`] permits.
pub(super) async fn send(client: &Client, request: Request) -> Result<Answer, SendError> {
    let secret = request.secret();
    let mut path = vec![request.url.clone()];
    let (mut url, mut own) = (request.url, true);
    loop {
        let mut sent = client.request(request.method.clone(), url.clone()).headers(request.headers.clone());
        if let Some(value) = request.authorization.as_ref().filter(|_| own) {
            sent = sent.header(AUTHORIZATION, value.clone());
        }
        if let Some(form) = &request.form {
            sent = sent.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.clone());
        }
        let response = sent.send().await.map_err(SendError::Transport)?;
        let redirected = matches!(
            response.status(),
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT
        );
        if !redirected {
            return Ok(Answer { response, own });
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let hop = location.ok_or(Refusal::Nowhere).and_then(|location| follow(&path, location, secret));
        let hop = hop.map_err(SendError::Redirect)?;
        (url, own) = (hop.url, hop.own);
        path.push(url.clone());
    }
}

/// Why the rest of an answer is missing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Interrupted {
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// The answer was slower than the minimum speed.
    #[error("too slow: {bytes} bytes in {seconds} seconds")]
    TooSlow {
        /// Bytes that were received.
        bytes: u64,
        /// Length of the interval in seconds.
        seconds: f32,
    },
}

/// Measures the speed of an answer. Only waiting for the network counts, not the time to process the bytes.
pub(super) struct Meter<'a> {
    limits: &'a TimeLimits,
    waited: Duration,
    bytes: u64,
}

impl<'a> Meter<'a> {
    pub(super) fn new(limits: &'a TimeLimits) -> Self {
        Self { limits, waited: Duration::ZERO, bytes: 0 }
    }

    /// Returns the next part of an answer; `None` at its end, an error if it breaks off or is too slow.
    pub(super) async fn next<B: AsRef<[u8]>>(
        &mut self,
        body: &mut (impl Stream<Item = Result<B, reqwest::Error>> + Unpin),
    ) -> Option<Result<B, Interrupted>> {
        loop {
            let begun = Instant::now();
            let left = self.limits.window.saturating_sub(self.waited);
            let part = tokio::time::timeout(left, body.next()).await;
            self.waited += begun.elapsed();
            let part = match part {
                Ok(None) => return None,
                Ok(Some(Err(error))) => return Some(Err(Interrupted::Broken(explain(&error)))),
                Ok(Some(Ok(part))) => {
                    self.bytes += part.as_ref().len() as u64;
                    Some(part)
                }
                Err(_) => None,
            };
            if self.waited >= self.limits.window {
                if self.bytes < self.limits.least {
                    let (bytes, seconds) = (self.bytes, self.limits.window.as_secs_f32());
                    return Some(Err(Interrupted::TooSlow { bytes, seconds }));
                }
                (self.waited, self.bytes) = (Duration::ZERO, 0);
            }
            if let Some(part) = part {
                return Some(Ok(part));
            }
        }
    }
}

/// Returns the last cause of an error, because those before it only name the software layer that noticed it. Never the
/// error's own text, because URLs may contain signatures.
pub(super) fn explain(error: &reqwest::Error) -> String {
    let mut last: Option<&dyn std::error::Error> = None;
    let mut next = error.source();
    while let Some(cause) = next {
        last = Some(cause);
        next = cause.source();
    }
    match last {
        Some(cause) => cause.to_string(),
        None if error.is_timeout() => "it did not answer in time".to_owned(),
        None => "the connection failed".to_owned(),
    }
}
