//! The TLS handshake before the conversation: a deadline, a bounded number of places, one step of arithmetic a turn.
//!
//! A client with an incomplete ClientHello costs no more than an idle connection, and gives way before one, by age. A
//! complete ClientHello gets a place. When all are taken, the handshake that has lasted longest gives way, so that
//! clients that stop in the middle cannot keep others out.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::exchange::{ConnectionControl, Dispatcher, Order, Service, Stop, Waiting};
use crate::log::Level;
use crate::transport::{HelloStep, Stream, TlsStream};

/// The time that a handshake waits at most for a certificate that is still to be obtained, and the pause between looks.
const CERTIFICATE_WAIT: Duration = Duration::from_secs(5);
const CERTIFICATE_PAUSE: Duration = Duration::from_millis(100);

/// The time that a handshake without a place waits before it asks for one again.
const PAUSE: Duration = Duration::from_millis(50);

/// A place among the handshakes, given back when this is dropped.
struct HandshakePermit {
    service: Arc<Service>,
    number: u64,
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        self.service.handshakes.leave(self.number);
    }
}

/// The result of a handshake.
pub(super) enum Greeting {
    /// The handshake is complete, or the stream needs none.
    Done,
    /// The client speaks HTTP without TLS on a port that wants TLS.
    InClear,
    /// Client and server have no common terms; the client has been told.
    Refused,
    /// The client is gone.
    Gone,
}

/// Completes the handshake, if the stream needs one.
pub(super) async fn shake_hands(stream: &mut Stream, dispatcher: &Dispatcher) -> Greeting {
    let Stream::Tls(tls) = stream else { return Greeting::Done };
    let (control, service) = (&dispatcher.control, &dispatcher.service);
    control.set_incomplete(service.clock.now());
    control.set_deadline(service.clock.after(service.config.tls_handshake_timeout));
    let greeting = greet(tls, control, service).await;
    control.set_busy();
    control.clear_deadline();
    control.clear_timeout();
    let result = match &greeting {
        Ok(Greeting::Done) => "done",
        Ok(Greeting::InClear) => "in_clear",
        Ok(Greeting::Refused) => "refused",
        Ok(Greeting::Gone) | Err(_) => "gone",
    };
    service.count_handshake(result, tls.terms());
    match greeting {
        Ok(greeting) => greeting,
        // A draining server shortens the deadline, so the log does not blame the client.
        Err(Stop::TimedOut) if !service.is_draining() => {
            service.log.complain("tls_handshake_timeout", "a TLS handshake not complete in time");
            service.count_refusal("tls_handshake_timeout", "");
            Greeting::Gone
        }
        Err(_) => Greeting::Gone,
    }
}

async fn greet(
    tls: &mut TlsStream,
    control: &Arc<ConnectionControl>,
    service: &Arc<Service>,
) -> Result<Greeting, Stop> {
    let mut place = None;
    let first = Waiting::First(service.clock.now());
    loop {
        let has_begun = place.is_some() || !tls.received().is_empty();
        poll_fn(|context| match tls.poll_receive(context) {
            Poll::Ready(Ok(count)) if count > 0 => Poll::Ready(Ok(())),
            Poll::Ready(_) => Poll::Ready(Err(Stop::Gone)),
            Poll::Pending if has_begun => poll_stop(control, context),
            Poll::Pending => control.stop(context, first).map_or(Poll::Pending, |stop| Poll::Ready(Err(stop))),
        })
        .await?;
        if place.is_none() {
            // A record of a handshake begins with 22; every method begins with a letter.
            if tls.received().first().is_some_and(u8::is_ascii_alphabetic) {
                return Ok(Greeting::InClear);
            }
            if !tls.has_hello() {
                continue;
            }
            wait_for_certificate(tls, control).await?;
            // The age of the connection counts anew: clients without a complete ClientHello give way before it.
            control.set_incomplete(service.clock.now());
            place = Some(find_place(control, service).await?);
        }
        let turn = service.handshakes.turn.acquire().await;
        let processed = tls.process();
        if let Ok(true) = processed {
            if tls.is_validation() {
                poll_fn(|context| Poll::Ready(tls.poll_flush(context).is_ready())).await;
                return Ok(Greeting::Refused);
            }
            // The last step is a cheap one, and the server's remaining records leave with the first answer.
            return Ok(Greeting::Done);
        }
        // The client gets the record now, if its socket takes it; the step of another client belongs to the next turn.
        poll_fn(|context| Poll::Ready(tls.poll_flush(context).is_ready())).await;
        tokio::task::yield_now().await;
        drop(turn);
        poll_fn(|context| match tls.poll_flush(context) {
            Poll::Ready(result) => Poll::Ready(result.map_err(|_| Stop::Gone)),
            Poll::Pending => poll_stop(control, context),
        })
        .await?;
        if let Err(error) = processed {
            service.log.event(Level::Debug, format!("a TLS handshake failed: {error}"));
            return Ok(Greeting::Refused);
        }
    }
}

/// Looks at the complete hello. If the certificate for its name is still to be obtained, waits for it a while, without a
/// place among the handshakes; after that the handshake fails with an alert.
async fn wait_for_certificate(tls: &mut TlsStream, control: &Arc<ConnectionControl>) -> Result<(), Stop> {
    let Ok(HelloStep::Wait(name)) = tls.look_at_hello() else { return Ok(()) };
    let deadline = tokio::time::Instant::now() + CERTIFICATE_WAIT;
    while tls.lacks_certificate(&name) && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(CERTIFICATE_PAUSE).await;
        poll_fn(|context| match poll_stop(control, context) {
            Poll::Ready(stopped) => Poll::Ready(stopped),
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await?;
    }
    Ok(())
}

/// Waits for a place among the handshakes, as long as the deadline allows.
async fn find_place(control: &Arc<ConnectionControl>, service: &Arc<Service>) -> Result<HandshakePermit, Stop> {
    loop {
        if let Some(number) = service.handshakes.admit(&service.clock, control) {
            return Ok(HandshakePermit { service: Arc::clone(service), number });
        }
        drop(tokio::time::timeout(PAUSE, service.handshakes.ended.notified()).await);
        poll_fn(|context| match poll_stop(control, context) {
            Poll::Ready(stopped) => Poll::Ready(stopped),
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await?;
    }
}

/// Ready when a handshake that has begun has to end: by its deadline, or because places run out.
fn poll_stop(control: &ConnectionControl, context: &Context<'_>) -> Poll<Result<(), Stop>> {
    match control.order(context) {
        Order::TimedOut => Poll::Ready(Err(Stop::TimedOut)),
        Order::Cut | Order::Shed => Poll::Ready(Err(Stop::Ordered)),
        _ => Poll::Pending,
    }
}
