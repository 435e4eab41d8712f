//! The versions of HTTP.

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the version it spells")]
pub enum Version {
    Http10,
    Http11,
    Http2,
}

impl Version {
    /// The name in requests and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }

    /// Parses the form of [`Version::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Http10, Self::Http11, Self::Http2].into_iter().find(|version| version.as_str() == text)
    }
}
