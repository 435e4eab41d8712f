//! The setting `history`: how many messages of which topics are kept.

use super::value::Value;

/// How much is kept of the topics of one name, or of one beginning of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRule {
    /// The name of a topic; with a `*` at its end, the beginning of names.
    pub pattern: String,
    /// Messages of each topic.
    pub messages: usize,
    /// Bytes of memory for each topic.
    pub bytes: usize,
}

/// Bytes for all topics of a machine together.
const MOST_BYTES: usize = 64 << 20;
/// Messages of a topic whose rule has a number.
const MOST_MESSAGES: i64 = 1_000_000;

/// Reads a table of topics. `None` if a rule is not understood.
pub(super) fn read_history(value: &Value) -> Option<Vec<HistoryRule>> {
    match value {
        Value::None => Some(Vec::new()),
        Value::Table(rules) => rules.iter().map(|(pattern, amount)| read_rule(pattern, amount)).collect(),
        _ => None,
    }
}

fn read_rule(pattern: &str, amount: &Value) -> Option<HistoryRule> {
    if pattern.is_empty() || pattern.contains(['\n', '\r']) {
        return None;
    }
    let rule = |messages, bytes| Some(HistoryRule { pattern: pattern.to_owned(), messages, bytes });
    match amount {
        // So many messages of every topic there is could be any number of bytes.
        Value::Integer(count @ 1..=MOST_MESSAGES) if pattern != "*" => rule(usize::try_from(*count).ok()?, MOST_BYTES),
        Value::Text(text) => rule(usize::MAX, read_bytes(text)?),
        Value::Owned(text) => rule(usize::MAX, read_bytes(text)?),
        _ => None,
    }
}

/// `"64k"`, `"1m"` or `"5000"`: bytes, at most those of all topics.
fn read_bytes(text: &str) -> Option<usize> {
    let (digits, unit) = match text.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => (&text[..text.len() - 1], 1 << 10),
        b'm' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let bytes = digits.parse::<usize>().ok()?.checked_mul(unit)?;
    (1..=MOST_BYTES).contains(&bytes).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_a_number_of_messages_or_bytes() {
        let read = |pattern: &str, amount| read_rule(pattern, &amount).map(|rule| (rule.messages, rule.bytes));
        let text = |text: &str| Value::Owned(text.to_owned());
        for (pattern, amount, kept) in [
            ("news", Value::Integer(100), Some((100, MOST_BYTES))),
            ("room:*", text("64k"), Some((usize::MAX, 64 << 10))),
            ("room:*", text("1M"), Some((usize::MAX, 1 << 20))),
            ("*", text("5000"), Some((usize::MAX, 5000))),
            ("*", Value::Integer(5), None),
            ("news", Value::Integer(0), None),
            ("news", Value::Bool(true), None),
            ("news", text("64q"), None),
            ("news", text("k"), None),
            ("news", text(""), None),
            ("news", text("-1"), None),
            ("news", text("65m"), None),
            ("", Value::Integer(1), None),
            ("a\nb", Value::Integer(1), None),
        ] {
            assert_eq!(read(pattern, amount.clone()), kept, "{pattern:?}: {amount:?}");
        }
    }
}
