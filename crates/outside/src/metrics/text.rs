//! The text format of Prometheus (version 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::series::{Kind, SeriesReading, Totals, joined};

/// Nanoseconds of a second.
const NANOSECONDS: f64 = 1e9;

/// All series, each name with its help and its kind, in the order of names and labels.
pub(crate) fn exposition(totals: &Totals) -> String {
    let mut families = BTreeMap::<&str, Vec<&SeriesReading>>::new();
    for reading in totals.readings() {
        families.entry(&reading.definition.name).or_default().push(reading);
    }
    let mut text = String::new();
    for (name, mut readings) in families {
        readings.sort_by(|one, other| one.definition.labels.cmp(&other.definition.labels));
        let Some(first) = readings.first() else { continue };
        let help = first.definition.help.replace('\\', "\\\\").replace('\n', "\\n");
        let kind = first.definition.kind;
        let _never_fails = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.word());
        // Another version of the program may have had a series of this name and of another kind.
        for reading in readings.into_iter().filter(|reading| reading.definition.kind.word() == kind.word()) {
            push(&mut text, reading);
        }
    }
    text
}

fn push(text: &mut String, reading: &SeriesReading) {
    let definition = &reading.definition;
    let (name, labels) = (&definition.name, &definition.labels);
    let (Kind::Durations | Kind::Histogram) = definition.kind else {
        push_line(text, name, "", labels, "", reading.value());
        return;
    };
    let mut so_far = 0u64;
    for (number, bound) in reading.numbers.iter().zip(&*definition.bounds) {
        so_far += number;
        push_line(text, name, "_bucket", labels, &format!("le=\"{bound}\""), so_far as f64);
    }
    let all = reading.count();
    push_line(text, name, "_bucket", labels, "le=\"+Inf\"", all as f64);
    let sum = match reading.numbers[definition.bounds.len() + 1..] {
        [whole, billionths] => joined(whole, billionths),
        [nanoseconds] => nanoseconds as f64 / NANOSECONDS,
        _ => 0.0,
    };
    push_line(text, name, "_sum", labels, "", sum);
    push_line(text, name, "_count", labels, "", all as f64);
}

fn push_line(text: &mut String, name: &str, suffix: &str, labels: &str, more: &str, value: f64) {
    let comma = if labels.is_empty() || more.is_empty() { "" } else { "," };
    let (open, close) = if labels.is_empty() && more.is_empty() { ("", "") } else { ("{", "}") };
    let _never_fails = write!(text, "{name}{suffix}{open}{labels}{comma}{more}{close} ");
    let _never_fails = match value {
        value if value.is_nan() => writeln!(text, "NaN"),
        value if value.is_infinite() => writeln!(text, "{}", if value > 0.0 { "+Inf" } else { "-Inf" }),
        value => writeln!(text, "{value}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::series::{Combine, Definition};

    #[test]
    fn the_text_of_each_kind() {
        let mut totals = Totals::default();
        let bits = f64::to_bits;
        let of = |kind, name, labels: &str| Definition::new(kind, name, "Help\nwith \\.", labels);
        totals.add(&of(Kind::Counter, "b_total", "a=\"2\""), &[2]);
        totals.add(&of(Kind::Counter, "b_total", "a=\"1\""), &[1]);
        totals.add(&of(Kind::Nanoseconds, "c_seconds_total", ""), &[1_500_000_000]);
        totals.add(&of(Kind::Gauge(Combine::Last), "g", ""), &[bits(f64::INFINITY), 1]);
        let histogram = of(Kind::Histogram, "h", "a=\"1\"").with_bounds([0.5, 1.0].into());
        totals.add(&histogram, &[1, 2, 3, 4, 250_000_000]);
        let wanted = "\
# HELP b_total Help\\nwith \\\\.\n# TYPE b_total counter\nb_total{a=\"1\"} 1\nb_total{a=\"2\"} 2\n\
# HELP c_seconds_total Help\\nwith \\\\.\n# TYPE c_seconds_total counter\nc_seconds_total 1.5\n\
# HELP g Help\\nwith \\\\.\n# TYPE g gauge\ng +Inf\n\
# HELP h Help\\nwith \\\\.\n# TYPE h histogram\nh_bucket{a=\"1\",le=\"0.5\"} 1\nh_bucket{a=\"1\",le=\"1\"} 3\n\
h_bucket{a=\"1\",le=\"+Inf\"} 6\nh_sum{a=\"1\"} 4.25\nh_count{a=\"1\"} 6\n";
        assert_eq!(exposition(&totals), wanted);
    }
}
