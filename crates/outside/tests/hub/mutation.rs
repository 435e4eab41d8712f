//! Many streams of frames through the core: bounded, deterministic, with any compiler. `OUTSIDE_SEED` sets other ones.

use std::time::Duration;

use outside::hub::{Frame, FrameKind};
use outside::shared::{Action, SharedValue, encode_operation};
use outside_test_support::checks::hub::frames;
use outside_test_support::mutator::{Numbers, mutate};

const SEED: u64 = 0x6f75_7473_6964_6503;

/// Streams that a worker might send, the first byte being the place of the cut.
fn seeds() -> Vec<Vec<u8>> {
    let message = |topic, payload| Frame { is_text: true, payload, ..Frame::new(FrameKind::Publish, topic) };
    let (value, ttl) = (SharedValue::Text("x".to_owned()), Duration::from_secs(1));
    let set = encode_operation(&Action::Set { value, ttl: Some(ttl), only_if_absent: false });
    let lock = encode_operation(&Action::Lock { ttl });
    let worker = [
        Frame { payload: b"5 1000 kept*\n1000 64 a\n", ..Frame::new(FrameKind::Keep, "") },
        Frame { number: 1, ..Frame::new(FrameKind::Interest, "a") },
        Frame { number: 2, id: 1, ..Frame::new(FrameKind::Interest, "kept:1") },
        message("a", b"hello"),
        Frame { id: 9, ..message("kept:1", b"hello") },
        Frame { id: 10, ..Frame::new(FrameKind::After, "kept:1") },
        Frame { id: 11, epoch: 8, number: 1, ..Frame::new(FrameKind::After, "kept:1") },
        Frame { id: 12, ..Frame::new(FrameKind::Count, "a") },
        Frame { number: 7, ..Frame::new(FrameKind::Lost, "a") },
        Frame::new(FrameKind::Interest, "a"),
        Frame { id: 13, payload: &set, ..Frame::new(FrameKind::Shared, "a") },
        Frame { id: 14, payload: &[1], ..Frame::new(FrameKind::Shared, "a") },
        Frame { id: 15, payload: &lock, ..Frame::new(FrameKind::Shared, "l") },
        Frame { id: 16, number: 5, epoch: 1, ..Frame::new(FrameKind::Connected, "") },
        Frame { number: 5, ..Frame::new(FrameKind::Disconnected, "") },
        Frame { number: 1000, ..Frame::new(FrameKind::SharedBound, "") },
        Frame { number: 1, ..Frame::new(FrameKind::Published, "a") },
    ];
    let last = worker.len() - 1;
    let stream = |frames: &[Frame<'_>]| frames.iter().flat_map(|frame| frame.to_bytes().to_vec()).collect::<Vec<u8>>();
    let whole = stream(&worker[..last]);
    let mut seeds = vec![[&[200], &whole[..]].concat(), [&[7], &stream(&worker)[..]].concat()];
    seeds.extend(worker.iter().map(|frame| [&[3], &frame.to_bytes()[..]].concat()));
    seeds
}

#[test]
fn streams_of_frames() {
    let seed = std::env::var("OUTSIDE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED);
    let (mut numbers, seeds) = (Numbers(seed), seeds());
    seeds.iter().for_each(|seed| frames(seed));
    for _ in 0..10_000 {
        frames(&mutate(&mut numbers, &seeds));
    }
}

#[test]
#[ignore = "writes what the fuzz target begins with; `make fuzz` asks for it"]
fn write_seeds() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/hub");
    std::fs::create_dir_all(&folder).unwrap();
    for (number, seed) in seeds().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number:04}")), seed).unwrap();
    }
}
