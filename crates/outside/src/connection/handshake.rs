//! The handshake of TLS, before the conversation: under a deadline, not too many at once, one step of arithmetic at a time.
//!
//! A client whose ClientHello is not there as a whole costs no more than an idle connection, and gives way before one, by age.
//! A complete one gets a place among the bounded number of handshakes; when all are taken, the handshake that has lasted
//! longest gives way, so that clients that stop in the middle cannot keep others out.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::handle::{Clock, Handle, Order, Stop, Waiting};
use super::{Connection, Service};
use crate::error::Refusal;
use crate::log::Level;
use crate::transport::{Stream, TlsStream};

/// The handshakes of one reactor.
#[derive(Debug)]
pub(crate) struct Handshakes {
    going_on: Mutex<Table>,
    ended: Notify,
    /// The arithmetic of one handshake takes as long as hundreds of requests: one step for each turn of the event loop.
    turn: Semaphore,
}

#[derive(Debug, Default)]
struct Table {
    /// Who began when, in milliseconds, by the order in which they came.
    begun: BTreeMap<u64, (u64, Arc<Handle>)>,
    next: u64,
}

/// As many may be going on at once …
const MOST: usize = 256;
/// … and one that has taken this long gives way to another, in milliseconds: twice around the world takes less.
const LONG: u64 = 1000;
const PAUSE: Duration = Duration::from_millis(50);

impl Default for Handshakes {
    fn default() -> Self {
        Self { going_on: Mutex::default(), ended: Notify::new(), turn: Semaphore::new(1) }
    }
}

impl Handshakes {
    /// A place for one more, if there is one; else the oldest is asked to give way.
    fn admit(&self, clock: &Clock, handle: &Arc<Handle>) -> Option<u64> {
        let mut table = self.lock();
        if table.begun.len() >= MOST {
            let long_ago = clock.now().saturating_sub(LONG);
            let oldest = table.begun.values().find(|(since, handle)| *since <= long_ago && !handle.is_ordered());
            if let Some((_, oldest)) = oldest {
                oldest.give(Order::Shed);
            }
            return None;
        }
        let number = table.next;
        table.next += 1;
        table.begun.insert(number, (clock.now(), Arc::clone(handle)));
        Some(number)
    }

    fn leave(&self, number: u64) {
        self.lock().begun.remove(&number);
        self.ended.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.going_on.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the handshakes, given back when this is dropped.
struct Place {
    service: Arc<Service>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.service.handshakes.leave(self.number);
    }
}

/// What came of a handshake.
pub(super) enum Greeting {
    /// What was agreed on is spoken, or nothing had to be.
    Done,
    /// The client speaks HTTP where it should speak TLS.
    InClear,
    /// They do not understand each other; the client has been told.
    Refused,
    /// There is nobody to be told anything.
    Gone,
}

impl Connection {
    /// Does the handshake, if the stream needs one.
    pub(super) async fn shake_hands(&mut self) -> Greeting {
        let Self { stream: Stream::Tls(tls), desk, .. } = self else { return Greeting::Done };
        let (handle, service) = (&desk.handle, &desk.service);
        handle.set_incomplete(service.clock.now());
        handle.set_deadline(service.clock.after(service.config.tls_handshake_timeout));
        let greeting = greet(tls, handle, service).await;
        handle.set_busy();
        handle.clear_deadline();
        handle.forgive();
        match greeting {
            Ok(greeting) => greeting,
            // A server that ends does not wait for as long as it is configured to.
            Err(Stop::TimedOut) if !service.is_draining() => {
                service.log.complain("tls_handshake_timeout", "a TLS handshake not complete in time");
                Greeting::Gone
            }
            Err(_) => Greeting::Gone,
        }
    }

    /// Prepares the answer to a client that speaks HTTP in clear where it should speak TLS: whatever it has asked for.
    pub(super) fn refuse_clear_text(&mut self) {
        self.refuse(Refusal::bad("this port speaks HTTPS: the address begins with https://"), None, None);
    }
}

async fn greet(tls: &mut TlsStream, handle: &Arc<Handle>, service: &Arc<Service>) -> Result<Greeting, Stop> {
    let mut place = None;
    let first = Waiting::First(service.clock.now());
    loop {
        let has_begun = place.is_some() || !tls.received().is_empty();
        poll_fn(|context| match tls.poll_receive(context) {
            Poll::Ready(Ok(count)) if count > 0 => Poll::Ready(Ok(())),
            Poll::Ready(_) => Poll::Ready(Err(Stop::Gone)),
            Poll::Pending if has_begun => poll_stop(handle, context),
            Poll::Pending => handle.stop(context, first).map_or(Poll::Pending, |stop| Poll::Ready(Err(stop))),
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
            // Its age counts anew: clients that have not come so far give way before it.
            handle.set_incomplete(service.clock.now());
            place = Some(find_place(handle, service).await?);
        }
        let turn = service.handshakes.turn.acquire().await;
        let processed = tls.process();
        if let Ok(true) = processed {
            // The last step is a cheap one, and what is still to be said goes out with the first answer.
            return Ok(Greeting::Done);
        }
        // The client hears of it now, if it listens; another one's step is the next turn's.
        poll_fn(|context| Poll::Ready(tls.poll_flush(context).is_ready())).await;
        tokio::task::yield_now().await;
        drop(turn);
        poll_fn(|context| match tls.poll_flush(context) {
            Poll::Ready(result) => Poll::Ready(result.map_err(|_| Stop::Gone)),
            Poll::Pending => poll_stop(handle, context),
        })
        .await?;
        if let Err(error) = processed {
            service.log.event(Level::Debug, format!("a TLS handshake failed: {error}"));
            return Ok(Greeting::Refused);
        }
    }
}

/// Waits for a place among the handshakes, as long as the deadline allows.
async fn find_place(handle: &Arc<Handle>, service: &Arc<Service>) -> Result<Place, Stop> {
    loop {
        if let Some(number) = service.handshakes.admit(&service.clock, handle) {
            return Ok(Place { service: Arc::clone(service), number });
        }
        drop(tokio::time::timeout(PAUSE, service.handshakes.ended.notified()).await);
        poll_fn(|context| match poll_stop(handle, context) {
            Poll::Ready(stopped) => Poll::Ready(stopped),
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await?;
    }
}

/// Ready when a handshake that has begun is to end: by its deadline, or for want of room.
fn poll_stop(handle: &Handle, context: &Context<'_>) -> Poll<Result<(), Stop>> {
    match handle.order(context) {
        Order::TimedOut => Poll::Ready(Err(Stop::TimedOut)),
        Order::Cut | Order::Shed => Poll::Ready(Err(Stop::Ordered)),
        _ => Poll::Pending,
    }
}
