//! The numbers of a program: counters, gauges and histograms with labels, right over all processes.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::board::now;
use super::labels::labels_text;
use super::meter::{Cells, Meter, set_gauge};
use super::series::{Combine, Definition, Kind, split};
use crate::error::Error;

/// Series of all metrics of a program; further label values count as `_other`.
const MOST_SERIES: usize = 1000;
/// Labels of a metric, and bounds of a histogram.
const MOST_LABELS: usize = 16;
const MOST_BOUNDS: usize = 60;
/// The label value that stands for all others.
const OTHER: &str = "_other";
/// The bounds of a histogram for which a program has set none: those of Prometheus' own libraries, in seconds.
const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Beginnings of names that are the server's.
const RESERVED: [&str; 3] = ["outside_", "http_server_", "process_"];

/// A metric of a program: its series differ in the values of their labels.
struct Family {
    /// The meter has the families, so they do not keep it.
    meter: Weak<Meter>,
    definition: Definition,
    labels: Box<[Box<str>]>,
    known: Mutex<HashMap<Box<[Box<str>]>, Cells>>,
}

/// A sum that grows: orders, bytes. See [`crate::OutsideHttp::counter`].
#[derive(Clone, Debug)]
pub struct Counter(Arc<Family>);

/// A value that rises and falls: jobs in a queue. See [`crate::OutsideHttp::gauge`].
#[derive(Clone, Debug)]
pub struct Gauge(Arc<Family>);

/// How often values were within which bounds. See [`crate::OutsideHttp::histogram`].
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Family>);

impl Counter {
    /// The counter of this name. `_total` is added to a name without it.
    ///
    /// # Errors
    /// The name or a label is invalid, or there is another metric of this name.
    pub fn new(meter: &Arc<Meter>, name: &str, help: &str, labels: &[&str]) -> Result<Self, Error> {
        let name = if name.ends_with("_total") { name.to_owned() } else { format!("{name}_total") };
        Family::of(meter, Definition::new(Kind::FloatCounter, &name, help, ""), labels).map(Self)
    }

    /// Adds an amount, 0 or more, to the series of these label values.
    ///
    /// # Errors
    /// The amount is negative or no number, or there are more or fewer values than labels.
    pub fn add(&self, amount: f64, values: &[&str]) -> Result<(), Error> {
        if !(amount.is_finite() && amount >= 0.0) {
            let name = &self.0.definition.name;
            return Err(Error::new(format!("{name} is a counter, which only grows: by 0 or more, not by {amount}")));
        }
        add_parts(&self.0.cells(values)?, amount);
        Ok(())
    }
}

impl Gauge {
    /// The gauge of this name; `combine` says how the values of several processes become one.
    ///
    /// # Errors
    /// As [`Counter::new`].
    pub fn new(meter: &Arc<Meter>, name: &str, help: &str, labels: &[&str], combine: Combine) -> Result<Self, Error> {
        Family::of(meter, Definition::new(Kind::Gauge(combine), name, help, ""), labels).map(Self)
    }

    /// Sets the value.
    ///
    /// # Errors
    /// There are more or fewer values than labels.
    pub fn set(&self, value: f64, values: &[&str]) -> Result<(), Error> {
        set_gauge(&self.0.cells(values)?, value);
        Ok(())
    }

    /// Adds an amount, which may be negative.
    ///
    /// # Errors
    /// As [`Gauge::set`].
    pub fn add(&self, amount: f64, values: &[&str]) -> Result<(), Error> {
        let cells = self.0.cells(values)?;
        add(&cells[0], amount);
        cells[1].store(now(), Ordering::Relaxed);
        Ok(())
    }
}

impl Histogram {
    /// The histogram of this name with these upper bounds; empty: from 5 milliseconds to 10 seconds.
    ///
    /// # Errors
    /// As [`Counter::new`]; or the bounds do not rise, or are too many.
    pub fn new(meter: &Arc<Meter>, name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> Result<Self, Error> {
        let bounds = if bounds.is_empty() { &BOUNDS[..] } else { bounds };
        let bounds = bounds.strip_suffix(&[f64::INFINITY]).unwrap_or(bounds);
        let rises = bounds.windows(2).all(|pair| pair[0] < pair[1]) && bounds.iter().all(|bound| bound.is_finite());
        if !rises || bounds.is_empty() || bounds.len() > MOST_BOUNDS {
            return Err(Error::new(format!(
                "the bounds of a histogram are 1 to {MOST_BOUNDS} rising numbers, not {bounds:?}"
            )));
        }
        if labels.contains(&"le") {
            return Err(Error::new("the label \"le\" of a histogram has its bounds"));
        }
        let definition = Definition::new(Kind::Histogram, name, help, "").with_bounds(bounds.into());
        Family::of(meter, definition, labels).map(Self)
    }

    /// Counts a value.
    ///
    /// # Errors
    /// The value is no number, or there are more or fewer values than labels.
    pub fn observe(&self, value: f64, values: &[&str]) -> Result<(), Error> {
        if !value.is_finite() {
            return Err(Error::new(format!("{} counts numbers, not {value}", self.0.definition.name)));
        }
        let cells = self.0.cells(values)?;
        let bounds = &self.0.definition.bounds;
        let bucket = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
        cells[bucket].fetch_add(1, Ordering::Relaxed);
        add_parts(&cells[bounds.len() + 1..], value);
        Ok(())
    }
}

/// Adds to a sum that two cells have.
fn add_parts(cells: &[AtomicU64], amount: f64) {
    let (whole, billionths) = split(amount);
    cells[0].fetch_add(whole, Ordering::Relaxed);
    cells[1].fetch_add(billionths, Ordering::Relaxed);
}

/// Adds to a number whose bits a cell has.
fn add(cell: &AtomicU64, amount: f64) {
    let sum = |bits| Some((f64::from_bits(bits) + amount).to_bits());
    let _never_fails = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
}

impl Family {
    /// The family of this definition. The same one twice is the same family, so that a module may be imported again.
    fn of(meter: &Arc<Meter>, definition: Definition, labels: &[&str]) -> Result<Arc<Self>, Error> {
        check_name(&definition.name)?;
        check_labels(labels)?;
        let mut families = meter.families.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Ok(known)) = families.get(&definition.name).map(|known| Arc::clone(known).downcast::<Self>()) {
            let are_same = known.labels.iter().map(|label| &**label).eq(labels.iter().copied());
            if are_same && known.definition.kind == definition.kind && known.definition.bounds == definition.bounds {
                return Ok(known);
            }
            let text = format!("there is a metric {:?} already, of another kind or with other labels", definition.name);
            return Err(Error::new(text));
        }
        let mut definition = definition;
        if definition.help.is_empty() {
            definition.help = definition.name.replace('_', " ").into();
        }
        let labels = labels.iter().map(|&label| label.into()).collect();
        let family = Self { meter: Arc::downgrade(meter), definition, labels, known: Mutex::default() };
        let family = Arc::new(family);
        families.insert(family.definition.name.clone(), Arc::clone(&family) as _);
        drop(families);
        if family.labels.is_empty() {
            // A counter without labels is there from the beginning, with 0.
            family.cells(&[])?;
        }
        Ok(family)
    }

    fn cells(&self, values: &[&str]) -> Result<Cells, Error> {
        if values.len() != self.labels.len() {
            let (name, labels, given) = (&self.definition.name, &self.labels, values.len());
            return Err(Error::new(format!(
                "{name} has the labels {labels:?}: a value for each is needed, not {given}"
            )));
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key: Box<[Box<str>]> = values.iter().map(|&value| value.into()).collect();
        if let Some(cells) = known.get(&key) {
            return Ok(Arc::clone(cells));
        }
        let Some(meter) = self.meter.upgrade() else {
            return Ok((0..self.definition.width()).map(|_| AtomicU64::new(0)).collect());
        };
        let is_full = meter.program_series.fetch_add(1, Ordering::Relaxed) >= MOST_SERIES;
        let key = if is_full { values.iter().map(|_| Box::from(OTHER)).collect() } else { key };
        let make = || {
            let named = self.labels.iter().zip(&key).map(|(label, value)| (&**label, &**value));
            meter.cells(Definition { labels: labels_text(named).into(), ..self.definition.clone() })
        };
        if let Some(cells) = known.get(&key) {
            return Ok(Arc::clone(cells));
        }
        let cells = make();
        known.insert(key, Arc::clone(&cells));
        Ok(cells)
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?})", self.definition.name, self.labels)
    }
}

/// Whether this is a name of Prometheus' data model.
fn is_name(name: &str, may_have_colon: bool) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || (may_have_colon && byte == b':');
    name.bytes().next().is_some_and(is_letter) && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

fn check_name(name: &str) -> Result<(), Error> {
    if !is_name(name, true) || name.len() > 200 {
        let text = "the name of a metric has letters, digits and underscores, and begins with no digit";
        return Err(Error::new(format!("{text}: {name:?}")));
    }
    match RESERVED.iter().find(|reserved| name.starts_with(**reserved)) {
        Some(reserved) => Err(Error::new(format!("names that begin with {reserved:?} are the server's own: {name:?}"))),
        None => Ok(()),
    }
}

fn check_labels(labels: &[&str]) -> Result<(), Error> {
    if let Some(wrong) = labels.iter().find(|label| !is_name(label, false) || label.starts_with("__")) {
        let text = "a label has letters, digits and underscores, and begins with no digit and no two underscores";
        return Err(Error::new(format!("{text}: {wrong:?}")));
    }
    let is_twice = (1..labels.len()).find(|&at| labels[..at].contains(&labels[at]));
    match is_twice {
        Some(at) => Err(Error::new(format!("the label {:?} is named twice", labels[at]))),
        None if labels.len() > MOST_LABELS => {
            Err(Error::new(format!("a metric has {MOST_LABELS} labels at most, not {}", labels.len())))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::text::exposition;

    fn meter() -> Arc<Meter> {
        let meter = Arc::<Meter>::default();
        meter.open_board(None).unwrap();
        meter.begin_here().unwrap();
        meter
    }

    #[test]
    fn each_kind() {
        let meter = meter();
        let orders = Counter::new(&meter, "orders", "Orders.", &["kind"]).unwrap();
        orders.add(1.0, &["book"]).unwrap();
        orders.add(0.5, &["book"]).unwrap();
        let queue = Gauge::new(&meter, "queue", "", &[], Combine::Sum).unwrap();
        queue.set(4.0, &[]).unwrap();
        queue.add(-1.0, &[]).unwrap();
        let sizes = Histogram::new(&meter, "size_bytes", "Sizes.", &[], &[10.0, 100.0, f64::INFINITY]).unwrap();
        [5.0, 10.0, 1000.0].iter().for_each(|size| sizes.observe(*size, &[]).unwrap());
        let text = exposition(&meter.collect().totals);
        for line in [
            "orders_total{kind=\"book\"} 1.5",
            "# HELP queue queue",
            "queue 3",
            "size_bytes_bucket{le=\"10\"} 2",
            "size_bytes_bucket{le=\"+Inf\"} 3",
            "size_bytes_sum 1015",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn what_is_refused() {
        let meter = meter();
        let refused = |result: Result<Counter, Error>| result.unwrap_err().to_string();
        assert!(refused(Counter::new(&meter, "1x", "", &[])).contains("begins with no digit"));
        assert!(refused(Counter::new(&meter, "outside_x", "", &[])).contains("the server's own"));
        assert!(refused(Counter::new(&meter, "x", "", &["a", "a"])).contains("twice"));
        assert!(refused(Counter::new(&meter, "x", "", &["__a"])).contains("two underscores"));
        let counter = Counter::new(&meter, "x", "", &["a"]).unwrap();
        assert!(Counter::new(&meter, "x_total", "", &["a"]).is_ok(), "the same one");
        assert!(refused(Counter::new(&meter, "x", "", &[])).contains("already"));
        assert!(counter.add(-1.0, &["b"]).is_err() && counter.add(f64::NAN, &["b"]).is_err());
        assert!(counter.add(1.0, &[]).unwrap_err().to_string().contains("a value for each"));
        for bounds in [&[2.0, 1.0][..], &[f64::NAN], &[1.0; 2], &[f64::INFINITY]] {
            assert!(Histogram::new(&meter, "h", "", &[], bounds).is_err(), "{bounds:?}");
        }
        assert!(Histogram::new(&meter, "h", "", &["le"], &[]).is_err());
    }

    #[test]
    fn label_values_are_bounded() {
        let meter = meter();
        let hits = Counter::new(&meter, "hits", "", &["path"]).unwrap();
        for number in 0..5000 {
            hits.add(1.0, &[&format!("/{number}\"\n")]).unwrap();
        }
        let sheet = meter.collect();
        let found: Vec<_> = sheet.totals.of("hits_total").collect();
        assert!(found.len() <= MOST_SERIES + 1, "{}", found.len());
        assert_eq!(found.iter().map(|reading| reading.value()).sum::<f64>(), 5000.0);
        assert!(sheet.totals.get("hits_total", "path=\"_other\"").is_some());
    }
}
