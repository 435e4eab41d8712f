//! The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B), decoded four bits at a time.
//!
//! The code is canonical, so its lengths define it. The tables are computed from them at compile time.

/// Appends the decoded bytes. Returns whether the code is well-formed; if it is not, `text` has a part of it.
pub(super) fn decode(bytes: &[u8], text: &mut Vec<u8>) -> bool {
    let mut node = 0_u8;
    for &byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            let step = STEPS[usize::from(node)][usize::from(nibble)];
            match step.kind {
                MOVES => {}
                EMITS => text.push(step.symbol),
                _ => return false,
            }
            node = step.next;
        }
    }
    // Padding is a prefix of the longest code, shorter than a byte.
    MAY_END[usize::from(node)]
}

/// Whether these bytes are code of common characters only: letters, digits and others with a short code that are valid
/// in a path and any value: space and `!%&'()*+,-./:;=?_|`. Malformed bytes may count as common too.
pub(super) fn is_common(bytes: &[u8]) -> bool {
    // The unread bits, beginning at the highest, and their number.
    let (mut window, mut count) = (0_u64, 0);
    let mut rest = bytes;
    while let [byte, others @ ..] = rest {
        // Fewer bits are left than one look-up needs: there is room for four more bytes.
        (window, count, rest) = match rest.split_first_chunk::<4>() {
            Some((four, others)) => (window | u64::from(u32::from_be_bytes(*four)) << (32 - count), count + 32, others),
            None => (window | u64::from(*byte) << (56 - count), count + 8, others),
        };
        while count >= WINDOW {
            let used = COMMON[(window >> (64 - WINDOW)) as usize];
            if used == 0 {
                return false;
            }
            window <<= used;
            count -= u32::from(used);
        }
    }
    // The rest of the window is filled with ones, as padding is: a window of ones alone is the end of the string.
    window |= u64::MAX >> count;
    while count > 0 && window != u64::MAX {
        let used = COMMON[(window >> (64 - WINDOW)) as usize];
        if used == 0 {
            return false;
        }
        window = window << used | ((1 << used) - 1);
        count = count.saturating_sub(u32::from(used));
    }
    true
}

/// Bits that are looked up at once.
const WINDOW: u32 = 12;

/// For each twelve bits: how many of them, from the first on, are the codes of one or two common bytes; 0 if the first
/// code is not one of a common byte.
const COMMON: [u8; 1 << WINDOW] = {
    let mut common = [0; 1 << WINDOW];
    let mut bits = 0;
    while bits < common.len() {
        let (mut node, mut bit) = (0, WINDOW);
        while bit > 0 {
            bit -= 1;
            node = TREE[node as usize][bits >> bit & 1];
            if node >= LEAF {
                if !is_common_byte(node - LEAF) {
                    break;
                }
                common[bits] = (WINDOW - bit) as u8;
                node = 0;
            }
        }
        bits += 1;
    }
    common
};

const fn is_common_byte(byte: u16) -> bool {
    byte < 0x7f
        && matches!(byte as u8,
            b' ' | b'!' | b'%'..=b';' | b'=' | b'?' | b'A'..=b'Z' | b'_' | b'a'..=b'z' | b'|')
}

/// Bits of the code of each byte.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26,
];
/// Bits of the longest code; that of the end of a string consists of ones alone.
const LONGEST: u8 = 30;

/// The step for four bits.
#[derive(Clone, Copy)]
struct HuffmanStep {
    next: u8,
    kind: u8,
    symbol: u8,
}

const MOVES: u8 = 0;
const EMITS: u8 = 1;
const FAILS: u8 = 2;
/// In the tree, numbers from here on are leaves: bytes, and last the end of a string.
const LEAF: u16 = 256;
const END: u16 = LEAF + 256;

/// For each inner node of the code's tree the nodes or leaves behind a 0 and a 1; the root is the first.
const TREE: [[u16; 2]; 256] = {
    let mut tree = [[0; 2]; 256];
    let (mut nodes, mut code, mut length) = (1, 0_u32, 1);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol <= 256 {
            let is_end = symbol == 256;
            if (is_end && length == LONGEST) || (!is_end && LENGTHS[symbol as usize] == length) {
                let (mut node, mut bit) = (0, length - 1);
                while bit > 0 {
                    let branch = (code >> bit & 1) as usize;
                    if tree[node][branch] == 0 {
                        tree[node][branch] = nodes;
                        nodes += 1;
                    }
                    node = tree[node][branch] as usize;
                    bit -= 1;
                }
                tree[node][(code & 1) as usize] = LEAF + symbol;
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        length += 1;
    }
    tree
};

const STEPS: [[HuffmanStep; 16]; 256] = {
    let mut steps = [[HuffmanStep { next: 0, kind: FAILS, symbol: 0 }; 16]; 256];
    let mut from = 0;
    while from < 256 {
        let mut nibble = 0;
        while nibble < 16 {
            let (mut node, mut bit) = (from as u16, 4);
            let mut step = HuffmanStep { next: 0, kind: MOVES, symbol: 0 };
            while bit > 0 {
                bit -= 1;
                node = TREE[node as usize][nibble >> bit & 1];
                // The shortest code has five bits, so at most one ends here.
                if node >= LEAF {
                    step.kind = if node == END { FAILS } else { EMITS };
                    step.symbol = (node - LEAF) as u8;
                    node = 0;
                }
            }
            step.next = node as u8;
            steps[from][nibble] = step;
            nibble += 1;
        }
        from += 1;
    }
    steps
};

const MAY_END: [bool; 256] = {
    let mut may_end = [false; 256];
    let (mut node, mut depth) = (0, 0);
    while depth < 8 {
        may_end[node as usize] = true;
        node = TREE[node as usize][1];
        depth += 1;
    }
    may_end
};

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The code of a text, by the lengths of the codes alone.
    pub(crate) fn encode(text: &[u8]) -> Vec<u8> {
        let mut order: Vec<usize> = (0..256).collect();
        order.sort_by_key(|&symbol| (LENGTHS[symbol], symbol));
        let (mut codes, mut code, mut length) = ([0_u32; 256], 0_u32, LENGTHS[order[0]]);
        for symbol in order {
            code <<= LENGTHS[symbol] - length;
            length = LENGTHS[symbol];
            codes[symbol] = code;
            code += 1;
        }
        let mut bits: String = text
            .iter()
            .map(|&byte| {
                format!("{:0width$b}", codes[usize::from(byte)], width = usize::from(LENGTHS[usize::from(byte)]))
            })
            .collect();
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        bits.as_bytes().chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0'))).collect()
    }

    fn decoded(bytes: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        decode(bytes, &mut text).then_some(text)
    }

    #[test]
    fn the_examples_of_the_rfc() {
        for (bytes, text) in [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..], "www.example.com"),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key"),
            (
                &[0x9d, 0x29, 0xad, 0x17, 0x18, 0x63, 0xc7, 0x8f, 0x0b, 0x97, 0xc8, 0xe9, 0xae, 0x82, 0xae, 0x43, 0xd3],
                "https://www.example.com",
            ),
            (&[], ""),
        ] {
            assert_eq!(decoded(bytes).as_deref(), Some(text.as_bytes()));
            assert_eq!(encode(text.as_bytes()), bytes, "{text}");
        }
    }

    #[test]
    fn common_strings_are_known_without_decoding() {
        // At any position of strings of any length.
        for byte in 0..=255 {
            for (before, after) in (0..12).flat_map(|before| (0..6).map(move |after| (before, after))) {
                let text = [vec![b'o'; before], vec![byte], vec![b'?'; after]].concat();
                assert_eq!(is_common(&encode(&text)), is_common_byte(byte.into()), "{byte}, {before}, {after}");
            }
        }
        for text in ["", "/hello?user=1&page=17", "www.example.com", "gzip, deflate", "id=0123456789abcdef"] {
            assert!(is_common(&encode(text.as_bytes())), "{text}");
        }
    }

    #[test]
    fn every_byte_and_every_end() {
        for byte in 0..=255 {
            let text = [b'a', byte, byte, b'z'];
            assert_eq!(decoded(&encode(&text)).as_deref(), Some(&text[..]), "{byte}");
        }
        // Padding of a whole byte, of zeros, and the end of a string within it.
        for bytes in [&[0xff][..], &[0x1f, 0xff], &[0x18], &[0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(decoded(bytes), None, "{bytes:02x?}");
        }
    }
}
