//! The values of the fields of a line: for lines in JSON whose fields were named, and for records.

use super::access::push_json_text;
use super::line::AccessLine;
use super::moment::Moment;
use super::sink::{AccessRecord, FieldValue};
use crate::config::{LogField, USUAL_FIELDS};
use crate::message::{KnownHeader, push_decimal, query_without_secrets, shown_target, without_secrets};

/// The fields that are written, and those that records have.
pub(super) struct Fields {
    /// In place of the usual ones; empty: those.
    pub(super) of_lines: Vec<LogField>,
    /// The usual ones, and those that were named.
    of_records: Vec<LogField>,
    /// The names of these.
    pub(super) names: Vec<String>,
}

impl Fields {
    pub(super) fn of(named: &[LogField]) -> Self {
        let mut of_records = USUAL_FIELDS.to_vec();
        of_records.extend(named.iter().filter(|field| !USUAL_FIELDS.contains(field)).cloned());
        let names = of_records.iter().map(LogField::name).collect();
        Self { of_lines: named.to_vec(), of_records, names }
    }

    /// The line, which was written already, with its fields.
    pub(super) fn record(&self, line: &AccessLine<'_>, text: String, now: &Moment) -> AccessRecord {
        AccessRecord { line: text, values: self.of_records.iter().map(|field| line.value(field, now)).collect() }
    }
}

impl AccessLine<'_> {
    /// Appends the line with these fields, those alone that this exchange has.
    pub(super) fn write_fields(&self, out: &mut Vec<u8>, fields: &[LogField], now: &Moment) {
        out.push(b'{');
        let mut separator: &[u8] = b"\"";
        for field in fields {
            let Some(value) = self.value(field, now) else { continue };
            out.extend_from_slice(separator);
            separator = b",\"";
            out.extend_from_slice(field.name().as_bytes());
            out.extend_from_slice(b"\":");
            match value {
                FieldValue::Number(number) => push_decimal(out, number),
                FieldValue::Text(text) => push_json_text(out, &text),
            }
        }
        out.push(b'}');
    }

    fn value(&self, field: &LogField, now: &Moment) -> Option<FieldValue> {
        let text = |text: &[u8]| Some(FieldValue::Text(String::from_utf8_lossy(text).into_owned()));
        let number = |number: u64| Some(FieldValue::Number(number));
        match field {
            LogField::Time => return text(&now.iso),
            LogField::Client => return text(self.client()),
            LogField::Status => return number(u64::from(self.status)),
            LogField::Bytes => return number(self.bytes),
            LogField::Microseconds => {
                return number(u64::try_from(self.duration?.as_micros()).unwrap_or(u64::MAX));
            }
            LogField::End => return text(self.end.name().as_bytes()),
            LogField::Worker => return number(u64::from(std::process::id())),
            LogField::Peer => return text(self.client),
            _ => {}
        }
        let request = self.request?;
        // As in the usual form, a byte of a field is a character.
        let field_text = |value: &[u8]| Some(FieldValue::Text(value.iter().map(|byte| char::from(*byte)).collect()));
        let known = |name: KnownHeader| request.headers().known(name).and_then(field_text);
        match field {
            LogField::Method => text(request.method().as_bytes()),
            LogField::Target => text(shown_target(request.target()).as_bytes()),
            LogField::Path => text(request.url().as_bytes()),
            LogField::Query => text(&query_without_secrets(request.query().as_bytes())),
            LogField::Version => text(request.version().as_bytes()),
            LogField::Scheme => text(request.scheme().as_bytes()),
            LogField::Host => known(KnownHeader::Host),
            LogField::Referer => {
                request.headers().known(KnownHeader::Referer).and_then(|value| field_text(&without_secrets(value)))
            }
            LogField::Agent => known(KnownHeader::UserAgent),
            LogField::Route => text(request.parameters()?.pattern().as_bytes()),
            LogField::RequestId => text(request.known_ids()?.id().as_bytes()),
            LogField::TraceId => text(request.known_ids()?.trace.as_bytes()),
            LogField::SpanId => text(request.known_ids()?.span.as_bytes()),
            LogField::Header(name) => request.headers().get_bytes(name).and_then(field_text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::line::End;
    use crate::message::{Request, RequestParts};

    #[test]
    fn fields_in_the_order_of_their_names() {
        let headers: &[(&str, &[u8])] = &[("X-Tenant", b"a\t\"\xff"), ("Authorization", b"Basic c2VjcmV0")];
        let request =
            Request::from_parts(&RequestParts { target: "/a%20b?c", headers, ..RequestParts::default() }).unwrap();
        let line = AccessLine {
            request: Some(&request),
            client: b"10.0.0.1",
            status: 200,
            bytes: 5,
            duration: None,
            end: End::Cut,
        };
        let written = |names: &[&str]| {
            let named: Vec<LogField> = names.iter().map(|name| name.parse().unwrap()).collect();
            let (mut out, now) = (Vec::new(), Moment::at(1_795_332_600));
            line.write_fields(&mut out, &named, &now);
            let record = Fields::of(&named).record(&line, String::new(), &now);
            assert_eq!(Fields::of(&named).names.len(), record.values.len());
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            written(&["status", "path", "header:x-tenant", "end", "time", "microseconds", "referer"]),
            "{\"status\":200,\"path\":\"/a b\",\"header:x-tenant\":\"a\\u0009\\\"\\u00ff\",\"end\":\"cut\",\
             \"time\":\"2026-11-22T07:30:00Z\"}"
        );
        assert_eq!(written(&["microseconds", "bytes", "client"]), "{\"bytes\":5,\"client\":\"10.0.0.1\"}");
        assert_eq!(written(&["referer"]), "{}");
    }
}
