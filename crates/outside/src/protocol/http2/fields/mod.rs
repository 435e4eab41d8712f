//! Checks field blocks before `h2` does, and removes the fields for which `h2` would end the whole connection.
//!
//! A field that breaks the rules makes one message malformed (RFC 9113 sections 8.1.1 and 8.2.1), but `h2` takes most
//! such fields for compression errors, which end every stream. So they are removed from the block, and a field is added
//! for which `h2` only resets the stream. Paths that `http::Uri` cannot hold but an HTTP/1.1 request line can are
//! removed as well, and passed beside the block.
//!
//! Of the dynamic table (RFC 7541 section 2.3.2) only the sizes of entries are kept, and the rules that their names
//! impose on values. An entry that was removed is missing in the table of `h2`: while there is one, indices in later
//! blocks are renumbered.

use std::collections::VecDeque;

use super::block::{BlockField, Changed, Rewriting, integer, put_integer, raw_string, string};
use super::huffman;
use crate::message::{is_token, is_value};

/// Checks the blocks of one connection, each once and in order.
#[derive(Debug)]
pub(crate) struct FieldChecker {
    /// The newest first.
    entries: VecDeque<TableEntry>,
    /// For each entry that `h2` lacks, in the same order, its path if that is valid.
    withheld: VecDeque<Option<Box<str>>>,
    /// Number of entries that differ from those of `h2`.
    wrong: usize,
    size: usize,
    max_size: usize,
    /// Bytes of a path that are kept at most.
    longest_path: usize,
    /// For strings in the Huffman code.
    decoded: Vec<u8>,
}

/// The result of checking a block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// `h2` gets the block unchanged.
    Right,
    /// `h2` gets another block.
    Changed(Changed),
    /// The compression is broken. That ends the connection (RFC 9113 section 4.3), and the state kept here is void.
    Broken,
}

/// An entry of the dynamic table.
#[derive(Clone, Copy, Debug)]
struct TableEntry {
    size: u16,
    name_len: u16,
    name: Name,
    state: CheckerState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CheckerState {
    Right,
    /// `h2` has another value of the same length.
    Filled,
    /// `h2` has no such entry.
    Withheld,
}

/// The kind of a name, which decides the rule for its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Authority,
    Method,
    Path,
    Protocol,
    Scheme,
    Status,
    Field,
    Malformed,
}

/// The verdict on a field.
enum FieldVerdict {
    Right,
    /// Valid, but `h2` cannot take it.
    Odd(Box<str>),
    Malformed,
}

/// Bytes of the largest dynamic table (RFC 9113 section 6.5.2: the initial value, which the settings keep).
pub(crate) const TABLE_SIZE: u16 = 4096;
/// Bytes that each entry counts beside its name and value (RFC 7541 section 4.1).
const ENTRY_COST: usize = 32;
/// The first index of the dynamic table, behind the static one.
const DYNAMIC: usize = 62;
/// A field that is forbidden in HTTP/2 (RFC 9113 section 8.2.2).
const FORBIDDEN: &[u8] = b"\x00\x0aconnection\x01x";

impl FieldChecker {
    pub(crate) fn new(longest_path: usize) -> Self {
        let max_size = usize::from(TABLE_SIZE);
        Self {
            entries: VecDeque::new(),
            withheld: VecDeque::new(),
            wrong: 0,
            size: 0,
            max_size,
            longest_path,
            decoded: Vec::new(),
        }
    }

    /// Checks a complete block.
    pub(crate) fn check(&mut self, block: &[u8]) -> Checked {
        /// Bytes that an idle connection keeps for decoded strings.
        const KEPT: usize = 512;
        let mut rewriting = Rewriting::default();
        let walked = self.walk(block, &mut rewriting);
        if self.decoded.capacity() > KEPT {
            self.decoded = Vec::new();
        }
        if walked.is_none() {
            return Checked::Broken;
        }
        match rewriting.finish(block, FORBIDDEN) {
            None => Checked::Right,
            Some(changed) => Checked::Changed(changed),
        }
    }

    fn walk(&mut self, block: &[u8], rewriting: &mut Rewriting) -> Option<()> {
        let mut at = 0;
        loop {
            // Most blocks are indices alone, and need no look at the table: those of the static table are valid, and so
            // are those of the dynamic one while it has no wrong entry. `h2` checks that the entry exists. 0x81 to 0xbd
            // are the static table, up to 0xfe the dynamic one; 0xff begins an index of several bytes.
            let last = if self.wrong == 0 { 0xfe } else { 0xbd };
            let indexed = block[at..].iter().take_while(|&&byte| (0x81..=last).contains(&byte));
            at += indexed.count();
            match block.get(at) {
                None => return Some(()),
                Some(0x80..) => {
                    let start = at;
                    let index = integer(block, &mut at, 7)?;
                    if self.wrong > 0 {
                        self.indexed(index.checked_sub(DYNAMIC)?, &BlockField { block, start, end: at }, rewriting)?;
                    }
                }
                Some(0x20..=0x3f) => {
                    self.max_size = integer(block, &mut at, 5).filter(|&size| size <= usize::from(TABLE_SIZE))?;
                    self.evict(0);
                }
                Some(_) => self.literal(block, &mut at, rewriting)?,
            }
        }
    }

    /// A field that is in the dynamic table (RFC 7541 section 6.1).
    fn indexed(&self, position: usize, span: &BlockField<'_>, rewriting: &mut Rewriting) -> Option<()> {
        let entry = self.entries.get(position)?;
        let skipped = self.withheld_before(position);
        match entry.state {
            CheckerState::Right if skipped == 0 => {}
            CheckerState::Right => put_integer(rewriting.replace(span), 0x80, 7, position + DYNAMIC - skipped),
            CheckerState::Filled => rewriting.leave_out(span),
            CheckerState::Withheld => match self.withheld.get(skipped)? {
                Some(path) => rewriting.set_path(span, path.clone()),
                None => rewriting.leave_out(span),
            },
        }
        Some(())
    }

    /// A field whose value, and perhaps name, is in the block (RFC 7541 section 6.2).
    fn literal(&mut self, block: &[u8], at: &mut usize, rewriting: &mut Rewriting) -> Option<()> {
        if self.skip_common(block, at) {
            return Some(());
        }
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        let found = self.literal_of(block, at, &mut decoded, rewriting);
        self.decoded = decoded;
        found
    }

    /// Skips a field that is not added to the table and obviously valid: most fields that are not indexed. Returns
    /// whether it has.
    fn skip_common(&self, block: &[u8], at: &mut usize) -> bool {
        let (first, mut end) = (block[*at], *at);
        if first & 0x40 != 0 || first & 0x0f == 0 || self.wrong > 0 {
            return false;
        }
        let name = integer(block, &mut end, 4).and_then(|index| self.name_at(index));
        let Some((Name::Path | Name::Authority | Name::Field, _)) = name else { return false };
        match raw_string(block, &mut end) {
            Some((bytes, true)) if huffman::is_common(bytes) => {
                *at = end;
                true
            }
            _ => false,
        }
    }

    fn literal_of(
        &mut self,
        block: &[u8],
        at: &mut usize,
        decoded: &mut Vec<u8>,
        rewriting: &mut Rewriting,
    ) -> Option<()> {
        let (start, is_added) = (*at, block[*at] & 0x40 != 0);
        let index = integer(block, at, if is_added { 6 } else { 4 })?;
        let (name, name_len) = match index {
            0 => {
                let text = string(block, at, decoded)?;
                (Name::of(text.bytes(block, decoded)), text.len())
            }
            index => self.name_at(index)?,
        };
        let name_end = *at;
        let text = string(block, at, decoded)?;
        let field = BlockField { block, start, end: *at };
        let (mut state, mut path) = (CheckerState::Right, None);
        match name.judge(text.bytes(block, decoded), self.longest_path) {
            FieldVerdict::Right if self.is_as_in_h2(index) => {}
            FieldVerdict::Right => {
                let out = rewriting.replace(&field);
                self.put_name(out, index, &block[start..name_end]);
                out.extend_from_slice(&block[name_end..field.end]);
            }
            FieldVerdict::Odd(odd) => {
                state = CheckerState::Withheld;
                path = Some(odd.clone());
                rewriting.set_path(&field, odd);
            }
            FieldVerdict::Malformed => {
                rewriting.leave_out(&field);
                state = CheckerState::Withheld;
                if is_added && name == Name::Field {
                    // Later fields may refer to the name.
                    state = CheckerState::Filled;
                    let out = rewriting.replace(&BlockField { start: field.end, ..field });
                    self.put_name(out, index, &block[start..name_end]);
                    put_integer(out, 0, 7, text.len());
                    out.resize(out.len() + text.len(), b'x');
                }
            }
        }
        if is_added {
            self.add(name, (name_len, text.len()), state, path);
        }
        Some(())
    }

    /// Whether this index of a name means the same to `h2`.
    fn is_as_in_h2(&self, index: usize) -> bool {
        let position = index.checked_sub(DYNAMIC).filter(|_| !self.withheld.is_empty());
        position.is_none_or(|position| {
            self.entries.iter().take(position + 1).all(|entry| entry.state != CheckerState::Withheld)
        })
    }

    /// Appends the name of a literal field with the index that `h2` needs. `as_it_stands` is its form in the block.
    fn put_name(&self, out: &mut Vec<u8>, index: usize, as_it_stands: &[u8]) {
        let Some(position) = index.checked_sub(DYNAMIC) else { return out.extend_from_slice(as_it_stands) };
        let (kind, bits) = if as_it_stands[0] & 0x40 != 0 { (0x40, 6) } else { (as_it_stands[0] & 0xf0, 4) };
        match self.entries.get(position) {
            Some(TableEntry { state: CheckerState::Withheld, name, .. }) => match name.static_index() {
                0 => {
                    out.push(kind);
                    put_integer(out, 0, 7, PROTOCOL.len());
                    out.extend_from_slice(PROTOCOL);
                }
                index => put_integer(out, kind, bits, index),
            },
            _ => put_integer(out, kind, bits, index - self.withheld_before(position)),
        }
    }

    /// The kind and length of the name at an index.
    fn name_at(&self, index: usize) -> Option<(Name, usize)> {
        match index.checked_sub(DYNAMIC) {
            None => Some((Name::of_static(index), usize::from(STATIC_NAME_LENGTHS[index - 1]))),
            Some(position) => self.entries.get(position).map(|entry| (entry.name, usize::from(entry.name_len))),
        }
    }

    /// Number of entries before this one that `h2` lacks.
    fn withheld_before(&self, position: usize) -> usize {
        if self.withheld.is_empty() {
            return 0;
        }
        self.entries.iter().take(position).filter(|entry| entry.state == CheckerState::Withheld).count()
    }

    /// Adds an entry, and evicts those for which there is no room (RFC 7541 section 4.4).
    fn add(&mut self, name: Name, (name_len, value_len): (usize, usize), state: CheckerState, path: Option<Box<str>>) {
        let size = name_len + value_len + ENTRY_COST;
        self.evict(size);
        if size > self.max_size {
            return;
        }
        self.size += size;
        self.wrong += usize::from(state != CheckerState::Right);
        // Both fit, because the table's size does.
        self.entries.push_front(TableEntry { size: size as u16, name_len: name_len as u16, name, state });
        if state == CheckerState::Withheld {
            self.withheld.push_front(path);
        }
    }

    fn evict(&mut self, size: usize) {
        while self.size + size > self.max_size {
            let Some(entry) = self.entries.pop_back() else { break };
            self.size -= usize::from(entry.size);
            self.wrong -= usize::from(entry.state != CheckerState::Right);
            if entry.state == CheckerState::Withheld {
                self.withheld.pop_back();
            }
        }
    }
}

impl Name {
    fn of(name: &[u8]) -> Self {
        match name {
            b":authority" => Self::Authority,
            b":method" => Self::Method,
            b":path" => Self::Path,
            PROTOCOL => Self::Protocol,
            b":scheme" => Self::Scheme,
            b":status" => Self::Status,
            // Lower case is required (RFC 9113 section 8.2).
            _ if is_token(name) && !name.iter().any(u8::is_ascii_uppercase) => Self::Field,
            _ => Self::Malformed,
        }
    }

    const fn of_static(index: usize) -> Self {
        match index {
            1 => Self::Authority,
            2 | 3 => Self::Method,
            4 | 5 => Self::Path,
            6 | 7 => Self::Scheme,
            8..=14 => Self::Status,
            _ => Self::Field,
        }
    }

    /// The index of the name in the static table, if it begins with a colon and is there; else 0.
    const fn static_index(self) -> usize {
        match self {
            Self::Authority => 1,
            Self::Method => 2,
            Self::Path => 4,
            Self::Scheme => 6,
            Self::Status => 8,
            Self::Protocol | Self::Field | Self::Malformed => 0,
        }
    }

    /// The verdict on a value under this name.
    fn judge(self, value: &[u8], longest_path: usize) -> FieldVerdict {
        let is_right = match self {
            Self::Path if value.iter().all(|&byte| PLAIN[usize::from(byte)]) => true,
            Self::Path => match std::str::from_utf8(value) {
                Ok(path) => {
                    let cut = (0..=longest_path.min(path.len())).rev().find(|&at| path.is_char_boundary(at));
                    return FieldVerdict::Odd(path[..cut.unwrap_or_default()].into());
                }
                Err(_) => false,
            },
            Self::Authority | Self::Protocol | Self::Scheme => std::str::from_utf8(value).is_ok(),
            Self::Method => is_token(value),
            Self::Status => matches!(value, [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9']),
            Self::Field => is_value(value),
            Self::Malformed => false,
        };
        if is_right { FieldVerdict::Right } else { FieldVerdict::Malformed }
    }
}

const PROTOCOL: &[u8] = b":protocol";

/// Bytes of a path that `h2` may get: those that the crate `http` allows in both path and query, and the space. `http`
/// refuses a space, so `h2` resets the stream; in HTTP/1.1 a space would end the target of the request line.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        plain[byte] = !matches!(byte as u8, b'"' | b'#' | b'<' | b'>' | b'`' | b'{' | b'}');
        byte += 1;
    }
    plain
};

/// Bytes of the names in the static table (RFC 7541 appendix A).
const STATIC_NAME_LENGTHS: [u8; DYNAMIC - 1] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13, 12, 6, 4,
    4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3, 16,
];

#[cfg(test)]
mod tests;
