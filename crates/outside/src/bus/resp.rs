//! The bounds of values in RESP3, the protocol of Redis, checked before a parser sees them.
//!
//! A parser waits for as many bytes as a length says, and keeps them. So each length is compared with a bound as it comes:
//! of one text, of one list, of lists within lists, and of one value in all. The bytes are not kept here.

use super::engine::BrokenProtocol;
use crate::hub::{HEAD, MAX_PAYLOAD, MAX_TOPIC};

/// Bytes of the longest text: a frame of the hub, which may be nested in a value with its channel.
const MAX_TEXT: u64 = (HEAD + MAX_TOPIC + MAX_PAYLOAD) as u64;
/// Bytes of one value: its text, and other texts and heads beside it.
const MAX_VALUE: u64 = MAX_TEXT + (256 << 10);
/// Bytes of a line, such as an error.
const MAX_LINE: usize = 64 << 10;
/// Elements of a list, and lists within lists: the facts about modules of a broker are the longest and deepest ones.
const MAX_ELEMENTS: u64 = 1024;
const MAX_DEPTH: usize = 6;
/// The first bytes of lines, which are the types of values.
const TYPES: &[u8] = b"+-:_,#($!=*~>%";
/// Bytes of a line that are kept, because they may be a length.
const LENGTH_DIGITS: usize = 24;

/// The position in a stream of values.
#[derive(Debug, Default)]
pub(super) struct RespBounds {
    /// The beginning of the line that has begun: its type and its length.
    line: Vec<u8>,
    /// Bytes of this line so far.
    line_length: usize,
    /// The last of them.
    last: u8,
    /// Bytes of a text that are still to come, with the end of its line.
    text_left: u64,
    /// Elements that are still to come, of each list that has begun.
    lists: Vec<u64>,
    /// Bytes of the value so far.
    value: u64,
}

impl RespBounds {
    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// A value is larger than any answer may be, or the bytes are no values.
    pub(super) fn receive(&mut self, mut bytes: &[u8]) -> Result<(), BrokenProtocol> {
        while !bytes.is_empty() {
            let taken = if self.text_left > 0 { self.take_text(bytes) } else { self.take_line(bytes)? };
            self.value += taken as u64;
            if self.value > MAX_VALUE {
                return Err(BrokenProtocol("a value that is too large"));
            }
            bytes = &bytes[taken..];
            if self.text_left == 0 && self.line_length == 0 && self.lists.is_empty() {
                self.value = 0;
            }
        }
        Ok(())
    }

    fn take_text(&mut self, bytes: &[u8]) -> usize {
        let taken = self.text_left.min(bytes.len() as u64);
        self.text_left -= taken;
        if self.text_left == 0 {
            self.end_value();
        }
        usize::try_from(taken).unwrap_or(bytes.len())
    }

    fn take_line(&mut self, bytes: &[u8]) -> Result<usize, BrokenProtocol> {
        let end = memchr::memchr(b'\n', bytes);
        let piece = &bytes[..end.map_or(bytes.len(), |end| end + 1)];
        let room = LENGTH_DIGITS.saturating_sub(self.line.len());
        self.line.extend_from_slice(&piece[..piece.len().min(room)]);
        self.line_length += piece.len();
        // A parser looks for CR LF, and would go on where a line ended here.
        let before_end = match piece {
            [.., before, _] => *before,
            _ => self.last,
        };
        if end.is_some() && before_end != b'\r' {
            return Err(BrokenProtocol("a line that does not end with CR LF"));
        }
        self.last = piece.last().copied().unwrap_or_default();
        if !self.line.first().is_some_and(|kind| TYPES.contains(kind)) {
            return Err(BrokenProtocol("bytes that are no RESP"));
        }
        if self.line_length > MAX_LINE {
            return Err(BrokenProtocol("a line that is too long"));
        }
        if end.is_some() {
            self.end_line()?;
            self.line.clear();
            (self.line_length, self.last) = (0, 0);
        }
        Ok(piece.len())
    }

    fn end_line(&mut self) -> Result<(), BrokenProtocol> {
        let (kind, rest) = self.line.split_first().ok_or(BrokenProtocol("an empty line"))?;
        match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => self.end_value(),
            b'$' | b'!' | b'=' => match length(rest)? {
                None if *kind == b'$' => self.end_value(),
                Some(text @ 0..=MAX_TEXT) => self.text_left = text + 2,
                _ => return Err(BrokenProtocol("a text that is too long")),
            },
            b'*' | b'~' | b'>' | b'%' => match length(rest)? {
                None if *kind == b'*' => self.end_value(),
                Some(0) => self.end_value(),
                Some(elements @ 1..=MAX_ELEMENTS) if self.lists.len() < MAX_DEPTH => {
                    self.lists.push(if *kind == b'%' { 2 * elements } else { elements });
                }
                _ => return Err(BrokenProtocol("a list that is too long or too deep")),
            },
            _ => return Err(BrokenProtocol("bytes that are no RESP")),
        }
        Ok(())
    }

    /// A value is complete, and with it perhaps the lists around it.
    fn end_value(&mut self) {
        while let Some(left) = self.lists.last_mut() {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.lists.pop();
        }
    }
}

/// A length at the end of its line; `None` for -1, which stands for no value.
fn length(line: &[u8]) -> Result<Option<u64>, BrokenProtocol> {
    let digits = line.strip_suffix(b"\r\n").and_then(|digits| std::str::from_utf8(digits).ok());
    match digits {
        Some("-1") => Ok(None),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map(Some).map_err(|_| BrokenProtocol("a length that is too large"))
        }
        _ => Err(BrokenProtocol("a length that is no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on the whole, and on every way to cut it in two.
    fn verdict(bytes: &[u8]) -> Result<bool, BrokenProtocol> {
        let whole = |pieces: &[&[u8]]| {
            let mut bounds = RespBounds::default();
            pieces.iter().try_for_each(|piece| bounds.receive(piece))?;
            Ok(bounds.value == 0)
        };
        let found = whole(&[bytes]);
        for at in 0..bytes.len() {
            assert_eq!(whole(&[&bytes[..at], &bytes[at..]]), found, "cut at {at}");
        }
        found
    }

    #[test]
    fn values_within_the_bounds() {
        for good in [
            "+OK\r\n",
            "-ERR no\r\n:5\r\n",
            "$5\r\nhe\r\nl\r\n",
            "$-1\r\n*-1\r\n*0\r\n%0\r\n",
            ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nbc\r\n",
            "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n$0\r\n\r\n_\r\n#t\r\n,1.5\r\n",
        ] {
            assert_eq!(verdict(good.as_bytes()), Ok(true), "{good:?}");
        }
        for part in ["+O", "$5\r\nhell", "*2\r\n:1\r\n", ">1\r\n", "$5\r\nhello\r"] {
            assert_eq!(verdict(part.as_bytes()), Ok(false), "{part:?}");
        }
    }

    #[test]
    fn values_beyond_the_bounds() {
        let deep = "*1\r\n".repeat(7);
        let many = "*1000\r\n".to_owned() + &"*1000\r\n".repeat(5) + "$4000000\r\n";
        for (bad, reason) in [
            ("HTTP/1.1 400 Bad Request\r\n", "bytes that are no RESP"),
            ("|1\r\n+a\r\n+b\r\n+c\r\n", "bytes that are no RESP"),
            ("$9223372036854775807\r\n", "a text that is too long"),
            ("$99999999999999999999999\r\n", "a length that is no number"),
            ("$4259941\r\n", "a text that is too long"),
            ("$-2\r\n", "a length that is no number"),
            ("$?\r\n", "a length that is no number"),
            ("=-1\r\n", "a text that is too long"),
            ("*1025\r\n", "a list that is too long or too deep"),
            (&deep, "a list that is too long or too deep"),
            ("\r\n", "bytes that are no RESP"),
            ("(1\n", "a line that does not end with CR LF"),
            ("+\n", "a line that does not end with CR LF"),
            ("-ERR one\r of\n two\r\n", "a line that does not end with CR LF"),
            ("*1\n", "a line that does not end with CR LF"),
        ] {
            assert_eq!(verdict(bad.as_bytes()), Err(BrokenProtocol(reason)), "{bad:?}");
        }
        let mut bounds = RespBounds::default();
        assert_eq!(bounds.receive(many.as_bytes()), Ok(()));
        let flood = vec![b'x'; 4_000_002];
        assert_eq!(bounds.receive(&flood), Ok(()));
        assert!(bounds.receive(b"$4000000\r\n").and_then(|()| bounds.receive(&flood)).is_err(), "one value in all");
        let mut bounds = RespBounds::default();
        assert!((0..70).try_for_each(|_| bounds.receive(&flood[..1000])).is_err(), "a line without an end");
    }
}
