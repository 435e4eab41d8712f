//! The bound on content of requests, for all of a process: one for content in memory, one for that in temporary files.
//!
//! An upload that needs room at the bound ends other uploads, those whose last piece is the oldest first, but only if
//! that piece is older than its own. If there are none, the upload itself is ended. Complete content stays until its
//! request is answered.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The content of all requests in one of these places.
#[derive(Debug)]
pub(crate) struct Spools {
    most: u64,
    table: Mutex<SpoolTable>,
}

#[derive(Debug, Default)]
struct SpoolTable {
    bytes: u64,
    /// The most since [`Spools::forget_freed`].
    most: u64,
    /// Content that is still arriving, in the order in which its first piece was written.
    coming: BTreeMap<u64, Coming>,
    next: u64,
}

struct Coming {
    bytes: u64,
    /// Time of the last written piece, in milliseconds.
    moved: u64,
    /// Tells the connection to end.
    end: Arc<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Coming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Coming({} bytes, moved at {})", self.bytes, self.moved)
    }
}

/// One request's share of the room; released when dropped.
#[derive(Debug)]
pub(crate) struct SpoolShare {
    spools: Arc<Spools>,
    number: u64,
    /// The size so far.
    bytes: u64,
    is_complete: bool,
}

/// Milliseconds since its last piece within which an upload does not have to give way.
const JUST_NOW: u64 = 1000;

impl Spools {
    /// A bound of this number of bytes.
    pub(crate) fn new(most: u64) -> Self {
        Self { most, table: Mutex::default() }
    }

    /// Registers content that begins to be written. If it has to give way, `end` is called.
    pub(crate) fn begin(self: &Arc<Self>, now: u64, end: impl Fn() + Send + Sync + 'static) -> SpoolShare {
        let mut table = self.lock();
        let number = table.next;
        table.next += 1;
        table.coming.insert(number, Coming { bytes: 0, moved: now, end: Arc::new(end) });
        SpoolShare { spools: Arc::clone(self), number, bytes: 0, is_complete: false }
    }

    /// Bytes that were in use since [`Spools::forget_freed`] and no longer are.
    pub(crate) fn freed(&self) -> u64 {
        let table = self.lock();
        table.most - table.bytes
    }

    pub(crate) fn forget_freed(&self) {
        let mut table = self.lock();
        table.most = table.bytes;
    }

    fn lock(&self) -> MutexGuard<'_, SpoolTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpoolTable {
    /// The upload whose last piece is the oldest, if that came no later than `before`.
    fn slowest(&self, before: u64) -> Option<u64> {
        let slowest = self.coming.iter().filter(|(_, coming)| coming.bytes > 0).min_by_key(|(_, coming)| coming.moved);
        slowest.filter(|(_, coming)| coming.moved <= before).map(|(number, _)| *number)
    }
}

impl SpoolShare {
    /// Makes room for one more piece. Returns `false` if there is none, or this content has had to give way.
    pub(crate) fn add(&mut self, bytes: u64, now: u64) -> bool {
        let mut ended = Vec::new();
        let mut table = self.spools.lock();
        let Some(moved) = table.coming.get(&self.number).map(|own| own.moved) else { return false };
        while table.bytes + bytes > self.spools.most {
            let slowest = table.slowest(moved.min(now.saturating_sub(JUST_NOW)));
            let Some(slowest) = slowest.filter(|number| *number != self.number) else { break };
            if let Some(coming) = table.coming.remove(&slowest) {
                table.bytes -= coming.bytes;
                ended.push(coming.end);
            }
        }
        let has_room = table.bytes + bytes <= self.spools.most;
        if has_room {
            table.bytes += bytes;
            table.most = table.most.max(table.bytes);
            if let Some(own) = table.coming.get_mut(&self.number) {
                own.bytes += bytes;
                own.moved = now;
            }
            self.bytes += bytes;
        }
        drop(table);
        ended.iter().for_each(|end| end());
        has_room
    }

    /// The same for as many bytes as are missing to this number.
    pub(crate) fn grow_to(&mut self, bytes: u64, now: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        more == 0 || self.add(more, now)
    }

    /// Whether this content has had to give way.
    pub(crate) fn has_ended(&self) -> bool {
        !self.is_complete && !self.spools.lock().coming.contains_key(&self.number)
    }

    /// Marks the content as complete. Returns `false` if it has had to give way.
    pub(crate) fn complete(&mut self) -> bool {
        let coming = self.spools.lock().coming.remove(&self.number);
        self.is_complete = coming.is_some();
        self.bytes = coming.map_or(0, |coming| coming.bytes);
        self.is_complete
    }
}

impl Drop for SpoolShare {
    fn drop(&mut self) {
        let mut table = self.spools.lock();
        let left = if self.is_complete {
            self.bytes
        } else {
            table.coming.remove(&self.number).map_or(0, |coming| coming.bytes)
        };
        table.bytes -= left;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn begin(spools: &Arc<Spools>, now: u64) -> (SpoolShare, Arc<AtomicUsize>) {
        let ends = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&ends);
        let end = move || told.store(told.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        (spools.begin(now, end), ends)
    }

    #[test]
    fn the_slowest_gives_way() {
        let spools = Arc::new(Spools::new(100));
        let [(mut first, first_ends), (mut second, second_ends)] = [begin(&spools, 0), begin(&spools, 0)];
        assert!(first.add(40, 0) && second.add(40, 0) && first.add(10, 5000));
        let (mut third, _) = begin(&spools, 6000);
        assert!(third.add(40, 6000));
        assert_eq!((second.has_ended(), second.add(1, 6000), second.complete()), (true, false, false));
        assert_eq!([first_ends, second_ends].map(|ends| ends.load(Ordering::Relaxed)), [0, 1]);
        drop(second);
        assert_eq!(spools.lock().bytes, 90);
        assert!(first.complete());
        drop((first, third));
        assert_eq!(spools.lock().bytes, 0);
        assert_eq!(spools.freed(), 90);
        spools.forget_freed();
        assert_eq!(spools.freed(), 0);
    }

    #[test]
    fn content_that_grows_counts_once() {
        let spools = Arc::new(Spools::new(100));
        let (mut share, _) = begin(&spools, 0);
        assert!(share.grow_to(60, 0) && share.grow_to(60, 1) && share.grow_to(100, 2));
        assert_eq!(spools.lock().bytes, 100);
        assert!(!share.grow_to(101, 3));
        drop(share);
        assert_eq!(spools.lock().bytes, 0);
    }

    #[test]
    fn a_quick_or_complete_upload_does_not() {
        let spools = Arc::new(Spools::new(100));
        let [(mut complete, _), (mut quick, _), (mut new, _)] =
            [begin(&spools, 0), begin(&spools, 0), begin(&spools, 9000)];
        assert!(complete.add(50, 0) && complete.complete() && quick.add(50, 8500));
        assert!(!new.add(1, 9000) && !new.has_ended() && !quick.has_ended());
        // Other uploads do not help the slowest either.
        assert!(!quick.add(1, 20_000) && !quick.has_ended());
        drop(complete);
        assert!(new.add(50, 20_000));
    }
}
