//! The histogram of requests, and the bound on its series.

use super::names::REQUEST_DURATION;
use super::series::Totals;

/// The name of the histogram, by OpenTelemetry's conventions for HTTP.
pub(crate) const DURATION: &str = REQUEST_DURATION.name;
/// Series of the histogram; further requests count in one that has the route `_other`.
pub(super) const MOST_SERIES: usize = 1000;
/// The labels of that one.
pub(super) const OTHER: &str = "http_request_method=\"_OTHER\",http_route=\"_other\"";

/// The sums of several processes with at most so many series of durations as one process has: those that come last in the order of labels
/// become one. Labels are only ever added, so a series that has gone does not come back, and no sum falls.
pub(crate) fn bounded(totals: Totals) -> Totals {
    let mut labels: Vec<Box<str>> = totals.of(DURATION).map(|reading| reading.definition.labels.clone()).collect();
    if labels.len() <= MOST_SERIES {
        return totals;
    }
    labels.sort();
    let kept = labels[MOST_SERIES - 1].clone();
    let mut fewer = Totals::default();
    for reading in totals.readings() {
        let mut definition = reading.definition.clone();
        if *definition.name == *DURATION && definition.labels >= kept {
            definition.labels = OTHER.into();
        }
        fewer.add(&definition, &reading.numbers);
    }
    fewer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::series::{Definition, Kind, SeriesReading};

    #[test]
    fn sums_of_many_processes_are_bounded_too() {
        let definition =
            |number: usize| Definition::new(Kind::Durations, DURATION, "", format!("route=\"{number:05}\""));
        let (mut totals, mut others) = (Totals::default(), Vec::new());
        for number in (0..1500).rev() {
            totals.add(&definition(number), &[1, 0]);
            if number % 50 == 0 {
                let fewer = bounded(totals.clone());
                others.push(fewer.get(DURATION, OTHER).map_or(0, SeriesReading::count));
                assert!(fewer.of(DURATION).count() <= MOST_SERIES + 1);
                assert_eq!(fewer.of(DURATION).map(SeriesReading::count).sum::<u64>(), 1500 - number as u64);
            }
        }
        assert!(others.is_sorted(), "a sum has fallen: {others:?}");
    }
}
