//! The beginning of a connection: the broker takes user and password, and shows that it allows what is needed.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::carrier::BrokerBus;
use super::connection::BrokerConnection;
use super::engine::{BeginAnswer, BrokenProtocol, BrokerAnswer, BrokerFacts, BrokerReader, Engine, Incoming};
use super::line::{channel_of_all, channel_of_process};
use crate::hub::{Frame, FrameKind};

/// Bytes that are read at once.
const MAX_READ: usize = 16 << 10;
/// Letters of a broker's text that are shown.
const SHOWN: usize = 200;

/// A connection on which commands may be sent.
pub(super) struct SignedIn {
    pub(super) reader: Box<dyn BrokerReader>,
    pub(super) facts: BrokerFacts,
}

/// The connection cannot be used.
#[derive(Debug)]
pub(super) enum SignInRefusal {
    /// User and password, or the version.
    SignIn {
        code: String,
    },
    /// A command that is needed.
    Command {
        code: String,
        text: String,
    },
    /// An answer to none of the commands.
    Unasked,
    TimedOut,
    Closed,
    Lost(io::Error),
    Broken(BrokenProtocol),
}

/// Signs in, and subscribes to the channels of all processes and of this one.
///
/// # Errors
/// The broker refuses something, or there was no answer in time.
pub(super) fn sign_in(
    connection: &mut BrokerConnection,
    engine: &dyn Engine,
    bus: &BrokerBus,
    deadline: Instant,
) -> Result<SignedIn, SignInRefusal> {
    let mut commands = Vec::new();
    let mut expected: VecDeque<_> = engine.begin(&mut commands).into();
    let own = channel_of_process(engine.prefix(), bus.origin());
    engine.subscribe(&channel_of_all(engine.prefix()), &mut commands);
    engine.subscribe(&own, &mut commands);
    // An answer to no question, which shows that this user may publish.
    engine.publish(&own, &Frame::new(FrameKind::Counted, "").to_bytes(), &mut commands);
    expected.extend([BeginAnswer::Needed; 3]);
    let (mut sent, mut facts, mut scratch) = (0, BrokerFacts::default(), vec![0; MAX_READ]);
    let mut reader = engine.reader();
    while !expected.is_empty() {
        if sent < commands.len() {
            sent += connection.write(&commands[sent..]).map_err(SignInRefusal::Lost)?;
        }
        connection.flush().map_err(SignInRefusal::Lost)?;
        match connection.read(&mut scratch).map_err(SignInRefusal::Lost)? {
            None => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(SignInRefusal::TimedOut);
                }
                let timeout = left.max(Duration::from_millis(1));
                let ready = connection.wait(bus.waker(), true, sent < commands.len(), timeout);
                if ready.map_err(SignInRefusal::Lost)?.is_woken {
                    // Nothing has to be sent before the handshake is done; the end of the run may wait until then.
                    bus.waker().clear();
                }
            }
            Some(0) => return Err(SignInRefusal::Closed),
            Some(count) => {
                let mut refusal = None;
                let received = reader.receive(&scratch[..count], &mut |value| {
                    if refusal.is_none() {
                        refusal = take(&value, &mut expected, &mut facts).err();
                    }
                });
                received.map_err(SignInRefusal::Broken)?;
                if let Some(refusal) = refusal {
                    return Err(refusal);
                }
            }
        }
    }
    Ok(SignedIn { reader, facts })
}

fn take(
    value: &Incoming<'_>,
    expected: &mut VecDeque<BeginAnswer>,
    facts: &mut BrokerFacts,
) -> Result<(), SignInRefusal> {
    if matches!(value, Incoming::Message { .. } | Incoming::Other) {
        return Ok(());
    }
    let expected = expected.pop_front().ok_or(SignInRefusal::Unasked)?;
    match value {
        Incoming::Answer(BrokerAnswer::Refused { code, text }) => match expected {
            // Its text may quote the command, and with it the password.
            BeginAnswer::SignIn => Err(SignInRefusal::SignIn { code: shown(code) }),
            BeginAnswer::Needed => Err(SignInRefusal::Command { code: shown(code), text: shown(text) }),
            BeginAnswer::Wanted => Ok(()),
        },
        Incoming::Answer(BrokerAnswer::Facts(new)) => {
            facts.life = facts.life.take().or_else(|| new.life.clone());
            facts.cut = facts.cut.or(new.cut);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

impl SignInRefusal {
    /// Whether it stays until the configuration or the broker is changed.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            Self::SignIn { code } => code != "LOADING",
            Self::Command { .. } | Self::Unasked => true,
            _ => false,
        }
    }
}

impl fmt::Display for SignInRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignIn { code } => match code.as_str() {
                "WRONGPASS" => f.write_str("the broker refuses this user or password (WRONGPASS)"),
                "NOAUTH" => f.write_str("the broker wants a user or password (NOAUTH): redis://user:password@host"),
                "NOPERM" => f.write_str("the broker gives this user no rights to HELLO (NOPERM)"),
                "LOADING" => f.write_str("the broker is still loading its data (LOADING)"),
                "NOPROTO" => f.write_str("the broker does not speak RESP3 (NOPROTO): Redis 6 or newer does"),
                "ERR" => f.write_str("the broker refuses HELLO (ERR): Redis 6 or newer takes it, with the right user"),
                code => write!(f, "the broker refuses the connection ({code})"),
            },
            Self::Command { code, text } => {
                write!(f, "the broker refuses a command that is needed: {code} {text}")
            }
            Self::Unasked => f.write_str("the broker has sent an answer without a command"),
            Self::TimedOut => f.write_str("the broker does not answer"),
            Self::Closed => f.write_str("the broker has closed the connection"),
            Self::Lost(error) => error.fmt(f),
            Self::Broken(broken) => broken.fmt(f),
        }
    }
}
