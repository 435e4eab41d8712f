//! How many handlers may wait at a time, who is turned away, and what becomes of handlers that do not end.

use std::time::{Duration, Instant};

use outside::{Request, blocking};

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

/// A late call of a route is no reason to turn others of it away: it may have been a matter of milliseconds.
#[test]
fn a_burst_on_a_route_that_computes_is_not_turned_away() {
    let _turn = turn();
    let server = Running::start(|config| config.max_workers = 2);
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(server.address)).collect();
    // On a machine that is busy with other things a handler that computes may seem to wait.
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

/// Who has lost the loop is a worker as well.
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

/// Handlers that never end: eight are forgiven, the ninth takes a worker's place for as long as it likes.
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
        // Its turn comes when the one before is given up.
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
