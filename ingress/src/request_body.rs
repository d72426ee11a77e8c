//! The body of a request, which is passed on while it arrives, with a limit.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

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
