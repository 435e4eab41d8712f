//! The forms of the corpus: `tests/corpus/forms.jsonl`, one in each line, as a whole and in pieces of any size.

use std::path::Path;

use outside::content::Form;
use outside::message::FormLimits;
use outside::testing::forms::read_in_pieces;
use serde_json::Value;

/// A text; or a list of texts, among which `[text, count]` is repeated.
fn body(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(run).collect(),
        other => panic!("no body: {other}"),
    }
}

fn run(part: &Value) -> String {
    match part.as_array().map(Vec::as_slice) {
        Some([unit, count]) => unit.as_str().unwrap().repeat(usize::try_from(count.as_u64().unwrap()).unwrap()),
        _ => part.as_str().unwrap().to_owned(),
    }
}

#[test]
fn forms_are_read_as_the_corpus_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/forms.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let mut count = 0;
    for line in text.lines() {
        count += 1;
        let case: Value = serde_json::from_str(line).unwrap();
        let (name, kind) = (&case["case"], case["type"].as_str().unwrap().as_bytes());
        let body = body(&case["body"]);
        let read = Form::parse(Some(kind), body.as_bytes(), &FormLimits::DEFAULT);
        let steps = if body.len() < 10_000 { 1..=60 } else { 4096..=4096 };
        let is_form = case["type"].as_str().unwrap().contains("form");
        let mut pieces = steps.map(|step| read_in_pieces(kind, body.as_bytes(), step, &FormLimits::DEFAULT));
        if let Some(status) = case["refused"].as_u64() {
            assert_eq!(read.err().map(|error| u64::from(error.code())), Some(status), "{name}");
            assert!(pieces.all(|read| read.is_err()), "{name}, in pieces");
            continue;
        }
        let form = read.unwrap_or_else(|error| panic!("{name}: {error}"));
        let files = form.files.iter().map(|(name, file)| {
            let content = String::from_utf8(file.content.read().unwrap().into_owned()).unwrap();
            vec![name.clone(), file.filename.clone(), file.content_type.clone(), content]
        });
        let fields = form.fields.iter().map(|(name, value)| vec![name.clone(), value.clone()]);
        assert_eq!(serde_json::json!(fields.collect::<Vec<_>>()), case["fields"], "{name}");
        assert_eq!(serde_json::json!(files.collect::<Vec<_>>()), case["files"], "{name}");
        let parts = form.fields.len() + form.files.len();
        assert!(!is_form || pieces.all(|read| read.is_ok_and(|read| read.len() == parts)), "{name}, in pieces");
    }
    assert!(count > 50, "only {count} forms");
}
