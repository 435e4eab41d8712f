//! JSON texts as most clients send them, read straight into Python's objects. The reader gives up at a byte that is no
//! JSON, and at unusual values (deep nesting, halves of surrogate pairs, numbers beyond a float): `jiter` then reads the text
//! from its beginning, and gives the value or the reason.

use jiter::{PythonParse, cached_py_string};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyString};
use raw_memory::{Plain, new_text};

/// Lists and dictionaries that are read inside one another; jiter takes some more.
const DEPTH: usize = 128;

/// Keys of one text that are remembered, a power of two.
const KEYS: usize = 64;

/// The value of a text, or `None` if it has to be read by `jiter`.
pub(super) fn read<'py>(py: Python<'py>, text: &[u8]) -> Option<Bound<'py, PyAny>> {
    let keys = [const { None }; KEYS];
    let mut reader = Reader { py, text, at: 0, keys, values: Vec::new(), unescaped: Vec::new() };
    let first = reader.next()?;
    let value = reader.value(first, 0)?;
    reader.next().is_none().then_some(value)
}

struct Reader<'a, 'py> {
    py: Python<'py>,
    text: &'a [u8],
    /// The place of the next byte.
    at: usize,
    /// Keys as they stand in the text, and their objects: the objects of a list have the same few keys.
    keys: [Option<(&'a [u8], Bound<'py, PyString>)>; KEYS],
    /// The values of the lists that are being read.
    values: Vec<Bound<'py, PyAny>>,
    unescaped: Vec<u8>,
}

impl<'a, 'py> Reader<'a, 'py> {
    /// The next byte that is no white space, which is left there; `None` at the end.
    #[inline(always)]
    fn next(&mut self) -> Option<u8> {
        loop {
            match *self.text.get(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// The value that begins with this byte, inside of this many others.
    fn value(&mut self, first: u8, depth: usize) -> Option<Bound<'py, PyAny>> {
        match first {
            b'"' => {
                let text = match self.string()? {
                    Found::Plain(text) => new_text(self.py, text),
                    Found::Unescaped => PyString::from_bytes(self.py, &self.unescaped).ok(),
                };
                text.map(Bound::into_any)
            }
            b'{' if depth < DEPTH => self.dict(depth + 1),
            b'[' if depth < DEPTH => self.list(depth + 1),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true").map(|()| PyBool::new(self.py, true).to_owned().into_any()),
            b'f' => self.word(b"false").map(|()| PyBool::new(self.py, false).to_owned().into_any()),
            b'n' => self.word(b"null").map(|()| self.py.None().into_bound(self.py)),
            _ => None,
        }
    }

    #[inline(always)]
    fn word<const N: usize>(&mut self, word: &[u8; N]) -> Option<()> {
        (self.text[self.at..].first_chunk() == Some(word)).then(|| self.at += N)
    }

    fn list(&mut self, depth: usize) -> Option<Bound<'py, PyAny>> {
        self.at += 1;
        let begin = self.values.len();
        let mut first = self.next()?;
        if first != b']' {
            loop {
                let value = self.value(first, depth)?;
                self.values.push(value);
                match self.next()? {
                    b',' => self.at += 1,
                    b']' => break,
                    _ => return None,
                }
                first = self.next()?;
            }
        }
        self.at += 1;
        Some(PyList::new(self.py, self.values.drain(begin..)).ok()?.into_any())
    }

    fn dict(&mut self, depth: usize) -> Option<Bound<'py, PyAny>> {
        self.at += 1;
        let dict = PyDict::new(self.py);
        let mut first = self.next()?;
        if first != b'}' {
            loop {
                if first != b'"' {
                    return None;
                }
                let key = self.key()?;
                if self.next()? != b':' {
                    return None;
                }
                self.at += 1;
                let first_of_value = self.next()?;
                let value = self.value(first_of_value, depth)?;
                dict.set_item(key, value).ok()?;
                match self.next()? {
                    b',' => self.at += 1,
                    b'}' => break,
                    _ => return None,
                }
                first = self.next()?;
            }
        }
        self.at += 1;
        Some(dict.into_any())
    }

    #[inline]
    fn key(&mut self) -> Option<Bound<'py, PyString>> {
        let found = self.string()?;
        let Found::Plain(text) = found else { return PyString::from_bytes(self.py, &self.unescaped).ok() };
        let text = text.bytes();
        let place = place_of(text);
        match &self.keys[place] {
            Some((known, key)) if *known == text => Some(key.clone()),
            _ => {
                let key = cached_py_string(self.py, std::str::from_utf8(text).ok()?);
                self.keys[place] = Some((text, key.clone()));
                Some(key)
            }
        }
    }

    /// The content of the string that begins here.
    #[inline]
    fn string(&mut self) -> Option<Found<'a>> {
        let begin = self.at + 1;
        let text = Plain::read(self.text, begin)?;
        let end = begin + text.bytes().len();
        match self.text[end] {
            b'"' => {
                self.at = end + 1;
                Some(Found::Plain(text))
            }
            b'\\' => self.string_with_escapes(begin, end),
            _ => None,
        }
    }

    fn string_with_escapes(&mut self, mut begin: usize, mut end: usize) -> Option<Found<'a>> {
        self.unescaped.clear();
        loop {
            self.unescaped.extend_from_slice(&self.text[begin..end]);
            match self.text[end] {
                b'"' => {
                    self.at = end + 1;
                    return Some(Found::Unescaped);
                }
                b'\\' => begin = self.escape(end + 1)?,
                _ => return None,
            }
            end = begin + Plain::read(self.text, begin)?.bytes().len();
        }
    }

    /// Adds the character of the escape whose backslash stands before this place; the place behind it.
    fn escape(&mut self, at: usize) -> Option<usize> {
        let byte = match *self.text.get(at)? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 0x08,
            b'f' => 0x0c,
            b'u' => return self.unicode_escape(at + 1),
            _ => return None,
        };
        self.unescaped.push(byte);
        Some(at + 1)
    }

    fn unicode_escape(&mut self, mut at: usize) -> Option<usize> {
        let mut unit = self.unit(at)?;
        at += 4;
        if let (0xd800..0xdc00, Some(b"\\u")) = (unit, self.text[at..].first_chunk()) {
            let second = self.unit(at + 2)?;
            if !(0xdc00..0xe000).contains(&second) {
                return None;
            }
            unit = 0x10000 + ((unit - 0xd800) << 10 | (second - 0xdc00));
            at += 6;
        }
        // Half of a pair is no character.
        let character = char::from_u32(unit)?;
        self.unescaped.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Some(at)
    }

    /// Four hexadecimal digits.
    fn unit(&self, at: usize) -> Option<u32> {
        let digits: &[u8; 4] = self.text.get(at..)?.first_chunk()?;
        digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
    }

    #[inline]
    fn number(&mut self) -> Option<Bound<'py, PyAny>> {
        let begin = self.at;
        let is_negative = self.text[begin] == b'-';
        let whole = begin + usize::from(is_negative);
        let (mut mantissa, mut at) = self.digits(whole, 0);
        let mut count = at - whole;
        // No digit at all, or a zero before others.
        if count == 0 || count > 1 && self.text[whole] == b'0' {
            return None;
        }
        let mut exponent = 0;
        let mut is_float = false;
        if self.text.get(at) == Some(&b'.') {
            let fraction = at + 1;
            (mantissa, at) = self.digits(fraction, mantissa);
            if at == fraction {
                return None;
            }
            count += at - fraction;
            exponent = -i64::try_from(at - fraction).ok()?;
            is_float = true;
        }
        if let Some(b'e' | b'E') = self.text.get(at) {
            at += 1;
            let is_below = self.text.get(at) == Some(&b'-');
            at += usize::from(is_below || self.text.get(at) == Some(&b'+'));
            let (power, end) = self.digits(at, 0);
            // More digits are beyond any float, or zeros.
            if end == at || end - at > 6 {
                return None;
            }
            let power = i64::try_from(power).ok()?;
            exponent += if is_below { -power } else { power };
            at = end;
            is_float = true;
        }
        self.at = at;
        let text = &self.text[begin..at];
        if is_float {
            let number = float(mantissa, count, exponent, is_negative, text)?;
            return Some(PyFloat::new(self.py, number).into_any());
        }
        match i64::try_from(mantissa) {
            Ok(number) if count < 20 => {
                let number = if is_negative { -number } else { number };
                number.into_pyobject(self.py).ok().map(Bound::into_any)
            }
            _ => PythonParse::default().python_parse(self.py, text).ok(),
        }
    }

    /// The digits from a place on, behind those of a number that was read; it is right if there are fewer than 20. The place
    /// behind them.
    #[inline(always)]
    fn digits(&self, mut at: usize, mut number: u64) -> (u64, usize) {
        while let Some(&byte) = self.text.get(at) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        }
        (number, at)
    }
}

/// The content of a string: as it stands in the text, or among the reader's `unescaped`.
enum Found<'a> {
    Plain(Plain<'a>),
    Unescaped,
}

/// The float of these digits, `mantissa` × 10 ^ `exponent`; `None` if it is too large.
#[inline]
fn float(mantissa: u64, count: usize, exponent: i64, is_negative: bool, text: &[u8]) -> Option<f64> {
    // Both are floats without rounding, so their product or quotient is rounded once (Clinger, 1990).
    if count < 20 && mantissa <= 1 << 53 && (-22..=22).contains(&exponent) {
        let power = POWERS[usize::try_from(exponent.unsigned_abs()).ok()?];
        let number = mantissa as f64;
        let number = if exponent < 0 { number / power } else { number * power };
        return Some(if is_negative { -number } else { number });
    }
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    number.is_finite().then_some(number)
}

/// Powers of ten that are floats without rounding.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Where a key is remembered, by its length and its first and last bytes.
#[inline(always)]
fn place_of(key: &[u8]) -> usize {
    let ends = match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
        (Some(&first), Some(&last)) => u64::from(u32::from_le_bytes(first)) << 32 | u64::from(u32::from_le_bytes(last)),
        _ => key.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
    };
    let mixed = (ends ^ key.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - KEYS.ilog2())) as usize
}
