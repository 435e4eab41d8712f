//! HTTP/1.1 and HTTP/1.0 (RFC 9112): bytes of a socket to requests, answers to bytes.
//!
//! [`receive`] reads requests, [`answer`] has them answered, [`send`] writes the answers of one batch with one write.

mod answer;
mod expect;
mod receive;
mod request_body;
mod send;
mod send_file;
mod tunnel;
mod upload;

pub(super) use request_body::Http1Body;
