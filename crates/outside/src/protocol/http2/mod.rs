//! HTTP/2 on the wire (RFC 9113): the parts that the crate `h2`, which reads frames, fields and streams, leaves to the
//! server.
//!
//! In: [`FrameCounter`] reads the frames on their way to `h2`, reports when they cost too much, and removes faults for
//! which `h2` would end the whole connection; [`decode_request`] turns the fields that `h2` has read into a request, or
//! refuses them. Out: [`response_head`]. [`advertise`] corrects a setting.

mod block;
mod field_blocks;
mod fields;
mod frame_head;
mod frames;
mod huffman;
mod request;
mod response;

pub(crate) use block::BESIDE;
pub(crate) use field_blocks::Malformed;
pub(crate) use fields::TABLE_SIZE;
pub(crate) use frames::{FrameCounter, Passage, advertise, resets_of};
pub(crate) use request::{Announced, decode_request, largest_list, note_line};
pub(crate) use response::{hints_head, response_head, trailer_fields};

/// The first bytes of a client (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The part of it that looks like a head of HTTP/1.1.
pub(crate) const PREFACE_HEAD: &[u8; 18] = b"PRI * HTTP/2.0\r\n\r\n";
