//! The seam for kinds of brokers: commands to bytes, and bytes to answers. No socket, no clock, no topics.
//!
//! A broker has channels. The answers to commands come in the order of the commands; messages of subscribed channels come
//! between them.

use std::fmt;

use crate::hub::Keep;
use crate::shared::{Operation, Outcome};
use crate::websocket::MessageId;

/// The commands and answers of one kind of broker.
pub(super) trait Engine: Send + Sync {
    /// A reader for a new connection.
    fn reader(&self) -> Box<dyn BrokerReader>;

    /// The commands with which a connection begins. Returns what each answer means.
    fn begin(&self, out: &mut Vec<u8>) -> Vec<BeginAnswer>;

    /// Subscribes to a channel. One answer: [`Incoming::Subscribed`], or a refusal.
    fn subscribe(&self, channel: &str, out: &mut Vec<u8>);

    /// The opposite. One answer: [`Incoming::Unsubscribed`], or a refusal.
    fn unsubscribe(&self, channel: &str, out: &mut Vec<u8>);

    /// Sends a message to a channel. One answer: [`BrokerAnswer::Receivers`].
    fn publish(&self, channel: &str, message: &[u8], out: &mut Vec<u8>);

    /// The same for a frame of the hub, which the broker numbers and keeps under this name. One answer: [`BrokerAnswer::Id`].
    fn publish_kept(&self, publication: &KeptPublication<'_>, out: &mut Vec<u8>);

    /// Asks for the kept frames of this name after a position. One answer: [`BrokerAnswer::Kept`].
    fn replay(&self, name: &str, after: MessageId, out: &mut Vec<u8>);

    /// Does an operation on shared state for the process of this number. One answer: [`BrokerAnswer::Outcome`], or a refusal.
    fn operate(&self, operation: &Operation<'_>, owner: u64, out: &mut Vec<u8>);

    /// The outcome of an operation that was refused with this code and text; `None`: not for the operation's sake.
    fn refusal(&self, code: &str, text: &str) -> Option<Outcome>;

    /// Notes that the process of this number is alive. One answer.
    fn stay_alive(&self, owner: u64, out: &mut Vec<u8>);

    /// Asks for a sign of life. One answer.
    fn ping(&self, out: &mut Vec<u8>);

    /// The beginning of the names of channels and keys.
    fn prefix(&self) -> &str;

    /// Whether an error says that scripts are gone, so that the connection has to begin again.
    fn has_lost_scripts(&self, code: &str) -> bool;
}

/// A frame to be numbered, kept and sent.
pub(super) struct KeptPublication<'a> {
    pub(super) channel: &'a str,
    pub(super) name: &'a str,
    /// The bytes of the frame, whose epoch and number are zero.
    pub(super) frame: &'a [u8],
    pub(super) keep: Keep,
    /// The epoch of the name, if it is a new one.
    pub(super) new_epoch: u64,
}

/// The meaning of an answer at the beginning of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BeginAnswer {
    /// A refusal means that the user or the password is wrong, or that the broker is too old.
    SignIn,
    /// A refusal ends the connection.
    Needed,
    /// A refusal has no effect.
    Wanted,
}

/// The bytes of one connection, as values.
pub(super) trait BrokerReader: Send {
    /// Takes bytes of the broker, and calls the function with each value that is complete.
    ///
    /// # Errors
    /// They are none of its protocol, or would take too much memory.
    fn receive(&mut self, bytes: &[u8], on_value: &mut dyn FnMut(Incoming<'_>)) -> Result<(), BrokenProtocol>;
}

/// A value that a broker has sent.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming<'a> {
    Message {
        channel: &'a [u8],
        payload: &'a [u8],
    },
    Subscribed(&'a [u8]),
    Unsubscribed(&'a [u8]),
    Answer(BrokerAnswer<'a>),
    /// News without a command before it.
    Other,
}

/// The answer to a command.
#[derive(Debug, PartialEq)]
pub(super) enum BrokerAnswer<'a> {
    Done,
    /// Processes that have got the message.
    Receivers(u64),
    Id(MessageId),
    Kept(KeptFrames<'a>),
    Outcome(Outcome),
    Facts(BrokerFacts),
    Refused {
        code: &'a str,
        text: &'a str,
    },
    /// None of these.
    Unknown,
}

/// Kept frames of a name, the newest ones that are asked for.
#[derive(Debug, PartialEq)]
pub(super) struct KeptFrames<'a> {
    /// The last position of the name; epoch 0: nothing is known of it.
    pub(super) last: MessageId,
    pub(super) count: u64,
    /// Frames of the hub, one after another.
    pub(super) frames: &'a [u8],
}

/// What a broker says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BrokerFacts {
    /// A name that it has from its start to its end.
    pub(super) life: Option<String>,
    /// Connections that it has cut because they did not take their messages.
    pub(super) cut: Option<u64>,
}

/// The bytes are none of the broker's protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BrokenProtocol(pub(super) &'static str);

impl fmt::Display for BrokenProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
