//! The cookies of a test client: those that the server has set, by name.

use std::collections::BTreeMap;

use crate::message::Headers;

/// Names and values. There is one host, so domains and paths are not kept.
#[derive(Debug, Default)]
pub(super) struct CookieJar(BTreeMap<String, String>);

impl CookieJar {
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// The value of the Cookie field; `None` without cookies.
    pub(super) fn to_field(&self) -> Option<String> {
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Keeps or removes the cookies that an answer sets.
    pub(super) fn remember(&mut self, headers: &Headers) {
        for field in headers.get_all("Set-Cookie").map(String::from_utf8_lossy) {
            let (pair, attributes) = field.split_once(';').unwrap_or((&field, ""));
            let Some((name, value)) = pair.split_once('=') else { continue };
            let attribute = |wanted: &str| {
                let pairs = attributes.split(';').filter_map(|attribute| attribute.split_once('='));
                let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
                named.next_back().map(|(_, value)| value.trim().trim_start_matches('.').to_ascii_lowercase())
            };
            // A host sets no cookies for other hosts (RFC 6265 section 5.3).
            if attribute("domain").is_some_and(|domain| !matches!(&*domain, "" | "localhost")) {
                continue;
            }
            let gone = attributes.split(';').any(|attribute| attribute.trim().eq_ignore_ascii_case("max-age=0"));
            if gone {
                self.0.remove(name.trim());
            } else {
                self.0.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
}
