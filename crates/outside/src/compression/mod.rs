//! Compression: the media types that are worth it, and the three encoders behind one function.
//!
//! Takes bytes and gives bytes; the caller decides whether an answer may be compressed, and in which coding. Nothing
//! here blocks, but a large answer takes milliseconds: above [`in_place`] the caller uses another thread, and above
//! [`WHOLE`] the answer is encoded in [`pieces`].

mod jitter;
mod pieces;
mod press;
mod types;

use std::cell::RefCell;
use std::io::Write;

use zlib_rs::{DeflateConfig, ReturnCode};
use zstd::bulk::Compressor;

use crate::protocol::negotiation::Coding;

pub(crate) use jitter::jitter;
pub(crate) use pieces::{ENCODER, Encoded};
pub(crate) use press::Press;
pub(crate) use types::is_compressible;

/// Bytes below which content is sent as it is, because it fits into one packet anyway.
pub(crate) const LEAST: usize = 512;

/// Bytes above which content is compressed in pieces.
pub(crate) const WHOLE: usize = 128 * 1024;

/// Bytes above which content is compressed on another thread than the event loop's, because it takes more than a third
/// of a millisecond.
pub(crate) const fn in_place(coding: Coding) -> usize {
    match coding {
        Coding::Zstd => WHOLE,
        _ => WHOLE / 4,
    }
}

/// The effort that a smaller answer is worth.
///
/// The levels are chosen by this table: the remaining size of 90 KB, and the time on one core.
///
/// | | page | JSON | script | time |
/// |---|---|---|---|---|
/// | zstd 1 | 25.8 % | 32.8 % | 27.2 % | 0.2 ms |
/// | zstd 3 (fast) | 24.3 % | 31.0 % | 25.5 % | 0.2 ms |
/// | zstd 9 (thorough) | 22.2 % | 29.8 % | 22.8 % | 1.4 ms |
/// | zstd 12 | 22.0 % | 29.4 % | 22.6 % | 4.0 ms |
/// | br 3 | 24.0 % | 31.2 % | 25.4 % | 0.8 ms |
/// | br 4 (fast) | 23.0 % | 30.6 % | 24.6 % | 1.1 ms |
/// | br 6 (thorough) | 21.3 % | 29.5 % | 22.4 % | 2.0 ms |
/// | br 9 | 21.1 % | 29.2 % | 22.2 % | 16 ms |
/// | br 11 | 18.7 % | 25.6 % | 20.8 % | 96 ms |
/// | gzip 1 | 33.8 % | 44.3 % | 33.5 % | 0.2 ms |
/// | gzip 4 (fast) | 23.7 % | 31.6 % | 24.0 % | 0.7 ms |
/// | gzip 6 (thorough) | 23.1 % | 30.7 % | 23.5 % | 1.0 ms |
/// | gzip 9 | 22.8 % | 31.1 % | 23.3 % | 1.6 ms |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompressionLevel {
    /// For answers that are sent once.
    Fast,
    /// For files that are kept and sent many times.
    Thorough,
}

/// The content in this coding; `None` if it would not be smaller, or if the encoder failed: then it is sent as it is.
pub(crate) fn compress(coding: Coding, level: CompressionLevel, content: &[u8]) -> Option<Vec<u8>> {
    let most = content.len().checked_sub(1)?;
    let mut encoded = match coding {
        Coding::Zstd => encode_zstd(level, content, most),
        Coding::Brotli => encode_brotli(level, content, most),
        Coding::Gzip => encode_gzip(level, content, most),
        Coding::Identity => None,
    }?;
    if level == CompressionLevel::Thorough {
        encoded.shrink_to_fit();
    }
    Some(encoded)
}

fn encode_zstd(level: CompressionLevel, content: &[u8], most: usize) -> Option<Vec<u8>> {
    thread_local! {
        // Kept for each thread: making the tables takes longer than encoding a small answer, 15 of 20 us at 1 KB.
        static FAST: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    }
    let mut encoded = Vec::with_capacity(most);
    match level {
        // The tables grow with the content; those of a large answer are not kept.
        CompressionLevel::Fast if content.len() <= WHOLE => FAST.with_borrow_mut(|kept| {
            let encoder = match kept {
                Some(encoder) => encoder,
                None => kept.insert(Compressor::new(3).ok()?),
            };
            encoder.compress_to_buffer(content, &mut encoded).ok()
        })?,
        CompressionLevel::Fast => Compressor::new(3).ok()?.compress_to_buffer(content, &mut encoded).ok()?,
        CompressionLevel::Thorough => Compressor::new(9).ok()?.compress_to_buffer(content, &mut encoded).ok()?,
    };
    Some(encoded)
}

fn encode_brotli(level: CompressionLevel, content: &[u8], most: usize) -> Option<Vec<u8>> {
    let quality = match level {
        CompressionLevel::Fast => 4,
        CompressionLevel::Thorough => 6,
    };
    // A window that holds the content: a larger one only costs memory. Below 17 bits the better qualities use other
    // tables, which take ten times as long.
    let window = (usize::BITS - content.len().leading_zeros()).clamp(17, 22).cast_signed();
    let parameters =
        brotli::enc::BrotliEncoderParams { quality, lgwin: window, size_hint: content.len(), ..Default::default() };
    let encoded = Vec::with_capacity(content.len() / 2);
    let mut encoder = brotli::CompressorWriter::with_params(encoded, 16 * 1024, &parameters);
    encoder.write_all(content).ok()?;
    let encoded = encoder.into_inner();
    (!encoded.is_empty() && encoded.len() <= most).then_some(encoded)
}

fn encode_gzip(level: CompressionLevel, content: &[u8], most: usize) -> Option<Vec<u8>> {
    let level = match level {
        CompressionLevel::Fast => 4,
        CompressionLevel::Thorough => 6,
    };
    /// A window of 2^15 bytes; adding 16 asks for the header and trailer of gzip.
    const GZIP: i32 = 15 + 16;
    let mut encoded = vec![0; most];
    let config = DeflateConfig { level, window_bits: GZIP, ..DeflateConfig::default() };
    let (written, code) = zlib_rs::compress_slice(&mut encoded, content, config);
    let length = written.len();
    (code == ReturnCode::Ok).then(|| {
        encoded.truncate(length);
        encoded
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Read;

    use super::*;

    pub(super) const CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    pub(super) fn decode(coding: Coding, encoded: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        match coding {
            Coding::Zstd => return zstd::decode_all(encoded).expect("zstd"),
            Coding::Brotli => brotli::Decompressor::new(encoded, 4096).read_to_end(&mut content).expect("br"),
            Coding::Gzip => {
                let config = zlib_rs::InflateConfig { window_bits: 31 };
                let mut content = vec![0; 8 << 20];
                let (content, code) = zlib_rs::decompress_slice(&mut content, encoded, config);
                assert_eq!(code, ReturnCode::Ok);
                return content.to_vec();
            }
            Coding::Identity => unreachable!("nothing was encoded"),
        };
        content
    }

    /// Text of this length whose lines all differ.
    pub(super) fn text(length: usize) -> Vec<u8> {
        let lines = (0_u64..).map(|line| format!("{line}: {}\n", line.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        lines.flat_map(String::into_bytes).take(length).collect()
    }

    #[test]
    fn content_is_decoded_as_the_same() {
        for coding in CODINGS {
            for level in [CompressionLevel::Fast, CompressionLevel::Thorough] {
                for length in [100, 512, 5000, 70_000, 300_000] {
                    let content = text(length);
                    let encoded = compress(coding, level, &content).expect("it is smaller");
                    assert_eq!(decode(coding, &encoded), content, "{coding:?} {level:?} {length}");
                }
            }
        }
    }

    #[test]
    fn never_larger() {
        let noise: Vec<u8> = (0_u32..4096).map(|number| (number.wrapping_mul(0x9e37_79b1) >> 13) as u8).collect();
        let packed = compress(Coding::Zstd, CompressionLevel::Thorough, &text(100_000)).expect("it is smaller");
        for content in [&b""[..], b"a", b"<p>", &noise[..], &packed[..]] {
            for coding in CODINGS {
                let encoded = compress(coding, CompressionLevel::Fast, content);
                assert!(encoded.is_none_or(|encoded| encoded.len() < content.len()), "{coding:?} {}", content.len());
            }
        }
        assert_eq!(compress(Coding::Identity, CompressionLevel::Fast, &text(1000)), None);
    }
}
