//! An answer as a test client received it.

use serde_core::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Error;
use crate::message::Headers;

/// An answer as received.
#[derive(Debug)]
pub struct TestResponse {
    pub(super) status: u16,
    pub(super) headers: Headers,
    pub(super) content: Vec<u8>,
}

impl TestResponse {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The header fields.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The content, without its transfer coding.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The content as text; invalid UTF-8 becomes U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }

    /// The content as JSON, as a value of any type that `serde` can make.
    ///
    /// # Errors
    /// The content is no JSON, or does not fit: the text names the place, and shows the beginning of the content.
    pub fn json_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(&self.content)).map_err(|error| {
            const SHOWN: usize = 200;
            let beginning: String = self.text().chars().take(SHOWN).collect();
            Error::new(format!("the answer ({}) is not the JSON that was expected: {error}: {beginning}", self.status))
        })
    }

    /// The content as JSON; `None` if it is not JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.content).ok()
    }
}
