//! A client for tests. It speaks to a server in the same process; no port is bound.
//!
//! The server is real, with its codec, limits, executor, hooks and log; only the network is a pair of connected
//! sockets.

mod cookie_jar;
mod exchange;
mod response;
mod websocket;

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use percent_encoding::NON_ALPHANUMERIC;
use serde_core::Serialize;

use self::cookie_jar::CookieJar;
use self::exchange::exchange;
pub use self::response::TestResponse;
pub use self::websocket::TestWebSocket;
use super::OutsideHttp;
use crate::error::Error;
use crate::message::Headers;
use crate::server::{Control, Running};
use crate::transport::{ConnectionSource, Connector};

/// Longest time that a test waits for bytes.
const PATIENCE: Duration = Duration::from_secs(30);
const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

impl OutsideHttp {
    /// Starts the server without a port. It runs as long as the client exists.
    ///
    /// ```
    /// use outside::{OutsideHttp, Request, Response};
    ///
    /// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
    /// server.set_route("/hello", |request: &Request| format!("Hello, {}!", request.param("name").unwrap_or_else(|| "World".into())))?;
    ///
    /// let client = server.test_client()?;
    /// let response = client.get("/hello?name=Ada").send()?;
    /// assert_eq!((response.status(), response.text()), (200, "Hello, Ada!".into()));
    /// assert_eq!(client.get("/nothing").send()?.status(), 404);
    /// # Ok::<(), outside::Error>(())
    /// ```
    ///
    /// # Errors
    /// The server is running already, or the system refuses a thread.
    pub fn test_client(&self) -> Result<TestClient, Error> {
        let (connector, memory) = Connector::new();
        let server_run = self.enter()?;
        let (sink, control) = (Arc::clone(&self.sink), Arc::clone(&self.control));
        let wake_pipe = Arc::clone(&server_run.wake_pipe);
        let source = ConnectionSource::Memory(memory);
        let running = Running::start(source, &self.config, &self.site, &self.host, sink, (control, wake_pipe), None)?;
        let config = self.config.clone();
        let thread = std::thread::Builder::new().name("outside-test-server".into()).spawn(move || {
            let ended = running.serve(&config, || Ok::<(), Error>(()));
            drop(server_run);
            debug_assert!(ended.is_ok(), "nothing rings that could fail");
        })?;
        Ok(TestClient {
            connector,
            control: Arc::clone(&self.control),
            thread: Some(thread),
            connection: Mutex::default(),
            cookies: Mutex::default(),
        })
    }
}

/// A client of one server, without a network. It keeps cookies by name. Dropping it ends the server.
#[derive(Debug)]
pub struct TestClient {
    connector: Connector,
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
    connection: Mutex<Option<UnixStream>>,
    cookies: Mutex<CookieJar>,
}

impl TestClient {
    /// GET for this path, with its query.
    pub fn get(&self, target: &str) -> TestRequest<'_> {
        self.request("GET", target)
    }

    /// POST.
    pub fn post(&self, target: &str) -> TestRequest<'_> {
        self.request("POST", target)
    }

    /// PUT.
    pub fn put(&self, target: &str) -> TestRequest<'_> {
        self.request("PUT", target)
    }

    /// PATCH.
    pub fn patch(&self, target: &str) -> TestRequest<'_> {
        self.request("PATCH", target)
    }

    /// DELETE.
    pub fn delete(&self, target: &str) -> TestRequest<'_> {
        self.request("DELETE", target)
    }

    /// HEAD.
    pub fn head(&self, target: &str) -> TestRequest<'_> {
        self.request("HEAD", target)
    }

    /// Any method. The target is sent as it stands.
    pub fn request(&self, method: &str, target: &str) -> TestRequest<'_> {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
        TestRequest { client: self, head, content: None, is_head: method == "HEAD" }
    }

    /// The value of a cookie that the server has set.
    pub fn cookie(&self, name: &str) -> Option<String> {
        lock(&self.cookies).get(name)
    }

    /// Sets a cookie, as if the server had set it.
    pub fn set_cookie(&self, name: &str, value: &str) {
        lock(&self.cookies).set(name, value);
    }

    fn remember(&self, headers: &Headers) {
        lock(&self.cookies).remember(headers);
    }

    /// A new connection, on which a test writes and reads raw bytes.
    ///
    /// # Errors
    /// The server has ended.
    pub fn connect(&self) -> Result<UnixStream, Error> {
        let stream = self.connector.connect(CLIENT)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}

impl Drop for TestClient {
    fn drop(&mut self) {
        *lock(&self.connection) = None;
        self.control.terminate(false);
        if let Some(thread) = self.thread.take() {
            // A panic was printed on its own thread.
            drop(thread.join());
        }
    }
}

/// A request that is being put together.
#[derive(Debug)]
#[must_use = "a request is sent by send()"]
pub struct TestRequest<'a> {
    client: &'a TestClient,
    head: String,
    content: Option<Vec<u8>>,
    is_head: bool,
}

impl TestRequest<'_> {
    /// The same with one more header field, sent as it stands.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// The same with this content.
    pub fn content(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.content = Some(content.into());
        self
    }

    /// The same with JSON as its content: any value that `serde` can write.
    ///
    /// # Panics
    /// If JSON cannot hold the value.
    pub fn json(self, content: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(content) {
            Ok(text) => self.header("Content-Type", "application/json").content(text),
            Err(error) => panic!("this cannot be sent as JSON: {error}"),
        }
    }

    /// The same with the fields of a form as its content, url-encoded.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let encode = |text: &str| percent_encoding::utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        self.header("Content-Type", "application/x-www-form-urlencoded").content(pairs.join("&"))
    }

    /// Sends it and reads the answer.
    ///
    /// # Errors
    /// The server has ended, or closed the connection without an answer.
    pub fn send(self) -> Result<TestResponse, Error> {
        let (client, is_head, bytes) = (self.client, self.is_head, self.into_bytes());
        let mut connection = lock(&client.connection);
        let kept = connection.take();
        let is_kept = kept.is_some();
        let mut stream = kept.map_or_else(|| client.connect(), Ok)?;
        let mut exchanged = exchange(&mut stream, &bytes, is_head);
        if exchanged.is_err() && is_kept {
            // The server may have closed the connection while it was idle (RFC 9112 section 9.3.1).
            stream = client.connect()?;
            exchanged = exchange(&mut stream, &bytes, is_head);
        }
        let (response, may_be_used_again) = exchanged?;
        *connection = may_be_used_again.then_some(stream);
        client.remember(&response.headers);
        Ok(response)
    }

    /// The bytes of the request, with the cookies of the client.
    fn into_bytes(mut self) -> Vec<u8> {
        let cookies = lock(&self.client.cookies).to_field();
        if let Some(cookies) = cookies {
            self = self.header("Cookie", &cookies);
        }
        if let Some(content) = &self.content {
            let length = content.len().to_string();
            self = self.header("Content-Length", &length);
        }
        let mut bytes = self.head.into_bytes();
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.content.as_deref().unwrap_or_default());
        bytes
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::message::{Request, Response, ResponseCookie};

    fn server() -> OutsideHttp {
        let mut server = OutsideHttp::new(("192.0.2.1", 80)).unwrap();
        server.config.access_log = crate::config::AccessLog::Off;
        server.config.max_body_size = 1 << 20;
        let tell = |request: &Request| {
            Response::json(&serde_json::json!({
                "method": request.method(),
                "cookie": request.headers().get("Cookie"),
                "size": request.content().len(),
                "client": request.address().ip().to_string(),
            }))
        };
        server.set_route("/tell", tell).unwrap();
        server
            .set_route("/in", |_: &Request| Response::text("in").with_cookie("user", &ResponseCookie::new("ada")))
            .unwrap();
        server
            .set_route("/foreign", |_: &Request| {
                Response::text("x")
                    .with_header("Set-Cookie", "user=eve; Domain=evil.example")
                    .with_header("Set-Cookie", "own=1; domain=.LocalHost")
            })
            .unwrap();
        server
            .set_route("/out", |_: &Request| Response::text("out").with_header("Set-Cookie", "user=; Max-Age=0"))
            .unwrap();
        server.set_route("/stream", |_: &Request| Response::stream(["a", "bc", "def"].repeat(1000))).unwrap();
        server
    }

    #[test]
    fn requests_and_answers() {
        let server = server();
        let client = server.test_client().unwrap();
        let told = client.post("/tell").json(&serde_json::json!([1, 2])).send().unwrap().json().unwrap();
        assert_eq!((&told["method"], &told["size"], &told["client"]), (&"POST".into(), &5.into(), &"127.0.0.1".into()));
        let head = client.head("/tell").send().unwrap();
        assert_eq!((head.status(), head.content()), (200, &b""[..]));
        assert_eq!(client.get("/stream").send().unwrap().content().len(), 6000);
        assert_eq!(client.get("/none").send().unwrap().status(), 404);
        assert_eq!(client.get("/a b").send().unwrap().status(), 400);
        assert_eq!(client.put("/tell").content(vec![0; 4 << 20]).send().unwrap().status(), 413);
        assert_eq!(client.delete("/tell").send().unwrap().status(), 200, "on a connection of its own again");
        assert!(server.address().is_none(), "nothing listens");
    }

    #[test]
    fn cookies_are_kept_until_they_are_taken_away() {
        let server = server();
        let client = server.test_client().unwrap();
        let sent = || client.get("/tell").send().unwrap().json().unwrap()["cookie"].clone();
        assert_eq!(sent(), Value::Null);
        client.get("/in").send().unwrap();
        assert_eq!((sent(), client.cookie("user")), ("user=ada".into(), Some("ada".into())));
        client.get("/out").send().unwrap();
        assert_eq!(sent(), Value::Null);
        client.get("/foreign").send().unwrap();
        assert_eq!(sent(), "own=1");
    }

    #[test]
    fn one_run_at_a_time() {
        let server = server();
        let client = server.test_client().unwrap();
        assert!(server.test_client().unwrap_err().to_string().contains("running already"));
        drop(client);
        assert_eq!(server.test_client().unwrap().get("/tell").send().unwrap().status(), 200);
    }
}
