//! The thread of a connection: connects, signs in, moves bytes, and begins again when the connection is lost.
//!
//! A thread of its own, because resolving a name may wait, and because a leader that waits for an answer drives no event
//! loop. It ends when the server does not use the broker any more.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::address::{ConnectError, connect, tls_of};
use super::arrivals::{Complaint, LineFault};
use super::carrier::BrokerBus;
use super::connection::BrokerConnection;
use super::engine::{BrokenProtocol, BrokerFacts, BrokerReader, Engine, Incoming};
use super::handshake::{SignInRefusal, SignedIn, sign_in};
use super::redis::RedisEngine;
use super::reports::{ReportKind, Reports, reason};
use crate::config::{BusAddress, BusPlace};
use crate::hub::{KeepRules, random};
use crate::log::{Level, Log};
use crate::websocket::Topics;

/// Time that the start of a server waits for its broker.
const FIRST: Duration = Duration::from_secs(1);
/// Time for connecting and signing in.
const BEGINNING: Duration = Duration::from_secs(2);
/// Time after which a broker that has sent nothing is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(2);
/// Time after which one that owes an answer is taken for lost.
const SILENT: Duration = Duration::from_secs(3);
/// Pauses before a new attempt: the longest one after a loss, and the longest of all. Half of a pause is random, so that
/// processes do not come back at one moment.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Pause while subscribers of this process take messages more slowly than they come.
const HOLD: Duration = Duration::from_millis(1);
/// Interval at which others are told that this process is alive, if they wait for one of its ticks.
const ALIVE_EVERY: Duration = Duration::from_secs(3);
/// Time at the end of a server for bytes that wait to be sent.
const LAST: Duration = Duration::from_millis(200);
/// Bytes that are read at once, and reads before commands are sent again.
const MAX_READ: usize = 64 << 10;
const MAX_READS: usize = 16;

/// A thread and its connection.
pub(super) struct BrokerService {
    bus: Arc<BrokerBus>,
    topics: Weak<Topics>,
    place: BusPlace,
    tls: Option<Arc<ClientConfig>>,
    engine: Arc<dyn Engine>,
    reports: Reports,
    /// The number of this thread.
    thread: u64,
    facts: BrokerFacts,
    /// When the broker went away, if it is.
    away_since: Option<Instant>,
    /// When others were last told that this process is alive.
    alive: Instant,
    scratch: Vec<u8>,
}

/// The end of a connection.
#[derive(Debug)]
enum Loss {
    Connect(ConnectError),
    Refused(SignInRefusal),
    Closed,
    Lost(io::Error),
    Silent,
    Broken(BrokenProtocol),
    Fault(LineFault),
    Panic,
}

impl BrokerService {
    /// Starts the thread. Returns its number too.
    pub(super) fn start(
        address: &BusAddress,
        rules: &KeepRules,
        bus: &Arc<BrokerBus>,
        topics: &Arc<Topics>,
        log: &Arc<Log>,
    ) -> io::Result<(u64, JoinHandle<()>)> {
        let thread = bus.begin_thread(rules);
        let service = Self {
            bus: Arc::clone(bus),
            topics: Arc::downgrade(topics),
            place: address.place.clone(),
            tls: tls_of(&address.place)?,
            engine: Arc::new(RedisEngine::new(address)),
            reports: Reports::new(log, address),
            thread,
            facts: BrokerFacts::default(),
            away_since: None,
            alive: Instant::now(),
            scratch: vec![0; MAX_READ],
        };
        let handle = std::thread::Builder::new().name("outside-bus".into()).spawn(move || service.run())?;
        // The reason why it is not there stands in the log already.
        let _ = bus.wait_for_line(FIRST);
        Ok((thread, handle))
    }

    fn run(mut self) {
        let mut pause = Duration::ZERO;
        while self.bus.is_thread(self.thread) {
            let end = catch_unwind(AssertUnwindSafe(|| self.serve()));
            let loss = end.unwrap_or(Err(Loss::Panic));
            let was_there = self.bus.lose(self.topics.upgrade().as_deref());
            let Err(loss) = loss else { return };
            if !self.bus.is_thread(self.thread) {
                return;
            }
            self.report(&loss, was_there);
            pause = if was_there { FIRST_PAUSE } else { (2 * pause.max(FIRST_PAUSE / 2)).min(LONGEST_PAUSE) };
            let deadline = Instant::now() + jittered(pause);
            while self.bus.is_thread(self.thread) && Instant::now() < deadline {
                self.bus.waker().sleep(deadline.saturating_duration_since(Instant::now()));
            }
        }
    }

    fn report(&mut self, loss: &Loss, was_there: bool) {
        let is_first = self.away_since.is_none();
        self.away_since.get_or_insert_with(Instant::now);
        let is_error = match loss {
            Loss::Refused(refusal) => refusal.is_lasting(),
            Loss::Panic => true,
            _ => false,
        };
        let level = if is_error { Level::Error } else { Level::Warning };
        let consequence = if was_there || is_first { "; topics stay on this machine until it is back" } else { "" };
        self.reports.say(level, loss.kind(was_there), &format!("{loss}{consequence}"));
    }

    /// Serves one connection until the end of the run.
    fn serve(&mut self) -> Result<(), Loss> {
        let deadline = Instant::now() + BEGINNING;
        let mut connection = connect(&self.place, self.tls.as_ref(), deadline).map_err(Loss::Connect)?;
        let signed_in = sign_in(&mut connection, &*self.engine, &self.bus, deadline)?;
        let SignedIn { mut reader, facts } = signed_in;
        let tells_gap = self.bus.arrive(&self.engine);
        self.report_arrival(&facts, tells_gap);
        self.facts = facts;
        let carried = self.carry(&mut connection, &mut *reader);
        if carried.is_err() {
            connection.abandon();
        }
        carried
    }

    fn report_arrival(&mut self, facts: &BrokerFacts, tells_gap: bool) {
        let Some(since) = self.away_since.take() else { return };
        let away = since.elapsed().as_secs_f64();
        let told = if tells_gap { "; subscribers are told of a gap" } else { "" };
        let why = reason(&self.facts, facts).map(|reason| format!("; {reason}")).unwrap_or_default();
        self.reports.say(Level::Warning, ReportKind::Back, &format!("back after {away:.1} s{told}{why}"));
    }

    /// Moves bytes in both directions.
    fn carry(&mut self, connection: &mut BrokerConnection, reader: &mut dyn BrokerReader) -> Result<(), Loss> {
        let (mut unsent, mut sent) = (Vec::new(), 0);
        let (mut heard, mut has_asked, mut may_have_more) = (Instant::now(), false, false);
        let mut end: Option<Instant> = None;
        loop {
            let Some(topics) = self.topics.upgrade() else { return Ok(()) };
            // Commands first.
            loop {
                if sent == unsent.len() {
                    match self.bus.take_commands(&topics) {
                        Some(commands) => (unsent, sent) = (commands, 0),
                        None => break,
                    }
                }
                match connection.write(&unsent[sent..])? {
                    0 => break,
                    count => sent += count,
                }
            }
            connection.flush()?;
            let has_unsent = sent < unsent.len();
            let now = Instant::now();
            if !self.bus.is_thread(self.thread) {
                let end = *end.get_or_insert(now + LAST);
                if !has_unsent || now >= end {
                    return Ok(());
                }
            }
            // A subscriber that does not keep up makes the broker wait, which cuts the connection at its own bound.
            if now - self.alive >= ALIVE_EVERY {
                self.alive = now;
                self.bus.stay_alive();
                continue;
            }
            let holds = topics.has_much_to_hand_out(self.bus.counted());
            if holds {
                heard = now;
            }
            if holds && !has_unsent {
                drop(topics);
                std::thread::sleep(HOLD);
                continue;
            }
            let timeout = match () {
                () if may_have_more => Duration::ZERO,
                () if holds => HOLD,
                () if end.is_some() => LAST,
                () if has_asked || self.bus.expects_answers() => SILENT.saturating_sub(now - heard),
                () => QUIET.saturating_sub(now - heard),
            };
            let timeout = timeout.max(if may_have_more { Duration::ZERO } else { HOLD });
            let ready = connection.wait(self.bus.waker(), !holds, has_unsent, timeout)?;
            if ready.is_woken {
                self.bus.waker().clear();
            }
            if (ready.is_readable || may_have_more) && !holds {
                may_have_more = self.read(connection, reader, &topics)?;
                (heard, has_asked) = (Instant::now(), false);
                continue;
            }
            let quiet = heard.elapsed();
            if quiet >= SILENT && (has_asked || self.bus.expects_answers()) {
                return Err(Loss::Silent);
            }
            if quiet >= QUIET && !has_asked {
                self.bus.ping();
                has_asked = true;
            }
        }
    }

    /// Reads what has come and hands it out. Returns whether there may be more.
    fn read(
        &mut self,
        connection: &mut BrokerConnection,
        reader: &mut dyn BrokerReader,
        topics: &Topics,
    ) -> Result<bool, Loss> {
        for _ in 0..MAX_READS {
            let count = match connection.read(&mut self.scratch)? {
                None => return Ok(false),
                Some(0) => return Err(Loss::Closed),
                Some(count) => count,
            };
            let (mut fault, mut complaints) = (None, Vec::new());
            let (bus, prefix) = (&*self.bus, self.engine.prefix());
            let received = reader.receive(&self.scratch[..count], &mut |value| {
                if fault.is_some() {
                    return;
                }
                let handled = match value {
                    Incoming::Message { channel, payload } => Ok(bus.handle_message(topics, prefix, channel, payload)),
                    Incoming::Subscribed(_) => bus.handle_subscribed(topics).map(|()| None),
                    Incoming::Unsubscribed(_) => bus.handle_subscribed(topics).map(|()| None),
                    Incoming::Answer(answer) => bus.handle_answer(topics, &answer),
                    Incoming::Other => Ok(None),
                };
                match handled {
                    Ok(complaint) => complaints.extend(complaint),
                    Err(error) => fault = Some(error),
                }
            });
            complaints.iter().for_each(|complaint| self.complain(complaint));
            received.map_err(Loss::Broken)?;
            if let Some(fault) = fault {
                return Err(Loss::Fault(fault));
            }
            // Slow subscribers stop the next read.
            if count < self.scratch.len() && self.tls.is_none() {
                return Ok(false);
            }
            if topics.has_much_to_hand_out(self.bus.counted()) {
                return Ok(true);
            }
        }
        Ok(true)
    }

    fn complain(&mut self, complaint: &Complaint) {
        match complaint {
            Complaint::Refused { subject, code, text } => {
                let text = format!("the broker refuses {subject}: {code} {text}");
                self.reports.say(Level::Error, ReportKind::Refused, &text);
            }
            Complaint::Foreign => {
                let text =
                    "a message that no server of this kind has sent came on a channel of this server, and is left out";
                self.reports.say(Level::Warning, ReportKind::Foreign, text);
            }
        }
    }
}

impl Loss {
    /// The kind of line in the log. `was_there`: whether there was a connection.
    fn kind(&self, was_there: bool) -> ReportKind {
        match self {
            Self::Panic => ReportKind::Panic,
            Self::Broken(_) | Self::Fault(_) => ReportKind::Broken,
            Self::Refused(refusal) if refusal.is_lasting() => ReportKind::SignIn,
            _ if was_there => ReportKind::Lost,
            _ => ReportKind::Unreachable,
        }
    }
}

impl From<io::Error> for Loss {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

impl From<SignInRefusal> for Loss {
    fn from(refusal: SignInRefusal) -> Self {
        match refusal {
            SignInRefusal::Closed => Self::Closed,
            SignInRefusal::Lost(error) => Self::Lost(error),
            SignInRefusal::Broken(broken) => Self::Broken(broken),
            refusal => Self::Refused(refusal),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Closed => f.write_str(
                "the broker has closed the connection (its end, CLIENT KILL, or messages that were not taken fast enough)",
            ),
            Self::Lost(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(rustls::Error::InvalidCertificate(fault)) => {
                    write!(f, "the certificate of the broker is not trusted ({fault:?}); ?ca=FILE names a private authority")
                }
                Some(error) => write!(f, "TLS with the broker fails: {error}"),
                None => write!(f, "the connection to the broker is lost: {error}"),
            },
            Self::Silent => write!(f, "the broker has not answered for {} s", SILENT.as_secs()),
            Self::Broken(broken) => write!(f, "the broker has sent {broken}: it is no Redis, or something is between"),
            Self::Fault(LineFault::Unasked) => f.write_str("the broker has sent an answer without a command"),
            Self::Fault(LineFault::LostScripts) => f.write_str("the broker has forgotten its scripts (SCRIPT FLUSH)"),
            Self::Panic => f.write_str("the connection to the broker has failed by a fault of this program"),
        }
    }
}

fn jittered(pause: Duration) -> Duration {
    let half = pause / 2;
    half + half.mul_f64((random() >> 11) as f64 / (1u64 << 53) as f64)
}
