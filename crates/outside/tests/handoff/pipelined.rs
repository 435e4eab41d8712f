//! Several requests in one write: a late answer delays the answers behind it, and none before it.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outside::Request;
use outside::handler::blocking;

use super::turn;
use crate::client::{Client, get};
use outside_test_support::latch::Latch;
use outside_test_support::server::Running;

fn send_all(client: &mut Client, targets: &[&str]) {
    client.send(&targets.iter().flat_map(|target| get(target)).collect::<Vec<u8>>());
}

#[test]
fn finished_answers_do_not_wait_for_a_late_one() {
    let _turn = turn();
    let server = Running::start(|_| {});
    let (latch, pooled) = (Latch::new(), Latch::new());
    server.set_route("/number", |request: &Request| request.query().to_owned());
    server.set_route("/wait", latch.handler("awake"));
    server.set_route("/pooled", blocking(pooled.handler("awake")));
    for (route, latch) in [("/wait", latch), ("/pooled", pooled)] {
        let mut client = Client::connect(server.address);
        send_all(&mut client, &["/number?1", "/number?2", route, "/number?3", "/number?4"]);
        for number in 1..3 {
            assert_eq!(client.receive().body, number.to_string());
        }
        latch.wait_for_arrivals(1);
        latch.open();
        assert_eq!(client.receive().body, "awake");
        for number in 3..5 {
            assert_eq!(client.receive().body, number.to_string());
        }
        assert_eq!(client.ask("/number?5").body, "5", "and the connection goes on");
    }
}

#[test]
fn at_the_deadline_only_late_and_unbegun_calls_are_given_up() {
    let _turn = turn();
    for pooled in [false, true] {
        let server = Running::start(|config| config.process_timeout = Duration::from_millis(300));
        let (latch, calls) = (Latch::new(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&calls);
        server.set_route("/count", move |request: &Request| {
            counted.fetch_add(1, Ordering::SeqCst);
            request.query().to_owned()
        });
        match pooled {
            false => server.set_route("/wait", latch.handler("too late")),
            true => server.set_route("/wait", blocking(latch.handler("too late"))),
        }
        let mut client = Client::connect(server.address);
        send_all(&mut client, &["/count?1", "/count?2", "/wait", "/count?3", "/count?4"]);
        for number in 1..3 {
            assert_eq!(client.receive().body, number.to_string());
        }
        let statuses = [client.receive().status, client.receive().status];
        let last = client.receive();
        assert_eq!((statuses, last.status, last.header("Connection")), ([504, 504], 504, Some("close")));
        assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
        latch.open();
        server.stop();
        assert_eq!(calls.load(Ordering::SeqCst), 2, "what had not begun by then never did");
    }
}
