//! Thousands of more or less meaningful conversations: bounded, deterministic, with any compiler.

use std::time::{Duration, Instant};

use outside_test_support::http2::hostile::conversation;
use outside_test_support::http2::wire::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, get, request,
};
use outside_test_support::mutator::{Numbers, mutate};

/// Changed from time to time to find other faults.
const SEED: u64 = 0x6f75_7473_6964_6532;

/// Frames of every type, each valid by itself.
fn seeds() -> Vec<Vec<u8>> {
    let mut post = get("/");
    post[0].1 = "POST";
    let mut seeds = vec![
        frame(SETTINGS, 0, 0, &[]),
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 5, 0, 0, 64, 0]),
        frame(SETTINGS, ACK, 0, &[]),
        frame(PING, 0, 0, &[1, 2, 3, 4, 5, 6, 7, 8]),
        frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0]),
        frame(0xee, 0xff, 7, b"anything"),
        frame(5, END_HEADERS, 1, &[0, 0, 0, 2, 0x82, 0x86, 0x84]),
    ];
    for stream in [1, 3, 5] {
        for path in ["/", "/stream", "/large", "/fail", "/a/../b%20c?d=e", "*"] {
            seeds.push(request(stream, path));
        }
        seeds.push(frame(HEADERS, END_HEADERS, stream, &block(&post)));
        seeds.push(frame(HEADERS, END_STREAM, stream, &block(&get("/"))));
        seeds.push(frame(
            HEADERS,
            END_HEADERS | END_STREAM | 0x28,
            stream,
            &[&[2, 0, 0, 0, 1, 9][..], &block(&get("/")), &[0, 0]].concat(),
        ));
        seeds.push(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &[0x82, 0x86, 0x84, 0x41, 1, b'a', 0xbe, 0x3f, 0xe1, 0x1f],
        ));
        seeds.push(frame(CONTINUATION, END_HEADERS, stream, &block(&[("x", "y")])));
        seeds.push(frame(DATA, 0, stream, b"some content"));
        seeds.push(frame(DATA, END_STREAM | 8, stream, &[3, b'a', 0, 0, 0]));
        seeds.push(frame(DATA, 0, stream, &[b'x'; 1000]));
        seeds.push(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        seeds.push(frame(WINDOW_UPDATE, 0, stream, &[0, 0, 1, 0]));
        seeds.push(frame(PRIORITY, 0, stream, &[0, 0, 0, 9, 16]));
    }
    seeds
}

#[test]
fn mutated_conversations() {
    let count = std::env::var("OUTSIDE_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(3000);
    let (seeds, mut numbers, began) = (seeds(), Numbers(SEED), Instant::now());
    let mut done = 0;
    while done < count && began.elapsed() < Duration::from_secs(60) {
        let mut input = frame(SETTINGS, 0, 0, &[]);
        for _ in 0..1 + numbers.below(6) {
            input.extend(numbers.pick(&seeds));
        }
        match numbers.below(3) {
            0 => {}
            1 => input.extend(mutate(&mut numbers, &seeds)),
            _ => input = mutate(&mut numbers, &[input]),
        }
        conversation(&input);
        done += 1;
    }
    println!("{done} conversations in {:?}", began.elapsed());
}

/// The inputs from which fuzzers begin; written by `make fuzz`.
#[test]
#[ignore = "writes files"]
fn write_seeds() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/http2");
    std::fs::create_dir_all(&folder).unwrap();
    for (number, seed) in seeds().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:04}")), seed).unwrap();
    }
}
