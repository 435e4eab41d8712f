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
use super::sync::{Builder, Instant, MOST_CALLS, MutexGuard};
use super::word::{Call, Term};
use super::{Crew, Exchange, Executor, Job, Mailbox, Work, lock};
use crate::handler::SLOW;
use crate::log::Level;
use crate::site::Snapshot;

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
    /// Starts a thread that waits for a term.
    pub(super) fn hire(self: &Arc<Self>) -> io::Result<()> {
        let executor = Arc::clone(self);
        let count = |crew: &mut Crew, by: isize| {
            crew.alive = crew.alive.saturating_add_signed(by);
            crew.standby = crew.standby.saturating_add_signed(by);
        };
        // It counts as standing by from now on, so that nobody starts another one for the same duty.
        count(&mut lock(&self.crew), 1);
        let spawned = Builder::new().name("outside".into()).stack_size(STACK).spawn(move || {
            let host = Arc::clone(&executor.host);
            host.live(&mut || executor.stand_by());
            lock(&executor.crew).alive -= 1;
            executor.crew_ended.notify_all();
        });
        if spawned.is_err() {
            count(&mut lock(&self.crew), -1);
            self.crew_ended.notify_all();
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
        let hires = crew.lacks_threads(self.max_workers);
        drop(crew);
        self.crew_called.notify_one();
        if hires && let Err(error) = self.hire() {
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
        if let Some(mailbox) = lock(&self.underway).take() {
            self.put_out((mailbox, Vec::new()));
        }
        let mut stand = Stand::Leads;
        while stand == Stand::Leads && matches!(self.run_loop(), Turn::Jobs) {
            let host = Arc::clone(&self.host);
            host.work(&mut || stand = self.run_batch(term));
        }
        match stand {
            Stand::Leads => self.sentinel.dismiss(),
            away => lock(&self.crew).come_back(away),
        }
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
            if lock(&self.queue).is_empty() { Poll::Pending } else { Poll::Ready(Turn::Jobs) }
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
        let mut outbox = lock(&self.outbox);
        if outbox.is_empty() {
            return;
        }
        let mut deliveries = std::mem::take(&mut *outbox);
        drop(outbox);
        for (mailbox, exchanges) in deliveries.drain(..) {
            mailbox.put(exchanges);
        }
        let mut outbox = lock(&self.outbox);
        if outbox.capacity() == 0 {
            *outbox = deliveries;
        }
    }

    /// Calls handlers until it is time for the loop, or the term is lost.
    fn run_batch(self: &Arc<Self>, term: Term) -> Stand {
        // So that a handler can start tasks on this loop.
        let _inside = self.runtime.enter();
        let began = Instant::now();
        let mut now = began;
        for _ in 0..MOST_CALLS {
            let Some(job) = lock(&self.queue).pop_front() else { break };
            if job.is_held_up(self.reactor) {
                self.push_to_pool(job);
            } else {
                let stand = self.run_job(job, Some(term), &mut now);
                if stand != Stand::Leads {
                    return stand;
                }
            }
            if now - began > LONGEST_BATCH {
                break;
            }
        }
        Stand::Leads
    }

    /// Does one job and delivers it, all at once as long as this thread leads. `term` is that of a leader, `now` is moved
    /// on.
    pub(super) fn run_job(self: &Arc<Self>, mut job: Job, mut term: Option<Term>, now: &mut Instant) -> Stand {
        let [exchange] = &mut job.exchanges[..] else { return self.run_several(job, term, now) };
        let ended = self.run_exchange(exchange, &job.site, &job.mailbox, &mut term, now);
        match (ended, term) {
            (Ended::Awaited, Some(_)) => self.put_out((job.mailbox, job.exchanges)),
            (Ended::Awaited, None) => self.post(job.mailbox, job.exchanges),
            _ => {}
        }
        Stand::after(ended, term)
    }

    /// The same for several exchanges: a late one does not keep back those before it.
    fn run_several(self: &Arc<Self>, job: Job, mut term: Option<Term>, now: &mut Instant) -> Stand {
        let Job { exchanges, site, mailbox } = job;
        if term.is_some() {
            *lock(&self.underway) = Some(Arc::clone(&mailbox));
        }
        let (mut ended, mut held) = (Ended::Awaited, 0);
        for mut exchange in exchanges {
            // One that is left open is asked for once more.
            if exchange.is_open() && held <= MOST_HELD {
                ended = self.run_exchange(&mut exchange, &site, &mailbox, &mut term, now);
                if ended != Ended::Awaited {
                    break;
                }
            }
            held += exchange.held();
            mailbox.add(exchange);
            if term.is_none() {
                self.post(Arc::clone(&mailbox), Vec::new());
            }
        }
        if term.is_some() {
            *lock(&self.underway) = None;
            self.put_out((mailbox, Vec::new()));
        }
        Stand::after(ended, term)
    }

    /// Does what an exchange asks for, unless nobody waits for it. The term is gone if the loop was taken over meanwhile.
    fn run_exchange(
        &self,
        exchange: &mut Exchange,
        site: &Snapshot,
        mailbox: &Mailbox,
        term: &mut Option<Term>,
        now: &mut Instant,
    ) -> Ended {
        if !mailbox.begin() {
            return Ended::Abandoned;
        }
        match *term {
            Some(led) => {
                // Before the call begins, so that whoever takes the loop over knows of it.
                if let Work::Call(function) = &exchange.work {
                    function.placement.begin(self.reactor);
                }
                let call = self.word.begin(led);
                if call.is_some() {
                    self.sentinel.attend();
                }
                self.perform(exchange, site, now);
                if !call.is_some_and(|call| self.word.end(call)) {
                    *term = None;
                }
            }
            // Without the loop there is nothing to learn from its time.
            None => {
                exchange.perform(site, &self.log);
                exchange.was_slow = true;
            }
        }
        mailbox.end()
    }

    /// Does what an exchange asks for, and learns from how long it waited.
    fn perform(&self, exchange: &mut Exchange, site: &Snapshot, now: &mut Instant) {
        let suspicion = match &exchange.work {
            Work::Call(function) => function.placement.suspicion(),
            _ => None,
        };
        let before = suspicion.map(|suspicion| (suspicion, busy_time(suspicion)));
        let called = exchange.perform(site, &self.log);
        let ended = Instant::now();
        let elapsed = ended - *now;
        *now = ended;
        exchange.was_slow = elapsed >= SLOW;
        if let Some(function) = called {
            function.placement.end(self.reactor);
            let busy = before.filter(|_| exchange.was_slow);
            let busy = busy.map_or(Duration::ZERO, |(how, before)| busy_time(how).saturating_sub(before));
            function.placement.note(elapsed, elapsed.saturating_sub(busy), || ended - self.started);
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
    /// It was given up, and counts for nothing.
    GivenUp,
}

impl Stand {
    fn after(ended: Ended, term: Option<Term>) -> Self {
        match (ended, term) {
            (Ended::GivenUp, _) => Self::GivenUp,
            (_, Some(_)) => Self::Leads,
            (_, None) => Self::Away,
        }
    }
}

/// What a thread that stood by is to do.
enum Duty {
    Lead(Term),
    Work(Job),
}
