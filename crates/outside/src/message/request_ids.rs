//! The ids under which a request stands in logs: its own, and its place in a trace (W3C Trace Context).

use std::fmt::Write as _;

/// The ids of one request.
#[derive(Debug)]
pub(crate) struct RequestIds {
    /// The id that a trusted proxy has given; `None`: the trace's.
    pub(crate) given: Option<Box<str>>,
    /// The trace in 32 hexadecimal digits.
    pub(crate) trace: Box<str>,
    /// The step of the trace that this server is, in 16 hexadecimal digits.
    pub(crate) span: Box<str>,
    /// The flags that are passed on: sampled, random.
    pub(crate) flags: u8,
    /// What other programs of the trace have left for one another; empty if nothing.
    pub(crate) state: Box<str>,
}

/// Whether the caller may have recorded the trace (W3C Trace Context section 3.2.2.5).
pub(crate) const SAMPLED: u8 = 1;
/// Whether the right half of the trace's id is random (Trace Context Level 2 section 3.2.2.5).
pub(crate) const RANDOM: u8 = 2;

/// Random bytes that the ids of one request take: 16 for a trace, 8 for the step.
pub(crate) const ID_BYTES: usize = 24;

impl RequestIds {
    /// The ids of a request that begins a trace, from random bytes.
    pub(crate) fn new(random: &[u8; ID_BYTES]) -> Self {
        Self {
            given: None,
            trace: hexadecimal(&random[..16]),
            span: hexadecimal(&random[16..]),
            flags: RANDOM,
            state: Box::default(),
        }
    }

    /// The id of the request.
    pub(crate) fn id(&self) -> &str {
        self.given.as_deref().unwrap_or(&self.trace)
    }

    /// The field `traceparent` for requests that the handler of this one makes.
    pub(crate) fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// The bytes as digits in lower case. All zeros would be no id (W3C Trace Context section 3.2.2.3): then the last digit is 1.
fn hexadecimal(bytes: &[u8]) -> Box<str> {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing into a text cannot fail.
        let _written = write!(text, "{byte:02x}");
    }
    if bytes.iter().all(|byte| *byte == 0) {
        text.pop();
        text.push('1');
    }
    text.into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_never_zero() {
        let ids = RequestIds::new(&[0; ID_BYTES]);
        assert_eq!(ids.traceparent(), "00-00000000000000000000000000000001-0000000000000001-02");
        assert_eq!(ids.id(), &*ids.trace);
        let mut random = [0xab; ID_BYTES];
        random[0] = 1;
        assert_eq!(RequestIds::new(&random).traceparent(), "00-01ababababababababababababababab-abababababababab-02");
    }
}
