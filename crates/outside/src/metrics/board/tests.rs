//! The board over the lives of processes and generations: each sum is that of all, and falls never.

use super::*;
use crate::metrics::series::{Combine, Definition, Kind};

fn counter() -> Definition {
    Definition::new(Kind::Counter, "requests", "", "")
}

/// A process that has counted this much, and has this gauge.
struct Process(RegionWriter);

impl Process {
    fn begin(place: &BoardPlace, region: usize) -> Self {
        let mut writer = place.begin(region).unwrap();
        let mut definitions = Vec::new();
        counter().encode(&mut definitions);
        Definition::new(Kind::Gauge(Combine::Sum), "open", "", "").encode(&mut definitions);
        assert!(writer.define(place.board.file(), &definitions).unwrap());
        Self(writer)
    }

    fn write(&mut self, place: &BoardPlace, count: u64, state: State) {
        let numbers = [count, 1f64.to_bits(), 1];
        self.0.write(place.board.file(), state, &numbers, b"{}", now()).unwrap();
    }
}

fn sums(place: &BoardPlace) -> (u64, f64, usize) {
    let (totals, words) = place.collect();
    let gauge = totals.get("open", "").map_or(0.0, |reading| reading.value());
    (totals.get("requests", "").map_or(0, |reading| reading.numbers[0]), gauge, words.len())
}

fn second_handle(place: &BoardPlace) -> File {
    place.board.file().try_clone().unwrap()
}

#[test]
fn ended_processes_stay_counted() {
    let mut place = BoardPlace::open(None).unwrap();
    assert_eq!(sums(&place), (0, 0.0, 0));
    let regions = [place.reserve().unwrap(), place.reserve().unwrap()];
    let mut one = Process::begin(&place, regions[0]);
    let mut other = Process::begin(&place, regions[1]);
    one.write(&place, 5, State::Alive);
    other.write(&place, 7, State::Alive);
    assert_eq!(sums(&place), (12, 2.0, 2));
    // It was killed, and its supervisor takes note of that twice.
    place.fold(regions[0]).unwrap();
    place.fold(regions[0]).unwrap();
    assert_eq!(sums(&place), (12, 1.0, 1));
    assert_eq!(place.reserve(), Some(regions[0]), "its region is free");
    let mut third = Process::begin(&place, regions[0]);
    assert_eq!(sums(&place).0, 12);
    third.write(&place, 1, State::Alive);
    assert_eq!(sums(&place), (13, 2.0, 2));
    other.write(&place, 8, State::Ended);
    assert_eq!(sums(&place), (14, 1.0, 1), "one that has ended in order has no gauges");
}

#[test]
fn generations_come_and_go() {
    let mut started = BoardPlace::open(None).unwrap();
    let mut expected = 0;
    for round in 1..40 {
        let block = started.begin_generation().unwrap().unwrap();
        let mut generation = BoardPlace::open(Some(second_handle(&started))).unwrap();
        assert_eq!((generation.block, generation.generation), (block, round + 1));
        assert!(generation.root.is_none() && generation.begin_generation().unwrap().is_none());
        let regions = [generation.reserve().unwrap(), generation.reserve().unwrap()];
        let mut one = Process::begin(&generation, regions[0]);
        let mut other = Process::begin(&generation, regions[1]);
        one.write(&generation, 2, State::Alive);
        other.write(&generation, 3, State::Alive);
        generation.fold(regions[0]).unwrap();
        expected += 5;
        assert_eq!(sums(&generation).0, expected);
        assert_eq!(sums(&started), (expected, 1.0, 1));
        started.fold_generation(block).unwrap();
        started.fold_generation(block).unwrap();
        assert_eq!(sums(&started), (expected, 0.0, 0), "round {round}");
    }
}

#[test]
fn a_generation_without_a_block_has_a_board_of_its_own() {
    let mut started = BoardPlace::open(None).unwrap();
    let mut living = Vec::new();
    while let Some(_block) = started.begin_generation().unwrap() {
        living.push(BoardPlace::open(Some(second_handle(&started))).unwrap());
    }
    assert_eq!(living.len(), BLOCKS - 1);
    assert!(BoardPlace::open(Some(second_handle(&started))).unwrap().root.is_some());
}

#[test]
fn board_of_other_layout() {
    let started = BoardPlace::open(None).unwrap();
    started.board.put(8, LAYOUT + 1).unwrap();
    let other = BoardPlace::open(Some(second_handle(&started))).unwrap();
    assert!(other.root.is_some() && other.generation == 1, "it makes a board of its own");
    assert!(BoardPlace::open(Some(tempfile::tempfile().unwrap())).unwrap().root.is_some());
}

#[test]
fn more_processes_than_regions() {
    let mut place = BoardPlace::open(None).unwrap();
    assert_eq!(std::iter::from_fn(|| place.reserve()).count(), REGIONS);
    place.fold(9).unwrap();
    assert_eq!(place.reserve(), Some(9));
}

#[test]
fn numbers_of_the_supervisor() {
    let mut place = BoardPlace::open(None).unwrap();
    let mut own = Totals::default();
    own.add(&counter(), &[3]);
    own.add(&Definition::new(Kind::Gauge(Combine::Last), "open", "", ""), &[4f64.to_bits(), 1]);
    place.absorb(&own).unwrap();
    place.absorb(&own).unwrap();
    assert_eq!(sums(&place), (6, 4.0, 0));
}
