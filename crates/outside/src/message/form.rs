//! The limits of a form (docs/security.md S32).

/// The limits of a form; a form that exceeds them is refused with 413.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormLimits {
    /// Number of fields that are not files.
    pub fields: usize,
    /// Bytes of one such field.
    pub field_size: usize,
    /// Number of files.
    pub files: usize,
    /// Number of header fields of one part.
    pub part_headers: usize,
    /// Bytes of one such header field.
    pub part_header_size: usize,
}

impl FormLimits {
    /// The defaults.
    pub const DEFAULT: Self =
        Self { fields: 1000, field_size: 500_000, files: 100, part_headers: 8, part_header_size: 4096 };
}

impl Default for FormLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
