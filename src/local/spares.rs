//! Empty files that are in the spool before they are asked for: whoever needs one makes several, and one sync of
//! the folder puts the names of all of them on the disk. The close of a small file then waits for its bytes
//! alone.
//!
//! What is left of them when a process dies is empty, and no fact speaks of it.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::store;
use super::unnamed::Unnamed;
use crate::model::ino::ContentId;

/// The most that are made at once. It begins with the one that is asked for, and doubles from time to time.
const MOST: usize = 64;

/// An empty file, open.
pub(super) type Spare = (ContentId, Arc<File>);

/// What is kept ready.
#[derive(Debug, Default)]
pub(super) struct Spares(Mutex<Stock>);

#[derive(Debug, Default)]
struct Stock {
    /// In the order of their numbers: files that are taken later have larger ones.
    ready: VecDeque<Spare>,
    /// How many were made last.
    made: usize,
}

impl Spares {
    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next one. Makes more of them where none is left.
    pub fn take(&self, spool: &Path, next: &AtomicU64, unnamed: &Unnamed) -> io::Result<Spare> {
        let mut stock = self.stock();
        if let Some(spare) = stock.ready.pop_front() {
            return Ok(spare);
        }
        let first = store::create_new(spool, next)?;
        unnamed.came(first.0);
        let more = (stock.made * 2).min(MOST - 1);
        for _ in 0..more {
            // A disk that is full is told to who needs the room.
            let Ok(spare) = store::create_new(spool, next) else { break };
            unnamed.came(spare.0);
            stock.ready.push_back(spare);
        }
        stock.made = stock.ready.len() + 1;
        if !stock.ready.is_empty() {
            // What cannot be synced here is synced, or refused, by the close.
            let _ = unnamed.sync(first.0, spool);
        }
        Ok(first)
    }

    /// Leaves none of them in `spool`.
    pub fn remove(&self, spool: &Path) {
        for (id, _) in self.stock().ready.drain(..) {
            let _ = fs::remove_file(store::place(spool, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_taken_in_order_and_nothing_of_them_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let (spares, unnamed, next) = (Spares::default(), Unnamed::default(), AtomicU64::new(7));
        let there = || {
            let mut there: Vec<ContentId> =
                store::numbered(dir.path()).unwrap().into_iter().map(|(_, id)| id).collect();
            there.sort_unstable();
            there
        };
        let take = || {
            let (id, file) = spares.take(dir.path(), &next, &unnamed).unwrap();
            assert_eq!(file.metadata().unwrap().len(), 0);
            id
        };
        let mut taken = vec![take()];
        assert_eq!(there(), taken, "a mount that needs one file has one");
        taken.extend((0..99).map(|_| take()));
        assert_eq!(taken, (7..107).map(ContentId).collect::<Vec<_>>());
        assert!(there().len() > taken.len());
        spares.remove(dir.path());
        assert_eq!(there(), taken);
        assert!(spares.take(Path::new("/nowhere"), &next, &unnamed).is_err());
    }
}
