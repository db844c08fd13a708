//! How much of the local disk the spool takes, and whether a write may take more.
//!
//! A write is promised its bytes before it begins and is measured when it has ended, so that writers
//! side by side cannot exceed the limit together. What the cache takes is known elsewhere and is told
//! with each question: it can be let go, what is in the spool cannot.

use std::collections::HashMap;

use super::ino::ContentId;

/// Disks give room in blocks; files of a few bytes take one, too.
const BLOCK: u64 = 4096;

/// The books of the spool.
#[derive(Debug)]
pub struct Room {
    limit: u64,
    taken: HashMap<ContentId, u64>,
    used: u64,
    promised: u64,
    /// Files that may grow beyond the limit, and to which size.
    allowed: HashMap<ContentId, u64>,
}

/// What the books say to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// There is room, and it is promised.
    Promised,
    /// There is, once cached bytes are let go.
    Evict,
    /// What is owed and what is being written fill the limit.
    Full,
}

impl Room {
    /// An empty spool that may take `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, taken: HashMap::new(), used: 0, promised: 0, allowed: HashMap::new() }
    }

    /// The limit is another.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// `id` is in the spool from now on and takes `bytes`.
    pub fn enter(&mut self, id: ContentId, bytes: u64) {
        self.used += bytes;
        self.used -= self.taken.insert(id, bytes).unwrap_or(0);
    }

    /// `id` takes `bytes` now, if it is in the spool.
    pub fn measured(&mut self, id: ContentId, bytes: u64) {
        if let Some(taken) = self.taken.get_mut(&id) {
            self.used = self.used - *taken + bytes;
            *taken = bytes;
        }
    }

    /// `id` left the spool.
    pub fn leave(&mut self, id: ContentId) {
        self.allowed.remove(&id);
        self.used -= self.taken.remove(&id).unwrap_or(0);
    }

    /// Bytes that `id` takes in the spool.
    pub fn taken(&self, id: ContentId) -> u64 {
        self.taken.get(&id).copied().unwrap_or(0)
    }

    /// Bytes that all files in the spool take.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// By how much spool, promises and `cached` bytes exceed the limit.
    pub fn excess(&self, cached: u64) -> u64 {
        (self.used + self.promised).saturating_add(cached).saturating_sub(self.limit)
    }

    /// Asks for `bytes` more in the spool, on behalf of `id` where it is there already. A promise ends
    /// with [`Self::kept`].
    pub fn ask(&mut self, id: Option<ContentId>, bytes: u64, cached: u64) -> Answer {
        let goes_beyond = |id| {
            let allowed = self.allowed.get(&id).copied().unwrap_or(0);
            self.taken(id).saturating_add(bytes) <= allowed
        };
        let wanted = (self.used + self.promised).saturating_add(bytes);
        if bytes == 0 || wanted.saturating_add(cached) <= self.limit || id.is_some_and(goes_beyond) {
            self.promise(bytes);
            return Answer::Promised;
        }
        if wanted <= self.limit { Answer::Evict } else { Answer::Full }
    }

    /// Promises `bytes`, whether there is room or not.
    pub fn promise(&mut self, bytes: u64) {
        self.promised += bytes;
    }

    /// What was promised was used and measured, or is not needed.
    pub fn kept(&mut self, bytes: u64) {
        self.promised -= bytes;
    }

    /// `id` may take `bytes` more than it takes now, beyond the limit. True the first time.
    pub fn allow(&mut self, id: ContentId, bytes: u64) -> bool {
        let upto = self.taken(id).saturating_add(bytes);
        self.taken.contains_key(&id) && self.allowed.insert(id, upto).is_none()
    }
}

/// How many bytes a file of `size` bytes, which takes `taken`, takes more at most when `count` bytes
/// are written at `offset`. Where it has gaps, the write may fall into one.
pub fn growth(size: u64, taken: u64, offset: u64, count: u64) -> u64 {
    let up = |bytes: u64| bytes.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
    let from = offset - offset % BLOCK;
    let solid = if taken >= up(size) { up(size) } else { 0 };
    up(offset.saturating_add(count)).saturating_sub(from.max(solid))
}

/// What a file takes, from its size and from the blocks that the disk gave it: some file systems give
/// a growing file more than it needs for a while.
pub fn taken(size: u64, given: u64) -> u64 {
    given.min(size.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: ContentId = ContentId(1);
    const B: ContentId = ContentId(2);

    #[test]
    fn cached_bytes_make_way_and_owed_ones_do_not() {
        let mut room = Room::new(100);
        room.enter(A, 60);
        assert_eq!(room.ask(Some(A), 30, 10), Answer::Promised);
        assert_eq!(room.ask(Some(A), 5, 10), Answer::Evict);
        assert_eq!(room.ask(Some(A), 11, 0), Answer::Full, "a promise counts like bytes");
        room.measured(A, 90);
        room.kept(30);
        assert_eq!((room.used(), room.excess(0), room.excess(20)), (90, 0, 10));
        room.leave(A);
        assert_eq!(room.ask(None, 100, 0), Answer::Promised);
    }

    #[test]
    fn only_the_file_that_may_go_beyond_the_limit_does_and_only_so_far() {
        let mut room = Room::new(100);
        room.enter(A, 100);
        room.enter(B, 0);
        assert!(room.allow(A, 20));
        assert_eq!(room.ask(Some(B), 1, 0), Answer::Full);
        assert_eq!(room.ask(Some(A), 20, 0), Answer::Promised);
        room.measured(A, 120);
        room.kept(20);
        assert_eq!(room.ask(Some(A), 1, 0), Answer::Full);
        assert!(!room.allow(A, 20), "told once");
        room.leave(A);
        room.leave(B);
        assert!(!room.allow(A, 20), "it is not in the spool any more");
        assert_eq!(room.used(), 0);
    }

    #[test]
    fn what_is_written_again_in_place_takes_nothing() {
        assert_eq!(growth(0, 0, 0, 1), 4096);
        assert_eq!(growth(1, 4096, 1, 4095), 0);
        assert_eq!(growth(8192, 8192, 100, 5000), 0);
        assert_eq!(growth(8192, 8192, 8000, 5000), 8192);
        assert_eq!(growth(1 << 30, 0, 4096, 4096), 4096, "into a gap");
        assert_eq!(growth(10, 4096, 1 << 30, 1), 4096, "far beyond the end");
        assert_eq!(growth(0, 0, u64::MAX, 1), u64::MAX - (u64::MAX - 4095));
    }

    proptest! {
        #[test]
        fn promises_never_add_up_to_more_than_the_limit(
            steps in prop::collection::vec((0u64..4, 0u64..60, 0u64..3), 1..60)
        ) {
            let mut room = Room::new(100);
            let mut under_way: Vec<(ContentId, u64)> = Vec::new();
            let mut files = HashMap::<ContentId, u64>::new();
            for (file, bytes, what) in steps {
                let id = ContentId(file);
                match what {
                    0 => {
                        files.entry(id).or_insert_with(|| {
                            room.enter(id, 0);
                            0
                        });
                        if room.ask(Some(id), bytes, 0) == Answer::Promised {
                            under_way.push((id, bytes));
                        }
                    }
                    1 => if let Some((id, bytes)) = under_way.pop() {
                        if let Some(taken) = files.get_mut(&id) {
                            *taken += bytes;
                            room.measured(id, *taken);
                        }
                        room.kept(bytes);
                    },
                    _ => {
                        files.remove(&id);
                        room.leave(id);
                    }
                }
                prop_assert_eq!(room.used(), files.values().sum::<u64>());
                prop_assert_eq!(room.excess(0), 0);
            }
        }
    }
}
