//! Chunked bodies of requests, decoded as they arrive (RFC 9112 section 7.1).
//!
//! Every line must end in CRLF; sizes are hexadecimal digits alone; extensions are checked, bounded and dropped; trailer
//! fields are checked like header fields, bounded like them, and dropped (RFC 9110 section 6.5.1).

use super::head::HeadLimits;
use crate::error::Refusal;
use crate::message::{is_token_byte, is_value_byte};
use Extension::{AfterName, Name, NameStart, Quoted, QuotedEnd, QuotedPair, Space, Token, ValueStart};

/// Decodes a chunked body; holds a few numbers and no bytes.
#[derive(Debug)]
pub(crate) struct ChunkedDecoder {
    state: ChunkedState,
    /// Size of the chunk whose line is being read, then bytes left of its data.
    size: u64,
    digits: u8,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailer_fields: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkedState {
    Size,
    Extension(Extension),
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

/// The position in an extension (RFC 9112 section 7.1.1): `BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// White space behind the size or a value: only another extension may follow.
    Space,
    /// Behind the semicolon.
    NameStart,
    Name,
    /// White space behind a name: a value or another extension follows.
    AfterName,
    /// Behind the equals sign.
    ValueStart,
    Token,
    Quoted,
    /// Behind a backslash.
    QuotedPair,
    /// Behind the closing quote.
    QuotedEnd,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkedStep {
    /// Bytes of the input that belong to this body.
    pub(crate) consumed: usize,
    /// Whether the last chunk and the trailers have been read.
    pub(crate) done: bool,
}

const MAX_EXTENSION_BYTES: usize = 16 << 10;

impl ChunkedDecoder {
    pub(crate) const fn new() -> Self {
        Self { state: ChunkedState::Size, size: 0, digits: 0, extension_bytes: 0, trailer_bytes: 0, trailer_fields: 0 }
    }

    /// Reads input and appends content to `content`, which may hold `max` bytes at most.
    pub(crate) fn receive(
        &mut self,
        input: &[u8],
        content: &mut Vec<u8>,
        max: usize,
        limits: &HeadLimits,
    ) -> Result<ChunkedStep, Refusal> {
        let mut at = 0;
        while at < input.len() && self.state != ChunkedState::Done {
            if self.state == ChunkedState::Data {
                let take = usize::try_from(self.size).unwrap_or(usize::MAX).min(input.len() - at);
                content.extend_from_slice(&input[at..at + take]);
                at += take;
                self.size -= take as u64;
                if self.size == 0 {
                    self.state = ChunkedState::DataCr;
                }
                continue;
            }
            self.receive_byte(input[at], limits)?;
            at += 1;
            if self.state == ChunkedState::Data && self.size > max.saturating_sub(content.len()) as u64 {
                return Err(Refusal::limit(413, "content too large", "max_body_size_mb"));
            }
        }
        Ok(ChunkedStep { consumed: at, done: self.state == ChunkedState::Done })
    }

    fn receive_byte(&mut self, byte: u8, limits: &HeadLimits) -> Result<(), Refusal> {
        const MALFORMED: Refusal = Refusal::bad("malformed chunk line");
        self.state = match (self.state, byte) {
            (ChunkedState::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.digits += 1;
                if self.digits > 16 {
                    return Err(Refusal::bad("chunk size of more than 16 digits"));
                }
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                self.size = self.size << 4 | u64::from(digit);
                ChunkedState::Size
            }
            (ChunkedState::Size, _) if self.digits == 0 => return Err(Refusal::bad("chunk without a size")),
            (ChunkedState::Size | ChunkedState::Extension(Name | Token | QuotedEnd), b'\r') => ChunkedState::SizeLf,
            (ChunkedState::Size, b';') => self.extension(NameStart)?,
            (ChunkedState::Size, b' ' | b'\t') => self.extension(Space)?,
            (ChunkedState::Extension(at), _) => match at.next(byte) {
                Some(next) => self.extension(next)?,
                None => return Err(Refusal::bad("malformed chunk extension")),
            },
            (ChunkedState::SizeLf, b'\n') => {
                self.digits = 0;
                if self.size == 0 { ChunkedState::TrailerStart } else { ChunkedState::Data }
            }
            (ChunkedState::DataCr, b'\r') => ChunkedState::DataLf,
            (ChunkedState::DataLf, b'\n') => ChunkedState::Size,
            (ChunkedState::DataCr | ChunkedState::DataLf, _) => {
                return Err(Refusal::bad("chunk data longer than its size"));
            }
            (ChunkedState::TrailerStart, b'\r') => ChunkedState::EndLf,
            (ChunkedState::TrailerStart, _) if is_token_byte(byte) => {
                self.trailer_fields += 1;
                if self.trailer_fields > limits.fields {
                    return Err(Refusal::limit(431, "too many trailer fields", "max_header_fields"));
                }
                self.trailer(ChunkedState::TrailerName, limits)?
            }
            (ChunkedState::TrailerName, b':') => self.trailer(ChunkedState::TrailerValue, limits)?,
            (ChunkedState::TrailerName, _) if is_token_byte(byte) => self.trailer(ChunkedState::TrailerName, limits)?,
            (ChunkedState::TrailerValue, b'\r') => ChunkedState::TrailerLf,
            (ChunkedState::TrailerValue, _) if is_value_byte(byte) => {
                self.trailer(ChunkedState::TrailerValue, limits)?
            }
            (ChunkedState::TrailerLf, b'\n') => ChunkedState::TrailerStart,
            (ChunkedState::EndLf, b'\n') => ChunkedState::Done,
            (
                ChunkedState::TrailerStart
                | ChunkedState::TrailerName
                | ChunkedState::TrailerValue
                | ChunkedState::TrailerLf
                | ChunkedState::EndLf,
                _,
            ) => {
                return Err(Refusal::bad("malformed trailer"));
            }
            _ => return Err(MALFORMED),
        };
        Ok(())
    }

    fn extension(&mut self, next: Extension) -> Result<ChunkedState, Refusal> {
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_EXTENSION_BYTES {
            return Err(Refusal::bad("chunk extensions too large"));
        }
        Ok(ChunkedState::Extension(next))
    }

    fn trailer(&mut self, next: ChunkedState, limits: &HeadLimits) -> Result<ChunkedState, Refusal> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > limits.section {
            return Err(Refusal::limit(431, "trailer section too large", "max_header_size"));
        }
        Ok(next)
    }
}

impl Extension {
    /// The state after this byte; `None` if it is not allowed here.
    fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Space | NameStart | AfterName | ValueStart, b' ' | b'\t') => self,
            (Space | Name | AfterName | Token | QuotedEnd, b';') => NameStart,
            (Name, b' ' | b'\t') => AfterName,
            (Token | QuotedEnd, b' ' | b'\t') => Space,
            (Name | AfterName, b'=') => ValueStart,
            (NameStart | Name, _) if is_token_byte(byte) => Name,
            (ValueStart, b'"') => Quoted,
            (ValueStart | Token, _) if is_token_byte(byte) => Token,
            (Quoted, b'"') => QuotedEnd,
            (Quoted, b'\\') => QuotedPair,
            (Quoted | QuotedPair, _) if is_value_byte(byte) => Quoted,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { request_line: 8192, fields: 3, section: 64 };

    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, usize), u16> {
        let (mut decoder, mut content, mut used) = (ChunkedDecoder::new(), Vec::new(), 0);
        for piece in input.chunks(step) {
            let done = decoder.receive(piece, &mut content, 20, &LIMITS).map_err(|refusal| refusal.status)?;
            used += done.consumed;
            if done.done {
                return Ok((content, used));
            }
        }
        Err(0)
    }

    #[test]
    fn bodies_in_pieces_of_any_size() {
        for (input, content, rest) in [
            (&b"3\r\nabc\r\n0\r\n\r\nGET"[..], &b"abc"[..], 3),
            (b"0\r\n\r\n", b"", 0),
            (b"2;a=b\r\nab\r\n01 ; c=\"d e\"\r\nc\r\n000\r\nX: y\r\nZ:\r\n\r\n", b"abc", 0),
            (b"1;a\r\nx\r\n0;a;b=c;d=\"e;=\\\"\\\\\"\r\n\r\n", b"x", 0),
            (b"1 \t; a \t= \t\"\xe9\" ;b\r\nx\r\n0\t;\ta=b;c\r\n\r\n", b"x", 0),
            (b"0;a=\"\"\r\n\r\n", b"", 0),
            (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789", 0),
        ] {
            for step in 1..=input.len() {
                let (decoded, used) = decode(input, step).unwrap();
                assert_eq!(decoded, content);
                assert_eq!(used, input.len() - rest);
            }
        }
    }

    #[test]
    fn malformed_bodies_are_refused() {
        for (input, status) in [
            (&b"\r\n"[..], 400),
            (b"g\r\n", 400),
            (b"0x1\r\n", 400),
            (b"-1\r\n", 400),
            (b" 1\r\n", 400),
            (b"1 \r\na", 400),
            (b"1\na", 400),
            (b"1;\n", 400),
            (b"1;a\0", 400),
            // A chunk extension has a name, a value behind its equals sign, and quotes that end (RFC 9112 section 7.1.1).
            (b"5;\r", 400),
            (b"5; \r", 400),
            (b"5;;", 400),
            (b"5;=x", 400),
            (b"5;a=\r", 400),
            (b"5;a=;", 400),
            (b"5;a==", 400),
            (b"5;a \r", 400),
            (b"5;a b", 400),
            (b"5;a=b \r", 400),
            (b"5;a=b c", 400),
            (b"5;a=b=", 400),
            (b"5;a=b\"", 400),
            (b"5;\"a\"", 400),
            (b"5;a=\"unbalanced\r", 400),
            (b"5;a=\"b\\\"\r", 400),
            (b"5;a=\"b\\\r", 400),
            (b"5;a=\"b\"c", 400),
            (b"5;a=\"b\0", 400),
            (b"5;\xe9", 400),
            (b"5 a", 400),
            (b"1\r\nab\r\n", 400),
            (b"1\r\na\n", 400),
            (b"00000000000000001\r\n", 400),
            (b"15\r\n", 413),
            (b"0\r\nX : y\r\n", 400),
            (b"0\r\n: y\r\n", 400),
            (b"0\r\n folded\r\n", 400),
            (b"0\r\nX: y\n", 400),
            (b"0\r\na:\r\nb:\r\nc:\r\nd:\r\n", 431),
        ] {
            for step in 1..=input.len() {
                assert_eq!(decode(input, step).unwrap_err(), status, "{}", String::from_utf8_lossy(input));
            }
        }
    }
}
