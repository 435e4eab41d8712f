//! The last ten minutes of a server on the board, so that a page shows the past when it is opened.
//!
//! Each slot of time has the sums of that time. Any process writes the slot that is due; two that write at once write
//! nearly the same, and a reader that finds a slot of another time leaves it out.

use std::os::unix::fs::FileExt as _;

use super::board::HISTORY;
use super::bounds::DURATION;
use super::meter::{Meter, Sheet};
use super::names::ACTIVE_REQUESTS;
use super::requests::BOUNDS;
use super::series::SeriesReading;

/// Seconds of a slot, and the slots of ten minutes, with one more for the difference to the first.
pub(crate) const SLOT_SECONDS: u64 = 2;
const SLOTS: u64 = 301;
/// Bytes of a slot.
const SLOT: u64 = 256;
const BUCKETS: usize = BOUNDS.len() + 1;
/// Numbers of a slot: time, requests, failures, active, and the buckets.
const NUMBERS: usize = 4 + BUCKETS;

/// The sums of a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Point {
    /// Seconds since 1970.
    pub(crate) time: u64,
    pub(crate) requests: u64,
    /// Answers with a status of 500 or more.
    pub(crate) failures: u64,
    /// Requests in progress at this moment.
    pub(crate) active: u64,
    /// Durations within each bound of [`BOUNDS`], and beyond.
    pub(crate) buckets: [u64; BUCKETS],
}

impl Point {
    /// The sums of a sheet.
    pub(crate) fn of(sheet: &Sheet, time: u64) -> Self {
        let mut point = Self { time, ..Self::default() };
        for reading in sheet.totals.of(DURATION) {
            point.add(reading);
        }
        point.active = sheet.totals.of(ACTIVE_REQUESTS.name).map(|reading| reading.value() as u64).sum();
        point
    }

    /// Adds the durations of a series.
    pub(crate) fn add(&mut self, reading: &SeriesReading) {
        let count = reading.count();
        self.requests += count;
        if reading.definition.labels.contains("http_response_status_code=\"5") {
            self.failures += count;
        }
        self.buckets.iter_mut().zip(&reading.numbers).for_each(|(sum, number)| *sum += number);
    }

    /// The same less those of an earlier moment.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut rest = self.clone();
        rest.time = self.time.saturating_sub(before.time);
        rest.requests = self.requests.saturating_sub(before.requests);
        rest.failures = self.failures.saturating_sub(before.failures);
        rest.buckets.iter_mut().zip(before.buckets).for_each(|(own, before)| *own = own.saturating_sub(before));
        rest
    }

    /// The duration in seconds within which this part of the requests was answered, as far as the bounds tell.
    pub(crate) fn quantile(&self, part: f64) -> Option<f64> {
        let all: u64 = self.buckets.iter().sum();
        let wanted = part * all as f64;
        let (mut so_far, mut lower) = (0.0, 0.0);
        for (count, upper) in self.buckets.iter().zip(BOUNDS.into_iter().chain([BOUNDS[BOUNDS.len() - 1]])) {
            let within = *count as f64;
            if within > 0.0 && so_far + within >= wanted {
                // Between two bounds the durations are taken as spread evenly.
                return Some(lower + (upper - lower) * ((wanted - so_far) / within).clamp(0.0, 1.0));
            }
            (so_far, lower) = (so_far + within, upper);
        }
        None
    }

    fn encode(&self) -> [u8; NUMBERS * 8] {
        let mut bytes = [0; NUMBERS * 8];
        let numbers = [self.time, self.requests, self.failures, self.active].into_iter().chain(self.buckets);
        bytes.chunks_exact_mut(8).zip(numbers).for_each(|(place, number)| place.copy_from_slice(&number.to_le_bytes()));
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        let mut numbers = bytes.chunks_exact(8).map(|number| u64::from_le_bytes(number.try_into().unwrap_or_default()));
        let mut next = || numbers.next().unwrap_or_default();
        let mut point =
            Self { time: next(), requests: next(), failures: next(), active: next(), buckets: [0; BUCKETS] };
        point.buckets.fill_with(next);
        point
    }
}

impl Meter {
    /// Writes the slot of this time, in seconds since 1970, unless a process has done that.
    pub(crate) fn note_history(&self, time: u64, make: impl FnOnce() -> Point) {
        let time = time - time % SLOT_SECONDS;
        let offset = HISTORY + time / SLOT_SECONDS % SLOTS * SLOT;
        let is_there = self.with_file(|file| {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, offset).is_ok() && u64::from_le_bytes(bytes) == time
        });
        if is_there == Some(false) {
            let point = Point { time, ..make() };
            // A slot that cannot be written is missing.
            let _is_written = self.with_file(|file| file.write_all_at(&point.encode(), offset));
        }
    }

    /// The slots of the last ten minutes, the oldest first.
    pub(crate) fn history(&self, now: u64) -> Vec<Point> {
        let mut bytes = vec![0; (SLOTS * SLOT) as usize];
        let read = self.with_file(|file| {
            // The file may end before the last slot.
            let mut filled = 0;
            while filled < bytes.len() {
                match file.read_at(&mut bytes[filled..], HISTORY + filled as u64) {
                    Ok(count) if count > 0 => filled += count,
                    _ => break,
                }
            }
        });
        let first = now.saturating_sub(SLOTS * SLOT_SECONDS);
        let mut points: Vec<Point> =
            bytes.chunks_exact(SLOT as usize).map(|slot| Point::decode(&slot[..NUMBERS * 8])).collect();
        points.retain(|point| read.is_some() && (first..=now).contains(&point.time));
        points.sort_by_key(|point| point.time);
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_round() {
        let meter = Meter::default();
        meter.open_board(None).unwrap();
        assert_eq!(meter.history(1000), []);
        for time in 10_000..12_000 {
            let mut point = Point { requests: time, ..Point::default() };
            point.buckets[3] = time;
            meter.note_history(time, || point);
        }
        let points = meter.history(11_999);
        assert_eq!(points.len(), 301);
        assert_eq!((points[300].time, points[300].requests, points[300].buckets[3]), (11_998, 11_998, 11_998));
        assert!(points.windows(2).all(|pair| pair[1].time == pair[0].time + 2));
        assert_eq!(points[300].since(&points[299]).requests, 2);
        meter.note_history(11_999, || unreachable!("the slot is there"));
        assert_eq!(meter.history(90_000), []);
    }

    #[test]
    fn quantiles_of_buckets() {
        let mut point = Point::default();
        assert_eq!(point.quantile(0.5), None);
        // 100 durations between 5 and 10 ms, and one beyond all bounds.
        (point.buckets[6], point.buckets[19]) = (100, 1);
        let close = |part: f64, wanted: f64| (point.quantile(part).unwrap() - wanted).abs() < 1e-4;
        assert!(close(0.5, 0.0075) && close(0.9, 0.0095), "{:?}", point.quantile(0.5));
        assert_eq!(point.quantile(1.0), Some(10.0));
    }
}
