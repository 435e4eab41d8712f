//! The content coding of an answer, by Accept-Encoding (RFC 9110 section 12.5.3); pure.
//!
//! A list is read once, from left to right, into five numbers, without allocation. Malformed members are ignored one by
//! one, because a mistyped field is no reason to refuse a page. There is no 406: if no coding fits, the answer is sent
//! as it is.

/// A content coding (RFC 9110 section 8.4.1), in the order of preference among equal weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
    /// RFC 9110 section 8.4.1.3.
    Gzip,
    /// No coding.
    Identity,
}

impl Coding {
    /// All codings, in the order of preference.
    pub(crate) const ALL: [Self; 4] = [Self::Zstd, Self::Brotli, Self::Gzip, Self::Identity];

    /// The token in Content-Encoding; empty for `Identity`, which is never sent there (section 12.5.3).
    pub(crate) const fn token(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Identity => "",
        }
    }

    /// The suffix of a precompressed file's name.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Zstd => ".zst",
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
            Self::Identity => "",
        }
    }
}

/// A set of codings. `Identity` is in every set, since an answer can always be sent as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Codings(u8);

impl Codings {
    /// `Identity` alone.
    pub(crate) const NONE: Self = Self(0);
    /// All codings that the server can make itself.
    pub(crate) const ALL: Self = Self::NONE.with(Coding::Zstd).with(Coding::Brotli).with(Coding::Gzip);

    /// The set with one more.
    #[must_use]
    pub(crate) const fn with(self, coding: Coding) -> Self {
        Self(self.0 | 1 << coding as u8)
    }

    /// Whether the coding is in the set.
    pub(crate) const fn contains(self, coding: Coding) -> bool {
        matches!(coding, Coding::Identity) || self.0 & 1 << coding as u8 != 0
    }
}

/// The codings that a client accepts: a weight in thousandths for each, and one for codings that it did not name.
///
/// By default, as without the field, only `Identity`: RFC 9110 would allow any coding, but a client that asks for none
/// can rarely decode one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AcceptedCodings {
    /// In the order of `Coding::ALL`, then `*`.
    weights: [i16; 5],
}

/// The weight of a coding that the field does not name.
const UNNAMED: i16 = -1;
const ANY: usize = 4;

impl Default for AcceptedCodings {
    fn default() -> Self {
        Self { weights: [UNNAMED; 5] }
    }
}

impl AcceptedCodings {
    /// Reads the values of all Accept-Encoding fields of a request.
    pub(crate) fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut accepted = Self::default();
        for value in values {
            accepted.receive(value);
        }
        accepted
    }

    /// Reads one more field: several fields are one list (section 5.3). A coding that is named twice has the greater
    /// weight.
    fn receive(&mut self, value: &[u8]) {
        for member in value.split(|&byte| byte == b',') {
            if let Some((place, weight)) = read_member(member) {
                self.weights[place] = self.weights[place].max(weight);
            }
        }
    }

    /// The weight of a coding, 0 to 1000; 0 if it was ruled out or not asked for.
    pub(crate) fn weight(&self, coding: Coding) -> u16 {
        let own = self.weights[coding as usize];
        let weight = if own == UNNAMED { self.weights[ANY] } else { own };
        weight.max(0).cast_unsigned()
    }

    /// The coding to send among the available ones: that of the greatest weight; among equal ones zstd, br, gzip, then
    /// identity.
    pub(crate) fn best(&self, available: Codings) -> Coding {
        let mut best = (Coding::Identity, 0);
        for coding in Coding::ALL {
            let weight = self.weight(coding);
            if weight > best.1 && available.contains(coding) {
                best = (coding, weight);
            }
        }
        best.0
    }
}

/// `codings [ weight ]`: the index of the coding in `weights`, and its weight. `None` for an unknown or malformed
/// member.
fn read_member(member: &[u8]) -> Option<(usize, i16)> {
    let member = member.trim_ascii();
    let end = member.iter().position(|&byte| matches!(byte, b';' | b' ' | b'\t')).unwrap_or(member.len());
    let (name, rest) = member.split_at(end);
    let place = match name.len() {
        1 if name == b"*" => ANY,
        2 if name.eq_ignore_ascii_case(b"br") => Coding::Brotli as usize,
        4 if name.eq_ignore_ascii_case(b"gzip") => Coding::Gzip as usize,
        4 if name.eq_ignore_ascii_case(b"zstd") => Coding::Zstd as usize,
        // Section 8.4.1.3: gzip under its old name.
        6 if name.eq_ignore_ascii_case(b"x-gzip") => Coding::Gzip as usize,
        8 if name.eq_ignore_ascii_case(b"identity") => Coding::Identity as usize,
        _ => return None,
    };
    let weight = if rest.is_empty() { 1000 } else { read_weight(rest)? };
    Some((place, weight))
}

/// Whether a client prefers a page: HTML is the first of the types with the greatest weight in its Accept fields
/// (section 12.5.1).
pub(crate) fn prefers_html<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut best = (false, 0);
    for member in values.into_iter().flat_map(|value| value.split(|&byte| byte == b',')) {
        let (range, rest) = match member.iter().position(|&byte| byte == b';') {
            Some(end) => member.split_at(end),
            None => (member, &b""[..]),
        };
        let weight = weight_of_range(rest).unwrap_or(0);
        if weight > best.1 {
            let is = |media_type: &[u8]| range.trim_ascii().eq_ignore_ascii_case(media_type);
            best = (is(b"text/html") || is(b"application/xhtml+xml"), weight);
        }
    }
    best.0
}

/// The weight behind the parameters of a media range.
fn weight_of_range(parameters: &[u8]) -> Option<i16> {
    let is_weight = |at: &usize| {
        let parameter = parameters[at + 1..].trim_ascii_start();
        parameter.len() > 1 && parameter[..2].eq_ignore_ascii_case(b"q=")
    };
    match memchr::memchr_iter(b';', parameters).find(is_weight) {
        Some(at) => read_weight(parameters[at..].trim_ascii_end()),
        None => Some(1000),
    }
}

/// `OWS ";" OWS "q=" qvalue` in thousandths (section 12.4.2): at most three digits, at most 1.
fn read_weight(text: &[u8]) -> Option<i16> {
    let text = text.trim_ascii_start().strip_prefix(b";")?.trim_ascii_start();
    let ([b'q' | b'Q', b'=', one @ (b'0' | b'1')], digits) = text.split_at_checked(3)? else { return None };
    let digits = match digits {
        [] => digits,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut weight = i16::from(one - b'0');
    for place in 0..3 {
        let digit = digits.get(place).unwrap_or(&b'0');
        weight = weight * 10 + i16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Brotli, Gzip, Identity, Zstd};

    /// The field's values, joined by `\n` where there are several, and the best of all codings, of br and gzip, of
    /// gzip.
    const TABLE: &[(&str, Coding, Coding, Coding)] = &[
        // As real clients send it.
        ("gzip, deflate, br, zstd", Zstd, Brotli, Gzip),
        ("gzip, deflate, br", Brotli, Brotli, Gzip),
        ("gzip, deflate", Gzip, Gzip, Gzip),
        ("gzip;q=1.0, identity; q=0.5, *;q=0", Gzip, Gzip, Gzip),
        ("deflate, gzip, br, zstd", Zstd, Brotli, Gzip),
        ("identity", Identity, Identity, Identity),
        ("deflate", Identity, Identity, Identity),
        ("aws-chunked", Identity, Identity, Identity),
        // The examples of section 12.5.3.
        ("compress, gzip", Gzip, Gzip, Gzip),
        ("", Identity, Identity, Identity),
        ("*", Zstd, Brotli, Gzip),
        ("compress;q=0.5, gzip;q=1.0", Gzip, Gzip, Gzip),
        // Weights decide, then the server's order.
        ("br;q=0.9, zstd;q=0.8, gzip", Gzip, Gzip, Gzip),
        ("br;q=0.801, zstd;q=0.8, gzip;q=0.799", Brotli, Brotli, Gzip),
        ("br;q=0.5, zstd;q=0.5, gzip;q=0.500", Zstd, Brotli, Gzip),
        ("gzip;q=0.001", Gzip, Gzip, Gzip),
        ("gzip;q=0", Identity, Identity, Identity),
        ("gzip;q=0.000", Identity, Identity, Identity),
        ("gzip;q=1.000, br;q=0.999", Gzip, Gzip, Gzip),
        ("gzip;q=0., br;q=1.", Brotli, Brotli, Identity),
        // The star stands for unnamed codings, identity included.
        ("*;q=0.5, zstd;q=0", Brotli, Brotli, Gzip),
        ("gzip;q=0, *", Zstd, Brotli, Identity),
        ("gzip;q=0.3, *;q=0.5", Zstd, Brotli, Identity),
        ("*;q=0, br", Brotli, Brotli, Identity),
        ("*;q=0", Identity, Identity, Identity),
        // Identity may be preferred, and is always available.
        ("identity, gzip;q=0.5", Identity, Identity, Identity),
        ("identity;q=0.5, gzip;q=0.5", Gzip, Gzip, Gzip),
        ("identity;q=0", Identity, Identity, Identity),
        ("identity;q=0, gzip;q=0.1", Gzip, Gzip, Gzip),
        // Names in any case, and an old one.
        ("GZIP", Gzip, Gzip, Gzip),
        ("X-Gzip", Gzip, Gzip, Gzip),
        ("x-gzip;q=0.2, br;Q=0.1", Gzip, Gzip, Gzip),
        ("Br, ZSTD;q=0.9", Brotli, Brotli, Identity),
        // Several fields are one list; the order does not count, nor do empty members.
        ("gzip\nbr", Brotli, Brotli, Gzip),
        ("br;q=0.1\ngzip;q=0.2", Gzip, Gzip, Gzip),
        ("gzip;q=0\ngzip", Gzip, Gzip, Gzip),
        ("gzip;q=0.1, gzip;q=0.7, br;q=0.5", Gzip, Gzip, Gzip),
        (" ,, gzip\t,,", Gzip, Gzip, Gzip),
        ("gzip\t ;\t q=0.5 , br ; q=0.6", Brotli, Brotli, Gzip),
        // Malformed members are ignored, the rest counts.
        ("gzip;q=2, br", Brotli, Brotli, Identity),
        ("gzip;q=1.001, br;q=0.1", Brotli, Brotli, Identity),
        ("gzip;q=0.5000", Identity, Identity, Identity),
        ("gzip;q=-1", Identity, Identity, Identity),
        ("gzip;q=.5", Identity, Identity, Identity),
        ("gzip;q=", Identity, Identity, Identity),
        ("gzip;q", Identity, Identity, Identity),
        ("gzip;", Identity, Identity, Identity),
        ("gzip;q = 1", Identity, Identity, Identity),
        ("gzip;q=1;q=1", Identity, Identity, Identity),
        ("gzip;level=9", Identity, Identity, Identity),
        ("gzip;q=0.5x", Identity, Identity, Identity),
        ("gzip;q=1 br", Identity, Identity, Identity),
        ("gzip br", Identity, Identity, Identity),
        ("gzip/br", Identity, Identity, Identity),
        ("\"gzip\"", Identity, Identity, Identity),
        ("gzipped, xgzip, b, brr, zst", Identity, Identity, Identity),
        ("**, *br", Identity, Identity, Identity),
        (";q=1, gzip;q=0.9", Gzip, Gzip, Gzip),
        ("\u{fc}, gzip", Gzip, Gzip, Gzip),
    ];

    #[test]
    fn the_best_of_the_available_codings() {
        for &(values, all, without_zstd, gzip) in TABLE {
            let accepted = AcceptedCodings::parse(values.split('\n').map(str::as_bytes));
            assert_eq!(accepted.best(Codings::ALL), all, "{values:?}, of all");
            let available = Codings::NONE.with(Brotli).with(Gzip);
            assert_eq!(accepted.best(available), without_zstd, "{values:?}, of br and gzip");
            assert_eq!(accepted.best(Codings::NONE.with(Gzip)), gzip, "{values:?}, of gzip");
            assert_eq!(accepted.best(Codings::NONE), Identity, "{values:?}, of nothing");
        }
    }

    #[test]
    fn a_page_is_wanted_most() {
        for (values, expected) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("text/html", true),
            ("application/xhtml+xml;q=0.9, text/html;q=0.8", true),
            ("application/json;q=0.5\nText/HTML;charset=utf-8;q=0.6", true),
            ("*/*", false),
            ("text/*", false),
            ("", false),
            ("application/json, text/html", false),
            ("text/html;q=0.9, application/json", false),
            ("text/html;q=0", false),
            ("text/html;q=7, */*;q=0.1", false),
            ("text/html5, */*", false),
            ("image/png, text/html;q=0.8", false),
        ] {
            assert_eq!(prefers_html(values.split('\n').map(str::as_bytes)), expected, "{values:?}");
        }
    }

    #[test]
    fn without_the_field_as_it_is() {
        assert_eq!(AcceptedCodings::parse([]).best(Codings::ALL), Identity);
    }

    #[test]
    fn sets() {
        let set = Codings::NONE.with(Gzip);
        let inside: Vec<bool> = Coding::ALL.iter().map(|&coding| set.contains(coding)).collect();
        assert_eq!(inside, [false, false, true, true]);
        assert_eq!(Codings::ALL, set.with(Brotli).with(Zstd));
    }
}
