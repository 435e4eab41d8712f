//! Large content, compressed piece by piece as the client takes it.
//!
//! At any size of the content, one piece at a time is encoded, by an encoder with a small window, and only when the
//! piece before has left. If the client goes away, the rest is not encoded.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};

use super::Press;
use crate::budget::Count;
use crate::error::Error;
use crate::message::{BodyStream, Pull};
use crate::protocol::negotiation::Coding;

/// Bytes of memory that an encoder holds.
pub(crate) const ENCODER: usize = 2 << 20;
/// The encoder's window, as a power of two: a larger window would cost memory for each client.
const WINDOW: u8 = 18;
/// Bytes that are encoded at once: a millisecond or two.
const PIECE: usize = 128 << 10;

/// Content that is encoded while it is sent.
pub(crate) struct Encoded {
    state: Arc<Mutex<Option<PiecesState>>>,
    press: Arc<Press>,
}

struct PiecesState {
    content: Bytes,
    at: usize,
    coding: Coding,
    encoder: Option<Encoder>,
    _count: Count,
}

impl Encoded {
    /// All of this content in this coding. `count` accounts for the encoder's memory, [`ENCODER`].
    pub(crate) fn new(content: Bytes, coding: Coding, count: Count, press: &Arc<Press>) -> Self {
        let state = PiecesState { content, at: 0, coding, encoder: None, _count: count };
        Self { state: Arc::new(Mutex::new(Some(state))), press: Arc::clone(press) }
    }
}

/// Drops the content as well, even if a thread still has work for it.
impl Drop for Encoded {
    fn drop(&mut self) {
        let content = lock(&self.state).take();
        drop(content);
    }
}

impl BodyStream for Encoded {
    fn pull(&mut self) -> Pull {
        let (state, press) = (Arc::clone(&self.state), Arc::clone(&self.press));
        let Some(goes_on) = lock(&state).as_ref().map(|state| state.encoder.is_some()) else { return Pull::End };
        Pull::Later(Box::pin(async move {
            let next = move || {
                let mut taken = lock(&state).take()?;
                let piece = taken.next()?;
                if !taken.is_over() {
                    *lock(&state) = Some(taken);
                }
                Some(piece)
            };
            match press.run_as(goes_on, next).await.flatten() {
                Some(piece) => Pull::Piece(piece),
                None => Pull::Failed(Error::new("an encoder failed")),
            }
        }))
    }

    fn is_async(&self) -> bool {
        true
    }

    fn is_own(&self) -> bool {
        true
    }
}

impl PiecesState {
    fn is_over(&self) -> bool {
        self.at == self.content.len()
    }

    /// The next bytes; never an empty piece.
    fn next(&mut self) -> Option<Bytes> {
        let mut encoded = Vec::with_capacity(PIECE / 2);
        while encoded.is_empty() && !self.is_over() {
            let mut encoder = match self.encoder.take() {
                Some(encoder) => encoder,
                None => Encoder::new(self.coding, self.content.len())?,
            };
            let end = self.content.len().min(self.at + PIECE);
            encoder.encode(&self.content[self.at..end], &mut encoded)?;
            self.at = end;
            if self.is_over() {
                encoder.finish(&mut encoded)?;
            } else {
                self.encoder = Some(encoder);
            }
        }
        encoded.shrink_to_fit();
        Some(encoded.into())
    }
}

enum Encoder {
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(Box<Deflate>),
}

impl Encoder {
    /// An encoder for content of this length.
    fn new(coding: Coding, length: usize) -> Option<Self> {
        Some(match coding {
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).ok()?;
                encoder.window_log(WINDOW.into()).ok()?;
                encoder.set_pledged_src_size(Some(length as u64)).ok()?;
                Self::Zstd(Box::new(encoder))
            }
            Coding::Brotli => {
                // From a hint of 1 MiB on, brotli takes tables of 4 MiB.
                let size_hint = length.min((1 << 20) - 1);
                let parameters = brotli::enc::BrotliEncoderParams {
                    quality: 4,
                    lgwin: WINDOW.into(),
                    size_hint,
                    ..Default::default()
                };
                Self::Brotli(Box::new(brotli::CompressorWriter::with_params(Vec::new(), 16 << 10, &parameters)))
            }
            Coding::Gzip => {
                /// Adding 16 to the window asks for the header and trailer of gzip.
                const GZIP: i32 = 15 + 16;
                let config = DeflateConfig { level: 4, window_bits: GZIP, ..DeflateConfig::default() };
                Self::Gzip(Box::new(Deflate::new_with_config(config)))
            }
            Coding::Identity => return None,
        })
    }

    /// Encodes more of the content, and appends the result to `out`.
    fn encode(&mut self, content: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Zstd(encoder) => {
                std::mem::swap(encoder.get_mut(), out);
                let written = encoder.write_all(content);
                std::mem::swap(encoder.get_mut(), out);
                written.ok()
            }
            Self::Brotli(encoder) => {
                std::mem::swap(encoder.get_mut(), out);
                let written = encoder.write_all(content);
                std::mem::swap(encoder.get_mut(), out);
                written.ok()
            }
            Self::Gzip(deflate) => run(deflate, content, DeflateFlush::NoFlush, out),
        }
    }

    fn finish(self, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Zstd(encoder) => out.extend(encoder.finish().ok()?),
            Self::Brotli(encoder) => out.extend(encoder.into_inner()),
            Self::Gzip(mut deflate) => run(&mut deflate, b"", DeflateFlush::Finish, out)?,
        }
        Some(())
    }
}

fn run(deflate: &mut Deflate, mut content: &[u8], flush: DeflateFlush, out: &mut Vec<u8>) -> Option<()> {
    const ROOM: usize = 16 << 10;
    loop {
        let end = out.len();
        out.resize(end + ROOM, 0);
        let before = (deflate.total_in(), deflate.total_out());
        let status = deflate.compress(content, &mut out[end..], flush);
        let consumed = (deflate.total_in() - before.0) as usize;
        let produced = (deflate.total_out() - before.1) as usize;
        content = &content[consumed..];
        out.truncate(end + produced);
        let is_all = flush == DeflateFlush::NoFlush && content.is_empty() && produced < ROOM;
        match status {
            Ok(Status::StreamEnd) => return Some(()),
            Ok(_) if is_all => return Some(()),
            Ok(_) if consumed + produced > 0 => {}
            _ => return None,
        }
    }
}

fn lock(state: &Mutex<Option<PiecesState>>) -> MutexGuard<'_, Option<PiecesState>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CODINGS, decode, text};
    use super::*;

    fn encode(coding: Coding, content: &[u8]) -> (Vec<u8>, usize) {
        let account = crate::budget::testing::account();
        let count = account.count_more(ENCODER).expect("there is room");
        let content = Bytes::copy_from_slice(content);
        let mut state = PiecesState { content, at: 0, coding, encoder: None, _count: count };
        let (mut encoded, mut largest) = (Vec::new(), 0);
        while !state.is_over() {
            let piece = state.next().expect("it does not fail");
            assert!(!piece.is_empty());
            largest = largest.max(piece.len());
            encoded.extend(piece);
        }
        (encoded, largest)
    }

    #[test]
    fn pieces_are_decoded_as_the_same_content() {
        for coding in CODINGS {
            for length in [1, PIECE - 1, PIECE, PIECE + 1, 1_000_000] {
                let content = text(length);
                let (encoded, _) = encode(coding, &content);
                assert!(decode(coding, &encoded) == content, "{coding:?} {length}");
                assert!(length < 1000 || encoded.len() < length / 2, "{coding:?} {length}: {}", encoded.len());
            }
        }
    }

    #[test]
    fn a_piece_is_small_for_any_content() {
        let noise = |number: u32| (number.wrapping_mul(0x9e37_79b1) >> 11) as u8;
        let noise: Vec<u8> = (0..900_000).map(noise).collect();
        for coding in CODINGS {
            let (encoded, largest) = encode(coding, &noise);
            assert!(encoded.len() < noise.len() + 2000 && largest < 5 * PIECE, "{coding:?} {largest}");
            assert!(decode(coding, &encoded) == noise, "{coding:?}");
            let (encoded, _) = encode(coding, &vec![b'x'; 5_000_000]);
            assert!(encoded.len() < 50_000, "{coding:?} {}", encoded.len());
        }
    }
}
