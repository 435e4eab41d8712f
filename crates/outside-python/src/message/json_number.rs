//! Floats as Python writes them: the shortest digits that give the same number, and an exponent where `repr` has one.

use crate::message::json_bytes::JsonBytes;

/// Adds a finite number, as `float.__repr__` has it, and a byte behind it.
#[inline]
pub(super) fn write_float(out: &mut JsonBytes, number: f64, behind: u8) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(number).as_bytes();
    // Between these bounds neither of both writes an exponent.
    if matches!(number.abs(), 1e-4..1e16 | 0.0) {
        out.add_short(text, behind);
    } else {
        write_with_exponent(out, text);
        out.add(&[behind]);
    }
}

fn write_with_exponent(out: &mut JsonBytes, text: &[u8]) {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (&b"-"[..], digits),
        digits => (&b""[..], digits),
    };
    out.add_all(sign);
    if let Some(at) = digits.iter().position(|&byte| byte == b'e') {
        let (mantissa, exponent) = (digits[..at].strip_suffix(b".0").unwrap_or(&digits[..at]), &digits[at + 1..]);
        let (sign, exponent) = match exponent {
            [b'-', exponent @ ..] => (b'-', exponent),
            [b'+', exponent @ ..] => (b'+', exponent),
            exponent => (b'+', exponent),
        };
        out.add_all(mantissa);
        out.add(&[b'e', sign]);
        if exponent.len() == 1 {
            out.add(b"0");
        }
        out.add_all(exponent);
    } else if let [b'0', b'.', b'0', b'0', b'0', b'0', first, rest @ ..] = digits {
        // Python writes an exponent from here on.
        out.add(&[*first]);
        if !rest.is_empty() {
            out.add(b".");
            out.add_all(rest);
        }
        out.add(b"e-05");
    } else {
        out.add_all(digits);
    }
}
