//! Random operations on a core and on a model of a few lines: each seat gets the messages that the model says, in its
//! order, with numbers that follow one another.

use std::collections::{BTreeMap, BTreeSet};

use outside::hub::{Frame, FrameKind, HubCore, Keep, KeepRules};

use crate::seats::{TestSeat, Told};

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// What the hub has to know of one topic.
#[derive(Default)]
struct ModelTopic {
    interested: BTreeMap<usize, u64>,
    /// Everything that was published since the topic has had an interest or a message that is kept.
    published: Vec<String>,
}

const TOPICS: [&str; 4] = ["a", "b", "kept", "kept:more"];
const KEPT: usize = 5;

#[test]
fn each_seat_gets_all_that_it_asked_for_in_one_order() {
    for seed in 1..=60 {
        run(seed);
    }
}

fn run(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut core = HubCore::new(seed);
    let mut seats: BTreeMap<usize, TestSeat> = BTreeMap::new();
    let mut topics: BTreeMap<&str, ModelTopic> = BTreeMap::new();
    // For each seat, by the order of its coming: the messages that it has to get, and those that it has.
    let mut due: BTreeMap<usize, Vec<(String, String)>> = BTreeMap::new();
    let mut taken: BTreeMap<usize, Vec<Told>> = BTreeMap::new();
    let mut last = 0;
    let mut rules = KeepRules::default();
    rules.add("kept*", Keep { messages: KEPT, bytes: usize::MAX });
    let first = TestSeat::new(&mut core);
    first.send(&mut core, Frame { payload: rules.to_text().as_bytes(), ..Frame::new(FrameKind::Keep, "") });
    seats.insert(last, first);
    for step in 0..400 {
        let keys: Vec<usize> = seats.keys().copied().collect();
        let key = keys[random.below(keys.len())];
        let topic = TOPICS[random.below(TOPICS.len())];
        match random.below(12) {
            0 if seats.len() < 6 => {
                last += 1;
                seats.insert(last, TestSeat::new(&mut core));
            }
            1 if seats.len() > 2 => {
                core.remove_seat(seats.remove(&key).unwrap().number);
                due.remove(&key);
                taken.remove(&key);
                for (name, topic) in &mut topics {
                    topic.interested.remove(&key);
                    forget_idle(name, topic);
                }
            }
            2..=4 => {
                let count = random.below(3) as u64;
                seats[&key].set_interest(&mut core, topic, count);
                let model = topics.entry(topic).or_default();
                if count == 0 {
                    model.interested.remove(&key);
                } else {
                    model.interested.insert(key, count);
                }
                forget_idle(topic, model);
            }
            5..=8 => {
                let text = format!("{step}");
                seats[&key].publish(&mut core, topic, &text);
                let model = topics.entry(topic).or_default();
                model.published.push(text.clone());
                for seat in model.interested.keys() {
                    due.entry(*seat).or_default().push((topic.to_owned(), text.clone()));
                }
                forget_idle(topic, model);
            }
            9 => check_count(&mut core, seats.get_mut(&key).unwrap(), key, topic, topics.get(topic), &mut taken),
            10 => check_replay(&mut core, seats.get_mut(&key).unwrap(), key, topic, topics.get(topic), &mut taken),
            _ => {
                let most = 1 + random.below(300);
                let told = seats.get_mut(&key).unwrap().take(&mut core, most);
                taken.entry(key).or_default().extend(told);
            }
        }
    }
    for (key, seat) in &mut seats {
        taken.entry(*key).or_default().extend(seat.take_all(&mut core));
        let messages: Vec<_> = taken[key].iter().filter(|told| told.kind == FrameKind::Message).collect();
        let texts: Vec<_> = messages.iter().map(|told| (told.topic.clone(), told.text())).collect();
        assert_eq!(texts, due.remove(key).unwrap_or_default(), "seed {seed}, seat {key}");
    }
    check_numbers(&taken);
    // All that has an interest or is kept is known, and nothing else.
    let known = topics.values().filter(|topic| !topic.interested.is_empty() || !topic.published.is_empty()).count();
    let kept: BTreeSet<_> = topics.keys().collect();
    assert!(core.topics() <= known && core.topics() <= kept.len(), "seed {seed}");
    for seat in seats.into_values() {
        core.remove_seat(seat.number);
    }
    assert!(core.topics() <= 2, "only topics with history are left");
}

fn forget_idle(name: &str, topic: &mut ModelTopic) {
    if topic.interested.is_empty() && !name.starts_with("kept") {
        topic.published.clear();
    }
}

/// A message has the same number for every seat, and numbers of one epoch rise by one in the order of each seat, unless
/// the seat had no interest meanwhile.
fn check_numbers(taken: &BTreeMap<usize, Vec<Told>>) {
    let mut numbers: BTreeMap<(String, u64, u64), Vec<u8>> = BTreeMap::new();
    for told in taken.values() {
        let mut last: BTreeMap<(String, u64), u64> = BTreeMap::new();
        for message in told.iter().filter(|told| told.kind == FrameKind::Message) {
            let before = last.insert((message.topic.clone(), message.epoch), message.number);
            assert!(before.is_none_or(|before| before < message.number));
            let key = (message.topic.clone(), message.epoch, message.number);
            let known = numbers.entry(key).or_insert_with(|| message.payload.clone());
            assert_eq!(*known, message.payload);
        }
    }
}

fn check_count(
    core: &mut HubCore,
    seat: &mut TestSeat,
    key: usize,
    topic: &str,
    model: Option<&ModelTopic>,
    taken: &mut BTreeMap<usize, Vec<Told>>,
) {
    seat.send(core, Frame { id: 77, ..Frame::new(FrameKind::Count, topic) });
    let told = seat.take_all(core);
    let answer = told.last().unwrap();
    let wanted: u64 = model.map_or(0, |model| model.interested.values().sum());
    assert_eq!((answer.kind, answer.id, answer.number), (FrameKind::Counted, 77, wanted));
    taken.entry(key).or_default().extend(told);
}

fn check_replay(
    core: &mut HubCore,
    seat: &mut TestSeat,
    key: usize,
    topic: &str,
    model: Option<&ModelTopic>,
    taken: &mut BTreeMap<usize, Vec<Told>>,
) {
    taken.entry(key).or_default().extend(seat.take_all(core));
    seat.send(core, Frame { id: 78, ..Frame::new(FrameKind::After, topic) });
    let told = seat.take_all(core);
    let end = told.last().unwrap();
    assert_eq!((end.kind, end.id, end.has_gap), (FrameKind::Replayed, 78, false), "from the beginning");
    let texts: Vec<_> = told[..told.len() - 1].iter().map(Told::text).collect();
    let published = model.filter(|_| topic.starts_with("kept")).map_or(&[][..], |model| &model.published[..]);
    assert_eq!(texts, published[published.len().saturating_sub(KEPT)..].to_vec());
    let Some(first) = told.first().filter(|told| told.kind == FrameKind::Replay) else { return };
    // After each of the kept messages come those behind it; before the first there is a gap, unless nothing was there.
    for (index, message) in told[..told.len() - 1].iter().enumerate() {
        let after =
            Frame { id: 79, epoch: message.epoch, number: message.number, ..Frame::new(FrameKind::After, topic) };
        seat.send(core, after);
        let again = seat.take_all(core);
        assert_eq!(again.len(), told.len() - 1 - index);
        assert!(!again.last().unwrap().has_gap);
    }
    if first.number > 2 {
        let after =
            Frame { id: 80, epoch: first.epoch, number: first.number - 2, ..Frame::new(FrameKind::After, topic) };
        seat.send(core, after);
        assert!(seat.take_all(core).last().unwrap().has_gap);
    }
    seat.send(core, Frame { id: 81, epoch: first.epoch ^ 1 << 40, number: 1, ..Frame::new(FrameKind::After, topic) });
    assert!(seat.take_all(core).last().unwrap().has_gap, "another epoch");
}
