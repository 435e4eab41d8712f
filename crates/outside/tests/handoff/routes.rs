//! Routes with patterns, and asynchronous handlers on the reactor's runtime, in the Rust face.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use outside::handler::asynchronous;
use outside::message::Parameter;
use outside::{OutsideHttp, Request, Response};

use super::turn;
use crate::client::{Client, DEADLINE, get};
use outside_test_support::server::Running;

fn ask(client: &mut Client, method: &str, target: &str) -> (u16, String, Option<String>) {
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").as_bytes());
    let answer = client.receive();
    let allow = answer.header("Allow").map(str::to_owned);
    (answer.status, answer.body, allow)
}

#[test]
fn patterns_answer_whole_paths_for_their_methods() {
    let _turn = turn();
    let running = Running::start(|_| {});
    let server = &running.server;
    let shown = |request: &Request| {
        let parameters =
            request.parameters().map(|parameters| parameters.iter().map(|(name, value)| format!("{name}={value}")));
        format!("{} {}", request.method(), parameters.into_iter().flatten().collect::<Vec<_>>().join(","))
    };
    server.get("/users/{id:int}", shown).unwrap();
    server.delete("/users/<name>", shown).unwrap();
    server.route("/files/{rest:path}", &["GET", "PUT"], shown).unwrap();
    server.set_route("/", |_: &Request| "rest").unwrap();
    let mut client = Client::connect(running.address);
    for (method, target, status, body) in [
        ("GET", "/users/7", 200, "GET id=7"),
        ("DELETE", "/users/7", 200, "DELETE name=7"),
        ("PUT", "/files/a/b%20c", 200, "PUT rest=a/b c"),
        ("GET", "/users", 200, "rest"),
        ("POST", "/users/7", 405, "405 Method Not Allowed\n"),
    ] {
        let (answered, text, _) = ask(&mut client, method, target);
        assert_eq!((answered, text.as_str()), (status, body), "{method} {target}");
    }
    assert_eq!(
        ask(&mut client, "OPTIONS", "/users/7"),
        (204, String::new(), Some("DELETE, GET, HEAD, OPTIONS".to_owned()))
    );
    assert_eq!(ask(&mut client, "POST", "/files/x").2.as_deref(), Some("GET, HEAD, OPTIONS, PUT"));
    assert!(server.remove_pattern("/users/{id:int}"));
    assert_eq!(ask(&mut client, "DELETE", "/users/7").0, 200);
    assert_eq!(ask(&mut client, "GET", "/users/7").0, 405);
}

#[test]
fn two_of_the_same_are_an_error_that_shows_both() {
    let server = OutsideHttp::new(("127.0.0.1", 0)).unwrap();
    server.get("/users/{id:int}", |_: &Request| "").unwrap();
    let error = server.get("/users/<int:number>", |_: &Request| "").unwrap_err().to_string();
    assert_eq!(error.matches(file!()).count(), 2, "{error}");
    assert_eq!(server.patterns().len(), 1);
}

#[test]
fn asynchronous_handlers_wait_beside_one_another() {
    let _turn = turn();
    let running = Running::start(|_| {});
    let (waiting, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Notify::new()));
    let handler = move |request: Arc<Request>| {
        let (waiting, all) = (Arc::clone(&waiting), Arc::clone(&all));
        async move {
            let notified = all.notified();
            if waiting.fetch_add(1, Ordering::SeqCst) + 1 == 20 {
                all.notify_waiters();
            } else {
                notified.await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            let number = request.parameter("number").and_then(Parameter::as_int).unwrap_or_default();
            Response::text(number.to_string())
        }
    };
    running.server.get("/{number:int}", asynchronous(handler)).unwrap();
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(running.address)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&get(&format!("/{number}")));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.receive().body, number.to_string());
    }
}

/// Counts when it is dropped.
struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn an_asynchronous_handler_ends_with_its_client_its_time_or_its_panic() {
    let _turn = turn();
    let running = Running::start(|config| config.process_timeout = Duration::from_millis(300));
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (starts, ends) = (Arc::clone(&begun), Arc::clone(&ended));
    running.set_route(
        "/forever",
        asynchronous(move |_| {
            starts.fetch_add(1, Ordering::SeqCst);
            let guard = Guard(Arc::clone(&ends));
            async move {
                std::future::pending::<()>().await;
                drop(guard);
            }
        }),
    );
    running.set_route(
        "/panic",
        asynchronous(|_| async {
            if true {
                panic!("of a test")
            }
        }),
    );
    running.set_route("/fine", asynchronous(|_| async { "fine" }));
    let wait_for = |counter: &AtomicUsize, count: usize| {
        let began = Instant::now();
        while counter.load(Ordering::SeqCst) < count {
            assert!(began.elapsed() < DEADLINE, "not in time");
            std::thread::yield_now();
        }
    };
    let mut late = Client::connect(running.address);
    assert_eq!(late.ask("/forever").status, 504);
    wait_for(&ended, 1);
    let mut gone = Client::connect(running.address);
    gone.send(&get("/forever"));
    wait_for(&begun, 2);
    drop(gone);
    wait_for(&ended, 2);
    let mut client = Client::connect(running.address);
    assert_eq!(client.ask("/panic").status, 500);
    assert_eq!(client.ask("/fine").body, "fine");
}
