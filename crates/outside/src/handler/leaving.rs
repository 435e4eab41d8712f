//! The fate of a handler whose client leaves, as its route configures it: see [`cancel_on_disconnect`].

use std::sync::Arc;

use super::{AsyncHandler, Handler, IntoHandler, Reply, Ticket};
use crate::error::Error;
use crate::message::Request;

/// A handler with its route's setting for clients that leave: [`cancel_on_disconnect`].
#[derive(Clone, Copy, Debug)]
pub struct CancelOnDisconnect<H>(H, bool);

/// Sets whether an asynchronous handler is cancelled, and a streamed answer ended, when the client leaves. A client
/// leaves when it resets the connection or the stream, or closes its side (FIN). Overrides
/// [`Config::cancel_on_disconnect`](crate::Config), which is for all routes.
///
/// ```
/// # let server = outside::OutsideHttp::new(("127.0.0.1", 0))?;
/// use std::{sync::Arc, time::Duration};
/// use outside::Request;
/// use outside::handler::{asynchronous, cancel_on_disconnect};
///
/// server.get("/search", cancel_on_disconnect(true, asynchronous(|_: Arc<Request>| async move {
///     tokio::time::sleep(Duration::from_millis(5)).await;
///     "found"
/// })))?;
/// # Ok::<(), outside::Error>(())
/// ```
pub fn cancel_on_disconnect<H>(cancel: bool, handler: H) -> CancelOnDisconnect<H> {
    CancelOnDisconnect(handler, cancel)
}

impl<H, Kind> IntoHandler<(Kind, (), ())> for CancelOnDisconnect<H>
where
    H: IntoHandler<Kind>,
{
    fn into_handler(self) -> Result<Handler, Error> {
        self.0.into_handler()?.with_cancel_on_disconnect(self.1)
    }
}

impl Handler {
    /// The same handler with the setting of [`cancel_on_disconnect`].
    ///
    /// # Errors
    /// The handler is no function, or is on a route already.
    pub fn with_cancel_on_disconnect(self, cancel: bool) -> Result<Self, Error> {
        match self {
            Self::Async(handler) => Ok(Self::Async(Arc::new(Leaving(handler, cancel)))),
            Self::Sync(mut function) => match Arc::get_mut(&mut function) {
                Some(own) => {
                    own.cancel_on_disconnect = Some(cancel);
                    Ok(Self::Sync(function))
                }
                None => Err(Error::new("cancel_on_disconnect: this function stands on a route already")),
            },
            _ => Err(Error::new("cancel_on_disconnect is for functions")),
        }
    }
}

/// A handler with a setting of its route.
struct Leaving(Arc<dyn AsyncHandler>, bool);

impl AsyncHandler for Leaving {
    fn submit(&self, request: Arc<Request>, reply: Reply) -> Ticket {
        self.0.submit(request, reply)
    }

    fn cancel(&self, ticket: Ticket) {
        self.0.cancel(ticket);
    }

    fn takes_pieces(&self) -> bool {
        self.0.takes_pieces()
    }

    fn is_hosted(&self) -> bool {
        self.0.is_hosted()
    }

    fn cancel_on_disconnect(&self) -> Option<bool> {
        Some(self.1)
    }
}
