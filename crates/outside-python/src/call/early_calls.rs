//! The requests for which functions were called before their content came, and what they wait with for their handlers.

use std::any::Any;
use std::sync::{Arc, Mutex, Weak};

use pyo3::prelude::*;

use crate::support::lock_attached;

/// Such requests of one server. Nothing is kept alive here: a client may leave in the middle of its upload.
#[derive(Default)]
pub(crate) struct EarlyCalls(Mutex<Vec<EarlyCall>>);

struct EarlyCall {
    /// The address of the request, which no other request has as long as the context lives.
    request: usize,
    context: Weak<dyn Any + Send + Sync>,
    /// The number of functions that have let the request pass.
    done: usize,
}

impl EarlyCalls {
    pub(super) fn note(
        &self,
        py: Python<'_>,
        request: &Arc<outside::Request>,
        context: Weak<dyn Any + Send + Sync>,
        done: usize,
    ) {
        let mut calls = lock_attached(&self.0, py);
        calls.retain(|call| call.context.strong_count() > 0);
        calls.push(EarlyCall { request: Arc::as_ptr(request).addr(), context, done });
    }

    /// The context of this request, and the number of functions that have let it pass.
    pub(super) fn take(
        &self,
        py: Python<'_>,
        request: &Arc<outside::Request>,
    ) -> Option<(Arc<dyn Any + Send + Sync>, usize)> {
        if !request.came_late() {
            return None;
        }
        let mut calls = lock_attached(&self.0, py);
        let wanted = Arc::as_ptr(request).addr();
        let (at, context) = calls.iter().enumerate().find_map(|(at, call)| {
            let context = call.context.upgrade().filter(|_| call.request == wanted)?;
            Some((at, context))
        })?;
        Some((context, calls.swap_remove(at).done))
    }
}
