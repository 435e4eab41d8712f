//! Serving files: finds the file for a path, checks whether it may be seen, and selects the bytes that answer a
//! request.
//!
//! ```no_run
//! use outside::{FilePath, Folder, OutsideHttp};
//!
//! let server = OutsideHttp::new(("127.0.0.1", 8080))?;
//! server.set_route("/logo.svg", FilePath("assets/logo.svg"))?;
//! server.set_route("/docs", Folder::new("site")?)?;
//! # Ok::<(), outside::Error>(())
//! ```
//!
//! Inside: a [`Files`] looks up the path below its route: it finds an `Entry` in the `Store`, or opens the file beneath
//! its root and makes one. An entry offers `Representation`s, one for each content coding; `select` chooses the part to
//! send by the request's preconditions and ranges. Code on the event loop's thread passes `Patience::Now`, so that it
//! never waits for a disk.

mod entry;
mod folder;
mod listing;
mod one_file;
mod open;
mod pattern;
mod representation;
mod root;
mod select;
mod store;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;

pub(crate) use entry::StoredFile;
pub(crate) use folder::Located;
pub use folder::{Files, Folder};
pub(crate) use listing::CONTENT_SECURITY_POLICY;
pub(crate) use open::{NO_DESCRIPTOR, Patience, Unopened, bring_into_memory};
pub(crate) use select::{Excluded, FileAnswer, FileContent, FileSegment, answer, check, forbids_transform};
pub(crate) use store::Store;

/// The media type of a file by its name; text comes with its charset.
///
/// ```
/// assert_eq!(outside::files::media_type("a/b.html"), "text/html; charset=utf-8");
/// assert_eq!(outside::files::media_type("data.unknown"), "application/octet-stream");
/// ```
pub fn media_type(path: &str) -> String {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    match (guess.type_().as_str(), guess.subtype().as_str()) {
        // RFC 9239 section 6: the other types for scripts are obsolete.
        (_, "javascript") => "text/javascript; charset=utf-8".to_owned(),
        ("text", _) => format!("{}; charset=utf-8", guess.essence_str()),
        _ => guess.essence_str().to_owned(),
    }
}
