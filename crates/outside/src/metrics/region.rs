//! A region of the board: the numbers of one process, in two halves that are written in turn.
//!
//! The process writes the half that no reader takes, then the head, whose number says which half that was. A reader
//! takes the head before and behind its half: if the number has changed, it reads once more. So a process that is killed
//! while it writes leaves its numbers as they were before.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::series::{Definition, Totals, decode_definitions};

/// Bytes from one region to the next. Pages that nothing was written to take no memory.
pub(super) const STRIDE: u64 = 2 << 20;
/// Bytes of the head.
const HEAD: usize = 64;
/// Where the definitions begin, and their bytes at most.
const DEFINITIONS: u64 = 4 << 10;
const MOST_DEFINITIONS: usize = 508 << 10;
/// Where the first half begins, and the bytes of each: numbers, then the words about the process.
const HALVES: u64 = 512 << 10;
const HALF: usize = 768 << 10;
/// Tries of a reader, beyond which the region counts as empty.
const MOST_TRIES: usize = 100;

/// The state of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Empty,
    /// A process writes here.
    Alive,
    /// The process has ended in order: its counters stay.
    Ended,
}

/// The head of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Counts the writes; its lowest bit names the half.
    pub(super) number: u64,
    /// Tells one process of this region from the next: the generation, then a count.
    pub(super) incarnation: u64,
    pub(super) state: State,
    definitions: usize,
    numbers: usize,
    words: usize,
    /// Milliseconds since 1970.
    pub(super) time: u64,
    pub(super) pid: u64,
}

impl Head {
    fn encode(&self) -> [u8; HEAD] {
        let state = match self.state {
            State::Empty => 0,
            State::Alive => 1,
            State::Ended => 2,
        };
        let fields = [
            self.number,
            self.incarnation,
            state,
            self.definitions as u64,
            self.numbers as u64,
            self.words as u64,
            self.time,
            self.pid,
        ];
        let mut bytes = [0; HEAD];
        bytes.chunks_exact_mut(8).zip(fields).for_each(|(place, field)| place.copy_from_slice(&field.to_le_bytes()));
        bytes
    }

    fn read(file: &File, offset: u64) -> Option<Self> {
        let mut bytes = [0; HEAD];
        file.read_exact_at(&mut bytes, offset).ok()?;
        let mut fields = bytes.chunks_exact(8).map(|field| u64::from_le_bytes(field.try_into().unwrap_or_default()));
        let mut next = || fields.next().unwrap_or_default();
        let (number, incarnation) = (next(), next());
        let state = match next() {
            1 => State::Alive,
            2 => State::Ended,
            _ => State::Empty,
        };
        let mut length = || usize::try_from(next()).unwrap_or(usize::MAX);
        let (definitions, numbers, words) = (length(), length(), length());
        let is_sound = definitions <= MOST_DEFINITIONS && numbers.saturating_mul(8).saturating_add(words) <= HALF;
        is_sound.then(|| Self { number, incarnation, state, definitions, numbers, words, time: next(), pid: next() })
    }
}

/// The content of a region.
#[derive(Debug)]
pub(super) struct RegionContent {
    pub(super) head: Head,
    pub(super) totals: Totals,
    pub(super) words: Vec<u8>,
}

/// The content of the region at this offset; `None` if there is none.
pub(super) fn read(file: &File, offset: u64) -> Option<RegionContent> {
    for _ in 0..MOST_TRIES {
        let head = Head::read(file, offset)?;
        if head.state == State::Empty {
            return None;
        }
        let mut definitions = vec![0; head.definitions];
        let mut half = vec![0; head.numbers * 8 + head.words];
        file.read_exact_at(&mut definitions, offset + DEFINITIONS).ok()?;
        file.read_exact_at(&mut half, offset + half_of(head.number)).ok()?;
        if Head::read(file, offset).is_none_or(|after| after.number != head.number) {
            continue;
        }
        let words = half.split_off(head.numbers * 8);
        let numbers: Vec<u64> =
            half.chunks_exact(8).map(|number| u64::from_le_bytes(number.try_into().unwrap_or_default())).collect();
        let mut totals = Totals::default();
        let mut rest = &numbers[..];
        for definition in decode_definitions(&definitions) {
            let Some((own, behind)) = rest.split_at_checked(definition.width()) else { break };
            totals.add(&definition, own);
            rest = behind;
        }
        return Some(RegionContent { head, totals, words });
    }
    None
}

fn half_of(number: u64) -> u64 {
    HALVES + (number & 1) * HALF as u64
}

/// The only writer of a region.
#[derive(Debug)]
pub(super) struct RegionWriter {
    offset: u64,
    head: Head,
    /// The numbers and words that were written last.
    last: Vec<u8>,
}

impl RegionWriter {
    /// Begins the life of a process in a region, without definitions.
    pub(super) fn begin(file: &File, offset: u64, incarnation: u64, pid: u32) -> io::Result<Self> {
        let number = Head::read(file, offset).map_or(0, |head| head.number) + 1;
        let head = Head {
            number,
            incarnation,
            state: State::Empty,
            definitions: 0,
            numbers: 0,
            words: 0,
            time: 0,
            pid: u64::from(pid),
        };
        // No reader takes the definitions of the process before while those of this one are written over them.
        file.write_all_at(&head.encode(), offset)?;
        Ok(Self { offset, head, last: Vec::new() })
    }

    #[cfg(test)]
    fn incarnation(&self) -> u64 {
        self.head.incarnation
    }

    /// Adds definitions behind those that are there. Returns whether there was room.
    pub(super) fn define(&mut self, file: &File, bytes: &[u8]) -> io::Result<bool> {
        if self.head.definitions + bytes.len() > MOST_DEFINITIONS {
            return Ok(false);
        }
        file.write_all_at(bytes, self.offset + DEFINITIONS + self.head.definitions as u64)?;
        // They count from the next write of numbers on.
        self.head.definitions += bytes.len();
        Ok(true)
    }

    /// Writes the numbers of all series that were defined, and words about the process, if anything has changed.
    pub(super) fn write(
        &mut self,
        file: &File,
        state: State,
        numbers: &[u64],
        words: &[u8],
        time: u64,
    ) -> io::Result<()> {
        let mut half = Vec::with_capacity(numbers.len() * 8 + words.len());
        numbers.iter().for_each(|number| half.extend_from_slice(&number.to_le_bytes()));
        let words: &[u8] = if half.len() + words.len() > HALF { &[] } else { words };
        half.extend_from_slice(words);
        if half.len() > HALF {
            return Ok(());
        }
        let is_due = time >= self.head.time + SIGN_OF_LIFE;
        if half == self.last && state == self.head.state && !is_due {
            return Ok(());
        }
        let head =
            Head { number: self.head.number + 1, state, numbers: numbers.len(), words: words.len(), time, ..self.head };
        file.write_all_at(&half, self.offset + half_of(head.number))?;
        file.write_all_at(&head.encode(), self.offset)?;
        (self.head, self.last) = (head, half);
        Ok(())
    }
}

/// Milliseconds after which a process writes although nothing has changed: it tells that it is alive.
const SIGN_OF_LIFE: u64 = 1000;

/// The encoded definitions and the numbers of a sum, for a region that is written as a whole.
pub(super) fn encode_new(totals: &Totals, defined: usize) -> (Vec<u8>, Vec<u64>) {
    let mut definitions = Vec::new();
    let readings = totals.readings();
    readings[defined.min(readings.len())..]
        .iter()
        .for_each(|reading| Definition::encode(&reading.definition, &mut definitions));
    (definitions, readings.iter().flat_map(|reading| reading.numbers.iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::series::Kind;

    fn counter(name: &str) -> Definition {
        Definition::new(Kind::Counter, name, "", "")
    }

    fn encoded(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        counter(name).encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_writer_that_is_killed_leaves_its_numbers() {
        let file = tempfile::tempfile().unwrap();
        assert!(read(&file, 0).is_none(), "an empty file");
        let mut writer = RegionWriter::begin(&file, STRIDE, 1, 7).unwrap();
        assert!(read(&file, STRIDE).is_none(), "nothing is written");
        assert!(writer.define(&file, &encoded("a")).unwrap());
        writer.write(&file, State::Alive, &[5], b"words", 1).unwrap();
        let content = read(&file, STRIDE).unwrap();
        assert_eq!((content.totals.get("a", "").unwrap().numbers[0], &content.words[..]), (5, &b"words"[..]));
        // The next half is written, and its head is not.
        let half = half_of(content.head.number + 1);
        file.write_all_at(&99u64.to_le_bytes(), STRIDE + half).unwrap();
        assert_eq!(read(&file, STRIDE).unwrap().totals.get("a", "").unwrap().numbers[0], 5);
        // A definition without numbers yet.
        writer.define(&file, &encoded("b")).unwrap();
        assert!(read(&file, STRIDE).unwrap().totals.get("b", "").is_none());
        writer.write(&file, State::Alive, &[6, 1], b"", 2).unwrap();
        assert_eq!(read(&file, STRIDE).unwrap().totals.get("b", "").unwrap().numbers[0], 1);
    }

    #[test]
    fn another_process_begins_anew() {
        let file = tempfile::tempfile().unwrap();
        let mut first = RegionWriter::begin(&file, 0, 1, 7).unwrap();
        first.define(&file, &encoded("a")).unwrap();
        first.write(&file, State::Ended, &[5], b"", 1).unwrap();
        let second = RegionWriter::begin(&file, 0, 2, 8).unwrap();
        assert!(read(&file, 0).is_none() && second.incarnation() == 2);
    }

    #[test]
    fn bytes_of_another_layout() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[0xff; 4096], 0).unwrap();
        assert!(read(&file, 0).is_none());
        let mut words = [0xff; HEAD];
        words[16..24].copy_from_slice(&1u64.to_le_bytes());
        file.write_all_at(&words, 0).unwrap();
        assert!(read(&file, 0).is_none(), "lengths beyond the region");
    }
}
