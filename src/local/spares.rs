//! Empty files that are in the spool before they are asked for. A close that has to sync the folder for the name of
//! its file makes some more before: the one sync puts all their names on the disk, and the closes of the next
//! small files wait for their bytes alone.
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

/// The most that are ready. It begins with one, and doubles whenever they did not suffice: who writes a file now and
/// then has no use for them.
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
    /// How many there are to be.
    wanted: usize,
}

impl Spares {
    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next one, or where there is none, a new one.
    pub fn take(&self, spool: &Path, next: &AtomicU64, unnamed: &Unnamed) -> io::Result<Spare> {
        let mut stock = self.stock();
        match stock.ready.pop_front() {
            Some(spare) => Ok(spare),
            None => create(spool, next, unnamed),
        }
    }

    /// Makes some more where none is left. The folder is to be synced next.
    pub fn top_up(&self, spool: &Path, next: &AtomicU64, unnamed: &Unnamed) {
        let mut stock = self.stock();
        if !stock.ready.is_empty() {
            return;
        }
        stock.wanted = (stock.wanted * 2).clamp(1, MOST);
        while stock.ready.len() < stock.wanted {
            // A disk that is full is told to who needs the room.
            let Ok(spare) = create(spool, next, unnamed) else { return };
            stock.ready.push_back(spare);
        }
    }

    /// Leaves none of them in `spool`.
    pub fn remove(&self, spool: &Path) {
        for (id, _) in self.stock().ready.drain(..) {
            let _ = fs::remove_file(store::place(spool, id));
        }
    }
}

fn create(spool: &Path, next: &AtomicU64, unnamed: &Unnamed) -> io::Result<Spare> {
    let spare = store::create_new(spool, next)?;
    unnamed.came(spare.0);
    Ok(spare)
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
        let (mut taken, mut unnamed_ones) = (Vec::new(), 0);
        for _ in 0..200 {
            let id = take();
            taken.push(id);
            if unnamed.has(id) {
                unnamed_ones += 1;
                spares.top_up(dir.path(), &next, &unnamed);
                unnamed.sync(dir.path()).unwrap();
            }
        }
        assert_eq!(taken, (7..207).map(ContentId).collect::<Vec<_>>());
        assert_eq!(unnamed_ones, 9, "after 1, 2, 4, ... files");
        assert!(there().len() > taken.len());
        spares.remove(dir.path());
        assert_eq!(there(), taken);
        assert!(spares.take(Path::new("/nowhere"), &next, &unnamed).is_err());
    }
}
