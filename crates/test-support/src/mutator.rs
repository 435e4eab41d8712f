//! A small generator of numbers and the mutations it chooses: the same seed gives the same inputs everywhere.

/// SplitMix64 (Steele, Lea, Flood 2014): one addition and a mix.
pub struct Numbers(pub u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A half-open range within `length`, mostly short.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let start = self.below(length + 1);
        let most = if self.below(4) == 0 { length } else { 8 };
        (start, (start + self.below(most + 1)).min(length))
    }
}

/// One to three seeds in sequence, with one change or a few: with few changes most of it stays meaningful.
pub fn mutate(numbers: &mut Numbers, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = numbers.pick(seeds).clone();
    while numbers.below(3) == 0 {
        bytes.extend(numbers.pick(seeds));
    }
    loop {
        change(numbers, &mut bytes, seeds);
        if numbers.below(2) == 0 {
            break;
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

/// Longer inputs are slow, and find no more than shorter ones.
const LONGEST: usize = 4096;

fn change(numbers: &mut Numbers, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let (start, end) = numbers.range(bytes.len());
    match numbers.below(16) {
        0 if start < bytes.len() => bytes[start] ^= 1 << numbers.below(8),
        1 if start < bytes.len() => bytes[start] = *numbers.pick(BYTES),
        2 if start < bytes.len() => bytes[start] = numbers.below(256) as u8,
        3 => bytes.insert(start, *numbers.pick(BYTES)),
        4 => drop(bytes.drain(start..end)),
        5 => {
            let again = bytes[start..end].to_vec();
            splice(bytes, start, start, &again);
        }
        6 | 7 => {
            let word = *numbers.pick(WORDS);
            splice(bytes, start, if numbers.below(2) == 0 { start } else { end }, word);
        }
        8 => {
            let other = numbers.pick(seeds);
            let (from, to) = numbers.range(other.len());
            splice(bytes, start, end, &other[from..to]);
        }
        // The order and number of lines matters.
        9 => {
            if let Some(first) = line_behind(bytes, start)
                && let Some(second) = line_behind(bytes, first)
            {
                let again = bytes[first..second].to_vec();
                let at = line_behind(bytes, second).unwrap_or(second);
                splice(bytes, at, at, &again);
            }
        }
        10..=12 => {
            let at = line_behind(bytes, start).unwrap_or(start);
            let line = *numbers.pick(LINES);
            splice(bytes, at, at, line);
        }
        13 | 14 if start < bytes.len() => bytes[start] = b'0' + numbers.below(10) as u8,
        _ => {
            let many = [*numbers.pick(BYTES)].repeat(1 + numbers.below(20));
            splice(bytes, start, start, &many);
        }
    }
}

/// The start of the next line.
fn line_behind(bytes: &[u8], start: usize) -> Option<usize> {
    bytes[start..].iter().position(|&byte| byte == b'\n').map(|at| start + at + 1)
}

fn splice(bytes: &mut Vec<u8>, start: usize, end: usize, with: &[u8]) {
    bytes.splice(start..end, with.iter().copied());
}

/// Bytes with a meaning for a parser.
const BYTES: &[u8] = b"\r\n\t \0\x0b\x7f\x80\xff:;,=\"'\\/?#%&+-_.*@[]{}()<>|~0123456789abcdefgzABCDEFGZ";

/// Lines and requests with a meaning at the beginning of a line.
const LINES: &[&[u8]] = &[
    b"\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length:0\r\n",
    b"content_length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"transfer-encoding:\tchunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"Host: b\r\n",
    b"Cookie: a=1; b=2\r\n",
    b"X-Text: a b\tc \xc3\xa9\r\n",
    b"X-Empty:\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"3;a=\"b\"\r\nabc\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"--xYz\r\n",
    b"Content-Disposition: form-data; name=\"a\"\r\n\r\n",
];

/// Pieces of lines.
const WORDS: &[&[u8]] = &[
    b"\r\n\r\n",
    b"\n\n",
    b"\r\n ",
    b" HTTP/1.0\r\n",
    b" HTTP/1.1\r\n",
    b"HTTP/2.0",
    b"HEAD",
    b"OPTIONS",
    b"CONNECT",
    b"http://a:80",
    b"chunked",
    b"fffffffffffffff",
    b"18446744073709551616",
    b"..",
    b"/../",
    b"%2e",
    b"%2F",
    b"%00",
    b"%25",
    b"\r\n--xYz",
    b"; filename=\"b\"",
];
