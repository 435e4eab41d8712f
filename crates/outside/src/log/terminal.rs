//! One line of the access log for people: short, in columns, the status coloured by its class.
//!
//! `07:30:00Z 200 5.12 kB 0.43 ms  GET /index.html 127.0.0.1`. The time is UTC. Text from clients is escaped as in the
//! other formats, so that the only control bytes are those of the colours.

use std::time::Duration;

use super::line::{AccessLine, End, push_escaped};
use super::moment::Moment;
use crate::message::shown_target;

const GREEN: &str = "32";
const CYAN: &str = "36";
const YELLOW: &str = "33";
const RED: &str = "31";
const DIM: &str = "2";

/// Appends the line without its newline.
pub(super) fn write(line: &AccessLine<'_>, out: &mut Vec<u8>, coloured: bool, now: &Moment) {
    let colour = match line.status {
        ..=299 => GREEN,
        300..=399 => CYAN,
        400..=499 => YELLOW,
        _ => RED,
    };
    push_painted(out, &now.iso[11..], coloured.then_some(DIM));
    out.push(b' ');
    push_painted(out, line.status.to_string().as_bytes(), coloured.then_some(colour));
    let duration = line.duration.map_or_else(|| "-".to_owned(), human_duration);
    push_text(out, &format!(" {:>7} {duration:>7}  ", human_size(line.bytes)));
    if line.end == End::Cut {
        push_painted(out, b"cut ", coloured.then_some(RED));
    }
    match line.request {
        Some(request) => {
            push_escaped(out, request.method().as_bytes());
            out.push(b' ');
            push_escaped(out, shown_target(request.target()).as_bytes());
        }
        None => out.push(b'-'),
    }
    out.push(b' ');
    push_painted(out, line.client(), coloured.then_some(DIM));
}

/// Select Graphic Rendition (ECMA-48 section 8.3.117), and its reset.
fn push_painted(out: &mut Vec<u8>, text: &[u8], colour: Option<&str>) {
    if let Some(colour) = colour {
        push_text(out, &format!("\x1b[{colour}m"));
    }
    out.extend_from_slice(text);
    if colour.is_some() {
        out.extend_from_slice(b"\x1b[0m");
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn human_size(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        _ => scaled(bytes as f64, &[(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")]),
    }
}

fn human_duration(duration: Duration) -> String {
    scaled(duration.as_secs_f64(), &[(1.0, "s"), (1e-3, "ms")])
}

/// Three digits in the largest unit that leaves something before the point.
fn scaled(number: f64, units: &[(f64, &str)]) -> String {
    // A number that would be rounded up to 1000 belongs to the next unit.
    let fits = units.iter().find(|(size, _)| number >= size * 0.9995).or(units.last());
    let Some(&(size, unit)) = fits else { return String::new() };
    let number = number / size;
    let decimals = match number {
        99.95.. => 0,
        9.995.. => 1,
        _ => 2,
    };
    format!("{number:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (5123, "5.12 kB"),
            (51_234, "51.2 kB"),
            (99_960, "100 kB"),
            (999_499, "999 kB"),
            (999_600, "1.00 MB"),
            (3 << 30, "3.22 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
    }

    #[test]
    fn durations_for_people() {
        for (microseconds, text) in [
            (0, "0.00 ms"),
            (43, "0.04 ms"),
            (4310, "4.31 ms"),
            (431_000, "431 ms"),
            (999_700, "1.00 s"),
            (61_500_000, "61.5 s"),
            (3_600_000_000, "3600 s"),
        ] {
            assert_eq!(human_duration(Duration::from_micros(microseconds)), text);
        }
    }

    #[test]
    fn a_line_with_and_without_colours() {
        let line = |status| AccessLine {
            request: None,
            client: b"127.0.0.1",
            status,
            bytes: 512,
            duration: Some(Duration::from_micros(430)),
            end: End::Complete,
        };
        let written = |status, coloured| {
            let mut out = Vec::new();
            write(&line(status), &mut out, coloured, &Moment::at(1_795_332_600));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(400, false), "07:30:00Z 400   512 B 0.43 ms  - 127.0.0.1");
        for (status, colour) in [(204, 32), (304, 36), (404, 33), (500, 31)] {
            let expected = format!(
                "\x1b[2m07:30:00Z\x1b[0m \x1b[{colour}m{status}\x1b[0m   512 B 0.43 ms  - \x1b[2m127.0.0.1\x1b[0m"
            );
            assert_eq!(written(status, true), expected);
        }
    }
}
