//! HTTP/1.1 on the wire (RFC 9112): heads and bodies in, heads and chunks out.
//!
//! In: [`HeadScanner`] finds the end of a head, [`decode_head`] reads it, [`framing()`] decides the length of its body,
//! [`ChunkedDecoder`] decodes a chunked body. Out: [`encode_head`], [`encode_chunk`]. Malformed messages are refused,
//! never repaired. [`decode_response_head`] and [`ChunkReader`] read the other side's answers, for a client.

mod chunked;
mod encode;
mod find;
mod framing;
mod head;
mod response;

pub(crate) use chunked::ChunkedDecoder;
pub(crate) use encode::{LAST_CHUNK, ResponseHead, encode_chunk, encode_head, encode_hints, encode_last_chunk};
pub(crate) use framing::{BodyLength, Framing, declared_length, framing};
pub(crate) use head::{HeadLimits, HeadScanner, Scan, decode_head, has_underscore, is_authority, is_target_byte};
pub(crate) use response::{ChunkReader, ReceivedHead, decode_response_head};
