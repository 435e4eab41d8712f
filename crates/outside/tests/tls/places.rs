//! Several listeners of one server, each with its own certificates or none, and the hosts that are served there.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use outside::config::AccessLog;
use outside::listen::{Endpoint, Security};
use outside::{Error, OutsideHttp, Request, Response};

use crate::certificates::Authority;
use crate::client::{DEADLINE, answer, begin, connect, trusting};

/// Runs a server during `work`, which gets the endpoints.
fn run(server: OutsideHttp, work: impl FnOnce(&OutsideHttp, &[SocketAddr])) {
    let server = Arc::new(server);
    let running = Arc::clone(&server);
    let thread = thread::spawn(move || running.run_entered::<Error>(running.enter()?, |_| (), || Ok(())));
    assert!(server.wait_until_ready(Some(DEADLINE)), "not ready in time");
    let endpoints = server.endpoints();
    let addresses: Vec<_> = endpoints.iter().filter_map(|endpoint| endpoint.address.socket_addr()).collect();
    work(&server, &addresses);
    server.terminate(true);
    thread.join().unwrap().unwrap();
    assert_eq!(server.endpoints(), []);
}

fn get(client: &mut (impl std::io::Read + Write), target: &str, host: &str) -> String {
    write!(client, "GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    String::from_utf8(answer(client)).unwrap()
}

fn server() -> OutsideHttp {
    let mut server = OutsideHttp::new(("127.0.0.1", 0)).unwrap();
    server.config.access_log = AccessLog::Off;
    server
}

#[test]
fn places_of_every_kind_from_several_event_loops() {
    let authority = Authority::new();
    let mut server = server();
    server.config.reactors = 2;
    server.config.ssl_certificates = vec![authority.files("one", &["one.example"])];
    server.listen(("127.0.0.1", 0), Security::Tls).unwrap();
    server.listen(("127.0.0.1", 0), Security::Own(vec![authority.files("two", &["two.example"])])).unwrap();
    server.set_route("/", |request: &Request| Response::text(format!("hello over {}", request.scheme()))).unwrap();
    let trusting = Arc::new(trusting(&authority));
    run(server, |server, addresses| {
        let shown: Vec<String> = server.endpoints().iter().map(Endpoint::to_string).collect();
        assert!(shown[0].starts_with("http://127") && shown[1..].iter().all(|url| url.starts_with("https://127")));
        for _ in 0..4 {
            assert!(get(&mut connect(addresses[0]), "/", "x").ends_with("hello over http"));
            for (address, name) in [(addresses[1], "one.example"), (addresses[2], "two.example")] {
                assert!(get(&mut begin(&trusting, address, name), "/", name).ends_with("hello over https"), "{name}");
            }
        }
    });
}

#[test]
fn hosts_routes_and_the_way_to_tls() {
    let authority = Authority::new();
    let mut server = server();
    server.config.ssl_enabled = true;
    server.config.ssl_certificates = vec![authority.files("main", &["a.example", "*.b.example", "127.0.0.1"])];
    server.config.https_redirect = Some((None, 0));
    server.config.hsts = Some(DEADLINE);
    server.config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    server.set_route("/", |request: &Request| Response::text(format!("any of {}", request.address().ip()))).unwrap();
    server.set_route_for("*.b.example", "/", |_: &Request| Response::text("below b")).unwrap();
    let trusting = Arc::new(trusting(&authority));
    run(server, |server, addresses| {
        let [secure, redirect] = addresses else { panic!("{addresses:?}") };
        let mut client = begin(&trusting, *secure, "x.b.example");
        let below = get(&mut client, "/", "x.b.example");
        assert!(
            below.contains("\r\nStrict-Transport-Security: max-age=20\r\n") && below.ends_with("below b"),
            "{below}"
        );
        let forwarded = "a.example\r\nX-Forwarded-For: 9.9.9.9, 192.0.2.7";
        assert!(get(&mut client, "/", forwarded).ends_with("any of 192.0.2.7"));
        server.remove_route_for("*.B.example", "/").unwrap();
        assert!(get(&mut client, "/", "x.b.example").ends_with("any of 127.0.0.1"));
        for (host, location) in [
            ("A.example:80", Some("a.example")),
            ("x.b.example", Some("x.b.example")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("b.example", None),
            ("x.y.b.example", None),
            ("evil.example", None),
        ] {
            let answer = get(&mut connect(*redirect), "/p?q", host);
            match location {
                Some(name) => {
                    let location = format!("\r\nLocation: https://{name}:{}/p?q\r\n", secure.port());
                    assert!(answer.starts_with("HTTP/1.1 301 ") && answer.contains(&location), "{host}: {answer}");
                }
                None => {
                    assert!(answer.starts_with("HTTP/1.1 421 ") && !answer.contains("Location"), "{host}: {answer}")
                }
            }
        }
    });
}

#[test]
fn a_redirect_to_nowhere_is_refused() {
    let mut server = server();
    server.config.https_redirect = Some((None, 0));
    let error = server.run_entered::<Error>(server.enter().unwrap(), |_| (), || Ok(())).unwrap_err().to_string();
    assert!(error.contains("https_redirect") && error.contains("ssl_enabled"), "{error}");
}

#[test]
fn only_its_own_hosts_are_served() {
    let mut server = server();
    server.config.allowed_hosts = vec!["a.example".parse().unwrap(), "*.b.example".parse().unwrap()];
    server.set_route("/", |_: &Request| Response::text("hello")).unwrap();
    run(server, |_, addresses| {
        for (host, status) in [("a.example", "200"), ("X.B.example.:80", "200"), ("b.example", "421"), ("[::1]", "421")]
        {
            let answer = get(&mut connect(addresses[0]), "/", host);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
        }
    });
}
