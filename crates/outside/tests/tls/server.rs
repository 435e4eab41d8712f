//! A server with certificates.

use outside::config::{AccessLog, CertificateFiles};
use outside::tls::{TicketKeys, Tls};
use outside::{Config, Request, Response};
use outside_test_support::server::{Running, each_reactor};

/// With these certificates, and a route that says hello.
pub(crate) fn start(files: &[CertificateFiles]) -> Running {
    start_with(files, &TicketKeys::default(), |_| ())
}

pub(crate) fn start_with(
    files: &[CertificateFiles],
    keys: &TicketKeys,
    configure: impl FnOnce(&mut Config),
) -> Running {
    let tls = (!files.is_empty()).then(|| Tls::new(files.to_vec(), keys).unwrap());
    let configure = |config: &mut Config| {
        config.access_log = AccessLog::Common;
        configure(config);
    };
    let running = Running::launch(configure, move |config| {
        Ok(each_reactor(config)?.into_iter().map(|listener| listener.with_tls(tls.clone())).collect())
    });
    running.set_route("/", |request: &Request| Response::text(format!("hello over {}", request.scheme())));
    running
}
