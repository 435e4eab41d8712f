//! The Rust face's part of an application: typed input, functions around handlers, errors, sessions, addresses, functions
//! afterwards, WebSockets of the test client, debug pages. Each file reads like the documentation of its subject.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod addresses;
mod around;
mod background;
mod debugging;
mod input;
mod notes;
mod sessions;
mod websockets;

use outside::OutsideHttp;
use outside::config::AccessLog;
use outside::test::{TestClient, TestResponse};

/// A server without a port and without access lines.
fn server() -> OutsideHttp {
    let mut server = OutsideHttp::new(("127.0.0.1", 0)).unwrap();
    server.config.access_log = AccessLog::Off;
    server
}

/// GET for this path.
fn get(client: &TestClient, target: &str) -> TestResponse {
    client.get(target).send().unwrap()
}

/// Status and content of an answer.
fn told(response: &TestResponse) -> (u16, String) {
    (response.status(), response.text())
}
