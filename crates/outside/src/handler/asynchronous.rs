//! Asynchronous Rust functions as handlers: tasks on the runtime of the reactor that has the connection.
//!
//! Such a function runs inside the event loop, beside the connections, so it must not block. `process_timeout` ends the
//! task at the point where it waits. So does a client that leaves, if [`super::cancel_on_disconnect`] says so.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::{AsyncHandler, Handler, IntoHandler, Reply, ResponseSizes, Ticket};
use crate::error::Error;
use crate::message::{IntoAnswer, Request};

/// A function that gives a future: see [`asynchronous`].
#[derive(Clone, Copy, Debug)]
pub struct Asynchronous<F>(F);

/// Makes a handler of an asynchronous function. It may use tokio: timers, sockets, tasks.
///
/// ```
/// # let server = outside::OutsideHttp::new(("127.0.0.1", 0))?;
/// use std::{sync::Arc, time::Duration};
/// use outside::Request;
/// use outside::handler::asynchronous;
///
/// server.get("/later/{seconds:int}", asynchronous(|request: Arc<Request>| async move {
///     tokio::time::sleep(Duration::from_millis(5)).await;
///     format!("{} took its time", request.path())
/// }))?;
/// # Ok::<(), outside::Error>(())
/// ```
pub fn asynchronous<F>(function: F) -> Asynchronous<F> {
    Asynchronous(function)
}

/// The tasks that run for requests, so that each can be cancelled.
#[derive(Debug, Default)]
struct Tasks {
    next: AtomicU64,
    running: Mutex<HashMap<Ticket, AbortHandle>>,
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, HashMap<Ticket, AbortHandle>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a task from the list when dropped, so that every way in which the task may end is covered.
struct TaskGuard(Arc<Tasks>, Ticket);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

struct Futures<F> {
    function: Arc<F>,
    tasks: Arc<Tasks>,
    sizes: ResponseSizes,
}

impl<F, U, A> AsyncHandler for Futures<F>
where
    F: Fn(Arc<Request>) -> U + Send + Sync + 'static,
    U: Future<Output = A> + Send + 'static,
    A: IntoAnswer,
{
    fn submit(&self, request: Arc<Request>, reply: Reply) -> Ticket {
        let ticket = self.tasks.next.fetch_add(1, Ordering::Relaxed);
        let function = Arc::clone(&self.function);
        let entry = TaskGuard(Arc::clone(&self.tasks), ticket);
        // Held until the task is in the list: otherwise a task that ends at once would try to leave the list before it
        // is in it.
        let mut running = self.tasks.lock();
        let task = tokio::spawn(async move {
            let _entry = entry;
            let answer = function(request).await.into_answer();
            reply.send(answer);
        });
        running.insert(ticket, task.abort_handle());
        ticket
    }

    fn sizes(&self) -> Option<&ResponseSizes> {
        Some(&self.sizes)
    }

    fn cancel(&self, ticket: Ticket) {
        let task = self.tasks.lock().remove(&ticket);
        if let Some(task) = task {
            task.abort();
        }
    }
}

impl<F, U, A> IntoHandler<(Arc<Request>, A)> for Asynchronous<F>
where
    F: Fn(Arc<Request>) -> U + Send + Sync + 'static,
    U: Future<Output = A> + Send + 'static,
    A: IntoAnswer + 'static,
{
    fn into_handler(self) -> Result<Handler, Error> {
        let (function, tasks) = (Arc::new(self.0), Arc::default());
        Ok(Handler::Async(Arc::new(Futures { function, tasks, sizes: ResponseSizes::default() })))
    }
}
