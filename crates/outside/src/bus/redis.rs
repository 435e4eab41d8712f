//! Redis and Valkey: commands and answers in RESP3, by the crate `redis`.
//!
//! The crate packs commands and parses values; lengths are checked before it (`resp`). Its connections are not used: they
//! neither tell of each disconnect nor bound what a broker sends. RESP3 has messages and answers on one connection, so it
//! is asked for (Redis 6 and newer).

use std::io::{self, Read};

use redis::{Cmd, Parser, PushKind, Value, cmd};

use super::engine::*;
use super::redis_operations::{self, ALIVE, alive_key, outcome_of};
use super::resp::RespBounds;
use super::scripts::{self, BrokerScript};
use crate::config::BusAddress;
use crate::hub::MAX_PAYLOAD;
use crate::shared::{Operation, Outcome};
use crate::websocket::MessageId;

/// Seconds after which the broker forgets the kept messages of a topic without new ones.
const IDLE_LIFE: u32 = 86_400;
/// Messages of one topic that are kept at most.
const MAX_KEPT: usize = 1_000_000;
/// Bytes of a frame before its epoch, and behind its number.
const BEFORE_EPOCH: usize = 16;
const BEHIND_NUMBER: usize = 32;

/// The engine of a Redis or Valkey.
pub(super) struct RedisEngine {
    address: BusAddress,
    publish: BrokerScript,
    replay: BrokerScript,
    operate: BrokerScript,
}

impl RedisEngine {
    pub(super) fn new(address: &BusAddress) -> Self {
        let [publish, replay, operate] = [scripts::PUBLISH, scripts::REPLAY, scripts::OPERATE].map(BrokerScript::new);
        Self { address: address.clone(), publish, replay, operate }
    }

    /// The two keys of a name: braces have a cluster keep both on one node.
    fn keys(&self, name: &str) -> [String; 2] {
        ["h", "l"].map(|kind| format!("{}:{kind}:{{{name}}}", self.address.prefix))
    }
}

impl Engine for RedisEngine {
    fn reader(&self) -> Box<dyn BrokerReader> {
        Box::new(RedisReader { bounds: RespBounds::default(), parser: Parser::new() })
    }

    fn begin(&self, out: &mut Vec<u8>) -> Vec<BeginAnswer> {
        let mut hello = cmd("HELLO");
        hello.arg(3);
        if let Some(password) = &self.address.password {
            hello.arg("AUTH").arg(self.address.user.as_deref().unwrap_or("default")).arg(password);
        }
        hello.arg("SETNAME").arg(format!("outside-{}", std::process::id())).write_packed_command(out);
        let mut answers = vec![BeginAnswer::SignIn];
        let mut add = |command: &Cmd, answer| {
            command.write_packed_command(out);
            answers.push(answer);
        };
        if self.address.database != 0 {
            add(cmd("SELECT").arg(self.address.database), BeginAnswer::Needed);
        }
        for script in [&self.publish, &self.replay, &self.operate] {
            add(cmd("SCRIPT").arg("LOAD").arg(script.source), BeginAnswer::Needed);
        }
        for section in ["server", "stats"] {
            add(cmd("INFO").arg(section), BeginAnswer::Wanted);
        }
        answers
    }

    fn subscribe(&self, channel: &str, out: &mut Vec<u8>) {
        cmd("SUBSCRIBE").arg(channel).write_packed_command(out);
    }

    fn unsubscribe(&self, channel: &str, out: &mut Vec<u8>) {
        cmd("UNSUBSCRIBE").arg(channel).write_packed_command(out);
    }

    fn publish(&self, channel: &str, message: &[u8], out: &mut Vec<u8>) {
        cmd("PUBLISH").arg(channel).arg(message).write_packed_command(out);
    }

    fn publish_kept(&self, publication: &KeptPublication<'_>, out: &mut Vec<u8>) {
        let KeptPublication { channel, name, frame, keep, new_epoch } = publication;
        let mut command = cmd("EVALSHA");
        command.arg(&self.publish.sha).arg(2).arg(&self.keys(name)).arg(*channel);
        command.arg(&frame[..BEFORE_EPOCH]).arg(&frame[BEHIND_NUMBER..]);
        command.arg(keep.messages.min(MAX_KEPT)).arg(keep.bytes);
        command.arg(&new_epoch.to_le_bytes()[..]).arg(IDLE_LIFE).write_packed_command(out);
    }

    fn replay(&self, name: &str, after: MessageId, out: &mut Vec<u8>) {
        let mut command = cmd("EVALSHA");
        command.arg(&self.replay.sha).arg(2).arg(&self.keys(name));
        command.arg(&after.epoch.to_le_bytes()[..]).arg(after.number).arg(MAX_PAYLOAD).write_packed_command(out);
    }

    fn operate(&self, operation: &Operation<'_>, owner: u64, out: &mut Vec<u8>) {
        redis_operations::command(&self.address.prefix, &self.operate.sha, operation, owner).write_packed_command(out);
    }

    fn refusal(&self, code: &str, text: &str) -> Option<Outcome> {
        redis_operations::refusal_of(code, text)
    }

    fn stay_alive(&self, owner: u64, out: &mut Vec<u8>) {
        let key = alive_key(&self.address.prefix, &format!("{owner:x}"));
        cmd("SET").arg(key).arg("").arg("PX").arg(ALIVE).write_packed_command(out);
    }

    fn ping(&self, out: &mut Vec<u8>) {
        cmd("PING").write_packed_command(out);
    }

    fn prefix(&self) -> &str {
        &self.address.prefix
    }

    fn has_lost_scripts(&self, code: &str) -> bool {
        code == "NOSCRIPT"
    }
}

/// The bytes of one connection to a Redis.
struct RedisReader {
    bounds: RespBounds,
    parser: Parser,
}

impl BrokerReader for RedisReader {
    fn receive(&mut self, bytes: &[u8], on_value: &mut dyn FnMut(Incoming<'_>)) -> Result<(), BrokenProtocol> {
        self.bounds.receive(bytes)?;
        let mut source = Source(bytes);
        loop {
            match self.parser.parse_value(&mut source) {
                Ok(value) => on_value(incoming(&value)),
                // The parser keeps what has come of the next value.
                Err(error) if error.is_timeout() => return Ok(()),
                Err(_) => return Err(BrokenProtocol("bytes that are no RESP")),
            }
        }
    }
}

/// Bytes for the parser, which has to wait behind them.
struct Source<'a>(&'a [u8]);

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(buffer) }
    }
}

fn incoming(value: &Value) -> Incoming<'_> {
    let Value::Push { kind, data } = value else { return Incoming::Answer(answer(value)) };
    match (kind, data.as_slice()) {
        (PushKind::Message, [Value::BulkString(channel), Value::BulkString(payload)]) => {
            Incoming::Message { channel, payload }
        }
        (PushKind::Subscribe, [Value::BulkString(channel), ..]) => Incoming::Subscribed(channel),
        (PushKind::Unsubscribe, [Value::BulkString(channel), ..]) => Incoming::Unsubscribed(channel),
        _ => Incoming::Other,
    }
}

fn answer(value: &Value) -> BrokerAnswer<'_> {
    match value {
        Value::ServerError(error) => {
            BrokerAnswer::Refused { code: error.code(), text: error.details().unwrap_or_default() }
        }
        Value::Int(count) => BrokerAnswer::Receivers(u64::try_from(*count).unwrap_or(0)),
        Value::Array(values) => match values.as_slice() {
            [Value::BulkString(epoch), Value::Int(number)] => BrokerAnswer::Id(position(epoch, *number)),
            [Value::BulkString(epoch), Value::Int(number), Value::Int(count), Value::BulkString(frames)] => {
                let count = u64::try_from(*count).unwrap_or(0);
                BrokerAnswer::Kept(KeptFrames { last: position(epoch, *number), count, frames })
            }
            values => outcome_of(values).map_or(BrokerAnswer::Unknown, BrokerAnswer::Outcome),
        },
        Value::BulkString(bytes) => std::str::from_utf8(bytes).map_or(BrokerAnswer::Unknown, text_answer),
        Value::VerbatimString { text, .. } => text_answer(text),
        _ => BrokerAnswer::Done,
    }
}

/// Facts, or a text that needs no reading: the name of a script, for one.
fn text_answer(text: &str) -> BrokerAnswer<'_> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let (life, cut) = (field("run_id"), field("client_output_buffer_limit_disconnections"));
    if life.is_none() && cut.is_none() {
        return BrokerAnswer::Done;
    }
    BrokerAnswer::Facts(BrokerFacts { life: life.map(str::to_owned), cut: cut.and_then(|cut| cut.parse().ok()) })
}

/// An epoch of eight bytes and a number.
fn position(epoch: &[u8], number: i64) -> MessageId {
    let epoch = epoch.try_into().map_or(0, u64::from_le_bytes);
    MessageId { epoch, number: u64::try_from(number).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of a stream that is cut into pieces of this size, as texts.
    fn values(stream: &[u8], size: usize) -> Result<Vec<String>, BrokenProtocol> {
        let address = "redis://h".parse().unwrap();
        let mut reader = RedisEngine::new(&address).reader();
        let mut found = Vec::new();
        for piece in stream.chunks(size) {
            reader.receive(piece, &mut |value| found.push(format!("{value:?}")))?;
        }
        Ok(found)
    }

    #[test]
    fn a_stream_may_be_cut_anywhere() {
        let stream = b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$4\r\n\r\n\r\n\r\n\
                       :2\r\n-NOPERM no channel\r\n+PONG\r\n*2\r\n$8\r\n\x01\0\0\0\0\0\0\0\r\n:5\r\n\
                       *4\r\n$0\r\n\r\n:0\r\n:0\r\n$0\r\n\r\n$20\r\nx:1\r\nrun_id:abc\r\ny:2\r\n>1\r\n+other\r\n";
        let whole = values(stream, stream.len()).unwrap();
        assert_eq!(
            whole,
            [
                "Subscribed([97])",
                "Message { channel: [97], payload: [13, 10, 13, 10] }",
                "Answer(Receivers(2))",
                "Answer(Refused { code: \"NOPERM\", text: \"no channel\" })",
                "Answer(Done)",
                "Answer(Id(MessageId { epoch: 1, number: 5 }))",
                "Answer(Kept(KeptFrames { last: MessageId { epoch: 0, number: 0 }, count: 0, frames: [] }))",
                "Answer(Facts(BrokerFacts { life: Some(\"abc\"), cut: None }))",
                "Other",
            ]
        );
        for size in [1, 2, 3, 7, 20] {
            assert_eq!(values(stream, size).unwrap(), whole, "pieces of {size}");
        }
        assert!(values(b"+OK\r\n:x\r\n", 3).is_err());
        assert!(values(b"$9999999999\r\n", 3).is_err());
    }

    #[test]
    fn a_large_message_comes_through() {
        let payload = vec![7; MAX_PAYLOAD];
        let mut stream = format!(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n${}\r\n", payload.len()).into_bytes();
        stream.extend_from_slice(&payload);
        stream.extend_from_slice(b"\r\n");
        assert_eq!(values(&stream, 64 << 10).unwrap().len(), 1);
    }
}
