//! The state of one certificate between attempts, on disk: a program that restarts in a loop does not begin again.

use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::schedule::{Advice, History, Window};
use super::storage;

/// The state of a certificate.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CertificateState {
    pub(crate) history: History,
    pub(crate) advice: Option<Advice>,
    /// The directory of the authority that has issued the certificate in use.
    pub(crate) authority: Option<String>,
    /// Why the last attempt has failed.
    pub(crate) error: Option<String>,
    /// When the next step is due, for `outside cert status`.
    pub(crate) next: u64,
    /// The names of the last attempt.
    pub(crate) names: Vec<String>,
}

impl CertificateState {
    /// Reads the state in this folder. One that is missing or damaged is a new one.
    pub(crate) fn read(folder: &Path) -> Self {
        let text = storage::read(&folder.join("state.json")).ok().flatten().unwrap_or_default();
        Self::parse(&text)
    }

    pub(crate) fn parse(text: &str) -> Self {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let number = |name: &str| value[name].as_u64().unwrap_or(0);
        let small = |name: &str| u32::try_from(number(name)).unwrap_or(0);
        let advice = &value["advice"];
        let of = |value: &Value, name: &str| value[name].as_u64();
        let window = || {
            Some(Window { start: of(advice, "start")?, end: of(advice, "end")?, chosen: of(advice, "chosen")? })
                .filter(|window| window.start <= window.chosen && window.chosen <= window.end)
        };
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        Self {
            history: History {
                failures: small("failures"),
                interruptions: small("interruptions"),
                last: number("last"),
                failing_since: number("failing_since"),
                success: number("success"),
                not_before: number("not_before"),
                jitter: number("jitter"),
            },
            advice: of(advice, "ask_again").map(|ask_again| Advice { window: window(), ask_again }),
            authority: text("authority"),
            error: text("error"),
            next: number("next"),
            names: value["names"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|name| Some(name.as_str()?.to_owned()))
                .collect(),
        }
    }

    /// The text of its file.
    pub(crate) fn to_json(&self) -> String {
        let history = &self.history;
        let advice = self.advice.map(|advice| match advice.window {
            Some(Window { start, end, chosen }) => {
                json!({"start": start, "end": end, "chosen": chosen, "ask_again": advice.ask_again})
            }
            None => json!({"ask_again": advice.ask_again}),
        });
        let value = json!({
            "names": self.names,
            "failures": history.failures,
            "interruptions": history.interruptions,
            "last": history.last,
            "failing_since": history.failing_since,
            "success": history.success,
            "not_before": history.not_before,
            "jitter": history.jitter,
            "advice": advice,
            "authority": self.authority,
            "error": self.error,
            "next": self.next,
        });
        format!("{value:#}\n")
    }

    /// Writes the state into this folder.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        storage::write(&folder.join("state.json"), self.to_json().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_back() {
        let history = History { failures: 3, last: 7, failing_since: 5, jitter: 9, ..History::default() };
        for window in [None, Some(Window { start: 1, end: 9, chosen: 4 })] {
            let state = CertificateState {
                history,
                advice: Some(Advice { window, ask_again: 11 }),
                authority: Some("https://ca.example/".into()),
                error: Some("a \"sentence\"".into()),
                next: 12,
                names: vec!["a.example".into()],
            };
            assert_eq!(CertificateState::parse(&state.to_json()), state);
        }
        for text in ["", "null", "[]", "{\"failures\": -1, \"advice\": 3}", "{\"last\": 1e300}", "{"] {
            assert_eq!(CertificateState::parse(text), CertificateState::default(), "{text}");
        }
    }
}
