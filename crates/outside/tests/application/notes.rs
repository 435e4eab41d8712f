//! The program `examples/notes.rs`, driven as its users do: by a test client, and through a port.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use outside::OutsideHttp;
use serde_json::{Value, json};

use super::{get, server};

#[expect(dead_code, unreachable_pub, reason = "its main runs it as a program of its own")]
#[path = "../../examples/notes.rs"]
mod program;

fn application() -> OutsideHttp {
    let mut server = server();
    server.config.secret = "a secret of at least thirty-two bytes".into();
    program::application(&server).unwrap();
    server
}

#[test]
fn a_user_signs_in_and_keeps_notes() {
    let server = application();
    let client = server.test_client().unwrap();
    assert!(get(&client, "/").text().contains("Sign in"));
    assert_eq!(client.post("/notes").form(&[("text", "a")]).send().unwrap().status(), 401);
    let asked = client.post("/notes").header("Accept", "text/html").form(&[("text", "a")]).send().unwrap();
    assert_eq!((asked.status(), asked.headers().get("Location")), (303, Some("/")));
    assert!(get(&client, "/").text().contains("<b>Please sign in</b>"));

    let signed_in = client.post("/sign-in").form(&[("name", "Ada <3")]).send().unwrap();
    assert_eq!((signed_in.status(), signed_in.headers().get("X-Frame-Options")), (303, Some("DENY")));
    let start = get(&client, "/").text();
    assert!(start.contains("Welcome, Ada &lt;3") && start.contains("action=/notes"), "{start}");

    let mut live = client.websocket("/live").open().unwrap();
    assert_eq!(client.post("/notes").form(&[("text", "buy <milk>")]).send().unwrap().status(), 303);
    let made = client.post("/api/notes").json(&json!({ "text": "call" })).send().unwrap();
    assert_eq!((made.status(), made.headers().get("Location")), (201, Some("/notes/2")));
    let told: [Value; 2] = [live.recv_json().unwrap(), live.recv_json().unwrap()];
    assert_eq!(told, [json!({ "id": 1, "author": "Ada <3", "text": "buy <milk>" }), made.json().unwrap()]);
    assert_eq!(get(&client, "/api/notes").json(), Some(json!(told)));
    assert_eq!(get(&client, "/notes/2").json(), made.json());
    assert_eq!(get(&client, "/notes/3").status(), 404);
    let found = get(&client, "/?q=milk").text();
    assert!(found.contains("<a href=\"/notes/1\">buy &lt;milk></a>") && !found.contains("call"), "{found}");

    let empty = client.post("/api/notes").json(&json!({ "text": " " })).send().unwrap();
    assert_eq!(
        (empty.status(), &empty.json().unwrap()["errors"][0]),
        (422, &json!({ "in": "body", "at": ["text"], "message": "a note has a text" }))
    );
    let forged = client.post("/notes").header("Sec-Fetch-Site", "cross-site").form(&[("text", "a")]).send().unwrap();
    assert_eq!(forged.status(), 403);
}

#[test]
fn it_serves_on_a_port() {
    let server = Arc::new(application());
    let running = Arc::clone(&server);
    let thread = std::thread::spawn(move || running.run_telling(|_| ()));
    assert!(server.wait_until_ready(Some(outside_test_support::deadline::DEADLINE)));
    let mut stream = TcpStream::connect(server.address().and_then(|address| address.socket_addr()).unwrap()).unwrap();
    stream.write_all(b"GET /api/notes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n[]"), "{answer}");
    server.terminate(false);
    thread.join().unwrap().unwrap();
}
