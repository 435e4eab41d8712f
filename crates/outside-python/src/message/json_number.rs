//! Floats as Python writes them: the shortest digits that give the same number, and an exponent where `repr` has one.

/// A finite number, as `float.__repr__` has it.
pub(super) fn write_float(out: &mut Vec<u8>, number: f64) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(number).as_bytes();
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (&b"-"[..], digits),
        digits => (&b""[..], digits),
    };
    out.extend_from_slice(sign);
    if let Some(at) = digits.iter().position(|&byte| byte == b'e') {
        let (mantissa, exponent) = (digits[..at].strip_suffix(b".0").unwrap_or(&digits[..at]), &digits[at + 1..]);
        let (sign, exponent) = match exponent {
            [b'-', exponent @ ..] => (b'-', exponent),
            [b'+', exponent @ ..] => (b'+', exponent),
            exponent => (b'+', exponent),
        };
        out.extend_from_slice(mantissa);
        out.extend_from_slice(&[b'e', sign]);
        if exponent.len() == 1 {
            out.push(b'0');
        }
        out.extend_from_slice(exponent);
    } else if let [b'0', b'.', b'0', b'0', b'0', b'0', first, rest @ ..] = digits {
        // Python writes an exponent from here on.
        out.push(*first);
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
        out.extend_from_slice(b"e-05");
    } else {
        out.extend_from_slice(digits);
    }
}
