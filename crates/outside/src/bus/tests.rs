//! The carrier without a socket: which way a message goes, and what is told when the connection is lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::arrivals::{Complaint, LineFault};
use super::carrier::BrokerBus;
use super::engine::{BrokerAnswer, Engine};
use super::redis::RedisEngine;
use crate::hub::{Frame, FrameKind, Keep, KeepRules};
use crate::websocket::{Bus, BusError, Joining, Message, MessageId, TopicEvent, TopicInterest, TopicReader, Topics};

/// The bus of a machine, which writes down its calls.
#[derive(Default)]
struct Machine(Mutex<Vec<String>>);

impl Machine {
    fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Bus for Machine {
    fn publish(&self, _: &Topics, topic: &str, message: &Message) {
        self.note(format!("{topic} {}", String::from_utf8_lossy(message.as_bytes())));
    }

    fn publish_and_wait(&self, _: &Topics, topic: &str, _: &Message, _: Duration) -> Result<MessageId, BusError> {
        self.note(format!("{topic} and wait"));
        Ok(MessageId { epoch: 9, number: 9 })
    }

    fn set_interest(&self, _: &Topics, topic: &str, interest: TopicInterest) {
        self.note(format!("{topic} has {}", interest.subscribers));
    }

    fn replay(&self, _: &Topics, topic: &str, _: MessageId, _: Joining) {
        self.note(format!("{topic} after"));
    }

    fn subscribers(&self, _: &Topics, _: &str, _: Duration) -> Result<usize, BusError> {
        Ok(3)
    }

    fn keep(&self, _: &Topics, _: &str) {}
}

struct Carried {
    machine: Arc<Machine>,
    bus: Arc<BrokerBus>,
    topics: Topics,
    engine: Arc<dyn Engine>,
}

impl Carried {
    fn new() -> Self {
        let machine = Arc::new(Machine::default());
        let bus = Arc::new(BrokerBus::new(Arc::clone(&machine) as _).unwrap());
        let engine = Arc::new(RedisEngine::new(&"redis://h?prefix=p".parse().unwrap()));
        Self { machine, bus, topics: Topics::default(), engine }
    }

    fn publish(&self, topic: &str, text: &str) {
        self.bus.publish(&self.topics, topic, &text.into());
    }

    fn subscribe(&self, topic: &str, subscribers: usize) {
        self.bus.set_interest(&self.topics, topic, TopicInterest { subscribers, listens: false });
    }

    /// The command and the first argument of everything that is to be sent, with the kind of a frame.
    fn commands(&self) -> Vec<String> {
        let mut bytes = Vec::new();
        while let Some(more) = self.bus.take_commands(&self.topics) {
            bytes.extend(more);
        }
        let mut found = Vec::new();
        let mut parser = redis::Parser::new();
        let mut rest = &bytes[..];
        while let Ok(redis::Value::Array(words)) = parser.parse_value(&mut rest) {
            let word = |at: usize| match words.get(at) {
                Some(redis::Value::BulkString(word)) => word.as_slice(),
                _ => &[],
            };
            let text = |at| String::from_utf8_lossy(word(at)).into_owned();
            let kind = crate::hub::decode(word(2)).ok().flatten().map(|(frame, _)| format!(" {:?}", frame.kind));
            found.push(format!("{} {}{}", text(0), text(1), kind.unwrap_or_default()));
        }
        found
    }

    fn answer(&self, answer: &BrokerAnswer<'_>) -> Result<Option<Complaint>, LineFault> {
        self.bus.handle_answer(&self.topics, answer)
    }
}

#[test]
fn a_message_has_one_way() {
    let carried = Carried::new();
    carried.subscribe("a", 1);
    carried.publish("a", "early");
    assert_eq!(carried.machine.take(), ["a has 1", "a early"]);
    assert!(!carried.bus.wait_for_line(Duration::ZERO));
    assert!(carried.bus.arrive(&carried.engine), "subscribers may have missed messages");
    assert_eq!(carried.commands(), ["SUBSCRIBE p:t:a", "PUBLISH p:t:a Gap"]);
    carried.publish("a", "there");
    carried.subscribe("b", 1);
    carried.subscribe("b", 2);
    carried.subscribe("a", 0);
    assert_eq!(carried.commands(), ["PUBLISH p:t:a Message", "SUBSCRIBE p:t:b", "UNSUBSCRIBE p:t:a"]);
    assert_eq!(carried.machine.take(), ["b has 1", "b has 2", "a has 0"]);
    carried.publish("b", "unsent");
    assert!(carried.bus.lose(Some(&carried.topics)));
    assert!(!carried.bus.lose(Some(&carried.topics)));
    carried.publish("c", "late");
    assert_eq!(carried.machine.take(), ["c late"], "what was on its way is not sent again");
    assert!(carried.bus.arrive(&carried.engine));
    let told = ["SUBSCRIBE p:t:b", "PUBLISH p:t:a Gap", "PUBLISH p:t:b Gap", "PUBLISH p:t:c Gap"];
    assert_eq!(carried.commands(), told);
}

#[test]
fn subscribers_are_told_before_the_first_message_after_a_loss() {
    let carried = Carried::new();
    let reader = Arc::new(TopicReader::default());
    carried.topics.listen("a", &reader);
    carried.subscribe("a", 1);
    assert!(!carried.bus.arrive(&carried.engine));
    carried.bus.handle_subscribed(&carried.topics).unwrap();
    assert_eq!(reader.take(Some(Duration::ZERO)).unwrap().len(), 0, "nothing was missed at the first connection");
    carried.bus.lose(Some(&carried.topics));
    assert!(carried.bus.arrive(&carried.engine));
    carried.bus.handle_subscribed(&carried.topics).unwrap();
    let id = MessageId { epoch: 4, number: 2 };
    let frame = Frame { epoch: 4, number: 2, payload: b"x", ..Frame::new(FrameKind::Message, "a") }.to_bytes();
    assert_eq!(carried.bus.handle_message(&carried.topics, "p", b"p:t:a", &frame), None);
    match &*reader.take(Some(Duration::ZERO)).unwrap() {
        [TopicEvent::Gap(topic), TopicEvent::Message { id: found, .. }] => assert_eq!((&**topic, *found), ("a", id)),
        other => panic!("{other:?}"),
    }
    for (channel, payload) in [(&b"p:t:b"[..], &frame[..]), (b"p:t:a", b"hello"), (b"p:all", &frame), (b"q", &frame)] {
        let complaint = carried.bus.handle_message(&carried.topics, "p", channel, payload);
        assert_eq!(complaint, Some(Complaint::Foreign));
    }
    let no_text = Frame { is_text: true, payload: b"\xff", ..Frame::new(FrameKind::Message, "a") }.to_bytes();
    assert!(carried.bus.handle_message(&carried.topics, "p", b"p:t:a", &no_text).is_some());
}

#[test]
fn gaps_of_this_machine_and_of_this_process_are_known_already() {
    let carried = Carried::new();
    let reader = Arc::new(TopicReader::default());
    carried.topics.listen("a", &reader);
    for (id, epoch, count) in [
        (0, crate::hub::machine(), 0),
        (carried.bus.origin(), 0, 0),
        (carried.bus.origin() ^ 1, 0, 1),
        (0, crate::hub::machine() ^ 1, 1),
        (0, 0, 1),
    ] {
        let gap = Frame { id, epoch, ..Frame::new(FrameKind::Gap, "a") }.to_bytes();
        assert_eq!(carried.bus.handle_message(&carried.topics, "p", b"p:t:a", &gap), None);
        assert_eq!(reader.take(Some(Duration::ZERO)).unwrap().len(), count);
    }
}

#[test]
fn a_broker_that_takes_nothing_costs_its_queue() {
    let carried = Carried::new();
    carried.bus.arrive(&carried.engine);
    let text = "x".repeat(1 << 20);
    for _ in 0..20 {
        carried.publish("a", &text);
    }
    let (mut bytes, mut gaps) = (0, 0);
    while let Some(more) = carried.bus.take_commands(&carried.topics) {
        bytes += more.len();
        gaps += usize::from(more.windows(7).any(|word| word == b"PUBLISH") && more.len() < 1000);
    }
    assert!((7 << 20..10 << 20).contains(&bytes), "{bytes}");
    assert_eq!(gaps, 1, "the dropped ones are one gap");
}

#[test]
fn answers_without_a_command_end_the_connection() {
    let carried = Carried::new();
    carried.bus.arrive(&carried.engine);
    assert_eq!(carried.answer(&BrokerAnswer::Done), Err(LineFault::Unasked));
    carried.publish("a", "x");
    let refused = BrokerAnswer::Refused { code: "NOPERM", text: "no" };
    assert!(matches!(carried.answer(&refused), Ok(Some(Complaint::Refused { subject: "a message", .. }))));
    carried.publish("a", "x");
    let refused = BrokerAnswer::Refused { code: "NOSCRIPT", text: "no" };
    assert_eq!(carried.answer(&refused), Err(LineFault::LostScripts));
    carried.subscribe("a", 1);
    assert_eq!(carried.answer(&BrokerAnswer::Done), Err(LineFault::Unasked));
}

#[test]
fn kept_topics_go_by_the_script() {
    let carried = Carried::new();
    let mut rules = KeepRules::default();
    rules.add("kept*", Keep { messages: 3, bytes: 1000 });
    carried.bus.begin_thread(&rules);
    carried.bus.arrive(&carried.engine);
    carried.publish("kept:1", "x");
    carried.publish("other", "x");
    let commands = carried.commands();
    assert!(commands[0].starts_with("EVALSHA ") && commands[1] == "PUBLISH p:t:other Message", "{commands:?}");
}
