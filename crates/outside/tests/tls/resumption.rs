//! Resumed sessions: with every worker, for the same host only (RFC 8446 section 4.2.11, RFC 6066 section 3).

use std::sync::{Arc, Mutex};

use outside::tls::TicketKeys;
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion};

use crate::certificates::Authority;
use crate::client::{ask, begin};
use crate::server;
use outside_test_support::server::Running;

fn kind(config: &Arc<ClientConfig>, running: &Running, name: &str) -> HandshakeKind {
    let mut client = begin(config, running.address, name);
    ask(&mut client, "/");
    client.conn.handshake_kind().unwrap()
}

fn of_version(authority: &Authority, version: ProtocolVersion) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let versions: &[_] = match version {
        ProtocolVersion::TLSv1_2 => &[&rustls::version::TLS12],
        _ => &[&rustls::version::TLS13],
    };
    let builder = ClientConfig::builder_with_protocol_versions(versions);
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

#[test]
fn workers_resume_sessions_of_others() {
    let authority = Authority::new();
    let files = [authority.files("main", &["localhost"])];
    let keys = TicketKeys::default();
    let handed_down = TicketKeys::from_bytes(&keys.to_bytes()).unwrap();
    let workers = [server::start_with(&files, &keys, |_| ()), server::start_with(&files, &handed_down, |_| ())];
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let config = of_version(&authority, version);
        assert_eq!(kind(&config, &workers[0], "localhost"), HandshakeKind::Full);
        for round in 0..6 {
            let resumed = kind(&config, &workers[round % 2], "localhost");
            assert_eq!(resumed, HandshakeKind::Resumed, "{version:?}, round {round}");
        }
    }
}

#[test]
fn a_ticket_is_for_one_host_and_one_listener() {
    let authority = Authority::new();
    let keys = TicketKeys::default();
    let one = server::start_with(&[authority.files("one", &["a.example", "b.example"])], &keys, |_| ());
    let other = server::start_with(&[authority.files("other", &["a.example"])], &keys, |_| ());
    let stranger = server::start(&[authority.files("one", &["a.example"])]);
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        for (running, name) in [(&other, "a.example"), (&stranger, "a.example"), (&one, "b.example")] {
            let mut config = ClientConfig::clone(&of_version(&authority, version));
            config.resumption = Resumption::store(Arc::<OneForAll>::default());
            let config = Arc::new(config);
            assert_eq!(kind(&config, &one, "a.example"), HandshakeKind::Full);
            assert_eq!(kind(&config, &one, "a.example"), HandshakeKind::Resumed);
            assert_eq!(kind(&config, running, name), HandshakeKind::Full, "{version:?} {name}");
        }
    }
}

/// The session store of a careless client: the last session, with any server.
#[derive(Debug, Default)]
struct OneForAll {
    old: Mutex<Option<Tls12ClientSessionValue>>,
    new: Mutex<Option<Tls13ClientSessionValue>>,
}

impl ClientSessionStore for OneForAll {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        *self.old.lock().unwrap() = Some(session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.old.lock().unwrap().clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        *self.new.lock().unwrap() = Some(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.new.lock().unwrap().take()
    }
}
