//! The session of a request: values in a signed cookie. It is written when it has changed.
//!
//! Clients can read it and cannot change it. The server keeps nothing, so a session cannot be revoked before it expires.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::signer::{MOST_BYTES, Signer};
use crate::error::Error;
use crate::message::{Request, Response, ResponseCookie, SameSite};

/// The name of the cookie.
pub(super) const NAME: &str = "session";
/// The value that holds messages for the next page.
const FLASHES: &str = "_flashes";

/// The session of one request: values by name, which JSON can hold. Clones are the same session.
///
/// A cookie holds it, signed: clients can read it, and it cannot be revoked before it expires (`Config::session_life`).
/// Changes are written with the answer; more than 4 KB are a 500 whose log names the largest value.
///
/// ```
/// use outside::{Error, OutsideHttp, Request, Response};
///
/// let mut server = OutsideHttp::new(("127.0.0.1", 8080))?;
/// server.config.secret = "a secret of at least thirty-two bytes".into();
/// server.post("/sign-in", |request: &Request| -> Result<Response, Error> {
///     let session = request.session()?;
///     session.clear(); // a session from before the sign-in is not the user's
///     session.insert("user", "ada")?;
///     session.flash("Welcome");
///     Ok(Response::redirect("/", 303))
/// })?;
/// server.get("/", |request: &Request| -> Result<String, Error> {
///     let session = request.session()?;
///     Ok(format!("{:?} {:?}", session.get::<String>("user"), session.flashes()))
/// })?;
///
/// let client = server.test_client()?;
/// client.post("/sign-in").send()?;
/// assert_eq!(client.get("/").send()?.text(), r#"Some("ada") ["Welcome"]"#);
/// assert_eq!(client.get("/").send()?.text(), r#"Some("ada") []"#);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Session(Arc<KeptSession>);

/// A session as the request keeps it.
#[derive(Debug)]
struct KeptSession {
    signer: Arc<Signer>,
    values: Mutex<SessionValues>,
}

#[derive(Debug, Default)]
struct SessionValues {
    now: Map<String, Value>,
    /// As the client has it.
    before: Map<String, Value>,
}

impl Session {
    /// The session of this request; an empty one without a cookie that holds.
    pub(crate) fn of(request: &Request, signer: impl FnOnce() -> Result<Arc<Signer>, Error>) -> Result<Self, Error> {
        if let Some(kept) = request.state::<KeptSession>() {
            return Ok(Self(kept));
        }
        let signer = signer()?;
        Ok(Self(request.state_or(|| {
            let before = read(request, &signer).unwrap_or_default();
            KeptSession { signer, values: Mutex::new(SessionValues { now: before.clone(), before }) }
        })))
    }

    /// The value of this name; `None` if there is none, or one that does not fit the type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        T::deserialize(self.lock().now.get(name)?).ok()
    }

    /// Whether there is a value of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.lock().now.contains_key(name)
    }

    /// Sets a value.
    ///
    /// # Errors
    /// JSON cannot hold the value.
    pub fn insert(&self, name: &str, value: impl Serialize) -> Result<(), Error> {
        let cannot = |error| Error::with_source(format!("the session cannot hold the value of {name:?}"), error);
        let value = serde_json::to_value(value).map_err(cannot)?;
        self.lock().now.insert(name.to_owned(), value);
        Ok(())
    }

    /// Removes a value. Returns whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        self.lock().now.remove(name).is_some()
    }

    /// Removes all values: the cookie is deleted. Belongs to signing in and to signing out.
    pub fn clear(&self) {
        self.lock().now.clear();
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.lock().now.is_empty()
    }

    /// Keeps a message for the next page, which takes it by [`Session::flashes`].
    pub fn flash(&self, message: &str) {
        self.flash_as("message", message);
    }

    /// The same with a category, such as `error`.
    pub fn flash_as(&self, category: &str, message: &str) {
        let mut values = self.lock();
        let flashes = values.now.entry(FLASHES).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(flashes) = flashes {
            flashes.push(Value::from(vec![category, message]));
        }
    }

    /// The messages that were kept, which are forgotten with this.
    pub fn flashes(&self) -> Vec<String> {
        self.flashes_with_categories().into_iter().map(|(_, message)| message).collect()
    }

    /// The same, each with its category before it.
    pub fn flashes_with_categories(&self) -> Vec<(String, String)> {
        let kept = self.lock().now.remove(FLASHES);
        kept.and_then(|kept| serde_json::from_value(kept).ok()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, SessionValues> {
        self.0.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(request: &Request, signer: &Signer) -> Option<Map<String, Value>> {
    let value = std::str::from_utf8(request.cookies().get(NAME)?).ok()?;
    serde_json::from_slice(&signer.verify(NAME, value, seconds())?).ok()
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Writes the session into the answer if it has changed; the answer varies with the cookie if the session was looked at.
///
/// # Errors
/// The session is too large for a cookie.
pub(crate) fn save(request: &Request, response: &mut Response) -> Result<(), Error> {
    let Some(session) = request.state::<KeptSession>().map(Session) else { return Ok(()) };
    vary(response)?;
    let mut values = session.lock();
    if values.now == values.before {
        return Ok(());
    }
    // A session that has changed is written once: an error page may come by here again.
    values.before = values.now.clone();
    let attributes = ResponseCookie {
        http_only: true,
        secure: request.scheme() == "https",
        path: Some("/".to_owned()),
        same_site: Some(SameSite::Lax),
        ..ResponseCookie::default()
    };
    let cookie = if values.now.is_empty() {
        ResponseCookie { max_age: Some(0), ..attributes }
    } else {
        let value = session.0.signer.sign(NAME, &serde_json::to_vec(&values.now)?, seconds());
        let size = NAME.len() + 1 + value.len();
        if size > MOST_BYTES {
            return Err(too_large(&values.now, size));
        }
        let life = i64::try_from(session.0.signer.life.as_secs()).unwrap_or(i64::MAX);
        ResponseCookie { value, max_age: Some(life), ..attributes }
    };
    response.headers_mut().append("Set-Cookie", cookie.to_field(NAME)?)
}

fn too_large(values: &Map<String, Value>, size: usize) -> Error {
    let largest = values.iter().max_by_key(|(_, value)| value.to_string().len()).map_or("", |(name, _)| name.as_str());
    Error::new(format!(
        "the session is {size} bytes as a cookie, and browsers take {MOST_BYTES}; the largest value is {largest:?}: keep it in a \
         database, and its key in the session"
    ))
}

/// Says that the answer depends on the cookie, so that no cache gives it to another client (RFC 9110 section 12.5.5).
fn vary(response: &mut Response) -> Result<(), Error> {
    let headers = response.headers_mut();
    let mut members: Vec<String> = Vec::new();
    for field in headers.get_all("Vary") {
        members.extend(String::from_utf8_lossy(field).split(',').map(|member| member.trim().to_owned()));
    }
    if members.iter().any(|member| member == "*" || member.eq_ignore_ascii_case("cookie")) {
        return Ok(());
    }
    members.push("Cookie".to_owned());
    headers.set("Vary", members.join(", "))
}
