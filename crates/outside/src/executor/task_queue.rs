//! The tasks of the leader between two turns of the loop.
//!
//! There are two kinds: jobs, for whose answers connections wait, and calls without an answer. Each kind keeps its order,
//! and they take turns: however many calls the clients of WebSockets cause, a request waits for the calls of one batch at
//! most.

use std::collections::VecDeque;

use super::command::Command;
use super::job::Job;

/// A task of the leader between two turns of the loop.
pub(super) enum Task<C: Command> {
    Job(Job<C>),
    /// A call without an answer.
    Call(C::Callback),
}

/// The tasks that wait.
pub(super) struct TaskQueue<C: Command> {
    jobs: VecDeque<Job<C>>,
    calls: VecDeque<C::Callback>,
    /// Whether the next task is a call, if there are tasks of both kinds.
    is_for_call: bool,
}

impl<C: Command> Default for TaskQueue<C> {
    fn default() -> Self {
        Self { jobs: VecDeque::new(), calls: VecDeque::new(), is_for_call: false }
    }
}

impl<C: Command> TaskQueue<C> {
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.calls.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len() + self.calls.len()
    }

    pub(super) fn push(&mut self, task: Task<C>) {
        match task {
            Task::Job(job) => self.jobs.push_back(job),
            Task::Call(call) => self.calls.push_back(call),
        }
    }

    pub(super) fn extend(&mut self, jobs: impl Iterator<Item = Job<C>>) {
        self.jobs.extend(jobs);
    }

    /// The next task.
    pub(super) fn pop(&mut self) -> Option<Task<C>> {
        if self.calls.is_empty() || (!self.is_for_call && !self.jobs.is_empty()) {
            self.is_for_call = true;
            return self.jobs.pop_front().map(Task::Job);
        }
        self.is_for_call = false;
        self.calls.pop_front().map(Task::Call)
    }
}
