//! The questions of this process to the broker, and the answers that have come.

use std::collections::HashMap;
use std::sync::Arc;

use crate::websocket::{BusError, Joining, MessageId};

/// An answer for a thread that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BrokerReply {
    Id(MessageId),
    Count(u64),
}

/// A question for which a thread waits.
#[derive(Debug)]
enum Question {
    /// For the id of a message. `planned`: its id, if the broker does not number it.
    Id {
        planned: MessageId,
    },
    /// For the number of subscribers, in which each process answers for itself. `processes`: those that will answer.
    Count {
        processes: Option<u64>,
        answered: u64,
        sum: u64,
    },
    Answered(Result<BrokerReply, BusError>),
}

/// A question for missed messages.
pub(super) struct PendingReplay {
    pub(super) topic: Arc<str>,
    pub(super) after: MessageId,
    pub(super) joining: Joining,
}

#[derive(Default)]
pub(super) struct BrokerQuestions {
    last: u64,
    questions: HashMap<u64, Question>,
    replays: HashMap<u64, PendingReplay>,
}

impl BrokerQuestions {
    pub(super) fn expect_id(&mut self, planned: MessageId) -> u64 {
        self.add(Question::Id { planned })
    }

    pub(super) fn expect_count(&mut self) -> u64 {
        self.add(Question::Count { processes: None, answered: 0, sum: 0 })
    }

    fn add(&mut self, question: Question) -> u64 {
        self.last += 1;
        self.questions.insert(self.last, question);
        self.last
    }

    pub(super) fn expect_replay(&mut self, replay: PendingReplay) -> u64 {
        self.last += 1;
        self.replays.insert(self.last, replay);
        self.last
    }

    pub(super) fn take_replay(&mut self, ticket: u64) -> Option<PendingReplay> {
        self.replays.remove(&ticket)
    }

    /// The message of this ticket was sent; `numbered`: the id that the broker has given it.
    pub(super) fn settle_id(&mut self, ticket: u64, numbered: Option<MessageId>) {
        if let Some(question @ Question::Id { .. }) = self.questions.get_mut(&ticket) {
            let Question::Id { planned } = *question else { return };
            *question = Question::Answered(Ok(BrokerReply::Id(numbered.unwrap_or(planned))));
        }
    }

    /// So many processes will answer the question of this ticket.
    pub(super) fn settle_receivers(&mut self, ticket: u64, count: u64) {
        if let Some(Question::Count { processes, .. }) = self.questions.get_mut(&ticket) {
            *processes = Some(count);
        }
        self.check_count(ticket);
    }

    /// A process has answered.
    pub(super) fn add_count(&mut self, ticket: u64, count: u64) {
        if let Some(Question::Count { answered, sum, .. }) = self.questions.get_mut(&ticket) {
            *answered += 1;
            *sum = sum.saturating_add(count);
        }
        self.check_count(ticket);
    }

    fn check_count(&mut self, ticket: u64) {
        if let Some(question) = self.questions.get_mut(&ticket)
            && let Question::Count { processes: Some(processes), answered, sum } = *question
            && answered >= processes
        {
            *question = Question::Answered(Ok(BrokerReply::Count(sum)));
        }
    }

    /// The command of this ticket was refused.
    pub(super) fn refuse(&mut self, ticket: u64) {
        if let Some(question) = self.questions.get_mut(&ticket) {
            *question = Question::Answered(Err(BusError::Refused));
        }
    }

    /// The answer of this ticket, if it has come.
    pub(super) fn take(&mut self, ticket: u64) -> Option<Result<BrokerReply, BusError>> {
        let Some(Question::Answered(answer)) = self.questions.get(&ticket) else { return None };
        let answer = *answer;
        self.questions.remove(&ticket);
        Some(answer)
    }

    /// Its thread waits no longer.
    pub(super) fn forget(&mut self, ticket: u64) {
        self.questions.remove(&ticket);
    }

    /// The connection is lost: no answer comes. Returns the questions for missed messages.
    pub(super) fn fail(&mut self) -> Vec<PendingReplay> {
        for question in self.questions.values_mut() {
            if !matches!(question, Question::Answered(_)) {
                *question = Question::Answered(Err(BusError::Cut));
            }
        }
        std::mem::take(&mut self.replays).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_waits_for_every_process() {
        for order in [[0, 1, 2], [1, 0, 2], [1, 2, 0]] {
            let mut questions = BrokerQuestions::default();
            let ticket = questions.expect_count();
            for step in order {
                assert_eq!(questions.take(ticket), None);
                match step {
                    0 => questions.settle_receivers(ticket, 2),
                    process => questions.add_count(ticket, process * 10),
                }
            }
            assert_eq!(questions.take(ticket), Some(Ok(BrokerReply::Count(30))));
            questions.add_count(ticket, 1);
            assert_eq!(questions.take(ticket), None);
        }
    }

    #[test]
    fn the_end_of_a_connection_answers_all() {
        let mut questions = BrokerQuestions::default();
        let planned = MessageId { epoch: 1, number: 2 };
        let tickets = [questions.expect_id(planned), questions.expect_id(planned), questions.expect_count()];
        questions.settle_id(tickets[0], None);
        assert!(questions.fail().is_empty());
        let answers = tickets.map(|ticket| questions.take(ticket));
        assert_eq!(answers, [Some(Ok(BrokerReply::Id(planned))), Some(Err(BusError::Cut)), Some(Err(BusError::Cut))]);
    }
}
