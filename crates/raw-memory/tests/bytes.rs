//! Bytes as they are written, for lengths and places around the words in which they are copied. The modules are compiled once more
//! here, without those that need Python, so that no library of Python has to be there.

#![expect(unreachable_pub, reason = "the modules are written for the crate, which has this in its public face")]

#[path = "../src/escapes.rs"]
mod escapes;
#[path = "../src/float.rs"]
mod float;
#[path = "../src/output.rs"]
mod output;

use output::Output;

fn text(text: &str) -> String {
    let mut out = Output::with_capacity(0);
    out.text(text.as_bytes(), b',');
    String::from_utf8(out.into_vec()).expect("it is UTF-8")
}

#[test]
fn texts_of_each_length_with_an_escape_at_each_place() {
    for length in 0..70 {
        let plain = "abcdefghijklmnopqrstuvwxyz".repeat(3)[..length].to_owned();
        assert_eq!(text(&plain), format!("\"{plain}\""));
        for at in 0..length {
            for (byte, escape) in
                [("\"", "\\\""), ("\\", "\\\\"), ("\n", "\\n"), ("\u{1f}", "\\u001f"), ("\0", "\\u0000")]
            {
                let with = format!("{}{byte}{}", &plain[..at], &plain[at + 1..]);
                assert_eq!(text(&with), format!("\"{}{escape}{}\"", &plain[..at], &plain[at + 1..]));
            }
        }
        let all = "\u{7}".repeat(length);
        assert_eq!(text(&all), format!("\"{}\"", "\\u0007".repeat(length)));
    }
    assert_eq!(text("\t\r\u{8}\u{c}é\u{7f}"), "\"\\t\\r\\b\\fé\u{7f}\"");
}

#[test]
fn integers_are_written_as_they_are() {
    let mut out = Output::with_capacity(0);
    let mut expected = String::new();
    let mut write = |number: i64| {
        out.integer(number);
        expected.push_str(&format!("{number},"));
    };
    let mut power: i64 = 1;
    for _ in 0..19 {
        for number in [power - 1, power, power + 1, power.wrapping_mul(7)] {
            write(number);
            write(number.wrapping_neg());
        }
        power = power.wrapping_mul(10);
    }
    (0..200_000).for_each(|number| write(number * 4_999));
    (i64::MIN..=i64::MIN + 2).for_each(&mut write);
    expected.pop();
    assert_eq!(String::from_utf8(out.into_vec()).expect("it is UTF-8"), expected);
}

#[test]
fn floats_have_pythons_exponents() {
    for (number, text) in [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.5, "1.5"),
        (-123.25, "-123.25"),
        (1e-4, "0.0001"),
        (1e-5, "1e-05"),
        (1.25e-5, "1.25e-05"),
        (9_999_999_999_999_998.0, "9999999999999998.0"),
        (1e16, "1e+16"),
        (-1.7976931348623157e308, "-1.7976931348623157e+308"),
        (5e-324, "5e-324"),
        (0.1 + 0.2, "0.30000000000000004"),
    ] {
        let mut out = Output::with_capacity(0);
        out.float(number);
        assert_eq!(String::from_utf8(out.into_vec()).expect("it is UTF-8"), text);
    }
}

#[test]
fn a_short_piece_is_repeated() {
    let mut out = Output::with_capacity(0);
    out.add(b"[");
    let begin = out.place();
    out.text(b"key", b',');
    out.replace_last(b':');
    let piece = out.short_piece(begin).expect("it is short");
    (0..100).for_each(|_| out.repeat(piece));
    assert_eq!(out.into_vec(), format!("[{}\"key\"", "\"key\":".repeat(100)).into_bytes());
    let mut long = Output::with_capacity(0);
    long.text(&[b'a'; 30], b':');
    assert!(long.short_piece(0).is_none() && long.short_piece(34).is_none());
}

#[test]
#[should_panic = "begin + length"]
fn a_piece_of_other_bytes_is_refused() {
    let mut longer = Output::with_capacity(0);
    longer.add_all(&[b'a'; 100]);
    let begin = longer.place();
    longer.add(b"key");
    let piece = longer.short_piece(begin).expect("it is short");
    Output::with_capacity(0).repeat(piece);
}

#[test]
fn a_container_ends_with_its_bracket() {
    let mut out = Output::with_capacity(0);
    out.add(b"[[");
    out.end(b']', true);
    out.integer(-7);
    out.end(b']', false);
    assert_eq!(out.into_vec(), b"[[],-7]");
}
