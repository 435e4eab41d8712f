//! The content of a request as handlers take it: fields and files of a form, ranges, pieces as they arrive, and content
//! in a temporary file.
//!
//! Reads bytes that connections have received; knows nothing of sockets.
//!
//! ```
//! use outside::Request;
//! use outside::message::RequestParts;
//!
//! let headers = [("Content-Type", &b"application/x-www-form-urlencoded"[..])];
//! let request = Request::from_parts(&RequestParts { content: b"name=Ada&age=36", headers: &headers, ..Default::default() })?;
//! assert_eq!(request.form()?.fields[1], ("age".to_owned(), "36".to_owned()));
//! # Ok::<(), outside::Error>(())
//! ```

mod download;
mod form;
mod pieces;
mod range;
mod spooled;
mod spools;
mod upload;

pub use download::{BodyFeed, ClientLeft, fed_body};
pub use form::{Form, FormFile};
pub use pieces::Pieces;
pub use range::ContentRange;
pub(crate) use spooled::spooled;
pub use spooled::{content_descriptor, content_file};
pub(crate) use spools::{SpoolShare, Spools};
pub(crate) use upload::{Feeder, GONE, upload};
