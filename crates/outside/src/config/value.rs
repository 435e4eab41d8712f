//! Configuration values as written, and reading them: numbers within bounds, times, lists, tables.
//!
//! A reader returns `false` or `None` for an invalid value; the message about it is made where the table is used.

use std::path::PathBuf;
use std::time::Duration;

use crate::message::{Cors, SecurityHeaders};

/// A value as written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// A text.
    Text(&'static str),
    /// A text that is computed at run time.
    Owned(String),
    /// An address: IP address or host name, and port.
    Address(String, u16),
    /// Several values.
    List(Vec<Value>),
    /// A list of texts that are known at compile time.
    Texts(&'static [&'static str]),
    /// Values with names.
    Table(Vec<(String, Value)>),
    /// No value.
    None,
    /// A callable object.
    Callable,
    /// Any other value, by its representation.
    Other(String),
}

pub(super) fn flag(value: &Value, into: &mut bool) -> bool {
    let Value::Bool(on) = value else { return false };
    *into = *on;
    true
}

/// Reads one of these names, each of which stands for a setting. Returns whether it is one.
pub(super) fn one_of<T, const N: usize>(value: &Value, names: [(&str, T); N], into: &mut T) -> bool {
    let given = text(value);
    let Some((_, setting)) = names.into_iter().find(|(name, _)| given == Some(*name)) else { return false };
    *into = setting;
    true
}

pub(super) fn whole(value: &Value, least: i64, most: i64, mut take: impl FnMut(i64)) -> bool {
    match value {
        Value::Integer(number) if (least..=most).contains(number) => {
            take(*number);
            true
        }
        _ => false,
    }
}

/// Reads a whole number from 1 on, or `None` for the default. Returns whether it is allowed.
pub(super) fn whole_or_none(value: &Value, target: &mut Option<usize>) -> bool {
    if let Value::None = value {
        *target = None;
        return true;
    }
    whole(value, 1, i64::MAX, |n| *target = Some(n as usize))
}

/// Reads a path, or `None`. Returns whether it is allowed.
pub(super) fn path_or_none(value: &Value, target: &mut Option<String>) -> bool {
    *target = match (value, text(value)) {
        (Value::None, _) => None,
        (_, Some(path)) if path.starts_with('/') => Some(path.to_owned()),
        _ => return false,
    };
    true
}

pub(super) fn number(value: &Value, least: f64, most: f64, mut take: impl FnMut(f64)) -> bool {
    let number = match value {
        Value::Integer(number) => *number as f64,
        Value::Float(number) => *number,
        _ => return false,
    };
    // NaN is in no range.
    let allowed = (least..=most).contains(&number);
    if allowed {
        take(number);
    }
    allowed
}

pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Owned(text) => Some(text),
        _ => None,
    }
}

/// A whole number and its unit: `90s`, `10m`, `12h`, `30d`, `2w`, `1y`.
pub(super) fn span_of_time(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        "y" => 365 * 86_400,
        _ => return None,
    };
    let number: u32 = number.parse().ok().filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(Duration::from_secs(u64::from(number) * seconds))
}

/// Reads a list of texts, each of which is parsed; a single text is a list of one. Returns whether all are allowed.
pub(super) fn each<T: std::str::FromStr>(value: &Value, into: &mut Vec<T>) -> bool {
    let values = match value {
        Value::List(values) => values.as_slice(),
        Value::Text(_) | Value::Owned(_) => std::slice::from_ref(value),
        Value::Texts(texts) => {
            let read: Option<Vec<T>> = texts.iter().map(|text| text.parse().ok()).collect();
            return read.map(|read| *into = read).is_some();
        }
        _ => return false,
    };
    let read: Option<Vec<T>> = values.iter().map(|value| text(value)?.parse().ok()).collect();
    read.map(|read| *into = read).is_some()
}

pub(super) fn mebibytes(value: &Value, into: &mut Option<usize>) -> bool {
    if let Value::None = value {
        *into = None;
        return true;
    }
    number(value, 1.0, 1_048_576.0, |n| *into = Some((n * 1_048_576.0) as usize))
}

pub(super) fn seconds(value: &Value, into: &mut Duration) -> bool {
    number(value, 0.001, 1e6, |n| *into = Duration::from_secs_f64(n))
}

pub(super) fn path(value: &Value, into: &mut PathBuf) -> bool {
    let path = text(value);
    if let Some(path) = path {
        *into = path.into();
    }
    path.is_some()
}

/// A certificate with its chain, and its key: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The server's certificate first, then the chain up to one that clients know.
    pub certfile: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1; may be the same file.
    pub keyfile: PathBuf,
}

impl CertificateFiles {
    /// One table with `certfile` and `keyfile`, or a list of them; `None` for other values.
    pub fn listed(value: &Value) -> Option<Vec<Self>> {
        match value {
            Value::List(values) if values.is_empty() => None,
            Value::List(values) => values.iter().map(certificate_files).collect(),
            value => certificate_files(value).map(|files| vec![files]),
        }
    }
}

pub(super) fn certificate_files(value: &Value) -> Option<CertificateFiles> {
    let Value::Table(fields) = value else { return None };
    let field =
        |name| fields.iter().find(|(field, _)| field == name).and_then(|(_, value)| text(value)).map(PathBuf::from);
    let (certfile, keyfile) = (field("certfile")?, field("keyfile"));
    let is_known =
        |(name, value): &(String, Value)| matches!(&name[..], "certfile" | "keyfile") && text(value).is_some();
    let keyfile = keyfile.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| certfile.clone());
    fields.iter().all(is_known).then_some(CertificateFiles { certfile, keyfile })
}

pub(super) fn read_cors(value: &Value) -> Option<Option<Cors>> {
    let texts = |value: &Value| {
        let mut texts = Vec::<String>::new();
        each(value, &mut texts).then_some(texts)
    };
    let Value::Table(fields) = value else {
        return match value {
            Value::None => Some(None),
            value => Cors::new(texts(value)?).ok().map(Some),
        };
    };
    let (_, origins) = fields.iter().find(|(name, _)| name == "origins")?;
    let mut cors = Cors::new(texts(origins)?).ok()?;
    for (name, value) in fields {
        cors = match (name.as_str(), value) {
            ("origins", _) | ("credentials", Value::Bool(false)) => cors,
            ("credentials", Value::Bool(true)) => cors.with_credentials().ok()?,
            ("methods", value) => cors.with_methods(&texts(value)?).ok()?,
            ("headers", value) => cors.with_headers(&texts(value)?).ok()?,
            ("expose", value) => cors.with_exposed(&texts(value)?).ok()?,
            ("max_age", Value::Integer(seconds)) => cors.with_max_age(u32::try_from(*seconds).ok()?),
            _ => return None,
        };
    }
    Some(Some(cors))
}

pub(super) fn read_security(value: &Value) -> Option<SecurityHeaders> {
    match value {
        Value::None | Value::Bool(false) => Some(SecurityHeaders::default()),
        Value::Bool(true) => Some(SecurityHeaders::basic()),
        Value::Table(fields) => {
            let fields: Option<Vec<_>> =
                fields.iter().map(|(name, value)| Some((name.as_str(), text(value)?))).collect();
            SecurityHeaders::listed(fields?).ok()
        }
        value => match text(value)? {
            "basic" => Some(SecurityHeaders::basic()),
            "strict" => Some(SecurityHeaders::strict()),
            _ => None,
        },
    }
}

pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::Owned(text) => format!("{text:?}"),
        Value::Address(ip, port) => format!("({ip:?}, {port})"),
        Value::Texts(texts) => format!("{texts:?}"),
        Value::List(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Table(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name:?}: {}", shown(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::None => "None".into(),
        Value::Callable => "a function".into(),
        Value::Other(text) => text.clone(),
    }
}

/// Bytes of the shortest secret that is accepted.
pub(super) const SHORTEST_SECRET: usize = 32;

/// Whether it is a value of the key `secret`.
pub(super) fn is_secret(value: &Value) -> bool {
    let is_long = |value: &Value| text(value).is_some_and(|text| text.len() >= SHORTEST_SECRET);
    match value {
        Value::None => true,
        Value::List(values) => !values.is_empty() && values.iter().all(is_long),
        value => is_long(value),
    }
}

/// A secret for a message about it: its length alone.
pub(super) fn hidden(value: &Value) -> String {
    match value {
        Value::List(values) => format!("[{}]", values.iter().map(hidden).collect::<Vec<_>>().join(", ")),
        value => text(value).map_or_else(|| shown(value), |text| format!("a str of {} bytes", text.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_a_unit() {
        for (text, seconds) in [("30d", Some(2_592_000)), ("1y", Some(31_536_000)), ("90s", Some(90)), ("0s", Some(0))]
        {
            assert_eq!(span_of_time(text).map(|time| time.as_secs()), seconds, "{text}");
        }
        for text in ["", "d", "30", "30 d", "-1d", "+1d", "1.5d", "1mo", "d1", "1é", "99999999999d"] {
            assert_eq!(span_of_time(text), None, "{text}");
        }
    }
}
