//! The reader of a broker's bytes without a socket, for fuzzers and tests of this project.

use super::engine::Engine as _;
use super::redis::RedisEngine;

/// Reads bytes of a Redis that come in pieces of this size. Returns the values as texts, and whether all bytes up to there
/// could be read.
pub fn redis_values(bytes: &[u8], size: usize) -> (Vec<String>, bool) {
    let Ok(address) = "redis://localhost".parse() else { return (Vec::new(), false) };
    let mut reader = RedisEngine::new(&address).reader();
    let mut values = Vec::new();
    for piece in bytes.chunks(size.max(1)) {
        if reader.receive(piece, &mut |value| values.push(format!("{value:?}"))).is_err() {
            return (values, false);
        }
    }
    (values, true)
}
