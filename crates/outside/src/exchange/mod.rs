//! One request and its answer, whichever version of HTTP brings it: the steps from a request's head to its log line.
//!
//! A connection (above) turns bytes into requests and answers into bytes, and notices when its client is gone. The
//! steps here find the route, ask the gate, have the executor (below) call the handler, and complete the answer. This
//! room knows no socket.

mod address_count;
mod before;
mod clock;
mod compress;
mod connection_limit;
mod control;
mod decode;
mod dispatch;
mod early;
mod elsewhere;
mod executor;
mod files;
mod first_piece;
mod freed_memory;
mod handshakes;
mod hints;
mod intake;
mod loop_share;
mod memory;
mod memory_bound;
mod meta;
mod pipeline;
mod registry;
mod request_body;
mod request_count;
mod respond;
mod response_stream;
mod sample;
mod service;
mod settle;
mod spool;
mod state;
mod turn;
mod turn_times;

pub(crate) use address_count::AddressVerdict;
pub(crate) use clock::{Clock, millis};
pub(crate) use connection_limit::{AddressGuard, AddressKey, ConnectionLimit, ThreadPermit};
pub(crate) use control::{ConnectionControl, Order, Stop, Waiting};
pub(crate) use dispatch::{Awaited, Dispatcher, is_patient};
pub(crate) use executor::{Executor, Job, ReplySlot};
pub(crate) use freed_memory::FreedMemory;
pub(crate) use handshakes::Handshakes;
pub(crate) use intake::{Intake, TOO_LARGE};
pub(crate) use loop_share::{LoopShare, LoopTurn};
pub(crate) use memory_bound::MemoryBound;
pub(crate) use meta::ResponseMeta;
pub(crate) use pipeline::{Sealed, Wait, WebSocketOpener, Wire, access_line, receive, seal};
pub(crate) use registry::{ConnectionRegistry, ConnectionStates, InFlight, Rank};
pub(crate) use request_body::{RateWindow, RequestBody, SHARED, store_content, too_slow};
pub(crate) use request_count::RequestCount;
pub(crate) use sample::sample;
pub(crate) use service::{DRAINING, LEAVING, RETIRING, Service};
pub(crate) use spool::Spool;
pub(crate) use state::{Exchange, Work};
pub(crate) use turn::{Occasion, Turn};
pub(crate) use turn_times::TurnTimes;
