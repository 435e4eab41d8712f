//! The handlers of a trial, and the ledger of their calls and answers.
//!
//! The ledger fails at once when a job runs twice.

use std::ops::Range;
use std::sync::Arc;

use super::lock::lock;
use super::model_command::ModelCommand;
use super::sync::{Condvar, Mutex};
use crate::log::{Level, LogSink};

/// The behaviour of a handler.
#[derive(Clone, Copy, Debug)]
pub(super) enum Temper {
    Quick,
    /// Yields this many times.
    Slow(usize),
    /// Ends when this many other answers have arrived.
    After(usize),
    /// Ends when it is told to.
    Stuck,
}

/// The place to which a connection sends a job.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Loop,
    Pool,
    /// The place that the route's measured times decide.
    Learned,
}

#[derive(Default)]
pub(super) struct Ledger {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    pub(super) most_pooled: usize,
}

#[derive(Default)]
pub(super) struct State {
    /// The number of calls of each handler.
    pub(super) runs: Vec<usize>,
    pub(super) pushes: usize,
    pub(super) ended: usize,
    pub(super) answers: usize,
    pub(super) refused: usize,
    /// Handlers of the pool that are running.
    pub(super) pooled: usize,
    /// Running calls of routes whose place is learned.
    pub(super) learning: usize,
    pub(super) stuck: usize,
    /// Handlers that may run beyond the bound of the pool.
    pub(super) forgiven: usize,
    pub(super) released: bool,
}

impl Ledger {
    pub(super) fn wait_while(&self, condition: impl Fn(&State) -> bool) {
        let mut state = lock(&self.state);
        while condition(&state) {
            state = self.changed.wait(state).expect("no thread has failed");
        }
    }

    pub(super) fn note_push(&self) {
        lock(&self.state).pushes += 1;
        self.changed.notify_all();
    }

    pub(super) fn receive(&self, numbers: Range<usize>, commands: Vec<ModelCommand>) {
        let mut state = lock(&self.state);
        assert!(numbers.end <= state.runs.len(), "more than what was asked for");
        for (number, command) in numbers.zip(commands) {
            match command {
                ModelCommand::Refused => {
                    assert_eq!(state.runs[number], 0, "turned away after it has run");
                    state.refused += 1;
                }
                ModelCommand::Answered(whose) => {
                    assert_eq!(whose, number, "somebody else's answer");
                }
                ModelCommand::Pulled => {}
                _ => panic!("no answer"),
            }
            state.answers += 1;
        }
        drop(state);
        self.changed.notify_all();
    }
}

pub(super) struct Handler {
    pub(super) temper: Temper,
    pub(super) place: Place,
    pub(super) ledger: Arc<Ledger>,
}

impl Handler {
    /// Counts the call, and behaves as its temper says.
    pub(super) fn call(&self, number: usize) {
        let ledger = &self.ledger;
        let pooled = usize::from(matches!(self.place, Place::Pool));
        let mut state = lock(&ledger.state);
        state.runs[number] += 1;
        assert_eq!(state.runs[number], 1, "a job runs twice");
        state.pooled += pooled;
        assert!(state.pooled <= ledger.most_pooled + state.forgiven, "the pool has a bound");
        state.learning += usize::from(matches!(self.place, Place::Learned));
        assert!(state.learning <= 1 + ledger.most_pooled, "one call is late, the others wait for the pool");
        state.stuck += usize::from(matches!(self.temper, Temper::Stuck));
        drop(state);
        match self.temper {
            Temper::Quick => {}
            Temper::Slow(turns) => (0..turns).for_each(|_| shuttle::thread::yield_now()),
            Temper::After(answers) => ledger.wait_while(|state| state.answers < answers),
            Temper::Stuck => {
                ledger.changed.notify_all();
                ledger.wait_while(|state| !state.released);
            }
        }
        let mut state = lock(&ledger.state);
        state.pooled -= pooled;
        state.learning -= usize::from(matches!(self.place, Place::Learned));
        state.ended += 1;
        drop(state);
        ledger.changed.notify_all();
    }
}

pub(super) struct Silent;

impl LogSink for Silent {
    fn access(&self, _lines: &[u8]) {}

    fn event(&self, _level: Level, text: &str) {
        assert!(text.contains("no thread could be started"), "nothing else goes wrong here, but {text}");
    }
}
