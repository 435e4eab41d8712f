//! CORS: the origins whose pages may read answers, and the preflight requests of their browsers (Fetch standard,
//! section 3.2).

use super::body::Response;
use super::headers::Headers;
use super::name::{KnownHeader, is_token};
use super::origin::normalised_origin;
use super::request::Request;
use crate::error::Error;

/// The origins whose pages may read answers, and the requests that they may send.
///
/// ```
/// use outside::message::Cors;
/// let cors = Cors::new(["https://app.example.com"])?.with_credentials()?;
/// assert!(Cors::new(["*"])?.with_credentials().is_err());
/// # Ok::<(), outside::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Normalised; `None`: every origin.
    origins: Option<Vec<String>>,
    methods: String,
    /// Fields that requests may have; `None`: every field that is asked for.
    headers: Option<String>,
    expose: String,
    credentials: bool,
    max_age: String,
}

/// Browsers keep the answer to a preflight for at most two hours, even if a longer time is set (docs/security.md D38).
const LONGEST_MAX_AGE: u32 = 7200;

impl Cors {
    /// Pages of these origins, such as `https://example.com`; `*`: of every origin. With the usual methods, any fields,
    /// and without cookies; browsers remember this for ten minutes.
    ///
    /// # Errors
    /// A text is no origin.
    pub fn new<S: AsRef<str>>(origins: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        let mut listed = Some(Vec::new());
        for origin in origins {
            let origin = origin.as_ref();
            if origin == "*" {
                listed = None;
                continue;
            }
            // Every page in a sandbox has the origin `null`.
            let normalised = normalised_origin(origin.as_bytes()).filter(|origin| origin != "null");
            let normalised = normalised.ok_or_else(|| {
                Error::new(format!("an origin is a scheme and a host, such as \"https://example.com\", not {origin:?}"))
            })?;
            if let Some(listed) = &mut listed {
                listed.push(normalised);
            }
        }
        Ok(Self {
            origins: listed,
            methods: "GET, HEAD, POST, PUT, PATCH, DELETE".into(),
            headers: None,
            expose: String::new(),
            credentials: false,
            max_age: "600".into(),
        })
    }

    /// The same with cookies and other credentials of the user.
    ///
    /// # Errors
    /// The origins are not limited: any page on the web could act as its visiting user.
    pub fn with_credentials(mut self) -> Result<Self, Error> {
        if self.origins.is_none() {
            return Err(Error::new(
                "credentials are for listed origins only: with \"*\" any page could act as its visitor",
            ));
        }
        self.credentials = true;
        Ok(self)
    }

    /// The same with only these methods.
    ///
    /// # Errors
    /// A name is no token.
    pub fn with_methods<S: AsRef<str>>(mut self, methods: &[S]) -> Result<Self, Error> {
        self.methods = tokens(methods)?;
        Ok(self)
    }

    /// The same with only these fields in requests, beside those that need no permission.
    ///
    /// # Errors
    /// A name is no token.
    pub fn with_headers<S: AsRef<str>>(mut self, headers: &[S]) -> Result<Self, Error> {
        self.headers = Some(tokens(headers)?);
        Ok(self)
    }

    /// The same with these fields of answers visible to the page, beside those that always are.
    ///
    /// # Errors
    /// A name is no token.
    pub fn with_exposed<S: AsRef<str>>(mut self, headers: &[S]) -> Result<Self, Error> {
        self.expose = tokens(headers)?;
        Ok(self)
    }

    /// The same with another time for which browsers remember, in seconds, at most two hours.
    #[must_use]
    pub fn with_max_age(mut self, seconds: u32) -> Self {
        self.max_age = seconds.min(LONGEST_MAX_AGE).to_string();
        self
    }

    /// The answer to a preflight, if this request is one.
    pub(crate) fn preflight(&self, request: &Request) -> Option<Response> {
        let headers = request.headers();
        if request.method() != "OPTIONS" || !headers.contains("Origin") || !headers.contains(REQUEST_METHOD) {
            return None;
        }
        if !self.allows(request) {
            return Some(Response::text("This origin may not ask.\n").with_status(403));
        }
        let mut response = Response::new(204);
        let mut add = |name: &str, value: &[u8]| response.headers_mut().push_checked(name.as_bytes(), value);
        add("Access-Control-Allow-Methods", self.methods.as_bytes());
        let asked = headers.get_bytes("Access-Control-Request-Headers");
        match (&self.headers, asked) {
            (Some(listed), _) if !listed.is_empty() => add("Access-Control-Allow-Headers", listed.as_bytes()),
            (None, Some(asked)) if is_list_of_tokens(asked) => add("Access-Control-Allow-Headers", asked),
            _ => {}
        }
        add("Access-Control-Max-Age", self.max_age.as_bytes());
        add("Vary", b"Access-Control-Request-Method, Access-Control-Request-Headers");
        Some(response)
    }

    /// Adds the fields that the client's browser asks for to an answer. Fields that a handler has set stay.
    pub(crate) fn add_to(&self, headers: &mut Headers, request: Option<&Request>) {
        if headers.contains(ALLOW_ORIGIN) {
            return;
        }
        if self.origins.is_none() {
            headers.push_checked(ALLOW_ORIGIN.as_bytes(), b"*");
        } else {
            // The answer depends on the origin, also if it is missing.
            let varies = |value: &[u8]| {
                value.split(|&byte| byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"origin"))
            };
            if !headers.all_known(KnownHeader::Vary).any(varies) {
                headers.push_checked(b"Vary", b"Origin");
            }
            let Some(request) = request.filter(|request| self.allows(request)) else { return };
            let Some(origin) = request.headers().get_bytes("Origin") else { return };
            headers.push_checked(ALLOW_ORIGIN.as_bytes(), origin);
        }
        if self.credentials && !headers.contains("Access-Control-Allow-Credentials") {
            headers.push_checked(b"Access-Control-Allow-Credentials", b"true");
        }
        if !self.expose.is_empty() {
            headers.push_checked(b"Access-Control-Expose-Headers", self.expose.as_bytes());
        }
    }

    fn allows(&self, request: &Request) -> bool {
        let mut sent = request.headers().get_all("Origin");
        let (Some(origin), None) = (sent.next(), sent.next()) else { return false };
        let Some(listed) = &self.origins else { return true };
        normalised_origin(origin).is_some_and(|origin| listed.contains(&origin))
    }
}

const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";
const REQUEST_METHOD: &str = "Access-Control-Request-Method";

fn tokens<S: AsRef<str>>(names: &[S]) -> Result<String, Error> {
    match names.iter().find(|name| !is_token(name.as_ref().as_bytes())) {
        Some(bad) => Err(Error::new(format!("a method or a header name is a token, not {:?}", bad.as_ref()))),
        None => Ok(names.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ")),
    }
}

fn is_list_of_tokens(value: &[u8]) -> bool {
    value.len() <= 4096 && value.split(|&byte| byte == b',').all(|token| is_token(token.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::RequestParts;

    fn request(method: &str, fields: &[(&str, &str)]) -> Request {
        let headers: Vec<_> = fields.iter().map(|&(name, value)| (name, value.as_bytes())).collect();
        Request::from_parts(&RequestParts { method, headers: &headers, ..RequestParts::default() }).unwrap()
    }

    fn added(cors: &Cors, origin: &str) -> String {
        let mut headers = Headers::new();
        cors.add_to(&mut headers, Some(&request("GET", &[("Origin", origin)])));
        String::from_utf8(headers.wire().to_vec()).unwrap()
    }

    #[test]
    fn origins_that_may_read() {
        let listed = Cors::new(["https://App.example.com:443", "http://localhost:3000"]).unwrap();
        for (origin, allowed) in [
            ("https://app.example.com", true),
            ("http://localhost:3000", true),
            ("http://localhost", false),
            ("http://app.example.com", false),
            ("https://app.example.com.evil.com", false),
            ("null", false),
            ("", false),
        ] {
            let added = added(&listed, origin);
            assert!(added.starts_with("Vary: Origin\r\n"), "{added}");
            let field = format!("Access-Control-Allow-Origin: {origin}\r\n");
            assert_eq!(added.contains(&field) && !origin.is_empty(), allowed, "{origin}");
        }
        assert_eq!(added(&Cors::new(["*"]).unwrap(), "https://a.com"), "Access-Control-Allow-Origin: *\r\n");
        let cors = Cors::new(["https://a.com"]).unwrap().with_credentials().unwrap();
        let wanted =
            "Vary: Origin\r\nAccess-Control-Allow-Origin: https://a.com\r\nAccess-Control-Allow-Credentials: true\r\n";
        assert_eq!(added(&cors.with_exposed::<&str>(&[]).unwrap(), "https://a.com"), wanted);
    }

    #[test]
    fn preflights() {
        let cors = Cors::new(["https://a.com"]).unwrap();
        let ask = |fields: &[(&str, &str)]| {
            let origin = [("Origin", "https://a.com")];
            cors.preflight(&request("OPTIONS", &[&origin, fields].concat()))
        };
        assert!(ask(&[]).is_none(), "an OPTIONS of its own");
        let response =
            ask(&[(REQUEST_METHOD, "PUT"), ("Access-Control-Request-Headers", "x-a, content-type")]).unwrap();
        assert_eq!(response.status(), 204);
        assert_eq!(response.headers().get("Access-Control-Allow-Headers"), Some("x-a, content-type"));
        assert_eq!(response.headers().get("Access-Control-Max-Age"), Some("600"));
        let forged = ask(&[(REQUEST_METHOD, "PUT"), ("Access-Control-Request-Headers", "a b; c")]).unwrap();
        assert!(!forged.headers().contains("Access-Control-Allow-Headers"));
        let other = request("OPTIONS", &[("Origin", "https://b.com"), (REQUEST_METHOD, "PUT")]);
        assert_eq!(cors.preflight(&other).map(|response| response.status()), Some(403));
    }

    #[test]
    fn preflights_that_are_refused() {
        for origin in ["example.com", "https://a.com/path", "null", "", "https://*.a.com"] {
            assert!(Cors::new([origin]).is_err(), "{origin:?}");
        }
        assert!(Cors::new(["https://a.com", "*"]).unwrap().with_credentials().is_err());
        assert!(Cors::new(["*"]).unwrap().with_methods(&["G ET"]).is_err());
    }
}
