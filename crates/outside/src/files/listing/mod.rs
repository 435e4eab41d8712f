//! The page that lists a folder: one HTML document without script, good to read on a phone, in light and in dark.
//!
//! Pure: the entries come in as values, and which of them may be shown was decided before. Every link is relative and
//! percent-encoded to unreserved characters, so no name can be taken for a scheme, a query or markup.

mod natural;

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::{SystemTime, UNIX_EPOCH};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Entries that a listing shows at most.
pub(crate) const MOST_ENTRIES: usize = 10_000;

/// The Content-Security-Policy of the page: only its own style may apply, even if a name holds markup.
pub(crate) const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// An entry of a folder.
#[derive(Clone, Debug)]
pub(crate) struct ListingEntry {
    /// The last segment of the path, in any encoding.
    pub(crate) name: OsString,
    pub(crate) is_folder: bool,
    /// In bytes; without meaning for a folder.
    pub(crate) size: u64,
    pub(crate) modified: Option<SystemTime>,
}

/// The page. It must be served under a path with a trailing slash.
///
/// `route` is where the folder is served, such as `/static`; `below` the decoded path from there, such as `css/old`;
/// slashes around them do not matter. The heading links each level from the route down; levels above the route are not
/// shown. `is_cut` says that the folder holds more than these entries.
pub(crate) fn page(route: &str, below: &str, mut entries: Vec<ListingEntry>, is_cut: bool) -> String {
    entries.sort_by_cached_key(|entry| (!entry.is_folder, natural::natural_key(entry.name.as_bytes())));
    let route = route.trim_matches('/');
    let levels: Vec<&str> = below.split('/').filter(|level| !level.is_empty()).collect();
    let mut html = String::with_capacity(4096 + entries.len() * 224);
    push_head(&mut html, route, &levels);
    push_summary(&mut html, &entries, is_cut);
    html.push_str("<table>\n");
    if !entries.is_empty() {
        html.push_str("<thead><tr><th>Name<th>Size<th>Modified (UTC)\n<tbody>\n");
    }
    if !levels.is_empty() {
        html.push_str("<tr><td colspan=3><a href=\"../\"><bdi>Parent folder</bdi></a>\n");
    }
    for entry in &entries {
        push_entry(&mut html, entry);
    }
    html.push_str("</table>\n");
    if is_cut {
        let shown = grouped(entries.len() as u64);
        push(&mut html, format_args!("<p class=cut>The folder holds more; only {shown} entries are shown.</p>\n"));
    }
    html.push_str("</html>\n");
    html
}

const STYLE: &str = include_str!("style.css");

/// Unreserved characters (RFC 3986 section 2.3) stand for themselves.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Everything up to and including the heading with the path.
fn push_head(html: &mut String, route: &str, levels: &[&str]) {
    html.push_str(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\n<title>",
    );
    for name in [route].iter().filter(|route| !route.is_empty()).chain(levels) {
        html.push('/');
        push_text(html, name);
    }
    push(html, format_args!("/</title>\n<style>\n{STYLE}</style>\n<h1>"));
    let first = if route.is_empty() { "Home" } else { route };
    for (depth, name) in [first].iter().chain(levels).enumerate() {
        let steps = levels.len() - depth;
        if steps == 0 {
            html.push_str("<bdi>");
            push_text(html, name);
            html.push_str("</bdi>");
        } else {
            push(html, format_args!("<a href=\"{}\"><bdi>", "../".repeat(steps)));
            push_text(html, name);
            html.push_str("</bdi></a><i>/</i>");
        }
    }
    html.push_str("</h1>\n");
}

/// The number of folders and files, in a sentence.
fn push_summary(html: &mut String, entries: &[ListingEntry], is_cut: bool) {
    let folders = entries.iter().filter(|entry| entry.is_folder).count();
    let files = entries.len() - folders;
    let counted = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{} {many}", grouped(count as u64))),
    };
    let size = (files > 0).then(|| {
        let sizes = entries.iter().filter(|entry| !entry.is_folder).map(|entry| entry.size);
        human_size(sizes.fold(0, u64::saturating_add))
    });
    let parts = [counted(folders, "folder", "folders"), counted(files, "file", "files"), size];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        html.push_str("<p>This folder is empty.</p>\n");
    } else {
        let more = if is_cut { ", and more" } else { "" };
        push(html, format_args!("<p>{}{more}</p>\n", parts.join(", ")));
    }
}

fn push_entry(html: &mut String, entry: &ListingEntry) {
    let name = entry.name.as_bytes();
    html.push_str("<tr><td><a href=\"");
    html.extend(percent_encode(name, ENCODED));
    html.push_str(if entry.is_folder { "/\"><bdi>" } else { "\"><bdi>" });
    push_text(html, &String::from_utf8_lossy(name));
    html.push_str("</bdi></a><td");
    if entry.is_folder {
        html.push('>');
    } else {
        let unit = if entry.size == 1 { "byte" } else { "bytes" };
        push(html, format_args!(" title=\"{} {unit}\">{}", grouped(entry.size), human_size(entry.size)));
    }
    html.push_str("<td>");
    if let Some(time) = entry.modified.and_then(civil_time) {
        let text = iso_time(time);
        for part in ["<time datetime=", &text, ">", &text[..10], " ", &text[11..16], "</time>"] {
            html.push_str(part);
        }
    }
    html.push('\n');
}

/// Adds text to an element or to a quoted attribute. Invisible characters, and those that reverse the rest of a name so
/// that `gpj.exe` looks like a picture, are replaced by a sign.
fn push_text(html: &mut String, text: &str) {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'-' | b'.' | b'_')) {
        return html.push_str(text);
    }
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            // The explicit directional characters of Unicode (UAX 9 section 2).
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => html.push(char::REPLACEMENT_CHARACTER),
            _ if character.is_control() => html.push(char::REPLACEMENT_CHARACTER),
            _ => html.push(character),
        }
    }
}

fn push(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text).expect("a String takes everything");
}

/// A size in binary units, with one decimal where there is a single digit before it: `812 B`, `1.4 KiB`, `37 MiB`.
fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    // A number that would be shown as 1024 is one of the next unit.
    let mut value = bytes as f64 / 1024.0;
    while value >= 1023.5 {
        value /= 1024.0;
        unit += 1;
    }
    let unit = UNITS[unit];
    // 9.96 has two digits before the point after rounding.
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// RFC 3339, such as `2026-11-22T07:30:00Z`.
fn iso_time([year, month, day, hour, minute, second]: [i64; 6]) -> String {
    let mut text = String::with_capacity(20);
    for (value, end) in
        [(year / 100, ""), (year % 100, "-"), (month, "-"), (day, "T"), (hour, ":"), (minute, ":"), (second, "Z")]
    {
        text.push(char::from(b'0' + (value / 10 % 10) as u8));
        text.push(char::from(b'0' + (value % 10) as u8));
        text.push_str(end);
    }
    text
}

/// A number with a comma between each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(26);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Year, month, day, hour, minute and second in UTC; `None` outside the years 0 to 9999, which a file system may claim.
fn civil_time(time: SystemTime) -> Option<[i64; 6]> {
    let seconds = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).ok()?,
        Err(before) => {
            let before = before.duration();
            -i64::try_from(before.as_secs()).ok()? - i64::from(before.subsec_nanos() > 0)
        }
    };
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years that begin in March end with the leap day; 400 of them have 146,097 days.
    let day = day + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March on, five months have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    (0..=9999).contains(&year).then_some([year, month, day, second / 3600, second / 60 % 60, second % 60])
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;
    use std::time::Duration;

    use super::*;

    fn file(name: &[u8], size: u64, unix: u64) -> ListingEntry {
        let modified = Some(UNIX_EPOCH + Duration::from_secs(unix));
        ListingEntry { name: OsString::from_vec(name.to_vec()), is_folder: false, size, modified }
    }

    fn folder(name: &str) -> ListingEntry {
        ListingEntry { name: name.into(), is_folder: true, size: 4096, modified: None }
    }

    /// The texts between the marks, one for each occurrence.
    fn between<'a>(html: &'a str, start: &'a str, end: &'a str) -> Vec<&'a str> {
        html.split(start).skip(1).filter_map(|rest| Some(rest.split_once(end)?.0)).collect()
    }

    #[test]
    fn folders_first_then_names_in_natural_order() {
        let entries = ["b10.txt", "B9.txt", "a.txt"].map(|name| file(name.as_bytes(), 1, 0));
        let entries = entries.into_iter().chain([folder("z2"), folder("z10")]).collect();
        let html = page("/static", "", entries, false);
        assert_eq!(between(&html, "<td><a href=\"", "\""), ["z2/", "z10/", "a.txt", "B9.txt", "b10.txt"]);
    }

    #[test]
    fn names_are_text_and_links_are_names() {
        for (name, link, text) in [
            (&b"a b.txt"[..], "a%20b.txt", "a b.txt"),
            (
                b"<script>alert(1)</script>",
                "%3Cscript%3Ealert%281%29%3C%2Fscript%3E",
                "&lt;script&gt;alert(1)&lt;/script&gt;",
            ),
            (b"\"onclick='x'", "%22onclick%3D%27x%27", "&quot;onclick=&#39;x&#39;"),
            (b"a&amp;b", "a%26amp%3Bb", "a&amp;amp;b"),
            (b"100%", "100%25", "100%"),
            (b"%2e%2e", "%252e%252e", "%2e%2e"),
            (b"what?", "what%3F", "what?"),
            (b"#1", "%231", "#1"),
            (b"javascript:alert(1)", "javascript%3Aalert%281%29", "javascript:alert(1)"),
            (b"c:\\d", "c%3A%5Cd", "c:\\d"),
            ("ünï.txt".as_bytes(), "%C3%BCn%C3%AF.txt", "ünï.txt"),
            (b"latin\xfc", "latin%FC", "latin\u{fffd}"),
            (b"two\nlines\x7f", "two%0Alines%7F", "two\u{fffd}lines\u{fffd}"),
            ("evil\u{202e}gpj.exe".as_bytes(), "evil%E2%80%AEgpj.exe", "evil\u{fffd}gpj.exe"),
            (b"-._~", "-._~", "-._~"),
        ] {
            let html = page("/", "", vec![file(name, 1, 0)], false);
            assert_eq!(between(&html, "<td><a href=\"", "\""), [link]);
            assert_eq!(between(&html, "\"><bdi>", "</bdi></a>"), [text]);
        }
    }

    #[test]
    fn the_path_links_each_level_from_the_route_down() {
        for (route, below, title, heading) in [
            ("/", "", "/", "<bdi>Home</bdi>"),
            ("/static", "/", "/static/", "<bdi>static</bdi>"),
            (
                "/a/b/",
                "c/<d>/",
                "/a/b/c/&lt;d&gt;/",
                "<a href=\"../../\"><bdi>a/b</bdi></a><i>/</i><a href=\"../\"><bdi>c</bdi></a><i>/</i><bdi>&lt;d&gt;</bdi>",
            ),
            ("/", "//x y", "/x y/", "<a href=\"../\"><bdi>Home</bdi></a><i>/</i><bdi>x y</bdi>"),
        ] {
            let html = page(route, below, Vec::new(), false);
            assert_eq!(between(&html, "<title>", "</title>"), [title]);
            assert_eq!(between(&html, "<h1>", "</h1>"), [heading]);
            assert_eq!(html.contains("Parent folder"), heading.contains("../"), "{heading}");
            assert!(html.contains("<p>This folder is empty.</p>"));
        }
    }

    #[test]
    fn one_row_and_the_summary() {
        let html = page("/", "", vec![file(b"a.iso", 1_234_567, 1_795_332_600)], false);
        let row = "<tr><td><a href=\"a.iso\"><bdi>a.iso</bdi></a><td title=\"1,234,567 bytes\">1.2 MiB\
                   <td><time datetime=2026-11-22T07:30:00Z>2026-11-22 07:30</time>\n";
        assert!(html.contains(row), "{html}");
        assert!(html.contains("<p>1 file, 1.2 MiB</p>"));
        let html = page("/", "", vec![folder("a"), folder("b"), file(b"c", 1, 0), file(b"d", 0, 0)], false);
        assert!(html.contains("<p>2 folders, 2 files, 1 B</p>") && html.contains("title=\"1 byte\""), "{html}");
        let many = (0..1500).map(|number| file(number.to_string().as_bytes(), 0, 0)).collect();
        let html = page("/", "", many, true);
        assert!(html.contains("<p>1,500 files, 0 B, and more</p>"));
        assert!(html.contains("The folder holds more; only 1,500 entries are shown."));
    }

    #[test]
    fn sizes() {
        for (bytes, text, exact) in [
            (0, "0 B", "0"),
            (1, "1 B", "1"),
            (1023, "1023 B", "1,023"),
            (1024, "1.0 KiB", "1,024"),
            (10_188, "9.9 KiB", "10,188"),
            (10_189, "10 KiB", "10,189"),
            (1_048_063, "1023 KiB", "1,048,063"),
            (1_048_064, "1.0 MiB", "1,048,064"),
            (5_000_000_000, "4.7 GiB", "5,000,000,000"),
            (u64::MAX, "16 EiB", "18,446,744,073,709,551,615"),
        ] {
            assert_eq!((human_size(bytes).as_str(), grouped(bytes).as_str()), (text, exact));
        }
    }

    #[test]
    fn times() {
        let at = |unix: i64, nanos: u32| {
            let (whole, part) = (Duration::from_secs(unix.unsigned_abs()), Duration::from_nanos(nanos.into()));
            civil_time(if unix < 0 { UNIX_EPOCH - whole + part } else { UNIX_EPOCH + whole + part })
        };
        assert_eq!(at(0, 0), Some([1970, 1, 1, 0, 0, 0]));
        assert_eq!(at(-1, 0), Some([1969, 12, 31, 23, 59, 59]));
        assert_eq!(at(-1, 999_999_999), Some([1969, 12, 31, 23, 59, 59]));
        assert_eq!(at(951_782_399, 0), Some([2000, 2, 28, 23, 59, 59]));
        assert_eq!(at(951_782_400, 0), Some([2000, 2, 29, 0, 0, 0]));
        assert_eq!(at(4_107_542_400, 0), Some([2100, 3, 1, 0, 0, 0]));
        assert_eq!(at(253_402_300_799, 0), Some([9999, 12, 31, 23, 59, 59]));
        assert_eq!(at(253_402_300_800, 0), None);
        assert_eq!(at(-62_167_219_200, 0), Some([0, 1, 1, 0, 0, 0]));
        assert_eq!(at(-62_167_219_201, 0), None);
        assert_eq!(at(i64::MAX, 0), None);
        // Each day has its own date, in step with the calendar of httpdate.
        for day in 0..50_000_u64 {
            let time = UNIX_EPOCH + Duration::from_secs(day * 86_400 + 43_200);
            let text = httpdate::fmt_http_date(time);
            let [year, _, date, hour, ..] = civil_time(time).expect("a year below 9999");
            assert_eq!(text[5..7].parse(), Ok(date), "{text}");
            assert_eq!((text[12..16].parse(), hour), (Ok(year), 12), "{text}");
        }
    }
}
