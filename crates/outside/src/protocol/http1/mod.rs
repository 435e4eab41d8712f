//! HTTP/1.1 on the wire (RFC 9112): heads and bodies in, heads and chunks out.
//!
//! In: [`HeadScanner`] finds where a head ends, [`decode_head`] reads it, [`framing`] decides how long its body is,
//! [`ChunkedDecoder`] takes a chunked body apart. Out: [`encode_head`], [`encode_chunk`].
//! What is not right to the letter is refused; nothing is repaired.

mod chunked;
mod encode;
mod find;
mod framing;
mod head;

pub(crate) use chunked::ChunkedDecoder;
pub(crate) use encode::{ContentLength, LAST_CHUNK, ResponseHead, encode_chunk, encode_head, push_decimal};
pub(crate) use framing::{BodyLength, Framing, declared_length, framing};
pub(crate) use head::{HeadLimits, HeadScanner, Scan, decode_head, has_underscore, is_authority, is_target_byte};
