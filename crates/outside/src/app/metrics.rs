//! The numbers of a server: those of the program, and the board on which all processes write theirs.

use std::sync::Arc;

use super::OutsideHttp;
use crate::config::Config;
use crate::error::Error;
use crate::metrics::{Combine, Counter, Gauge, Histogram, Meter};
use crate::transport::ConnectionSource;

impl OutsideHttp {
    /// A sum of the program that grows, over all processes: `config.metrics` says where it is read. `_total` is added to
    /// a name without it. Each combination of label values is a series; of all metrics of a program together the first
    /// 1,000 are told apart, and others count with the values `_other`. The same metric twice is the same one.
    ///
    /// ```
    /// # let server = outside::OutsideHttp::new(("127.0.0.1", 0))?;
    /// let orders = server.counter("orders", "Orders that were taken.", &["kind"])?;
    /// orders.add(1.0, &["book"])?;
    /// # Ok::<(), outside::Error>(())
    /// ```
    ///
    /// # Errors
    /// The name or a label is invalid, or there is another metric of this name.
    pub fn counter(&self, name: &str, help: &str, labels: &[&str]) -> Result<Counter, Error> {
        Counter::new(&self.meter, name, help, labels)
    }

    /// A value of the program that rises and falls; `combine` says how those of several processes become one. The value
    /// of a process that has ended does not count.
    ///
    /// # Errors
    /// As [`OutsideHttp::counter`].
    pub fn gauge(&self, name: &str, help: &str, labels: &[&str], combine: Combine) -> Result<Gauge, Error> {
        Gauge::new(&self.meter, name, help, labels, combine)
    }

    /// Counts of the program's values within these upper bounds; without bounds those from 5 milliseconds to 10
    /// seconds.
    ///
    /// # Errors
    /// As [`OutsideHttp::counter`]; or the bounds do not rise.
    pub fn histogram(&self, name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> Result<Histogram, Error> {
        Histogram::new(&self.meter, name, help, labels, bounds)
    }

    /// The numbers of this process: for bindings, whose processes share a board.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// The meter of a run, with a board; `None` if nothing is counted.
    pub(super) fn meter_of(&self, config: &Config, source: &ConnectionSource) -> Result<Option<Arc<Meter>>, Error> {
        if config.metrics.is_none() || matches!(source, ConnectionSource::Memory(_)) {
            return Ok(None);
        }
        self.meter.open_board(None)?;
        self.meter.begin_here()?;
        Ok(Some(Arc::clone(&self.meter)))
    }
}
