//! Properties of query strings and forms that hold for every input; shared like `invariants`.
//!
//! A parsed form is written again and must be read as the same; limits are kept; files are slices of the content.

use outside::content::Form;
use outside::message::{FormLimits, parse_query};
use outside::testing::forms::{TestPart, read_in_pieces};

/// A query string.
pub fn query(input: &[u8]) {
    let pairs = parse_query(input, 1000);
    assert!(pairs.len() <= 1000);
    assert_eq!(parse_query(&write_query(&pairs), 1000), pairs);
    let few = parse_query(input, 3);
    assert!(few.len() <= 3 && pairs.starts_with(&few));
}

/// A form: a content type up to the first LF, then the content. It is also read as a form of either kind.
pub fn form(input: &[u8]) {
    let (kind, content) = match input.iter().position(|&byte| byte == b'\n') {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (&input[..0], input),
    };
    for kind in [kind, MULTIPART, URLENCODED] {
        check_form(kind, content);
    }
}

const MULTIPART: &[u8] = b"multipart/form-data; boundary=xYz";
const URLENCODED: &[u8] = b"application/x-www-form-urlencoded";
const SMALL: FormLimits = FormLimits { fields: 2, field_size: 16, files: 1, part_headers: 2, part_header_size: 80 };
const LARGE: FormLimits = FormLimits {
    fields: usize::MAX - 1,
    field_size: usize::MAX,
    files: usize::MAX,
    part_headers: usize::MAX,
    part_header_size: usize::MAX,
};

fn check_form(kind: &[u8], content: &[u8]) {
    let form = match Form::parse(Some(kind), content, &FormLimits::default()) {
        Ok(form) => form,
        Err(error) => {
            check_pieces(kind, content, None);
            return assert!(matches!(error.code(), 400 | 413), "{error:?}");
        }
    };
    check_pieces(kind, content, Some(&form));
    for (_, file) in &form.files {
        let bytes = file.content.read().expect("in memory");
        let (all, part) = (content.as_ptr_range(), bytes.as_ptr_range());
        assert!(all.start <= part.start && part.end <= all.end, "a file is a copy");
    }
    if let Ok(small) = Form::parse(Some(kind), content, &SMALL) {
        assert!(small.fields.len() <= SMALL.fields && small.files.len() <= SMALL.files);
        assert_eq!(flat(&small), flat(&form), "tighter bounds make another form");
    }
    if form.files.is_empty() && !kind.to_ascii_lowercase().starts_with(b"multipart") {
        let again = write_query(&form.fields);
        let again = Form::parse(Some(b"application/x-www-form-urlencoded"), &again, &LARGE);
        let again = again.map(|again| again.fields).expect("what was read can be read again");
        assert_eq!(again, form.fields, "written down again, it is read otherwise");
        return;
    }
    let written = write_multipart(&form);
    let again = Form::parse(Some(format!("multipart/form-data; boundary={BOUNDARY}").as_bytes()), &written, &LARGE);
    if !content.windows(BOUNDARY.len()).any(|window| window == BOUNDARY.as_bytes()) {
        let again = again.expect("what was read can be read again");
        assert_eq!(flat(&again), flat(&form), "written down again, it is read otherwise");
    }
}

/// Cut in any way, it is read as the same form, or refused.
fn check_pieces(kind: &[u8], content: &[u8], form: Option<&Form<'_>>) {
    if ![MULTIPART, URLENCODED].contains(&kind) {
        return;
    }
    for step in [1, 7, 100] {
        let read = read_in_pieces(kind, content, step, &FormLimits::default());
        let Some(form) = form else {
            assert!(read.is_err(), "refused as a whole, but not in pieces of {step}");
            continue;
        };
        let (files, fields): (Vec<TestPart>, Vec<TestPart>) =
            read.expect("read as a whole").into_iter().partition(|part| part.1.is_some());
        let wanted = form.fields.iter().map(|(name, value)| (name.clone(), value.clone()));
        let fields = fields.into_iter().map(|(name, _, value)| (name, String::from_utf8_lossy(&value).into_owned()));
        assert!(fields.eq(wanted), "other fields in pieces of {step}");
        let wanted = form.files.iter().map(|(name, file)| {
            (name.clone(), Some(file.filename.clone()), file.content.read().expect("in memory").into_owned())
        });
        assert!(files.into_iter().eq(wanted), "other files in pieces of {step}");
    }
}

/// All comparable parts of a form.
fn flat(form: &Form<'_>) -> Vec<Vec<Vec<u8>>> {
    let bytes = |text: &String| text.clone().into_bytes();
    let files = form.files.iter().map(|(name, file)| {
        let content = file.content.read().expect("in memory").into_owned();
        vec![bytes(name), bytes(&file.filename), bytes(&file.content_type), content]
    });
    let fields = form.fields.iter().map(|(name, value)| vec![bytes(name), bytes(value)]);
    fields.chain(files).collect()
}

fn write_query(pairs: &[(String, String)]) -> Vec<u8> {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|byte| if byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02x}") })
            .collect()
    };
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&").into_bytes()
}

const BOUNDARY: &str = "a-boundary-that-no-input-is-going-to-hold";

/// Fields first, then files, because their relative order is not kept.
fn write_multipart(form: &Form<'_>) -> Vec<u8> {
    let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut out = Vec::new();
    for (name, value) in &form.fields {
        out.extend(format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n", quote(name)).bytes());
        out.extend([value.as_bytes(), b"\r\n"].concat());
    }
    for (name, file) in &form.files {
        let (name, filename) = (quote(name), quote(&file.filename));
        let disposition = format!("form-data; filename=\"{filename}\"; name=\"{name}\"");
        out.extend(format!("--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n").bytes());
        out.extend(format!("Content-Type: {}\r\n\r\n", file.content_type).bytes());
        out.extend([&*file.content.read().expect("in memory"), b"\r\n"].concat());
    }
    out.extend(format!("--{BOUNDARY}--").bytes());
    out
}
