//! One header field: its place in the text of a list of fields.

use super::name::KnownHeader;

/// The position of one field in the text: half-open byte ranges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: u32,
    pub(crate) value: u32,
    pub(crate) value_len: u32,
    pub(crate) name_len: u16,
    pub(crate) known: KnownHeader,
}
