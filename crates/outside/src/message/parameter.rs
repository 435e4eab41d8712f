//! Parameters of a path: the converted values of the open segments of a route.
//!
//! The router finds them once, and the request keeps them. The conversion of each kind is here; the choice of segments
//! is in `route`.

use std::fmt;
use std::sync::Arc;

/// A value taken from the path.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameter {
    /// `int`: only digits, up to 9223372036854775807.
    Int(i64),
    /// `float`: digits, with a point and digits behind it or without; finite.
    Float(f64),
    /// `uuid`: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12 (RFC 9562 section 4).
    Uuid(u128),
    /// `str`: one segment, never empty and without a slash; or `path`: segments up to the end, which do not begin with
    /// a slash.
    Text(Box<str>),
}

impl Parameter {
    /// The number of an `int`.
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(value) = self { Some(*value) } else { None }
    }

    /// The number of a `float` or an `int`.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The bits of a `uuid`.
    pub fn as_uuid(&self) -> Option<u128> {
        if let Self::Uuid(value) = self { Some(*value) } else { None }
    }

    /// The text of a `str` or a `path`, percent-decoded.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Reads an `int`.
    pub(crate) fn int(segment: &str) -> Option<Self> {
        is_digits(segment).then(|| segment.parse().ok().map(Self::Int)).flatten()
    }

    /// Reads a `float`.
    pub(crate) fn float(segment: &str) -> Option<Self> {
        let (whole, fraction) = segment.split_once('.').map_or((segment, None), |(whole, rest)| (whole, Some(rest)));
        if !is_digits(whole) || !fraction.is_none_or(is_digits) {
            return None;
        }
        segment.parse().ok().filter(|value: &f64| value.is_finite()).map(Self::Float)
    }

    /// Reads a `uuid`.
    pub(crate) fn uuid(segment: &str) -> Option<Self> {
        let bytes = <&[u8; 36]>::try_from(segment.as_bytes()).ok()?;
        let mut value = 0u128;
        for (at, &byte) in bytes.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return None;
                }
                continue;
            }
            value = value << 4 | u128::from(char::from(byte).to_digit(16)?);
        }
        Some(Self::Uuid(value))
    }
}

/// As in a path, without percent-encoding.
impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Uuid(value) => {
                let digits = format!("{value:032x}");
                let groups = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
                f.write_str(&groups.join("-"))
            }
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A pattern and the names of its parameters, shared by all its requests.
#[derive(Debug, PartialEq)]
pub(crate) struct Named {
    pub(crate) pattern: Box<str>,
    pub(crate) names: Vec<Box<str>>,
    /// Its number for the metrics.
    pub(crate) number: u32,
}

/// The parameters of a request's path: names and values in the order of the route.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    pub(crate) route: Arc<Named>,
    pub(crate) values: Vec<Parameter>,
}

impl Parameters {
    /// The pattern of the route, as it was written.
    pub fn pattern(&self) -> &str {
        &self.route.pattern
    }

    /// The values in the order of the route.
    pub fn values(&self) -> &[Parameter] {
        &self.values
    }

    /// Names and values in the order of the route.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.route.names.iter().map(AsRef::as_ref).zip(&self.values)
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits() {
        for (text, int, float) in [
            ("0", Some(0), Some(0.0)),
            ("007", Some(7), Some(7.0)),
            ("9223372036854775807", Some(i64::MAX), Some(9.223_372_036_854_776e18)),
            ("9223372036854775808", None, Some(9.223_372_036_854_776e18)),
            ("1.5", None, Some(1.5)),
            ("-1", None, None),
            ("+1", None, None),
            ("1.", None, None),
            (".5", None, None),
            ("1e3", None, None),
            ("inf", None, None),
            ("nan", None, None),
            ("1_000", None, None),
            ("٣", None, None),
            (" 1", None, None),
            ("", None, None),
        ] {
            assert_eq!(Parameter::int(text), int.map(Parameter::Int), "{text:?}");
            assert_eq!(Parameter::float(text), float.map(Parameter::Float), "{text:?}");
        }
        assert_eq!(Parameter::float(&"9".repeat(400)), None, "not finite");
    }

    #[test]
    fn uuids_have_their_hyphens() {
        let text = "0189dcd5-5311-7d40-8db0-9496a2eef37b";
        let uuid = Parameter::uuid(text).unwrap();
        assert_eq!(uuid.as_uuid(), Some(0x0189_dcd5_5311_7d40_8db0_9496_a2ee_f37b));
        assert_eq!(uuid.to_string(), text);
        assert_eq!(Parameter::uuid(&text.to_uppercase()), Some(uuid));
        for bad in [&text[1..], "0189dcd553117d408db09496a2eef37b", "0189dcd5-5311-7d40-8db0-9496a2eef37g", ""] {
            assert_eq!(Parameter::uuid(bad), None, "{bad}");
        }
        assert_eq!(Parameter::uuid("é189dcd5-5311-7d40-8db0-9496a2eef37"), None);
    }
}
