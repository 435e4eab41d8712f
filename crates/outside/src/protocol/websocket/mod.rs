//! WebSocket on the wire (RFC 6455), with permessage-deflate (RFC 7692).
//!
//! The opening: [`check_opening`] reads a request, [`Origins`] checks the page's origin, [`choose_subprotocol`] and
//! [`negotiate`] choose among the offers, [`opening_fields`] is the answer. In: [`Receiver`] turns bytes into whole
//! messages and control frames. Out: [`encode_frame`], [`Deflater`]. The end: [`CloseHandshake`] is its
//! state. As in http1, malformed input is refused.

mod closing;
mod deflate;
mod extension;
mod failure;
mod frame;
mod handshake;
mod origin;
mod receiver;
#[cfg(feature = "testing")]
pub mod testing;
mod utf8;

#[cfg(any(test, feature = "testing"))]
pub(crate) use closing::close_code_name;
pub(crate) use closing::{Close, CloseHandshake};
pub(crate) use deflate::{DeflatePool, Deflater};
pub(crate) use extension::{DeflateSettings, DeflateTerms, negotiate};
pub(crate) use failure::Failure;
#[cfg(any(test, feature = "testing"))]
pub(crate) use frame::encode_frame_head;
pub(crate) use frame::{MAX_CONTROL_PAYLOAD, MAX_SERVER_HEAD, MessageKind, Opcode, encode_frame};
#[cfg(any(test, feature = "testing"))]
pub(crate) use handshake::AcceptKey;
pub(crate) use handshake::{UPGRADE_REQUIRED_FIELDS, check_opening, choose_subprotocol, opening_fields};
pub(crate) use origin::Origins;
pub(crate) use receiver::{ReceivedFrame, Receiver};
