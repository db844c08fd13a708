//! Folders that are being read: each reader goes on with the lines that were there when it began.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fs::{DirEntry, Filesystem};
use crate::model::failure::Failure;
use crate::model::ino::Ino;

/// The lines of a folder.
pub(super) type Lines = Arc<Vec<DirEntry>>;

/// Those that are open, by handle.
#[derive(Debug, Default)]
pub(super) struct Folders {
    last: AtomicU64,
    open: Mutex<HashMap<u64, Lines>>,
}

impl Folders {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Lines>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handle for another reader.
    pub fn begin(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The reader is done.
    pub fn end(&self, handle: u64) {
        self.open().remove(&handle);
    }

    /// The lines for one reader: looked at anew when reading starts, the same ones after.
    pub async fn lines(
        &self,
        fs: &Arc<Filesystem>,
        folder: Ino,
        handle: u64,
        offset: u64,
    ) -> Result<Lines, Failure> {
        let known = self.open().get(&handle).filter(|_| offset > 0).cloned();
        if let Some(lines) = known {
            return Ok(lines);
        }
        let lines = fs.read_dir(folder).await?;
        self.open().insert(handle, lines.clone());
        Ok(lines)
    }
}
