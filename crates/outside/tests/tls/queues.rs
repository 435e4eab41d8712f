//! Clients that wait to be accepted when the server ends are answered: by several event loops, over TCP, TLS and a Unix
//! socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use outside::config::AccessLog;
use outside::listen::{Address, Security};
use outside::{Error, OutsideHttp, Request, Response};

use crate::certificates::Authority;
use crate::client::{DEADLINE, answer, begin, connect, trusting};

const COUNT: usize = 40;

fn ask(client: &mut impl Write) {
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
}

fn check(client: &mut impl Read) {
    let answer = String::from_utf8(answer(client)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"), "{answer:?}");
}

#[test]
fn waiting_clients_are_answered() {
    for (round, reactors) in [1, 2, 1, 2].into_iter().enumerate() {
        let authority = Authority::new();
        let mut server = OutsideHttp::new(("127.0.0.1", 0)).unwrap();
        server.config.access_log = AccessLog::Off;
        server.config.reactors = reactors;
        server.config.ssl_certificates = vec![authority.files("main", &["localhost"])];
        server.set_route("/", |_: &Request| Response::text("hello")).unwrap();
        server.listen(("127.0.0.1", 0), Security::Tls).unwrap();
        let path = authority.path("socket");
        server.listen_at(Address::Unix(path.clone()), Security::Plain);
        let server = Arc::new(server);
        let running = Arc::clone(&server);
        let thread = thread::spawn(move || running.run_entered::<Error>(running.enter()?, |_| (), || Ok(())));
        assert!(server.wait_until_ready(Some(DEADLINE)), "not ready in time");
        let addresses: Vec<_> = server.endpoints().iter().filter_map(|place| place.address.socket_addr()).collect();
        let trusting = Arc::new(trusting(&authority));
        let mut secure: Vec<_> = (0..COUNT).map(|_| begin(&trusting, addresses[1], "localhost")).collect();
        for client in &mut secure {
            client.conn.write_tls(&mut client.sock).unwrap();
        }
        let mut local: Vec<_> = (0..COUNT).map(|_| UnixStream::connect(&path).unwrap()).collect();
        local.iter_mut().for_each(ask);
        let mut plain: Vec<_> = (0..COUNT).map(|_| connect(addresses[0])).collect();
        plain.iter_mut().for_each(ask);
        server.terminate(false);
        let client = thread::spawn(move || {
            for client in &mut secure {
                ask(client);
                check(client);
            }
        });
        plain.iter_mut().for_each(check);
        local.iter_mut().for_each(check);
        client.join().unwrap();
        thread.join().unwrap().unwrap();
        assert!(!path.exists(), "round {round}");
    }
}
