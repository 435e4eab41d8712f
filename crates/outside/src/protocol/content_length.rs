//! The length of a response's content, for the writers of all versions of HTTP.

/// The way in which the end of a response's content is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentLength {
    /// This many bytes.
    Known(u64),
    /// Chunks until the last one.
    Chunked,
    /// The end of the connection ends the content: streams to HTTP/1.0.
    UntilClose,
    /// There is no content (1xx, 204, 304), or its length is not known (HEAD, 304).
    None,
}
