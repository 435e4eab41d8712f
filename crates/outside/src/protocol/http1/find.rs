//! Finding a byte in short lines, where a call that is made for megabytes costs more than the search.

/// The position of the first such byte. Compares eight bytes at a time; lines longer than usual go to `memchr`.
#[inline(always)]
pub(super) fn find_byte(byte: u8, bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let wanted = ONES * u64::from(byte);
    let mut at = 0;
    while let Some(eight) = bytes.get(at..at + 8).and_then(|eight| <[u8; 8]>::try_from(eight).ok()) {
        // An equal byte becomes zero, and the borrow of a subtraction finds the lowest zero byte.
        let differs = u64::from_le_bytes(eight) ^ wanted;
        let zeros = differs.wrapping_sub(ONES) & !differs & HIGH;
        if zeros != 0 {
            return Some(at + (zeros.trailing_zeros() / 8) as usize);
        }
        at += 8;
        if at == USUAL {
            return memchr::memchr(byte, &bytes[at..]).map(|found| at + found);
        }
    }
    bytes[at..].iter().position(|&other| other == byte).map(|found| at + found)
}

/// Bytes of most lines at most; a multiple of eight.
const USUAL: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_wherever_it_is() {
        for length in 0..200 {
            for at in 0..=length {
                for other in [b'\n' - 1, b'\n' + 1, 0, 0x7f, 0x80, 0x8a, 0xff] {
                    let mut bytes = vec![other; length];
                    bytes[at..].fill(b'\n');
                    assert_eq!(find_byte(b'\n', &bytes), (at < length).then_some(at), "{length} {at} {other}");
                }
            }
        }
    }
}
