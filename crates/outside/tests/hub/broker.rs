//! Many streams of a broker's values through the reader. `OUTSIDE_SEED` sets other ones.

use outside_test_support::checks::redis::values;
use outside_test_support::mutator::{Numbers, mutate};

const SEED: u64 = 0x6f75_7473_6964_6504;

/// Streams that a broker might send, the first byte being the place of the cut.
fn seeds() -> Vec<Vec<u8>> {
    let parts: &[&[u8]] = &[
        b"%3\r\n$6\r\nserver\r\n$6\r\nvalkey\r\n$5\r\nproto\r\n:3\r\n$7\r\nmodules\r\n*0\r\n",
        b">3\r\n$9\r\nsubscribe\r\n$11\r\noutside:all\r\n:1\r\n",
        b">3\r\n$7\r\nmessage\r\n$11\r\noutside:t:a\r\n$5\r\nhello\r\n",
        b"*2\r\n$8\r\n\x01\0\0\0\0\0\0\0\r\n:5\r\n",
        b"*4\r\n$0\r\n\r\n:0\r\n:0\r\n$0\r\n\r\n",
        b"$29\r\n# Server\r\nrun_id:abc\r\nother:2\r\n",
        b"-NOPERM this user has no permissions\r\n",
        b":2\r\n+OK\r\n_\r\n#t\r\n,1.5\r\n(123\r\n=7\r\ntxt:abc\r\n~1\r\n:1\r\n!5\r\nERR x\r\n",
        b"$-1\r\n*-1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    ];
    let whole = parts.concat();
    let mut seeds = vec![[&[200], &whole[..]].concat(), [&[7], &whole[..]].concat()];
    seeds.extend(parts.iter().map(|part| [&[3], *part].concat()));
    seeds
}

#[test]
fn values_of_a_broker() {
    let seed = std::env::var("OUTSIDE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED);
    let (mut numbers, seeds) = (Numbers(seed), seeds());
    seeds.iter().for_each(|seed| values(seed));
    for _ in 0..10_000 {
        values(&mutate(&mut numbers, &seeds));
    }
}

#[test]
#[ignore = "writes what the fuzz target begins with; `make fuzz` asks for it"]
fn write_seeds() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/redis");
    std::fs::create_dir_all(&folder).unwrap();
    for (number, seed) in seeds().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:04}")), seed).unwrap();
    }
}
