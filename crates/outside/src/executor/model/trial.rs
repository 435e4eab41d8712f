//! One run of the executor under the checker: connections that ask, handlers of every temper, and a ledger of both.
//!
//! The ledger fails at once when something is done twice; what is lost, or waits for ever, the checker reports as a
//! deadlock.

use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::sync::{self, Condvar, Mutex};
use super::{Exchange, Executor, Job, LanguageRuntime, Mailbox, NoRuntime, Work, lock};
use crate::config::AccessLog;
use crate::error::Error;
use crate::handler::{Function, SyncHandler};
use crate::log::{Level, Log, LogSink};
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

pub(super) struct Trial {
    pub(super) executor: Arc<Executor>,
    ledger: Arc<Ledger>,
    asked: usize,
    /// What clients have given up on, and how much of it may have run.
    given_up: Vec<(Range<usize>, usize)>,
}

/// A language with one lock for all of its threads, and handlers that never let go of it.
#[derive(Default)]
struct OneAtATime(Mutex<()>);

impl LanguageRuntime for OneAtATime {
    fn live(&self, life: &mut (dyn FnMut() + Send)) {
        life();
    }

    fn work(&self, batch: &mut (dyn FnMut() + Send)) {
        let _held = lock(&self.0);
        batch();
    }
}

/// A handler that nobody waits for is given up after this.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Impatient {
    mailbox: Arc<Mailbox>,
    numbers: Range<usize>,
}

impl Trial {
    pub(super) fn start(max_workers: usize) -> Self {
        Self::start_in(Arc::new(NoRuntime), max_workers)
    }

    /// With handlers of which one at a time runs, whatever it waits for.
    pub(super) fn start_with_lock(max_workers: usize) -> Self {
        Self::start_in(Arc::<OneAtATime>::default(), max_workers)
    }

    fn start_in(host: Arc<dyn LanguageRuntime>, max_workers: usize) -> Self {
        let log = Log::new(AccessLog::Off, Arc::new(Silent));
        let executor = Executor::start(0, host, log, max_workers).expect("nothing can fail here");
        let ledger = Arc::new(Ledger { most_pooled: max_workers, ..Ledger::default() });
        Self { executor, ledger, asked: 0, given_up: Vec::new() }
    }

    /// As many connections, each with one call of the same route, whose calls end when they are told to.
    pub(super) fn connect_to_one_route(&mut self, count: usize) {
        let ledger = Arc::clone(&self.ledger);
        let route = Function::new(Handler { temper: Temper::Stuck, place: Place::Learned, ledger }, None);
        (0..count).for_each(|_| self.converse(vec![(Place::Learned, vec![Arc::clone(&route)])]));
    }

    /// A connection that sends these jobs one after another.
    pub(super) fn connect(&mut self, jobs: &[(Place, &[Temper])]) {
        let handler = |place, temper| {
            let said = matches!(place, Place::Pool).then_some(true);
            Function::new(Handler { temper, place, ledger: Arc::clone(&self.ledger) }, said)
        };
        let functions = |place, tempers: &[Temper]| tempers.iter().map(|&temper| handler(place, temper)).collect();
        let conversation = jobs.iter().map(|&(place, tempers)| (place, functions(place, tempers))).collect();
        self.converse(conversation);
    }

    fn converse(&mut self, conversation: Vec<(Place, Vec<Arc<Function>>)>) {
        let mut first = self.asked;
        self.asked += conversation.iter().map(|(_, functions)| functions.len()).sum::<usize>();
        lock(&self.ledger.state).runs.resize(self.asked, 0);
        let (executor, ledger) = (Arc::clone(&self.executor), Arc::clone(&self.ledger));
        self.executor.runtime.spawn(async move {
            let mailbox = Arc::new(Mailbox::default());
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
                let call = |(number, function)| Exchange::new(Some(request(number)), Work::Call(function));
                let exchanges = numbers.clone().zip(functions).map(call).collect();
                let job = Job { exchanges, site: Arc::default(), mailbox: Arc::clone(&mailbox) };
                match pooled {
                    false => executor.push(job),
                    true => executor.push_to_pool(job),
                }
                ledger.note_push();
                let mut missing = numbers;
                while !missing.is_empty() {
                    let answers = poll_fn(|context| mailbox.poll(context).map_or(Poll::Pending, Poll::Ready)).await;
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
        let mailbox = Arc::new(Mailbox::default());
        let ledger = &self.ledger;
        let exchange = |(number, &temper)| {
            let handler = Handler { temper, place, ledger: Arc::clone(ledger) };
            let said = matches!(place, Place::Pool).then_some(true);
            Exchange::new(Some(request(number)), Work::Call(Function::new(handler, said)))
        };
        let exchanges = (first..self.asked).zip(tempers).map(exchange).collect();
        let job = Job { exchanges, site: Arc::default(), mailbox: Arc::clone(&mailbox) };
        let (executor, ledger) = (Arc::clone(&self.executor), Arc::clone(&self.ledger));
        self.executor.runtime.spawn(async move {
            match place {
                Place::Pool => executor.push_to_pool(job),
                _ => executor.push(job),
            }
            ledger.note_push();
        });
        Impatient { mailbox, numbers: first..self.asked }
    }

    /// It gives up. Was a call of its running?
    pub(super) fn give_up(&mut self, client: Impatient) -> bool {
        self.end_wait(client, false)
    }

    /// It leaves, so that the thread of a call that is running does not count. Was one?
    pub(super) fn leave(&mut self, client: Impatient) -> bool {
        lock(&self.ledger.state).forgiven = self.executor.max_workers;
        self.end_wait(client, true)
    }

    fn end_wait(&mut self, client: Impatient, leaves: bool) -> bool {
        let (executor, mailbox) = (Arc::clone(&self.executor), Arc::clone(&client.mailbox));
        let (ledger, result) = (Arc::clone(&self.ledger), Arc::new(Mutex::new(None)));
        let told = Arc::clone(&result);
        // As a connection does: inside the event loop.
        self.executor.runtime.spawn(async move {
            let running = executor.abandon(&mailbox, None, PATIENCE);
            if leaves {
                executor.uncount(&mailbox);
            }
            *lock(&told) = Some(running);
            // Under the lock, so that nobody begins to wait meanwhile.
            drop(lock(&ledger.state));
            ledger.changed.notify_all();
        });
        self.ledger.wait_while(|_| lock(&result).is_none());
        let running = *lock(&result) == Some(true);
        let begun = lock(&self.ledger.state).runs[client.numbers.clone()].iter().sum::<usize>();
        // One that is running may not have come as far as to count itself.
        self.given_up.push((client.numbers, begun + usize::from(running)));
        running
    }

    /// A client in the middle of a streamed body, who waits for the pool to make the next piece.
    pub(super) fn connect_stream(&mut self) {
        let number = self.asked;
        self.asked += 1;
        lock(&self.ledger.state).runs.push(0);
        let (executor, ledger) = (Arc::clone(&self.executor), Arc::clone(&self.ledger));
        self.executor.runtime.spawn(async move {
            let mailbox = Arc::new(Mailbox::default());
            let stream = Box::new(Stream { number, ledger: Arc::clone(&ledger) });
            let exchanges = vec![Exchange::new(None, Work::Pull(stream))];
            executor.push_to_pool(Job { exchanges, site: Arc::default(), mailbox: Arc::clone(&mailbox) });
            ledger.note_push();
            let answers = poll_fn(|context| mailbox.poll(context).map_or(Poll::Pending, Poll::Ready)).await;
            ledger.receive(number..number + 1, answers);
        });
    }

    /// An answer that comes from a thread the executor knows nothing of.
    pub(super) fn connect_elsewhere(&mut self) {
        let number = self.asked;
        self.asked += 1;
        lock(&self.ledger.state).runs.push(1);
        let mailbox = Arc::new(Mailbox::default());
        let (letter, executor) = (Arc::clone(&mailbox), Arc::clone(&self.executor));
        shuttle::thread::spawn(move || {
            executor.post(letter, vec![Exchange::new(None, Work::Answered(answer(number)))])
        });
        let ledger = Arc::clone(&self.ledger);
        self.executor.runtime.spawn(async move {
            let answers = poll_fn(|context| mailbox.poll(context).map_or(Poll::Pending, Poll::Ready)).await;
            ledger.receive(number..number + 1, answers);
        });
    }

    /// Turns away what has waited too long, as a tick of the server does.
    pub(super) fn expire(&self) {
        let executor = Arc::clone(&self.executor);
        self.executor.runtime.spawn(async move { executor.expire() });
    }

    /// Gives up handlers whose time is over, as a tick of the server does. How many?
    pub(super) fn give_up_overdue(&self) -> usize {
        lock(&self.ledger.state).forgiven = sync::MOST_GIVEN_UP;
        self.executor.give_up().len()
    }

    /// Waits until so many answers are there.
    pub(super) fn wait_for(&self, answers: usize) {
        self.ledger.wait_while(|state| state.answers < answers);
    }

    /// Waits until so many calls have ended, whether or not somebody is there for their answers.
    pub(super) fn wait_for_ends(&self, count: usize) {
        self.ledger.wait_while(|state| state.ended < count);
    }

    /// Waits until so many jobs were handed over.
    pub(super) fn wait_for_pushes(&self, count: usize) {
        self.ledger.wait_while(|state| state.pushes < count);
    }

    /// Waits until so many handlers that only end when told to are running.
    pub(super) fn wait_for_stuck(&self, count: usize) {
        self.ledger.wait_while(|state| state.stuck < count);
    }

    /// So many handlers that only end when told to have begun.
    pub(super) fn stuck(&self) -> usize {
        lock(&self.ledger.state).stuck
    }

    /// Waits until so many threads count as running a handler without the loop.
    pub(super) fn wait_until_away(&self, count: usize) {
        while lock(&self.executor.crew).away != count {
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
        let mut crew = lock(&self.executor.crew);
        while crew.alive > most {
            crew = self.executor.crew_changed.wait(crew).expect("no thread has failed");
        }
        assert_eq!(crew.alive, most, "a thread that is inside a call cannot have ended");
    }

    /// Every answer has come; all threads end. Returns how many were turned away.
    pub(super) fn finish(self) -> usize {
        self.wait_for(self.asked);
        self.executor.stop();
        assert_eq!(self.executor.join(FOR_EVER), 0);
        let crew = lock(&self.executor.crew);
        assert_eq!((crew.away, crew.uncounted, crew.given_up, crew.alive), (0, 0, 0, 0), "everybody is back");
        drop(crew);
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

#[derive(Default)]
struct Ledger {
    state: Mutex<State>,
    changed: Condvar,
    most_pooled: usize,
}

#[derive(Default)]
struct State {
    /// How often each handler was called.
    runs: Vec<usize>,
    pushes: usize,
    ended: usize,
    answers: usize,
    refused: usize,
    /// Handlers of the pool that are running.
    pooled: usize,
    /// Calls of routes that nobody has said anything of that are running.
    learning: usize,
    stuck: usize,
    /// Handlers that may run beyond the bound of the pool.
    forgiven: usize,
    released: bool,
}

impl Ledger {
    fn wait_while(&self, condition: impl Fn(&State) -> bool) {
        let mut state = lock(&self.state);
        while condition(&state) {
            state = self.changed.wait(state).expect("no thread has failed");
        }
    }

    fn note_push(&self) {
        lock(&self.state).pushes += 1;
        self.changed.notify_all();
    }

    fn receive(&self, numbers: Range<usize>, exchanges: Vec<Exchange>) {
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

struct Handler {
    temper: Temper,
    place: Place,
    ledger: Arc<Ledger>,
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

struct Stream {
    number: usize,
    ledger: Arc<Ledger>,
}

impl BodyStream for Stream {
    fn pull(&mut self) -> Pull {
        lock(&self.ledger.state).runs[self.number] += 1;
        Pull::End
    }
}

fn request(number: usize) -> Arc<Request> {
    let parts = RequestParts { target: &format!("/{number}"), ..RequestParts::default() };
    Arc::new(Request::from_parts(&parts).expect("nothing is wrong with it"))
}

fn answer(number: usize) -> Response {
    Response::text(number.to_string())
}

struct Silent;

impl LogSink for Silent {
    fn access(&self, _lines: &[u8]) {}

    fn event(&self, _level: Level, text: &str) {
        assert!(text.contains("no thread could be started"), "nothing else goes wrong here, but {text}");
    }
}
