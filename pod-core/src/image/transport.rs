//! Sends one request to a registry: proxies, redirects, and how slow an answer may be.

use std::error::Error as _;
use std::sync::Once;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode, Url};

use super::proxies::Proxies;
use super::redirects::{Refusal, Secret, follow, host};

/// How long a pull may take. Without these a registry could keep a pull (and the layers that it locks) for ever, one
/// byte at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeLimits {
    /// The whole pull. Layers that are complete stay, so that the next pull goes on from there.
    pub total: Duration,
    /// In what time an answer must bring `least` bytes; else it counts as broken off.
    pub window: Duration,
    /// Bytes in each `window`.
    pub least: u64,
}

impl Default for TimeLimits {
    /// 20 GB through a line of 12 Mbit/s, and about 1 KiB/s.
    fn default() -> Self {
        Self { total: Duration::from_hours(4), window: Duration::from_mins(1), least: 64 << 10 }
    }
}

/// What is sent.
pub(super) struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    /// `Authorization`: goes along only as long as redirects stay with the origin of `url`.
    pub authorization: Option<HeaderValue>,
    /// A form with an identity token.
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

/// What is answered, after all redirects.
pub(super) struct Answer {
    pub response: Response,
    /// No redirect left the origin that was asked. Only then is a challenge in the answer one of the registry.
    pub own: bool,
}

impl Answer {
    /// `host[:port]` of who answered.
    pub(super) fn host(&self) -> String {
        host(self.response.url())
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum SendError {
    Transport(reqwest::Error),
    Redirect(Refusal),
}

/// A client for a registry; one on this machine (`loopback`) needs neither a proxy nor certificates.
pub(super) fn client(loopback: bool) -> Result<Client, reqwest::Error> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Somebody else's choice is as good.
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

/// Sends a request and follows redirects as [`follow`] allows it.
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

/// Why the rest of an answer does not come.
#[derive(Debug, thiserror::Error)]
pub(super) enum Interrupted {
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// Fewer bytes came than a registry has to send in that time.
    #[error("too slow: {bytes} bytes in {seconds} seconds")]
    TooSlow {
        /// Bytes that came.
        bytes: u64,
        /// In how many seconds.
        seconds: f32,
    },
}

/// Measures how fast an answer comes. Only the time that the network takes counts, not what is done with the bytes.
pub(super) struct Meter<'a> {
    limits: &'a TimeLimits,
    waited: Duration,
    bytes: u64,
}

impl<'a> Meter<'a> {
    pub(super) fn new(limits: &'a TimeLimits) -> Self {
        Self { limits, waited: Duration::ZERO, bytes: 0 }
    }

    /// The next part of an answer; `None` at its end, an error when it breaks off or is too slow.
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

/// What an error comes down to: its last cause; those before it only tell in which layer it was noticed. Never the
/// error's own text: URLs may hold signatures.
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
