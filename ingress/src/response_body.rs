//! The body of a response, which is passed on while it arrives, with a time-out.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::access_log::Entry;
use crate::pool::Lease;
use crate::request_body::BodyError;
use crate::state::InFlight;

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
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.set_unread(false);
        }
        let frame = match &mut self.content {
            Content::Text(text) => {
                text.take().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes()))))
            }
            Content::Endpoint(body) => ready!(body.poll(cx)),
        };
        if let (Some(log), Some(Ok(frame))) = (&mut self.log, &frame) {
            log.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        let has_more = matches!(frame, Some(Ok(_))) && !self.is_end_stream();
        if let Some(in_flight) = self.in_flight.as_mut().filter(|_| has_more) {
            in_flight.set_unread(true);
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
