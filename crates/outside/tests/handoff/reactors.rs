//! Two event loops in one process: each answers, none waits for the other, and the bounds and the end are those of one
//! server.

use std::collections::HashMap;
use std::io::Read as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use outside::handler::never_blocking;
use outside::{Config, Request};

use super::turn;
use crate::client::{self, Client, get};
use outside_test_support::latch::Latch;
use outside_test_support::server::Running;

use crate::server::start_on;

fn two(config: &mut Config) {
    config.reactors = 2;
}

/// The name of a handler's thread tells its reactor as long as no call is late.
fn serving_thread(_: &Request) -> String {
    format!("{:?}", thread::current().id())
}

#[test]
fn both_answer_however_clients_are_spread() {
    let _turn = turn();
    for shared in [false, true] {
        let server = start_on(shared, two);
        server.set_route("/who", never_blocking(serving_thread));
        let mut clients: Vec<Client> = (0..40).map(|_| Client::connect(server.address)).collect();
        let mut answered: HashMap<String, usize> = HashMap::new();
        for client in &mut clients {
            *answered.entry(client.ask("/who").body).or_default() += 1;
        }
        let mut shares: Vec<usize> = answered.values().copied().collect();
        shares.sort_unstable();
        println!("40 connections on two reactors, {}: {shares:?}", if shared { "one queue" } else { "two queues" });
        // A call may have been late, so that another thread has taken over.
        let most = shares.last().copied().unwrap();
        assert!(shares.len() >= 2 && most <= 28, "{shares:?}");
    }
}

#[test]
fn requests_from_many_connections_are_answered_once_each() {
    let _turn = turn();
    let server = Running::start(two);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    server.set_route("/number", move |request: &Request| {
        counted.fetch_add(1, Ordering::Relaxed);
        if request.query().ends_with("77") {
            thread::sleep(Duration::from_millis(2));
        }
        request.query().to_owned()
    });
    const CLIENTS: usize = 32;
    const EACH: usize = 300;
    let clients = (0..CLIENTS).map(|number| {
        let address = server.address;
        thread::spawn(move || {
            let mut client = Client::connect(address);
            for request in 0..EACH {
                if request % 100 == 99 {
                    client = Client::connect(address);
                }
                let asked = format!("{number}-{request}");
                assert_eq!(client.ask(&format!("/number?{asked}")).body, asked);
            }
        })
    });
    clients.collect::<Vec<_>>().into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(calls.load(Ordering::Relaxed), CLIENTS * EACH);
}

#[test]
fn a_slow_handler_of_one_does_not_delay_the_other() {
    let _turn = turn();
    let server = Running::start(two);
    let latch = Latch::new();
    server.set_route("/wait", latch.handler("done"));
    server.set_route("/hello", |_: &Request| "hello");
    let mut waiting: Vec<Client> = (0..4).map(|_| Client::connect(server.address)).collect();
    waiting.iter_mut().for_each(|client| client.send(&get("/wait")));
    latch.wait_for_arrivals(4);
    let mut others: Vec<Client> = (0..8).map(|_| Client::connect(server.address)).collect();
    let began = Instant::now();
    for round in 0..800 {
        assert_eq!(others[round % 8].ask("/hello").body, "hello");
    }
    println!("800 answers beside four handlers that wait: {:.0} ms", began.elapsed().as_secs_f64() * 1000.0);
    latch.open();
    waiting.iter_mut().for_each(|client| assert_eq!(client.receive().body, "done"));
}

#[test]
fn the_end_is_that_of_both() {
    let _turn = turn();
    let server = Running::start(two);
    let latch = Latch::new();
    server.set_route("/wait", latch.handler("done"));
    let mut idle: Vec<Client> = (0..8).map(|_| Client::connect(server.address)).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.ask("/").status, 404));
    let mut waiting: Vec<Client> = (0..8).map(|_| Client::connect(server.address)).collect();
    waiting.iter_mut().for_each(|client| client.send(&get("/wait")));
    latch.wait_for_arrivals(8);
    let address = server.address;
    server.server.terminate(false);
    for client in &mut idle {
        assert_eq!(client.stream.read(&mut [0]).unwrap(), 0, "idle connections of both are closed");
    }
    assert!(TcpStream::connect(address).is_err(), "nobody is accepted any more");
    latch.open();
    for client in &mut waiting {
        let answer = client.receive();
        assert_eq!((answer.header("Connection"), answer.body.as_str()), (Some("close"), "done"));
    }
    server.stop();
}

#[test]
fn connections_are_bounded_together() {
    let _turn = turn();
    let server = Running::start(|config| {
        two(config);
        config.max_connections = Some(6);
    });
    let latch = Latch::new();
    server.set_route("/wait", latch.handler("done"));
    let mut clients: Vec<Client> = (0..12).map(|_| Client::connect(server.address)).collect();
    clients.iter_mut().for_each(|client| client.send(&get("/wait")));
    latch.wait_for_arrivals(6);
    client::wait_until_accepted(&clients, 7);
    assert_eq!(latch.arrived(), 6, "whoever is accepted beyond the bound stands at the door");
    latch.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.receive().body, "done"));
    assert_eq!(latch.arrived(), 12);
}

/// An accepted connection is answered, even if there was no room for it until the end had begun.
#[test]
fn clients_in_the_queue_are_served_before_the_end() {
    let _turn = turn();
    for reactors in [1, 2] {
        let server = Running::start(|config| {
            config.reactors = reactors;
            config.max_connections = Some(1);
        });
        let latch = Latch::new();
        server.set_route("/wait", latch.handler("done"));
        let mut first = Client::connect(server.address);
        first.send(&get("/wait"));
        latch.wait_for_arrivals(1);
        let mut second = Client::connect(server.address);
        second.send(&get("/wait"));
        client::wait_until_accepted(std::slice::from_ref(&second), 1);
        server.server.terminate(false);
        latch.wait_for_arrivals(2);
        latch.open();
        for client in [&mut first, &mut second] {
            assert_eq!(client.receive().body, "done");
        }
        server.stop();
    }
}
