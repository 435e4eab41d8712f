//! The leader's turn, and the threads that take turns at leading.
//!
//! A turn: the event loop runs, delivers what is in the outbox, makes one full pass over tasks, network and timers,
//! and only then may it report jobs; without that pass a long queue would starve all else. Then the leader, outside of
//! the loop, pops jobs one at a time. Each answer goes into the shared outbox at once, so that it never waits for the
//! call behind it.

use std::io;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use super::busy::busy_time;
use super::job::MOST_HELD;
use super::mailbox::Ended;
use super::pool::SPARE;
use super::reactor::{Delivery, Task};
use super::sync::{Builder, Instant, MOST_CALLS, MutexGuard, Ordering};
use super::word::{Call, Term};
use super::{Crew, Exchange, Executor, Job, Mailbox, Turn as SessionTurn, Work, lock};
use crate::handler::SLOW;
use crate::log::Level;
use crate::site::Snapshot;
use crate::websocket::Bell;

/// A batch of calls ends after this long, if not after so many calls.
const LONGEST_BATCH: Duration = Duration::from_micros(150);
/// Threads that run foreign code: deep recursion in C needs as much as a main thread has. Untouched pages cost nothing.
pub(super) const STACK: usize = 8 << 20;

/// Why the event loop came back.
enum Turn {
    Jobs,
    Stop,
}

impl Executor {
    /// Starts a thread that waits for a duty.
    pub(super) fn hire(self: &Arc<Self>, mut crew: MutexGuard<'_, Crew>) -> io::Result<()> {
        // It counts as standing by from now on, so that nobody starts another one for the same duty.
        crew.alive += 1;
        crew.standby += 1;
        drop(crew);
        let executor = Arc::clone(self);
        let spawned = Builder::new().name("outside".into()).stack_size(STACK).spawn(move || {
            let host = Arc::clone(&executor.host);
            host.live(&mut || {
                lock(&executor.crew).entered += 1;
                executor.crew_changed.notify_all();
                executor.stand_by();
            });
            lock(&executor.crew).alive -= 1;
            executor.crew_changed.notify_all();
        });
        if spawned.is_err() {
            let mut crew = lock(&self.crew);
            crew.alive -= 1;
            crew.standby -= 1;
            drop(crew);
            self.crew_changed.notify_all();
        }
        spawned.map(|_| ())
    }

    /// Takes the loop over from a call that lasts, and offers the new term to whoever stands by, or to a new thread.
    pub(super) fn take_over(self: &Arc<Self>, call: Call) {
        // Under the lock, so that the late thread cannot come back before it is counted as away.
        let mut crew = lock(&self.crew);
        let Some(term) = self.word.take_over(call) else { return };
        crew.away += 1;
        crew.offered = Some(term);
        self.call_crew(crew);
    }

    /// Wakes a thread that stands by for a duty that has come up, and starts one if there are too few.
    pub(super) fn call_crew(self: &Arc<Self>, crew: MutexGuard<'_, Crew>) {
        let spare = if self.is_stopping() { 0 } else { SPARE };
        let is_urgent = crew.offered.is_some() && crew.lacks_threads(self.max_workers, 0);
        let hired = match crew.lacks_threads(self.max_workers, spare) {
            true => self.hire(crew),
            false => {
                drop(crew);
                Ok(())
            }
        };
        self.crew_called.notify_one();
        if let Err(error) = hired
            && is_urgent
        {
            // Whoever is done first becomes a standby, and takes the duty then.
            self.log.event(Level::Error, format!("no thread could be started: {error}"));
        }
    }

    /// A thread's life: waits to be needed, leads or works in the pool, and waits again.
    fn stand_by(self: &Arc<Self>) {
        loop {
            let mut crew = lock(&self.crew);
            let duty = loop {
                if let Some(term) = crew.offered.take() {
                    break Some(Duty::Lead(term));
                }
                if let Some(job) = crew.take_job(self.max_workers) {
                    break Some(Duty::Work(job));
                }
                if self.is_stopping() {
                    break None;
                }
                crew = self.crew_called.wait(crew).unwrap_or_else(PoisonError::into_inner);
            };
            crew.standby -= 1;
            drop(crew);
            match duty {
                Some(Duty::Lead(term)) => self.lead(term),
                Some(Duty::Work(job)) => self.work_in_pool(job),
                None => return,
            }
            lock(&self.crew).standby += 1;
        }
    }

    /// Drives the event loop until the term is lost or all stops.
    fn lead(self: &Arc<Self>, term: Term) {
        self.bell.begin_term();
        if let Some(mailbox) = lock(&self.underway).take() {
            self.put_out(Delivery::Exchanges(mailbox, Vec::new()));
        }
        let mut stand = Stand::Leads;
        while stand == Stand::Leads && matches!(self.run_inside(), Turn::Jobs) {
            let host = Arc::clone(&self.host);
            let entry = self.begin_entry(term);
            host.work(&mut || {
                let role = if self.end_entry(entry) { Role::Leader(term) } else { Role::Late };
                stand = self.run_batch(role);
            });
        }
        Bell::end_term();
        match stand {
            Stand::Leads => {
                self.bell.end();
                self.sentinel.dismiss();
            }
            away => lock(&self.crew).come_back(away),
        }
    }

    /// Begins to enter the host, which may take as long as a call: a handler may hold the one lock of its language. Then
    /// the loop is taken over, and nobody else tries to enter until this thread has.
    fn begin_entry(&self, term: Term) -> Option<Call> {
        self.entering.store(true, Ordering::SeqCst);
        let entry = self.word.begin(term);
        self.sentinel.attend();
        entry
    }

    /// The host is entered. Does this thread still lead?
    fn end_entry(&self, entry: Option<Call>) -> bool {
        let leads = entry.is_some_and(|entry| self.word.end(entry));
        self.entering.store(false, Ordering::SeqCst);
        if !leads {
            self.wake_root();
        }
        leads
    }

    fn run_inside(&self) -> Turn {
        Bell::set_inside(true);
        let turn = self.run_loop();
        Bell::set_inside(false);
        turn
    }

    fn run_loop(&self) -> Turn {
        let mut passed = false;
        let mut stopping = false;
        self.runtime.block_on(std::future::poll_fn(|context| {
            self.register_root(context);
            self.deliver();
            if !passed {
                passed = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.is_stopping() && lock(&self.queue).is_empty() {
                if stopping {
                    return Poll::Ready(Turn::Stop);
                }
                // One pass more, so that tasks which were aborted let go of what they hold.
                stopping = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.entering.load(Ordering::SeqCst) || lock(&self.queue).is_empty() {
                return Poll::Pending;
            }
            Poll::Ready(Turn::Jobs)
        }))
    }

    /// Whoever adds to queue or outbox afterwards wakes the root, so this comes before looking at them.
    fn register_root(&self, context: &Context<'_>) {
        let mut root = lock(&self.root);
        if !root.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *root = Some(context.waker().clone());
        }
    }

    /// Inside the loop, where waking a task costs no system call.
    fn deliver(&self) {
        self.bell.answer();
        let mut outbox = lock(&self.outbox);
        if outbox.is_empty() {
            return;
        }
        let mut deliveries = std::mem::take(&mut *outbox);
        drop(outbox);
        for delivery in deliveries.drain(..) {
            match delivery {
                Delivery::Exchanges(mailbox, exchanges) => mailbox.put(exchanges),
                Delivery::Turn(connection) => connection.call_session(),
            }
        }
        let mut outbox = lock(&self.outbox);
        if outbox.capacity() == 0 {
            *outbox = deliveries;
        }
    }

    /// Calls handlers until it is time for the loop, or the term is lost. One who was late in entering the host does the
    /// same share of the work: whoever leads by now may have to wait as long to do it.
    fn run_batch(self: &Arc<Self>, role: Role) -> Stand {
        // So that a handler can start tasks on this loop.
        let _inside = self.runtime.enter();
        let mut stand = role.stand();
        let mut now = Instant::now();
        let end = now + LONGEST_BATCH;
        for _ in 0..MOST_CALLS {
            let Some(task) = lock(&self.queue).pop_front() else { break };
            match task {
                Task::Job(job) if job.is_held_up(self.reactor) => self.push_to_pool(job),
                Task::Job(job) => stand = self.run_job(job, role, &mut now),
                Task::Turn(turn) => stand = self.run_turn(turn, role, &mut now),
            }
            if stand != role.stand() || now > end {
                break;
            }
        }
        stand
    }

    /// Calls the handler of a WebSocket. A turn that is the last reference to its connection ends here, inside the host.
    fn run_turn(&self, mut turn: SessionTurn, mut role: Role, now: &mut Instant) -> Stand {
        let call = self.begin_call(role);
        turn.perform(&self.log);
        self.end_call(call, &mut role);
        *now = Instant::now();
        if turn.connection.end_turn() {
            self.put_out(Delivery::Turn(turn.connection));
            if !matches!(role, Role::Leader(_)) {
                self.wake_root();
            }
        }
        role.stand()
    }

    /// A handler is about to be called.
    fn begin_call(&self, role: Role) -> Option<Call> {
        let Role::Leader(term) = role else { return None };
        let call = self.word.begin(term);
        if call.is_some() {
            self.sentinel.attend();
        }
        call
    }

    /// It has come back. A leader is late if the loop was taken over meanwhile.
    fn end_call(&self, call: Option<Call>, role: &mut Role) {
        if matches!(role, Role::Leader(_)) && !call.is_some_and(|call| self.word.end(call)) {
            *role = Role::Late;
        }
    }

    /// Does one job and delivers it, all at once as long as this thread leads. `now` is moved on.
    pub(super) fn run_job(self: &Arc<Self>, mut job: Job, mut role: Role, now: &mut Instant) -> Stand {
        let [exchange] = &mut job.exchanges[..] else { return self.run_several(job, role, now) };
        let ended = self.run_exchange(exchange, &job.site, &job.mailbox, &mut role, now);
        if ended == Ended::Awaited {
            match role {
                Role::Leader(_) => self.put_out(Delivery::Exchanges(job.mailbox, job.exchanges)),
                _ => self.post(job.mailbox, job.exchanges),
            }
        }
        role.stand_after(ended)
    }

    /// The same for several exchanges: a late one does not keep back those before it.
    fn run_several(self: &Arc<Self>, job: Job, mut role: Role, now: &mut Instant) -> Stand {
        let Job { exchanges, site, mailbox } = job;
        if let Role::Leader(_) = role {
            *lock(&self.underway) = Some(Arc::clone(&mailbox));
        }
        let (mut ended, mut held) = (Ended::Awaited, 0);
        for mut exchange in exchanges {
            // One that is left open is asked for once more.
            if exchange.is_open() && held <= MOST_HELD {
                ended = self.run_exchange(&mut exchange, &site, &mailbox, &mut role, now);
                if ended != Ended::Awaited {
                    break;
                }
            }
            held += exchange.held();
            mailbox.add(exchange);
            if role.stand() == Stand::Away {
                self.post(Arc::clone(&mailbox), Vec::new());
            }
        }
        if let Role::Leader(_) = role {
            *lock(&self.underway) = None;
            self.put_out(Delivery::Exchanges(mailbox, Vec::new()));
        }
        role.stand_after(ended)
    }

    /// Does what an exchange asks for, unless nobody waits for it.
    fn run_exchange(
        &self,
        exchange: &mut Exchange,
        site: &Snapshot,
        mailbox: &Mailbox,
        role: &mut Role,
        now: &mut Instant,
    ) -> Ended {
        if mailbox.is_full() && exchange.begins() {
            // It goes back as it came.
            return Ended::Awaited;
        }
        if !mailbox.begin() {
            return Ended::Abandoned;
        }
        if !matches!(role, Role::Worker)
            && let Work::Call(function) = &exchange.work
        {
            // Before the call begins, so that whoever takes the loop over knows of it.
            function.placement.begin(self.reactor);
        }
        let call = self.begin_call(*role);
        self.perform(exchange, site, *role, now);
        self.end_call(call, role);
        mailbox.count(exchange);
        mailbox.end()
    }

    /// Does what an exchange asks for, and learns from how long it waited; but without the loop there is nothing to learn.
    fn perform(&self, exchange: &mut Exchange, site: &Snapshot, role: Role, now: &mut Instant) {
        let suspicion = match (&exchange.work, role) {
            (Work::Call(function), Role::Leader(_)) => function.placement.suspicion(),
            _ => None,
        };
        let before = suspicion.map(|suspicion| (suspicion, busy_time(suspicion)));
        let called = exchange.perform(site, &self.log);
        let ended = Instant::now();
        let elapsed = ended - *now;
        *now = ended;
        exchange.was_slow = elapsed >= SLOW;
        let Some(function) = called else { return };
        function.learn(exchange.held());
        if !matches!(role, Role::Worker) {
            function.placement.end(self.reactor);
        }
        if let Role::Leader(_) = role {
            let busy = before.filter(|_| exchange.was_slow);
            let busy = busy.map_or(Duration::ZERO, |(how, before)| busy_time(how).saturating_sub(before));
            function.placement.note(elapsed, elapsed.saturating_sub(busy), || ended - self.started);
        }
    }
}

/// As what a thread does a job.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// It drives the event loop.
    Leader(Term),
    /// It did, until it was late.
    Late,
    /// The job came to the pool.
    Worker,
}

impl Role {
    fn stand(self) -> Stand {
        match self {
            Self::Leader(_) => Stand::Leads,
            Self::Late | Self::Worker => Stand::Away,
        }
    }

    fn stand_after(self, ended: Ended) -> Stand {
        match ended {
            Ended::GivenUp => Stand::GivenUp,
            Ended::Uncounted => Stand::Uncounted,
            Ended::Awaited | Ended::Abandoned => self.stand(),
        }
    }
}

/// What a thread is that has done a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// It drives the event loop.
    Leads,
    /// It does not, and counts as a worker.
    Away,
    /// Its client was gone, and it does not count meanwhile.
    Uncounted,
    /// It was given up, and counts for nothing.
    GivenUp,
}

/// What a thread that stood by is to do.
enum Duty {
    Lead(Term),
    Work(Job),
}
