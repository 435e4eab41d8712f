//! What the content of a request holds, as handlers take it: the fields and files of a form, ranges of it, pieces of it as
//! they come in, and where it lies if it is too large for memory.
//!
//! Reads what connections have received; knows nothing of sockets.

mod form;
mod pieces;
mod range;
mod spooled;
mod spools;
mod upload;

pub use form::{Form, FormFile};
pub use pieces::Pieces;
pub use range::ContentRange;
pub use spooled::content_file;
pub(crate) use spooled::spooled;
pub(crate) use spools::{SpoolShare, Spools};
pub(crate) use upload::{Feeder, GONE, upload};
