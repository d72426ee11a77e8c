//! Client of a registry (OCI distribution-spec, "Pull"; Docker's token authentication).

use std::cell::{Cell, RefCell};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderValue, RANGE, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::Value;

use super::challenge::{Challenge, challenge};
use super::content::MAX_JSON;
use super::credentials::Login;
use super::manifests::{DOCKER_LIST, DOCKER_MANIFEST, Descriptor, OCI_INDEX, OCI_MANIFEST};
use super::redirects::without_login;
use super::transport::{Answer, Meter, Request, SendError, TimeLimits, client, explain, send};
use super::{Digest, Error, Progress, Reference};

/// Maximum number of attempts per request, and per blob without any progress.
const ATTEMPTS: u32 = 5;
/// Maximum number of attempts if the registry does not answer at all, so that a registry that is down is reported soon.
const CONNECT_ATTEMPTS: u32 = 3;
/// A longer Retry-After is an error, because the user had better try again later than wait.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Bytes that a broken transfer must have received for the count of attempts to start again.
const WORTH_RESUMING: u64 = 64 << 10;

/// The registry of one image, with what is known so far about how to log in.
pub(super) struct Registry<'a> {
    client: Client,
    reference: &'a Reference,
    base: Url,
    /// In order of precedence; anonymous last.
    logins: Vec<Option<Login>>,
    login: Cell<usize>,
    authorization: RefCell<Option<HeaderValue>>,
    first_wait: Duration,
    limits: &'a TimeLimits,
    progress: &'a dyn Progress,
}

/// The reason why a token server refuses a token for these credentials.
struct TokenRefused(String);

impl<'a> Registry<'a> {
    pub(super) fn new(
        reference: &'a Reference,
        logins: Vec<Login>,
        first_wait: Duration,
        limits: &'a TimeLimits,
        progress: &'a dyn Progress,
    ) -> Result<Self, Error> {
        let scheme = if reference.is_loopback() { "http" } else { "https" };
        let base = format!("{scheme}://{}/v2/{}/", reference.api_host(), reference.repository());
        let unreachable = |reason: String| Error::Unreachable {
            image: reference.to_string(),
            registry: reference.registry().to_owned(),
            reason,
        };
        let base = Url::parse(&base).map_err(|e| unreachable(e.to_string()))?;
        let client = client(reference.is_loopback()).map_err(|e| unreachable(explain(&e)))?;
        Ok(Self {
            client,
            reference,
            base,
            logins: logins.into_iter().map(Some).chain([None]).collect(),
            login: Cell::new(0),
            authorization: RefCell::new(None),
            first_wait,
            limits,
            progress,
        })
    }

    /// Returns the manifest or index that a tag or digest refers to, at most [`MAX_JSON`] bytes.
    pub(super) async fn manifest(&self, version: &str) -> Result<Vec<u8>, Error> {
        let response = self.get(Method::GET, &format!("manifests/{version}"), manifest_headers()).await?;
        self.small_body(response, "the manifest").await
    }

    /// Returns the digest that a tag refers to, if the registry sends it. Docker Hub does not count this request as a
    /// pull.
    pub(super) async fn digest(&self, version: &str) -> Result<Option<Digest>, Error> {
        let response = self.get(Method::HEAD, &format!("manifests/{version}"), manifest_headers()).await?;
        let digest = response.headers().get("docker-content-digest").and_then(|v| v.to_str().ok());
        Ok(digest.and_then(|d| Digest::parse(d).ok()))
    }

    /// Returns a small blob after verifying it.
    pub(super) async fn small_blob(&self, blob: &Descriptor) -> Result<Vec<u8>, Error> {
        let response = self.get(Method::GET, &format!("blobs/{}", blob.digest), HeaderMap::new()).await?;
        let bytes = self.small_body(response, "the config").await?;
        let actual = Digest::of(&bytes);
        if actual == blob.digest {
            Ok(bytes)
        } else {
            Err(Error::Digest {
                image: self.reference.to_string(),
                what: "the config",
                expected: blob.digest.to_string(),
                actual: actual.to_string(),
            })
        }
    }

    /// Streams a blob to `sink`, which returns false to stop. A transfer that breaks off is resumed where it ended, by
    /// a range request.
    pub(super) async fn blob<F>(
        &self,
        blob: &Descriptor,
        mut sink: impl FnMut(Vec<u8>) -> F,
    ) -> Result<(), Error>
    where
        F: Future<Output = bool>,
    {
        let digest = blob.digest.as_str();
        let path = format!("blobs/{digest}");
        let (mut have, mut counted_from, mut failures) = (0u64, 0u64, 0u32);
        loop {
            let mut headers = HeaderMap::new();
            if have > 0
                && let Ok(range) = HeaderValue::from_str(&format!("bytes={have}-"))
            {
                headers.insert(RANGE, range);
            }
            let response = self.get(Method::GET, &path, headers).await?;
            // A server without support for ranges starts from the beginning.
            let mut skip = if response.status() == StatusCode::PARTIAL_CONTENT { 0 } else { have };
            let mut body = response.bytes_stream();
            let mut meter = Meter::new(self.limits);
            let broken = loop {
                match meter.next(&mut body).await {
                    None if have >= blob.size => return Ok(()),
                    None => break "it ended early".to_owned(),
                    Some(Err(error)) => break error.to_string(),
                    Some(Ok(bytes)) => {
                        let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
                        skip -= skipped as u64;
                        let rest = bytes.get(skipped..).unwrap_or_default();
                        if rest.is_empty() {
                            continue;
                        }
                        have += rest.len() as u64;
                        if have > blob.size {
                            return Err(self.failed(format!(
                                "layer {digest} is longer than the {} bytes that its manifest says",
                                blob.size
                            )));
                        }
                        self.progress.advance(digest, rest.len() as u64);
                        if !sink(rest.to_vec()).await {
                            return Ok(());
                        }
                    }
                }
            };
            if have - counted_from >= WORTH_RESUMING {
                (failures, counted_from) = (0, have);
            }
            failures += 1;
            if failures >= ATTEMPTS {
                return Err(self.failed(format!("layer {digest} broke off {failures} times: {broken}")));
            }
            self.progress.note(&format!(
                "layer {} broke off at {have} of {} bytes ({broken}): going on from there",
                short(digest),
                blob.size
            ));
            self.wait(failures, None).await;
        }
    }

    /// Sends a request until it succeeds or another attempt cannot help.
    async fn get(&self, method: Method, path: &str, headers: HeaderMap) -> Result<Response, Error> {
        let url = self.base.join(path).map_err(|e| self.failed(e.to_string()))?;
        let (mut failures, mut refused) = (0, 0);
        loop {
            let mut request = Request::new(method.clone(), url.clone());
            request.headers.clone_from(&headers);
            request.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            request.authorization.clone_from(&self.authorization.borrow());
            let answer = match send(&self.client, request).await {
                Ok(answer) => answer,
                Err(SendError::Redirect(refusal)) => return Err(self.failed(refusal.to_string())),
                Err(SendError::Transport(error)) => {
                    failures += 1;
                    let most = match error.is_connect() {
                        // One attempt, because a registry is not expected to be there.
                        true if self.reference.is_of_this_machine() => 1,
                        true => CONNECT_ATTEMPTS,
                        false => ATTEMPTS,
                    };
                    if failures >= most || error.is_builder() {
                        return Err(self.unreachable(&error));
                    }
                    self.progress.note(&format!(
                        "{}: {}: trying again",
                        self.reference.registry(),
                        explain(&error)
                    ));
                    self.wait(failures, None).await;
                    continue;
                }
            };
            let status = answer.response.status();
            if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) && !answer.own {
                // A challenge from another host must not be answered with the user's credentials for the registry.
                return Err(self.refused_elsewhere(answer).await);
            }
            let response = answer.response;
            match status {
                s if s.is_success() => return Ok(response),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    // A token may have expired in the middle of a pull: get a new one, once per request.
                    let had_token = self.authorization.borrow().is_some();
                    refused += 1;
                    let next_login = had_token && refused > 1 || status == StatusCode::FORBIDDEN;
                    let challenge = challenge(response.headers());
                    self.log_in(challenge, next_login, response).await?;
                }
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                    failures += 1;
                    let wait = retry_after(response.headers());
                    if failures >= ATTEMPTS || wait.is_some_and(|w| w > LONGEST_WAIT) {
                        return Err(self.refused(response).await);
                    }
                    self.progress
                        .note(&format!("{}: {status}: trying again later", self.reference.registry()));
                    self.wait(failures, wait).await;
                }
                s if s.is_server_error() => {
                    failures += 1;
                    if failures >= ATTEMPTS || s == StatusCode::NOT_IMPLEMENTED {
                        return Err(self.refused(response).await);
                    }
                    self.progress.note(&format!("{}: {status}: trying again", self.reference.registry()));
                    let wait = retry_after(response.headers()).filter(|w| *w <= LONGEST_WAIT);
                    self.wait(failures, wait).await;
                }
                StatusCode::NOT_FOUND if path.starts_with("manifests/") => {
                    return Err(Error::NoSuchImage {
                        image: self.reference.to_string(),
                        registry: self.reference.registry().to_owned(),
                    });
                }
                _ => return Err(self.refused(response).await),
            }
        }
    }

    /// Answers a challenge with the present login or the next one; fails if none is left.
    async fn log_in(
        &self,
        challenge: Option<Challenge>,
        mut next: bool,
        response: Response,
    ) -> Result<(), Error> {
        let denied = |reason: String| Error::Denied {
            image: self.reference.to_string(),
            registry: self.reference.registry().to_owned(),
            reason,
        };
        let mut reason = None;
        loop {
            if next {
                self.login.set(self.login.get() + 1);
                *self.authorization.borrow_mut() = None;
            }
            let Some(login) = self.logins.get(self.login.get()) else {
                let reason = match reason {
                    Some(reason) => reason,
                    None => {
                        registry_message(&self.small_body(response, "the answer").await.unwrap_or_default())
                            .unwrap_or_else(|| "access denied".to_owned())
                    }
                };
                return Err(denied(reason));
            };
            next = true;
            let value = match (&challenge, login) {
                // Forbidden without a challenge, or Basic without a password: this login cannot answer it.
                (None, _) | (Some(Challenge::Basic), None | Some(Login::IdentityToken(_))) => continue,
                (Some(Challenge::Basic), Some(Login::Password { username, password })) => {
                    basic(username, password)
                }
                (Some(Challenge::Bearer { realm, service, scope }), login) => {
                    match self.token(realm, service.as_deref(), scope.as_deref(), login.as_ref()).await? {
                        Ok(token) => format!("Bearer {token}"),
                        Err(TokenRefused(why)) => {
                            reason.get_or_insert(why);
                            continue;
                        }
                    }
                }
            };
            let value = self.secret_header(&value)?;
            *self.authorization.borrow_mut() = Some(value);
            return Ok(());
        }
    }

    /// Requests a token from the token server. The inner error is the server's refusal.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
        login: Option<&Login>,
    ) -> Result<Result<String, TokenRefused>, Error> {
        let mut url =
            Url::parse(realm).map_err(|_| self.failed(format!("its token server {realm:?} is no URL")))?;
        // A password is never sent unencrypted, except to this machine.
        if url.scheme() != "https" && !(self.reference.is_loopback() && is_loopback_url(&url)) {
            return Err(self.failed(format!("its token server {realm} does not use HTTPS")));
        }
        without_login(&mut url);
        let scope =
            scope.map_or_else(|| format!("repository:{}:pull", self.reference.repository()), str::to_owned);
        let mut failures = 0;
        loop {
            let request = self.token_request(&url, service, &scope, login)?;
            let (why, wait) = match send(&self.client, request).await {
                Ok(Answer { response, .. }) if response.status().is_success() => {
                    let body = self.small_body(response, "the token").await?;
                    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
                    let token = ["token", "access_token"]
                        .iter()
                        .find_map(|k| value.get(*k)?.as_str().filter(|t| !t.is_empty()));
                    return match token {
                        Some(token) => Ok(Ok(token.to_owned())),
                        None => Err(self.failed("its token server gave no token".to_owned())),
                    };
                }
                Ok(Answer { response, .. }) => {
                    let status = response.status();
                    let wait = retry_after(response.headers());
                    let retry = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
                    let said =
                        registry_message(&self.small_body(response, "the answer").await.unwrap_or_default());
                    let why = said.unwrap_or_else(|| format!("its token server answered {status}"));
                    if !retry || wait.is_some_and(|w| w > LONGEST_WAIT) {
                        return if retry { Err(self.failed(why)) } else { Ok(Err(TokenRefused(why))) };
                    }
                    (why, wait)
                }
                Err(SendError::Redirect(refusal)) => {
                    return Err(self.failed(format!("its token server: {refusal}")));
                }
                Err(SendError::Transport(error)) => (format!("its token server: {}", explain(&error)), None),
            };
            failures += 1;
            if failures >= ATTEMPTS {
                return Err(self.failed(why));
            }
            self.progress.note(&format!("{}: {why}: trying again", self.reference.registry()));
            self.wait(failures, wait).await;
        }
    }

    /// Builds the request for a token. A password is sent in a header, which is dropped on a redirect to another host;
    /// an identity token is sent in the body of a request whose redirects are not followed.
    fn token_request(
        &self,
        server: &Url,
        service: Option<&str>,
        scope: &str,
        login: Option<&Login>,
    ) -> Result<Request, Error> {
        if let Some(Login::IdentityToken(token)) = login {
            let mut form = Url::parse("http://form").map_err(|e| self.failed(e.to_string()))?;
            form.query_pairs_mut()
                .extend_pairs([("grant_type", "refresh_token"), ("client_id", "kube-play"), ("scope", scope)])
                .append_pair("refresh_token", token)
                .extend_pairs(service.map(|s| ("service", s)));
            let mut request = Request::new(Method::POST, server.clone());
            request.form = Some(form.query().unwrap_or_default().to_owned());
            return Ok(request);
        }
        let mut url = server.clone();
        url.query_pairs_mut().extend_pairs(service.map(|s| ("service", s))).append_pair("scope", scope);
        let mut request = Request::new(Method::GET, url);
        if let Some(Login::Password { username, password }) = login {
            request.authorization = Some(self.secret_header(&basic(username, password))?);
        }
        Ok(request)
    }

    fn secret_header(&self, value: &str) -> Result<HeaderValue, Error> {
        let mut value = HeaderValue::from_str(value).map_err(|_| Error::Denied {
            image: self.reference.to_string(),
            registry: self.reference.registry().to_owned(),
            reason: "the credentials contain characters that no header may have".to_owned(),
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn small_body(&self, response: Response, what: &'static str) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut body = response.bytes_stream();
        let mut meter = Meter::new(self.limits);
        while let Some(part) = meter.next(&mut body).await {
            let part = part.map_err(|why| self.failed(format!("{what} broke off: {why}")))?;
            bytes.extend_from_slice(&part);
            if bytes.len() as u64 > MAX_JSON {
                return Err(Error::TooLarge { what: format!("{}: {what}", self.reference), limit: MAX_JSON });
            }
        }
        Ok(bytes)
    }

    async fn wait(&self, failures: u32, asked: Option<Duration>) {
        let doubled = self.first_wait.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1)));
        tokio::time::sleep(asked.unwrap_or(doubled).min(LONGEST_WAIT)).await;
    }

    fn failed(&self, reason: String) -> Error {
        Error::Registry {
            image: self.reference.to_string(),
            registry: self.reference.registry().to_owned(),
            reason,
        }
    }

    async fn refused(&self, response: Response) -> Error {
        let status = response.status();
        let body = self.small_body(response, "the answer").await.unwrap_or_default();
        self.failed(match registry_message(&body) {
            Some(said) => format!("{status}: {said}"),
            None => status.to_string(),
        })
    }

    async fn refused_elsewhere(&self, answer: Answer) -> Error {
        let (host, status) = (answer.host(), answer.response.status());
        let body = self.small_body(answer.response, "the answer").await.unwrap_or_default();
        let said = registry_message(&body).map(|said| format!(": {said}")).unwrap_or_default();
        self.failed(format!("it redirects to {host}, which answers {status}{said}"))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        if self.reference.is_of_this_machine() && error.is_connect() {
            return Error::NoRegistry { image: self.reference.to_string() };
        }
        let mut reason = explain(error);
        if reason.contains("InvalidContentType") {
            reason.push_str(
                " (it seems to speak plain HTTP, which is used with registries on this machine only)",
            );
        }
        Error::Unreachable {
            image: self.reference.to_string(),
            registry: self.reference.registry().to_owned(),
            reason,
        }
    }
}

fn manifest_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for media_type in [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST] {
        headers.append(ACCEPT, HeaderValue::from_static(media_type));
    }
    headers
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{password}")))
}

fn is_loopback_url(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    format!("{host}:1/x").parse::<Reference>().is_ok_and(|r| r.is_loopback())
}

/// Returns the first 12 digits of a digest, for messages.
pub(super) fn short(digest: &str) -> &str {
    digest.strip_prefix("sha256:").and_then(|d| d.get(..12)).unwrap_or(digest)
}

/// Returns the messages in an error answer (distribution-spec, "Error Codes").
fn registry_message(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let listed = value.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let messages: Vec<&str> = listed
        .iter()
        .filter_map(|e| e.get("message").or_else(|| e.get("code")).and_then(Value::as_str))
        .chain(value.get("details").and_then(Value::as_str))
        .filter(|m| !m.is_empty())
        .collect();
    (!messages.is_empty()).then(|| messages.join("; "))
}

/// Parses Retry-After: seconds or an HTTP date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Duration::from_secs(u64::try_from(date.as_second()).ok()?).saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            retry_after(&headers)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn what_a_registry_says_is_passed_on() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no pull for you"},{"code":"X"}]}"#;
        assert_eq!(registry_message(body).as_deref(), Some("no pull for you; X"));
        assert_eq!(registry_message(b"<html>"), None);
    }
}
