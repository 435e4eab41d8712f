//! One request and its answer, whichever version of HTTP brings it: the steps from a request's head to its log line.
//!
//! A connection (above) turns bytes into requests and answers into bytes, and says when its client is gone. The steps here
//! find the route, ask the gate, have the handler called by the executor (below), and make the answer what it has to be.
//! No socket is known here.

mod before;
mod compress;
mod connection_limit;
mod control;
mod dispatch;
mod files;
mod first_piece;
mod handshakes;
mod memory;
mod meta;
mod pipeline;
mod request_body;
mod response_stream;
mod service;
mod spool;

pub(crate) use connection_limit::{AddressGuard, AddressKey, ConnectionLimit, ThreadPermit};
pub(crate) use control::{Clock, ConnectionControl, ConnectionRegistry, InFlight, Order, Rank, Stop, Waiting, millis};
pub(crate) use dispatch::{Awaited, Dispatcher};
pub(crate) use handshakes::Handshakes;
pub(crate) use meta::ResponseMeta;
pub(crate) use pipeline::{Sealed, Wait, Wire, access_line, receive, seal};
pub(crate) use request_body::{RateWindow, RequestBody, SHARED, TOO_LARGE, check_length, store_content, too_slow};
pub(crate) use response_stream::ResponseStream;
pub(crate) use service::{DRAINING, RETIRING, Service};
pub(crate) use spool::{NO_ROOM, Spool};
