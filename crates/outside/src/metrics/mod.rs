//! The numbers of a server, right over all its processes: counters in memory, and the board that every process reads.
//!
//! A [`Meter`] has the series of one process. Threads add to their cells, which are atomic numbers; ten times a second
//! the process writes all of them to its region of the board. A process that is asked adds up the regions of all,
//! those of stopped and ended processes included, and needs no help of theirs.
//!
//! ```
//! use outside::{OutsideHttp, Request};
//!
//! let server = OutsideHttp::new(("127.0.0.1", 8080))?;
//! let orders = server.counter("orders", "Orders that were taken.", &["kind"])?;
//! server.post("/orders", move |_request: &Request| orders.add(1.0, &["book"]).map(|()| "taken"))?;
//! # Ok::<(), outside::Error>(())
//! ```

mod board;
mod bounds;
mod bus;
mod events;
mod history;
mod labels;
mod meter;
mod monotonic;
pub(crate) mod names;
mod program;
mod refusals;
mod region;
mod requests;
mod routes;
mod series;
mod text;
mod vitals;

pub(crate) use board::{ProcessWords, now};
pub(crate) use bounds::DURATION;
pub(crate) use bus::BusCells;
pub(crate) use events::BoardEvent;
pub(crate) use history::{Point, SLOT_SECONDS};
pub(crate) use labels::label_of;
#[cfg(test)]
pub(crate) use labels::labels_text;
pub use meter::Meter;
pub(crate) use meter::{Cells, Sheet};
pub(crate) use monotonic::Monotonic;
pub use program::{Counter, Gauge, Histogram};
#[cfg(test)]
pub(crate) use requests::BOUNDS;
pub(crate) use requests::{HandlerCells, RequestKind, RequestMeter, Sample, count_handler, handler_cells, nanoseconds};
pub(crate) use routes::route_number;
pub use series::Combine;
#[cfg(test)]
pub(crate) use series::{Definition, Kind, Totals};
pub(crate) use text::exposition;
pub(crate) use vitals::{Vitals, since_1970};
