//! Serves one request: finds its route, sends it to an endpoint and passes the response on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, LOCATION, UPGRADE};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;

use crate::access_log::{self, Entry};
use crate::headers::{self, Client};
use crate::pool::{ConnectError, Connection, Key};
use crate::request_body::{RequestBody, Upload};
use crate::response_body::ResponseBody;
use crate::rewrite;
use crate::router::{Target, host_of};
use crate::routes::Protocol;
use crate::state::{Peer, Shared};

/// How many endpoints a request is tried on. (nginx: `proxy_next_upstream_tries` of the Ingress controller.)
const MAX_TRIES: usize = 3;

/// Serves one request of a client.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let in_flight = peer.activity.begin();
    let mut log = shared.access_log().map(|log| Entry::new(log, logged(&peer, &request)));
    let response = answer(&shared, &peer, request, &mut log).await;
    let response = response.unwrap_or_else(|status| of_proxy(status, None));
    if let Some(log) = &mut log {
        log.status = response.status().as_u16();
    }
    response.map(|body| body.with(log, in_flight))
}

fn logged(peer: &Peer, request: &Request<Incoming>) -> access_log::Request {
    access_log::Request {
        client: peer.address.ip(),
        method: request.method().to_string(),
        host: authority_of(request).unwrap_or_default(),
        path: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
        version: request.version(),
    }
}

/// Returns a response that the proxy itself gives.
fn of_proxy(status: StatusCode, location: Option<&str>) -> Response<ResponseBody> {
    let text = match status {
        StatusCode::BAD_REQUEST => "400 Bad Request\n",
        StatusCode::NOT_FOUND => "404 Not Found\n",
        StatusCode::REQUEST_TIMEOUT => "408 Request Timeout\n",
        StatusCode::PAYLOAD_TOO_LARGE => "413 Content Too Large\n",
        StatusCode::NOT_IMPLEMENTED => "501 Not Implemented\n",
        StatusCode::BAD_GATEWAY => "502 Bad Gateway\n",
        StatusCode::SERVICE_UNAVAILABLE => "503 Service Unavailable\n",
        StatusCode::GATEWAY_TIMEOUT => "504 Gateway Timeout\n",
        _ => "",
    };
    let mut response = Response::new(ResponseBody::text(text));
    *response.status_mut() = status;
    if !text.is_empty() {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    if let Some(location) = location.and_then(|location| HeaderValue::from_str(location).ok()) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Returns the host that a request names, with its port if it names one (RFC 9112, section 3.2; RFC 9113, section
/// 8.3.1). `None` if it names none, several, or something that is no host.
fn authority_of(request: &Request<Incoming>) -> Option<String> {
    let mut fields = request.headers().get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return None;
    }
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => match field {
            Some(field) => field.to_str().ok()?,
            // HTTP/1.0 has no such field.
            None if request.version() == Version::HTTP_10 => return Some(String::new()),
            None => return None,
        },
    };
    if authority.is_empty() {
        return Some(String::new());
    }
    let is_host = !authority.contains('@') && authority.parse::<Authority>().is_ok();
    is_host.then(|| authority.to_owned())
}

/// Answers a request, or returns the status of the proxy's own answer.
async fn answer(
    shared: &Arc<Shared>,
    peer: &Peer,
    mut request: Request<Incoming>,
    log: &mut Option<Entry>,
) -> Result<Response<ResponseBody>, StatusCode> {
    if request.method() == Method::CONNECT {
        return Err(StatusCode::NOT_IMPLEMENTED);
    }
    let authority = authority_of(&request).ok_or(StatusCode::BAD_REQUEST)?;
    let table = shared.table();
    let client = Client {
        address: peer.address.ip(),
        is_secure: peer.is_secure,
        port: peer.port,
        authority: &authority,
        is_trusted: table.is_trusted(peer.address.ip()),
    };
    let host = host_of(&authority);
    let path = rewrite::normalize(request.uri().path()).map_err(|_| StatusCode::BAD_REQUEST)?;
    let found = table.router.find(&host, &path).ok_or(StatusCode::NOT_FOUND)?;
    let target = Arc::clone(found.target);
    if let Some(log) = log {
        log.route.clone_from(&target.route.source);
    }
    let asked = rewrite::Request {
        is_secure: headers::is_secure(request.headers(), &client),
        host: &host,
        path: &path,
        path_and_query: request.uri().path_and_query().map_or("/", PathAndQuery::as_str),
        host_has_tls: found.tls,
        https_port: table.options.https_port,
    };
    if let Some(redirection) = rewrite::redirect(&target.route, &asked) {
        let status = StatusCode::from_u16(redirection.status).unwrap_or(StatusCode::FOUND);
        return Ok(of_proxy(status, Some(&redirection.location)));
    }
    if let (Some(limit), Some(length)) = (target.route.max_body, request.body().size_hint().exact())
        && length > limit
    {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    if target.endpoints.addresses().is_empty() {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let path_and_query = match found.rewritten {
        Some(rewritten) => {
            let text = rewrite::path_and_query(&rewritten, request.uri().query());
            text.parse().map_err(|_| StatusCode::BAD_REQUEST)?
        }
        None => request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")),
    };
    let upgrade = match target.route.protocol.is_http2() {
        false if request.version() == Version::HTTP_11 => headers::upgrade(request.headers()),
        _ => None,
    };
    let switch = upgrade.as_ref().map(|_| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    parts.extensions.clear();
    headers::prepare_request(&mut parts.headers, &client);
    if let Some(upgrade) = upgrade {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, upgrade);
    }
    address_request(&mut parts, target.route.protocol, path_and_query, &authority)?;
    let (body, upload) = RequestBody::new(body, target.route.max_body);
    let sending = Sending { shared, target: &target, upload, log };
    let (response, connection) = sending.send(parts, body).await?;
    Ok(pass_on(shared, peer, &target, response, connection, switch))
}

/// Sets what the first line of a request and the field `Host` say, as the endpoint's protocol has them.
fn address_request(
    parts: &mut Parts,
    protocol: Protocol,
    path_and_query: PathAndQuery,
    authority: &str,
) -> Result<(), StatusCode> {
    if !protocol.is_http2() {
        if parts.version == Version::HTTP_2 {
            headers::join_cookies(&mut parts.headers);
        }
        let host = HeaderValue::from_str(authority).map_err(|_| StatusCode::BAD_REQUEST)?;
        parts.headers.insert(HOST, host);
        parts.uri = Uri::from(path_and_query);
        parts.version = Version::HTTP_11;
        return Ok(());
    }
    parts.headers.remove(HOST);
    let scheme = if protocol.has_tls() { Scheme::HTTPS } else { Scheme::HTTP };
    let authority = if authority.is_empty() { "localhost" } else { authority };
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path_and_query).build();
    parts.uri = uri.map_err(|_| StatusCode::BAD_REQUEST)?;
    parts.version = Version::HTTP_2;
    Ok(())
}

/// A request on its way to an endpoint.
struct Sending<'a> {
    shared: &'a Arc<Shared>,
    target: &'a Target,
    upload: Option<Arc<Upload>>,
    log: &'a mut Option<Entry>,
}

/// How an attempt to send a request ended.
enum Failure {
    /// Nothing of it was sent, so it may be sent again.
    NotSent(Box<Request<RequestBody>>),
    /// The endpoint has read a part of it, or all.
    Broken,
    TimedOut,
}

impl Sending<'_> {
    /// Sends the request to one endpoint after the other until one answers. A request of which an endpoint may have read
    /// a part is sent again only if it has no body and its method is idempotent (RFC 9110, section 9.2.2).
    async fn send(
        self,
        parts: Parts,
        body: RequestBody,
    ) -> Result<(Response<Incoming>, Option<Connection>), StatusCode> {
        let route = &self.target.route;
        let can_repeat = self.upload.is_none() && parts.method.is_idempotent();
        let pool = &self.shared.pool;
        let (mut unsent, mut last) = (Some((parts, body)), StatusCode::BAD_GATEWAY);
        for address in pool.order(self.target.endpoints.in_turn()).into_iter().take(MAX_TRIES) {
            let key = Key { address, tls: route.protocol.has_tls() };
            // A kept connection may be closed by its endpoint at this moment, which says nothing about the endpoint.
            for is_new in [false, true] {
                let http2 = route.protocol.is_http2();
                let connecting = match is_new {
                    false => pool.get(key, http2, route.connect_timeout()).await,
                    true => pool.connect(key, http2, route.connect_timeout()).await,
                };
                let mut connection = match connecting {
                    Ok(connection) => connection,
                    Err(e) => {
                        tracing::debug!(%address, error = %e, "no connection to an endpoint");
                        last = match e {
                            ConnectError::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
                            ConnectError::Io(_) | ConnectError::Protocol(_) => StatusCode::BAD_GATEWAY,
                        };
                        break;
                    }
                };
                let Some((parts, body)) = unsent.take() else { return Err(last) };
                let copy = can_repeat.then(|| parts.clone());
                if let Some(log) = self.log.as_mut() {
                    log.endpoint = Some(address);
                }
                match self.attempt(&mut connection, parts, body).await {
                    Ok(response) => {
                        // A connection that still takes a body is not used again.
                        let is_free = self.upload.as_ref().is_none_or(|upload| upload.is_complete());
                        return Ok((response, is_free.then_some(connection)));
                    }
                    Err(Failure::TimedOut) => return Err(self.timed_out()),
                    Err(Failure::NotSent(request)) => unsent = Some(request.into_parts()),
                    Err(Failure::Broken) => {
                        last = self.broken();
                        let Some(copy) = copy else { return Err(last) };
                        unsent = Some((copy, RequestBody::default()));
                    }
                }
                if !connection.is_used {
                    break;
                }
            }
        }
        Err(last)
    }

    async fn attempt(
        &self,
        connection: &mut Connection,
        parts: Parts,
        body: RequestBody,
    ) -> Result<Response<Incoming>, Failure> {
        let sending = connection.send(Request::from_parts(parts, body));
        let route = &self.target.route;
        match within(sending, self.upload.as_deref(), route.read_timeout(), route.send_timeout()).await {
            None => Err(Failure::TimedOut),
            Some(Ok(response)) => Ok(response),
            Some(Err(mut e)) => match e.take_message() {
                Some(request) => Err(Failure::NotSent(Box::new(request))),
                None => {
                    tracing::debug!(error = %e.error(), "an endpoint has not answered");
                    Err(Failure::Broken)
                }
            },
        }
    }

    /// Returns the status for a request that could not be sent to its end.
    fn broken(&self) -> StatusCode {
        match &self.upload {
            Some(upload) if upload.is_too_large() => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Returns the status for a request that took too long: whose fault it is.
    fn timed_out(&self) -> StatusCode {
        match &self.upload {
            Some(upload) if upload.waits_for_client() => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// Waits for a response. The time begins anew with each part of the request's body that is passed on.
async fn within<T>(
    response: impl Future<Output = T>,
    upload: Option<&Upload>,
    read: Duration,
    send: Duration,
) -> Option<T> {
    let Some(upload) = upload else { return tokio::time::timeout(read, response).await.ok() };
    let mut response = std::pin::pin!(response);
    loop {
        let before = upload.frames();
        let limit = if upload.is_complete() { read } else { send };
        match tokio::time::timeout(limit, &mut response).await {
            Ok(response) => return Some(response),
            Err(_) if upload.frames() != before => {}
            Err(_) => return None,
        }
    }
}

/// Returns the response of an endpoint as the client gets it.
fn pass_on(
    shared: &Arc<Shared>,
    peer: &Peer,
    target: &Target,
    mut response: Response<Incoming>,
    connection: Option<Connection>,
    switch: Option<OnUpgrade>,
) -> Response<ResponseBody> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (Some(client), Some(upgrade)) = (switch, headers::upgrade(response.headers())) else {
            return of_proxy(StatusCode::BAD_GATEWAY, None);
        };
        let endpoint = hyper::upgrade::on(&mut response);
        tokio::spawn(tunnel(client, endpoint, peer.clone()));
        let (mut parts, _) = response.into_parts();
        headers::remove_hop_by_hop(&mut parts.headers);
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, upgrade);
        parts.headers.remove(CONTENT_LENGTH);
        return Response::from_parts(parts, ResponseBody::text(""));
    }
    let (mut parts, body) = response.into_parts();
    headers::remove_hop_by_hop(&mut parts.headers);
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let lease = connection.and_then(|connection| connection.lease(&shared.pool));
    let body = ResponseBody::of_endpoint(body, lease, target.route.read_timeout());
    Response::from_parts(parts, body)
}

/// Copies both ways between a client and an endpoint that have switched to another protocol. `peer` counts the
/// connection for as long as this lasts.
async fn tunnel(client: OnUpgrade, endpoint: OnUpgrade, peer: Peer) {
    let ended = async {
        let mut endpoint = TokioIo::new(endpoint.await.ok()?);
        let mut client = TokioIo::new(client.await.ok()?);
        tokio::io::copy_bidirectional(&mut client, &mut endpoint).await.ok()
    };
    let address: SocketAddr = peer.address;
    let copied = ended.await;
    tracing::trace!(%address, ?copied, "a tunnel has ended");
    drop(peer);
}
