//! The frames of the hub: any bytes, cut anywhere, give the same verdict, and leave the core within its bounds.

use outside::hub::{FrameReader, HubCore, MAX_HISTORY, MAX_QUEUE, SeatNumber, decode};

/// Bytes of two workers to a hub. The first byte says where they are cut.
pub fn frames(input: &[u8]) {
    let Some((&cut, stream)) = input.split_first() else { return };
    let size = usize::from(cut).max(1);
    let whole = verdict(stream, stream.len().max(1));
    assert_eq!(whole, verdict(stream, size), "the verdict depends on where the stream is cut");
    let mut core = HubCore::new(7);
    let (one, other) = (core.add_seat(), core.add_seat());
    let mut is_good = true;
    for piece in stream.chunks(size) {
        is_good = is_good && core.receive(one, piece).is_ok();
        // The other seat sends the same, and may be ahead of this one.
        let _ = core.receive(other, stream);
        for seat in [one, other] {
            assert!(
                core.queued(seat) <= MAX_QUEUE + (1 << 20),
                "messages are dropped, kept ones wait, answers are few"
            );
            // A worker reads between its questions.
            if core.queued(seat) > MAX_QUEUE / 2 {
                take_all(&mut core, seat);
            }
        }
    }
    assert!(!is_good || whole.1);
    for seat in [one, other] {
        take_all(&mut core, seat);
        assert_eq!(core.queued(seat), 0);
    }
    assert!(core.kept_bytes() <= MAX_HISTORY);
    core.remove_seat(one);
    core.remove_seat(other);
}

/// Takes all that waits for a seat.
fn take_all(core: &mut HubCore, seat: SeatNumber) {
    loop {
        let sent: Vec<u8> = core.slices(seat).iter().flat_map(|slice| slice.iter().copied()).collect();
        if sent.is_empty() {
            return;
        }
        assert!(verdict(&sent, sent.len()).1, "the hub sends frames");
        core.advance(seat, sent.len());
    }
}

/// How many frames there are, and whether all bytes up to there could be read.
fn verdict(stream: &[u8], size: usize) -> (usize, bool) {
    let (mut reader, mut count) = (FrameReader::default(), 0);
    for piece in stream.chunks(size) {
        let on_frame = |frame: &outside::hub::Frame<'_>| {
            count += 1;
            let again = frame.to_bytes();
            assert_eq!(decode(&again).ok().flatten(), Some((*frame, again.len())));
        };
        if reader.receive(piece, on_frame).is_err() {
            return (count, false);
        }
    }
    (count, true)
}
