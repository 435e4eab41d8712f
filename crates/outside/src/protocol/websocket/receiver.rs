//! Turns the bytes of a client into whole messages and control frames (RFC 6455 sections 5.4 to 5.6, 8.1).
//!
//! Input is consumed to its last byte and unmasked in place. A message that is one frame in the input is handed out as
//! a slice of it; only messages that are cut by a frame or by the end of the input are copied. Memory is allocated only
//! for bytes that have arrived, at most `max_message`; between two messages it is only this struct.

use std::borrow::Cow;
use std::mem;
use std::sync::Arc;

use super::closing::Close;
use super::deflate::{DeflatePool, Inflater};
use super::extension::DeflateTerms;
use super::failure::Failure;
use super::frame::{FrameHead, MAX_HEAD, MessageKind, Opcode, decode_frame_head, unmask};
use super::utf8::Utf8;

/// An event from a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReceivedFrame<'i> {
    /// A whole message; the payload of a text is UTF-8.
    Message(MessageKind, Cow<'i, [u8]>),
    /// To be answered with a pong of the same payload (section 5.5.2).
    Ping(Cow<'i, [u8]>),
    Pong(Cow<'i, [u8]>),
    /// The client's Close frame; no event follows.
    Close(Close),
}

/// Reads the frames of one client.
#[derive(Debug)]
pub(crate) struct Receiver {
    max_message: usize,
    inflater: Option<Box<Inflater>>,
    /// The unfinished part of a message or frame; usually there is none at the end of the input.
    part: Option<Box<PartialInput>>,
    /// Whether the connection is closed or failed: further input is dropped.
    over: bool,
    /// Control frames and empty parts of messages since the last call of [`Self::take_idle_frames`].
    idle_frames: u32,
}

/// The state of an unfinished message or frame.
#[derive(Debug)]
struct PartialInput {
    message: Vec<u8>,
    control: Vec<u8>,
    head: [u8; MAX_HEAD],
    head_length: u8,
    /// The unfinished message, if there is one.
    begun: Option<StartedMessage>,
    frame: Option<OpenFrame>,
    utf8: Utf8,
}

#[derive(Clone, Copy, Debug)]
struct StartedMessage {
    kind: MessageKind,
    compressed: bool,
}

/// The frame whose payload is being read.
#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    opcode: Opcode,
    fin: bool,
    mask: [u8; 4],
    remaining: u64,
}

impl Receiver {
    /// For messages of at most this many bytes, counted after inflating.
    pub(crate) const fn new(max_message: usize) -> Self {
        Self { max_message, inflater: None, part: None, over: false, idle_frames: 0 }
    }

    /// With compression by these terms.
    pub(crate) fn with_deflate(max_message: usize, terms: &DeflateTerms, pool: Arc<DeflatePool>) -> Self {
        let inflater = Some(Box::new(Inflater::new(terms, pool)));
        Self { inflater, ..Self::new(max_message) }
    }

    /// Consumes input up to the next event; if there is none, all of it. The caller repeats until there is none.
    ///
    /// # Errors
    /// The connection fails: the reason goes into a Close frame, and no more input is read.
    pub(crate) fn receive<'i>(&mut self, input: &mut &'i mut [u8]) -> Result<Option<ReceivedFrame<'i>>, Failure> {
        if self.over {
            *input = &mut [];
            return Ok(None);
        }
        if let Some(event) = self.receive_whole(input) {
            return Ok(Some(event));
        }
        let mut part = self.part.take().unwrap_or_default();
        let mut reading = ReceiverInput {
            part: &mut part,
            inflater: &mut self.inflater,
            max: self.max_message,
            idle_frames: &mut self.idle_frames,
        };
        let result = reading.advance(input);
        if part.has_begun() {
            self.part = Some(part);
        }
        if matches!(result, Err(_) | Ok(Some(ReceivedFrame::Close(_)))) {
            *self = Self { over: true, ..Self::new(self.max_message) };
        }
        result
    }

    /// Frames that brought nothing since the last call: control frames, and empty parts of messages.
    pub(crate) const fn take_idle_frames(&mut self) -> u32 {
        mem::replace(&mut self.idle_frames, 0)
    }

    /// Bytes held for an unfinished message, without the window of an inflater.
    pub(crate) fn held(&self) -> usize {
        self.part.as_ref().map_or(0, |part| part.message.capacity() + part.control.capacity())
    }

    /// Takes a message that is one frame in the input, as most are, or a ping or pong between messages. For any other
    /// input returns `None` and consumes nothing.
    fn receive_whole<'i>(&mut self, input: &mut &'i mut [u8]) -> Option<ReceivedFrame<'i>> {
        if self.part.is_some() {
            return None;
        }
        let (head, start) = decode_frame_head(input).ok()??;
        let kind = match head.opcode {
            Opcode::Text => MessageKind::Text,
            Opcode::Binary => MessageKind::Binary,
            _ => return self.receive_whole_control(input, &head, start),
        };
        let length = usize::try_from(head.length).ok()?;
        if !head.fin || head.rsv1 || length > self.max_message || length > input.len() - start {
            return None;
        }
        let piece = &mut input[start..start + length];
        unmask(piece, head.mask);
        if kind == MessageKind::Text && std::str::from_utf8(piece).is_err() {
            // Masked again: the general path then finds the input unchanged and reports the fault.
            unmask(piece, head.mask);
            return None;
        }
        let (piece, rest) = mem::take(input).split_at_mut(start + length);
        *input = rest;
        let piece = &piece[start..];
        Some(ReceivedFrame::Message(kind, Cow::Borrowed(piece)))
    }

    /// A ping or pong costs no allocation: a client may send millions.
    fn receive_whole_control<'i>(
        &mut self,
        input: &mut &'i mut [u8],
        head: &FrameHead,
        start: usize,
    ) -> Option<ReceivedFrame<'i>> {
        let end = start + usize::try_from(head.length).ok()?;
        if !matches!(head.opcode, Opcode::Ping | Opcode::Pong) || head.rsv1 || end > input.len() {
            return None;
        }
        let (frame, rest) = mem::take(input).split_at_mut(end);
        *input = rest;
        let payload = &mut frame[start..];
        unmask(payload, head.mask);
        self.idle_frames += 1;
        Some(match head.opcode {
            Opcode::Ping => ReceivedFrame::Ping(Cow::Borrowed(payload)),
            _ => ReceivedFrame::Pong(Cow::Borrowed(payload)),
        })
    }
}

impl PartialInput {
    /// Whether the state is to be kept for further input.
    fn has_begun(&self) -> bool {
        self.head_length > 0 || self.begun.is_some() || self.frame.is_some()
    }
}

impl Default for PartialInput {
    fn default() -> Self {
        Self {
            message: Vec::new(),
            control: Vec::new(),
            head: [0; MAX_HEAD],
            head_length: 0,
            begun: None,
            frame: None,
            utf8: Utf8::new(),
        }
    }
}

/// The parts needed to read input that is not one whole message in one frame.
struct ReceiverInput<'r> {
    part: &'r mut PartialInput,
    inflater: &'r mut Option<Box<Inflater>>,
    max: usize,
    idle_frames: &'r mut u32,
}

impl ReceiverInput<'_> {
    fn advance<'i>(&mut self, input: &mut &'i mut [u8]) -> Result<Option<ReceivedFrame<'i>>, Failure> {
        loop {
            let mut frame = match self.part.frame.take() {
                Some(frame) => frame,
                None => match self.next_head(input)? {
                    Some(head) => self.begin_frame(&head)?,
                    None => return Ok(None),
                },
            };
            let take = usize::try_from(frame.remaining).unwrap_or(usize::MAX).min(input.len());
            let (piece, rest) = mem::take(input).split_at_mut(take);
            *input = rest;
            frame.mask = unmask(piece, frame.mask);
            frame.remaining -= take as u64;
            let complete = frame.remaining == 0;
            if !complete {
                self.part.frame = Some(frame);
            }
            let event = if frame.opcode.is_control() {
                self.receive_control(frame.opcode, piece, complete)?
            } else {
                self.receive_data(piece, complete && frame.fin)?
            };
            if event.is_some() || !complete {
                return Ok(event);
            }
        }
    }

    /// The next head, if it is complete; else keeps its bytes.
    fn next_head(&mut self, input: &mut &mut [u8]) -> Result<Option<FrameHead>, Failure> {
        let kept = usize::from(self.part.head_length);
        if kept == 0
            && let Some((head, length)) = decode_frame_head(input)?
        {
            *input = &mut mem::take(input)[length..];
            return Ok(Some(head));
        }
        let end = (kept + input.len()).min(MAX_HEAD);
        self.part.head[kept..end].copy_from_slice(&input[..end - kept]);
        let found = decode_frame_head(&self.part.head[..end])?;
        let (taken, left) = found.map_or((end, end), |(_, length)| (length, 0));
        self.part.head_length = left as u8;
        *input = &mut mem::take(input)[taken - kept..];
        Ok(found.map(|(head, _)| head))
    }

    /// Whether this frame is allowed at its position.
    fn begin_frame(&mut self, head: &FrameHead) -> Result<OpenFrame, Failure> {
        let &FrameHead { opcode, fin, rsv1, mask, length } = head;
        let starts = match opcode {
            Opcode::Text => Some(MessageKind::Text),
            Opcode::Binary => Some(MessageKind::Binary),
            _ => None,
        };
        // The bit is allowed in the first frame of a message, and only if negotiated (RFC 7692 section 6).
        if rsv1 && (starts.is_none() || self.inflater.is_none()) {
            return Err(Failure::protocol("a reserved bit is set"));
        }
        match starts {
            Some(_) if self.part.begun.is_some() => {
                return Err(Failure::protocol("a message within another one"));
            }
            Some(kind) => self.part.begun = Some(StartedMessage { kind, compressed: rsv1 }),
            None if opcode == Opcode::Continuation && self.part.begun.is_none() => {
                return Err(Failure::protocol("a continuation of nothing"));
            }
            None => {}
        }
        if !opcode.is_control() && length > self.room() {
            return Err(Failure::too_big("a message larger than max_message"));
        }
        *self.idle_frames += u32::from(opcode.is_control() || length == 0 && !fin);
        Ok(OpenFrame { opcode, fin, mask, remaining: length })
    }

    /// Bytes of payload that the message may still have on the wire. Incompressible content grows a little.
    fn room(&self) -> u64 {
        let max = self.max as u64;
        match (&self.part.begun, &*self.inflater) {
            (Some(StartedMessage { compressed: true, .. }), Some(inflater)) => {
                (max + max / 64 + 1024).saturating_sub(inflater.compressed())
            }
            _ => max - self.part.message.len() as u64,
        }
    }

    fn receive_control<'i>(
        &mut self,
        opcode: Opcode,
        piece: &'i [u8],
        complete: bool,
    ) -> Result<Option<ReceivedFrame<'i>>, Failure> {
        if !complete {
            self.part.control.extend_from_slice(piece);
            return Ok(None);
        }
        let payload = if self.part.control.is_empty() {
            Cow::Borrowed(piece)
        } else {
            self.part.control.extend_from_slice(piece);
            Cow::Owned(mem::take(&mut self.part.control))
        };
        Ok(Some(match opcode {
            Opcode::Ping => ReceivedFrame::Ping(payload),
            Opcode::Pong => ReceivedFrame::Pong(payload),
            _ => ReceivedFrame::Close(Close::receive(&payload)?),
        }))
    }

    /// Takes a piece of the unfinished message; with `last` the message is complete.
    fn receive_data<'i>(&mut self, piece: &'i [u8], last: bool) -> Result<Option<ReceivedFrame<'i>>, Failure> {
        let Some(StartedMessage { kind, compressed }) = self.part.begun else { return Ok(None) };
        if compressed && let Some(inflater) = self.inflater {
            let start = self.part.message.len();
            inflater.receive(piece, &mut self.part.message, self.max)?;
            if last {
                inflater.finish(&mut self.part.message, self.max)?;
            }
            check_text(&mut self.part.utf8, kind, &self.part.message[start..], last)?;
        } else {
            check_text(&mut self.part.utf8, kind, piece, last)?;
            if last && self.part.message.is_empty() {
                self.part.begun = None;
                return Ok(Some(ReceivedFrame::Message(kind, Cow::Borrowed(piece))));
            }
            self.part.message.extend_from_slice(piece);
        }
        if !last {
            return Ok(None);
        }
        self.part.begun = None;
        Ok(Some(ReceivedFrame::Message(kind, Cow::Owned(mem::take(&mut self.part.message)))))
    }
}

/// Whether a piece of a text continues the pieces before it as UTF-8 (section 8.1).
fn check_text(utf8: &mut Utf8, kind: MessageKind, piece: &[u8], last: bool) -> Result<(), Failure> {
    if kind == MessageKind::Text && (!utf8.receive(piece) || last && utf8.is_cut()) {
        return Err(Failure::invalid_data("a text message is not UTF-8"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Receiver>() <= 32, "{}", size_of::<Receiver>());
        assert_eq!(Receiver::new(1 << 20).held(), 0);
    }

    #[test]
    fn a_whole_frame_is_not_copied() {
        let mut bytes = *b"\x81\x85\0\0\0\0Hello\x82\x81\0\0\0\0!";
        let place = bytes.as_ptr_range();
        let (mut input, mut receiver) = (&mut bytes[..], Receiver::new(1 << 20));
        let mut messages = 0;
        while let Some(event) = receiver.receive(&mut input).unwrap() {
            let ReceivedFrame::Message(_, Cow::Borrowed(payload)) = event else { panic!("{event:?}") };
            assert!(place.contains(&payload.as_ptr()));
            messages += 1;
        }
        assert_eq!((messages, receiver.held()), (2, 0));
    }
}
