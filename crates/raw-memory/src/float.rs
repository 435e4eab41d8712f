//! Floats as Python writes them: the shortest digits that give the same number, and an exponent where `repr` has one.

#![forbid(unsafe_code)]

/// Whether neither Python nor `zmij` writes an exponent.
#[inline(always)]
pub(crate) fn is_without_exponent(number: f64) -> bool {
    let size = number.abs();
    (1e-4..1e16).contains(&size) || size == 0.0
}

/// The text of `zmij` of a number that may have an exponent, as Python has it.
#[cold]
pub(crate) fn with_exponent(text: &str) -> String {
    let (sign, digits) = text.split_at(usize::from(text.starts_with('-')));
    if let Some((mantissa, exponent)) = digits.split_once('e') {
        let mantissa = mantissa.strip_suffix(".0").unwrap_or(mantissa);
        let (below, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent.trim_start_matches('+')),
        };
        return format!("{sign}{mantissa}e{below}{exponent:0>2}");
    }
    // Python writes an exponent from here on.
    match digits.strip_prefix("0.0000").and_then(|digits| digits.split_at_checked(1)) {
        Some((first, "")) => format!("{sign}{first}e-05"),
        Some((first, rest)) => format!("{sign}{first}.{rest}e-05"),
        None => text.to_owned(),
    }
}
