//! One run of the executor under the checker: connections that ask, handlers of every temper, and a ledger of both.
//!
//! The checker reports a lost answer, or a thread that waits for ever, as a deadlock.

use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::command::ThreadFrame;
use super::ledger::{Handler, Ledger, Place, Silent, Temper};
use super::lock::lock;
use super::model_command::{ModelCommand, ModelFunction, NoFrame, OneAtATime};
use super::pool_queue::PoolLimits;
use super::sync::{self, Mutex};
use super::{Executor, Job, ReplySlot};
use crate::config::{AccessLog, Config};
use crate::log::Log;

pub(super) struct Trial {
    pub(super) executor: Arc<Executor<ModelCommand>>,
    ledger: Arc<Ledger>,
    asked: usize,
    /// Jobs that clients have given up, and how many of their calls may have run.
    given_up: Vec<(Range<usize>, usize)>,
}

/// Time after which an abandoned handler is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Impatient {
    slot: Arc<ReplySlot<ModelCommand>>,
    numbers: Range<usize>,
}

impl Trial {
    pub(super) fn start(max_workers: usize) -> Self {
        Self::start_in(Arc::new(NoFrame), max_workers)
    }

    /// A trial in which one handler runs at a time, even while it waits.
    pub(super) fn start_with_lock(max_workers: usize) -> Self {
        Self::start_in(Arc::<OneAtATime>::default(), max_workers)
    }

    fn start_in(host: Arc<dyn ThreadFrame>, max_workers: usize) -> Self {
        let log = Log::new(&Config { access_log: AccessLog::Off, ..Config::default() }, Arc::new(Silent));
        let limits = PoolLimits { max_workers, max_waiting: 4 * max_workers, longest_wait: Duration::from_secs(5) };
        let executor = Executor::start(0, host, log, limits).expect("nothing can fail here");
        let ledger = Arc::new(Ledger { most_pooled: max_workers, ..Ledger::default() });
        Self { executor, ledger, asked: 0, given_up: Vec::new() }
    }

    /// This many connections, each with one call of the same route, which ends when it is told to.
    pub(super) fn connect_to_one_route(&mut self, count: usize) {
        let ledger = Arc::clone(&self.ledger);
        let route = ModelFunction::new(Handler { temper: Temper::Stuck, place: Place::Learned, ledger }, None);
        (0..count).for_each(|_| self.converse(vec![(Place::Learned, vec![Arc::clone(&route)])]));
    }

    /// A connection that sends these jobs one after another.
    pub(super) fn connect(&mut self, jobs: &[(Place, &[Temper])]) {
        let handler = |place, temper| {
            let said = matches!(place, Place::Pool).then_some(true);
            ModelFunction::new(Handler { temper, place, ledger: Arc::clone(&self.ledger) }, said)
        };
        let functions = |place, tempers: &[Temper]| tempers.iter().map(|&temper| handler(place, temper)).collect();
        let conversation = jobs.iter().map(|&(place, tempers)| (place, functions(place, tempers))).collect();
        self.converse(conversation);
    }

    fn converse(&mut self, conversation: Vec<(Place, Vec<Arc<ModelFunction>>)>) {
        let mut first = self.asked;
        self.asked += conversation.iter().map(|(_, functions)| functions.len()).sum::<usize>();
        lock(&self.ledger.state).runs.resize(self.asked, 0);
        let (executor, ledger) = (Arc::clone(&self.executor), Arc::clone(&self.ledger));
        self.executor.runtime.spawn(async move {
            let slot = Arc::new(ReplySlot::default());
            for (place, functions) in conversation {
                let pooled = match place {
                    Place::Loop => false,
                    Place::Pool => true,
                    Place::Learned => {
                        functions.iter().any(|function| function.placement.wants_pool(0, executor.reactor))
                    }
                };
                let numbers = first..first + functions.len();
                first = numbers.end;
                let call = |(number, function)| ModelCommand::Call(function, number);
                let commands = numbers.clone().zip(functions).map(call).collect();
                let job = Job { commands, context: Arc::default(), slot: Arc::clone(&slot) };
                match pooled {
                    false => executor.push(job),
                    true => executor.push_to_pool(job),
                }
                ledger.note_push();
                let mut missing = numbers;
                while !missing.is_empty() {
                    let answers = poll_fn(|context| slot.poll(context).map_or(Poll::Pending, Poll::Ready)).await;
                    let received = missing.start..missing.start + answers.len();
                    missing.start = received.end;
                    ledger.receive(received, answers);
                }
            }
        });
    }

    /// A client with one job that does not wait for all of its answers.
    pub(super) fn connect_impatient(&mut self, place: Place, tempers: &[Temper]) -> Impatient {
        let first = self.asked;
        self.asked += tempers.len();
        let mut state = lock(&self.ledger.state);
        state.runs.resize(self.asked, 0);
        state.answers += tempers.len();
        drop(state);
        let slot = Arc::new(ReplySlot::default());
        let ledger = &self.ledger;
        let command = |(number, &temper)| {
            let handler = Handler { temper, place, ledger: Arc::clone(ledger) };
            let said = matches!(place, Place::Pool).then_some(true);
            ModelCommand::Call(ModelFunction::new(handler, said), number)
        };
        let commands = (first..self.asked).zip(tempers).map(command).collect();
        let job = Job { commands, context: Arc::default(), slot: Arc::clone(&slot) };
        let (executor, ledger) = (Arc::clone(&self.executor), Arc::clone(&self.ledger));
        self.executor.runtime.spawn(async move {
            match place {
                Place::Pool => executor.push_to_pool(job),
                _ => executor.push(job),
            }
            ledger.note_push();
        });
        Impatient { slot, numbers: first..self.asked }
    }

    /// Gives the job up. Returns whether a call of it was running.
    pub(super) fn give_up(&mut self, client: Impatient) -> bool {
        self.end_wait(client, false)
    }

    /// Leaves, so that the thread of a running call does not count. Returns whether a call was running.
    pub(super) fn leave(&mut self, client: Impatient) -> bool {
        lock(&self.ledger.state).forgiven = self.executor.max_workers;
        self.end_wait(client, true)
    }

    fn end_wait(&mut self, client: Impatient, leaves: bool) -> bool {
        let (executor, slot) = (Arc::clone(&self.executor), Arc::clone(&client.slot));
        let (ledger, result) = (Arc::clone(&self.ledger), Arc::new(Mutex::new(None)));
        let told = Arc::clone(&result);
        // As a connection does: inside the event loop.
        self.executor.runtime.spawn(async move {
            let running = executor.abandon(&slot, None, PATIENCE);
            if leaves {
                executor.uncount(&slot);
            }
            *lock(&told) = Some(running);
            // Under the lock, so that no thread begins to wait meanwhile.
            drop(lock(&ledger.state));
            ledger.changed.notify_all();
        });
        self.ledger.wait_while(|_| lock(&result).is_none());
        let running = *lock(&result) == Some(true);
        let begun = lock(&self.ledger.state).runs[client.numbers.clone()].iter().sum::<usize>();
        // A running call may not have counted itself yet.
        self.given_up.push((client.numbers, begun + usize::from(running)));
        running
    }

    /// A client in the middle of a streamed body, which waits for the pool to make the next piece.
    pub(super) fn connect_stream(&mut self) {
        let number = self.asked;
        self.asked += 1;
        lock(&self.ledger.state).runs.push(0);
        let (executor, ledger) = (Arc::clone(&self.executor), Arc::clone(&self.ledger));
        self.executor.runtime.spawn(async move {
            let slot = Arc::new(ReplySlot::default());
            let commands = vec![ModelCommand::Pull(Arc::clone(&ledger), number)];
            executor.push_to_pool(Job { commands, context: Arc::default(), slot: Arc::clone(&slot) });
            ledger.note_push();
            let answers = poll_fn(|context| slot.poll(context).map_or(Poll::Pending, Poll::Ready)).await;
            ledger.receive(number..number + 1, answers);
        });
    }

    /// An answer that comes from a thread outside of the executor.
    pub(super) fn connect_elsewhere(&mut self) {
        let number = self.asked;
        self.asked += 1;
        lock(&self.ledger.state).runs.push(1);
        let slot = Arc::new(ReplySlot::default());
        let (reply_slot, executor) = (Arc::clone(&slot), Arc::clone(&self.executor));
        shuttle::thread::spawn(move || executor.post(reply_slot, vec![ModelCommand::Answered(number)]));
        let ledger = Arc::clone(&self.ledger);
        self.executor.runtime.spawn(async move {
            let answers = poll_fn(|context| slot.poll(context).map_or(Poll::Pending, Poll::Ready)).await;
            ledger.receive(number..number + 1, answers);
        });
    }

    /// Turns away jobs that have waited too long, as a tick of the server does.
    pub(super) fn expire(&self) {
        let executor = Arc::clone(&self.executor);
        self.executor.runtime.spawn(async move { executor.expire() });
    }

    /// Gives up handlers whose time is over, as a tick of the server does. Returns their number.
    pub(super) fn give_up_overdue(&self) -> usize {
        lock(&self.ledger.state).forgiven = sync::MOST_GIVEN_UP;
        self.executor.give_up().len()
    }

    /// Waits until this many answers have arrived.
    pub(super) fn wait_for(&self, answers: usize) {
        self.ledger.wait_while(|state| state.answers < answers);
    }

    /// Waits until this many calls have ended, whether or not clients wait for their answers.
    pub(super) fn wait_for_ends(&self, count: usize) {
        self.ledger.wait_while(|state| state.ended < count);
    }

    /// Waits until this many jobs were handed over.
    pub(super) fn wait_for_pushes(&self, count: usize) {
        self.ledger.wait_while(|state| state.pushes < count);
    }

    /// Waits until this many handlers that only end when told to are running.
    pub(super) fn wait_for_stuck(&self, count: usize) {
        self.ledger.wait_while(|state| state.stuck < count);
    }

    /// The number of begun handlers that only end when told to.
    pub(super) fn stuck(&self) -> usize {
        lock(&self.ledger.state).stuck
    }

    /// Waits until this many threads count as running a handler without the loop.
    pub(super) fn wait_until_detached(&self, count: usize) {
        while lock(&self.executor.threads).detached != count {
            shuttle::thread::yield_now();
        }
    }

    /// Tells stuck handlers to end.
    pub(super) fn release(&self) {
        lock(&self.ledger.state).released = true;
        self.ledger.changed.notify_all();
    }

    /// Waits until no more threads than these are left.
    pub(super) fn wait_for_threads(&self, most: usize) {
        let mut threads = lock(&self.executor.threads);
        while threads.alive > most {
            threads = self.executor.threads_changed.wait(threads).expect("no thread has failed");
        }
        assert_eq!(threads.alive, most, "a thread that is inside a call cannot have ended");
    }

    /// Every answer has come; all threads end. Returns how many were turned away.
    pub(super) fn finish(self) -> usize {
        self.wait_for(self.asked);
        self.executor.stop();
        assert_eq!(self.executor.join(FOR_EVER), 0);
        let threads = lock(&self.executor.threads);
        assert_eq!(
            (threads.detached, threads.uncounted, threads.given_up, threads.alive),
            (0, 0, 0, 0),
            "everybody is back"
        );
        drop(threads);
        let state = lock(&self.ledger.state);
        let run = state.runs.iter().sum::<usize>();
        let mut never_begun = 0;
        for (numbers, most) in self.given_up {
            let (count, run) = (numbers.len(), state.runs[numbers].iter().sum::<usize>());
            assert!(run <= most, "a call has begun for which nobody waited");
            never_begun += count - run;
        }
        assert_eq!(run + state.refused + never_begun, self.asked, "what was not turned away has run");
        state.refused
    }
}

/// The checker's waits have no limit: a thread that does not end is a deadlock.
pub(super) const FOR_EVER: Duration = Duration::from_secs(1 << 40);
