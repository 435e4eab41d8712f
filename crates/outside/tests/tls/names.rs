//! The certificate that a client gets, and the replacement of old certificates by new ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use outside::log::Level;
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};

use crate::certificates::Authority;
use crate::client::{DEADLINE, ask, begin, shake_hands, trusting};
use crate::server;
use outside_test_support::server::Running;

fn shown(config: &Arc<ClientConfig>, running: &Running, name: &str) -> CertificateDer<'static> {
    let mut client = begin(config, running.address, name);
    shake_hands(&mut client).unwrap();
    client.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

/// A client that resumes no session, so that it always gets a certificate.
fn forgetful(authority: &Authority) -> Arc<ClientConfig> {
    let mut config = trusting(authority);
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

#[test]
fn a_client_is_shown_the_one_for_its_name() {
    let authority = Authority::new();
    let files = [
        authority.files("main", &["example.com", "127.0.0.1"]),
        authority.files("api", &["API.example.com"]),
        authority.files("any", &["*.example.com", "example.org"]),
    ];
    let running = server::start(&files);
    let config = forgetful(&authority);
    let [main, api, any] =
        ["example.com", "api.example.com", "a.example.com"].map(|name| shown(&config, &running, name));
    assert!(main != api && api != any && any != main);
    for (name, wanted) in
        [("b.example.com", &any), ("example.org", &any), ("API.EXAMPLE.COM", &api), ("127.0.0.1", &main)]
    {
        assert_eq!(&shown(&config, &running, name), wanted, "{name}");
    }
    // A wildcard covers one label; a client that asks for an unknown name gets the first certificate, and refuses it.
    for name in ["a.b.example.com", "elsewhere.example"] {
        let mut client = begin(&config, running.address, name);
        assert!(shake_hands(&mut client).unwrap_err().to_string().contains("not valid for name"), "{name}");
    }
}

#[test]
fn of_several_for_a_name_the_first_that_a_client_can_check() {
    let authority = Authority::new();
    let kinds = [&PKCS_ED25519, &PKCS_ECDSA_P384_SHA384].map(|kind| {
        let key = KeyPair::generate_for(kind).unwrap();
        let certificate = authority.certificate_for(&["localhost"], &key);
        authority.write(&format!("{kind:?}").replace(['/', ' '], ""), &certificate, &key.serialize_pem())
    });
    let running = server::start(&kinds);
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    for (scheme, length) in [(SignatureScheme::ED25519, 32), (SignatureScheme::ECDSA_NISTP384_SHA384, 97)] {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        let pairs = provider.signature_verification_algorithms.mapping.iter();
        // The authority signs with P-256.
        let wanted = |known: SignatureScheme| known == scheme || known == SignatureScheme::ECDSA_NISTP256_SHA256;
        let kept: Vec<_> = pairs.filter(|(known, _)| wanted(*known)).copied().collect();
        provider.signature_verification_algorithms.mapping = Box::leak(kept.into_boxed_slice());
        let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
        let config = Arc::new(builder.unwrap().with_root_certificates(roots.clone()).with_no_client_auth());
        let der = shown(&config, &running, "localhost");
        let parsed = rustls::server::ParsedCertificate::try_from(&der).unwrap();
        assert!(parsed.subject_public_key_info().len() > length, "{scheme:?}");
        let is_ed25519 = parsed.subject_public_key_info().len() < 60;
        assert_eq!(is_ed25519, scheme == SignatureScheme::ED25519);
    }
}

/// `OUTSIDE_HANDSHAKES=10000` (make soak) spreads the changes over as many handshakes.
#[test]
fn certificates_change_while_clients_come() {
    let wanted: usize = std::env::var("OUTSIDE_HANDSHAKES").map_or(0, |text| text.parse().unwrap());
    let authority = Authority::new();
    let files = authority.files("main", &["localhost"]);
    let running = server::start(std::slice::from_ref(&files));
    let config = forgetful(&authority);
    let (is_over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let clients = [(); 2].map(|()| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert!(ask(&mut begin(&config, running.address, "localhost"), "/").ends_with("hello over https"));
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let mut before = shown(&config, &running, "localhost");
        for change in 0..100 {
            while done.load(Ordering::Relaxed) < change * wanted / 100
                && !clients.iter().any(|client| client.is_finished())
            {
                thread::yield_now();
            }
            // In the most careless way: one file after the other, in place.
            authority.files("main", &["localhost"]);
            running.server.hang_up();
            let deadline = Instant::now() + DEADLINE;
            let mut now = shown(&config, &running, "localhost");
            while now == before {
                assert!(Instant::now() < deadline, "the new certificate is not taken over");
                running.server.hang_up();
                now = shown(&config, &running, "localhost");
            }
            before = now;
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
        let done = done.load(Ordering::Relaxed);
        assert!(done > 20.max(wanted * 98 / 100), "{done} handshakes");
    });
}

#[test]
fn they_are_taken_over_without_being_asked_for() {
    let authority = Authority::new();
    let files = authority.files("main", &["localhost"]);
    let running = server::start(std::slice::from_ref(&files));
    let config = forgetful(&authority);
    let before = shown(&config, &running, "localhost");
    // As the tools of Let's Encrypt do it: a new file, renamed.
    let (certificate, key) = authority.issue(&["localhost"], |_| ());
    let new = authority.write("new", &certificate, &key);
    std::fs::rename(&new.keyfile, &files.keyfile).unwrap();
    std::fs::rename(&new.certfile, &files.certfile).unwrap();
    running.log.wait_for_event(Level::Info, "new certificates are in use");
    assert_ne!(shown(&config, &running, "localhost"), before);
}

#[test]
fn a_bad_new_one_is_refused_once_and_the_old_one_stays() {
    let authority = Authority::new();
    let files = authority.files("main", &["localhost"]);
    let running = server::start(std::slice::from_ref(&files));
    let config = forgetful(&authority);
    let before = shown(&config, &running, "localhost");
    let whole = std::fs::read(&files.certfile).unwrap();
    std::fs::write(&files.certfile, &whole[..whole.len() / 2]).unwrap();
    running.log.wait_for_event(Level::Error, "the old ones stay: the certificate file");
    assert_eq!(shown(&config, &running, "localhost"), before);
    // The log has said it, and repeats it only after a change.
    std::fs::write(&files.certfile, b"").unwrap();
    running.log.wait_for_event(Level::Error, "is empty");
    let told = running.log.events().iter().filter(|text| text.contains("is not complete")).count();
    assert_eq!(told, 1);
    std::fs::remove_file(&files.certfile).unwrap();
    running.log.wait_for_event(Level::Error, "cannot be read");
    authority.files("main", &["localhost"]);
    running.log.wait_for_event(Level::Info, "new certificates are in use");
    assert_ne!(shown(&config, &running, "localhost"), before);
}
