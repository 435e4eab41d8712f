//! One request and its answer on a connection of a test client.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use super::response::TestResponse;
use crate::error::Error;
use crate::protocol::ContentLength;
use crate::protocol::http1::{ChunkReader, ReceivedHead, decode_response_head};

/// Sends a request and reads its answer. The second value says whether the connection may be used again.
pub(super) fn exchange(stream: &mut UnixStream, request: &[u8], is_head: bool) -> Result<(TestResponse, bool), Error> {
    // The server may answer before it has read the whole request, and close the connection: the answer is read all the
    // same.
    let mut writer = stream.try_clone()?;
    std::thread::scope(|scope| {
        scope.spawn(move || drop(writer.write_all(request)));
        let mut input = Vec::new();
        let answer = receive_head(stream, &mut input).and_then(|head| receive(stream, head, input, is_head));
        // A writer that still blocks is woken by the end of the connection.
        if !answer.as_ref().is_ok_and(|(_, may_be_used_again)| *may_be_used_again) {
            drop(stream.shutdown(std::net::Shutdown::Both));
        }
        answer
    })
}

/// Reads the content behind a head, of which `input` is the beginning.
pub(super) fn receive(
    stream: &mut UnixStream,
    head: ReceivedHead,
    mut input: Vec<u8>,
    is_head: bool,
) -> Result<(TestResponse, bool), Error> {
    let length = head.content_length(is_head);
    let content = match length {
        ContentLength::None => Vec::new(),
        ContentLength::Known(length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            while input.len() < length && fill(stream, &mut input)? {}
            if input.len() < length {
                return Err(Error::new(format!("the answer broke off after {} of {length} bytes", input.len())));
            }
            input
        }
        ContentLength::Chunked => receive_chunks(stream, input)?,
        ContentLength::UntilClose => {
            while fill(stream, &mut input)? {}
            input
        }
    };
    let may_be_used_again = !head.closes() && length != ContentLength::UntilClose;
    Ok((TestResponse { status: head.status, headers: head.headers, content }, may_be_used_again))
}

/// Reads heads up to the final one, and leaves the bytes behind it in `input`.
pub(super) fn receive_head(stream: &mut UnixStream, input: &mut Vec<u8>) -> Result<ReceivedHead, Error> {
    loop {
        if let Some((head, length)) = decode_response_head(input)? {
            input.drain(..length);
            if !head.is_interim() {
                return Ok(head);
            }
        } else if !fill(stream, input)? {
            return Err(Error::new("the server has closed the connection without an answer"));
        }
    }
}

fn receive_chunks(stream: &mut UnixStream, mut input: Vec<u8>) -> Result<Vec<u8>, Error> {
    let (mut chunks, mut content) = (ChunkReader::default(), Vec::new());
    while !chunks.receive(&input, &mut content)? {
        if !fill(stream, &mut input)? {
            return Err(Error::new("the answer broke off"));
        }
    }
    Ok(content)
}

fn fill(stream: &mut UnixStream, input: &mut Vec<u8>) -> Result<bool, Error> {
    let mut piece = [0; 16 << 10];
    let count = stream.read(&mut piece)?;
    input.extend_from_slice(&piece[..count]);
    Ok(count > 0)
}
