//! Refusals by the limits that make them: settings of the server, limits of the program, and handlers themselves.

use super::meter::Meter;
use super::names::REFUSED;
use crate::error::Error;

/// The limit that stands for handlers which refuse requests for now.
const HANDLER: &str = "handler";
/// The statuses of such refusals: too many requests, and no service for now (RFC 6585 section 4, RFC 9110 section 15.6.4).
const FOR_NOW: [u16; 2] = [429, 503];
/// The beginning of the settings that hold while a handler takes a form. Others are counted where they refuse.
const OF_FORMS: &str = "max_form_";

impl Meter {
    /// Counts a refusal by a limit; `status` is empty where no answer is sent.
    pub(crate) fn count_refusal(&self, limit: &str, status: &str) {
        self.count(REFUSED.series(&[limit, status]));
    }

    /// Counts an error with which a handler has ended, if it refuses the request: by a limit of the program, by one of forms, or with
    /// 429 or 503. For bindings that answer errors themselves.
    pub fn count_error(&self, error: &Error) {
        if !self.has_board() || error.is_internal() {
            return;
        }
        let status = error.code();
        let limit = match (error.limit(), error.refusal()) {
            (Some(key), Some(_)) if !key.starts_with(OF_FORMS) => return,
            (Some(limit), _) => limit,
            (None, None) if FOR_NOW.contains(&status) => HANDLER,
            (None, _) => return,
        };
        self.count_refusal(limit, &status.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;

    #[test]
    fn errors_that_refuse() {
        let meter = Meter::default();
        meter.open_board(None).unwrap();
        meter.begin_here().unwrap();
        for error in [
            Error::status(429, None),
            Error::status(503, Some("later")),
            Error::status(429, None).with_limit("login"),
            Error::from(Refusal::limit(413, "too many fields", "max_form_fields")),
            // The rest is none, or is counted elsewhere.
            Error::from(Refusal::limit(413, "too large", "max_body_size_mb")),
            Error::from(Refusal::new(413, "too large")),
            Error::status(404, None),
            Error::new("failed"),
        ] {
            meter.count_error(&error);
        }
        let sheet = meter.collect();
        let mut found: Vec<_> = sheet.totals.of(REFUSED.name).map(|reading| &*reading.definition.labels).collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "limit=\"handler\",status=\"429\"",
                "limit=\"handler\",status=\"503\"",
                "limit=\"login\",status=\"429\"",
                "limit=\"max_form_fields\",status=\"413\"",
            ]
        );
    }
}
