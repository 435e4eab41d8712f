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
use super::leader_lease::{Call, Epoch};
use super::pool::SPARE;
use super::reactor::{Delivery, Task};
use super::reply_slot::Ended;
use super::sync::{Builder, Instant, MOST_CALLS, MutexGuard, Ordering};
use super::{Exchange, Executor, Job, ReplySlot, Threads, Turn as SessionTurn, Work, lock};
use crate::handler::SLOW;
use crate::log::Level;
use crate::site::Snapshot;
use crate::websocket::FlushQueue;

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
    /// Starts a thread that waits for a assignment.
    pub(super) fn spawn_thread(self: &Arc<Self>, mut threads: MutexGuard<'_, Threads>) -> io::Result<()> {
        // It counts as standing by from now on, so that nobody starts another one for the same assignment.
        threads.alive += 1;
        threads.standby += 1;
        drop(threads);
        let executor = Arc::clone(self);
        let spawned = Builder::new().name("outside".into()).stack_size(STACK).spawn(move || {
            let host = Arc::clone(&executor.host);
            host.live(&mut || {
                lock(&executor.threads).entered += 1;
                executor.threads_changed.notify_all();
                executor.stand_by();
            });
            lock(&executor.threads).alive -= 1;
            executor.threads_changed.notify_all();
        });
        if spawned.is_err() {
            let mut threads = lock(&self.threads);
            threads.alive -= 1;
            threads.standby -= 1;
            drop(threads);
            self.threads_changed.notify_all();
        }
        spawned.map(|_| ())
    }

    /// Takes the loop over from a call that lasts, and offers the new epoch to whoever stands by, or to a new thread.
    pub(super) fn take_over(self: &Arc<Self>, call: Call) {
        // Under the lock, so that the late thread cannot come back before it is counted as detached.
        let mut threads = lock(&self.threads);
        let Some(epoch) = self.lease.take_over(call) else { return };
        threads.detached += 1;
        threads.offered = Some(epoch);
        self.call_threads(threads);
    }

    /// Wakes a thread that stands by for a assignment that has come up, and starts one if there are too few.
    pub(super) fn call_threads(self: &Arc<Self>, threads: MutexGuard<'_, Threads>) {
        let spare = if self.is_stopping() { 0 } else { SPARE };
        let is_urgent = threads.offered.is_some() && threads.lacks_threads(self.max_workers, 0);
        let spawned = match threads.lacks_threads(self.max_workers, spare) {
            true => self.spawn_thread(threads),
            false => {
                drop(threads);
                Ok(())
            }
        };
        self.threads_called.notify_one();
        if let Err(error) = spawned
            && is_urgent
        {
            // Whoever is done first becomes a standby, and takes the assignment then.
            self.log.event(Level::Error, format!("no thread could be started: {error}"));
        }
    }

    /// A thread's life: waits to be needed, leads or works in the pool, and waits again.
    fn stand_by(self: &Arc<Self>) {
        loop {
            let mut threads = lock(&self.threads);
            let assignment = loop {
                if let Some(epoch) = threads.offered.take() {
                    break Some(Assignment::Lead(epoch));
                }
                if let Some(job) = threads.take_job(self.max_workers) {
                    break Some(Assignment::Work(job));
                }
                if self.is_stopping() {
                    break None;
                }
                threads = self.threads_called.wait(threads).unwrap_or_else(PoisonError::into_inner);
            };
            threads.standby -= 1;
            drop(threads);
            match assignment {
                Some(Assignment::Lead(epoch)) => self.lead(epoch),
                Some(Assignment::Work(job)) => self.work_in_pool(job),
                None => return,
            }
            lock(&self.threads).standby += 1;
        }
    }

    /// Drives the event loop until the epoch is lost or all stops.
    fn lead(self: &Arc<Self>, epoch: Epoch) {
        self.flush_queue.begin_epoch();
        if let Some(slot) = lock(&self.underway).take() {
            self.put_out(Delivery::Exchanges(slot, Vec::new()));
        }
        let mut state = ThreadState::Leads;
        while state == ThreadState::Leads && matches!(self.run_inside(), Turn::Jobs) {
            let host = Arc::clone(&self.host);
            let entry = self.begin_entry(epoch);
            host.work(&mut || {
                let role = if self.end_entry(entry) { Role::Leader(epoch) } else { Role::Late };
                state = self.run_batch(role);
            });
        }
        FlushQueue::end_epoch();
        match state {
            ThreadState::Leads => {
                self.flush_queue.end();
                self.sentinel.dismiss();
            }
            detached => lock(&self.threads).come_back(detached),
        }
    }

    /// Begins to enter the host, which may take as long as a call: a handler may hold the one lock of its language. Then
    /// the loop is taken over, and nobody else tries to enter until this thread has.
    fn begin_entry(&self, epoch: Epoch) -> Option<Call> {
        self.entering.store(true, Ordering::SeqCst);
        let entry = self.lease.begin(epoch);
        self.sentinel.note_call();
        entry
    }

    /// The host is entered. Does this thread still lead?
    fn end_entry(&self, entry: Option<Call>) -> bool {
        let leads = entry.is_some_and(|entry| self.lease.end(entry));
        self.entering.store(false, Ordering::SeqCst);
        if !leads {
            self.wake_root();
        }
        leads
    }

    fn run_inside(&self) -> Turn {
        FlushQueue::set_inside(true);
        let turn = self.run_loop();
        FlushQueue::set_inside(false);
        turn
    }

    /// Drives the event loop until there are jobs, or all stops.
    ///
    /// The future below is polled at the beginning and each time it is woken. In the first poll it delivers the outbox and
    /// wakes itself without looking at the queue: tokio then polls other tasks and looks at sockets and timers once before it
    /// comes here again. Without that pass a queue that never empties would keep the loop from all of them, because each turn
    /// would end in its first poll. While another thread is entering the host, jobs stay in the queue: this thread would only
    /// wait behind it for the one lock of the language, and the loop would stand still meanwhile (`end_entry` wakes the root).
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

    /// Stores the waker of the future that the leader blocks on.
    ///
    /// This comes before the queue and the outbox are looked at. A connection or a late thread that adds something after that
    /// look finds the waker of this turn and wakes it; one that added something before the look is seen by it. In the other
    /// order, an answer that is added between look and registration would wake the future of a leader that is gone, and would
    /// lie there until something else happens. The waker of a new leader is another one, so it is compared each time.
    fn register_root(&self, context: &Context<'_>) {
        let mut root = lock(&self.root);
        if !root.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *root = Some(context.waker().clone());
        }
    }

    /// Inside the loop, where waking a task costs no system call.
    fn deliver(&self) {
        self.flush_queue.flush();
        let mut outbox = lock(&self.outbox);
        if outbox.is_empty() {
            return;
        }
        let mut deliveries = std::mem::take(&mut *outbox);
        drop(outbox);
        for delivery in deliveries.drain(..) {
            match delivery {
                Delivery::Exchanges(slot, exchanges) => slot.put(exchanges),
                Delivery::Turn(connection) => connection.call_session(),
            }
        }
        let mut outbox = lock(&self.outbox);
        if outbox.capacity() == 0 {
            *outbox = deliveries;
        }
    }

    /// Calls handlers until it is time for the loop, or the epoch is lost. One who was late in entering the host does the
    /// same share of the work: whoever leads by now may have to wait as long to do it.
    fn run_batch(self: &Arc<Self>, role: Role) -> ThreadState {
        // So that a handler can start tasks on this loop.
        let _inside = self.runtime.enter();
        let mut state = role.state();
        let mut now = Instant::now();
        let end = now + LONGEST_BATCH;
        for _ in 0..MOST_CALLS {
            let Some(task) = lock(&self.queue).pop_front() else { break };
            match task {
                Task::Job(job) if job.is_held_up(self.reactor) => self.push_to_pool(job),
                Task::Job(job) => state = self.run_job(job, role, &mut now),
                Task::Turn(turn) => state = self.run_turn(turn, role, &mut now),
            }
            if state != role.state() || now > end {
                break;
            }
        }
        state
    }

    /// Calls the handler of a WebSocket. A turn that is the last reference to its connection ends here, inside the host.
    fn run_turn(&self, mut turn: SessionTurn, mut role: Role, now: &mut Instant) -> ThreadState {
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
        role.state()
    }

    /// A handler is about to be called.
    fn begin_call(&self, role: Role) -> Option<Call> {
        let Role::Leader(epoch) = role else { return None };
        let call = self.lease.begin(epoch);
        if call.is_some() {
            self.sentinel.note_call();
        }
        call
    }

    /// It has come back. A leader is late if the loop was taken over meanwhile.
    fn end_call(&self, call: Option<Call>, role: &mut Role) {
        if matches!(role, Role::Leader(_)) && !call.is_some_and(|call| self.lease.end(call)) {
            *role = Role::Late;
        }
    }

    /// Does one job and delivers it, all at once as long as this thread leads. `now` is moved on.
    pub(super) fn run_job(self: &Arc<Self>, mut job: Job, mut role: Role, now: &mut Instant) -> ThreadState {
        let [exchange] = &mut job.exchanges[..] else { return self.run_several(job, role, now) };
        let ended = self.run_exchange(exchange, &job.site, &job.slot, &mut role, now);
        if ended == Ended::Awaited {
            match role {
                Role::Leader(_) => self.put_out(Delivery::Exchanges(job.slot, job.exchanges)),
                _ => self.post(job.slot, job.exchanges),
            }
        }
        role.state_after(ended)
    }

    /// The same for several exchanges: a late one does not keep back those before it.
    fn run_several(self: &Arc<Self>, job: Job, mut role: Role, now: &mut Instant) -> ThreadState {
        let Job { exchanges, site, slot } = job;
        if let Role::Leader(_) = role {
            *lock(&self.underway) = Some(Arc::clone(&slot));
        }
        let (mut ended, mut held) = (Ended::Awaited, 0);
        for mut exchange in exchanges {
            // One that is left open is asked for once more.
            if exchange.is_open() && held <= MOST_HELD {
                ended = self.run_exchange(&mut exchange, &site, &slot, &mut role, now);
                if ended != Ended::Awaited {
                    break;
                }
            }
            held += exchange.held();
            slot.add(exchange);
            if role.state() == ThreadState::Detached {
                self.post(Arc::clone(&slot), Vec::new());
            }
        }
        if let Role::Leader(_) = role {
            *lock(&self.underway) = None;
            self.put_out(Delivery::Exchanges(slot, Vec::new()));
        }
        role.state_after(ended)
    }

    /// Does what an exchange asks for, unless nobody waits for it.
    fn run_exchange(
        &self,
        exchange: &mut Exchange,
        site: &Snapshot,
        slot: &ReplySlot,
        role: &mut Role,
        now: &mut Instant,
    ) -> Ended {
        if slot.is_full() && exchange.begins() {
            // It goes back as it came.
            return Ended::Awaited;
        }
        if !slot.begin() {
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
        slot.count(exchange);
        slot.end()
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
    Leader(Epoch),
    /// It did, until it was late.
    Late,
    /// The job came to the pool.
    Worker,
}

impl Role {
    fn state(self) -> ThreadState {
        match self {
            Self::Leader(_) => ThreadState::Leads,
            Self::Late | Self::Worker => ThreadState::Detached,
        }
    }

    fn state_after(self, ended: Ended) -> ThreadState {
        match ended {
            Ended::GivenUp => ThreadState::GivenUp,
            Ended::Uncounted => ThreadState::Uncounted,
            Ended::Awaited | Ended::Abandoned => self.state(),
        }
    }
}

/// What a thread is that has done a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThreadState {
    /// It drives the event loop.
    Leads,
    /// It does not, and counts as a worker.
    Detached,
    /// Its client was gone, and it does not count meanwhile.
    Uncounted,
    /// It was given up, and counts for nothing.
    GivenUp,
}

/// What a thread that stood by is to do.
enum Assignment {
    Lead(Epoch),
    Work(Job),
}
