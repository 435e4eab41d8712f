//! What is not agreed on: versions, protocols, silence, noise.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::AlertDescription;

use crate::certificates::Authority;
use crate::client::{begin, connect, shake_hands, trusting};
use crate::server::Running;

#[test]
fn an_unknown_protocol_is_refused_by_its_alert() {
    let authority = Authority::new();
    let running = Running::start(&[authority.files("main", &["localhost"])]);
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
    assert_eq!(running.log.lines.lock().unwrap().as_str(), "", "a handshake is no exchange");
}

#[test]
fn silence_and_noise_end_in_time() {
    let authority = Authority::new();
    let files = [authority.files("main", &["localhost"])];
    let running = Running::configured(&files, &Default::default(), |config| {
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
