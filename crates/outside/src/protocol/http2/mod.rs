//! HTTP/2 on the wire (RFC 9113), as far as the crate `h2` leaves it to us: it reads frames, fields and streams.
//!
//! In: [`FrameCounter`] looks at the frames on their way to `h2` and says when they cost too much, and keeps from it what it
//! would end the whole connection for; [`decode_request`] makes of what `h2` has read a request as any other, or refuses it.
//! Out: [`response_head`]. [`advertise`] corrects a setting.

mod block;
mod field_blocks;
mod fields;
mod frames;
mod huffman;
mod request;
mod response;

pub(crate) use block::BESIDE;
pub(crate) use field_blocks::Malformed;
pub(crate) use fields::TABLE_SIZE;
pub(crate) use frames::{FrameCounter, Passage, advertise, resets_of};
pub(crate) use request::{Announced, decode_request, largest_list, note_line};
pub(crate) use response::response_head;

/// What a client sends first (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// As much of it as looks like a head of HTTP/1.1.
pub(crate) const PREFACE_HEAD: &[u8; 18] = b"PRI * HTTP/2.0\r\n\r\n";
