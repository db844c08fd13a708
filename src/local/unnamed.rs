//! Which files of a folder a power loss may still leave without their names: one sync of the folder serves all
//! that came into it before.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::durable;
use super::trouble::Trouble;
use crate::model::ino::ContentId;

/// The files that came into a folder since it was synced.
#[derive(Debug, Default)]
pub(super) struct Unnamed(Mutex<Arrivals>);

#[derive(Debug, Default)]
struct Arrivals {
    next: u64,
    /// By file: the how manieth it was.
    at: HashMap<ContentId, u64>,
    /// The disk could not sync the folder: which names it kept is not known.
    is_lost: bool,
}

impl Unnamed {
    fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It came into the folder just now.
    pub fn came(&self, id: ContentId) {
        let mut arrivals = self.arrivals();
        let place = arrivals.next;
        arrivals.next += 1;
        arrivals.at.insert(id, place);
    }

    /// It left the folder, or is gone.
    pub fn left(&self, id: ContentId) {
        self.arrivals().at.remove(&id);
    }

    /// Is its name not on the disk yet?
    pub fn has(&self, id: ContentId) -> bool {
        self.arrivals().at.contains_key(&id)
    }

    /// Waits until the names of all that came to `folder` so far are on the disk.
    ///
    /// # Errors
    /// Once a disk could not do that, it is not asked again: it would answer for what it has dropped.
    pub fn sync(&self, folder: &File) -> io::Result<()> {
        let next = {
            let arrivals = self.arrivals();
            if arrivals.is_lost {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            arrivals.next
        };
        let synced = durable::sync_names_in(folder);
        let mut arrivals = self.arrivals();
        match &synced {
            // What came meanwhile may have come too late.
            Ok(()) => arrivals.at.retain(|_, place| *place >= next),
            Err(error) => arrivals.is_lost |= Trouble::of_io(error) == Trouble::Broken,
        }
        synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sync_serves_all_that_came_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let unnamed = Unnamed::default();
        let waits = |id| unnamed.has(ContentId(id));
        (1..=3).for_each(|id| unnamed.came(ContentId(id)));
        unnamed.left(ContentId(2));
        assert!(waits(1) && waits(3) && !waits(2));
        unnamed.sync(&File::open(dir.path()).unwrap()).unwrap();
        assert!(!waits(1) && !waits(3));
        unnamed.came(ContentId(2));
        assert!(waits(2));
    }

    #[test]
    fn a_folder_that_could_not_be_synced_once_is_not_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let (unnamed, folder) = (Unnamed::default(), File::open(dir.path()).unwrap());
        unnamed.came(ContentId(1));
        // What cannot be synced at all.
        unnamed.sync(&File::open("/dev/null").unwrap()).unwrap_err();
        unnamed.sync(&folder).unwrap_err();
        assert!(unnamed.has(ContentId(1)));
    }
}
