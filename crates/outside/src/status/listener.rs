//! The thread that accepts connections, reads a request of each, answers it, and closes.
//!
//! A connection has one request: a client that kept its connection to a process which is stopped later would ask that
//! one for ever.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::access::Peer;
use super::answer::{Answerer, StatusAnswer};
use crate::config::Config;
use crate::log::Moment;
use crate::message::{NO_ADDRESS, Request};
use crate::metrics::Meter;
use crate::protocol::ContentLength;
use crate::protocol::http1::{HeadLimits, HeadScanner, ResponseHead, Scan, decode_head, encode_head};
use crate::transport::{Accepting, Listener, Stream};

/// Connections at a time; beyond that the oldest gives way, so that silent ones keep no other client waiting.
const MOST_CONNECTIONS: usize = 128;
/// Time for a request to come, and for an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(50);
/// Interval at which the history is written.
const HISTORY: Duration = Duration::from_secs(1);
const LIMITS: HeadLimits = HeadLimits { request_line: 2048, fields: 64, section: 16 << 10 };

/// A listener that answers until it is ended.
pub(crate) struct StatusListener {
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl StatusListener {
    /// Starts the thread.
    pub(crate) fn start(listener: Listener, meter: &Arc<Meter>, config: &Config) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let accepting = {
            let _inside = runtime.enter();
            listener.accepting()?
        };
        let answerer = Arc::new(Answerer::new(Arc::clone(meter), config));
        let has_page = config.status_page;
        let (stop, stopped) = oneshot::channel();
        let life = move || {
            runtime.block_on(async {
                drop(tokio::spawn(accept(accepting, Arc::clone(&answerer))));
                if has_page {
                    drop(tokio::spawn(note_history(answerer)));
                }
                // An error means that the sender is gone, which is the end as well.
                let _is_over = stopped.await;
            });
            runtime.shutdown_timeout(Duration::ZERO);
        };
        let thread = thread::Builder::new().name("outside-status".into()).spawn(life)?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread.
    pub(crate) fn end(self) {
        drop(self.stop);
        // A thread that has panicked has said so.
        let _has_ended = self.thread.join();
    }
}

async fn note_history(answerer: Arc<Answerer>) {
    let mut interval = tokio::time::interval(HISTORY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        answerer.note_history();
    }
}

async fn accept(mut accepting: Accepting, answerer: Arc<Answerer>) {
    let mut open = VecDeque::<JoinHandle<()>>::new();
    loop {
        match accepting.accept().await {
            Ok((stream, address)) => {
                open.retain(|connection| !connection.is_finished());
                if open.len() >= MOST_CONNECTIONS
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.abort();
                }
                let answerer = Arc::clone(&answerer);
                open.push_back(tokio::spawn(async move {
                    // A client that is too slow, or gone, misses its answer.
                    let _is_answered = tokio::time::timeout(2 * PATIENCE, converse(stream, address, &answerer)).await;
                }));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn converse(mut stream: Stream, address: SocketAddr, answerer: &Answerer) -> io::Result<()> {
    let peer = if matches!(stream, Stream::Unix(_)) { Peer::Unix } else { Peer::Ip(address.ip()) };
    let mut request = Request::empty(NO_ADDRESS);
    let answer = match tokio::time::timeout(PATIENCE, receive(&mut stream, &mut request)).await {
        Ok(Ok(true)) => answerer.answer(&request, peer).await,
        Ok(Ok(false)) => StatusAnswer::refused(400, "this is no request of HTTP/1.1"),
        Ok(Err(error)) => return Err(error),
        Err(_) => StatusAnswer::refused(408, "no request came in time"),
    };
    let (mut out, now) = (Vec::new(), Moment::now());
    let head = ResponseHead {
        status: answer.status,
        reason: None,
        headers: &answer.headers,
        content_type: Some(answer.content_type),
        length: ContentLength::Known(answer.body.len() as u64),
        date: &now.date,
        connection: Some("close"),
    };
    encode_head(&mut out, &head);
    if request.method() != "HEAD" {
        out.extend_from_slice(&answer.body);
    }
    let mut unsent = &out[..];
    while !unsent.is_empty() {
        let count = std::future::poll_fn(|context| stream.poll_write(context, &[io::IoSlice::new(unsent)])).await?;
        if count == 0 {
            return Ok(());
        }
        unsent = &unsent[count..];
    }
    std::future::poll_fn(|context| stream.poll_shutdown(context)).await?;
    // The client closes when it has read the answer; closing first, with bytes of a request unread, would reset it.
    let mut rest = [0; 1024];
    let mut drained = 0;
    while drained < LIMITS.section {
        match std::future::poll_fn(|context| stream.poll_read(context, &mut rest)).await {
            Ok(count) if count > 0 => drained += count,
            _ => break,
        }
    }
    Ok(())
}

/// Reads the head of a request. `false` if it is none.
async fn receive(stream: &mut Stream, request: &mut Request) -> io::Result<bool> {
    let (mut input, mut scanner) = (Vec::new(), HeadScanner::default());
    loop {
        let mut piece = [0; 4096];
        let count = std::future::poll_fn(|context| stream.poll_read(context, &mut piece)).await?;
        if count == 0 {
            return if input.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(false) };
        }
        input.extend_from_slice(&piece[..count]);
        match scanner.scan(&input, &LIMITS) {
            Ok(Scan::Partial) => {}
            Ok(Scan::Complete { start, end, fields }) => {
                return Ok(decode_head(&input[start..end], fields, request).is_ok());
            }
            Err(_) => return Ok(false),
        }
    }
}
