//! Server-sent events, which a page reads with `EventSource` (HTML Living Standard section 9.2).

use bytes::Bytes;

use super::body::{BodyStream, KeepAlive, Pull};
use crate::error::Error;

/// One event.
///
/// ```
/// use outside::message::Event;
/// let event = Event { id: Some("7".into()), event: Some("rain".into()), ..Event::new("it rains\nand pours") };
/// assert_eq!(event.to_bytes()?, "id: 7\nevent: rain\ndata: it rains\ndata: and pours\n\n");
/// # Ok::<(), outside::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The data; may have several lines.
    pub data: String,
    /// The kind, for `addEventListener`; `None`: `message`.
    pub event: Option<String>,
    /// The id that a reconnecting client sends as `Last-Event-ID`; an empty one removes the last id.
    pub id: Option<String>,
    /// Milliseconds after which a client reconnects when it has lost the connection.
    pub retry: Option<u64>,
}

impl Event {
    /// An event with only data.
    pub fn new(data: impl Into<String>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// The bytes of the event as sent.
    ///
    /// # Errors
    /// The id or the kind has several lines, or the id holds NUL, which clients refuse.
    pub fn to_bytes(&self) -> Result<Bytes, Error> {
        let mut text = String::with_capacity(self.data.len() + 16);
        for (name, value) in [("id", &self.id), ("event", &self.event)] {
            let Some(value) = value else { continue };
            if value.contains(['\r', '\n', '\0']) {
                return Err(Error::new(format!("the {name} of an event is one line, not {value:?}")));
            }
            text.extend([name, ": ", value, "\n"]);
        }
        if let Some(retry) = self.retry {
            text.extend(["retry: ", &retry.to_string(), "\n"]);
        }
        let mut rest = self.data.as_str();
        loop {
            // CRLF, LF and CR all end a line.
            let end = memchr::memchr2(b'\r', b'\n', rest.as_bytes());
            text.extend(["data: ", &rest[..end.unwrap_or(rest.len())], "\n"]);
            let Some(end) = end else { break };
            let ends_in_two = rest.as_bytes()[end..].starts_with(b"\r\n");
            rest = &rest[end + 1 + usize::from(ends_in_two)..];
        }
        text.push('\n');
        Ok(text.into())
    }
}

/// Fields of an answer with events: caches and proxies must neither store nor delay it.
pub(crate) const EVENT_STREAM_FIELDS: [(&str, &str); 2] = [("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no")];

/// Events from an iterator.
pub(crate) struct Events<I>(pub(crate) I);

impl<I: Iterator<Item = Event> + Send> BodyStream for Events<I> {
    fn pull(&mut self) -> Pull {
        match self.0.next().map(|event| event.to_bytes()) {
            None => Pull::End,
            Some(Ok(bytes)) => Pull::Piece(bytes),
            Some(Err(error)) => Pull::Failed(error),
        }
    }

    fn keep_alive(&self) -> Option<KeepAlive> {
        Some(KeepAlive::EVENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_however_they_end() {
        for (data, wire) in [
            ("", "data: \n\n"),
            ("a\nb\r\nc\rd", "data: a\ndata: b\ndata: c\ndata: d\n\n"),
            ("\r\n\n", "data: \ndata: \ndata: \n\n"),
            (" spaced ", "data:  spaced \n\n"),
            ("é: ü", "data: é: ü\n\n"),
        ] {
            assert_eq!(Event::new(data).to_bytes().unwrap(), wire, "{data:?}");
        }
        let named = Event { retry: Some(3000), id: Some(String::new()), ..Event::new("x") };
        assert_eq!(named.to_bytes().unwrap(), "id: \nretry: 3000\ndata: x\n\n");
    }

    #[test]
    fn nothing_forges_a_field() {
        for bad in ["a\nb", "a\r", "\0"] {
            assert!(Event { id: Some(bad.into()), ..Event::new("") }.to_bytes().is_err());
            assert!(Event { event: Some(bad.into()), ..Event::new("") }.to_bytes().is_err());
        }
    }
}
