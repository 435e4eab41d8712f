//! Content that a handler takes while it arrives: a bounded buffer between a connection and a handler.
//!
//! The connection fills it while there is room; the handler takes all of it at once, on its thread or in a task. If one
//! side leaves, the other notices at its next step.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::decoder::Decoder;
use crate::error::Refusal;
use crate::message::ContentSource;

/// Bytes that may wait for the handler; at this bound the connection stops reading.
const ROOM: usize = 256 << 10;

/// The state that both sides share.
#[derive(Debug)]
struct UploadShared {
    buffer: Mutex<Buffer>,
    /// Notified when there are bytes to take, or no more will come.
    arrived: Condvar,
    declared: Option<u64>,
    /// The process in which the content comes in. In a child that its handler forks there is no connection.
    process: u32,
}

#[derive(Debug, Default)]
struct Buffer {
    held: Vec<u8>,
    /// Memory of an earlier buffer, to be used again.
    spare: Vec<u8>,
    end: Option<UploadEnd>,
    /// Whether the handler has asked for content.
    is_wanted: bool,
    taker: Option<Waker>,
    feeder: Option<Waker>,
}

/// The reasons why no more bytes come.
#[derive(Clone, Copy, Debug)]
enum UploadEnd {
    Complete,
    Refused(Refusal),
}

/// The reason when the connection has ended.
pub(crate) const GONE: Refusal = Refusal::bad("the client has left in the middle of its upload");

/// The reason in a process that was forked from the one in which the content comes in.
pub(super) const ELSEWHERE: Refusal = Refusal::new(
    500,
    "the request belongs to another process, the one that this one was forked from: content that is still coming in \
     arrives there; read it before the fork",
);

/// The connection's side. When it is dropped, the handler's side notices.
#[derive(Debug)]
pub(crate) struct Feeder(Arc<UploadShared>);

/// The handler's side.
#[derive(Debug)]
pub(super) struct Upload {
    shared: Arc<UploadShared>,
    /// For content in a content coding: it is decoded when the handler takes it, on the handler's thread.
    coded: Option<Mutex<CodedUpload>>,
}

/// CodedUpload bytes that the handler has taken over, and their decoder.
#[derive(Debug)]
struct CodedUpload {
    decoder: Decoder,
    held: Vec<u8>,
    /// Bytes of these that were decoded.
    at: usize,
    /// Room for content.
    output: Vec<u8>,
}

/// Bytes of content that are decoded at once.
const PIECE: usize = 64 << 10;

/// Both sides for content of this length, if it is known.
pub(crate) fn upload(declared: Option<u64>) -> (Feeder, Box<dyn ContentSource>) {
    both(declared, None)
}

/// The same for content in a content coding.
pub(crate) fn coded_upload(decoder: Decoder) -> (Feeder, Box<dyn ContentSource>) {
    both(None, Some(Mutex::new(CodedUpload { decoder, held: Vec::new(), at: 0, output: Vec::new() })))
}

fn both(declared: Option<u64>, coded: Option<Mutex<CodedUpload>>) -> (Feeder, Box<dyn ContentSource>) {
    let process = std::process::id();
    let shared = Arc::new(UploadShared { buffer: Mutex::default(), arrived: Condvar::new(), declared, process });
    (Feeder(Arc::clone(&shared)), Box::new(Upload { shared, coded }))
}

impl UploadShared {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_taker(&self, mut buffer: MutexGuard<'_, Buffer>) {
        let taker = buffer.taker.take();
        drop(buffer);
        self.arrived.notify_all();
        if let Some(taker) = taker {
            taker.wake();
        }
    }

    fn end(&self, end: UploadEnd) {
        let mut buffer = self.lock();
        if buffer.end.is_none() {
            buffer.end = Some(end);
            self.tell_taker(buffer);
        }
    }
}

impl Feeder {
    /// Bytes for which there is room. If there is none, the context is woken when there is.
    pub(crate) fn room(&self, context: &Context<'_>) -> usize {
        let mut buffer = self.0.lock();
        let room = ROOM.saturating_sub(buffer.held.len());
        if room == 0 {
            buffer.feeder = Some(context.waker().clone());
        }
        room
    }

    /// Bytes that the handler has not taken. If there are any, the context is woken when it has taken them.
    pub(crate) fn held(&self, context: &Context<'_>) -> usize {
        let mut buffer = self.0.lock();
        let held = buffer.held.len();
        if held > 0 {
            buffer.feeder = Some(context.waker().clone());
        }
        held
    }

    /// Whether the handler has asked for content. If not, the context is woken when it does.
    pub(crate) fn is_wanted(&self, context: &Context<'_>) -> bool {
        let mut buffer = self.0.lock();
        if !buffer.is_wanted {
            buffer.feeder = Some(context.waker().clone());
        }
        buffer.is_wanted
    }

    /// Adds bytes that have arrived.
    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut buffer = self.0.lock();
        buffer.held.extend_from_slice(bytes);
        self.0.tell_taker(buffer);
    }

    /// Marks the content as complete.
    pub(crate) fn finish(&self) {
        self.0.end(UploadEnd::Complete);
    }

    /// Ends the content with this refusal; the rest will not come.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.0.end(UploadEnd::Refused(refusal));
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.refuse(GONE);
    }
}

impl Upload {
    /// Waits for content and hands on all there is; `None` at the end. Bytes that arrived before a refusal are handed
    /// on first.
    pub(super) fn wait<R>(&self, take: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, Refusal> {
        let Some(coded) = &self.coded else { return self.wait_coded(take) };
        let mut coded = coded.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let made = coded.decode()?;
            if made > 0 {
                return Ok(Some(take(&coded.output[..made])));
            }
            if self.wait_coded(|bytes| coded.hold(bytes))?.is_none() {
                return coded.decoder.finish().map(|()| None);
            }
        }
    }

    /// The same of the bytes as they came.
    fn wait_coded<R>(&self, take: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, Refusal> {
        if self.is_elsewhere() {
            return self.take_elsewhere(take);
        }
        let mut buffer = self.shared.lock();
        buffer.is_wanted = true;
        loop {
            if !buffer.held.is_empty() {
                return Ok(Some(self.take(buffer, take)));
            }
            match buffer.end {
                Some(UploadEnd::Complete) => return Ok(None),
                Some(UploadEnd::Refused(refusal)) => return Err(refusal),
                None => {}
            }
            if let Some(feeder) = buffer.feeder.take() {
                feeder.wake();
            }
            buffer = self.shared.arrived.wait(buffer).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same without waiting: the context is woken when there are bytes.
    pub(super) fn poll<R>(
        &self,
        context: &Context<'_>,
        take: impl FnOnce(&[u8]) -> R,
    ) -> Poll<Result<Option<R>, Refusal>> {
        let Some(coded) = &self.coded else { return self.poll_coded(context, take) };
        let mut coded = coded.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let made = coded.decode()?;
            if made > 0 {
                return Poll::Ready(Ok(Some(take(&coded.output[..made]))));
            }
            match self.poll_coded(context, |bytes| coded.hold(bytes))? {
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) => return Poll::Ready(coded.decoder.finish().map(|()| None)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_coded<R>(&self, context: &Context<'_>, take: impl FnOnce(&[u8]) -> R) -> Poll<Result<Option<R>, Refusal>> {
        if self.is_elsewhere() {
            return Poll::Ready(self.take_elsewhere(take));
        }
        let mut buffer = self.shared.lock();
        buffer.is_wanted = true;
        if !buffer.held.is_empty() {
            return Poll::Ready(Ok(Some(self.take(buffer, take))));
        }
        match buffer.end {
            Some(UploadEnd::Complete) => return Poll::Ready(Ok(None)),
            Some(UploadEnd::Refused(refusal)) => return Poll::Ready(Err(refusal)),
            None => {}
        }
        buffer.taker = Some(context.waker().clone());
        if let Some(feeder) = buffer.feeder.take() {
            feeder.wake();
        }
        Poll::Pending
    }

    /// Whether this process was forked from the one in which the content comes in.
    fn is_elsewhere(&self) -> bool {
        self.shared.process != std::process::id()
    }

    /// In such a process: the bytes that came before the fork. It waits for nothing and wakes no task, since it has
    /// none of the threads that fill the buffer.
    fn take_elsewhere<R>(&self, take: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, Refusal> {
        // A thread that held the lock during the fork never gives it back here.
        let Ok(mut buffer) = self.shared.buffer.try_lock() else { return Err(ELSEWHERE) };
        let held = std::mem::take(&mut buffer.held);
        let end = buffer.end;
        drop(buffer);
        match end {
            _ if !held.is_empty() => Ok(Some(take(&held))),
            Some(UploadEnd::Complete) => Ok(None),
            Some(UploadEnd::Refused(refusal)) => Err(refusal),
            None => Err(ELSEWHERE),
        }
    }

    fn take<R>(&self, mut buffer: MutexGuard<'_, Buffer>, take: impl FnOnce(&[u8]) -> R) -> R {
        let spare = std::mem::take(&mut buffer.spare);
        let mut held = std::mem::replace(&mut buffer.held, spare);
        let feeder = buffer.feeder.take();
        drop(buffer);
        if let Some(feeder) = feeder {
            feeder.wake();
        }
        let taken = take(&held);
        held.clear();
        self.shared.lock().spare = held;
        taken
    }
}

impl CodedUpload {
    /// Keeps coded bytes until they are decoded; those before them are.
    fn hold(&mut self, bytes: &[u8]) {
        self.held.clear();
        self.held.extend_from_slice(bytes);
        self.at = 0;
    }

    /// Decodes the next piece into the output. Returns its length; 0 if more coded bytes are needed.
    fn decode(&mut self) -> Result<usize, Refusal> {
        self.output.resize(PIECE, 0);
        let mut rest = &self.held[self.at..];
        let made = self.decoder.decode(&mut rest, &mut self.output)?;
        self.at = self.held.len() - rest.len();
        Ok(made)
    }
}

impl ContentSource for Upload {
    /// The declared length; 0 if none was declared.
    fn length(&self) -> u64 {
        self.shared.declared.unwrap_or(0)
    }

    fn read_at(&self, _buffer: &mut [u8], _at: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        while self
            .wait(|piece| content.extend_from_slice(piece))
            .map_err(|refusal| io::Error::other(refusal.reason))?
            .is_some()
        {}
        Ok(content)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::decoder::ContentCoding;
    use super::*;

    fn upload_of(source: &dyn ContentSource) -> &Upload {
        let source: &dyn std::any::Any = source;
        source.downcast_ref().unwrap()
    }

    #[test]
    fn a_waiting_handler_is_told() {
        let (feeder, source) = upload(None);
        let context = Context::from_waker(Waker::noop());
        let taken = thread::spawn(move || source.read_all().unwrap());
        let mut left = 4 * ROOM;
        while left > 0 {
            let count = feeder.room(&context).min(left);
            feeder.push(&vec![b'x'; count]);
            left -= count;
        }
        feeder.finish();
        assert_eq!(taken.join().unwrap().len(), 4 * ROOM);
    }

    #[test]
    fn coded_content_is_decoded_as_it_is_taken() {
        let content = b"word ".repeat(100_000);
        let coded = zstd::encode_all(&content[..], 3).unwrap();
        let (feeder, source) = coded_upload(Decoder::new(ContentCoding::Zstd, 1 << 20).unwrap());
        let taken = thread::spawn(move || source.read_all().unwrap());
        coded.chunks(10).for_each(|piece| feeder.push(piece));
        feeder.finish();
        assert!(taken.join().unwrap() == content);
        let (feeder, source) = coded_upload(Decoder::new(ContentCoding::Zstd, 1000).unwrap());
        feeder.push(&coded);
        feeder.finish();
        let upload = upload_of(&*source);
        assert_eq!(upload.wait(|_| ()).map_err(|refusal| refusal.status), Err(413), "too much content");
    }

    #[test]
    fn the_end_comes_behind_the_pieces() {
        for (end, wanted) in [(Ok(()), Ok(None)), (Err(Refusal::bad("x")), Err(Refusal::bad("x")))] {
            let (feeder, source) = upload(Some(2));
            feeder.push(b"ab");
            match end {
                Ok(()) => feeder.finish(),
                Err(refusal) => feeder.refuse(refusal),
            }
            drop(feeder);
            let upload = upload_of(&*source);
            assert_eq!(upload.wait(<[u8]>::to_vec), Ok(Some(b"ab".to_vec())));
            assert_eq!(upload.wait(<[u8]>::to_vec), wanted);
        }
    }

    #[test]
    fn a_feeder_that_is_gone_ends_the_wait() {
        let (feeder, source) = upload(None);
        let waiting = thread::spawn(move || upload_of(&*source).wait(|_| ()));
        drop(feeder);
        assert_eq!(waiting.join().unwrap(), Err(GONE));
    }
}
