//! The series of one process, and its way to the board.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::board::{BoardPlace, ProcessWords, now};
use super::bounds::bounded;
use super::events::{BoardEvent, EventWriter, latest};
use super::names::{GENERATION, RELOADS, WORKER_ENDS};
use super::region::{RegionWriter, State};
use super::series::{Definition, Totals};

/// The numbers of a series in one process. Any thread may add to them.
pub(crate) type Cells = Arc<[AtomicU64]>;

/// Series of one process at most; further ones are left out.
const MOST_SERIES: usize = 8192;

/// The numbers of a server in this process.
pub struct Meter {
    table: Mutex<Table>,
    seat: Mutex<Seated>,
    /// The metrics of the program by name, as `program` knows them.
    pub(super) families: Mutex<HashMap<Box<str>, Arc<dyn Any + Send + Sync>>>,
    /// Series of the program, of all families.
    pub(super) program_series: AtomicUsize,
    /// Whether there is a board: otherwise nothing is written and read.
    is_on: AtomicBool,
    /// The number of this process among the workers.
    worker: AtomicUsize,
}

#[derive(Default)]
struct Table {
    series: Vec<Series>,
    index: HashMap<(Box<str>, Box<str>), usize>,
    /// Definitions in their form on the board.
    definitions: Vec<u8>,
    /// Numbers of all series.
    width: usize,
}

struct Series {
    definition: Definition,
    /// One for each writer: their sum counts.
    parts: Vec<Cells>,
}

/// The place on the board, and the region of this process if it serves.
#[derive(Default)]
struct Seated {
    place: Option<BoardPlace>,
    own: Option<OwnRegion>,
    /// The region of a worker, whose events are there; `None` in the process that has the place.
    worker_region: Option<usize>,
    events: Option<EventWriter>,
}

struct OwnRegion {
    writer: RegionWriter,
    /// Bytes of definitions that are written.
    defined: usize,
    words: Vec<u8>,
}

/// All numbers of a server, as one process has read them.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) totals: Totals,
    pub(crate) processes: Vec<ProcessWords>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            table: Mutex::default(),
            seat: Mutex::default(),
            families: Mutex::default(),
            program_series: AtomicUsize::new(0),
            is_on: AtomicBool::new(false),
            worker: AtomicUsize::new(0),
        }
    }
}

impl Meter {
    /// The cells of a series, which all callers share.
    pub(crate) fn cells(&self, definition: Definition) -> Cells {
        self.add(definition, true)
    }

    /// Cells of a series for one writer; the series has the sum of all.
    pub(crate) fn part(&self, definition: Definition) -> Cells {
        self.add(definition, false)
    }

    fn add(&self, definition: Definition, is_shared: bool) -> Cells {
        let mut table = self.table();
        let key = (definition.name.clone(), definition.labels.clone());
        let fresh = || (0..definition.width()).map(|_| AtomicU64::new(0)).collect::<Cells>();
        if let Some(&at) = table.index.get(&key) {
            let series = &mut table.series[at];
            if series.definition.width() != definition.width() {
                return fresh();
            }
            if !is_shared {
                series.parts.push(fresh());
            }
            return series.parts.last().map_or_else(fresh, Arc::clone);
        }
        let cells = fresh();
        if table.series.len() < MOST_SERIES {
            let at = table.series.len();
            table.index.insert(key, at);
            definition.encode(&mut table.definitions);
            table.width += definition.width();
            table.series.push(Series { definition, parts: vec![Arc::clone(&cells)] });
        }
        cells
    }

    /// Counts an event that is too rare for cells of its own.
    pub(crate) fn count(&self, definition: Definition) {
        self.cells(definition)[0].fetch_add(1, Ordering::Relaxed);
    }

    /// Sets a gauge.
    pub(crate) fn set(&self, definition: Definition, value: f64) {
        set_gauge(&self.cells(definition), value);
    }

    /// Makes a board, or takes over one that another process hands down: before any process is forked.
    ///
    /// # Errors
    /// The system has no memory or descriptor for it.
    pub fn open_board(&self, inherited: Option<File>) -> io::Result<()> {
        let mut seat = self.seat();
        if seat.place.is_none() {
            seat.place = Some(BoardPlace::open(inherited)?);
            self.is_on.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether there is a board.
    pub fn has_board(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// The descriptor of the board, for the next generation.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.seat().place.as_ref().map(BoardPlace::as_raw_fd)
    }

    /// Reserves a region for a process that is about to be forked; `None` without a board, or if there are too many.
    pub fn reserve(&self) -> Option<usize> {
        self.absorb();
        self.seat().place.as_mut()?.reserve()
    }

    /// The numbers of this process become its supervisor's, so that a fork does not count them once more.
    fn absorb(&self) {
        let mut seat = self.seat();
        let Some(place) = &mut seat.place else { return };
        let mut own = Totals::default();
        for series in &self.table().series {
            own.add(&series.definition, &series.numbers());
            if !series.definition.kind.is_gauge() {
                series.parts.iter().flat_map(|part| part.iter()).for_each(|cell| cell.store(0, Ordering::Relaxed));
            }
        }
        // A board that cannot be written has the numbers from before.
        let _is_written = place.absorb(&own);
    }

    /// Begins to write to this region, as this worker, in the forked process.
    ///
    /// # Errors
    /// The board cannot be written.
    pub fn begin(&self, region: usize, worker: usize) -> io::Result<()> {
        self.clear();
        self.worker.store(worker, Ordering::Relaxed);
        let mut seat = self.seat();
        (seat.worker_region, seat.events) = (Some(region), None);
        drop(seat);
        self.enter(region)
    }

    fn clear(&self) {
        for series in &self.table().series {
            series.parts.iter().flat_map(|part| part.iter()).for_each(|cell| cell.store(0, Ordering::Relaxed));
        }
    }

    /// The same in the process that has the board, which serves by itself; unless it has begun.
    pub(crate) fn begin_here(&self) -> io::Result<()> {
        if self.seat().own.is_some() {
            return Ok(());
        }
        let region = self.seat().place.as_mut().and_then(BoardPlace::reserve);
        region.map_or(Ok(()), |region| self.enter(region))
    }

    fn enter(&self, region: usize) -> io::Result<()> {
        let mut seat = self.seat();
        let Some(place) = &seat.place else { return Ok(()) };
        let generation = place.generation;
        let writer = place.begin(region)?;
        // Until the first look.
        let words = format!("{{\"worker\": {}, \"state\": \"starting\"}}", self.worker()).into_bytes();
        seat.own = Some(OwnRegion { writer, defined: 0, words });
        drop(seat);
        self.set(GENERATION.series(&[]), generation as f64);
        Ok(())
    }

    /// Adds up the numbers of a process that has ended.
    pub fn fold(&self, region: usize) {
        if let Some(place) = &mut self.seat().place {
            let _is_written = place.fold(region);
        }
    }

    /// Names the block of the generation that is started next.
    pub fn begin_generation(&self) -> Option<usize> {
        self.seat().place.as_mut()?.begin_generation().ok()?
    }

    /// Adds up the numbers of a generation that has ended.
    pub fn fold_generation(&self, block: usize) {
        if let Some(place) = &mut self.seat().place {
            let _is_written = place.fold_generation(block);
        }
    }

    /// Counts a worker process that has ended: in `order`, with an `error`, or by a `signal`. For supervisors.
    pub fn count_worker_end(&self, how: &str) {
        self.count_now(WORKER_ENDS.series(&[how]));
    }

    /// Counts a reload: `served`, or `failed`. For supervisors.
    pub fn count_reload(&self, result: &str) {
        self.count_now(RELOADS.series(&[result]));
    }

    /// Counts in a supervisor, and writes it at once: it has no event loop that would.
    fn count_now(&self, definition: Definition) {
        self.count(definition);
        if self.seat().own.is_none() {
            self.absorb();
        } else {
            self.flush();
        }
    }

    /// The number of this process among the workers.
    pub(crate) fn worker(&self) -> usize {
        self.worker.load(Ordering::Relaxed)
    }

    /// Sets the words about this process, for the status page.
    pub(crate) fn set_words(&self, words: Vec<u8>) {
        if let Some(own) = &mut self.seat().own {
            own.words = words;
        }
    }

    /// Writes the numbers of this process to the board, if they have changed.
    pub(crate) fn flush(&self) {
        self.write(State::Alive);
    }

    /// The same for the last time.
    pub(crate) fn end(&self) {
        self.write(State::Ended);
        self.seat().own = None;
        // Another run has another region; this one keeps these numbers.
        self.clear();
    }

    fn write(&self, state: State) {
        let mut seat = self.seat();
        let Seated { place: Some(place), own: Some(own), .. } = &mut *seat else { return };
        let table = self.table();
        let mut numbers = Vec::with_capacity(table.width);
        table.series.iter().for_each(|series| series.add_to(&mut numbers));
        if own.defined < table.definitions.len() {
            // The numbers of series that are not defined are not read.
            if let Ok(true) = own.writer.define(place.board.file(), &table.definitions[own.defined..]) {
                own.defined = table.definitions.len();
            }
        }
        drop(table);
        // A write that fails is made again with the next numbers.
        let _is_written = own.writer.write(place.board.file(), state, &numbers, &own.words, now());
    }

    /// The numbers of all processes, those of this one as of now.
    pub(crate) fn collect(&self) -> Sheet {
        self.flush();
        let seat = self.seat();
        seat.place.as_ref().map_or_else(Sheet::default, |place| {
            let (totals, processes) = place.collect();
            Sheet { totals: bounded(totals), processes }
        })
    }

    /// Keeps an event for the status page, with its level as the log calls it. The text says nothing of requests.
    pub fn note_event(&self, level: &str, text: &str) {
        let mut seat = self.seat();
        let Seated { place: Some(place), events, worker_region, .. } = &mut *seat else { return };
        let file = place.board.file();
        let writer = events.get_or_insert_with(|| {
            let worker = worker_region.and_then(|_| u32::try_from(self.worker()).ok());
            EventWriter::new(file, place.event_ring(*worker_region), worker)
        });
        writer.add(file, now(), level, text);
    }

    /// The last events of all processes, the newest first.
    pub(crate) fn events(&self) -> Vec<BoardEvent> {
        latest(self.seat().place.as_ref().map(BoardPlace::events).unwrap_or_default())
    }

    /// Calls a function with the file of the board.
    pub(super) fn with_file<T>(&self, function: impl FnOnce(&File) -> T) -> Option<T> {
        self.seat().place.as_ref().map(|place| function(place.board.file()))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seat(&self) -> MutexGuard<'_, Seated> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Series {
    /// The sum of all parts.
    fn numbers(&self) -> Vec<u64> {
        let mut sum = Vec::with_capacity(self.definition.width());
        self.add_to(&mut sum);
        sum
    }

    /// The same, behind other numbers.
    fn add_to(&self, numbers: &mut Vec<u64>) {
        let begin = numbers.len();
        numbers.resize(begin + self.definition.width(), 0);
        for part in &self.parts {
            // Parts are of counters and durations alone; other kinds have one.
            let cells = numbers[begin..].iter_mut().zip(part.iter());
            cells.for_each(|(sum, cell)| *sum = sum.wrapping_add(cell.load(Ordering::Relaxed)));
        }
    }
}

/// Sets a gauge, and notes when.
pub(super) fn set_gauge(cells: &Cells, value: f64) {
    cells[0].store(value.to_bits(), Ordering::Relaxed);
    cells[1].store(now(), Ordering::Relaxed);
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("is_on", &self.is_on).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_all_processes() {
        let supervisor = Meter::default();
        supervisor.note_event("info", "without a board");
        supervisor.open_board(None).unwrap();
        assert_eq!(supervisor.events(), []);
        supervisor.note_event("warning", "worker 1 was killed");
        let region = supervisor.reserve().unwrap();
        // A worker has its meter from its supervisor, by the fork.
        supervisor.begin(region, 1).unwrap();
        supervisor.note_event("error", "the broker is lost");
        let found: Vec<_> =
            supervisor.events().into_iter().map(|event| (event.worker, event.level, event.text)).collect();
        assert!(found.contains(&(Some(1), "error", "the broker is lost".to_owned())), "{found:?}");
        assert!(found.contains(&(None, "warning", "worker 1 was killed".to_owned())), "{found:?}");
    }
}
