//! Failed negotiations: versions, protocols, silence, noise.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use outside::log::Level;
use rustls::{AlertDescription, ClientConfig};

use crate::certificates::Authority;
use crate::client::{ask, begin, connect, shake_hands, trusting};
use crate::server;

#[test]
fn an_unknown_protocol_is_refused_by_its_alert() {
    let authority = Authority::new();
    let running = server::start(&[authority.files("main", &["localhost"])]);
    let mut config = trusting(&authority);
    config.alpn_protocols = vec![b"spdy/1".to_vec()];
    let mut client = begin(&Arc::new(config.clone()), running.address, "localhost");
    let error = shake_hands(&mut client).unwrap_err();
    let wanted = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert_eq!(error.downcast::<rustls::Error>().unwrap(), wanted);
    config.alpn_protocols.push(b"http/1.1".to_vec());
    let mut client = begin(&Arc::new(config), running.address, "localhost");
    shake_hands(&mut client).unwrap();
    assert_eq!(client.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(running.log.accesses(), [""; 0], "a handshake is no exchange");
}

#[test]
fn silence_and_noise_end_in_time() {
    let authority = Authority::new();
    let files = [authority.files("main", &["localhost"])];
    let running = server::start_with(&files, &Default::default(), |config| {
        config.tls_handshake_timeout = Duration::from_millis(300);
    });
    // Nothing at all, the beginning of a record, and no TLS.
    for bytes in [
        &b""[..],
        b"\x16\x03\x01\x02\x00\x01",
        b"\x00\x01\x02\x03\x04\x05\x06\x07",
        b"\x80\x2e\x01\x00\x02\x00\x15\x00",
    ] {
        let mut stream = connect(running.address);
        stream.write_all(bytes).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert!(received.len() <= 7, "{received:?}");
    }
}

#[test]
fn tls_in_clear_is_answered_at_once() {
    let running = server::start(&[]);
    let config = Arc::new(trusting(&Authority::new()));
    for protocols in [vec![], vec![b"h2".to_vec(), b"http/1.1".to_vec()]] {
        let mut config = ClientConfig::clone(&config);
        config.alpn_protocols = protocols;
        let began = Instant::now();
        let mut client = begin(&Arc::new(config), running.address, "localhost");
        shake_hands(&mut client).unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}

/// Bytes that a client sends one by one until it is cut.
#[test]
fn dripping_does_not_extend_the_deadline() {
    let authority = Authority::new();
    let files = [authority.files("main", &["localhost"])];
    let running = server::start_with(&files, &Default::default(), |config| {
        config.tls_handshake_timeout = Duration::from_millis(500);
    });
    let mut hello = Vec::new();
    begin(&Arc::new(trusting(&authority)), running.address, "localhost").conn.write_tls(&mut hello).unwrap();
    let began = Instant::now();
    let mut stream = connect(running.address);
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    for byte in hello {
        if stream.write_all(&[byte]).is_err() || matches!(stream.read(&mut [0; 64]), Ok(0)) {
            break;
        }
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    running.log.wait_for_event(Level::Warning, "tls_handshake_timeout");
}

/// More clients that stop in the middle of a handshake than there are places for them.
#[test]
fn a_flood_of_half_handshakes_keeps_no_client_out() {
    let authority = Authority::new();
    let running = server::start(&[authority.files("main", &["localhost"])]);
    let config = Arc::new(trusting(&authority));
    let flood: Vec<_> = (0..300)
        .map(|_| {
            let mut client = begin(&config, running.address, "localhost");
            client.conn.write_tls(&mut client.sock).unwrap();
            client
        })
        .collect();
    let began = Instant::now();
    assert!(ask(&mut begin(&config, running.address, "localhost"), "/").ends_with("hello over https"));
    // Far less than the ten seconds that those may take.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(flood);
}

/// Clients that send one byte of a handshake, as fast as they can: only a complete ClientHello takes a place among
/// handshakes.
#[test]
fn a_flood_of_first_bytes_keeps_no_client_out() {
    let authority = Authority::new();
    let files = [authority.files("main", &["localhost"])];
    let running = server::start_with(&files, &Default::default(), |config| config.max_connections = Some(400));
    let (address, ends) = (running.address, Arc::new(AtomicBool::new(false)));
    let flooding = {
        let ends = Arc::clone(&ends);
        std::thread::spawn(move || {
            let mut open = VecDeque::new();
            while !ends.load(Ordering::Relaxed) {
                let mut stream = connect(address);
                // The server may have made room already.
                drop(stream.write_all(b"\x16"));
                open.push_back(stream);
                if open.len() == 600 {
                    open.pop_front();
                }
            }
        })
    };
    let config = Arc::new(trusting(&authority));
    let mut times: Vec<_> = (0..15)
        .map(|_| {
            let began = Instant::now();
            assert!(ask(&mut begin(&config, running.address, "localhost"), "/").ends_with("hello over https"));
            began.elapsed()
        })
        .collect();
    ends.store(true, Ordering::Relaxed);
    flooding.join().unwrap();
    times.sort();
    assert!(times[7] < Duration::from_millis(2500), "{times:?}");
}

/// A ClientHello in pieces of one byte is valid (RFC 8446 section 5.1), and costs the server next to nothing until it
/// is complete.
#[test]
fn a_hello_that_drips_in() {
    let authority = Authority::new();
    let running = server::start(&[authority.files("main", &["localhost"])]);
    let config = Arc::new(trusting(&authority));
    let mut client = begin(&config, running.address, "localhost");
    let mut hello = Vec::new();
    client.conn.write_tls(&mut hello).unwrap();
    for byte in hello {
        client.sock.write_all(&[byte]).unwrap();
    }
    assert!(ask(&mut client, "/").ends_with("hello over https"));
}

#[test]
fn silent_clients_make_room_like_idle_ones() {
    let authority = Authority::new();
    let files = [authority.files("main", &["localhost"])];
    let running = server::start_with(&files, &Default::default(), |config| config.max_connections = Some(20));
    let silent: Vec<_> = (0..40).map(|_| connect(running.address)).collect();
    let config = Arc::new(trusting(&authority));
    assert!(ask(&mut begin(&config, running.address, "localhost"), "/").ends_with("hello over https"));
    drop(silent);
}

/// For any change of a client's bytes, the client gets an alert or an end, and the server goes on.
#[test]
fn mutilated_hellos() {
    let authority = Authority::new();
    let running = server::start(&[authority.files("main", &["localhost"])]);
    let config = Arc::new(trusting(&authority));
    let mut hello = Vec::new();
    begin(&config, running.address, "localhost").conn.write_tls(&mut hello).unwrap();
    for step in 0..120 {
        let mut changed = hello.clone();
        let place = step * 13 % hello.len();
        changed[place] ^= 1 << (step % 8);
        changed.extend_from_slice(&hello[..step * 7 % hello.len()]);
        let mut stream = connect(running.address);
        stream.write_all(&changed).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // A reset may cut it.
        drop(stream.read_to_end(&mut Vec::new()));
    }
    assert!(ask(&mut begin(&config, running.address, "localhost"), "/").ends_with("hello over https"));
}
