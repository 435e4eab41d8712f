//! The content codings of requests (RFC 9110 section 8.4.1): coded bytes in, content out, in pieces of any size.
//!
//! The content counts as it is decoded: against the bound on content, and against a hundred times the coded bytes, so that
//! few bytes never become many (docs/security.md S36). The window of a decoder is bounded, too.

use std::fmt;

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use zlib_rs::{Inflate, InflateFlush, Status};
use zstd::stream::raw::Operation as _;

use crate::error::Refusal;
use crate::message::{Headers, KnownHeader};

/// A content coding that requests may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentCoding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The codings as the value of Accept-Encoding.
pub(crate) const ACCEPTED: &[u8] = b"gzip, deflate, br, zstd";

impl ContentCoding {
    /// The coding of content with these fields, `None` if it has none; 415 for an unknown one, and for several at once.
    pub(crate) fn of(headers: &Headers) -> Result<Option<Self>, Refusal> {
        let mut coding = None;
        for value in headers.all_known(KnownHeader::ContentEncoding) {
            for name in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
                let named = match name.to_ascii_lowercase().as_slice() {
                    b"identity" => continue,
                    b"gzip" | b"x-gzip" => Self::Gzip,
                    b"deflate" => Self::Deflate,
                    b"br" => Self::Brotli,
                    b"zstd" => Self::Zstd,
                    _ => return Err(UNKNOWN),
                };
                if coding.replace(named).is_some() {
                    return Err(UNKNOWN);
                }
            }
        }
        Ok(coding)
    }
}

/// Decodes the content of one request.
pub(crate) struct Decoder {
    stage: DecoderStage,
    /// Whether the coding is complete, so that nothing but another member may follow.
    has_ended: bool,
    /// Whether output waits for room.
    is_full: bool,
    members: u32,
    /// Bytes of content that there may be.
    most: u64,
    taken: u64,
    made: u64,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoder({} bytes in, {} out)", self.taken, self.made)
    }
}

enum DecoderStage {
    Gzip(Inflate),
    /// The first byte tells whether the header of zlib is there, which some clients leave out.
    Deflate(Option<Inflate>),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(zstd::stream::raw::Decoder<'static>),
}

/// Bytes of content below which any ratio is allowed: a page of spaces is no attack.
const RATIO_FLOOR: u64 = 1 << 20;
const MOST_RATIO: u64 = 100;
/// Members of gzip, or frames of zstd, in one content; each costs a decoder.
const MOST_MEMBERS: u32 = 1000;
/// The window of a decoder of zlib, and the header of gzip.
const ZLIB: u8 = 15;
const GZIP: u8 = 15 + 16;
/// The largest window of zstd, as a power of two: 8 MiB, which RFC 9659 allows for this use.
const ZSTD: u32 = 23;

impl Decoder {
    pub(crate) fn new(coding: ContentCoding, most: u64) -> Result<Self, Refusal> {
        let stage = match coding {
            ContentCoding::Gzip => DecoderStage::Gzip(Inflate::new(true, GZIP)),
            ContentCoding::Deflate => DecoderStage::Deflate(None),
            ContentCoding::Brotli => {
                let alloc = StandardAlloc::default;
                // A window of up to 1 GiB is an extension, which this refuses.
                DecoderStage::Brotli(Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())))
            }
            ContentCoding::Zstd => {
                let mut decoder = zstd::stream::raw::Decoder::new().map_err(|_| NO_MEMORY)?;
                decoder.set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(ZSTD)).map_err(|_| NO_MEMORY)?;
                DecoderStage::Zstd(decoder)
            }
        };
        Ok(Self { stage, has_ended: false, is_full: false, members: 0, most, taken: 0, made: 0 })
    }

    /// Decodes from the front of `input` into `output`, which has room. Returns the number of bytes of content; 0 only if
    /// all input is taken and there is no more content in it.
    pub(crate) fn decode(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, Refusal> {
        while !input.is_empty() || self.is_full {
            if self.has_ended {
                self.begin_member()?;
            }
            let (taken, made) = self.step(input, output)?;
            *input = &input[taken..];
            self.taken += taken as u64;
            self.made += made as u64;
            self.is_full = made == output.len() && !self.has_ended;
            if self.made > self.most {
                return Err(TOO_LARGE);
            }
            if self.made > RATIO_FLOOR && self.made / MOST_RATIO > self.taken {
                return Err(BOMB);
            }
            if made > 0 {
                return Ok(made);
            }
            if taken == 0 && !input.is_empty() && !self.has_ended {
                return Err(MALFORMED);
            }
        }
        Ok(0)
    }

    /// Ends the input; 400 if the coding is not complete.
    pub(crate) fn finish(&self) -> Result<(), Refusal> {
        if self.has_ended || self.taken == 0 { Ok(()) } else { Err(INCOMPLETE) }
    }

    /// Another member behind one that has ended, where the coding has members.
    fn begin_member(&mut self) -> Result<(), Refusal> {
        self.members += 1;
        if self.members >= MOST_MEMBERS {
            return Err(MALFORMED);
        }
        match &mut self.stage {
            DecoderStage::Gzip(stream) => *stream = Inflate::new(true, GZIP),
            DecoderStage::Zstd(_) => {}
            DecoderStage::Deflate(_) | DecoderStage::Brotli(_) => return Err(MALFORMED),
        }
        self.has_ended = false;
        Ok(())
    }

    /// Bytes that were taken and made.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), Refusal> {
        match &mut self.stage {
            DecoderStage::Gzip(stream) => inflate(stream, input, output, &mut self.has_ended),
            DecoderStage::Deflate(stream) => {
                let has_header = input.first().is_none_or(|first| first & 0x0f == 8);
                inflate(
                    stream.get_or_insert_with(|| Inflate::new(has_header, ZLIB)),
                    input,
                    output,
                    &mut self.has_ended,
                )
            }
            DecoderStage::Brotli(state) => {
                let (mut left, mut taken, mut room, mut made, mut total) = (input.len(), 0, output.len(), 0, 0);
                let result = BrotliDecompressStream(
                    &mut left, &mut taken, input, &mut room, &mut made, output, &mut total, state,
                );
                match result {
                    BrotliResult::ResultFailure => return Err(MALFORMED),
                    BrotliResult::ResultSuccess => self.has_ended = true,
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
                }
                Ok((taken, made))
            }
            DecoderStage::Zstd(decoder) => {
                let status = decoder.run_on_buffers(input, output).map_err(|_| MALFORMED)?;
                self.has_ended = status.remaining == 0;
                Ok((status.bytes_read, status.bytes_written))
            }
        }
    }
}

fn inflate(
    stream: &mut Inflate,
    input: &[u8],
    output: &mut [u8],
    has_ended: &mut bool,
) -> Result<(usize, usize), Refusal> {
    let (taken, made) = (stream.total_in(), stream.total_out());
    match stream.decompress(input, output, InflateFlush::NoFlush) {
        Ok(Status::StreamEnd) => *has_ended = true,
        Ok(_) => {}
        Err(_) => return Err(MALFORMED),
    }
    Ok(((stream.total_in() - taken) as usize, (stream.total_out() - made) as usize))
}

const UNKNOWN: Refusal = Refusal::new(415, "content in a coding that is not one of gzip, deflate, br and zstd");
const MALFORMED: Refusal = Refusal::bad("content that cannot be decoded");
const INCOMPLETE: Refusal = Refusal::bad("content that ends before its coding does");
const TOO_LARGE: Refusal = Refusal::limit(413, "content too large when it is decoded", "max_body_size_mb");
const BOMB: Refusal = Refusal::new(413, "content that decodes to more than a hundred times its size");
const NO_MEMORY: Refusal = Refusal::new(503, "no memory to decode content");

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const CODINGS: [ContentCoding; 4] =
        [ContentCoding::Gzip, ContentCoding::Deflate, ContentCoding::Brotli, ContentCoding::Zstd];

    fn encode(coding: ContentCoding, content: &[u8]) -> Vec<u8> {
        let window_bits = match coding {
            ContentCoding::Gzip => i32::from(GZIP),
            ContentCoding::Deflate => i32::from(ZLIB),
            ContentCoding::Brotli => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
                encoder.write_all(content).unwrap();
                return encoder.into_inner();
            }
            ContentCoding::Zstd => return zstd::encode_all(content, 3).unwrap(),
        };
        let mut encoded = vec![0; content.len() + 1000];
        let config = zlib_rs::DeflateConfig { window_bits, ..Default::default() };
        let length = zlib_rs::compress_slice(&mut encoded, content, config).0.len();
        encoded.truncate(length);
        encoded
    }

    /// The content of coded bytes that arrive in pieces of this size, taken in pieces of that size.
    fn decode(coding: ContentCoding, coded: &[u8], step: usize, room: usize, most: u64) -> Result<Vec<u8>, Refusal> {
        let (mut decoder, mut content, mut output) = (Decoder::new(coding, most)?, Vec::new(), vec![0; room]);
        for mut piece in coded.chunks(step) {
            loop {
                let made = decoder.decode(&mut piece, &mut output)?;
                if made == 0 {
                    break;
                }
                content.extend_from_slice(&output[..made]);
            }
            assert!(piece.is_empty());
        }
        decoder.finish().map(|()| content)
    }

    fn text() -> Vec<u8> {
        (0_u64..4000)
            .flat_map(|line| format!("{line}: {}\n", line.wrapping_mul(0x9e37_79b9_7f4a)).into_bytes())
            .collect()
    }

    #[test]
    fn every_cut_decodes_the_same() {
        for coding in CODINGS {
            for content in [&b""[..], b"x", &text()] {
                let coded = encode(coding, content);
                for (step, room) in [(1, 1 << 16), (7, 5), (4096, 1), (usize::MAX, 1 << 16), (usize::MAX, 1000)] {
                    let decoded = decode(coding, &coded, step, room, u64::MAX);
                    assert_eq!(decoded.as_deref(), Ok(content), "{coding:?} {step} {room}");
                }
            }
        }
    }

    #[test]
    fn content_counts_decoded() {
        let zeros = vec![0; 8 << 20];
        for coding in CODINGS {
            let coded = encode(coding, &zeros);
            assert_eq!(decode(coding, &coded, 4096, 1 << 16, u64::MAX), Err(BOMB), "{coding:?}");
            assert_eq!(decode(coding, &coded, 4096, 1 << 16, 1 << 19), Err(TOO_LARGE), "{coding:?}");
            // Below a mebibyte no ratio is too large.
            let little = encode(coding, &zeros[..1 << 20]);
            assert_eq!(decode(coding, &little, 4096, 1 << 16, u64::MAX).unwrap().len(), 1 << 20, "{coding:?}");
        }
    }

    #[test]
    fn content_that_is_not_in_its_coding_is_refused() {
        for coding in CODINGS {
            let coded = encode(coding, &text());
            for length in [1, coded.len() / 2, coded.len() - 1] {
                assert_eq!(decode(coding, &coded[..length], 4096, 1 << 16, u64::MAX), Err(INCOMPLETE), "{coding:?}");
            }
            let refused = decode(coding, b"\xff\xff\xff plain text", 4096, 1 << 16, u64::MAX);
            assert_eq!(refused.map_err(|refusal| refusal.status), Err(400), "{coding:?}");
            let behind = [coded.as_slice(), b"more"].concat();
            assert_eq!(
                decode(coding, &behind, 4096, 1 << 16, u64::MAX).map_err(|it| it.status),
                Err(400),
                "{coding:?}"
            );
        }
    }

    #[test]
    fn members_follow_one_another_and_zlib_may_lack_its_header() {
        for coding in [ContentCoding::Gzip, ContentCoding::Zstd] {
            let two = [encode(coding, b"one, "), encode(coding, b"two")].concat();
            assert_eq!(decode(coding, &two, 3, 2, u64::MAX).as_deref(), Ok(&b"one, two"[..]), "{coding:?}");
            let many = encode(coding, b"").repeat(2 * MOST_MEMBERS as usize);
            assert_eq!(decode(coding, &many, 4096, 1 << 16, u64::MAX), Err(MALFORMED), "{coding:?}");
        }
        let zlib = encode(ContentCoding::Deflate, &text());
        let raw = &zlib[2..zlib.len() - 4];
        assert_eq!(decode(ContentCoding::Deflate, raw, 100, 1 << 16, u64::MAX), Ok(text()));
    }

    #[test]
    fn the_coding_is_that_of_the_field() {
        for (values, coding) in [
            (&[][..], Ok(None)),
            (&["gzip"], Ok(Some(ContentCoding::Gzip))),
            (&["X-GZIP"], Ok(Some(ContentCoding::Gzip))),
            (&[" deflate ,"], Ok(Some(ContentCoding::Deflate))),
            (&["identity", "br"], Ok(Some(ContentCoding::Brotli))),
            (&["zstd"], Ok(Some(ContentCoding::Zstd))),
            (&["identity"], Ok(None)),
            (&["gzip, gzip"], Err(UNKNOWN)),
            (&["gzip", "br"], Err(UNKNOWN)),
            (&["compress"], Err(UNKNOWN)),
        ] {
            let mut headers = Headers::new();
            values.iter().for_each(|value: &&str| headers.append("Content-Encoding", value.as_bytes()).unwrap());
            assert_eq!(ContentCoding::of(&headers), coding, "{values:?}");
        }
    }
}
