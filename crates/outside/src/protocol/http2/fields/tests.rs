//! Thousands of blocks, valid and invalid, read as sent and as `h2` gets them: the valid fields are the same.

use std::collections::VecDeque;

use super::super::block::{integer, put_integer, string};
use super::super::huffman::tests::encode;
use super::{Checked, DYNAMIC, ENTRY_COST, FieldChecker, FieldVerdict, Name, STATIC_NAME_LENGTHS, TABLE_SIZE};

type TestField = (Vec<u8>, Vec<u8>);

/// A reader of blocks that keeps the whole dynamic table.
#[derive(Default)]
struct Reader {
    table: VecDeque<TestField>,
    max_size: usize,
}

impl Reader {
    fn new() -> Self {
        Self { table: VecDeque::new(), max_size: usize::from(TABLE_SIZE) }
    }

    fn read(&mut self, block: &[u8]) -> Vec<TestField> {
        let (mut at, mut fields) = (0, Vec::new());
        while let Some(&first) = block.get(at) {
            match first {
                0x80.. => {
                    let index = integer(block, &mut at, 7).unwrap();
                    fields.push((self.name(index), self.value(index)));
                }
                0x20..=0x3f => {
                    self.max_size = integer(block, &mut at, 5).unwrap();
                    self.evict(0);
                }
                _ => {
                    let (is_added, mut decoded) = (first & 0x40 != 0, Vec::new());
                    let index = integer(block, &mut at, if is_added { 6 } else { 4 }).unwrap();
                    let mut text = || string(block, &mut at, &mut decoded).unwrap();
                    let name = (index == 0).then(&mut text);
                    let value = text();
                    let name = name.map_or_else(|| self.name(index), |name| name.bytes(block, &decoded).to_vec());
                    let field = (name, value.bytes(block, &decoded).to_vec());
                    if is_added && self.evict(size(&field)) {
                        self.table.push_front(field.clone());
                    }
                    fields.push(field);
                }
            }
        }
        fields
    }

    /// Makes room. Returns whether there is enough.
    fn evict(&mut self, more: usize) -> bool {
        while self.table.iter().map(size).sum::<usize>() + more > self.max_size && self.table.pop_back().is_some() {}
        more <= self.max_size
    }

    fn name(&self, index: usize) -> Vec<u8> {
        match index.checked_sub(DYNAMIC) {
            Some(position) => self.table[position].0.clone(),
            None => match Name::of_static(index) {
                Name::Authority => b":authority".to_vec(),
                Name::Method => b":method".to_vec(),
                Name::Path => b":path".to_vec(),
                Name::Scheme => b":scheme".to_vec(),
                Name::Status => b":status".to_vec(),
                _ => vec![b'a' + (index % 26) as u8; usize::from(STATIC_NAME_LENGTHS[index - 1])],
            },
        }
    }

    fn value(&self, index: usize) -> Vec<u8> {
        match index.checked_sub(DYNAMIC) {
            Some(position) => self.table[position].1.clone(),
            None => b"200".to_vec(),
        }
    }
}

fn size((name, value): &TestField) -> usize {
    name.len() + value.len() + ENTRY_COST
}

/// Numbers that look random (Knuth's linear congruence).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len())]
    }
}

fn put_text(block: &mut Vec<u8>, numbers: &mut Numbers, text: &[u8]) {
    let (kind, bytes) = if numbers.below(2) == 0 { (0, text.to_vec()) } else { (0x80, encode(text)) };
    put_integer(block, kind, 7, bytes.len());
    block.extend(bytes);
}

/// A block that the reader can read next.
fn block(numbers: &mut Numbers, reader: &Reader) -> Vec<u8> {
    const NAMES: [&[u8]; 10] =
        [b"x-a", b"X-A", b"", b":path", b":method", b":authority", b":protocol", b":status", b":foo", b"x-long-name"];
    let values: [&[u8]; 9] = [b"/a", b"/a\"b", b"GET", b"200", b"a\0b", b"\xff\xfe", b"", &[b'v'; 300], &[b'w'; 2000]];
    let (mut block, mut known) = (Vec::new(), reader.table.len());
    if numbers.below(8) == 0 {
        put_integer(&mut block, 0x20, 5, *numbers.pick(&[0, 100, 1000, 4096, 4096, 4096]));
        // The table's content after that is not known here.
        known = 0;
    }
    for _ in 0..1 + numbers.below(6) {
        let kind = *numbers.pick(&[0x80_u8, 0x40, 0x40, 0, 0x10]);
        let dynamic = DYNAMIC + if known > 0 { numbers.below(known) } else { 0 };
        let index = if known > 0 && numbers.below(3) > 0 { dynamic } else { 1 + numbers.below(61) };
        if kind == 0x80 {
            put_integer(&mut block, kind, 7, index);
            continue;
        }
        let bits = if kind == 0x40 { 6 } else { 4 };
        match numbers.below(2) {
            0 => put_integer(&mut block, kind, bits, index),
            _ => {
                block.push(kind);
                let name = numbers.pick(&NAMES);
                put_text(&mut block, numbers, name);
            }
        }
        let value = numbers.pick(&values);
        put_text(&mut block, numbers, value);
        if kind == 0x40 {
            // It may have evicted others.
            known = 0;
        }
    }
    block
}

#[test]
fn h2_gets_the_block_without_its_faults() {
    let (mut changed, mut malformed) = (0, 0);
    for seed in 0..300 {
        let (mut numbers, mut checker) = (Numbers(seed), FieldChecker::new(1000));
        let (mut sent, mut received) = (Reader::new(), Reader::new());
        for _ in 0..40 {
            let block = block(&mut numbers, &sent);
            let checked = checker.check(&block);
            let (mut path, mut is_malformed, mut wanted) = (None, false, Vec::new());
            for (name, value) in sent.read(&block) {
                match Name::of(&name).judge(&value, 1000) {
                    FieldVerdict::Right => wanted.push((name, value)),
                    FieldVerdict::Malformed => is_malformed = true,
                    FieldVerdict::Odd(odd) => {
                        path = Some(odd);
                        wanted.push((name, b"?".to_vec()));
                    }
                }
            }
            let found = match &checked {
                Checked::Right => received.read(&block),
                Checked::Changed(changed) => received.read(&changed.block),
                Checked::Broken => panic!("{block:02x?} is right"),
            };
            let Checked::Changed(other) = checked else {
                assert!(!is_malformed && path.is_none());
                assert_eq!(found, wanted);
                continue;
            };
            changed += 1;
            assert_eq!((other.is_malformed, other.path), (is_malformed, path));
            if !is_malformed {
                assert_eq!(found, wanted);
                continue;
            }
            malformed += 1;
            // Values under a valid name are replaced by filler, so that the name stays; in a message that is reset they
            // do not matter.
            let (last, others) = found.split_last().unwrap();
            assert_eq!(*last, (b"connection".to_vec(), b"x".to_vec()));
            let is_filler = |value: &[u8]| value.iter().all(|&byte| byte == b'x');
            let others: Vec<_> = others.iter().filter(|(_, value)| value.is_empty() || !is_filler(value)).collect();
            assert_eq!(others, wanted.iter().collect::<Vec<_>>());
            let size = received.table.iter().map(size).sum::<usize>();
            assert!(size <= received.max_size);
        }
    }
    assert!(changed > 3000 && malformed > 2000, "{changed} changed, {malformed} malformed");
}

#[test]
fn a_broken_block_is_not_checked() {
    for block in [
        &[0x40][..],
        &[0x00, 0x05, b'a'],
        &[0x00, 0x01, b'a', 0x82, 0xff, 0xff],
        &[0x3f, 0xe2, 0x1f],
        &[0x7f, 0x00, 0x00],
        &[0xff, 0x80, 0x80, 0x80, 0x80, 0x01],
    ] {
        assert_eq!(FieldChecker::new(100).check(block), Checked::Broken, "{block:02x?}");
    }
}

#[test]
fn a_path_is_kept_up_to_a_length_and_whole_characters() {
    let mut block = vec![0x04];
    put_integer(&mut block, 0, 7, 9);
    block.extend_from_slice("/<\u{e9}\u{e9}\u{e9}>".as_bytes());
    let Checked::Changed(changed) = FieldChecker::new(5).check(&block) else { panic!() };
    assert_eq!((changed.path.as_deref(), changed.is_malformed), (Some("/<\u{e9}"), false));
    assert_eq!(changed.block, [0x04, 1, b'?']);
}
