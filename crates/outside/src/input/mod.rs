//! The input of a request as values of the program's own types, by `serde`: JSON, forms, the query, parameters of the path.
//!
//! Input that does not fit is answered with 422 and a problem document (RFC 9457) that names each place; content that is no
//! JSON with 400, content of another type with 415. A handler takes such values by hand, or as its second argument:
//!
//! ```
//! use outside::input::{Json, Path};
//! use outside::{OutsideHttp, Request};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Issue {
//!     title: String,
//!     #[serde(default)]
//!     labels: Vec<String>,
//! }
//!
//! let server = OutsideHttp::new(("127.0.0.1", 8080))?;
//! server.post("/issues", |_: &Request, Json(issue): Json<Issue>| (Json(issue), 201))?;
//! server.get("/issues/{id:int}", |_: &Request, Path(id): Path<u64>| format!("issue {id}"))?;
//!
//! let client = server.test_client()?;
//! let answer = client.post("/issues").json(&serde_json::json!({ "title": "It rains" })).send()?;
//! assert_eq!((answer.status(), answer.text()), (201, r#"{"title":"It rains","labels":[]}"#.into()));
//! let answer = client.post("/issues").json(&serde_json::json!({ "title": "It rains", "labels": ["sky", 7] })).send()?;
//! assert_eq!(answer.status(), 422);
//! assert!(answer.text().contains(r#""at":["labels",1]"#));
//! # Ok::<(), outside::Error>(())
//! ```

mod extract;
mod json;
mod pairs;
mod refusal;
mod request;
mod text;

pub use extract::{FormFields, FromRequest, Input, Path, Query, State};
pub use json::Json;
