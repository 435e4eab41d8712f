//! Shared state through the core: answers reach the seat that has asked, and the end of a seat frees what it held.

use std::time::Duration;

use outside::hub::{Frame, FrameError, FrameKind, HubCore, MAX_QUEUE};
use outside::shared::{Action, MAX_VALUE, Outcome, Rate, SharedRefusal, SharedValue, decode_outcome, encode_operation};

use crate::seats::TestSeat;

const TTL: Duration = Duration::from_secs(10);

fn send(seat: &TestSeat, core: &mut HubCore, id: u64, key: &str, action: &Action) {
    let payload = encode_operation(action);
    seat.send(core, Frame { id, payload: &payload, ..Frame::new(FrameKind::Shared, key) });
}

/// Asks, and takes the one answer.
fn ask(seat: &mut TestSeat, core: &mut HubCore, key: &str, action: &Action) -> Outcome {
    send(seat, core, 7, key, action);
    let told = seat.take_all(core);
    assert_eq!((told.len(), told[0].kind, told[0].id), (1, FrameKind::Outcome, 7));
    decode_outcome(&told[0].payload).unwrap()
}

#[test]
fn a_value_is_that_of_every_seat() {
    let mut core = HubCore::new(1);
    let (mut one, mut other) = (TestSeat::new(&mut core), TestSeat::new(&mut core));
    let set =
        |value: &str| Action::Set { value: SharedValue::Text(value.to_owned()), ttl: Some(TTL), only_if_absent: false };
    assert_eq!(ask(&mut one, &mut core, "a", &set("x")), Outcome::Flag(true));
    let x = Outcome::Value(Some(SharedValue::Text("x".to_owned())));
    assert_eq!(ask(&mut other, &mut core, "a", &Action::Get), x);
    assert!(one.take_all(&mut core).is_empty());
    // A call without an id has its effect and no answer.
    send(&one, &mut core, 0, "a", &Action::Delete);
    assert!(one.take_all(&mut core).is_empty());
    assert_eq!(ask(&mut other, &mut core, "a", &Action::Get), Outcome::Value(None));
    ask(&mut one, &mut core, "a", &set("y"));
    core.set_time(TTL);
    assert_eq!(ask(&mut other, &mut core, "a", &Action::Get), Outcome::Value(None), "its time is over");
    core.set_time(Duration::ZERO);
    assert_eq!(ask(&mut other, &mut core, "a", &Action::Get), Outcome::Value(None), "time does not go back");
    one.send(&mut core, Frame { number: 1, ..Frame::new(FrameKind::SharedBound, "") });
    assert_eq!(ask(&mut other, &mut core, "b", &set("z")), Outcome::Refused(SharedRefusal::Full));
}

#[test]
fn the_end_of_a_seat_frees_its_locks_ticks_and_connections() {
    let mut core = HubCore::new(1);
    core.set_last_token(100);
    let (mut one, mut other) = (TestSeat::new(&mut core), TestSeat::new(&mut core));
    assert_eq!(ask(&mut one, &mut core, "l", &Action::Lock { ttl: TTL }), Outcome::Locked(101));
    assert_eq!(ask(&mut other, &mut core, "l", &Action::Lock { ttl: TTL }), Outcome::Held(TTL));
    let tick = Action::Tick { period: TTL, has_ended: false };
    ask(&mut one, &mut core, "t", &tick);
    core.set_time(TTL);
    assert!(matches!(ask(&mut one, &mut core, "t", &tick), Outcome::Tick(tick) if tick.is_given));
    ask(&mut one, &mut core, "l", &Action::Lock { ttl: TTL });
    let connect = |seat: &mut TestSeat, core: &mut HubCore| {
        seat.send(core, Frame { id: 9, number: 5, epoch: 2, ..Frame::new(FrameKind::Connected, "") });
        decode_outcome(&seat.take_all(core)[0].payload).unwrap()
    };
    assert_eq!(connect(&mut one, &mut core), Outcome::Flag(true));
    assert_eq!(connect(&mut one, &mut core), Outcome::Flag(true));
    assert_eq!(connect(&mut other, &mut core), Outcome::Flag(false));
    one.send(&mut core, Frame { number: 5, ..Frame::new(FrameKind::Disconnected, "") });
    assert_eq!(connect(&mut other, &mut core), Outcome::Flag(true));
    assert_eq!(connect(&mut other, &mut core), Outcome::Flag(false));
    core.remove_seat(one.number);
    assert_eq!(connect(&mut other, &mut core), Outcome::Flag(true));
    assert_eq!(ask(&mut other, &mut core, "l", &Action::Lock { ttl: TTL }), Outcome::Locked(103));
    core.set_time(2 * TTL);
    assert!(matches!(ask(&mut other, &mut core, "t", &tick), Outcome::Tick(tick) if tick.is_given));
}

#[test]
fn a_seat_that_asks_and_does_not_read_is_bounded() {
    let mut core = HubCore::new(1);
    let mut seat = TestSeat::new(&mut core);
    let value = SharedValue::Bytes(vec![0; MAX_VALUE]);
    ask(&mut seat, &mut core, "a", &Action::Set { value, ttl: None, only_if_absent: false });
    for id in 1..1000 {
        send(&seat, &mut core, id, "a", &Action::Get);
        assert!(core.queued(seat.number) <= MAX_QUEUE);
    }
    let told = seat.take_all(&mut core);
    let busy = told.iter().filter(|told| told.payload.len() < 10);
    assert!(busy.clone().count() > 900, "the rest has to come again");
    for told in busy {
        assert_eq!(decode_outcome(&told.payload), Ok(Outcome::Refused(SharedRefusal::Busy)));
    }
}

#[test]
fn what_is_no_operation_ends_the_seat() {
    for payload in [&[][..], &[99], &[1, 1], &[5, 1]] {
        let mut core = HubCore::new(1);
        let seat = core.add_seat();
        let frame = Frame { payload, ..Frame::new(FrameKind::Shared, "k") }.to_bytes();
        let error: FrameError = core.receive(seat, &frame).unwrap_err();
        assert_eq!(error.to_string(), "a frame about shared state that is malformed");
    }
}

/// Random calls of processes that die: a lock has one holder at any time, whose token is higher than all before.
#[test]
fn ten_thousand_takeovers() {
    let mut core = HubCore::new(1);
    let mut seats: Vec<TestSeat> = (0..4).map(|_| TestSeat::new(&mut core)).collect();
    let (mut state, mut now, mut last, mut takeovers) = (1u64, Duration::ZERO, 0, 0);
    // The holder as the model has it: seat, token, and the end of its time.
    let mut holder: Option<(usize, u64, Duration)> = None;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    while takeovers < 10_000 {
        now += Duration::from_millis(below(3) as u64);
        core.set_time(now);
        let place = below(4);
        let held = holder.filter(|(_, _, until)| *until > now);
        match below(8) {
            0 => {
                core.remove_seat(seats[place].number);
                seats[place] = TestSeat::new(&mut core);
                holder = held.filter(|(by, ..)| *by != place);
            }
            1 if held.is_some_and(|(by, ..)| by == place) => {
                let (_, token, _) = held.unwrap();
                assert_eq!(ask(&mut seats[place], &mut core, "l", &Action::Unlock { token }), Outcome::Flag(true));
                holder = None;
            }
            2 => {
                let token = last.max(1);
                let ttl = Duration::from_millis(5);
                let is_held = ask(&mut seats[place], &mut core, "l", &Action::Renew { token, ttl });
                let is_known = held.is_some_and(|(_, known, _)| known == token);
                assert_eq!(is_held, Outcome::Flag(is_known));
                holder = held.map(|(by, token, until)| (by, token, if is_known { now + ttl } else { until }));
            }
            _ => {
                let ttl = Duration::from_millis(1 + below(10) as u64);
                match (ask(&mut seats[place], &mut core, "l", &Action::Lock { ttl }), held) {
                    (Outcome::Locked(token), None) => {
                        assert!(token > last, "tokens grow");
                        (last, takeovers) = (token, takeovers + 1);
                        holder = Some((place, token, now + ttl));
                    }
                    (Outcome::Held(left), Some((_, _, until))) => assert_eq!(left, until - now),
                    (outcome, held) => unreachable!("{outcome:?} with {held:?}"),
                }
            }
        }
    }
}

#[test]
fn a_rate_is_one_for_all_seats() {
    let mut core = HubCore::new(1);
    let mut seats: Vec<TestSeat> = (0..8).map(|_| TestSeat::new(&mut core)).collect();
    let rate = Action::Admit(Rate::new(100, Duration::from_secs(60), 100));
    let mut admitted = 0;
    for attempt in 0..80_000u32 {
        core.set_time(attempt * Duration::from_millis(1));
        let seat = &mut seats[attempt as usize % 8];
        let Outcome::Admission(told) = ask(seat, &mut core, "k", &rate) else { unreachable!("of a rate") };
        admitted += u32::from(told.is_admitted);
        assert_eq!(told.at, attempt * Duration::from_millis(1));
    }
    assert_eq!(admitted, 100 + 79_999 / 600);
}
