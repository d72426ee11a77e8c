//! Bodies that are passed on while they arrive: those of requests with a limit, those of responses with a time-out.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::access_log::Entry;
use crate::pool::Lease;
use crate::server::InFlight;

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The body of a request has more bytes than its route allows.
    #[error("the body is too large")]
    TooLarge,
    /// The endpoint has sent nothing for too long.
    #[error("the endpoint has sent nothing for {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] hyper::Error),
}

/// How the body of a request gets on.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    frames: AtomicU64,
    is_too_large: AtomicBool,
    is_complete: AtomicBool,
    waits_for_client: AtomicBool,
}

impl Upload {
    /// Returns how many parts were passed on.
    pub(crate) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Returns whether the body has exceeded its limit.
    pub(crate) fn is_too_large(&self) -> bool {
        self.is_too_large.load(Ordering::Relaxed)
    }

    /// Returns whether the whole body was passed on.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Relaxed)
    }

    /// Returns whether the client has to send more before anything can be passed on.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.waits_for_client.load(Ordering::Relaxed) && !self.is_complete()
    }
}

/// The body of a request on its way to an endpoint.
#[derive(Debug, Default)]
pub(crate) struct RequestBody {
    inner: Option<Incoming>,
    /// How many bytes may follow.
    left: Option<u64>,
    upload: Option<Arc<Upload>>,
}

impl RequestBody {
    /// Creates the body. `Upload` is returned if there are bytes to send.
    pub(crate) fn new(inner: Incoming, limit: Option<u64>) -> (Self, Option<Arc<Upload>>) {
        if inner.is_end_stream() {
            return (Self::default(), None);
        }
        let upload = Arc::new(Upload::default());
        (Self { inner: Some(inner), left: limit, upload: Some(Arc::clone(&upload)) }, Some(upload))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let (Some(inner), Some(upload)) = (&mut this.inner, &this.upload) else { return Poll::Ready(None) };
        let polled = Pin::new(inner).poll_frame(cx);
        upload.waits_for_client.store(polled.is_pending(), Ordering::Relaxed);
        let frame = match ready!(polled) {
            Some(frame) => frame?,
            None => {
                upload.is_complete.store(true, Ordering::Relaxed);
                return Poll::Ready(None);
            }
        };
        if let (Some(left), Some(data)) = (&mut this.left, frame.data_ref()) {
            let Some(rest) = left.checked_sub(data.len() as u64) else {
                upload.is_too_large.store(true, Ordering::Relaxed);
                this.inner = None;
                return Poll::Ready(Some(Err(BodyError::TooLarge)));
            };
            *left = rest;
        }
        upload.frames.fetch_add(1, Ordering::Relaxed);
        if this.inner.as_ref().is_some_and(Body::is_end_stream) {
            upload.is_complete.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// The body of a response.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    content: Content,
    log: Option<Entry>,
    /// Counts the request until the response has been sent.
    in_flight: Option<InFlight>,
}

#[derive(Debug)]
enum Content {
    Text(Option<&'static str>),
    Endpoint(Box<EndpointBody>),
}

/// The body of an endpoint's response.
#[derive(Debug)]
struct EndpointBody {
    inner: Incoming,
    /// The connection, which is used again once the body has arrived.
    lease: Option<Lease>,
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    is_timed: bool,
}

impl ResponseBody {
    /// Creates a body that the proxy itself has written.
    pub(crate) fn text(text: &'static str) -> Self {
        let content = Content::Text((!text.is_empty()).then_some(text));
        Self { content, log: None, in_flight: None }
    }

    /// Creates the body of an endpoint's response. The connection is used again once it has arrived.
    pub(crate) fn of_endpoint(inner: Incoming, mut lease: Option<Lease>, timeout: Duration) -> Self {
        if inner.is_end_stream() {
            if let Some(lease) = lease.take() {
                lease.give_back();
            }
            return Self::text("");
        }
        let body = EndpointBody { inner, lease, timeout, timer: None, is_timed: false };
        Self { content: Content::Endpoint(Box::new(body)), log: None, in_flight: None }
    }

    /// Adds what lasts as long as the response: its line in the access log, and its part in the work of its connection.
    pub(crate) fn with(mut self, log: Option<Entry>, in_flight: InFlight) -> Self {
        self.log = log;
        self.in_flight = Some(in_flight);
        self
    }
}

impl EndpointBody {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            return match self.poll_timer(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err(BodyError::TimedOut(self.timeout)))),
                Poll::Pending => Poll::Pending,
            };
        };
        self.is_timed = false;
        let is_whole = match &frame {
            None => true,
            Some(Ok(_)) => self.inner.is_end_stream(),
            Some(Err(_)) => {
                self.lease = None;
                false
            }
        };
        if let Some(lease) = self.lease.take_if(|_| is_whole) {
            lease.give_back();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = Instant::now() + self.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !self.is_timed {
            self.is_timed = true;
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.content {
            Content::Text(text) => {
                text.take().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes()))))
            }
            Content::Endpoint(body) => ready!(body.poll(cx)),
        };
        if let (Some(log), Some(Ok(frame))) = (&mut self.log, &frame) {
            log.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.is_none(),
            Content::Endpoint(body) => body.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Text(text) => SizeHint::with_exact(text.map_or(0, str::len) as u64),
            Content::Endpoint(body) => body.inner.size_hint(),
        }
    }
}
