//! The parts of a field block (RFC 7541 section 5), and its rewriting.

use super::huffman;

/// A string of a block.
#[derive(Clone, Copy)]
pub(super) struct Text {
    /// Its start: in the block, or in the decoded bytes.
    start: usize,
    end: usize,
    is_decoded: bool,
}

/// A field of a block.
pub(super) struct BlockField<'b> {
    pub(super) block: &'b [u8],
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The block that `h2` gets instead.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) block: Vec<u8>,
    /// Whether the message is malformed.
    pub(crate) is_malformed: bool,
    /// The path, if it was removed from the block.
    pub(crate) path: Option<Box<str>>,
}

/// A rewritten block, copied from the first changed field on.
#[derive(Default)]
pub(super) struct Rewriting {
    changed: Option<Changed>,
    /// The part of the original up to here was copied or left out.
    copied: usize,
}

/// `:path: ?`, which no client sends: it marks that the path is passed beside the block.
const PATH_BESIDE: [u8; 3] = [0x04, 1, b'?'];
/// The path that marks this.
pub(crate) const BESIDE: &str = "?";

impl Text {
    pub(super) fn bytes<'t>(&self, block: &'t [u8], decoded: &'t [u8]) -> &'t [u8] {
        let all = if self.is_decoded { decoded } else { block };
        &all[self.start..self.end]
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }
}

impl Rewriting {
    /// Leaves the field out, because it makes the message malformed.
    pub(super) fn leave_out(&mut self, field: &BlockField<'_>) {
        self.replace(field);
        self.changed.get_or_insert_default().is_malformed = true;
    }

    /// Passes the path of this field beside the block.
    pub(super) fn set_path(&mut self, field: &BlockField<'_>, path: Box<str>) {
        self.replace(field).extend_from_slice(&PATH_BESIDE);
        self.changed.get_or_insert_default().path = Some(path);
    }

    /// The buffer for the replacement of the field.
    pub(super) fn replace(&mut self, field: &BlockField<'_>) -> &mut Vec<u8> {
        let block = &mut self.changed.get_or_insert_default().block;
        block.extend_from_slice(&field.block[self.copied..field.start]);
        self.copied = field.end;
        block
    }

    /// The rewritten block, if any field was changed; `if_malformed` is appended if the message is malformed.
    pub(super) fn finish(self, block: &[u8], if_malformed: &[u8]) -> Option<Changed> {
        let mut changed = self.changed?;
        changed.block.extend_from_slice(&block[self.copied..]);
        if changed.is_malformed {
            changed.block.extend_from_slice(if_malformed);
        }
        Some(changed)
    }
}

/// An integer whose first byte holds `bits` bits of it (RFC 7541 section 5.1), with as many bytes as `h2` accepts at
/// most.
#[inline]
pub(super) fn integer(block: &[u8], at: &mut usize, bits: u8) -> Option<usize> {
    const MOST_BYTES: usize = 4;
    let most = (1 << bits) - 1;
    let first = usize::from(*block.get(*at)?) & most;
    *at += 1;
    if first < most {
        return Some(first);
    }
    let mut number = most;
    for index in 0..MOST_BYTES {
        let byte = *block.get(*at)?;
        *at += 1;
        number += usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Appends an integer behind these first bits.
pub(super) fn put_integer(out: &mut Vec<u8>, first: u8, bits: u8, number: usize) {
    let most = (1 << bits) - 1;
    if number < most {
        return out.push(first | number as u8);
    }
    out.push(first | most as u8);
    let mut rest = number - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The undecoded bytes of a string (RFC 7541 section 5.2), and whether they are in the Huffman code.
#[inline]
pub(super) fn raw_string<'b>(block: &'b [u8], at: &mut usize) -> Option<(&'b [u8], bool)> {
    let is_coded = block.get(*at)? & 0x80 != 0;
    let length = integer(block, at, 7)?;
    let bytes = block.get(*at..)?.get(..length)?;
    *at += length;
    Some((bytes, is_coded))
}

/// A string, appended to `decoded` if it is in the Huffman code.
pub(super) fn string(block: &[u8], at: &mut usize, decoded: &mut Vec<u8>) -> Option<Text> {
    let (bytes, is_decoded) = raw_string(block, at)?;
    if !is_decoded {
        return Some(Text { start: *at - bytes.len(), end: *at, is_decoded });
    }
    let start = decoded.len();
    if !huffman::decode(bytes, decoded) {
        return None;
    }
    Some(Text { start, end: decoded.len(), is_decoded })
}

/// Method and target of a request, as far as a block holds them without the dynamic table.
pub(super) fn request_line(block: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut line = (b"-".to_vec(), b"-".to_vec());
    let (mut at, mut decoded) = (0, Vec::new());
    let mut read = |at: &mut usize| {
        let first = *block.get(*at)?;
        decoded.clear();
        match first {
            0x80.. => {
                let (name, value) = match integer(block, at, 7)? {
                    2 => (METHOD, &b"GET"[..]),
                    3 => (METHOD, &b"POST"[..]),
                    4 => (PATH, &b"/"[..]),
                    5 => (PATH, &b"/index.html"[..]),
                    _ => return Some(None),
                };
                return Some(Some((name, value.to_vec())));
            }
            0x20..=0x3f => return integer(block, at, 5).map(|_| None),
            _ => {}
        }
        let name = match integer(block, at, if first & 0x40 != 0 { 6 } else { 4 })? {
            0 => {
                let name = string(block, at, &mut decoded)?;
                [METHOD, PATH].into_iter().find(|&known| known == name.bytes(block, &decoded))
            }
            2 | 3 => Some(METHOD),
            4 | 5 => Some(PATH),
            _ => None,
        };
        let value = string(block, at, &mut decoded)?;
        Some(name.map(|name| (name, value.bytes(block, &decoded).to_vec())))
    };
    while let Some(field) = read(&mut at) {
        match field {
            Some((METHOD, method)) => line.0 = method,
            Some((_, path)) => line.1 = path,
            None => {}
        }
    }
    line
}

const METHOD: &[u8] = b":method";
const PATH: &[u8] = b":path";
