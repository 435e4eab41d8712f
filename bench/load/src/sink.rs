//! Responses too large to keep and compare: heads and chunk sizes are read, content is only counted.
//!
//! Says how many of the next bytes need not be seen, so that the kernel can throw them away without a copy. No socket here.

use crate::response::Framing;

/// Where one connection stands in its response.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    stage: Stage,
    /// The beginning of a head or of a chunk size.
    kept: Vec<u8>,
    /// Bytes of content so far.
    content: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Head,
    /// Content of which so many bytes are missing.
    Content(usize),
    /// A chunk of which so many bytes are missing, the CRLF behind it included.
    Chunk(usize),
    ChunkSize,
}

impl Sink {
    /// Bytes that may be thrown away unseen.
    pub(crate) fn droppable(&self) -> usize {
        match self.stage {
            Stage::Content(missing) | Stage::Chunk(missing) => missing,
            Stage::Head | Stage::ChunkSize => 0,
        }
    }

    /// So many bytes were thrown away, at most `droppable`. The length of the content if the response has ended.
    pub(crate) fn dropped(&mut self, count: usize) -> Option<usize> {
        self.content += count;
        match &mut self.stage {
            Stage::Content(missing) => {
                *missing -= count;
                if *missing == 0 {
                    return Some(self.end());
                }
            }
            Stage::Chunk(missing) => {
                *missing -= count;
                if *missing == 0 {
                    self.content -= 2;
                    self.stage = Stage::ChunkSize;
                }
            }
            Stage::Head | Stage::ChunkSize => {}
        }
        None
    }

    /// Takes bytes that were read. The length of the content if the response has ended with them.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        head: impl Fn(&[u8]) -> Result<Option<(usize, Framing)>, String>,
    ) -> Result<Option<usize>, String> {
        self.kept.extend_from_slice(bytes);
        loop {
            match self.stage {
                Stage::Head => {
                    let Some((length, framing)) = head(&self.kept)? else { return Ok(None) };
                    self.kept.drain(..length);
                    self.stage = match framing {
                        Framing::Length(0) => return Err("no content".into()),
                        Framing::Length(length) => Stage::Content(length),
                        Framing::Chunked => Stage::ChunkSize,
                    };
                }
                Stage::ChunkSize => {
                    let (start, size) = match httparse::parse_chunk_size(&self.kept) {
                        Ok(httparse::Status::Complete((start, size))) => (start, size as usize),
                        Ok(httparse::Status::Partial) => return Ok(None),
                        Err(_) => return Err("bad chunk size".into()),
                    };
                    if size == 0 {
                        // Trailers are not expected.
                        return match self.kept.len().cmp(&(start + 2)) {
                            std::cmp::Ordering::Less => Ok(None),
                            std::cmp::Ordering::Equal => Ok(Some(self.end())),
                            std::cmp::Ordering::Greater => Err("a response nobody asked for".into()),
                        };
                    }
                    self.kept.drain(..start);
                    self.stage = Stage::Chunk(size + 2);
                }
                Stage::Content(missing) | Stage::Chunk(missing) => {
                    let count = missing.min(self.kept.len());
                    self.kept.drain(..count);
                    let surplus = !self.kept.is_empty();
                    if let Some(length) = self.dropped(count) {
                        return if surplus { Err("a response nobody asked for".into()) } else { Ok(Some(length)) };
                    }
                    if self.kept.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn end(&mut self) -> usize {
        let length = self.content;
        *self = Self::default();
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::head_of;

    #[test]
    fn lengths_and_chunks_are_counted() {
        let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n";
        for response in [&sized[..], chunked] {
            for piece in [1, 3, 7, 1000] {
                let mut sink = Sink::default();
                let mut rest = response;
                let mut ended = None;
                while !rest.is_empty() {
                    assert_eq!(ended, None);
                    let droppable = sink.droppable().min(rest.len());
                    ended = if droppable > 0 {
                        rest = &rest[droppable..];
                        sink.dropped(droppable)
                    } else {
                        let (bytes, others) = rest.split_at(piece.min(rest.len()));
                        rest = others;
                        sink.receive(bytes, head_of).unwrap()
                    };
                }
                assert_eq!(ended, Some(10), "in pieces of {piece}");
            }
        }
        assert!(Sink::default().receive(&[&sized[..], b"x"].concat(), head_of).is_err());
        assert!(Sink::default().receive(b"HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\n", head_of).is_err());
    }
}
