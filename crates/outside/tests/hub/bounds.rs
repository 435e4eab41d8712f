//! The bounds of the core: a seat that does not read, a history that grows, and bytes that are no frames.

use outside::hub::{Frame, FrameKind, HubCore, Keep, KeepRules, MAX_HISTORY, MAX_PAYLOAD, MAX_QUEUE};

use crate::seats::TestSeat;

#[test]
fn a_seat_that_does_not_read_costs_its_queue_and_hears_of_one_gap_for_each_topic() {
    let mut core = HubCore::new(1);
    let (publisher, mut reading, mut stopped) =
        (TestSeat::new(&mut core), TestSeat::new(&mut core), TestSeat::new(&mut core));
    for topic in ["a", "b"] {
        reading.set_interest(&mut core, topic, 1);
        stopped.set_interest(&mut core, topic, 1);
    }
    // A part of a frame is on its way when the seat stops.
    publisher.publish(&mut core, "a", "begun");
    assert!(stopped.take(&mut core, 10).is_empty());
    let text = "x".repeat(100_000);
    for number in 0..400 {
        publisher.publish(&mut core, ["a", "b"][number % 2], &text);
        assert_eq!(reading.take_all(&mut core).len(), if number == 0 { 2 } else { 1 });
        assert!(core.queued(stopped.number) <= MAX_QUEUE);
    }
    assert!(core.dropped(stopped.number) > 300);
    let told = stopped.take_all(&mut core);
    assert_eq!(told[0].text(), "begun");
    let gaps: Vec<_> = told.iter().filter(|told| told.kind == FrameKind::Gap).collect();
    assert_eq!(gaps.iter().map(|gap| gap.topic.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(told[1].kind, FrameKind::Gap, "before all messages");
    for gap in gaps {
        let first =
            told.iter().find(|told| told.kind == FrameKind::Message && told.topic == gap.topic && told.number > 1);
        assert_eq!(first.unwrap().number, gap.number + 1);
    }
    assert_eq!(core.queued(stopped.number), 0);
}

#[test]
fn answers_are_not_dropped() {
    let mut core = HubCore::new(1);
    let mut seat = TestSeat::new(&mut core);
    seat.set_interest(&mut core, "a", 1);
    let text = "x".repeat(MAX_PAYLOAD);
    seat.send(&mut core, Frame { id: 5, ..Frame::new(FrameKind::Count, "a") });
    for id in 6..12 {
        seat.send(&mut core, Frame { id, payload: text.as_bytes(), ..Frame::new(FrameKind::Publish, "a") });
    }
    let told = seat.take_all(&mut core);
    let ids: Vec<_> = told.iter().map(|told| told.id).filter(|id| *id != 0).collect();
    assert_eq!(ids, [5, 6, 7, 8, 9, 10, 11]);
    assert_eq!(told.iter().filter(|told| told.kind == FrameKind::Message).count(), 1);
}

/// A seat of a program whose histories have no bound of their own.
fn seat_that_keeps_all(core: &mut HubCore) -> TestSeat {
    let seat = TestSeat::new(core);
    let mut rules = KeepRules::default();
    rules.add("*", Keep { messages: usize::MAX, bytes: usize::MAX });
    seat.send(core, Frame { payload: rules.to_text().as_bytes(), ..Frame::new(FrameKind::Keep, "") });
    seat
}

/// Event streams ask with the last id that a client sends: a few bytes of a request bring megabytes of kept messages.
#[test]
fn questions_for_kept_messages_have_a_bound_and_all_are_answered() {
    let mut core = HubCore::new(1);
    let mut seat = seat_that_keeps_all(&mut core);
    for (topic, text, count) in [("large", "x".repeat(100_000), 30), ("small", "y".to_owned(), 40_000)] {
        for _ in 0..count {
            seat.publish(&mut core, topic, &text);
        }
        for id in 1..=100 {
            seat.send(&mut core, Frame { id, ..Frame::new(FrameKind::After, topic) });
            assert!(core.queued(seat.number) <= MAX_QUEUE + 4096, "{topic} {id}");
        }
        let told = seat.take_all(&mut core);
        let ends: Vec<_> = told.iter().filter(|told| told.kind == FrameKind::Replayed).collect();
        assert_eq!(ends.iter().map(|end| end.id).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>(), "{topic}");
        let of_last: Vec<_> = told.iter().filter(|told| told.kind == FrameKind::Replay && told.id == 100).collect();
        assert_eq!(of_last.last().unwrap().number, count, "{topic}: the newest are there");
        assert_eq!(core.queued(seat.number), 0);
    }
    // Questions take memory too: beyond a number of them, each is answered by a gap.
    for id in 1..=20_000 {
        seat.send(&mut core, Frame { id, ..Frame::new(FrameKind::After, "large") });
    }
    assert!(core.queued(seat.number) <= MAX_QUEUE + (1 << 20));
    let mut told = Vec::new();
    while core.queued(seat.number) > 0 && told.len() < 200 {
        told.extend(seat.take(&mut core, 1 << 20));
    }
    let ends: Vec<_> = told.iter().filter(|told| told.kind == FrameKind::Replayed && told.id > 16_500).collect();
    assert!(!ends.is_empty() && ends.iter().all(|end| end.has_gap && end.number == 30));
}

#[test]
fn messages_that_a_worker_has_dropped_are_a_gap_for_all() {
    let mut core = HubCore::new(1);
    let (sender, mut reader) = (TestSeat::new(&mut core), TestSeat::new(&mut core));
    reader.set_interest(&mut core, "a", 1);
    sender.publish(&mut core, "a", "1");
    sender.send(&mut core, Frame { number: 3, ..Frame::new(FrameKind::Lost, "a") });
    sender.publish(&mut core, "a", "5");
    let told = reader.take_all(&mut core);
    let seen: Vec<_> = told.iter().map(|told| (told.kind, told.number)).collect();
    assert_eq!(seen, [(FrameKind::Message, 1), (FrameKind::Gap, 4), (FrameKind::Message, 5)]);
}

#[test]
fn all_histories_have_one_bound_and_the_oldest_topics_go_first() {
    let mut core = HubCore::new(1);
    let mut seat = seat_that_keeps_all(&mut core);
    let text = "x".repeat(1 << 20);
    for round in 0..2 {
        for topic in 0..100 {
            seat.publish(&mut core, &format!("{topic}"), &text);
            assert!(core.kept_bytes() <= MAX_HISTORY, "{round} {topic}");
        }
    }
    assert!(core.kept_bytes() > MAX_HISTORY / 2);
    let mut kept = |topic: &str| {
        seat.send(&mut core, Frame { id: 1, ..Frame::new(FrameKind::After, topic) });
        seat.take_all(&mut core).len() - 1
    };
    assert_eq!((kept("0"), kept("20"), kept("99")), (0, 0, 1));
    // One topic alone has a bound too.
    for _ in 0..100 {
        seat.publish(&mut core, "much", &text);
        assert!(core.kept_bytes() <= MAX_HISTORY);
    }
    // Small topics without number cost memory too.
    for topic in 0..200_000 {
        seat.publish(&mut core, &format!("small {topic}"), "x");
    }
    assert!(core.kept_bytes() <= MAX_HISTORY);
    assert!(core.topics() < 150_000);
}

#[test]
fn frames_that_no_worker_sends_are_refused() {
    let mut core = HubCore::new(1);
    let seat = TestSeat::new(&mut core);
    for kind in [FrameKind::Message, FrameKind::Gap, FrameKind::Replayed, FrameKind::Published] {
        let error = core.receive(seat.number, &Frame::new(kind, "a").to_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "a frame that no worker sends");
    }
    assert_eq!(core.receive(seat.number, &[0; 36]).unwrap_err().to_string(), "a frame of an impossible length");
}
