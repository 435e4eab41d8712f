//! Certificates that are not valid yet or have expired: their use, the log, and repeated checks.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outside::config::CertificateFiles;
use outside::log::Level;
use outside::tls::{TicketKeys, Tls};
use rcgen::{CertificateParams, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use crate::certificates::Authority;
use crate::client::{begin, shake_hands};
use crate::server;
use outside_test_support::server::Running;

/// Accepts every certificate.
#[derive(Debug)]
struct Anything;

impl rustls::client::danger::ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate of a client that asks for this name.
fn shown(running: &Running, name: &str) -> Vec<u8> {
    let builder = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Anything));
    let mut client = begin(&Arc::new(builder.with_no_client_auth()), running.address, name);
    shake_hands(&mut client).unwrap();
    client.conn.peer_certificates().unwrap()[0].to_vec()
}

fn read(files: &CertificateFiles) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_file(&files.certfile).unwrap().to_vec()
}

fn issue(authority: &Authority, file: &str, name: &str, change: fn(&mut CertificateParams)) -> CertificateFiles {
    let (certificate, key) = authority.issue(&[name], change);
    authority.write(file, &certificate, &key)
}

fn expired(parameters: &mut CertificateParams) {
    (parameters.not_before, parameters.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 2, 3));
}

fn of_the_future(parameters: &mut CertificateParams) {
    (parameters.not_before, parameters.not_after) = (date_time_ymd(2222, 1, 1), date_time_ymd(2223, 1, 1));
}

/// Valid from two whole seconds after now.
fn soon(parameters: &mut CertificateParams) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    parameters.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(now + 2);
}

#[test]
fn a_new_one_is_shown_as_soon_as_its_time_comes() {
    let authority = Authority::new();
    let files = authority.files("main", &["localhost"]);
    let running = server::start(std::slice::from_ref(&files));
    let before = read(&files);
    issue(&authority, "main", "localhost", soon);
    assert_eq!(shown(&running, "localhost"), before);
    running.log.wait_for_event(Level::Info, "new certificates are in use");
    assert_eq!(shown(&running, "localhost"), read(&files));
}

#[test]
fn a_clock_that_is_behind_is_a_warning() {
    let authority = Authority::new();
    let files = issue(&authority, "main", "localhost", of_the_future);
    let running = server::start(std::slice::from_ref(&files));
    running.log.wait_for_event(Level::Warning, "unless the clock is behind: the certificate file");
    running.log.wait_for_event(Level::Warning, "it will be from Tue, 01 Jan 2222");
    assert_eq!(shown(&running, "localhost"), read(&files));
    // On an explicit request the log repeats the fault.
    running.server.hang_up();
    let told = |text: &str| running.log.events().iter().filter(|event| event.contains(text)).count();
    while told("clock is behind") < 2 {
        std::thread::yield_now();
    }
    assert_eq!(told("new certificates"), 0);
}

#[test]
fn one_that_is_valid_comes_before_one_that_is_not() {
    let authority = Authority::new();
    let entries = [
        issue(&authority, "old", "a.example", expired),
        issue(&authority, "alone", "b.other", expired),
        issue(&authority, "early", "c.example", of_the_future),
        issue(&authority, "any", "*.example", |_| ()),
    ];
    let running = server::start(&entries);
    for (name, wanted) in [
        ("a.example", &entries[3]),
        ("c.example", &entries[3]),
        ("b.other", &entries[1]),
        ("nobody.anywhere", &entries[3]),
    ] {
        assert_eq!(shown(&running, name), read(wanted), "{name}");
    }
    for file in ["old.pem", "alone.pem"] {
        running.log.wait_for_event(Level::Error, &format!("{file}\" has expired"));
    }
    running.log.wait_for_event(Level::Warning, "early.pem\" is not valid yet");
}

#[test]
fn none_that_a_client_would_take_is_refused() {
    let authority = Authority::new();
    let entries = [issue(&authority, "first", "a.example", expired), issue(&authority, "second", "b.example", expired)];
    let told = Tls::new(entries.to_vec(), &TicketKeys::default()).expect_err("it was taken").to_string();
    assert!(told.contains("first.pem") && told.contains("has expired"), "{told}");
}
