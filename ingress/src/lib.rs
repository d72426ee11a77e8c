//! A reverse proxy for HTTP that forwards requests by host and path.
