//! What the content of a request holds, as handlers take it: the fields and files of a form, ranges of it, and where it
//! lies if it is too large for memory.
//!
//! Reads what connections have received; knows nothing of sockets.

mod form;
mod range;
mod spooled;

pub use form::{Form, FormFile};
pub use range::ContentRange;
pub use spooled::content_file;
pub(crate) use spooled::spooled;
