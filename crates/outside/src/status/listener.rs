//! The thread that accepts connections, reads a request of each, answers it, and closes.
//!
//! A connection has one request: a client that kept its connection to a process which is stopped later would ask that
//! one for ever.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
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
/// Time for the connections that are open at the end: their answers take milliseconds, and silent clients may not delay a reload.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
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
                if has_page {
                    drop(tokio::spawn(note_history(Arc::clone(&answerer))));
                }
                let open = accept(accepting, answerer, stopped).await;
                let answered = async {
                    for connection in open {
                        // A connection whose task has panicked is closed.
                        let _is_answered = connection.await;
                    }
                };
                // The rest are of clients that ask nothing, or do not take their answer.
                let _are_answered = tokio::time::timeout(LAST_ANSWERS, answered).await;
            });
            runtime.shutdown_timeout(Duration::ZERO);
        };
        let thread = thread::Builder::new().name("outside-status".into()).spawn(life)?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread, when the connections that it has accepted have their answers: nothing else would answer them. Those behind
    /// them are left to the other processes that hold the socket.
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

/// Accepts connections until the listener is stopped. Returns those that are open then.
async fn accept(
    mut accepting: Accepting,
    answerer: Arc<Answerer>,
    mut stopped: oneshot::Receiver<()>,
) -> VecDeque<JoinHandle<()>> {
    let mut open = VecDeque::<JoinHandle<()>>::new();
    loop {
        let accepted = {
            let mut next = pin!(accepting.accept());
            poll_fn(|context| match Pin::new(&mut stopped).poll(context) {
                // An error means that the sender is gone, which is the end as well.
                Poll::Ready(_) => Poll::Ready(None),
                Poll::Pending => next.as_mut().poll(context).map(Some),
            })
            .await
        };
        let Some(accepted) = accepted else { return open };
        match accepted {
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
        let count = poll_fn(|context| stream.poll_write(context, &[io::IoSlice::new(unsent)])).await?;
        if count == 0 {
            return Ok(());
        }
        unsent = &unsent[count..];
    }
    poll_fn(|context| stream.poll_shutdown(context)).await?;
    // The client closes when it has read the answer; closing first, with bytes of a request unread, would reset it.
    let mut rest = [0; 1024];
    let mut drained = 0;
    while drained < LIMITS.section {
        match poll_fn(|context| stream.poll_read(context, &mut rest)).await {
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
        let count = poll_fn(|context| stream.poll_read(context, &mut piece)).await?;
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::transport::Address;

    #[test]
    fn an_accepted_client_has_its_answer_when_the_listener_ends() {
        let meter = Arc::<Meter>::default();
        meter.open_board(None).unwrap();
        meter.begin_here().unwrap();
        let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".parse().unwrap()), 8, false).unwrap();
        let Address::Tcp(address) = *listener.address() else { panic!("it is bound to an address") };
        let status = StatusListener::start(listener, &meter, &Config::default()).unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
        let asks = |mut client: TcpStream, rest: &str| {
            client.write_all(rest.as_bytes()).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        };
        // Connections are accepted in their order: with the answer to this one the other is accepted.
        asks(TcpStream::connect(address).unwrap(), "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let ending = thread::spawn(move || status.end());
        while TcpStream::connect(address).is_ok() {
            thread::yield_now();
        }
        asks(client, "Host: localhost\r\n\r\n");
        ending.join().unwrap();
    }
}
