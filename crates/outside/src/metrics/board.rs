//! The board: a file in memory where every process of a server writes its numbers, and any of them reads all.
//!
//! The process that was started makes it; workers inherit it, and generations are handed it. Each generation has a
//! *block* of regions: one for each process, and a base, where its supervisor adds up the numbers of ended processes.
//! The process that was started adds up ended generations in the *root*. Each place has one writer. A reader takes the
//! processes first, then the bases, then the root, and leaves out what a later place has added up already: so nothing
//! is counted twice, and no sum falls.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::FileExt as _;

use super::events::{BoardEvent, EventRing};
use super::region::{self, Head, RegionContent, RegionWriter, STRIDE, State, encode_new};
use super::series::Totals;
use crate::descriptors::OwnFile;

/// The first bytes of a board, and the number of this layout: a process of another version makes a board of its own.
const MAGIC: u64 = u64::from_le_bytes(*b"outside\x1f");
const LAYOUT: u64 = 1;
/// Generations that may live at a time, and the processes of each.
const BLOCKS: usize = 16;
const REGIONS: usize = 256;
/// Where the block and the number of the next generation stand, and the directory of all blocks.
const NEXT: u64 = 16;
const DIRECTORY: u64 = 64;
/// Where the history begins.
pub(super) const HISTORY: u64 = 64 << 10;

/// The file.
#[derive(Debug)]
pub(super) struct Board(OwnFile);

/// A generation's entry in the directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct BlockEntry {
    /// The number of the generation; 0: none.
    generation: u64,
    /// The highest region that a process has had.
    used: u64,
}

impl Board {
    fn create() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        let file: File = rustix::fs::memfd_create("outside-board", rustix::fs::MemfdFlags::CLOEXEC)?.into();
        #[cfg(not(target_os = "linux"))]
        let file = tempfile::tempfile()?;
        let board = Self(OwnFile::new(file));
        board.put(0, MAGIC)?;
        board.put(8, LAYOUT)?;
        Ok(board)
    }

    /// A board that another process has made; `None` if it has another layout.
    fn adopt(file: File) -> Option<Self> {
        let board = Self(OwnFile::new(file));
        (board.get(0) == MAGIC && board.get(8) == LAYOUT).then_some(board)
    }

    pub(super) fn file(&self) -> &File {
        &self.0
    }

    fn get(&self, offset: u64) -> u64 {
        let mut bytes = [0; 8];
        // Bytes that were never written are zero.
        self.0.read_exact_at(&mut bytes, offset).map_or(0, |()| u64::from_le_bytes(bytes))
    }

    fn put(&self, offset: u64, value: u64) -> io::Result<()> {
        self.0.write_all_at(&value.to_le_bytes(), offset)
    }

    fn entry(&self, block: usize) -> BlockEntry {
        let at = DIRECTORY + 16 * block as u64;
        BlockEntry { generation: self.get(at), used: self.get(at + 8).min(REGIONS as u64) }
    }

    fn put_entry(&self, block: usize, entry: BlockEntry) -> io::Result<()> {
        let at = DIRECTORY + 16 * block as u64;
        self.put(at + 8, entry.used)?;
        self.put(at, entry.generation)
    }
}

const ROOT: u64 = STRIDE;

/// Where a region of a block begins; the first one is its base.
fn offset_of(block: usize, region: usize) -> u64 {
    (2 + (block * (REGIONS + 1) + region) as u64) * STRIDE
}

/// The sum of ended processes, or of ended generations, with its writer.
#[derive(Debug)]
struct Base {
    writer: RegionWriter,
    totals: Totals,
    /// How many series are defined on the board.
    defined: usize,
    /// For each place, the incarnation up to which it is added up.
    folded: Vec<u64>,
}

impl Base {
    fn begin(board: &Board, offset: u64, incarnation: u64, places: usize) -> io::Result<Self> {
        let writer = RegionWriter::begin(board.file(), offset, incarnation, std::process::id())?;
        let mut base = Self { writer, totals: Totals::default(), defined: 0, folded: vec![0; places] };
        base.write(board)?;
        Ok(base)
    }

    fn write(&mut self, board: &Board) -> io::Result<()> {
        let (definitions, mut numbers) = encode_new(&self.totals, self.defined);
        if self.writer.define(board.file(), &definitions)? {
            self.defined = self.totals.readings().len();
        } else {
            let known = self.totals.readings()[..self.defined].iter();
            numbers.truncate(known.map(|reading| reading.numbers.len()).sum());
        }
        let words: Vec<u8> = self.folded.iter().flat_map(|incarnation| incarnation.to_le_bytes()).collect();
        self.writer.write(board.file(), State::Alive, &numbers, &words, now())
    }
}

/// The place of a process on the board, as supervisor, as worker, or as both.
#[derive(Debug)]
pub(super) struct BoardPlace {
    pub(super) board: Board,
    block: usize,
    pub(super) generation: u64,
    base: Base,
    /// Of the process that was started alone.
    root: Option<Base>,
    /// Whether a process has this region.
    taken: Vec<bool>,
    processes: u64,
}

/// A process with its words, as it was read.
#[derive(Debug)]
pub(crate) struct ProcessWords {
    pub(crate) pid: u64,
    /// When it has written last, in milliseconds since 1970.
    pub(crate) time: u64,
    pub(crate) generation: u64,
    pub(crate) words: Vec<u8>,
}

impl BoardPlace {
    /// A place on the board that was handed down, or on a new one.
    pub(super) fn open(inherited: Option<File>) -> io::Result<Self> {
        match inherited.and_then(Board::adopt) {
            Some(board) => {
                let (block, generation) = (board.get(NEXT) as usize, board.get(NEXT + 8));
                match block < BLOCKS && generation > 0 {
                    true => Self::claim(board, block, generation, false),
                    false => Self::claim(Board::create()?, 0, 1, true),
                }
            }
            None => Self::claim(Board::create()?, 0, 1, true),
        }
    }

    fn claim(board: Board, block: usize, generation: u64, is_root: bool) -> io::Result<Self> {
        let base = Base::begin(&board, offset_of(block, 0), generation << 32, REGIONS + 1)?;
        let root = is_root.then(|| Base::begin(&board, ROOT, 0, BLOCKS)).transpose()?;
        board.put_entry(block, BlockEntry { generation, used: 0 })?;
        Ok(Self { board, block, generation, base, root, taken: vec![false; REGIONS + 1], processes: 0 })
    }

    /// Reserves a region for a process; `None` if there are too many.
    pub(super) fn reserve(&mut self) -> Option<usize> {
        let region = (1..=REGIONS).find(|region| !self.taken[*region])?;
        let entry = self.board.entry(self.block);
        if entry.used < region as u64 {
            self.board.put_entry(self.block, BlockEntry { used: region as u64, ..entry }).ok()?;
        }
        self.taken[region] = true;
        self.processes += 1;
        Some(region)
    }

    /// Begins the life of the process that this region was reserved for.
    pub(super) fn begin(&self, region: usize) -> io::Result<RegionWriter> {
        let incarnation = self.generation << 32 | self.processes;
        RegionWriter::begin(self.board.file(), offset_of(self.block, region), incarnation, std::process::id())
    }

    /// The ring for the events of the process that has this region; without one, for those of the process that has the block.
    pub(super) fn event_ring(&self, region: Option<usize>) -> EventRing {
        match region {
            Some(region) => EventRing::of_region(offset_of(self.block, region)),
            None => EventRing::of_block(self.block),
        }
    }

    /// The events of all processes, in no order.
    pub(super) fn events(&self) -> Vec<BoardEvent> {
        let mut rings = Vec::new();
        for block in 0..BLOCKS {
            let entry = self.board.entry(block);
            if entry.generation > 0 {
                rings.push(EventRing::of_block(block));
                rings.extend((1..=entry.used as usize).map(|region| EventRing::of_region(offset_of(block, region))));
            }
        }
        rings.into_iter().flat_map(|ring| ring.read(self.board.file())).collect()
    }

    /// Adds up the numbers of a process that has ended, and frees its region.
    pub(super) fn fold(&mut self, region: usize) -> io::Result<()> {
        if let Some(content) = region::read(self.board.file(), offset_of(self.block, region))
            && content.head.incarnation > self.base.folded[region]
            && content.head.incarnation >> 32 == self.generation
        {
            self.base.totals.add_all(&content.totals, false);
            self.base.folded[region] = content.head.incarnation;
            self.base.write(&self.board)?;
        }
        self.taken[region] = false;
        Ok(())
    }

    /// Adds numbers of this process itself, which is a supervisor; gauges are set.
    pub(super) fn absorb(&mut self, own: &Totals) -> io::Result<()> {
        for reading in own.readings() {
            match reading.definition.kind.is_gauge() {
                true => self.base.totals.set(&reading.definition, &reading.numbers),
                false => self.base.totals.add(&reading.definition, &reading.numbers),
            }
        }
        self.base.write(&self.board)
    }

    /// Names the block of the generation that is started next. `None` if this process starts none, or there is no room.
    pub(super) fn begin_generation(&mut self) -> io::Result<Option<usize>> {
        let Some(root) = &self.root else { return Ok(None) };
        let latest = (0..BLOCKS).map(|block| self.board.entry(block).generation).max().unwrap_or(0);
        let generation = latest.max(self.board.get(NEXT + 8)) + 1;
        // The block whose generation has ended for longest: a worker that was left behind may still write there.
        let free = (0..BLOCKS)
            .filter(|&block| block != self.block && self.board.entry(block).generation <= root.folded[block]);
        let Some(block) = free.min_by_key(|&block| root.folded[block]) else {
            self.board.put(NEXT + 8, 0)?;
            return Ok(None);
        };
        self.board.put(NEXT, block as u64)?;
        self.board.put(NEXT + 8, generation)?;
        Ok(Some(block))
    }

    /// Adds up the numbers of a generation that has ended.
    pub(super) fn fold_generation(&mut self, block: usize) -> io::Result<()> {
        let entry = self.board.entry(block);
        let Some(root) = &mut self.root else { return Ok(()) };
        if entry.generation <= root.folded[block] {
            return Ok(());
        }
        let found = read_block(&self.board, block, entry);
        found.processes.iter().for_each(|process| root.totals.add_all(&process.totals, false));
        if let Some(base) = &found.base {
            root.totals.add_all(&base.totals, false);
        }
        root.folded[block] = entry.generation;
        root.write(&self.board)
    }

    /// The numbers of all processes, the living ones with their gauges, and the words of those.
    pub(super) fn collect(&self) -> (Totals, Vec<ProcessWords>) {
        let board = &self.board;
        let blocks: Vec<(usize, BlockEntry, BlockContent)> = (0..BLOCKS)
            .map(|block| (block, board.entry(block)))
            .filter(|(_, entry)| entry.generation > 0)
            .map(|(block, entry)| (block, entry, read_block(board, block, entry)))
            .collect();
        let root = region::read(board.file(), ROOT);
        let folded = root.as_ref().map(folded_of).unwrap_or_default();
        let (mut totals, mut words) = (Totals::default(), Vec::new());
        for (block, entry, content) in blocks {
            if entry.generation <= folded.get(block).copied().unwrap_or(0) {
                continue;
            }
            for process in content.processes {
                let is_alive = process.head.state == State::Alive;
                totals.add_all(&process.totals, is_alive);
                if is_alive {
                    let Head { pid, time, .. } = process.head;
                    words.push(ProcessWords { pid, time, generation: entry.generation, words: process.words });
                }
            }
            if let Some(base) = content.base {
                totals.add_all(&base.totals, true);
            }
        }
        if let Some(root) = root {
            totals.add_all(&root.totals, true);
        }
        (totals, words)
    }
}

impl AsFd for BoardPlace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.board.file().as_fd()
    }
}

impl AsRawFd for BoardPlace {
    fn as_raw_fd(&self) -> RawFd {
        self.board.file().as_raw_fd()
    }
}

/// The regions of a block whose processes are not added up in its base, and the base.
struct BlockContent {
    processes: Vec<RegionContent>,
    base: Option<RegionContent>,
}

fn read_block(board: &Board, block: usize, entry: BlockEntry) -> BlockContent {
    let is_of_generation = |content: &RegionContent| content.head.incarnation >> 32 == entry.generation;
    let read = |region| region::read(board.file(), offset_of(block, region)).filter(is_of_generation);
    let regions: Vec<(usize, RegionContent)> =
        (1..=entry.used as usize).filter_map(|region| Some((region, read(region)?))).collect();
    // Behind the regions: a process that is added up meanwhile is in the base by now, and is left out here.
    let base = read(0);
    let folded = base.as_ref().map(folded_of).unwrap_or_default();
    let is_open = |(region, content): &(usize, RegionContent)| {
        content.head.incarnation > folded.get(*region).copied().unwrap_or(0)
    };
    let processes = regions.into_iter().filter(is_open).map(|(_, content)| content).collect();
    BlockContent { processes, base }
}

fn folded_of(content: &RegionContent) -> Vec<u64> {
    let numbers = content.words.chunks_exact(8);
    numbers.map(|number| u64::from_le_bytes(number.try_into().unwrap_or_default())).collect()
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
