//! Operations on shared state as commands of Redis, and their outcomes. The script does them (`scripts`).

use std::time::Duration;

use redis::{Cmd, Value, cmd};

use crate::shared::{Action, Operation, Outcome, RateVerdict, SharedRefusal, SharedValue, Tick};

/// Milliseconds for which a process that has a tick is taken for alive after its last sign.
pub(super) const ALIVE: u32 = 10_000;

/// The command of an operation. `sha`: the name of the script; `owner`: the number of this process.
pub(super) fn command(prefix: &str, sha: &str, operation: &Operation<'_>, owner: u64) -> Cmd {
    let Operation { key, action } = operation;
    let own = |kind: &str| format!("{prefix}:{kind}:{key}");
    let (first, second) = match action {
        Action::Get | Action::Set { .. } | Action::Increment { .. } | Action::Delete => (own("v"), String::new()),
        Action::Admit(_) => (own("r"), String::new()),
        Action::Lock { .. } | Action::Renew { .. } | Action::Unlock { .. } => (own("k"), format!("{prefix}:token")),
        Action::Tick { .. } => (own("s"), alive_key(prefix, "")),
    };
    let mut command = cmd("EVALSHA");
    command.arg(sha);
    if second.is_empty() {
        command.arg(1).arg(first)
    } else {
        command.arg(2).arg(first).arg(second)
    };
    let owner = format!("{owner:x}");
    match action {
        Action::Get => command.arg("get").arg(owner),
        Action::Set { value, ttl, only_if_absent } => {
            let ttl = ttl.map_or(0, milliseconds);
            command.arg("set").arg(owner).arg(bytes_of(value)).arg(ttl).arg(u8::from(*only_if_absent))
        }
        Action::Increment { by, ttl } => command.arg("add").arg(owner).arg(*by).arg(ttl.map_or(0, milliseconds)),
        Action::Delete => command.arg("delete").arg(owner),
        Action::Admit(rate) => {
            let [interval, tolerance] = [rate.interval, rate.tolerance].map(|time| format!("{:.3}", time as f64 / 1e3));
            command.arg("admit").arg(owner).arg(interval).arg(tolerance)
        }
        Action::Lock { ttl } => command.arg("lock").arg(owner).arg(milliseconds(*ttl)),
        Action::Renew { token, ttl } => command.arg("renew").arg(owner).arg(*token).arg(milliseconds(*ttl)),
        Action::Unlock { token } => command.arg("unlock").arg(owner).arg(*token),
        Action::Tick { period, has_ended } => {
            let period = u64::try_from(period.as_micros()).unwrap_or(u64::MAX).max(1000);
            command.arg("tick").arg(owner).arg(period).arg(u8::from(*has_ended)).arg(ALIVE)
        }
    };
    command
}

/// The key that a process which has a tick renews.
pub(super) fn alive_key(prefix: &str, owner: &str) -> String {
    format!("{prefix}:alive:{owner}")
}

fn milliseconds(time: Duration) -> u64 {
    // Rounded up: a time that is too short would let another one in.
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).clamp(1, 1 << 52)
}

/// A whole number is stored as its digits, which the broker adds to; others have a letter before them.
fn bytes_of(value: &SharedValue) -> Vec<u8> {
    let with = |letter: u8, bytes: &[u8]| [&[letter], bytes].concat();
    match value {
        SharedValue::Integer(number) => number.to_string().into_bytes(),
        SharedValue::Text(text) => with(b't', text.as_bytes()),
        SharedValue::Bytes(bytes) => with(b'b', bytes),
        SharedValue::Json(text) => with(b'j', text.as_bytes()),
    }
}

fn value_of(bytes: &[u8]) -> Option<SharedValue> {
    let (letter, rest) = bytes.split_first()?;
    let text = || String::from_utf8(rest.to_vec()).ok();
    match letter {
        b't' => text().map(SharedValue::Text),
        b'b' => Some(SharedValue::Bytes(rest.to_vec())),
        b'j' => text().map(SharedValue::Json),
        _ => std::str::from_utf8(bytes).ok()?.parse().ok().map(SharedValue::Integer),
    }
}

/// The outcome that the script says; `None`: it says none.
pub(super) fn outcome_of(values: &[Value]) -> Option<Outcome> {
    let [Value::BulkString(mark), Value::BulkString(kind), rest @ ..] = values else { return None };
    if mark != b"o" {
        return None;
    }
    Some(match (kind.as_slice(), rest) {
        (b"n", []) => Outcome::Value(None),
        (b"v", [Value::BulkString(value)]) => Outcome::Value(Some(value_of(value)?)),
        (b"f", [Value::Int(flag)]) => Outcome::Flag(*flag != 0),
        (b"i", [sum]) => Outcome::Number(number(sum)?),
        (b"h", [Value::Int(left)]) => Outcome::Held(Duration::from_millis(u64::try_from(*left).ok()?)),
        (b"l", [token]) => Outcome::Locked(number(token)?),
        (b"a", [Value::Int(admitted), Value::Int(remaining), retry, reset, at]) => Outcome::Admission(RateVerdict {
            is_admitted: *admitted != 0,
            remaining: u64::try_from(*remaining).ok()?,
            retry: microseconds(retry)?,
            reset: microseconds(reset)?,
            at: microseconds(at)?,
        }),
        (b"t", [Value::Int(given), last, next]) => {
            Outcome::Tick(Tick { is_given: *given != 0, number: number(last)?, next: microseconds(next)? })
        }
        _ => return None,
    })
}

/// The outcome of an operation that the broker refuses with this code and text; `None`: it was not for the operation's sake.
pub(super) fn refusal_of(code: &str, text: &str) -> Option<Outcome> {
    let refusal = match code {
        "OOM" => SharedRefusal::Full,
        _ if text.contains("would overflow") => SharedRefusal::Overflow,
        _ if text.contains("not an integer") => SharedRefusal::NotInteger,
        _ => return None,
    };
    Some(Outcome::Refused(refusal))
}

fn number<T: std::str::FromStr>(value: &Value) -> Option<T> {
    match value {
        Value::BulkString(digits) => std::str::from_utf8(digits).ok()?.parse().ok(),
        _ => None,
    }
}

fn microseconds(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(number::<f64>(value)? / 1e6).ok()
}
