//! A series: a name, labels, and numbers; its form on the board, and the sum of the same series of several processes.

use std::collections::HashMap;
use std::sync::Arc;

/// How the numbers of a series are read, and how those of several processes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A count.
    Counter,
    /// A sum of a program's own numbers: whole parts, and billionths. Sums of `f64` would depend on their order, and fall.
    FloatCounter,
    /// A sum of nanoseconds, shown in seconds.
    Nanoseconds,
    /// A value of this moment (the bits of an `f64`) and the time when it was set, in milliseconds since 1970; 0: never.
    Gauge(Combine),
    /// Counts by bounds, one more for larger values, and the sum in nanoseconds.
    Durations,
    /// The same with a sum of a program's own numbers: whole parts, and billionths.
    Histogram,
}

/// How the values of a gauge in several processes become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Combine {
    /// Their sum.
    #[default]
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// The one that was set last.
    Last,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Counter,
        Self::FloatCounter,
        Self::Nanoseconds,
        Self::Gauge(Combine::Sum),
        Self::Gauge(Combine::Max),
        Self::Gauge(Combine::Min),
        Self::Gauge(Combine::Last),
        Self::Durations,
        Self::Histogram,
    ];

    fn number(self) -> u8 {
        Self::ALL.iter().position(|kind| *kind == self).map_or(u8::MAX, |at| at as u8)
    }

    /// Whether the value is of a living process alone.
    pub(crate) fn is_gauge(self) -> bool {
        matches!(self, Self::Gauge(_))
    }

    /// The word of the text format.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Counter | Self::FloatCounter | Self::Nanoseconds => "counter",
            Self::Gauge(_) => "gauge",
            Self::Durations | Self::Histogram => "histogram",
        }
    }
}

/// The description of a series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Definition {
    pub(crate) kind: Kind,
    /// With the letters of the text format alone.
    pub(crate) name: Box<str>,
    pub(crate) help: Box<str>,
    /// As the text format has them between braces; empty without labels.
    pub(crate) labels: Box<str>,
    /// The upper bounds of a histogram.
    pub(crate) bounds: Arc<[f64]>,
}

impl Definition {
    pub(crate) fn new(kind: Kind, name: &str, help: &str, labels: impl Into<Box<str>>) -> Self {
        Self { kind, name: name.into(), help: help.into(), labels: labels.into(), bounds: Arc::default() }
    }

    pub(crate) fn with_bounds(mut self, bounds: Arc<[f64]>) -> Self {
        self.bounds = bounds;
        self
    }

    /// The number of numbers.
    pub(crate) fn width(&self) -> usize {
        match self.kind {
            Kind::Counter | Kind::Nanoseconds => 1,
            Kind::FloatCounter | Kind::Gauge(_) => 2,
            Kind::Durations => self.bounds.len() + 2,
            Kind::Histogram => self.bounds.len() + 3,
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind.number());
        for length in [self.name.len(), self.help.len(), self.labels.len(), self.bounds.len()] {
            out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
        }
        for text in [&self.name, &self.help, &self.labels] {
            out.extend_from_slice(&text.as_bytes()[..text.len().min(usize::from(u16::MAX))]);
        }
        self.bounds.iter().for_each(|bound| out.extend_from_slice(&bound.to_le_bytes()));
    }

    /// The definition at the beginning of these bytes, and the bytes behind it.
    fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (kind, mut rest) = bytes.split_first()?;
        let kind = *Kind::ALL.get(usize::from(*kind))?;
        let mut lengths = [0; 4];
        for length in &mut lengths {
            let (number, behind) = rest.split_first_chunk::<2>()?;
            (*length, rest) = (usize::from(u16::from_le_bytes(*number)), behind);
        }
        let mut text = |length| {
            let (text, behind) = rest.split_at_checked(length)?;
            rest = behind;
            Some(Box::<str>::from(std::str::from_utf8(text).ok()?))
        };
        let (name, help, labels) = (text(lengths[0])?, text(lengths[1])?, text(lengths[2])?);
        let mut bounds = Vec::with_capacity(lengths[3]);
        for _ in 0..lengths[3] {
            let (bound, behind) = rest.split_first_chunk::<8>()?;
            bounds.push(f64::from_le_bytes(*bound));
            rest = behind;
        }
        Some((Self { kind, name, help, labels, bounds: bounds.into() }, rest))
    }
}

/// The definitions that were encoded one behind the other; those before the first that cannot be read.
pub(crate) fn decode_definitions(mut bytes: &[u8]) -> Vec<Definition> {
    let mut found = Vec::new();
    while let Some((definition, rest)) = Definition::decode(bytes) {
        found.push(definition);
        bytes = rest;
    }
    found
}

/// A series with its numbers.
#[derive(Clone, Debug)]
pub(crate) struct SeriesReading {
    pub(crate) definition: Definition,
    pub(crate) numbers: Vec<u64>,
}

impl SeriesReading {
    /// Adds the numbers of the same series of another process. One with other bounds is left out.
    fn add(&mut self, definition: &Definition, numbers: &[u64]) {
        if self.definition.kind != definition.kind || self.numbers.len() != numbers.len() {
            return;
        }
        match self.definition.kind {
            Kind::Gauge(combine) => self.add_gauge(combine, numbers[0], numbers[1]),
            _ => self.numbers.iter_mut().zip(numbers).for_each(|(own, other)| *own = own.wrapping_add(*other)),
        }
    }

    fn add_gauge(&mut self, combine: Combine, value: u64, time: u64) {
        let (own, other) = (f64::from_bits(self.numbers[0]), f64::from_bits(value));
        let combined = match combine {
            _ if time == 0 => return,
            _ if self.numbers[1] == 0 => other,
            Combine::Sum => own + other,
            Combine::Max => own.max(other),
            Combine::Min => own.min(other),
            Combine::Last if time >= self.numbers[1] => other,
            Combine::Last => own,
        };
        self.numbers = vec![combined.to_bits(), self.numbers[1].max(time)];
    }

    /// The number of values that a histogram has counted.
    pub(crate) fn count(&self) -> u64 {
        self.numbers.iter().take(self.definition.bounds.len() + 1).sum()
    }

    /// The only value of a counter or gauge.
    pub(crate) fn value(&self) -> f64 {
        let number = self.numbers.first().copied().unwrap_or_default();
        match self.definition.kind {
            Kind::Counter | Kind::Durations | Kind::Histogram => number as f64,
            Kind::Nanoseconds => number as f64 / 1e9,
            Kind::FloatCounter => joined(number, self.numbers[1]),
            Kind::Gauge(_) => f64::from_bits(number),
        }
    }
}

/// A number as its whole part, the next smaller integer in two's complement, and billionths.
pub(super) fn split(value: f64) -> (u64, u64) {
    let whole = value.floor();
    ((whole as i64).cast_unsigned(), ((value - whole) * 1e9).round() as u64)
}

/// The opposite, for sums of such parts.
pub(super) fn joined(whole: u64, billionths: u64) -> f64 {
    whole.cast_signed() as f64 + billionths as f64 / 1e9
}

/// Series of several processes, added up. Their order stays: a new one comes last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    readings: Vec<SeriesReading>,
    index: HashMap<(Box<str>, Box<str>), usize>,
}

impl Totals {
    /// Adds a series. The numbers of a new one are a copy.
    pub(crate) fn add(&mut self, definition: &Definition, numbers: &[u64]) {
        if numbers.len() != definition.width() {
            return;
        }
        // A gauge without a value says nothing.
        if definition.kind.is_gauge() && numbers[1] == 0 {
            return;
        }
        let key = (definition.name.clone(), definition.labels.clone());
        match self.index.get(&key) {
            Some(&at) => self.readings[at].add(definition, numbers),
            None => {
                self.index.insert(key, self.readings.len());
                self.readings.push(SeriesReading { definition: definition.clone(), numbers: numbers.to_vec() });
            }
        }
    }

    /// Adds all series of another sum; of an ended process no gauges.
    pub(crate) fn add_all(&mut self, other: &Self, is_alive: bool) {
        for reading in &other.readings {
            if is_alive || !reading.definition.kind.is_gauge() {
                self.add(&reading.definition, &reading.numbers);
            }
        }
    }

    /// Sets the numbers of a series, which stand for all that were there.
    pub(crate) fn set(&mut self, definition: &Definition, numbers: &[u64]) {
        let key = (definition.name.clone(), definition.labels.clone());
        match self.index.get(&key) {
            Some(&at) => self.readings[at].numbers = numbers.to_vec(),
            None => self.add(definition, numbers),
        }
    }

    pub(crate) fn readings(&self) -> &[SeriesReading] {
        &self.readings
    }

    pub(crate) fn get(&self, name: &str, labels: &str) -> Option<&SeriesReading> {
        self.index.get(&(Box::from(name), Box::from(labels))).map(|at| &self.readings[*at])
    }

    /// The series of one name.
    pub(crate) fn of<'t>(&'t self, name: &'t str) -> impl Iterator<Item = &'t SeriesReading> {
        self.readings.iter().filter(move |reading| *reading.definition.name == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_survive_the_board() {
        let bounds: Arc<[f64]> = [0.1, 2.5].into();
        let all: Vec<Definition> = Kind::ALL
            .into_iter()
            .map(|kind| Definition::new(kind, "orders", "Orders.", "kind=\"é\\\"\"").with_bounds(Arc::clone(&bounds)))
            .collect();
        let mut bytes = Vec::new();
        all.iter().for_each(|definition| definition.encode(&mut bytes));
        assert_eq!(decode_definitions(&bytes), all);
        for cut in 0..bytes.len() {
            assert!(decode_definitions(&bytes[..cut]).len() < all.len(), "a part is no definition");
        }
        assert_eq!(decode_definitions(&[200, 0, 0]), []);
    }

    #[test]
    fn numbers_of_several_processes() {
        let bits = f64::to_bits;
        for (kind, one, other, sum) in [
            (Kind::Counter, vec![2], vec![3], vec![5]),
            (Kind::FloatCounter, vec![0, 500], vec![1, 600], vec![1, 1100]),
            (Kind::Gauge(Combine::Sum), vec![bits(2.0), 5], vec![bits(3.0), 4], vec![bits(5.0), 5]),
            (Kind::Gauge(Combine::Max), vec![bits(2.0), 5], vec![bits(3.0), 4], vec![bits(3.0), 5]),
            (Kind::Gauge(Combine::Min), vec![bits(2.0), 5], vec![bits(3.0), 4], vec![bits(2.0), 5]),
            (Kind::Gauge(Combine::Last), vec![bits(2.0), 5], vec![bits(3.0), 4], vec![bits(2.0), 5]),
            (Kind::Gauge(Combine::Min), vec![bits(2.0), 5], vec![bits(0.0), 0], vec![bits(2.0), 5]),
            (Kind::Histogram, vec![1, 0, 5], vec![2, 1, 2], vec![3, 1, 7]),
        ] {
            let mut totals = Totals::default();
            let definition = Definition::new(kind, "a", "", "");
            totals.add(&definition, &one);
            totals.add(&definition, &other);
            assert_eq!(totals.readings()[0].numbers, sum, "{kind:?}");
        }
    }

    #[test]
    fn sums_do_not_depend_on_their_order() {
        let values = [0.1, 0.2, 0.3, -1.75, 1e12, 0.000_000_001];
        let sum = |values: &mut dyn Iterator<Item = &f64>| {
            let parts =
                values.map(|value| split(*value)).reduce(|one, other| (one.0.wrapping_add(other.0), one.1 + other.1));
            parts.map(|(whole, billionths)| joined(whole, billionths))
        };
        assert_eq!(sum(&mut values.iter()), sum(&mut values.iter().rev()));
        assert_eq!(sum(&mut values[..4].iter()), Some(-1.15));
    }

    #[test]
    fn a_series_of_other_bounds_and_an_ended_process() {
        let mut totals = Totals::default();
        let narrow = Definition::new(Kind::Histogram, "a", "", "").with_bounds([1.0].into());
        totals.add(&narrow, &[1, 0, 0, 0]);
        totals.add(&narrow.clone().with_bounds([1.0, 2.0].into()), &[1, 1, 1, 0, 0]);
        totals.add(&narrow, &[1, 1]);
        assert_eq!(totals.readings()[0].numbers, [1, 0, 0, 0]);
        let mut ended = Totals::default();
        ended.add(&Definition::new(Kind::Gauge(Combine::Sum), "g", "", ""), &[1, 1]);
        ended.add(&Definition::new(Kind::Counter, "c", "", ""), &[7]);
        totals.add_all(&ended, false);
        assert!(totals.get("g", "").is_none());
        assert_eq!(totals.get("c", "").map(|reading| reading.numbers.clone()), Some(vec![7]));
    }
}
