//! The last events of a server on the board, for the status page: workers that have died, reloads, certificates, the broker.
//!
//! A supervisor writes to the ring of its block, a worker to a small one in its region: each ring has one writer. A ring goes on with
//! the next process in its place, so events outlive the process that has written them. Texts are sentences of the server about itself:
//! nothing of a request is in them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Where the rings of blocks begin, the bytes of each, and its slots.
const BLOCK_RINGS: u64 = 256 << 10;
const BLOCK_RING: u64 = 32 << 10;
const BLOCK_SLOTS: u64 = 64;
/// Where the ring of a region begins in it, and its slots: as many as there is room for before the definitions.
const REGION_RING: u64 = 64;
const REGION_SLOTS: u64 = 7;
/// Bytes of a slot, and of what stands in it before the text: number, time, worker, length, level.
const SLOT: usize = 512;
const HEAD: usize = 28;
/// Events that are shown.
const MOST: usize = 50;

/// An event as the board has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BoardEvent {
    /// The place of the event in its ring.
    number: u64,
    /// Milliseconds since 1970.
    pub(crate) time: u64,
    /// The worker that has written it; `None`: its supervisor.
    pub(crate) worker: Option<u32>,
    /// As the log calls it.
    pub(crate) level: &'static str,
    pub(crate) text: String,
}

/// The levels by their numbers on the board.
const LEVELS: [&str; 3] = ["info", "warning", "error"];

/// A ring on the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventRing {
    offset: u64,
    slots: u64,
}

impl EventRing {
    pub(super) fn of_block(block: usize) -> Self {
        Self { offset: BLOCK_RINGS + block as u64 * BLOCK_RING, slots: BLOCK_SLOTS }
    }

    /// The ring of the region that begins at this offset.
    pub(super) fn of_region(region: u64) -> Self {
        Self { offset: region + REGION_RING, slots: REGION_SLOTS }
    }

    /// The events in no order.
    pub(super) fn read(self, file: &File) -> impl Iterator<Item = BoardEvent> {
        let mut bytes = vec![0; SLOT * self.slots as usize];
        // The file may end before the ring does: bytes that were never written are zero.
        let mut filled = 0;
        while let Ok(count @ 1..) = file.read_at(&mut bytes[filled..], self.offset + filled as u64) {
            filled += count;
        }
        let found: Vec<BoardEvent> = bytes.chunks_exact(SLOT).filter_map(BoardEvent::decode).collect();
        found.into_iter()
    }

    fn write(self, file: &File, event: &BoardEvent) -> std::io::Result<()> {
        file.write_all_at(&event.encode(), self.offset + event.number % self.slots * SLOT as u64)
    }
}

impl BoardEvent {
    fn encode(&self) -> [u8; SLOT] {
        let mut end = self.text.len().min(SLOT - HEAD);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let level = LEVELS.iter().position(|level| *level == self.level).unwrap_or(0) as u8;
        let worker = self.worker.map_or(0, |worker| worker.saturating_add(1));
        let mut bytes = [0; SLOT];
        bytes[..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.time.to_le_bytes());
        bytes[16..20].copy_from_slice(&worker.to_le_bytes());
        bytes[20..24].copy_from_slice(&(end as u32).to_le_bytes());
        bytes[24] = level;
        bytes[HEAD..HEAD + end].copy_from_slice(&self.text.as_bytes()[..end]);
        bytes
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        let (number, rest) = slot.split_first_chunk::<8>()?;
        let (time, rest) = rest.split_first_chunk::<8>()?;
        let (worker, rest) = rest.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let level = LEVELS.get(usize::from(*rest.first()?)).copied()?;
        let text = slot.get(HEAD..HEAD + u32::from_le_bytes(*length) as usize)?;
        let number = u64::from_le_bytes(*number);
        (number > 0).then(|| Self {
            number,
            time: u64::from_le_bytes(*time),
            worker: u32::from_le_bytes(*worker).checked_sub(1),
            level,
            text: String::from_utf8_lossy(text).into_owned(),
        })
    }
}

/// The writer of a ring.
#[derive(Debug)]
pub(super) struct EventWriter {
    ring: EventRing,
    worker: Option<u32>,
    next: u64,
}

impl EventWriter {
    /// The writer behind the events that are in the ring.
    pub(super) fn new(file: &File, ring: EventRing, worker: Option<u32>) -> Self {
        let last = ring.read(file).map(|event| event.number).max().unwrap_or(0);
        Self { ring, worker, next: last + 1 }
    }

    /// Adds an event of this time, in milliseconds since 1970.
    pub(super) fn add(&mut self, file: &File, time: u64, level: &str, text: &str) {
        let level = LEVELS.into_iter().find(|known| *known == level).unwrap_or(LEVELS[0]);
        let event = BoardEvent { number: self.next, time, worker: self.worker, level, text: text.to_owned() };
        // An event that cannot be written is missing on the page; the log has it.
        let _is_written = self.ring.write(file, &event);
        self.next += 1;
    }
}

/// The last of these events, the newest first.
pub(super) fn latest(mut events: Vec<BoardEvent>) -> Vec<BoardEvent> {
    events.sort_by_key(|event| (u64::MAX - event.time, u64::MAX - event.number));
    events.truncate(MOST);
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_keeps_the_last_ones() {
        let file = tempfile::tempfile().unwrap();
        for ring in [EventRing::of_block(2), EventRing::of_region(4 << 20)] {
            assert_eq!(ring.read(&file).count(), 0);
            let mut writer = EventWriter::new(&file, ring, Some(0));
            for number in 0..100 {
                writer.add(&file, number, "warning", &format!("event {number}"));
            }
            // Another process goes on behind them.
            let mut writer = EventWriter::new(&file, ring, None);
            writer.add(&file, 100, "nonsense", &"é".repeat(400));
            let mut found: Vec<BoardEvent> = ring.read(&file).collect();
            found.sort_by_key(|event| event.number);
            assert_eq!(found.len() as u64, ring.slots);
            let last = found.pop().unwrap();
            assert_eq!((last.number, last.worker, last.level, last.text.len()), (101, None, "info", SLOT - HEAD));
            let before = found.pop().unwrap();
            assert_eq!((&*before.text, before.worker, before.level), ("event 99", Some(0), "warning"));
        }
    }

    #[test]
    fn bytes_that_are_no_event() {
        for bytes in [[0u8; SLOT], [0xff; SLOT]] {
            assert_eq!(BoardEvent::decode(&bytes), None);
        }
    }
}
