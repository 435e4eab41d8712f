//! The number of handlers that may wait, the requests that are refused beyond it, and handlers that never end.

use std::io::Read as _;
use std::time::{Duration, Instant};

use outside::Request;
use outside::handler::blocking;

use super::{milliseconds, turn};
use crate::client::{self, Client, get};
use outside_test_support::latch::Latch;
use outside_test_support::server::Running;

#[test]
fn the_pool_has_a_bound_and_a_queue() {
    let _turn = turn();
    let server = Running::start(|config| config.max_workers = 2);
    let latch = Latch::new();
    server.set_route("/wait", blocking(latch.handler("done")));
    server.set_route("/hello", |_: &Request| "hello");
    let began = Instant::now();
    let mut clients: Vec<Client> = Vec::new();
    for index in 0..12 {
        let mut client = Client::connect(server.address);
        client.send(&get("/wait"));
        clients.push(client);
        if index == 1 {
            latch.wait_for_arrivals(2);
        }
    }
    let (waiting, refused) = client::wait_for_answers(clients, 2);
    for mut client in refused {
        let answer = client.receive();
        assert_eq!((answer.status, answer.header("Retry-After").is_some()), (503, true));
    }
    let at_once = began.elapsed();
    assert_eq!(Client::connect(server.address).ask("/hello").body, "hello", "other routes are not concerned");
    assert_eq!(latch.arrived(), 2, "no more than max_workers run");
    let (running, late) = client::wait_for_answers(waiting, 8);
    let waited = began.elapsed();
    for mut client in late {
        let answer = client.receive();
        assert_eq!((answer.status, answer.header("Retry-After").is_some()), (503, true));
    }
    println!("refused at once after {:.1} ms, the others after {:.0} ms", milliseconds(at_once), milliseconds(waited));
    assert!(at_once <= Duration::from_secs(1));
    assert!(waited >= Duration::from_secs(5) && waited <= Duration::from_secs(7), "{waited:?}");
    latch.open();
    for mut client in running {
        assert_eq!(client.receive().body, "done");
    }
    assert_eq!(latch.arrived(), 2, "who was turned away has not run");
}

/// A route that blocks for the first time is not called a second time on the event loop's thread while that call lasts.
#[test]
fn a_route_that_hangs_takes_no_more_threads_than_the_pool_has() {
    let _turn = turn();
    let server = Running::start(|config| config.max_workers = 3);
    let latch = Latch::new();
    server.set_route("/wait", latch.handler("done"));
    server.set_route("/hello", |_: &Request| "hello");
    let mut clients: Vec<Client> = (0..12).map(|_| Client::connect(server.address)).collect();
    clients.iter_mut().for_each(|client| client.send(&get("/wait")));
    latch.wait_for_arrivals(3);
    let mut other = Client::connect(server.address);
    (0..1000).for_each(|_| assert_eq!(other.ask("/hello").body, "hello"));
    let guests = latch.arrived();
    latch.open();
    for mut client in clients {
        assert!(matches!(client.receive().status, 200 | 503));
    }
    assert!(guests <= 4, "{guests} calls of one route at a time, with max_workers = 3");
}

/// A late call of a route does not lead to refusals of other calls: it may be late by milliseconds.
#[test]
fn a_burst_on_a_route_that_computes_is_not_turned_away() {
    let _turn = turn();
    let server = Running::start(|config| config.max_workers = 2);
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(server.address)).collect();
    // On a busy machine a handler that computes may seem to wait.
    let none_refused = (0..4).any(|attempt| {
        let route = format!("/compute{attempt}");
        server.set_route(&route, |_: &Request| {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(4) {
                std::hint::spin_loop();
            }
            "done"
        });
        clients.iter_mut().for_each(|client| client.send(&get(&route)));
        let statuses: Vec<u16> = clients.iter_mut().map(|client| client.receive().status).collect();
        assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
        statuses.iter().all(|&status| status == 200)
    });
    assert!(none_refused);
}

/// A thread that has lost the loop counts as a worker as well.
#[test]
fn late_handlers_count_as_workers() {
    let _turn = turn();
    let server = Running::start(|config| config.max_workers = 2);
    let (late, pooled) = (Latch::new(), Latch::new());
    let mut clients: Vec<Client> = (0..2).map(|_| Client::connect(server.address)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        server.set_route(&format!("/late{number}"), late.handler("late"));
        client.send(&get(&format!("/late{number}")));
    }
    late.wait_for_arrivals(2);
    server.set_route("/pooled", blocking(pooled.handler("pooled")));
    server.set_route("/hello", |_: &Request| "hello");
    let mut third = Client::connect(server.address);
    third.send(&get("/pooled"));
    let mut other = Client::connect(server.address);
    (0..1000).for_each(|_| assert_eq!(other.ask("/hello").body, "hello"));
    assert_eq!(pooled.arrived(), 0, "two are late, and two may work");
    late.open();
    pooled.wait_for_arrivals(1);
    pooled.open();
    assert_eq!(third.receive().body, "pooled");
    clients.iter_mut().for_each(|client| assert_eq!(client.receive().body, "late"));
}

/// Handlers that never end: eight are tolerated, the ninth takes a worker's place as long as it runs.
#[test]
fn threads_that_do_not_come_back_are_given_up() {
    let _turn = turn();
    let server = Running::start(|config| {
        config.max_workers = 1;
        config.process_timeout = Duration::from_millis(150);
        config.termination_timeout = Duration::from_millis(150);
    });
    let latch = Latch::new();
    server.set_route("/hang", blocking(latch.handler("never")));
    server.set_route("/pooled", blocking(|_: &Request| "pooled"));
    server.set_route("/hello", |_: &Request| "hello");
    for _ in 0..8 {
        assert_eq!(Client::connect(server.address).ask("/hang").status, 504);
        // Its turn comes when the one before has been abandoned.
        let until = Instant::now() + client::DEADLINE;
        while Client::connect(server.address).ask("/pooled").status != 200 {
            assert!(Instant::now() < until, "no worker came free");
        }
    }
    assert_eq!(Client::connect(server.address).ask("/hang").status, 504);
    assert_eq!(latch.arrived(), 9);
    for _ in 0..4 {
        assert_eq!(Client::connect(server.address).ask("/pooled").status, 504);
    }
    assert_eq!(Client::connect(server.address).ask("/hello").body, "hello", "who needs no thread is not concerned");
    latch.open();
    let until = Instant::now() + client::DEADLINE;
    while Client::connect(server.address).ask("/pooled").status != 200 {
        assert!(Instant::now() < until, "the worker is not back");
    }
}

/// Connections that have their last answer, and whose clients neither read on nor close, keep no other client out.
#[test]
fn connections_that_are_being_closed_give_way() {
    let _turn = turn();
    let server = Running::start(|config| config.max_connections = Some(4));
    server.set_route("/hello", |_: &Request| "hello");
    let began = Instant::now();
    // The content is refused by its length; the connection has half a minute to be closed in good order.
    let refused = b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n";
    let last_answer = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for requests in [&refused[..], &last_answer[..]] {
        let closing: Vec<Client> = (0..4)
            .map(|_| {
                let mut client = Client::connect(server.address);
                client.send(requests);
                assert_eq!(client.receive().header("Connection"), Some("close"));
                client
            })
            .collect();
        for _ in 0..4 {
            assert_eq!(Client::connect(server.address).ask("/hello").body, "hello");
        }
        drop(closing);
    }
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(15), "{waited:?}: they were waited for");
}

/// A connection that rests between two requests keeps its place as long as there is one that is being closed.
#[test]
fn a_connection_that_rests_outlasts_those_that_are_being_closed() {
    let _turn = turn();
    let server = Running::start(|config| config.max_connections = Some(3));
    server.set_route("/hello", |_: &Request| "hello");
    let mut resting = Client::connect(server.address);
    assert_eq!(resting.ask("/hello").body, "hello");
    let refused = b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n";
    let closing: Vec<Client> = (0..2)
        .map(|_| {
            let mut client = Client::connect(server.address);
            client.send(refused);
            assert_eq!(client.receive().status, 413);
            // The server closes its side when the client has all bytes: from then on the connection may be shed.
            assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
            client
        })
        .collect();
    let mut newest = Client::connect(server.address);
    assert_eq!(newest.ask("/hello").body, "hello");
    assert_eq!(resting.ask("/hello").body, "hello", "it has kept its place");
    drop(closing);
}
