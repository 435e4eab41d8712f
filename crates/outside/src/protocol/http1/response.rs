//! Responses as a client reads them (RFC 9112 sections 4, 6 and 7): heads, and bodies in chunks.

use crate::error::Error;
use crate::message::Headers;
use crate::protocol::ContentLength;

/// Number of fields that a head may have.
const MOST_FIELDS: usize = 200;

/// The head of a received response.
#[derive(Debug)]
pub(crate) struct ReceivedHead {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
}

/// Reads the head at the start of `input`, and returns its length too; `None` if it is not complete.
pub(crate) fn decode_response_head(input: &[u8]) -> Result<Option<(ReceivedHead, usize)>, Error> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = parsed.parse(input).map_err(|error| Error::new(error.to_string()))? else {
        return Ok(None);
    };
    let mut headers = Headers::default();
    for field in parsed.headers.iter() {
        headers.append(field.name, field.value)?;
    }
    Ok(Some((ReceivedHead { status: parsed.code.unwrap_or(0), headers }, length)))
}

impl ReceivedHead {
    /// Whether another response to the same request follows (RFC 9110 section 15.2).
    pub(crate) fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// The length of the content behind this head (RFC 9112 section 6.3). `is_head`: it answers a HEAD request.
    pub(crate) fn content_length(&self, is_head: bool) -> ContentLength {
        if is_head || self.status < 200 || matches!(self.status, 204 | 304) {
            return ContentLength::None;
        }
        if self.says("Transfer-Encoding", "chunked") {
            return ContentLength::Chunked;
        }
        let declared = self.headers.get("Content-Length").and_then(|value| value.parse().ok());
        declared.map_or(ContentLength::UntilClose, ContentLength::Known)
    }

    /// Whether the server will close the connection.
    pub(crate) fn closes(&self) -> bool {
        self.says("Connection", "close")
    }

    fn says(&self, name: &str, word: &str) -> bool {
        self.headers.get(name).is_some_and(|value| value.to_ascii_lowercase().contains(word))
    }
}

/// Reads the chunks of a body that is kept in one buffer while it arrives.
#[derive(Debug, Default)]
pub(crate) struct ChunkReader {
    /// Bytes of complete chunks in the buffer.
    read: usize,
}

impl ChunkReader {
    /// Appends the content of the chunks that have become complete. Returns whether the last chunk is among them.
    pub(crate) fn receive(&mut self, buffer: &[u8], content: &mut Vec<u8>) -> Result<bool, Error> {
        loop {
            let rest = &buffer[self.read..];
            let parsed = httparse::parse_chunk_size(rest).map_err(|error| Error::new(error.to_string()))?;
            let httparse::Status::Complete((line, size)) = parsed else { return Ok(false) };
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let end = line.saturating_add(size).saturating_add(2);
            if rest.len() < end {
                return Ok(false);
            }
            content.extend_from_slice(&rest[line..end - 2]);
            self.read += end;
            if size == 0 {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_the_content() {
        for (head, is_head, wanted) in [
            ("200 OK\r\nContent-Length: 5", false, ContentLength::Known(5)),
            ("200 OK\r\nContent-Length: 5", true, ContentLength::None),
            ("200 OK\r\nTransfer-Encoding: Chunked", false, ContentLength::Chunked),
            ("200 OK\r\nX: y", false, ContentLength::UntilClose),
            ("204 No Content\r\nX: y", false, ContentLength::None),
            ("304 Not Modified\r\nContent-Length: 5", false, ContentLength::None),
        ] {
            let text = format!("HTTP/1.1 {head}\r\n\r\n");
            assert!(decode_response_head(&text.as_bytes()[..text.len() - 1]).unwrap().is_none());
            let (head, length) = decode_response_head(text.as_bytes()).unwrap().unwrap();
            assert_eq!((head.content_length(is_head), length), (wanted, text.len()), "{text}");
        }
    }

    #[test]
    fn chunks_that_arrive_byte_by_byte() {
        let body = b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
        let (mut reader, mut content) = (ChunkReader::default(), Vec::new());
        for end in 0..body.len() {
            assert!(!reader.receive(&body[..end], &mut content).unwrap());
        }
        assert!(reader.receive(body, &mut content).unwrap());
        assert_eq!(content, b"abc0123456789");
        assert!(ChunkReader::default().receive(b"x\r\n", &mut content).is_err());
    }
}
