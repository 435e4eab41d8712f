//! The values of a broker: any bytes, cut anywhere, give the same verdict and the same values.

use outside::broker_testing::redis_values;

/// Bytes of a broker. The first one says where they are cut.
pub fn values(input: &[u8]) {
    let Some((&cut, stream)) = input.split_first() else { return };
    // The parser may wait for the end of a line before it finds a fault in it.
    let stream = &[stream, b"\r\n"].concat()[..];
    let (whole, is_good) = redis_values(stream, stream.len());
    let (pieces, is_good_in_pieces) = redis_values(stream, usize::from(cut).max(1));
    assert_eq!(is_good, is_good_in_pieces, "the verdict depends on where the stream is cut");
    assert!(!is_good || whole == pieces, "the values depend on where the stream is cut");
}
