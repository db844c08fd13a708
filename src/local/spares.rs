//! Empty files that are in the spool before they are asked for. A close that has to sync the folder for the name of
//! its file makes some more before: the one sync puts all their names on the disk, and the closes of the next
//! small files wait for their bytes alone.
//!
//! Their numbers are older than their bytes: nothing may tell the age of bytes by a number.
//!
//! What is left of them when a process dies is empty, and no fact speaks of it.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::store;
use super::unnamed::Unnamed;
use crate::model::ino::ContentId;

/// The most that are ready, where there are descriptors enough. It begins with one, and doubles whenever they did not
/// suffice.
const MOST: usize = 64;

/// What sufficed for so long begins with one again: who writes a file now and then has no use for more.
const A_WHILE: Duration = Duration::from_secs(10);

/// An empty file, open.
pub(super) type Spare = (ContentId, Arc<File>);

/// What is kept ready.
#[derive(Debug, Default)]
pub(super) struct Spares(Mutex<Stock>);

#[derive(Debug)]
struct Stock {
    /// Each with its file, unless its descriptor was wanted for something else.
    ready: VecDeque<(ContentId, Option<Arc<File>>)>,
    /// The most that there are to be.
    most: usize,
    /// How many there are to be.
    wanted: usize,
    /// When they did not suffice the last time.
    topped_up: Option<Instant>,
}

impl Default for Stock {
    fn default() -> Self {
        Self { ready: VecDeque::new(), most: MOST, wanted: 0, topped_up: None }
    }
}

impl Spares {
    /// No more than this are made in advance.
    pub fn share(&self, most: usize) {
        self.stock().most = most.clamp(1, MOST);
    }

    /// Lets go of their descriptors: they are opened when they are taken.
    pub fn give_back(&self) {
        self.stock().ready.iter_mut().for_each(|(_, file)| drop(file.take()));
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next one, or where there is none, a new one.
    pub fn take(&self, spool: &Path, next: &AtomicU64, unnamed: &Unnamed) -> io::Result<Spare> {
        let ready = self.stock().ready.pop_front();
        match ready {
            None => create(spool, next, unnamed),
            Some((id, Some(file))) => Ok((id, file)),
            Some((id, None)) => match store::open_file(spool, id) {
                Ok(file) => Ok((id, Arc::new(file))),
                Err(error) => {
                    self.stock().ready.push_front((id, None));
                    Err(error)
                }
            },
        }
    }

    /// Makes some more where none is left. The folder is to be synced next.
    pub fn top_up(&self, spool: &Path, next: &AtomicU64, unnamed: &Unnamed) {
        let missing = {
            let mut stock = self.stock();
            if !stock.ready.is_empty() {
                return;
            }
            let now = Instant::now();
            let sufficed = stock.topped_up.replace(now).is_some_and(|then| now - then > A_WHILE);
            stock.wanted = if sufficed { 1 } else { (stock.wanted * 2).clamp(1, stock.most) };
            stock.wanted
        };
        // Whoever takes one meanwhile does not wait for the disk here.
        for _ in 0..missing {
            // A disk that is full is told to who needs the room.
            let Ok((id, file)) = create(spool, next, unnamed) else { return };
            self.stock().ready.push_back((id, Some(file)));
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
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn they_are_taken_in_order_and_nothing_of_them_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let (spares, unnamed, next) = (Spares::default(), Unnamed::default(), AtomicU64::new(7));
        let there = || store::numbered(dir.path()).unwrap().into_keys().collect::<HashSet<ContentId>>();
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
                unnamed.sync(&File::open(dir.path()).unwrap()).unwrap();
                spares.give_back();
            }
        }
        assert_eq!(taken, (7..207).map(ContentId).collect::<Vec<_>>());
        assert_eq!(unnamed_ones, 9, "after 1, 2, 4, ... files");
        assert!(there().len() > taken.len());
        spares.remove(dir.path());
        assert_eq!(there(), HashSet::from_iter(taken));
        assert!(spares.take(Path::new("/nowhere"), &next, &unnamed).is_err());
    }
}
