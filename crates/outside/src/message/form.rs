//! What a form may hold at most (docs/security.md S32).

/// The bounds of a form; one that passes them is refused with 413.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormLimits {
    /// Fields that are no files.
    pub fields: usize,
    /// Bytes of one such field.
    pub field_size: usize,
    /// Files.
    pub files: usize,
    /// Header fields of one part.
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
