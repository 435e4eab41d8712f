//! Content made smaller: which media types are worth it, and the three encoders behind one function.
//!
//! Takes bytes and gives bytes; whether an answer may be compressed, and in which coding, is decided above. Nothing here
//! waits, but a large answer takes milliseconds: above `OFF_THE_REACTOR` a caller goes to another thread.

mod jitter;
mod types;

use std::io::{self, Write};

use flate2::write::GzEncoder;

use crate::protocol::negotiation::Coding;

pub(crate) use jitter::jitter;
pub(crate) use types::is_compressible;

/// Less content than this, in bytes, is sent as it is: it fits into the same packet.
pub(crate) const LEAST: usize = 512;

/// More content than this, in bytes, is compressed on another thread than the event loop's.
pub(crate) const OFF_THE_REACTOR: usize = 128 * 1024;

/// How much time a smaller answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// It is sent once.
    Fast,
    /// It is kept and sent many times.
    Thorough,
}

/// The content in a coding; `None` if it would not be smaller, or if the encoder failed: then it is sent as it is.
pub(crate) fn compress(coding: Coding, level: Level, content: &[u8]) -> Option<Vec<u8>> {
    let encoded = match coding {
        Coding::Zstd => encode_zstd(level, content),
        Coding::Brotli => encode_brotli(level, content),
        Coding::Gzip => encode_gzip(level, content),
        Coding::Identity => return None,
    };
    encoded.ok().filter(|encoded| encoded.len() < content.len())
}

fn encode_zstd(level: Level, content: &[u8]) -> io::Result<Vec<u8>> {
    let level = match level {
        Level::Fast => 3,
        Level::Thorough => 12,
    };
    zstd::bulk::compress(content, level)
}

fn encode_brotli(level: Level, content: &[u8]) -> io::Result<Vec<u8>> {
    let quality = match level {
        Level::Fast => 4,
        Level::Thorough => 9,
    };
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 16 * 1024, quality, 22);
    encoder.write_all(content)?;
    encoder.flush()?;
    Ok(encoder.into_inner())
}

fn encode_gzip(level: Level, content: &[u8]) -> io::Result<Vec<u8>> {
    let level = match level {
        Level::Fast => 4,
        Level::Thorough => 9,
    };
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(content)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    fn decode(coding: Coding, encoded: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        match coding {
            Coding::Zstd => return zstd::decode_all(encoded).expect("zstd"),
            Coding::Brotli => brotli::Decompressor::new(encoded, 4096).read_to_end(&mut content).expect("br"),
            Coding::Gzip => flate2::read::GzDecoder::new(encoded).read_to_end(&mut content).expect("gzip"),
            Coding::Identity => unreachable!("nothing was encoded"),
        };
        content
    }

    /// Text whose lines differ, so many bytes of it.
    fn text(length: usize) -> Vec<u8> {
        let lines = (0_u64..).map(|line| format!("{line}: {}\n", line.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        lines.flat_map(String::into_bytes).take(length).collect()
    }

    #[test]
    fn what_was_encoded_is_decoded_as_the_same() {
        for coding in CODINGS {
            for level in [Level::Fast, Level::Thorough] {
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
        let packed = compress(Coding::Zstd, Level::Thorough, &text(100_000)).expect("it is smaller");
        for content in [&b""[..], b"a", b"<p>", &noise[..], &packed[..]] {
            for coding in CODINGS {
                let encoded = compress(coding, Level::Fast, content);
                assert!(encoded.is_none_or(|encoded| encoded.len() < content.len()), "{coding:?} {}", content.len());
            }
        }
        assert_eq!(compress(Coding::Identity, Level::Fast, &text(1000)), None);
    }
}
