//! Operations and outcomes as bytes: the payload of the hub's frames, whose topic is the key.
//!
//! A byte says the kind, the fields follow: integers of 8 bytes, little-endian, times in nanoseconds, flags as a byte, a
//! value as the byte of its kind and the rest of the payload.

use std::fmt;
use std::time::Duration;

use super::operation::{Action, Operation, Outcome, Rate, RateVerdict, SharedRefusal, SharedValue, Tick};

/// The bytes are no operation, or no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireError;

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a frame about shared state that is malformed")
    }
}

/// The bytes of an action.
pub fn encode_operation(action: &Action) -> Vec<u8> {
    let mut out = Vec::new();
    match action {
        Action::Get => out.push(1),
        Action::Set { value, ttl, only_if_absent } => {
            out.extend([2, u8::from(*only_if_absent)]);
            put_ttl(&mut out, *ttl);
            put_value(&mut out, value);
        }
        Action::Increment { by, ttl } => {
            out.push(3);
            put(&mut out, by.cast_unsigned());
            put_ttl(&mut out, *ttl);
        }
        Action::Delete => out.push(4),
        Action::Admit(rate) => {
            out.push(5);
            put(&mut out, rate.interval);
            put(&mut out, rate.tolerance);
        }
        Action::Lock { ttl } => {
            out.push(6);
            put_time(&mut out, *ttl);
        }
        Action::Renew { token, ttl } => {
            out.push(7);
            put(&mut out, *token);
            put_time(&mut out, *ttl);
        }
        Action::Unlock { token } => {
            out.push(8);
            put(&mut out, *token);
        }
        Action::Tick { period, has_ended } => {
            out.extend([9, u8::from(*has_ended)]);
            put_time(&mut out, *period);
        }
    }
    out
}

/// The operation of this key that the bytes say.
///
/// # Errors
/// They say none.
pub fn decode_operation<'a>(key: &'a str, bytes: &[u8]) -> Result<Operation<'a>, WireError> {
    let mut rest = Reader(bytes);
    let action = match rest.byte()? {
        1 => Action::Get,
        2 => {
            let only_if_absent = rest.flag()?;
            let ttl = rest.ttl()?;
            Action::Set { value: rest.value()?, ttl, only_if_absent }
        }
        3 => Action::Increment { by: rest.number()?.cast_signed(), ttl: rest.ttl()? },
        4 => Action::Delete,
        5 => Action::Admit(Rate { interval: rest.number()?, tolerance: rest.number()? }),
        6 => Action::Lock { ttl: rest.time()? },
        7 => Action::Renew { token: rest.number()?, ttl: rest.time()? },
        8 => Action::Unlock { token: rest.number()? },
        9 => {
            let has_ended = rest.flag()?;
            Action::Tick { period: rest.time()?, has_ended }
        }
        _ => return Err(WireError),
    };
    rest.end()?;
    Ok(Operation { key, action })
}

/// The bytes of an outcome.
pub fn encode_outcome(outcome: &Outcome) -> Vec<u8> {
    let mut out = Vec::new();
    match outcome {
        Outcome::Value(None) => out.push(1),
        Outcome::Value(Some(value)) => {
            out.push(2);
            put_value(&mut out, value);
        }
        Outcome::Flag(flag) => out.extend([3, u8::from(*flag)]),
        Outcome::Number(number) => {
            out.push(4);
            put(&mut out, number.cast_unsigned());
        }
        Outcome::Admission(told) => {
            out.extend([5, u8::from(told.is_admitted)]);
            put(&mut out, told.remaining);
            put_time(&mut out, told.retry);
            put_time(&mut out, told.reset);
            put_time(&mut out, told.at);
        }
        Outcome::Locked(token) => {
            out.push(6);
            put(&mut out, *token);
        }
        Outcome::Held(time) => {
            out.push(7);
            put_time(&mut out, *time);
        }
        Outcome::Tick(tick) => {
            out.extend([8, u8::from(tick.is_given)]);
            put(&mut out, tick.number);
            put_time(&mut out, tick.next);
        }
        Outcome::Refused(refusal) => out.extend([9, *refusal as u8]),
    }
    out
}

/// The outcome that the bytes say.
///
/// # Errors
/// They say none.
pub fn decode_outcome(bytes: &[u8]) -> Result<Outcome, WireError> {
    let mut rest = Reader(bytes);
    let outcome = match rest.byte()? {
        1 => Outcome::Value(None),
        2 => Outcome::Value(Some(rest.value()?)),
        3 => Outcome::Flag(rest.flag()?),
        4 => Outcome::Number(rest.number()?.cast_signed()),
        5 => Outcome::Admission(RateVerdict {
            is_admitted: rest.flag()?,
            remaining: rest.number()?,
            retry: rest.time()?,
            reset: rest.time()?,
            at: rest.time()?,
        }),
        6 => Outcome::Locked(rest.number()?),
        7 => Outcome::Held(rest.time()?),
        8 => Outcome::Tick(Tick { is_given: rest.flag()?, number: rest.number()?, next: rest.time()? }),
        9 => {
            use SharedRefusal::{Busy, Full, NotInteger, Overflow, TooLong};
            let byte = rest.byte()?;
            let known = [Full, NotInteger, Overflow, TooLong, Busy];
            Outcome::Refused(known.into_iter().find(|refusal| *refusal as u8 == byte).ok_or(WireError)?)
        }
        _ => return Err(WireError),
    };
    rest.end()?;
    Ok(outcome)
}

fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_time(out: &mut Vec<u8>, time: Duration) {
    put(out, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

/// No time to live is the longest one.
fn put_ttl(out: &mut Vec<u8>, ttl: Option<Duration>) {
    match ttl {
        Some(ttl) => put_time(out, ttl),
        None => put(out, u64::MAX),
    }
}

fn put_value(out: &mut Vec<u8>, value: &SharedValue) {
    match value {
        SharedValue::Text(text) => {
            out.push(1);
            out.extend_from_slice(text.as_bytes());
        }
        SharedValue::Bytes(bytes) => {
            out.push(2);
            out.extend_from_slice(bytes);
        }
        SharedValue::Integer(number) => {
            out.push(3);
            put(out, number.cast_unsigned());
        }
        SharedValue::Json(text) => {
            out.push(4);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// The bytes that are not read yet.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, WireError> {
        let (byte, rest) = self.0.split_first().ok_or(WireError)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn flag(&mut self) -> Result<bool, WireError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError),
        }
    }

    fn number(&mut self) -> Result<u64, WireError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(WireError)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*number))
    }

    fn time(&mut self) -> Result<Duration, WireError> {
        Ok(Duration::from_nanos(self.number()?))
    }

    fn ttl(&mut self) -> Result<Option<Duration>, WireError> {
        let ttl = self.number()?;
        Ok((ttl != u64::MAX).then(|| Duration::from_nanos(ttl)))
    }

    fn value(&mut self) -> Result<SharedValue, WireError> {
        let kind = self.byte()?;
        if kind == 3 {
            return Ok(SharedValue::Integer(self.number()?.cast_signed()));
        }
        let bytes = std::mem::take(&mut self.0).to_vec();
        let text = |bytes| String::from_utf8(bytes).map_err(|_| WireError);
        match kind {
            1 => Ok(SharedValue::Text(text(bytes)?)),
            2 => Ok(SharedValue::Bytes(bytes)),
            4 => Ok(SharedValue::Json(text(bytes)?)),
            _ => Err(WireError),
        }
    }

    fn end(&self) -> Result<(), WireError> {
        if self.0.is_empty() { Ok(()) } else { Err(WireError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Vec<SharedValue> {
        let text = || "grüße".to_owned();
        vec![
            SharedValue::Text(text()),
            SharedValue::Bytes(vec![0, 255]),
            SharedValue::Integer(-7),
            SharedValue::Json(text()),
            SharedValue::Text(String::new()),
        ]
    }

    #[test]
    fn operations_survive_the_way() {
        let ttl = Duration::from_nanos(1_500_000_001);
        let set = |value| Action::Set { value, ttl: Some(ttl), only_if_absent: true };
        let mut actions: Vec<_> = values().into_iter().map(set).collect();
        actions.extend([
            Action::Get,
            Action::Set { value: SharedValue::Integer(i64::MIN), ttl: None, only_if_absent: false },
            Action::Increment { by: -1, ttl: None },
            Action::Delete,
            Action::Admit(Rate { interval: 7, tolerance: 9 }),
            Action::Lock { ttl },
            Action::Renew { token: u64::MAX, ttl },
            Action::Unlock { token: 5 },
            Action::Tick { period: ttl, has_ended: true },
        ]);
        for action in actions {
            let bytes = encode_operation(&action);
            assert_eq!(decode_operation("k", &bytes), Ok(Operation { key: "k", action }));
            let cut = decode_operation("k", &bytes[..bytes.len() - 1]);
            let is_value = bytes[0] == 2;
            assert!(cut.is_err() || is_value, "{bytes:?}");
        }
    }

    #[test]
    fn outcomes_survive_the_way() {
        let time = Duration::from_millis(1234);
        let admission = RateVerdict { is_admitted: true, remaining: 3, retry: time, reset: time, at: time };
        let mut outcomes: Vec<_> = values().into_iter().map(|value| Outcome::Value(Some(value))).collect();
        outcomes.extend([
            Outcome::Value(None),
            Outcome::Flag(true),
            Outcome::Number(-5),
            Outcome::Admission(admission),
            Outcome::Locked(8),
            Outcome::Held(time),
            Outcome::Tick(Tick { is_given: false, number: 2, next: time }),
            Outcome::Refused(SharedRefusal::Full),
            Outcome::Refused(SharedRefusal::Busy),
        ]);
        for outcome in outcomes {
            assert_eq!(decode_outcome(&encode_outcome(&outcome)), Ok(outcome));
        }
        for bad in [&[][..], &[0], &[3, 2], &[9, 99], &[1, 1], &[2, 1, 0xff]] {
            assert_eq!(decode_outcome(bad), Err(WireError), "{bad:?}");
        }
    }
}
