//! The needs of a web application beside a server: sessions in signed cookies, addresses of routes, functions that run beside
//! requests.
//!
//! The parts know no server: the site, above, has them, and requests find them there.
//!
//! ```
//! use outside::{Error, OutsideHttp, Request};
//!
//! let mut server = OutsideHttp::new(("127.0.0.1", 8080))?;
//! server.config.secret = ["a secret of at least thirty-two bytes"].into();
//! server.get("/visit", |request: &Request| -> Result<String, Error> {
//!     let session = request.session()?;
//!     let visits = session.get::<u32>("visits").unwrap_or(0) + 1;
//!     session.insert("visits", visits)?;
//!     Ok(format!("visit {visits}"))
//! })?;
//!
//! let client = server.test_client()?;
//! client.get("/visit").send()?;
//! assert_eq!(client.get("/visit").send()?.text(), "visit 2");
//! # Ok::<(), Error>(())
//! ```

mod background;
mod base64;
mod forgery;
mod session;
mod signer;

pub use background::BackgroundResult;
pub(crate) use background::{Background, run_future};
pub(crate) use forgery::is_forged;
pub use session::Session;
pub(crate) use session::save;
pub use signer::Signer;
