//! The handlers of a trial, and the ledger of what they did and what came back.
//!
//! The ledger fails at once when something is done twice.

use std::ops::Range;
use std::sync::Arc;

use super::sync::{Condvar, Mutex};
use super::{Exchange, Work, lock};
use crate::error::Error;
use crate::handler::SyncHandler;
use crate::log::{Level, LogSink};
use crate::message::{Body, BodyStream, Pull, Request, RequestParts, Response};

/// How a handler behaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Temper {
    Quick,
    /// Gives others so many turns.
    Slow(usize),
    /// Ends when so many answers are there, its own not among them.
    After(usize),
    /// Ends when it is told to.
    Stuck,
}

/// Where a connection sends a job.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Loop,
    Pool,
    /// As a connection does that has nothing to go by but the route's own timing.
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
    /// How often each handler was called.
    pub(super) runs: Vec<usize>,
    pub(super) pushes: usize,
    pub(super) ended: usize,
    pub(super) answers: usize,
    pub(super) refused: usize,
    /// Handlers of the pool that are running.
    pub(super) pooled: usize,
    /// Calls of routes that nobody has said anything of that are running.
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

    pub(super) fn receive(&self, numbers: Range<usize>, exchanges: Vec<Exchange>) {
        let mut state = lock(&self.state);
        assert!(numbers.end <= state.runs.len(), "more than what was asked for");
        for (number, exchange) in numbers.zip(exchanges) {
            match exchange.work {
                Work::Answered(Response { status: 503, .. }) => {
                    assert_eq!(state.runs[number], 0, "turned away after it has run");
                    state.refused += 1;
                }
                Work::Answered(Response { body: Body::Bytes(body), .. }) => {
                    assert_eq!(body, number.to_string(), "somebody else's answer");
                }
                Work::Pulled(_, Pull::End) => {}
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

impl SyncHandler for Handler {
    fn call(&self, request: &Arc<Request>) -> Result<Response, Error> {
        let number: usize = request.url()[1..].parse().expect("a request of this trial");
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
        Ok(answer(number))
    }
}

pub(super) struct Stream {
    pub(super) number: usize,
    pub(super) ledger: Arc<Ledger>,
}

impl BodyStream for Stream {
    fn pull(&mut self) -> Pull {
        lock(&self.ledger.state).runs[self.number] += 1;
        Pull::End
    }
}

pub(super) fn request(number: usize) -> Arc<Request> {
    let parts = RequestParts { target: &format!("/{number}"), ..RequestParts::default() };
    Arc::new(Request::from_parts(&parts).expect("nothing is wrong with it"))
}

pub(super) fn answer(number: usize) -> Response {
    Response::text(number.to_string())
}

pub(super) struct Silent;

impl LogSink for Silent {
    fn access(&self, _lines: &[u8]) {}

    fn event(&self, _level: Level, text: &str) {
        assert!(text.contains("no thread could be started"), "nothing else goes wrong here, but {text}");
    }
}
