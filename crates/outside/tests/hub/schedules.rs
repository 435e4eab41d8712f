//! Random schedules of the hub: bytes of all seats come in pieces and in any order, seats die in the middle of a frame, and sockets
//! take a few bytes at a time. Each living seat gets what a model of a few lines says, nothing twice, and a lock has one holder.
//!
//! A schedule that fails names its number; `OUTSIDE_MODEL_FIRST` tries from that one on. `make model` tries many.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use outside::hub::{Frame, FrameKind, HubCore};
use outside::shared::{Action, Outcome, Tick, decode_outcome, encode_operation};

use crate::seats::{TestSeat, Told};

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

const TOPICS: [&str; 2] = ["a", "b"];
const STEPS: usize = 400;
const MOST_SEATS: usize = 4;
const PERIOD: Duration = Duration::from_millis(20);

/// What a worker has sent, known to the model once its last byte has come.
#[derive(Clone, Debug)]
enum Sent {
    Interest(&'static str, bool),
    Publish(&'static str, String),
    Lock(Duration),
    Unlock(u64),
    Tick,
}

struct Worker {
    seat: TestSeat,
    /// Bytes on their way to the hub, and the frames that they are, with their lengths.
    bytes: VecDeque<u8>,
    frames: VecDeque<(usize, Sent)>,
    /// Bytes of the first of these frames that have come.
    come: usize,
    interests: BTreeSet<&'static str>,
    due: Vec<(String, String)>,
    outcomes: Vec<Outcome>,
    told: Vec<Told>,
}

impl Worker {
    fn new(core: &mut HubCore) -> Self {
        let (bytes, frames, interests) = (VecDeque::new(), VecDeque::new(), BTreeSet::new());
        let (due, outcomes, told) = (Vec::new(), Vec::new(), Vec::new());
        Self { seat: TestSeat::new(core), bytes, frames, come: 0, interests, due, outcomes, told }
    }

    fn send(&mut self, sent: Sent) {
        let operation = |action: &Action| encode_operation(action);
        let bytes = match &sent {
            Sent::Interest(topic, is_on) => {
                Frame { number: u64::from(*is_on), ..Frame::new(FrameKind::Interest, topic) }.to_bytes()
            }
            Sent::Publish(topic, text) => {
                Frame { is_text: true, payload: text.as_bytes(), ..Frame::new(FrameKind::Publish, topic) }.to_bytes()
            }
            Sent::Lock(ttl) => {
                let payload = operation(&Action::Lock { ttl: *ttl });
                Frame { id: 1, payload: &payload, ..Frame::new(FrameKind::Shared, "l") }.to_bytes()
            }
            Sent::Unlock(token) => {
                let payload = operation(&Action::Unlock { token: *token });
                Frame { id: 1, payload: &payload, ..Frame::new(FrameKind::Shared, "l") }.to_bytes()
            }
            Sent::Tick => {
                let payload = operation(&Action::Tick { period: PERIOD, has_ended: false });
                Frame { id: 1, payload: &payload, ..Frame::new(FrameKind::Shared, "t") }.to_bytes()
            }
        };
        self.frames.push_back((bytes.len(), sent));
        self.bytes.extend(bytes);
    }

    /// This number of bytes comes to the hub. Returns the frames that are complete.
    fn deliver(&mut self, core: &mut HubCore, count: usize) -> Vec<Sent> {
        let piece: Vec<u8> = self.bytes.drain(..count.min(self.bytes.len())).collect();
        core.receive(self.seat.number, &piece).unwrap();
        self.come += piece.len();
        let mut complete = Vec::new();
        while let Some((length, _)) = self.frames.front()
            && *length <= self.come
        {
            self.come -= length;
            complete.extend(self.frames.pop_front().map(|(_, sent)| sent));
        }
        complete
    }
}

/// What the hub has to know.
#[derive(Default)]
struct Model {
    now: Duration,
    token: u64,
    /// The worker, its token, and the end of its time.
    holder: Option<(usize, u64, Duration)>,
    begun: Option<Duration>,
    tick: u64,
    runner: Option<usize>,
}

impl Model {
    fn handle(&mut self, workers: &mut BTreeMap<usize, Worker>, by: usize, sent: Sent) {
        let outcome = match sent {
            Sent::Interest(topic, is_on) => {
                let interests = &mut workers.get_mut(&by).unwrap().interests;
                if is_on {
                    interests.insert(topic)
                } else {
                    interests.remove(topic)
                };
                return;
            }
            Sent::Publish(topic, text) => {
                for worker in workers.values_mut().filter(|worker| worker.interests.contains(topic)) {
                    worker.due.push((topic.to_owned(), text.clone()));
                }
                return;
            }
            Sent::Lock(ttl) => match self.holder.filter(|(_, _, until)| *until > self.now) {
                Some((_, _, until)) => Outcome::Held(until - self.now),
                None => {
                    self.token += 1;
                    self.holder = Some((by, self.token, self.now + ttl));
                    Outcome::Locked(self.token)
                }
            },
            Sent::Unlock(token) => {
                let is_this = self.holder.is_some_and(|(_, known, _)| known == token);
                let is_held = is_this && self.holder.is_some_and(|(_, _, until)| until > self.now);
                if is_this {
                    self.holder = None;
                }
                Outcome::Flag(is_held)
            }
            Sent::Tick => {
                let passed = self.now - *self.begun.get_or_insert(self.now);
                let number = u64::try_from(passed.as_nanos() / PERIOD.as_nanos()).unwrap();
                if self.runner == Some(by) {
                    self.runner = None;
                }
                let is_given = number > self.tick && self.runner.is_none();
                if is_given {
                    (self.tick, self.runner) = (number, Some(by));
                }
                let into = Duration::from_nanos(u64::try_from(passed.as_nanos() % PERIOD.as_nanos()).unwrap());
                Outcome::Tick(Tick { is_given, number: self.tick, next: PERIOD - into })
            }
        };
        workers.get_mut(&by).unwrap().outcomes.push(outcome);
    }

    fn forget(&mut self, worker: usize) {
        self.holder = self.holder.filter(|(by, ..)| *by != worker);
        self.runner = self.runner.filter(|by| *by != worker);
    }
}

#[test]
fn any_order_of_pieces() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("OUTSIDE_MODEL_FIRST").unwrap_or(1);
    for schedule in first..first + number("OUTSIDE_MODEL_RUNS").unwrap_or(300) {
        run(schedule);
    }
}

fn run(schedule: u64) {
    let mut random = Random(schedule.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let (mut core, mut model) = (HubCore::new(schedule), Model::default());
    let mut workers: BTreeMap<usize, Worker> = BTreeMap::from([(0, Worker::new(&mut core))]);
    let mut last = 0;
    for step in 0..STEPS {
        let keys: Vec<usize> = workers.keys().copied().collect();
        let by = keys[random.below(keys.len())];
        let worker = workers.get_mut(&by).unwrap();
        let topic = TOPICS[random.below(TOPICS.len())];
        match random.below(16) {
            0 if keys.len() < MOST_SEATS => {
                last += 1;
                workers.insert(last, Worker::new(&mut core));
            }
            1 if keys.len() > 1 && random.below(4) == 0 => {
                core.remove_seat(workers.remove(&by).unwrap().seat.number);
                model.forget(by);
            }
            2 | 3 => worker.send(Sent::Interest(topic, random.below(3) > 0)),
            4..=6 => worker.send(Sent::Publish(topic, format!("{by} {step}"))),
            7 => worker.send(Sent::Lock(Duration::from_millis(1 + random.below(20) as u64))),
            8 => worker.send(Sent::Unlock(model.token.saturating_sub(random.below(2) as u64))),
            9 => worker.send(Sent::Tick),
            10..=12 => {
                model.now += Duration::from_millis(random.below(3) as u64);
                core.set_time(model.now);
                let count = 1 + random.below(200);
                for sent in worker.deliver(&mut core, count) {
                    model.handle(&mut workers, by, sent);
                }
            }
            _ => {
                let told = worker.seat.take(&mut core, 1 + random.below(200));
                worker.told.extend(told);
            }
        }
    }
    let keys: Vec<usize> = workers.keys().copied().collect();
    for by in keys {
        for sent in workers.get_mut(&by).unwrap().deliver(&mut core, usize::MAX) {
            model.handle(&mut workers, by, sent);
        }
    }
    for (by, worker) in &mut workers {
        worker.told.extend(worker.seat.take_all(&mut core));
        check(&worker.told, &worker.due, &worker.outcomes, &format!("schedule {schedule}, worker {by}"));
    }
}

/// A seat has what the model says, in its order, and numbers of an epoch rise.
fn check(told: &[Told], due: &[(String, String)], outcomes: &[Outcome], place: &str) {
    let of_kind = |kind: FrameKind| told.iter().filter(move |told| told.kind == kind);
    let messages: Vec<_> = of_kind(FrameKind::Message).map(|told| (told.topic.clone(), told.text())).collect();
    assert_eq!(messages, due, "{place}");
    let answers: Vec<_> = of_kind(FrameKind::Outcome).map(|told| decode_outcome(&told.payload).unwrap()).collect();
    assert_eq!(answers, outcomes, "{place}");
    assert_eq!(told.len(), messages.len() + answers.len(), "{place}: nothing else");
    let mut last: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for message in of_kind(FrameKind::Message) {
        let before = last.insert((&message.topic, message.epoch), message.number);
        assert!(before.is_none_or(|before| before < message.number), "{place}");
    }
}
