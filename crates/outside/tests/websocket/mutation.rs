//! Many streams of frames through the codec: bounded, deterministic, with any compiler. `OUTSIDE_SEED` sets other ones.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::seeds::{OFFERS, OPENINGS, stream};
use outside_test_support::mutator::{Numbers, mutate};
use outside_test_support::websocket::{differential, invariants};

const SEED: u64 = 0x6f75_7473_6964_6502;

#[test]
fn streams_without_compression() {
    run(12_000, |numbers| stream(numbers, false), invariants::frames);
}

#[test]
fn streams_with_compression() {
    run(4000, |numbers| stream(numbers, true), invariants::frames);
}

#[test]
fn streams_beside_tungstenite() {
    let check = |input: &[u8]| {
        if let Err(fault) = differential::compare(input) {
            panic!("{fault}")
        }
    };
    run(30_000, |numbers| stream(numbers, false), check);
}

/// Inputs that the fuzzer has found: a length that is refused before its mask has come, and a short ping with a long
/// length.
#[test]
fn lengths_that_only_one_of_both_takes() {
    for input in [&b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x52"[..], b"\x89\xfe\0\x01\0\0\0\0a"] {
        assert_eq!(differential::compare(input), Ok(()), "{}", input.escape_ascii());
        invariants::frames(input);
    }
}

#[test]
fn compressed_messages_are_read_again() {
    run(400, |numbers| [vec![numbers.below(256) as u8], stream(numbers, true)].concat(), invariants::compression);
}

#[test]
fn offers() {
    run(20_000, |numbers| mutate(numbers, &bytes(OFFERS)), invariants::offer);
}

#[test]
fn openings() {
    run(20_000, |numbers| mutate(numbers, &bytes(OPENINGS)), invariants::opening);
}

fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
#[ignore = "writes what the fuzz targets begin with; `make fuzz` asks for it"]
fn write_seeds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut numbers = Numbers(SEED);
    let mut streams = |compressed| (0..300).map(|_| stream(&mut numbers, compressed)).collect::<Vec<_>>();
    let (plain, compressed) = (streams(false), streams(true));
    for (target, seeds) in [
        ("websocket", [plain.clone(), compressed.clone()].concat()),
        ("websocket_differential", plain),
        ("websocket_deflate", compressed),
        ("websocket_offer", bytes(OFFERS)),
        ("websocket_opening", bytes(OPENINGS)),
    ] {
        let folder = folder.join(target);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds.iter().filter(|seed| seed.len() <= 4096).enumerate() {
            std::fs::write(folder.join(format!("seed-{number:04}")), seed).unwrap();
        }
    }
}

/// Checks this many inputs; on a slow machine fewer, but not less than a tenth.
fn run(count: usize, make: impl Fn(&mut Numbers) -> Vec<u8>, check: impl Fn(&[u8])) {
    let seed = std::env::var("OUTSIDE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED);
    let mut numbers = Numbers(seed);
    let deadline = Instant::now() + Duration::from_secs(20);
    for number in 0..count {
        let input = make(&mut numbers);
        let _named = Named { input: &input, seed, number };
        check(&input);
        if number > count / 10 && Instant::now() > deadline {
            break;
        }
    }
}

/// Prints the input if a check panics.
struct Named<'a> {
    input: &'a [u8],
    seed: u64,
    number: usize,
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, number, input } = self;
            eprintln!("OUTSIDE_SEED={seed}, input {number}: {}", input.escape_ascii());
        }
    }
}
