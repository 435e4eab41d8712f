//! The leader's turn at the event loop, and the calls in it.
//!
//! A turn: the event loop runs, delivers what is in the outbox, makes one full pass over tasks, network and timers,
//! and only then may it report jobs; without that pass a long queue would starve the tasks. Then the leader, outside of
//! the loop, pops jobs one at a time. Each answer goes into the shared outbox at once, so that it never waits for the
//! next call.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::busy::busy_time;
use super::command::{Callback as _, Command, MOST_HELD, ThreadFrame as _, Woken as _};
use super::job::Job;
use super::leader_lease::{Epoch, LeasedCall};
use super::lock::lock;
use super::reactor::{Executor, Handback};
use super::reply_slot::{Ended, ReplySlot};
use super::role::{Role, ThreadState};
use super::sync::{Instant, MOST_CALLS, Ordering};
use super::task_queue::Task;
use crate::placement::{Placement, SLOW};

/// Duration after which a batch of calls ends, even if it has made fewer than [`MOST_CALLS`].
const LONGEST_BATCH: Duration = Duration::from_micros(150);
/// Calls without an answer between two looks at the clock: most take less time than the look.
const UNWATCHED: u32 = 4;
/// The reason for which the leader left the event loop.
enum LoopExit {
    Jobs,
    Stop,
}

impl<C: Command> Executor<C> {
    /// Drives the event loop until the epoch is lost or the executor stops.
    pub(super) fn lead(self: &Arc<Self>, epoch: Epoch) {
        self.woken.begin_epoch();
        if let Some(slot) = lock(&self.underway).take() {
            self.put_out(Handback::Commands(slot, Vec::new()));
        }
        let mut state = ThreadState::Leads;
        while state == ThreadState::Leads && matches!(self.run_inside(), LoopExit::Jobs) {
            let host = Arc::clone(&self.host);
            let entry = self.begin_entry(epoch);
            host.work(&mut || {
                let role = if self.end_entry(entry) { Role::Leader(epoch) } else { Role::Late };
                state = self.run_batch(role);
            });
        }
        C::Woken::end_epoch();
        match state {
            ThreadState::Leads => {
                self.woken.end();
                self.sentinel.dismiss();
            }
            detached => lock(&self.threads).come_back(detached),
        }
    }

    /// Begins to enter the host, which may take as long as a call: a handler may hold the one lock of its language.
    /// Then the loop is taken over, and no other thread tries to enter before this one has entered.
    fn begin_entry(&self, epoch: Epoch) -> Option<LeasedCall> {
        self.entering.store(true, Ordering::SeqCst);
        let entry = self.lease.begin(epoch);
        self.sentinel.note_call();
        entry
    }

    /// Notes that the host is entered. Returns whether this thread still leads.
    fn end_entry(&self, entry: Option<LeasedCall>) -> bool {
        let leads = entry.is_some_and(|entry| self.lease.end(entry));
        self.entering.store(false, Ordering::SeqCst);
        if !leads {
            self.wake_root();
        }
        leads
    }

    fn run_inside(&self) -> LoopExit {
        self.sentinel.turns.look();
        C::Woken::set_inside(true);
        self.host.begin_turn();
        let turn = self.run_loop();
        self.host.end_turn(false);
        C::Woken::set_inside(false);
        turn
    }

    /// Drives the event loop until there are jobs, or the executor stops.
    ///
    /// The future below is polled at first and each time it is woken. In the first poll it delivers the outbox and takes
    /// no jobs: tokio polls other tasks, sockets and timers once before the next poll. Without that pass a queue that
    /// never empties would keep the loop from all of them, because each turn would end in its first poll. Only if there
    /// is something left to do does it wake itself for the next poll: otherwise the loop would ask the network for
    /// nothing, and then once more to wait. While another thread enters the host, jobs stay in the queue: this thread
    /// would only wait behind it for the one lock of the language, and the loop would stand still (`end_entry` wakes
    /// the root).
    fn run_loop(&self) -> LoopExit {
        let mut passed = false;
        let mut stopping = false;
        self.runtime.block_on(std::future::poll_fn(|context| {
            if !passed {
                passed = true;
                self.register_root(context);
                self.deliver();
                // Jobs that other threads add from now on wake the root.
                if self.is_stopping() || !lock(&self.queue).is_empty() {
                    context.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            self.deliver();
            if self.is_stopping() && lock(&self.queue).is_empty() {
                if stopping {
                    return Poll::Ready(LoopExit::Stop);
                }
                // One pass more, so that tasks which were aborted release their memory and sockets.
                stopping = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.entering.load(Ordering::SeqCst) || lock(&self.queue).is_empty() {
                return Poll::Pending;
            }
            Poll::Ready(LoopExit::Jobs)
        }))
    }

    /// Stores the waker of the future that the leader blocks on.
    ///
    /// Called before the look at queue and outbox. A connection or a late thread that adds a job or an answer after
    /// that look finds the waker of this turn and wakes it; the look sees all that were added before it. In the other
    /// order, an answer that is added between look and registration would wake the future of a leader that is gone, and
    /// would lie there until the next event. The waker of a new leader is another one, so it is compared in each turn.
    fn register_root(&self, context: &Context<'_>) {
        let mut root = lock(&self.root);
        if !root.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *root = Some(context.waker().clone());
        }
    }

    /// Delivers the outbox, inside the loop, where waking a task costs no system call.
    fn deliver(&self) {
        self.woken.flush();
        let mut outbox = lock(&self.outbox);
        if outbox.is_empty() {
            return;
        }
        let mut deliveries = std::mem::take(&mut *outbox);
        drop(outbox);
        // No time from before the end of these calls is the end of their answers.
        self.sentinel.turns.next();
        for delivery in deliveries.drain(..) {
            match delivery {
                Handback::Commands(slot, exchanges) => slot.put(exchanges),
                Handback::Session(session) => C::Callback::tell(session),
            }
        }
        let mut outbox = lock(&self.outbox);
        if outbox.capacity() == 0 {
            *outbox = deliveries;
        }
    }

    /// Calls handlers until it is time for the loop, or the epoch is lost. A thread that was late in entering the host
    /// runs such a batch too: the new leader may have to wait as long to enter.
    fn run_batch(self: &Arc<Self>, role: Role) -> ThreadState {
        // Entered, so that a handler can start tasks on this loop.
        let _inside = self.runtime.enter();
        let mut state = role.state();
        let mut now = Instant::now();
        let mut unwatched = 0;
        let end = now + LONGEST_BATCH;
        for _ in 0..MOST_CALLS {
            let Some(task) = lock(&self.queue).pop() else { break };
            match task {
                Task::Job(job) if job.is_held_up(self.reactor) || self.has_late_pieces(&job) => self.push_to_pool(job),
                Task::Job(job) => {
                    if std::mem::take(&mut unwatched) > 0 {
                        now = Instant::now();
                    }
                    state = self.run_job(job, role, &mut now);
                }
                Task::Call(call) => {
                    state = self.run_call(call, role);
                    unwatched += 1;
                    if unwatched == UNWATCHED {
                        (now, unwatched) = (Instant::now(), 0);
                    }
                }
            }
            if state != role.state() || now > end {
                break;
            }
        }
        state
    }

    /// Whether the job makes a piece of an answer, as many others do that are late: another thread for each would have no
    /// bound, because a piece has no route that is known to wait.
    fn has_late_pieces(&self, job: &Job<C>) -> bool {
        !job.may_be_turned_away() && lock(&self.threads).late_pieces >= (self.max_workers / 2).max(1)
    }

    /// Makes a call that has no answer. The callback is dropped inside the host.
    fn run_call(&self, mut work: C::Callback, mut role: Role) -> ThreadState {
        let call = self.begin_call(role);
        work.perform(&self.log);
        self.end_call(call, &mut role);
        if work.is_unfinished() {
            // Behind all other jobs: a client that sends much delays no other one.
            self.push_task(Task::Call(work));
            return role.state();
        }
        if let Some(session) = work.end() {
            self.put_out(Handback::Session(session));
            if !matches!(role, Role::Leader(_)) {
                self.wake_root();
            }
        }
        role.state()
    }

    /// Begins a call of a handler in the lease, if this thread leads.
    fn begin_call(&self, role: Role) -> Option<LeasedCall> {
        let Role::Leader(epoch) = role else { return None };
        let call = self.lease.begin(epoch);
        if call.is_some() {
            self.sentinel.note_call();
        }
        call
    }

    /// Ends the call. A leader is late if the loop was taken over meanwhile.
    fn end_call(&self, call: Option<LeasedCall>, role: &mut Role) {
        if matches!(role, Role::Leader(_)) && !call.is_some_and(|call| self.lease.end(call)) {
            *role = Role::Late;
        }
    }

    /// Performs one job and delivers it, all at once as long as this thread leads. `now` becomes the time of its end.
    pub(super) fn run_job(self: &Arc<Self>, mut job: Job<C>, mut role: Role, now: &mut Instant) -> ThreadState {
        let [command] = &mut job.commands[..] else { return self.run_several(job, role, now) };
        let ended = self.run_command(command, &job.context, &job.slot, &mut role, now);
        if ended == Ended::Awaited && !command.is_sent() {
            match role {
                Role::Leader(_) => self.put_out(Handback::Commands(job.slot, job.commands)),
                _ => self.post(job.slot, job.commands),
            }
        }
        role.state_after(ended)
    }

    /// The same for several commands: a late one does not keep back the answers before it.
    fn run_several(self: &Arc<Self>, job: Job<C>, mut role: Role, now: &mut Instant) -> ThreadState {
        let Job { commands, context, slot } = job;
        if let Role::Leader(_) = role {
            *lock(&self.underway) = Some(Arc::clone(&slot));
        }
        slot.reserve(commands.len());
        let (mut ended, mut held) = (Ended::Awaited, 0);
        for mut command in commands {
            // The connection asks once more for a command that is left open.
            if command.is_open() && held <= MOST_HELD {
                ended = self.run_command(&mut command, &context, &slot, &mut role, now);
                if ended != Ended::Awaited {
                    break;
                }
            }
            if command.is_sent() {
                continue;
            }
            held += command.held();
            slot.add(command);
            if role.state() == ThreadState::Detached {
                self.post(Arc::clone(&slot), Vec::new());
            }
        }
        if let Role::Leader(_) = role {
            *lock(&self.underway) = None;
            self.put_out(Handback::Commands(slot, Vec::new()));
        }
        role.state_after(ended)
    }

    /// Performs a command, unless the connection does not wait for it any more.
    fn run_command(
        self: &Arc<Self>,
        command: &mut C,
        context: &C::Context,
        slot: &Arc<ReplySlot<C>>,
        role: &mut Role,
        now: &mut Instant,
    ) -> Ended {
        if slot.is_full() && command.begins() {
            // The command goes back unchanged.
            return Ended::Awaited;
        }
        if !slot.begin() {
            return Ended::Abandoned;
        }
        if !matches!(role, Role::Worker)
            && let Some(function) = command.function()
        {
            // Before the call begins, so that a thread that takes the loop over knows of it.
            function.as_ref().begin(self.reactor);
        }
        let leads_piece = matches!(role, Role::Leader(_)) && !command.may_be_turned_away();
        if leads_piece {
            // Before the call begins, as above.
            self.leads_piece.store(true, Ordering::SeqCst);
        }
        let call = self.begin_call(*role);
        self.perform(command, context, slot, *role, now);
        self.end_call(call, role);
        match role {
            Role::Leader(_) if leads_piece => self.leads_piece.store(false, Ordering::SeqCst),
            _ if leads_piece => lock(&self.threads).late_pieces -= 1,
            _ => {}
        }
        slot.count(command);
        slot.end()
    }

    /// Performs a command, and records for how long it waited, if this thread leads.
    fn perform(
        self: &Arc<Self>,
        command: &mut C,
        context: &C::Context,
        slot: &Arc<ReplySlot<C>>,
        role: Role,
        now: &mut Instant,
    ) {
        let suspicion = match (command.function(), role) {
            (Some(function), Role::Leader(_)) => function.as_ref().suspicion(),
            _ => None,
        };
        let before = suspicion.map(|suspicion| (suspicion, busy_time(suspicion)));
        let called = command.perform(context, &self.log, *now, || {
            let (executor, slot) = (Arc::clone(self), Arc::clone(slot));
            move |mut answered: C| {
                slot.count(&mut answered);
                executor.post(Arc::clone(&slot), vec![answered]);
            }
        });
        let ended = Instant::now();
        let elapsed = ended - *now;
        *now = ended;
        let was_slow = elapsed >= SLOW;
        if was_slow {
            command.note_slow();
        }
        let Some(called) = called else { return };
        let placement: &Placement = (*called).as_ref();
        placement.count(elapsed);
        if !matches!(role, Role::Worker) {
            placement.end(self.reactor);
        }
        if let Role::Leader(_) = role {
            let busy = before.filter(|_| was_slow);
            let busy = busy.map_or(Duration::ZERO, |(how, before)| busy_time(how).saturating_sub(before));
            placement.note(elapsed, elapsed.saturating_sub(busy), || ended - self.started);
        }
    }
}
