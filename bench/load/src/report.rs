//! The result as one line of JSON.
//!
//! Written by hand: the shape is fixed and small. Latencies are milliseconds, sizes bytes, times seconds.

use crate::driver::Tally;

/// The fields of one group, without the braces.
fn fields(tally: &Tally, seconds: f64) -> String {
    let milliseconds = |nanoseconds: u64| nanoseconds as f64 / 1e6;
    let latencies = &tally.latencies;
    format!(
        "\"requests\":{},\"seconds\":{seconds:.6},\"requests_per_second\":{:.1},\"p50_ms\":{:.4},\"p90_ms\":{:.4},\
         \"p99_ms\":{:.4},\"p999_ms\":{:.4},\"max_ms\":{:.4},\"errors\":{},\"reconnects\":{},\"bytes\":{}",
        tally.requests,
        tally.requests as f64 / seconds,
        milliseconds(latencies.value_at_quantile(0.5)),
        milliseconds(latencies.value_at_quantile(0.9)),
        milliseconds(latencies.value_at_quantile(0.99)),
        milliseconds(latencies.value_at_quantile(0.999)),
        milliseconds(latencies.max()),
        tally.errors,
        tally.reconnects,
        tally.bytes,
    )
}

/// `busy` is the share of the time that the load itself was on its core.
pub(crate) fn result(tallies: &[Tally], seconds: f64, busy: f64, error: Option<&str>) -> String {
    let mut line = String::from("{\"event\":\"result\",");
    if let Some(main) = tallies.first() {
        line.push_str(&fields(main, seconds));
    }
    line.push_str(&format!(",\"load_busy\":{busy:.3}"));
    if let Some(beside) = tallies.get(1) {
        line.push_str(&format!(",\"beside\":{{{}}}", fields(beside, seconds)));
    }
    if let Some(error) = error {
        line.push_str(&format!(",\"first_error\":\"{}\"", escaped(error)));
    }
    line.push('}');
    line
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                escaped.push('\\');
                escaped.push(character);
            }
            character if character.is_control() => escaped.push_str(&format!("\\u{:04x}", u32::from(character))),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn strings_are_valid_json() {
        assert_eq!(escaped("a\"b\\c\n"), "a\\\"b\\\\c\\u000a");
    }
}
