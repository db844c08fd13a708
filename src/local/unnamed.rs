//! Which files of a folder a power loss may still leave without their names: one sync of the folder serves all
//! that came into it before.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::durable;
use crate::model::ino::ContentId;

/// The files that came into a folder since it was synced.
#[derive(Debug, Default)]
pub(super) struct Unnamed(Mutex<Arrivals>);

#[derive(Debug, Default)]
struct Arrivals {
    next: u64,
    /// By file: the how manieth it was.
    at: HashMap<ContentId, u64>,
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

    /// Waits until the name of `id` in `folder` is on the disk.
    pub fn sync(&self, id: ContentId, folder: &Path) -> io::Result<()> {
        let next = {
            let arrivals = self.arrivals();
            if !arrivals.at.contains_key(&id) {
                return Ok(());
            }
            arrivals.next
        };
        durable::sync_names(folder)?;
        // What came meanwhile may have come too late.
        self.arrivals().at.retain(|_, place| *place >= next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sync_serves_all_that_came_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let unnamed = Unnamed::default();
        let waits = |id| unnamed.arrivals().at.contains_key(&ContentId(id));
        (1..=3).for_each(|id| unnamed.came(ContentId(id)));
        unnamed.left(ContentId(2));
        unnamed.sync(ContentId(9), Path::new("/nowhere")).unwrap();
        assert!(waits(1), "nothing was to be done");
        unnamed.sync(ContentId(1), Path::new("/nowhere")).unwrap_err();
        assert!(waits(1), "and nothing was");
        unnamed.sync(ContentId(1), dir.path()).unwrap();
        assert!(!waits(1) && !waits(3));
        unnamed.came(ContentId(2));
        assert!(waits(2));
    }
}
